/* The listener: accepts connections of one listening socket and makes their
 * streams. asyncio.Server has one for each of its sockets. */
#ifndef PYAIO_NET_LISTENER_H
#define PYAIO_NET_LISTENER_H

#include "engine/engine.h"

/* Starts to accept on `sock` (socket.socket); at most `backlog` connections an
 * event. `server` may be None. With a `context`, all callbacks of a connection
 * run in one copy of it; with None, each runs in a copy of the context in which
 * it is scheduled. Where `admit` is not None, no streams are made, but admit(socket,
 * address of the peer) is called. Borrows everything; the engine holds the listener until
 * listener_stop(). -1 with an exception set. */
int listener_start(Engine *engine, PyObject *sock, PyObject *factory,
                   PyObject *server, PyObject *context, int backlog,
                   PyObject *admit);

/* Stops to accept on the fd, and retries nothing. 0 also when nobody does. */
int listener_stop(Engine *engine, int fd);

int listener_setup(PyObject *module, ModuleState *state);

#endif
