/* Who waits for a fd that the program owns: the callbacks of add_reader(),
 * add_writer() and their opposites, with which asyncio's own code waits, too
 * (pipes, what of sock_*() is not ours); and the waits of our own C, of sock_*(). */
#ifndef PYAIO_NET_POLLER_H
#define PYAIO_NET_POLLER_H

#include "engine/engine.h"
#include "engine/handle.h"
#include "net/poll_slot.h"

/* ---- callbacks ---- */

/* Calls the handle's callback whenever `event` (WATCH_READ or WATCH_WRITE)
 * comes on the fd, in the place of the one before. Borrows the handle and
 * `fileobj`, which stood for the fd: the first of an fd is kept to be found by
 * poller_find(), as a selector keeps it. -1 with OSError (EBADF, EPERM), or
 * RuntimeError where a transport owns the fd. */
int poller_add(Engine *engine, int fd, PyObject *fileobj, int event,
               HandleObject *handle);

/* The fd under which an object was added that has no fileno() any more, or
 * -1. Looks at every watched fd. */
int poller_find(Engine *engine, PyObject *fileobj);

/* Also takes out a wait. 1 when anybody was there, 0 when not, -1 on error. */
int poller_remove(Engine *engine, int fd, int event);

/* WATCH_* that the fd is watched for, by a poller or a transport. */
int poller_events(Engine *engine, int fd);

/* ---- waits of a socket ---- */

/* Waits for `event` on the fd of `sock`, in the place of who has waited before.
 * Borrows `sock`. -1 as poller_add(). */
int poller_wait(Engine *engine, int fd, PyObject *sock, int event,
                PollWait *wait);
/* Nothing if it has ended, or has been replaced. `drained`: the wait has left
 * nothing in the socket to be read. */
void poller_end_wait(Engine *engine, int fd, int event, PollWait *wait,
                     bool drained);

/* True where poller_wait() has been called for this very socket and nobody else
 * has come since: the fd is still its own. */
bool poller_is_kept(Engine *engine, int fd, PyObject *sock);
/* True where a wait has drained it just now, and the kernel tells of whatever has
 * come since: there is no use in trying to read. */
bool poller_is_drained(Engine *engine, int fd, PyObject *sock);

int poller_setup(PyObject *module, ModuleState *state);

#endif
