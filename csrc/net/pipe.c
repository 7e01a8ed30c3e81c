/* The pipe transports: how they come to be and how they end. Made by the Loop's
 * _make_read_pipe_transport() and _make_write_pipe_transport(); the watcher calls
 * the read and the write path; net/pipe_type.c is what Python sees of them. */
#include "net/pipe.h"

#include "base/compat.h"
#include "base/errors.h"
#include "base/platform.h"
#include "net/transport_log.h"

/* ---- watching ---- */

/* One event, in the context that it belongs to (borrowed). */
static int
run_event(PipeObject *self, PyObject *context, int (*on_event)(PipeObject *),
          const char *name)
{
    Py_INCREF(context);
    int err = -1;
    if (PyContext_Enter(context) == 0) {
        err = transport_contain((Transport *)self, on_event(self), name);
        if (PyContext_Exit(context) < 0) {
            err = -1;
        }
    }
    Py_DECREF(context);
    return err;
}

static int
pipe_on_ready(FdWatcher *watcher, int events)
{
    PipeObject *self = (PipeObject *)watcher->owner;
    int err = 0;
    if (events & WATCH_READ && self->reading) {
        err = run_event(self, self->context,
                        self->writes ? pipe_on_other_end_closed
                                     : pipe_on_readable,
                        "_read_ready");
    }
    if (err == 0 && events & WATCH_WRITE && self->write_armed) {
        err = run_event(self, self->write_context, pipe_on_writable,
                        "_write_ready");
    }
    return err;
}

static PyObject *
owner_file(FdWatcher *watcher)
{
    return ((PipeObject *)watcher->owner)->pipe;
}

static const WatcherOps pipe_watcher_ops = {
    .on_ready = pipe_on_ready,
    .displace = transport_displace,
    .file = owner_file,
};

/* ---- the start ---- */

/* pipe.fileno(). -1 where there is none, which asyncio's own will find, too; or
 * with an exception set that is no Exception. */
static int
ask_fileno(PyObject *pipe)
{
    if (PyLong_Check(pipe)) {
        return -1;
    }
    int fd = PyObject_AsFileDescriptor(pipe);
    if (fd < 0 && PyErr_ExceptionMatches(PyExc_Exception)) {
        PyErr_Clear();
    }
    return fd;
}

int
pipe_serves(PipeParts *parts)
{
    struct stat found;
    parts->fd = ask_fileno(parts->pipe);
    if (parts->fd < 0) {
        return PyErr_Occurred() ? -1 : 0;
    }
    if (fstat(parts->fd, &found) < 0
        || !(S_ISFIFO(found.st_mode) || S_ISSOCK(found.st_mode))) {
        return 0;
    }
    parts->hears_close = platform_write_end_hears_close(&found);
    return 1;
}

int
pipe_start(PipeObject *self, PyObject *waiter)
{
    if (!self->ending && !self->paused
        && (!self->writes || self->hears_close)) {
        self->reading = true;
        pipe_update_watch(self);
    }
    return transport_wake(self->engine->state, waiter);
}

/* True for what base_subprocess gives the pipes that it has made. */
static bool
is_childs_protocol(ModuleState *state, PyObject *protocol)
{
    return Py_IS_TYPE(protocol, (PyTypeObject *)state->child_read_protocol)
           || Py_IS_TYPE(protocol,
                         (PyTypeObject *)state->child_write_protocol);
}

