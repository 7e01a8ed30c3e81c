/* FdWatcher: one watched fd with one owner. Used by net/ and engine/signals.c;
 * run by the turn after a poll; the backend (engine/backend.h) asks the kernel. */
#include "engine/watcher.h"

#include "base/errors.h"
#include "base/forks.h"
#include "base/platform.h"
#include "engine/backend.h"
#include "engine/report.h"

static FdWatcher *
watcher_of(ReadyEntry *entry)
{
    return CONTAINER_OF(entry, FdWatcher, entry);
}

/* ---- what the backend calls ---- */

void
watcher_free_if_done(FdWatcher *watcher)
{
    if (watcher->closed && !watcher->queued && !watcher->changed
        && watcher->running == 0) {
        PyMem_RawFree(watcher);
    }
}

void
watcher_fire(FdWatcher *watcher, int events)
{
    watcher->events |= events;
    if (!watcher->queued) {
        watcher->queued = true;
        ready_push(&watcher->engine->fired, &watcher->entry);
    }
}

void
watcher_mark_changed(FdWatcher *watcher)
{
    Engine *engine = watcher->engine;
    if (!watcher->changed) {
        watcher->changed = true;
        watcher->next_changed = engine->changed_watchers;
        engine->changed_watchers = watcher;
    }
    if (engine->polling) {
        /* Another thread meddles, as asyncio lets it: the loop sees to it. */
        engine_wake(engine);
    }
}

FdWatcher *
watchers_next_changed(Engine *engine)
{
    FdWatcher *watcher = engine->changed_watchers;
    if (watcher != NULL) {
        engine->changed_watchers = watcher->next_changed;
        watcher->next_changed = NULL;
        watcher->changed = false;
    }
    return watcher;
}

/* The kernel is asked anew: before the next poll, or once there is any interest. */
static void
make_stale(FdWatcher *watcher)
{
    if (watcher->detached || watcher->armed == 0) {
        return;
    }
    watcher->armed = ARMED_STALE;
    if (watcher->interest != 0) {
        watcher_mark_changed(watcher);
    }
}

/* ---- what the turn calls ---- */

/* The backend may have left something as it was, or the kernel may have let go
 * of the fd: an interest that is not served is looked at again. */
static void
watcher_check(FdWatcher *watcher)
{
    if (!watcher->closed && watcher->interest & ~watcher->armed) {
        watcher_mark_changed(watcher);
    }
}

/* The events that came and are still wanted. What is to be read and not wanted now, the
 * kernel tells again when it is. */
static int
take_events(FdWatcher *watcher)
{
    int events = watcher->events;
    watcher->events = 0;
    if (watcher->edge && events & ~watcher->interest & WATCH_READ) {
        make_stale(watcher);
    }
    return events & watcher->interest;
}

static int
watcher_run(ReadyEntry *entry, Engine *engine)
{
    FdWatcher *watcher = watcher_of(entry);
    watcher->queued = false;
    if (watcher->closed) {
        watcher_free_if_done(watcher);
        return 0;
    }
    int events = take_events(watcher);
    if (events == 0) {
        watcher_check(watcher);
        return 0;
    }
    PyObject *owner = Py_NewRef(watcher->owner);
    watcher->running++;
    int err =
        report_contain(engine, watcher->ops->on_ready(watcher, events), owner);
    watcher->running--;
    watcher_check(watcher);
    watcher_free_if_done(watcher);
    Py_DECREF(owner);
    return err;
}

static void
watcher_discard(ReadyEntry *entry)
{
    FdWatcher *watcher = watcher_of(entry);
    watcher->queued = false;
    if (!watcher->closed) {
        watcher_unread(watcher);
    }
    watcher_free_if_done(watcher);
}

static int
watcher_entry_traverse(ReadyEntry *entry, visitproc visit, void *arg)
{
    (void)entry; /* watchers_traverse() visits the owner */
    (void)visit;
    (void)arg;
    return 0;
}

static PyObject *
watcher_subject(ReadyEntry *entry)
{
    FdWatcher *watcher = watcher_of(entry);
    if (watcher->closed) {
        return Py_NewRef(Py_None);
    }
    PyObject *subject = watcher->ops->subject != NULL
                            ? watcher->ops->subject(watcher)
                        : watcher_is_held(watcher) ? watcher->owner
                                                   : Py_None;
    return Py_NewRef(subject);
}

static const ReadyOps watcher_ops = {
    .run = watcher_run,
    .discard = watcher_discard,
    .traverse = watcher_entry_traverse,
    .subject = watcher_subject,
};

/* ---- the table by fd ---- */

FdWatcher *
watcher_find(Engine *engine, int fd)
{
    return fd >= 0 && fd < engine->watchers_size ? engine->watchers[fd] : NULL;
}

int
watchers_pass_by(Engine *engine, int fd)
{
    while (watcher_find(engine, fd) != NULL) {
        int next = fcntl(fd, F_DUPFD_CLOEXEC, fd + 1);
        int error = errno;
        close(fd);
        errno = error;
        fd = next;
    }
    return fd;
}

