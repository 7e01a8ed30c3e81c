/* Opening a connection to the server. Called by client.c and the modes. */
#ifndef LOAD_CONNECT_H
#define LOAD_CONNECT_H

#include "client.h"

/* Begins to connect and watches the socket; the first call that sends waits until the
 * connection is there. Returns 0, or -1 after a line on stderr. */
int connect_soon(Client *client, Connection *connection);

#endif