static int
pipe_init(PipeObject *self, const PipeParts *parts)
{
    ModuleState *state = self->engine->state;
    self->protocol = Py_NewRef(parts->protocol);
    self->of_child = is_childs_protocol(state, parts->protocol);
    self->extra = transport_extra(parts->extra);
    if (self->extra == NULL
        || PyDict_SetItem(self->extra, STATE_NAME(state, pipe), self->pipe)
               < 0) {
        return -1;
    }
    if (platform_set_nonblocking(self->fd) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    return transport_begin((Transport *)self, &pipe_watcher_ops,
                           parts->waiter);
}

/* Undoes a transport that could not be made. What may be scheduled already
 * finds it closed. */
static void
pipe_abandon(PipeObject *self)
{
    PyObject *raised = PyErr_GetRaisedException();
    self->closing = true;
    self->ending = true;
    watcher_drop(&self->watcher);
    Py_CLEAR(self->pipe);
    PyErr_SetRaisedException(raised);
    Py_DECREF(self);
}

PyObject *
pipe_new(Engine *engine, const PipeParts *parts)
{
    ModuleState *state = engine->state;
    PyTypeObject *type =
        parts->writes ? state->write_pipe_type : state->read_pipe_type;
    PipeObject *self = (PipeObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->engine = engine;
    self->loop = Py_NewRef(engine->loop);
    self->pipe = Py_NewRef(parts->pipe);
    self->fd = parts->fd;
    self->writes = parts->writes;
    self->hears_close = parts->hears_close;
    flush_init(&self->flush, (PyObject *)self, pipe_flush);
    self->flow = FLOW_DEFAULTS;
    if (pipe_init(self, parts) < 0) {
        pipe_abandon(self);
        return NULL;
    }
    return (PyObject *)self;
}

/* ---- errors ---- */

int
pipe_fatal(PipeObject *self, const char *message, bool usual)
{
    if (errors_is_exit()) {
        return -1;
    }
    PyObject *exc = PyErr_GetRaisedException();
    int err;
    if (usual) {
        err = transport_log_failure(self->engine, (PyObject *)self, message,
                                    exc);
    }
    else {
        PyErr_SetRaisedException(Py_NewRef(exc));
        err = transport_report((Transport *)self, message);
    }
    if (err == 0) {
        err = pipe_force_close(self, exc);
    }
    Py_DECREF(exc);
    return err;
}

/* ---- the end ---- */

static int
schedule_lost(PipeObject *self, PyObject *exc)
{
    self->ending = true;
    return transport_lose_soon((Transport *)self, exc);
}

int
pipe_close(PipeObject *self)
{
    if (self->closing) {
        return 0;
    }
    if (pipe_send_gathered(self) < 0) {
        return -1;
    }
    if (self->closing) {
        return 0; /* writing has failed, or its callback closed */
    }
    self->closing = true;
    if (!write_queue_is_empty(&self->queue)) {
        return 0; /* and hears on when the other end is closed */
    }
    self->reading = false;
    self->write_armed = false;
    int err = schedule_lost(self, Py_None);
    pipe_update_watch(self);
    return err;
}

int
pipe_force_close(PipeObject *self, PyObject *exc)
{
    if (self->ending) {
        return 0;
    }
    write_queue_clear(&self->queue);
    self->closing = true;
    self->reading = false;
    self->write_armed = false;
    int err = schedule_lost(self, exc);
    pipe_update_watch(self);
    return err;
}

int
pipe_close_file(PipeObject *self)
{
    PyObject *pipe = self->pipe;
    if (pipe == NULL) {
        return 0;
    }
    self->pipe = NULL;
    self->engine->poll_now = true; /* the other end may be ours, too */
    watcher_drop(&self->watcher);
    PyObject *result = PyObject_CallMethodNoArgs(
        pipe, STATE_NAME(self->engine->state, close));
    Py_XDECREF(result);
    Py_DECREF(pipe);
    return result == NULL ? -1 : 0;
}

int
pipe_finish(PipeObject *self, PyObject *exc)
{
    self->ending = true;
    self->closing = true;
    self->reading = false;
    self->write_armed = false;
    write_queue_clear(&self->queue);
    int err = transport_tell_lost((Transport *)self, exc);
    PyObject *raised = err < 0 ? PyErr_GetRaisedException() : NULL;
    err = transport_keep_first(raised, pipe_close_file(self));
    Py_CLEAR(self->reader.ref);
    Py_CLEAR(self->protocol);
    return err;
}
