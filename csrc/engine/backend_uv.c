/* The backend over libuv, for every platform but Linux; there with
 * PYAIO_BACKEND=uv, for tests.
 *
 * libuv's callbacks do not run Python: they put a watcher on Engine.fired, and
 * that is all that happens below uv_run(). Half of what is here is care for what
 * libuv does. It aborts the process when the kernel refuses a fd, so that changes
 * are told right before a poll, after a look at the fd; it refuses to watch a
 * number twice; it makes what it watches non-blocking; and it keeps an uv_poll_t
 * until a later uv_run(). */
#include "base/errors.h"
#include "base/forks.h"
#include "base/platform.h"
#include "engine/backend.h"

#include <uv.h>

struct Backend {
    uv_loop_t uv;
    uv_async_t wakeup;
    uv_timer_t alarm;    /* ends a wait */
    int64_t alarm_at;    /* in ms of libuv's clock, -1 when not set */
    bool changed_closed; /* one of Engine.changed_watchers is closed */
    unsigned forks;      /* forks_count() when `uv` was made */
    int fork_error; /* of uv_loop_fork(): nothing can be waited for; or 0 */
};

/* FdWatcher.backend. */
typedef struct UvPoll {
    uv_poll_t poll;
    FdWatcher *watcher;
} UvPoll;

const char backend_name[] = "uv";

static uv_loop_t *
uv_loop_of(Engine *engine)
{
    return &engine->backend->uv;
}

static uv_poll_t *
poll_of(FdWatcher *watcher)
{
    return &((UvPoll *)watcher->backend)->poll;
}

/* ---- what libuv calls, without the GIL ---- */

static void
on_wakeup(uv_async_t *wakeup)
{
    ((Engine *)wakeup->data)->woken = true;
}

/* libuv also runs timers before it waits; uv_stop() keeps it from waiting
 * after that, and has no effect beyond this uv_run(). */
static void
on_alarm(uv_timer_t *alarm)
{
    Backend *backend = CONTAINER_OF(alarm, Backend, alarm);
    backend->alarm_at = -1;
    uv_stop(&backend->uv);
}

static void
on_poll(uv_poll_t *poll, int status, int events)
{
    FdWatcher *watcher = ((UvPoll *)poll->data)->watcher;
    if (status < 0) {
        /* libuv has seen EPOLLERR and stopped. Whoever waits finds out by
         * reading or writing, and is armed again if it then still waits. */
        watcher->armed = 0;
        watcher_fire(watcher, WATCH_READ | WATCH_WRITE);
        return;
    }
    watcher_fire(watcher, (events & UV_READABLE ? WATCH_READ : 0)
                              | (events & UV_WRITABLE ? WATCH_WRITE : 0));
}

static void
on_release(uv_handle_t *poll)
{
    PyMem_RawFree(poll->data);
}

/* ---- the loop ---- */

#define UV_CLOSES_BACKEND ((1 << 16) | (51 << 8)) /* libuv 1.51 */

/* uv_loop_init(), which before libuv 1.51 leaves its epoll descriptor open when
 * a later step fails. Where its first allocation fails, the field is a 0 that
 * is no descriptor of the loop. */
static int
init_uv_loop(uv_loop_t *uv)
{
    int err = uv_loop_init(uv);
    if (err < 0 && uv_version() < UV_CLOSES_BACKEND
        && uv_backend_fd(uv) >= (err == UV_ENOMEM)) {
        close(uv_backend_fd(uv));
    }
    return err;
}

static int
init_uv(Backend *backend, Engine *engine)
{
    int err = init_uv_loop(&backend->uv);
    if (err < 0) {
        return errors_set_uv(err);
    }
    err = uv_async_init(&backend->uv, &backend->wakeup, on_wakeup);
    if (err < 0) {
        uv_loop_close(&backend->uv);
        return errors_set_uv(err);
    }
    backend->wakeup.data = engine;
    uv_timer_init(&backend->uv, &backend->alarm);
    return 0;
}

