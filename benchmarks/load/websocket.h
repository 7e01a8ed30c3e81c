/* What WebSocket (RFC 6455) adds to an echo: a handshake, and frames around the messages. */
#ifndef LOAD_WEBSOCKET_H
#define LOAD_WEBSOCKET_H

#include "client.h"

/* Puts the messages into frames, masked as a client's have to be, and the replies into those
 * of a server. Returns 0, or -1 when there is no memory. */
int websocket_frame(Payload *payload);

/* Asks the server on a new connection for WebSocket and waits until it agrees. Returns 0, or
 * -1 after a line on stderr. */
int websocket_shake_hands(Client *client, Connection *connection);

#endif