static int
table_reserve(Engine *engine, int fd)
{
    if (fd < engine->watchers_size) {
        return 0;
    }
    if (fcntl(fd, F_GETFD) < 0) { /* no room for any number */
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    int size = engine->watchers_size ? engine->watchers_size : 64;
    while (size <= fd) {
        size *= 2;
    }
    FdWatcher **table =
        PyMem_Realloc(engine->watchers, (size_t)size * sizeof(*table));
    if (table == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (int i = engine->watchers_size; i < size; i++) {
        table[i] = NULL;
    }
    engine->watchers = table;
    engine->watchers_size = size;
    return 0;
}

/* ---- what owners call ---- */

/* Makes room for a new watcher of the fd. */
static int
table_prepare(Engine *engine, int fd)
{
    if (fd < 0) {
        errno = EBADF;
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    FdWatcher *before;
    while ((before = watcher_find(engine, fd)) != NULL) {
        if (before->ops->displace(before) < 0) {
            return -1;
        }
    }
    /* The finalizers of who was displaced may have closed the loop, or asking the
     * program for the fd. */
    return engine_check_closed(engine) < 0 ? -1 : table_reserve(engine, fd);
}

FdWatcher *
watcher_open(Engine *engine, int fd, bool exclusive, const WatcherOps *ops,
             PyObject *owner)
{
    if (table_prepare(engine, fd) < 0) {
        return NULL;
    }
    FdWatcher *watcher = PyMem_RawCalloc(1, sizeof(*watcher));
    if (watcher == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    watcher->entry.ops = &watcher_ops;
    watcher->engine = engine;
    watcher->ops = ops;
    watcher->owner = owner;
    watcher->forks = forks_made();
    watcher->fd = fd;
    watcher->exclusive = exclusive;
    if (backend_add(watcher) < 0) {
        PyMem_RawFree(watcher);
        return NULL;
    }
    engine->watchers[fd] = watcher;
    return watcher;
}

/* Holds the owner or lets go of it, which may be its last act: `held` says what
 * was so before. */
static void
hold_owner(FdWatcher *watcher, bool held)
{
    if (!held && watcher_is_held(watcher)) {
        Py_INCREF(watcher->owner);
    }
    else if (held && !watcher_is_held(watcher)) {
        Py_DECREF(watcher->owner);
    }
}

/* Ends all interest. What was held of the owner is the caller's to drop. */
static PyObject *
take_owner(FdWatcher *watcher)
{
    PyObject *owned = watcher_is_held(watcher) ? watcher->owner : NULL;
    watcher->interest = 0;
    watcher->kept = false;
    return owned;
}

int
watcher_set(FdWatcher *watcher, int interest)
{
    if (interest == watcher->interest || watcher->detached) {
        return 0;
    }
    bool held = watcher_is_held(watcher);
    int before = watcher->interest;
    Py_INCREF(watcher->owner); /* before the collector can count on it */
    watcher->interest = interest;
    int err = backend_update(watcher);
    if (err < 0) {
        watcher->interest = before;
    }
    else if (interest & ~before) {
        watcher->engine->poll_now = true; /* it may be there already */
    }
    PyObject *owner = watcher->owner;
    hold_owner(watcher, held);
    Py_DECREF(owner);
    return err;
}

void
watcher_keep(FdWatcher *watcher, bool keep)
{
    bool held = watcher_is_held(watcher);
    watcher->kept = keep && !watcher->detached;
    hold_owner(watcher, held);
}

void
watcher_rearm(FdWatcher *watcher)
{
    if (!watcher->detached) {
        if (watcher->armed != 0) {
            watcher->armed = ARMED_STALE;
        }
        watcher_mark_changed(watcher);
    }
}

void
watcher_unread(FdWatcher *watcher)
{
    if (watcher->edge) {
        watcher->edge = false;
        make_stale(watcher);
    }
}

void
watcher_close(FdWatcher *watcher)
{
    PyObject *owned = take_owner(watcher);
    watcher->closed = true;
    if (!watcher->detached) {
        if (watcher_find(watcher->engine, watcher->fd) == watcher) {
            watcher->engine->watchers[watcher->fd] = NULL;
        }
        backend_remove(watcher);
    }
    watcher_free_if_done(watcher);
    Py_XDECREF(owned);
}

void
watchers_release_all(Engine *engine)
{
    FdWatcher *changed;
    while ((changed = watchers_next_changed(engine)) != NULL) {
        if (changed->closed) {
            backend_remove(changed);
        }
        watcher_free_if_done(changed);
    }
    for (int fd = 0; fd < engine->watchers_size; fd++) {
        FdWatcher *watcher = engine->watchers[fd];
        if (watcher == NULL) {
            continue;
        }
        engine->watchers[fd] = NULL;
        PyObject *owned = take_owner(watcher);
        backend_remove(watcher);
        watcher->detached = true;
        Py_XDECREF(owned); /* may close the watcher */
    }
    PyMem_Free(engine->watchers);
    engine->watchers = NULL;
    engine->watchers_size = 0;
}

int
watchers_traverse(Engine *engine, visitproc visit, void *arg)
{
    for (int fd = 0; fd < engine->watchers_size; fd++) {
        FdWatcher *watcher = engine->watchers[fd];
        if (watcher != NULL && watcher_is_held(watcher)) {
            Py_VISIT(watcher->owner);
        }
    }
    return 0;
}
