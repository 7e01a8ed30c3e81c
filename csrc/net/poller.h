/* add_reader(), add_writer() and their opposites: callbacks in Python for a fd
 * that the program owns. asyncio's own code waits with them, too: sock_*,
 * datagrams, pipes. */
#ifndef PYAIO_NET_POLLER_H
#define PYAIO_NET_POLLER_H

#include "engine/engine.h"
#include "engine/handle.h"

/* Calls the handle's callback whenever `event` (WATCH_READ or WATCH_WRITE)
 * comes on the fd, in the place of the one before. Borrows the handle and
 * `fileobj`, which stood for the fd: the first of an fd is kept to be found by
 * poller_find(), as a selector keeps it. -1 with OSError (EBADF, EPERM), or RuntimeError where a
 * transport owns the fd. */
int poller_add(Engine *engine, int fd, PyObject *fileobj, int event,
               HandleObject *handle);

/* The fd under which an object was added that has no fileno() any more, or
 * -1. Looks at every watched fd. */
int poller_find(Engine *engine, PyObject *fileobj);

/* 1 when a callback was removed, 0 when there was none, -1 on error. */
int poller_remove(Engine *engine, int fd, int event);

/* WATCH_* that the fd is watched for, by a callback or a transport. */
int poller_events(Engine *engine, int fd);

int poller_setup(PyObject *module, ModuleState *state);

#endif
