/* Facts and options of sockets, as asyncio reads and sets them. */
#ifndef PYAIO_NET_SOCKET_OPTIONS_H
#define PYAIO_NET_SOCKET_OPTIONS_H

#include "base/state.h"

typedef struct SocketFacts {
    int fd, family, type, proto;
} SocketFacts;

/* Reads fileno(), family, type and proto of a socket.socket. -1 with an
 * exception set. */
int socket_facts(ModuleState *state, PyObject *sock, SocketFacts *facts);

/* TCP_NODELAY on a TCP socket (asyncio sets it on every connection); nothing
 * on any other. Errors do not matter: it is a hint. */
void socket_set_nodelay(const SocketFacts *facts);

#endif
