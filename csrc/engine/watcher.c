/* FdWatcher: one uv_poll_t with one owner. Used by net/ and engine/signals.c;
 * run by the turn after a poll.
 *
 * A watcher is freed when its owner has closed it, libuv has released it and
 * it stands in no queue or list, whichever comes last. */
#include "engine/watcher.h"

#include "base/errors.h"
#include "base/forks.h"
#include "base/platform.h"
#include "engine/report.h"

/* FdWatcher.armed when libuv has to be asked again: differs from every
 * interest. */
#define ARMED_STALE (-1)

static FdWatcher *
watcher_of(ReadyEntry *entry)
{
    return CONTAINER_OF(entry, FdWatcher, entry);
}

/* No GIL is needed: libuv calls this in a poll, through watcher_on_release. */
static void
watcher_free_if_done(FdWatcher *watcher)
{
    if (watcher->closed && watcher->released && !watcher->queued
        && !watcher->changed) {
        PyMem_RawFree(watcher);
    }
}

/* ---- what libuv calls, without the GIL ---- */

static void
watcher_on_poll(uv_poll_t *poll, int status, int events)
{
    FdWatcher *watcher = poll->data;
    if (status < 0) {
        /* libuv has seen EPOLLERR and stopped. Whoever waits finds out by
         * reading or writing, and is armed again if it then still waits. */
        watcher->armed = 0;
        events = WATCH_READ | WATCH_WRITE;
    }
    watcher->events |= events;
    if (!watcher->queued) {
        watcher->queued = true;
        ready_push(&watcher->engine->fired, &watcher->entry);
    }
}

static void
watcher_on_release(uv_handle_t *poll)
{
    FdWatcher *watcher = poll->data;
    watcher->released = true;
    watcher_free_if_done(watcher);
}

/* ---- what the turn calls ---- */

static void
watcher_mark_changed(FdWatcher *watcher)
{
    Engine *engine = watcher->engine;
    if (!watcher->changed) {
        watcher->changed = true;
        watcher->next_changed = engine->changed_watchers;
        engine->changed_watchers = watcher;
    }
    if (engine->polling) {
        /* Another thread meddles, as asyncio lets it: libuv cannot be touched
         * now, so the loop wakes up and does it. */
        uv_async_send(&engine->wakeup);
    }
}

static int
watcher_run(ReadyEntry *entry, Engine *engine)
{
    FdWatcher *watcher = watcher_of(entry);
    watcher->queued = false;
    int events = watcher->events & watcher->interest;
    watcher->events = 0;
    if (watcher->closed) {
        watcher_free_if_done(watcher);
        return 0;
    }
    int err = 0;
    if (events != 0) {
        PyObject *owner = Py_NewRef(watcher->owner);
        err = report_contain(engine, watcher->ops->on_ready(watcher, events),
                             owner);
        /* Still there: libuv releases it in a later poll at the earliest. */
        if (!watcher->closed && watcher->interest != watcher->armed) {
            watcher_mark_changed(watcher);
        }
        Py_DECREF(owner);
    }
    else if (watcher->interest != watcher->armed) {
        watcher_mark_changed(watcher);
    }
    return err;
}

