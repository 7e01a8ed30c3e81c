/* A Poller holds who waits for one fd, to read and to write, and owns its
 * watcher. Callbacks come and go by the Loop's _add_reader() family
 * (api/loop_net.c), and their handles run straight from the watcher; with the
 * last of them the poller goes, since who has removed a callback may close the fd.
 *
 * A wait of sock_*() (api/sock_call.c) is one of many for its socket. So it leaves
 * the poller behind, and mostly also what the kernel was asked for, to be found by
 * the next one: it is kept, until anybody else comes for the fd. */
#include "net/poller.h"

#include "base/compat.h"
#include "engine/watcher.h"

/* What the last wait knew of the socket holds for the next one in these turns: that
 * in which it ended, and that of the task which got the data. */
#define FRESH_TURNS 2

typedef struct PollerObject {
    PyObject_HEAD
    FdWatcher *watcher; /* owned; NULL once closed */
    PollSlot reader;
    PollSlot writer;
    PyObject *fileobj; /* owned: what stood for the fd of a callback at first,
                          or NULL */
    PyObject *sock;    /* owned weak reference: the socket for which it is
                          kept; NULL where it is not */
    uint64_t ended;    /* Engine.turn_id when its last wait ended, or 0 */
    bool drained;      /* and left nothing to be read */
} PollerObject;

static PollSlot *
poller_slot(PollerObject *poller, int event)
{
    return event == WATCH_READ ? &poller->reader : &poller->writer;
}

/* WATCH_* for which anybody waits. */
static int
poller_wanted(const PollerObject *poller)
{
    return (poll_slot_is_empty(&poller->reader) ? 0 : WATCH_READ)
           | (poll_slot_is_empty(&poller->writer) ? 0 : WATCH_WRITE);
}

/* Watches for what is waited for; closes without anything, unless it is kept. The
 * caller holds the poller. -1 with OSError where the fd cannot be watched. */
static int
poller_update(PollerObject *poller)
{
    int wanted = poller_wanted(poller);
    int err = 0;
    if (wanted == 0 && poller->sock == NULL) {
        watcher_drop(&poller->watcher);
    }
    else if (poller->watcher != NULL) {
        err = watcher_set(poller->watcher, wanted);
    }
    if (wanted == 0) {
        Py_CLEAR(poller->fileobj); /* last: it may be the socket's last */
    }
    return err;
}

/* The fd is no longer the socket's alone. The caller holds the poller. */
static void
poller_unkeep(PollerObject *poller)
{
    Py_CLEAR(poller->sock);
    if (poller->watcher != NULL) {
        watcher_keep(poller->watcher, false);
    }
}

/* Takes out who waits. */
static int
poller_drop(PollerObject *poller, int event)
{
    PollSlot dropped = poll_slot_take(poller_slot(poller, event));
    Py_INCREF(poller);
    int err = poller_update(poller);
    Py_DECREF(poller);
    return poll_slot_end(dropped) < 0 ? -1 : err;
}

/* ---- what the watcher calls ---- */

static int
poller_run(PollerObject *poller, int event, PollSlot waiting)
{
    /* What an earlier callback of this event has replaced runs no more. */
    if (poll_slot_is_empty(&waiting)
        || !poll_slot_is(poller_slot(poller, event), waiting)) {
        return 0;
    }
    if (waiting.wait != NULL) {
        return waiting.wait->on_ready(waiting.wait);
    }
    if (waiting.handle->cancelled) {
        return poller_drop(poller, event);
    }
    return handle_run_now(waiting.handle);
}

static int
poller_on_ready(FdWatcher *watcher, int events)
{
    PollerObject *poller = (PollerObject *)watcher->owner;
    PollSlot reader = poll_slot_hold(&poller->reader);
    PollSlot writer = poll_slot_hold(&poller->writer);
    int err = 0;
    if (events & WATCH_READ) {
        err = poller_run(poller, WATCH_READ, reader);
    }
    if (err == 0 && events & WATCH_WRITE) {
        err = poller_run(poller, WATCH_WRITE, writer);
    }
    poll_slot_release(reader);
    poll_slot_release(writer);
    return err;
}

