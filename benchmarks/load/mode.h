/* The ways to load a server, a file for each. client.c opens the connections, then calls
 * these. Both functions return 0, or -1 after a line on stderr. */
#ifndef LOAD_MODE_H
#define LOAD_MODE_H

#include "client.h"

struct Mode {
    const char *name;
    /* Messages are framed as WebSocket does, after its handshake. */
    bool websocket;
    /* All connections carry a message to and fro before any load begins, so that the server
     * has accepted them. Else they are open, and that is all. */
    bool greets;
    /* A connection is open: sets off its work. */
    int (*start)(Client *client, Connection *connection);
    /* Its socket is ready. */
    int (*serve)(Client *client, Connection *connection);
};

extern const Mode MODE_ECHO;      /* a message, its echo, the next message */
extern const Mode MODE_WEBSOCKET; /* the same in WebSocket's frames */
extern const Mode MODE_ACCEPT;    /* connect, a message, its echo, close */
extern const Mode MODE_BURST;     /* datagrams one way, a few come back */
extern const Mode MODE_BULK;      /* the server sends without end */

#endif
