/* FdWatcher: the owner of the one uv_poll_t that watches a file descriptor.
 *
 * Streams, listeners, add_reader() and the signal pipe watch their fds with
 * it. libuv's callback does not touch Python: it puts the watcher on the
 * engine's `fired` queue, and the turn runs it like any other entry, in order
 * and with the GIL. That is all that happens below uv_run(). */
#ifndef PYAIO_ENGINE_WATCHER_H
#define PYAIO_ENGINE_WATCHER_H

#include "engine/engine.h"

enum {
    WATCH_READ = UV_READABLE,
    WATCH_WRITE = UV_WRITABLE,
};

typedef struct WatcherOps {
    /* Called with the events that came and are still wanted, the owner held.
     * -1 with an exception set only for what must leave run_forever(). */
    int (*on_ready)(FdWatcher *watcher, int events);
    /* Somebody else wants to watch the fd, so that the owner's number must be
     * stale: it closes the watcher. -1 with RuntimeError where it still owns
     * the fd. */
    int (*displace)(FdWatcher *watcher);
    /* Who runs, for debug mode's report of slow callbacks: borrowed. NULL
     * stands for the owner. */
    PyObject *(*subject)(FdWatcher *watcher);
} WatcherOps;

struct FdWatcher {
    ReadyEntry entry; /* in `fired`, then in `ready` */
    uv_poll_t poll;
    Engine *engine;
    const WatcherOps *ops;
    PyObject *owner;         /* borrowed while interest is 0, else owned */
    FdWatcher *next_changed; /* link in Engine.changed_watchers */
    int fd;
    int interest;   /* WATCH_* that the owner wants */
    int armed;      /* WATCH_* that libuv has been asked for */
    int events;     /* WATCH_* that came and have not run */
    bool exclusive; /* nobody closes the fd behind our back */
    bool queued;    /* the entry is in a queue */
    bool changed;   /* stands in Engine.changed_watchers */
    bool closing;   /* uv_close() has been called */
    bool released;  /* libuv has let go of `poll` */
    bool closed;    /* the owner has let go */
};

/* Watches nothing yet. `owner` is borrowed: it closes the watcher before it
 * goes. `exclusive`: the fd is the owner's, which closes it only after the
 * watcher. Whoever has watched a fd of that number before is displaced. NULL
 * with OSError (EBADF, EPERM: a file that cannot be polled) or RuntimeError
 * where a transport owns the fd or the loop is closed, which asking the program
 * for the fd may have done. */
FdWatcher *watcher_open(Engine *engine, int fd, bool exclusive,
                        const WatcherOps *ops, PyObject *owner);

/* Sets what is watched for. While that is anything, the watcher holds the
 * owner, as a selector's map would. Takes effect before the next poll, but for
 * the end of all interest in a fd that is not exclusive: that is immediate.
 * May drop the owner's last reference, as its last act. */
void watcher_set(FdWatcher *watcher, int interest);

/* Makes libuv look at the fd afresh before the next poll: what was watched
 * under that number may be another file by now. */
void watcher_rearm(FdWatcher *watcher);

/* The owner lets go, before it closes the fd. May drop the owner's last
 * reference, as its last act. Fine on a closed loop, too. */
void watcher_close(FdWatcher *watcher);

/* The same for an owner's field, which may be NULL, and is from here on. */
static inline void
watcher_drop(FdWatcher **field)
{
    FdWatcher *watcher = *field;
    *field = NULL;
    if (watcher != NULL) {
        watcher_close(watcher);
    }
}

/* The fd's open watcher, or NULL. */
FdWatcher *watcher_find(Engine *engine, int fd);

/* Before a poll: tells libuv what has changed. */
void watchers_apply_changes(Engine *engine);

/* Takes every watcher from libuv, when the engine closes. Their owners keep
 * theirs, without effect, until they close them. */
void watchers_release_all(Engine *engine);
int watchers_traverse(Engine *engine, visitproc visit, void *arg);

#endif