static PyObject *
poller_subject(FdWatcher *watcher)
{
    PollerObject *poller = (PollerObject *)watcher->owner;
    bool reads = watcher->events & WATCH_READ && poller->reader.handle != NULL;
    HandleObject *handle =
        reads ? poller->reader.handle : poller->writer.handle;
    return handle != NULL ? (PyObject *)handle : Py_None;
}

/* The fd is somebody else's from now on. */
static int
poller_displace(FdWatcher *watcher)
{
    PollerObject *poller = (PollerObject *)Py_NewRef(watcher->owner);
    poller_unkeep(poller);
    int err = poller_drop(poller, WATCH_READ);
    if (err == 0) {
        err = poller_drop(poller, WATCH_WRITE);
    }
    Py_DECREF(poller);
    return err;
}

static const WatcherOps poller_ops = {
    .on_ready = poller_on_ready,
    .displace = poller_displace,
    .subject = poller_subject,
};

/* ---- the poller of a fd ---- */

/* The fd's poller, or NULL. Borrowed. */
static PollerObject *
poller_at(Engine *engine, int fd)
{
    FdWatcher *watcher = watcher_find(engine, fd);
    bool found = watcher != NULL && watcher->ops == &poller_ops;
    return found ? (PollerObject *)watcher->owner : NULL;
}

static PollerObject *
poller_new(Engine *engine, int fd)
{
    PyTypeObject *type = engine->state->poller_type;
    PollerObject *poller = (PollerObject *)type->tp_alloc(type, 0);
    if (poller == NULL) {
        return NULL;
    }
    poller->watcher =
        watcher_open(engine, fd, false, &poller_ops, (PyObject *)poller);
    if (poller->watcher == NULL) {
        Py_CLEAR(poller);
    }
    return poller;
}

/* The fd's poller for somebody new, who may mean another file than whoever came
 * before, and is told at once what is wrong with it: one that nobody waits with is
 * displaced. New reference, NULL on failure. */
static PollerObject *
poller_get(Engine *engine, int fd)
{
    PollerObject *poller = poller_at(engine, fd);
    if (poller == NULL || poller_wanted(poller) == 0) {
        return poller_new(engine, fd);
    }
    watcher_rearm(poller->watcher);
    return (PollerObject *)Py_NewRef((PyObject *)poller);
}

/* Puts `waiting` (borrowed) in the place of who has waited for the event, who
 * stays on failure. The caller holds the poller. */
static int
poller_put(PollerObject *poller, int event, PollSlot waiting)
{
    PollSlot *slot = poller_slot(poller, event);
    PollSlot before = poll_slot_take(slot);
    *slot = poll_slot_hold(&waiting);
    poll_slot_note(slot);
    if (poller_update(poller) < 0) {
        poll_slot_release(poll_slot_take(slot));
        *slot = before;
        poll_slot_note(slot);
        return -1;
    }
    return poll_slot_end(before);
}

/* ---- callbacks ---- */

int
poller_add(Engine *engine, int fd, PyObject *fileobj, int event,
           HandleObject *handle)
{
    PollerObject *poller = poller_get(engine, fd);
    if (poller == NULL) {
        return -1;
    }
    poller_unkeep(poller);
    if (poller->fileobj == NULL) {
        poller->fileobj = Py_NewRef(fileobj);
    }
    int err = poller_put(poller, event, (PollSlot){.handle = handle});
    Py_DECREF(poller);
    return err;
}

int
poller_remove(Engine *engine, int fd, int event)
{
    PollerObject *poller = poller_at(engine, fd);
    if (poller == NULL) {
        return 0;
    }
    bool found = !poll_slot_is_empty(poller_slot(poller, event));
    Py_INCREF(poller);
    poller_unkeep(poller);
    int err = poller_drop(poller, event);
    Py_DECREF(poller);
    return err < 0 ? -1 : found;
}

int
poller_find(Engine *engine, PyObject *fileobj)
{
    for (int fd = 0; fd < engine->watchers_size; fd++) {
        FdWatcher *watcher = engine->watchers[fd];
        if (watcher != NULL && watcher->ops == &poller_ops
            && ((PollerObject *)watcher->owner)->fileobj == fileobj) {
            return fd;
        }
    }
    return -1;
}

