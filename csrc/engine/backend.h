/* The backend: what the engine wants of the kernel. There are two, of which
 * setup.py builds one: backend_epoll.c on Linux, backend_uv.c (libuv) elsewhere
 * and where PYAIO_BACKEND=uv asks for it.
 *
 * watcher.c tells the backend which fds are watched, turn.c lets it wait, and
 * what it finds goes into Engine.fired by watcher_fire(). All of it is called
 * with the GIL, but for backend_wait(). */
#ifndef PYAIO_ENGINE_BACKEND_H
#define PYAIO_ENGINE_BACKEND_H

#include "engine/engine.h"
#include "engine/watcher.h"

/* "epoll" or "uv". */
extern const char backend_name[];

/* Makes Engine.backend. -1 with OSError: no descriptor is left, as a rule. */
int backend_open(Engine *engine);
/* Lets go of all, once; -1 with an exception set. No watcher has anything in it
 * any more. */
int backend_close(Engine *engine);

/* ---- waiting ---- */

/* Before a wait or, where `waits` is false, a look: tells the kernel what has
 * changed. Sets Engine.deaf where no descriptor is left by which other threads
 * could end a wait. -1 with OSError. */
int backend_prepare(Engine *engine, bool waits);
/* Looks for events, for up to `wait` ns, -1 for ever; never returns early but
 * for an event, a signal or backend_interrupt(). With `wait` 0 also with the GIL. */
void backend_wait(Engine *engine, int64_t wait);
/* What the last wait has found goes into Engine.fired and `woken`. -1 with
 * OSError where it could not wait at all. */
int backend_collect(Engine *engine);
/* Ends the wait that goes on or is about to begin; in any thread that keeps the loop
 * from being closed meanwhile. */
void backend_interrupt(Engine *engine);

/* ---- watching ---- */

/* A new watcher, before it is in the table. -1 with OSError. */
int backend_add(FdWatcher *watcher);
/* The watcher's interest is another, or has to be told anew (ARMED_STALE): sees
 * to it at once or, by watcher_mark_changed(), before the next poll. -1 with
 * OSError where a fd that is not exclusive cannot be watched. */
int backend_update(FdWatcher *watcher);
/* The watcher has no interest and no owner any more: it lets go of the fd, which
 * its owner may close then. */
void backend_remove(FdWatcher *watcher);

#endif