int
backend_open(Engine *engine)
{
    Backend *backend = PyMem_RawCalloc(1, sizeof(*backend));
    if (backend == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    backend->alarm_at = -1;
    backend->forks = forks_count();
    if (init_uv(backend, engine) < 0) {
        PyMem_RawFree(backend);
        return -1;
    }
    engine->backend = backend;
    return 0;
}

int
backend_close(Engine *engine)
{
    Backend *backend = engine->backend;
    uv_close((uv_handle_t *)&backend->wakeup, NULL);
    uv_close((uv_handle_t *)&backend->alarm, NULL);
    /* Runs the callbacks of all that has been closed, and nothing else: no
     * handle is active any more. */
    uv_run(&backend->uv, UV_RUN_NOWAIT);
    int err = uv_loop_close(&backend->uv);
    if (err < 0) {
        return errors_set_uv(err); /* libuv still has the memory */
    }
    engine->backend = NULL;
    PyMem_RawFree(backend);
    return 0;
}

/* After a fork the epoll set is the parent's, too: get one of our own before
 * anything is taken out of it. */
static void
leave_parent(Engine *engine)
{
    Backend *backend = engine->backend;
    if (backend->forks != forks_count()) {
        engine->polling = false; /* the thread that polled is the parent's */
        backend->fork_error = uv_loop_fork(&backend->uv);
        backend->forks = forks_count();
    }
}

/* ---- watching ---- */

/* Whether the kernel takes the fd: it is open, and no file on a disk. */
static bool
can_poll(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && !S_ISREG(status.st_mode)
           && !S_ISDIR(status.st_mode);
}

static void
release(FdWatcher *watcher)
{
    UvPoll *poll = watcher->backend;
    if (poll != NULL) {
        leave_parent(watcher->engine);
        watcher->backend = NULL;
        watcher->armed = 0;
        uv_close((uv_handle_t *)&poll->poll, on_release);
    }
}

/* What was closed during a poll lets go of its fd. All else waits for the end
 * of the turn: libuv aborts the process if the program closes an fd between
 * uv_poll_start() and the poll. */
static void
release_closed(Engine *engine)
{
    FdWatcher **link = &engine->changed_watchers;
    while (engine->backend->changed_closed && *link != NULL) {
        FdWatcher *watcher = *link;
        if (!watcher->closed) {
            link = &watcher->next_changed;
            continue;
        }
        *link = watcher->next_changed;
        watcher->next_changed = NULL;
        watcher->changed = false;
        release(watcher);
        watcher_free_if_done(watcher);
    }
    engine->backend->changed_closed = false;
}

/* uv_poll_init() makes the fd non-blocking, which others who share the file
 * (a terminal, say) must not notice. */
static int
poll_init_keeping_mode(Engine *engine, uv_poll_t *poll, int fd)
{
    int flags = fcntl(fd, F_GETFL);
    int err = uv_poll_init(uv_loop_of(engine), poll, fd);
    if (flags >= 0 && !(flags & O_NONBLOCK)) {
        fcntl(fd, F_SETFL, flags);
    }
    return err;
}

int
backend_add(FdWatcher *watcher)
{
    Engine *engine = watcher->engine;
    if (!engine->polling) {
        release_closed(engine);
    }
    UvPoll *poll = PyMem_RawCalloc(1, sizeof(*poll));
    if (poll == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    leave_parent(engine);
    int err = poll_init_keeping_mode(engine, &poll->poll, watcher->fd);
    if (err < 0) {
        PyMem_RawFree(poll);
        return errors_set_uv(err);
    }
    poll->poll.data = poll;
    poll->watcher = watcher;
    watcher->backend = poll;
    return 0;
}

int
backend_update(FdWatcher *watcher)
{
    Engine *engine = watcher->engine;
    if (watcher->interest == 0 && !watcher->exclusive && !engine->polling) {
        leave_parent(engine);
        uv_poll_stop(poll_of(watcher));
        watcher->armed = 0;
    }
    else {
        watcher_mark_changed(watcher);
    }
    return 0;
}

void
backend_remove(FdWatcher *watcher)
{
    if (watcher->engine->polling) {
        watcher->engine->backend->changed_closed = true;
        watcher_mark_changed(watcher);
    }
    else {
        release(watcher);
    }
}

static void
apply(FdWatcher *watcher)
{
    if (watcher->closed) {
        release(watcher);
        return;
    }
    if (watcher->interest == watcher->armed) {
        return;
    }
    watcher->armed = 0;
    /* Somebody may have closed the fd since it was watched, or another file
     * may have its number. asyncio: nothing ever happens on it. */
    if (watcher->interest == 0 || !can_poll(watcher->fd)) {
        uv_poll_stop(poll_of(watcher));
        return;
    }
    int events = (watcher->interest & WATCH_READ ? UV_READABLE : 0)
                 | (watcher->interest & WATCH_WRITE ? UV_WRITABLE : 0);
    if (uv_poll_start(poll_of(watcher), events, on_poll) == 0) {
        watcher->armed = watcher->interest;
    }
}

/* ---- waiting ---- */

int
backend_prepare(Engine *engine, bool waits)
{
    (void)waits;
    leave_parent(engine);
    if (engine->backend->fork_error < 0) {
        return errors_set_uv(engine->backend->fork_error);
    }
    FdWatcher *watcher;
    while ((watcher = watchers_next_changed(engine)) != NULL) {
        apply(watcher);
        watcher_free_if_done(watcher);
    }
    engine->backend->changed_closed = false;
    return 0;
}

/* Makes libuv wake up in `wait` ns or a little later, never earlier. */
static void
alarm_set(Backend *backend, int64_t wait)
{
    /* libuv counts in whole ms from a clock that it has cut down to ms. */
    uv_update_time(&backend->uv);
    int64_t at = ((int64_t)uv_hrtime() + wait + 999999) / 1000000;
    if (at != backend->alarm_at) {
        int64_t timeout = at - (int64_t)uv_now(&backend->uv);
        uv_timer_start(&backend->alarm, on_alarm,
                       timeout > 0 ? (uint64_t)timeout : 0, 0);
        backend->alarm_at = at;
    }
}

static void
alarm_clear(Backend *backend)
{
    if (backend->alarm_at >= 0) {
        uv_timer_stop(&backend->alarm);
        backend->alarm_at = -1;
    }
}

PLATFORM_HOT void
backend_wait(Engine *engine, int64_t wait)
{
    Backend *backend = engine->backend;
    if (wait < 0) {
        alarm_clear(backend);
    }
    else if (wait > 0) {
        alarm_set(backend, wait);
    }
    uv_run(&backend->uv, wait == 0 ? UV_RUN_NOWAIT : UV_RUN_ONCE);
}

PLATFORM_HOT int
backend_collect(Engine *engine)
{
    (void)engine; /* its callbacks have done so */
    return 0;
}

void
backend_interrupt(Engine *engine)
{
    uv_async_send(&engine->backend->wakeup);
}
