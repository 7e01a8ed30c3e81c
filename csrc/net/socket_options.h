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

/* 1 for a socket.socket whose bytes move by its own methods, so that we may
 * move them in their place; 0 for a subclass that has replaced one of them and
 * for what only looks like a socket; -1 on error. */
int socket_is_plain(ModuleState *state, PyObject *sock);

/* A non-blocking socket.socket, which owns the fd from then on. New reference;
 * NULL on failure, the fd left open. */
PyObject *socket_from_facts(ModuleState *state, const SocketFacts *facts);

/* Takes the fd back from such a socket and drops it: steals `sock`. Keeps a raised
 * exception. */
void socket_give_back(PyObject *sock);

/* TCP_NODELAY on a TCP socket (asyncio sets it on every connection); nothing
 * on any other. Errors do not matter: it is a hint. */
void socket_set_nodelay(const SocketFacts *facts);

#endif