int
poller_events(Engine *engine, int fd)
{
    FdWatcher *watcher = watcher_find(engine, fd);
    return watcher != NULL ? watcher->interest : 0;
}

/* ---- waits of a socket ---- */

/* The poller kept for the socket under this fd, or NULL. Borrowed. */
static PollerObject *
poller_kept(Engine *engine, int fd, PyObject *sock)
{
    PollerObject *poller = poller_at(engine, fd);
    bool kept = poller != NULL && poller->sock != NULL
                && compat_weakref_is_to(poller->sock, sock);
    return kept ? poller : NULL;
}

bool
poller_is_kept(Engine *engine, int fd, PyObject *sock)
{
    return poller_kept(engine, fd, sock) != NULL;
}

static bool
poller_is_fresh(const Engine *engine, const PollerObject *poller)
{
    return engine->turn_id - poller->ended < FRESH_TURNS;
}

bool
poller_is_drained(Engine *engine, int fd, PyObject *sock)
{
    PollerObject *poller = poller_kept(engine, fd, sock);
    return poller != NULL && poller->drained && poller_is_fresh(engine, poller)
           && poller->watcher->armed & WATCH_READ;
}

/* The first wait of a socket, from which on the poller is kept for it. */
static int
wait_first(Engine *engine, int fd, PyObject *sock, int event, PollSlot waiting)
{
    PyObject *reference = PyWeakref_NewRef(sock, NULL);
    PollerObject *poller = reference ? poller_get(engine, fd) : NULL;
    int err = poller != NULL ? poller_put(poller, event, waiting) : -1;
    if (err == 0 && poller->watcher != NULL) {
        Py_XSETREF(poller->sock, Py_NewRef(reference));
        poller->drained = false;
        watcher_keep(poller->watcher, true);
    }
    Py_XDECREF(poller);
    Py_XDECREF(reference);
    return err;
}

int
poller_wait(Engine *engine, int fd, PyObject *sock, int event, PollWait *wait)
{
    PollSlot waiting = {.wait = wait};
    PollerObject *poller = poller_kept(engine, fd, sock);
    if (poller == NULL) {
        return wait_first(engine, fd, sock, event, waiting);
    }
    if (!poller_is_fresh(engine, poller)) {
        watcher_rearm(poller->watcher); /* dup2() may have put a file there */
    }
    Py_INCREF(poller);
    int err = poller_put(poller, event, waiting);
    Py_DECREF(poller);
    return err;
}

void
poller_end_wait(Engine *engine, int fd, int event, PollWait *wait,
                bool drained)
{
    PollerObject *poller = poller_at(engine, fd);
    if (poller != NULL && poller_slot(poller, event)->wait == wait) {
        poller->ended = engine->turn_id;
        poller->drained = drained;
        (void)poller_drop(poller, event); /* only a handle can fail */
    }
}

/* ---- the type ---- */

static int
poller_traverse(PollerObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    int err = poll_slot_traverse(&self->reader, visit, arg);
    if (err == 0) {
        err = poll_slot_traverse(&self->writer, visit, arg);
    }
    if (err != 0) {
        return err;
    }
    Py_VISIT(self->fileobj);
    Py_VISIT(self->sock);
    return 0;
}

static int
poller_clear(PollerObject *self)
{
    watcher_drop(&self->watcher);
    poll_slot_release(poll_slot_take(&self->reader));
    poll_slot_release(poll_slot_take(&self->writer));
    Py_CLEAR(self->fileobj);
    Py_CLEAR(self->sock);
    return 0;
}

PyDoc_STRVAR(poller_doc, "Who waits to read from one fd, and who to write to it.");

static PyType_Slot poller_slots[] = {
    {Py_tp_doc, (void *)poller_doc},
    {Py_tp_dealloc, module_type_dealloc},
    {Py_tp_traverse, poller_traverse},
    {Py_tp_clear, poller_clear},
    {0, NULL},
};

static PyType_Spec poller_spec = {
    .name = "pyaio._core.Poller",
    .basicsize = sizeof(PollerObject),
    .flags = MODULE_TYPE_FLAGS | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = poller_slots,
};

int
poller_setup(PyObject *module, ModuleState *state)
{
    return module_add_type(module, &poller_spec, NULL, &state->poller_type);
}