static void
watcher_discard(ReadyEntry *entry)
{
    FdWatcher *watcher = watcher_of(entry);
    watcher->queued = false;
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
                            : watcher->owner;
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

static int
table_reserve(Engine *engine, int fd)
{
    if (fd < engine->watchers_size) {
        return 0;
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

static void
engine_leave_parent(Engine *engine)
{
    if (engine->forks != forks_count()) {
        /* The epoll set is the parent's, too: get one of our own before
         * anything is taken out of it. */
        uv_loop_fork(&engine->uv);
        engine->forks = forks_count();
    }
}

static void
watcher_release(FdWatcher *watcher)
{
    Engine *engine = watcher->engine;
    if (!watcher->closing) {
        engine_leave_parent(engine);
        watcher->closing = true;
        uv_close((uv_handle_t *)&watcher->poll, watcher_on_release);
    }
}

/* What was closed during a poll lets go of its fd. All else waits for the end
 * of the turn: libuv aborts the process if the program closes an fd between
 * uv_poll_start() and the poll. */
static void
watchers_release_closed(Engine *engine)
{
    FdWatcher **link = &engine->changed_watchers;
    while (engine->changed_closed && *link != NULL) {
        FdWatcher *watcher = *link;
        if (!watcher->closed) {
            link = &watcher->next_changed;
            continue;
        }
        *link = watcher->next_changed;
        watcher->next_changed = NULL;
        watcher->changed = false;
        watcher_release(watcher);
        watcher_free_if_done(watcher);
    }
    engine->changed_closed = false;
}

/* Makes room for a new watcher of the fd. */
static int
table_prepare(Engine *engine, int fd)
{
    if (fcntl(fd, F_GETFD) < 0) {
        return errors_set_uv(UV_EBADF);
    }
    if (!engine->polling) {
        watchers_release_closed(engine);
    }
    FdWatcher *before = watcher_find(engine, fd);
    if (before != NULL && before->ops->displace(before) < 0) {
        return -1;
    }
    return table_reserve(engine, fd);
}

/* uv_poll_init() makes the fd non-blocking, which others who share the file
 * (a terminal, say) must not notice. */
static int
poll_init_keeping_mode(Engine *engine, uv_poll_t *poll, int fd)
{
    int flags = fcntl(fd, F_GETFL);
    int err = uv_poll_init(&engine->uv, poll, fd);
    if (flags >= 0 && !(flags & O_NONBLOCK)) {
        fcntl(fd, F_SETFL, flags);
    }
    return err;
}

FdWatcher *
watcher_open(Engine *engine, int fd, bool exclusive, const WatcherOps *ops,
             PyObject *owner)
{
    if (engine_check_closed(engine) < 0 || table_prepare(engine, fd) < 0) {
        return NULL;
    }
    FdWatcher *watcher = PyMem_RawCalloc(1, sizeof(*watcher));
    if (watcher == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    engine_leave_parent(engine);
    int err = poll_init_keeping_mode(engine, &watcher->poll, fd);
    if (err < 0) {
        PyMem_RawFree(watcher);
        errors_set_uv(err);
        return NULL;
    }
    watcher->poll.data = watcher;
    watcher->entry.ops = &watcher_ops;
    watcher->engine = engine;
    watcher->ops = ops;
    watcher->owner = owner;
    watcher->fd = fd;
    watcher->exclusive = exclusive;
    engine->watchers[fd] = watcher;
    return watcher;
}

void
watcher_set(FdWatcher *watcher, int interest)
{
    if (interest == watcher->interest || watcher->closing) {
        return;
    }
    int before = watcher->interest;
    watcher->interest = interest;
    if (interest == 0 && !watcher->exclusive && !watcher->engine->polling) {
        engine_leave_parent(watcher->engine);
        uv_poll_stop(&watcher->poll);
        watcher->armed = 0;
    }
    else {
        watcher_mark_changed(watcher);
    }
    if (before == 0) {
        Py_INCREF(watcher->owner);
    }
    else if (interest == 0) {
        Py_DECREF(watcher->owner);
    }
}

void
watcher_rearm(FdWatcher *watcher)
{
    if (!watcher->closing) {
        watcher->armed = ARMED_STALE;
        watcher_mark_changed(watcher);
    }
}

void
watcher_close(FdWatcher *watcher)
{
    PyObject *owned = watcher->interest != 0 ? watcher->owner : NULL;
    Engine *engine = watcher->engine;
    watcher->interest = 0;
    watcher->closed = true;
    if (watcher->closing) {
        /* The engine has closed before its owner. */
        watcher_free_if_done(watcher);
    }
    else {
        if (watcher_find(engine, watcher->fd) == watcher) {
            engine->watchers[watcher->fd] = NULL;
        }
        if (engine->polling) {
            engine->changed_closed = true;
            watcher_mark_changed(watcher);
        }
        else {
            watcher_release(watcher);
        }
    }
    Py_XDECREF(owned);
}

static void
watcher_apply(FdWatcher *watcher)
{
    if (watcher->closing) {
        return;
    }
    if (watcher->closed) {
        watcher_release(watcher);
        return;
    }
    if (watcher->interest == watcher->armed) {
        return;
    }
    watcher->armed = 0;
    if (watcher->interest == 0) {
        uv_poll_stop(&watcher->poll);
        return;
    }
    /* Somebody may have closed the fd since it was watched, or another file
     * may have its number. asyncio: nothing ever happens on it. */
    if (!platform_can_poll(watcher->fd)) {
        uv_poll_stop(&watcher->poll);
        return;
    }
    if (uv_poll_start(&watcher->poll, watcher->interest, watcher_on_poll)
        == 0) {
        watcher->armed = watcher->interest;
    }
}

void
watchers_apply_changes(Engine *engine)
{
    engine_leave_parent(engine);
    while (engine->changed_watchers != NULL) {
        FdWatcher *watcher = engine->changed_watchers;
        engine->changed_watchers = watcher->next_changed;
        watcher->next_changed = NULL;
        watcher->changed = false;
        watcher_apply(watcher);
        watcher_free_if_done(watcher);
    }
}

void
watchers_release_all(Engine *engine)
{
    watchers_apply_changes(engine);
    for (int fd = 0; fd < engine->watchers_size; fd++) {
        FdWatcher *watcher = engine->watchers[fd];
        if (watcher == NULL) {
            continue;
        }
        engine->watchers[fd] = NULL;
        PyObject *owned = watcher->interest != 0 ? watcher->owner : NULL;
        watcher->interest = 0;
        watcher_release(watcher);
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
        if (watcher != NULL && watcher->interest != 0) {
            Py_VISIT(watcher->owner);
        }
    }
    return 0;
}
