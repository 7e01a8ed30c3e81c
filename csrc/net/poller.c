/* A Poller holds the two handles of one fd, reader and writer, and owns its
 * watcher. Made and dropped by the Loop's _add_reader() family
 * (api/loop_net.c); its handles run straight from the watcher. */
#include "net/poller.h"

#include "base/compat.h"
#include "engine/watcher.h"

typedef struct PollerObject {
    PyObject_HEAD
    FdWatcher *watcher;   /* owned; NULL once closed */
    HandleObject *reader; /* owned, may be NULL */
    HandleObject *writer; /* owned, may be NULL */
    PyObject *fileobj;    /* owned: what stood for the fd at first */
} PollerObject;

static HandleObject **
poller_slot(PollerObject *poller, int event)
{
    return event == WATCH_READ ? &poller->reader : &poller->writer;
}

/* Watches for what there are handles for; closes without any. The caller
 * holds the poller. -1 with OSError where the fd cannot be watched. */
static int
poller_update(PollerObject *poller)
{
    int interest =
        (poller->reader ? WATCH_READ : 0) | (poller->writer ? WATCH_WRITE : 0);
    if (interest == 0) {
        watcher_drop(&poller->watcher);
        return 0;
    }
    return poller->watcher != NULL ? watcher_set(poller->watcher, interest)
                                   : 0;
}

/* Takes the handle out and cancels it, as asyncio does. */
static int
poller_drop(PollerObject *poller, int event)
{
    HandleObject **slot = poller_slot(poller, event);
    HandleObject *handle = *slot;
    *slot = NULL;
    Py_INCREF(poller);
    int err = poller_update(poller);
    Py_DECREF(poller);
    return handle_cancel_steal(handle) < 0 ? -1 : err;
}

static int
poller_run(PollerObject *poller, int event, HandleObject *handle)
{
    /* What an earlier callback of this event has replaced runs no more. */
    if (handle == NULL || *poller_slot(poller, event) != handle) {
        return 0;
    }
    if (handle->cancelled) {
        return poller_drop(poller, event);
    }
    return handle_run_now(handle);
}

static int
poller_on_ready(FdWatcher *watcher, int events)
{
    PollerObject *poller = (PollerObject *)watcher->owner;
    HandleObject *reader = events & WATCH_READ ? poller->reader : NULL;
    HandleObject *writer = events & WATCH_WRITE ? poller->writer : NULL;
    Py_XINCREF(reader);
    Py_XINCREF(writer);
    int err = poller_run(poller, WATCH_READ, reader);
    if (err == 0) {
        err = poller_run(poller, WATCH_WRITE, writer);
    }
    Py_XDECREF(reader);
    Py_XDECREF(writer);
    return err;
}

static PyObject *
poller_subject(FdWatcher *watcher)
{
    PollerObject *poller = (PollerObject *)watcher->owner;
    bool reads = watcher->events & WATCH_READ && poller->reader != NULL;
    HandleObject *handle = reads ? poller->reader : poller->writer;
    return handle != NULL ? (PyObject *)handle : Py_None;
}

/* A transport takes a fd of that number: the program has closed ours. */
static int
poller_displace(FdWatcher *watcher)
{
    PollerObject *poller = (PollerObject *)Py_NewRef(watcher->owner);
    int err = 0;
    if (poller->reader != NULL) {
        err = poller_drop(poller, WATCH_READ);
    }
    if (err == 0 && poller->writer != NULL) {
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

static PollerObject *
poller_new(Engine *engine, int fd, PyObject *fileobj)
{
    PyTypeObject *type = engine->state->poller_type;
    PollerObject *poller = (PollerObject *)type->tp_alloc(type, 0);
    if (poller == NULL) {
        return NULL;
    }
    poller->fileobj = Py_NewRef(fileobj);
    poller->watcher =
        watcher_open(engine, fd, false, &poller_ops, (PyObject *)poller);
    if (poller->watcher == NULL) {
        Py_CLEAR(poller);
    }
    return poller;
}

/* The fd's poller, made if need be. New reference, NULL on failure. */
static PollerObject *
poller_get(Engine *engine, int fd, PyObject *fileobj)
{
    FdWatcher *watcher = watcher_find(engine, fd);
    if (watcher == NULL || watcher->ops != &poller_ops) {
        return poller_new(engine, fd, fileobj);
    }
    watcher_rearm(watcher);
    return (PollerObject *)Py_NewRef(watcher->owner);
}

int
poller_add(Engine *engine, int fd, PyObject *fileobj, int event,
           HandleObject *handle)
{
    PollerObject *poller = poller_get(engine, fd, fileobj);
    if (poller == NULL) {
        return -1;
    }
    HandleObject **slot = poller_slot(poller, event);
    HandleObject *before = *slot;
    *slot = (HandleObject *)Py_NewRef(handle);
    int err = poller_update(poller);
    if (err < 0) {
        *slot = before;
        Py_DECREF(handle);
    }
    Py_DECREF(poller);
    return err < 0 || before == NULL ? err : handle_cancel_steal(before);
}

int
poller_remove(Engine *engine, int fd, int event)
{
    FdWatcher *watcher = watcher_find(engine, fd);
    if (watcher == NULL || watcher->ops != &poller_ops) {
        return 0;
    }
    PollerObject *poller = (PollerObject *)watcher->owner;
    if (*poller_slot(poller, event) == NULL) {
        return 0;
    }
    return poller_drop(poller, event) < 0 ? -1 : 1;
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

static int
poller_traverse(PollerObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->reader);
    Py_VISIT(self->writer);
    Py_VISIT(self->fileobj);
    return 0;
}

static int
poller_clear(PollerObject *self)
{
    watcher_drop(&self->watcher);
    Py_CLEAR(self->reader);
    Py_CLEAR(self->writer);
    Py_CLEAR(self->fileobj);
    return 0;
}

PyDoc_STRVAR(poller_doc, "The reader and the writer callback of one fd.");

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
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC
             | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = poller_slots,
};

int
poller_setup(PyObject *module, ModuleState *state)
{
    state->poller_type = module_add_type(module, &poller_spec, NULL);
    return state->poller_type == NULL ? -1 : 0;
}
