/* The backend on Linux: epoll(7), by our own calls.
 *
 * Level-triggered, as asyncio's selector, but where the owner reads all there is
 * (FdWatcher.edge): the next wait then need not ask the fd. What is registered carries
 * the number of the fd and an id that its watcher knows, so that an event of a file that
 * was closed, and whose number is another's now, finds nobody.
 *
 * The kernel is asked as seldom as can be. What is new is told right before a
 * poll, so that whoever changes his mind in between costs nothing. The end of all
 * interest in an exclusive fd, and in one that is kept, is not told at all: an
 * event that nobody wants takes the fd out, and so does its close(), unless the
 * open file is also somebody else's. */
#include "base/errors.h"
#include "base/forks.h"
#include "base/platform.h"
#include "engine/backend.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

/* Found by one system call; a full array means another one. */
#define EVENTS_MAXIMUM 128
/* What the eventfd carries: no fd has this number. */
#define WAKEUP UINT64_MAX
/* Polls in a row with events that cannot be taken out, before all is made anew:
 * a single one may be of a fd that another thread has just closed. */
#define STRAY_POLLS 2
/* Edge-triggered reading, with all behind which a read that did not fill its buffer
 * may have left something: the end, and bytes out of band, at which recv() stops. */
#define EDGE (EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLET)

struct Backend {
    int epoll;         /* -1 when it has to be made anew */
    int wakeup;        /* eventfd; -1 until something waits */
    bool wakeup_added; /* to `epoll` */
    bool no_pwait2;    /* the kernel does not know it */
    unsigned forks;    /* forks_count() when `epoll` was made */
    unsigned strays;   /* polls in a row with events of nobody */
    int armed;         /* watchers that the set knows of */
    uint32_t last_id;  /* FdWatcher.id given last */
    int error;         /* errno of the last wait, 0 without one */
    int count;         /* of `events`, from the last wait */
    struct epoll_event events[EVENTS_MAXIMUM];
};

const char backend_name[] = "epoll";

static void
set_armed(FdWatcher *watcher, int armed)
{
    watcher->engine->backend->armed += (armed != 0) - (watcher->armed != 0);
    watcher->armed = armed;
}

/* ---- the set ---- */

