/* One message to the server and its reply, every byte of it compared. The modes are made of
 * these. */
#ifndef LOAD_EXCHANGE_H
#define LOAD_EXCHANGE_H

#include "client.h"

/* Begins to send the connection's current message. Returns 0, or -1 after a line on stderr. */
int exchange_begin(Client *client, Connection *connection);

/* The socket is ready: sends what is left, and reads. Returns 1 when the whole reply is here
 * and the connection is at its next message, 0 when not, -1 after a line on stderr. */
int exchange_serve(Client *client, Connection *connection);

#endif
