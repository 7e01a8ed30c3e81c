/* FdWatcher: the one watch on a file descriptor, and its owner.
 *
 * Streams, listeners, add_reader() and the signal pipe watch their fds with it.
 * A poll does not call them: it puts the watcher on the engine's `fired` queue,
 * and the turn runs it like any other entry, in order. How the kernel is asked
 * is the backend's (engine/backend.h). */
#ifndef PYAIO_ENGINE_WATCHER_H
#define PYAIO_ENGINE_WATCHER_H

#include "engine/engine.h"

enum {
    WATCH_READ = 1,
    WATCH_WRITE = 2,
};

/* FdWatcher.armed when the kernel has to be asked again: differs from every
 * interest. */
#define ARMED_STALE (-1)

typedef struct WatcherOps {
    /* Called with the events that came and are still wanted, the owner held.
     * -1 with an exception set only for what must leave run_forever(). */
    int (*on_ready)(FdWatcher *watcher, int events);
    /* Somebody else wants to watch the fd, so that the owner's number must be
     * stale: it closes the watcher. -1 with RuntimeError where it still owns
     * the fd. */
    int (*displace)(FdWatcher *watcher);
    /* Who runs, for debug mode's report of slow callbacks: borrowed. NULL
     * stands for the owner while that is held, or for nobody. */
    PyObject *(*subject)(FdWatcher *watcher);
    /* The socket or file that would close the fd by itself: borrowed, may be NULL. For
     * net/transport.c. */
    PyObject *(*file)(FdWatcher *watcher);
} WatcherOps;

struct FdWatcher {
    ReadyEntry entry; /* in `fired`, then in `ready` */
    Engine *engine;
    const WatcherOps *ops;
    PyObject *owner;         /* owned while watcher_is_held(), else borrowed */
    FdWatcher *next_changed; /* link in Engine.changed_watchers */
    void *backend;           /* the backend's own, or NULL */
    uint32_t id;             /* epoll: of the registration in force */
    unsigned forks;          /* forks_made() when it was opened */
    int fd;
    int interest;   /* WATCH_* that the owner wants */
    int armed;      /* WATCH_* that the kernel has been asked for */
    int events;     /* WATCH_* that came and have not run */
    int running;    /* calls of on_ready that go on: turns may be nested */
    bool exclusive; /* nobody closes the fd behind our back */
    bool duplicate; /* there may be others of the open file in this process */
    bool kept;      /* the owner waits again and again */
    bool edge;      /* see watcher_unread() */
    bool ended;     /* the last event told of the end or of an error (epoll) */
    bool queued;    /* the entry is in a queue */
    bool changed;   /* stands in Engine.changed_watchers */
    bool detached;  /* the engine has closed */
    bool closed;    /* the owner has let go */
};

/* Whether the owner is held, as a selector's map would hold it. */
static inline bool
watcher_is_held(const FdWatcher *watcher)
{
    return watcher->interest != 0 || watcher->kept;
}

/* Watches nothing yet. `owner` is borrowed: it closes the watcher before it
 * goes. `exclusive`: the fd is the owner's, which closes it only after the
 * watcher. Whoever has watched a fd of that number before is displaced. NULL
 * with OSError (EBADF) or RuntimeError where a transport owns the fd or the
 * loop is closed, which the program may have done in the middle of this. */
FdWatcher *watcher_open(Engine *engine, int fd, bool exclusive,
                        const WatcherOps *ops, PyObject *owner);

/* Sets what is watched for. While that is anything, the watcher holds the
 * owner. Takes effect before the next poll; but the beginning and the end of all
 * interest in a fd that is not exclusive are immediate; the end is not while the
 * watcher is kept. -1 with OSError, and the interest is as before, where such a fd
 * cannot be watched (EBADF; EPERM: a file that cannot be polled). May drop the owner's
 * last reference, as its last act. */
int watcher_set(FdWatcher *watcher, int interest);

/* While kept, the watcher holds the owner without any interest, too, and the
 * kernel may be left to watch a fd that is not exclusive between two waits. The
 * owner must be held by the caller. */
void watcher_keep(FdWatcher *watcher, bool keep);

/* An owner that sets FdWatcher.edge before its first interest is told of what has come
 * to be read once, and not again while it is there. One read empties the fd unless it
 * fills its buffer, or the end stands behind the data (`ended`): then the owner calls this
 * before anything else runs, which might pause, resume or poll. So it does where it has
 * not read at all. From then on it is told as long as there is something, like any other. */
void watcher_unread(FdWatcher *watcher);

/* Has the kernel look at the fd afresh before the next poll: what was watched
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

/* For a new fd of the loop's own: one that watches a number which the program has
 * closed behind our back must not come upon it. Returns the fd, or another one of
 * the same file, the first closed; -1 and errno on failure, both closed. */
int watchers_pass_by(Engine *engine, int fd);

/* When the engine closes: every watcher is detached. Their owners keep theirs,
 * without effect, until they close them. */
void watchers_release_all(Engine *engine);
int watchers_traverse(Engine *engine, visitproc visit, void *arg);

/* ---- for the backend ---- */

/* WATCH_* have come: the watcher runs in the next turn. The one function here
 * that needs no GIL, in a poll. */
void watcher_fire(FdWatcher *watcher, int events);

/* The backend looks at the watcher before the next poll. */
void watcher_mark_changed(FdWatcher *watcher);
/* The next one of those, which is none of them any more, or NULL. The caller
 * ends with watcher_free_if_done(). */
FdWatcher *watchers_next_changed(Engine *engine);

/* A watcher is freed when its owner has closed it, it does not run and stands in
 * no queue or list, whichever comes last. */
void watcher_free_if_done(FdWatcher *watcher);

#endif