static int
set_open(Engine *engine)
{
    Backend *backend = engine->backend;
    backend->epoll = watchers_pass_by(engine, epoll_create1(EPOLL_CLOEXEC));
    if (backend->epoll < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    backend->forks = forks_count();
    return 0;
}

/* A new set before the next poll, if there will be one, with all that is watched. */
static void
set_drop(Engine *engine)
{
    Backend *backend = engine->backend;
    if (backend->epoll >= 0) {
        close(backend->epoll);
        backend->epoll = -1;
    }
    backend->wakeup_added = false;
    backend->strays = 0;
    for (int fd = 0; fd < engine->watchers_size; fd++) {
        FdWatcher *watcher = engine->watchers[fd];
        if (watcher != NULL) {
            set_armed(watcher, 0);
            if (watcher->interest != 0 && engine->open) {
                watcher_mark_changed(watcher);
            }
        }
    }
}

/* After a fork the set and the eventfd are the parent's, too: this process lets
 * go of them, and the parent does not notice. */
static void
set_leave_parent(Engine *engine)
{
    Backend *backend = engine->backend;
    if (backend->forks == forks_count()) {
        return;
    }
    backend->forks = forks_count();
    engine->polling = false; /* the thread that polled is the parent's */
    set_drop(engine);
    if (backend->wakeup >= 0) {
        close(backend->wakeup);
        backend->wakeup = -1;
    }
}

/* The set as one of this process. -1 with OSError. */
static int
set_ensure(Engine *engine)
{
    set_leave_parent(engine);
    return engine->backend->epoll >= 0 ? 0 : set_open(engine);
}

int
backend_open(Engine *engine)
{
    Backend *backend = PyMem_RawCalloc(1, sizeof(*backend));
    if (backend == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    backend->wakeup = -1;
    engine->backend = backend;
    if (set_open(engine) < 0) {
        engine->backend = NULL;
        PyMem_RawFree(backend);
        return -1;
    }
    return 0;
}

int
backend_close(Engine *engine)
{
    Backend *backend = engine->backend;
    engine->backend = NULL;
    if (backend->epoll >= 0) {
        close(backend->epoll);
    }
    if (backend->wakeup >= 0) {
        close(backend->wakeup);
    }
    PyMem_RawFree(backend);
    return 0;
}

/* ---- watching ---- */

static uint32_t
wanted_events(const FdWatcher *watcher)
{
    if (watcher->edge && watcher->interest == WATCH_READ) {
        return EDGE;
    }
    return (watcher->interest & WATCH_READ ? EPOLLIN : 0)
           | (watcher->interest & WATCH_WRITE ? EPOLLOUT : 0);
}

/* epoll_ctl() for the watcher. -1 and errno on failure. */
static int
control(FdWatcher *watcher, int operation)
{
    struct epoll_event event = {
        .events = wanted_events(watcher),
        .data.u64 = (uint64_t)watcher->id << 32 | (uint32_t)watcher->fd,
    };
    return epoll_ctl(watcher->engine->backend->epoll, operation, watcher->fd,
                     &event);
}

/* Under an id that nothing else in the set has. */
static int
add_interest(FdWatcher *watcher)
{
    watcher->id = ++watcher->engine->backend->last_id;
    int err = control(watcher, EPOLL_CTL_ADD);
    return err < 0 && errno == EEXIST ? control(watcher, EPOLL_CTL_MOD) : err;
}

/* Adds or modifies, whichever it is: the program may have closed the fd, and
 * another file may have its number, already watched or not. */
static int
register_interest(FdWatcher *watcher)
{
    int err = -1;
    errno = ENOENT;
    if (watcher->armed != 0) {
        err = control(watcher, EPOLL_CTL_MOD);
    }
    if (err < 0 && errno == ENOENT) {
        err = add_interest(watcher);
    }
    set_armed(watcher, err < 0 ? 0 : watcher->interest);
    return err;
}

/* Takes the fd out. False where it cannot be: it was closed. */
static bool
unregister(FdWatcher *watcher)
{
    set_armed(watcher, 0);
    return control(watcher, EPOLL_CTL_DEL) == 0;
}

/* Tells the kernel what is wanted. -1 and errno on failure. */
static int
watch_now(FdWatcher *watcher)
{
    if (watcher->interest == watcher->armed) {
        return 0;
    }
    if (watcher->interest != 0) {
        return register_interest(watcher);
    }
    unregister(watcher);
    return 0;
}

/* watch_now() before a poll, of which nobody can be told. Who reads or writes
 * finds out what is wrong with the fd; a fd of the program's is its affair: as in
 * asyncio, nothing ever happens on it. -1 with OSError where it is the set that is
 * wrong, which somebody has closed. */
static int
watch_late(FdWatcher *watcher)
{
    if (watch_now(watcher) == 0) {
        return 0;
    }
    int error = errno;
    if (error == EINVAL
        || (error == EBADF && fcntl(watcher->fd, F_GETFD) >= 0)) {
        errno = error;
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    if (watcher->exclusive) {
        watcher_fire(watcher, WATCH_READ | WATCH_WRITE);
    }
    return 0;
}

int
backend_add(FdWatcher *watcher)
{
    (void)watcher;
    return 0; /* the kernel hears of its interest, once it has any */
}

int
backend_update(FdWatcher *watcher)
{
    Engine *engine = watcher->engine;
    int interest = watcher->interest;
    bool may_stay = interest == 0 && watcher->kept;
    if (watcher->exclusive || may_stay) {
        if (interest == 0 && watcher->armed == WATCH_READ) {
            return 0; /* data that comes all the same takes it out */
        }
    }
    else if (interest == 0) {
        set_leave_parent(engine);
        return watch_now(watcher);
    }
    else if (watcher->armed == 0) {
        if (set_ensure(engine) < 0) {
            return -1;
        }
        if (watch_now(watcher) < 0) {
            PyErr_SetFromErrno(PyExc_OSError);
            return -1;
        }
        return 0;
    }
    if (interest != watcher->armed) {
        watcher_mark_changed(watcher);
    }
    return 0;
}

void
backend_remove(FdWatcher *watcher)
{
    Engine *engine = watcher->engine;
    set_leave_parent(engine);
    bool sole = watcher->exclusive && !watcher->duplicate
                && watcher->forks == forks_made();
    if (watcher->armed != 0 && !sole && engine->open
        && engine->backend->epoll >= 0) {
        unregister(watcher);
    }
    set_armed(watcher, 0);
}

/* ---- waiting ---- */

/* -1 and errno where no descriptor is left. */
static int
wakeup_ensure(Engine *engine)
{
    Backend *backend = engine->backend;
    if (backend->wakeup < 0) {
        backend->wakeup =
            watchers_pass_by(engine, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    }
    if (backend->wakeup < 0) {
        return -1;
    }
    if (!backend->wakeup_added) {
        /* Edge-triggered: each write tells, and nobody has to read. */
        struct epoll_event event = {.events = EPOLLIN | EPOLLET,
                                    .data.u64 = WAKEUP};
        if (epoll_ctl(backend->epoll, EPOLL_CTL_ADD, backend->wakeup, &event)
            < 0) {
            return -1;
        }
        backend->wakeup_added = true;
    }
    return 0;
}

int
backend_prepare(Engine *engine, bool waits)
{
    if (set_ensure(engine) < 0) {
        return -1;
    }
    FdWatcher *watcher;
    while ((watcher = watchers_next_changed(engine)) != NULL) {
        if (!watcher->closed && watch_late(watcher) < 0) {
            watcher_mark_changed(watcher);
            return -1;
        }
        watcher_free_if_done(watcher);
    }
    if (waits && wakeup_ensure(engine) < 0) {
        engine->deaf = true;
    }
    return 0;
}

/* epoll_pwait2(), whose timeout is in ns: Linux 5.11. */
static int
wait_ns(Backend *backend, int64_t wait)
{
#ifdef SYS_epoll_pwait2
    /* The kernel's own timespec: that of a libc of 32 bits may be smaller. */
    struct {
        int64_t seconds, ns;
    } timeout = {wait / 1000000000, wait % 1000000000};
    return (int)syscall(SYS_epoll_pwait2, backend->epoll, backend->events,
                        EVENTS_MAXIMUM, &timeout, NULL, 0);
#else
    (void)backend;
    (void)wait;
    errno = ENOSYS;
    return -1;
#endif
}

/* epoll_wait(), whose timeout is in ms: rounded up. */
static int
wait_ms(Backend *backend, int64_t wait)
{
    int timeout = wait < 0 ? -1 : (int)((wait + 999999) / 1000000);
    return epoll_wait(backend->epoll, backend->events, EVENTS_MAXIMUM,
                      timeout);
}

PLATFORM_HOT void
backend_wait(Engine *engine, int64_t wait)
{
    Backend *backend = engine->backend;
    backend->error = 0;
    backend->count = 0;
    if (wait == 0 && backend->armed == 0) {
        return;
    }
    int count = -1;
    bool exactly = wait > 0 && !backend->no_pwait2;
    if (exactly) {
        count = wait_ns(backend, wait);
        /* Some filters of system calls say EPERM of what they do not know. */
        backend->no_pwait2 = count < 0 && (errno == ENOSYS || errno == EPERM);
    }
    if (!exactly || backend->no_pwait2) {
        count = wait_ms(backend, wait);
    }
    if (count < 0) {
        backend->error = errno;
        return;
    }
    backend->count = count;
}

/* An event of nobody: of a file that lives on in a duplicate or in a child, while
 * its number was closed. False where it cannot be taken out, or another file would
 * be, which has the number now. */
static bool
stray_take_out(Engine *engine, FdWatcher *present, int fd)
{
    if ((present != NULL && present->armed != 0)
        || fd == engine->backend->wakeup) {
        return false;
    }
    struct epoll_event unused = {0};
    return epoll_ctl(engine->backend->epoll, EPOLL_CTL_DEL, fd, &unused) == 0;
}

static int
watch_bits(uint32_t events)
{
    if (events & (EPOLLERR | EPOLLHUP)) {
        return WATCH_READ | WATCH_WRITE; /* who reads or writes finds out */
    }
    return (events & EPOLLIN ? WATCH_READ : 0)
           | (events & EPOLLOUT ? WATCH_WRITE : 0);
}

/* One event. False where it is somebody's who cannot be found, and that cannot
 * be helped. */
PLATFORM_HOT static bool
deliver(Engine *engine, const struct epoll_event *event)
{
    int fd = (int)(uint32_t)event->data.u64;
    FdWatcher *watcher = watcher_find(engine, fd);
    if (watcher == NULL || watcher->id != event->data.u64 >> 32
        || watcher->armed == 0) {
        return stray_take_out(engine, watcher, fd);
    }
    int events = watch_bits(event->events);
    watcher->ended = event->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);
    if (event->events & EPOLLPRI) {
        watcher_unread(watcher);
    }
    if (events & watcher->interest) {
        watcher_fire(watcher, events);
        return true;
    }
    /* Paused meanwhile. */
    return watcher->interest != 0 ? register_interest(watcher) == 0
                                  : unregister(watcher);
}

/* True where somebody hears of something that he did not know. */
static bool
deliver_all(Engine *engine, bool *stray)
{
    Backend *backend = engine->backend;
    size_t before = engine->fired.count;
    for (int i = 0; i < backend->count; i++) {
        if (backend->events[i].data.u64 == WAKEUP) {
            engine->woken = true;
        }
        else if (!deliver(engine, &backend->events[i])) {
            *stray = true;
        }
    }
    return engine->fired.count != before;
}

PLATFORM_HOT int
backend_collect(Engine *engine)
{
    Backend *backend = engine->backend;
    if (backend->error != 0 && backend->error != EINTR) {
        errno = backend->error;
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    bool stray = false;
    while (deliver_all(engine, &stray) && backend->count == EVENTS_MAXIMUM) {
        backend_wait(engine, 0);
    }
    backend->strays = stray ? backend->strays + 1 : 0;
    if (backend->strays >= STRAY_POLLS) {
        set_drop(engine);
    }
    return 0;
}

void
backend_interrupt(Engine *engine)
{
    if (engine->backend->wakeup >= 0) {
        uint64_t one = 1;
        (void)!write(engine->backend->wakeup, &one, sizeof(one));
    }
}
