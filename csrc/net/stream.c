/* The stream transport: how it comes to be and how it ends, and the methods
 * that Python sees. Made by the Loop's _make_socket_transport() and by
 * listeners; its watcher calls the read and the write path. */
#include "net/stream.h"

#include "base/compat.h"
#include "base/errors.h"
#include "engine/handle.h"
#include "engine/report.h"

#include <unistd.h>

/* ---- watching ---- */

void
stream_update_watch(StreamObject *stream)
{
    if (stream->watcher != NULL) {
        watcher_set(stream->watcher,
                    (stream->reading ? WATCH_READ : 0)
                        | (stream->write_armed ? WATCH_WRITE : 0));
    }
}

static int
stream_on_ready(FdWatcher *watcher, int events)
{
    StreamObject *stream = (StreamObject *)watcher->owner;
    int err = 0;
    if (events & WATCH_READ) {
        err = stream_on_readable(stream);
    }
    if (err == 0 && events & WATCH_WRITE) {
        err = stream_on_writable(stream);
    }
    return err;
}

static const WatcherOps stream_watcher_ops = {.on_ready = stream_on_ready};

/* ---- the start ---- */

static StreamObject *
stream_of_start(ReadyEntry *start)
{
    return CONTAINER_OF(start, StreamObject, start);
}

static int
start_run(ReadyEntry *entry, Engine *engine)
{
    StreamObject *stream = stream_of_start(entry);
    PyObject *waiter = stream->waiter;
    stream->waiter = NULL;
    stream->started = true;
    if (!stream->closing && !stream->paused) {
        stream->reading = true;
        stream_update_watch(stream);
    }
    int err = 0;
    if (waiter != NULL) {
        PyObject *result = PyObject_CallFunctionObjArgs(
            engine->state->set_result_unless_cancelled, waiter, Py_None, NULL);
        if (result == NULL) {
            err = report_raised(engine,
                                "Exception in callback "
                                "_set_result_unless_cancelled()",
                                "transport", stream, NULL);
        }
        Py_XDECREF(result);
        Py_DECREF(waiter);
    }
    Py_DECREF(stream); /* taken by stream_schedule_start() */
    return err;
}

static void
start_discard(ReadyEntry *entry)
{
    StreamObject *stream = stream_of_start(entry);
    Py_DECREF(stream); /* taken by stream_schedule_start() */
}

static int
start_traverse(ReadyEntry *entry, visitproc visit, void *arg)
{
    Py_VISIT(stream_of_start(entry));
    return 0;
}

static PyObject *
start_subject(ReadyEntry *entry)
{
    return Py_NewRef((PyObject *)stream_of_start(entry));
}

static const ReadyOps stream_start_ops = {
    .run = start_run,
    .discard = start_discard,
    .traverse = start_traverse,
    .subject = start_subject,
};

/* connection_made() runs in the next turn; reading starts right behind it. */
static int
stream_schedule_start(StreamObject *stream)
{
    Engine *engine = stream->engine;
    PyObject *made = PyObject_GetAttr(
        stream->protocol, STATE_NAME(engine->state, connection_made));
    int err = made == NULL ? -1
                           : engine_call_soon(engine, made, (PyObject *)stream,
                                              stream->own_context);
    Py_XDECREF(made);
    if (err == 0) {
        Py_INCREF(stream); /* dropped by start_run() or _discard() */
        ready_push(&engine->ready, &stream->start);
    }
    return err;
}

/* asyncio.Server counts its transports; since 3.13 it knows them. */
static int
server_call(PyObject *server, PyObject *method, StreamObject *stream)
{
    PyObject *transport =
        PYAIO_SERVER_KNOWS_TRANSPORTS ? (PyObject *)stream : NULL;
    PyObject *result =
        PyObject_CallMethodObjArgs(server, method, transport, NULL);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

static int
stream_detach_server(StreamObject *stream)
{
    PyObject *server = stream->server;
    if (server == NULL) {
        return 0;
    }
    stream->server = NULL;
    int err = server_call(server, STATE_NAME(stream->engine->state, _detach),
                          stream);
    Py_DECREF(server);
    return err;
}

/* What accept() said, or the socket says now: after a reset it would not. */
static int
stream_take_peer(StreamObject *stream, const SocketAddress *peer)
{
    SocketAddress asked = {.length = sizeof(asked.address)};
    if (peer == NULL) {
        if (getpeername(stream->fd, &asked.address.any, &asked.length) < 0
            || asked.length > sizeof(asked.address)) {
            return 0;
        }
        peer = &asked;
    }
    if (peer->length == 0) {
        return 0;
    }
    /* Only as much as the address needs: most are 16 bytes. */
    size_t size = offsetof(SocketAddress, address) + peer->length;
    if (size
        < offsetof(SocketAddress, address) + sizeof(struct sockaddr_in6)) {
        size = offsetof(SocketAddress, address) + sizeof(struct sockaddr_in6);
    }
    stream->peer = PyMem_Malloc(size);
    if (stream->peer == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    memcpy(stream->peer, peer, size);
    return 0;
}

PyObject *
stream_copy_context(StreamObject *stream)
{
    return stream->own_context != NULL ? Py_NewRef(stream->own_context)
                                       : PyContext_CopyCurrent();
}

static int
stream_init(StreamObject *stream, const StreamParts *parts)
{
    Engine *engine = stream->engine;
    if (stream_set_protocol(stream, parts->protocol) < 0
        || stream_take_peer(stream, parts->peer) < 0) {
        return -1;
    }
    if (parts->extra != NULL && PyDict_Check(parts->extra)) {
        stream->extra = PyDict_Copy(parts->extra);
        if (stream->extra == NULL) {
            return -1;
        }
    }
    stream->own_context = Py_XNewRef(not_none(parts->context));
    stream->context = stream_copy_context(stream);
    if (stream->context == NULL) {
        return -1;
    }
    stream->watcher = watcher_open(engine, parts->fd, true,
                                   &stream_watcher_ops, (PyObject *)stream);
    if (stream->watcher == NULL) {
        return -1;
    }
    if (not_none(parts->server) != NULL) {
        if (server_call(parts->server, STATE_NAME(engine->state, _attach),
                        stream)
            < 0) {
            return -1;
        }
        stream->server = Py_NewRef(parts->server);
    }
    stream->waiter = Py_XNewRef(not_none(parts->waiter));
    return stream_schedule_start(stream);
}

/* Undoes a stream that could not be made: what failed is the exception that
 * is raised, and a socket that was handed in stays its owner's. */
static void
stream_abandon(StreamObject *stream)
{
    PyObject *raised = PyErr_GetRaisedException();
    FdWatcher *watcher = stream->watcher;
    stream->watcher = NULL;
    stream->finished = true;
    if (watcher != NULL) {
        watcher_close(watcher);
    }
    if (stream->sock == NULL) {
        close(stream->fd);
    }
    if (stream_detach_server(stream) < 0) {
        report_unraisable("a stream that could not be made");
    }
    PyErr_SetRaisedException(raised);
    Py_DECREF(stream);
}

PyObject *
stream_new(Engine *engine, const StreamParts *parts)
{
    PyTypeObject *type = engine->state->stream_type;
    StreamObject *stream = (StreamObject *)type->tp_alloc(type, 0);
    if (stream == NULL) {
        if (parts->sock == NULL) {
            close(parts->fd);
        }
        return NULL;
    }
    stream->engine = engine;
    stream->loop = Py_NewRef(engine->loop);
    stream->sock = Py_XNewRef(parts->sock);
    stream->fd = parts->fd;
    stream->family = parts->family;
    stream->type = parts->type;
    stream->proto = parts->proto;
    stream->start.ops = &stream_start_ops;
    stream->flush.ops = &stream_flush_ops;
    stream->high_water = 64 * 1024; /* asyncio's defaults */
    stream->low_water = 16 * 1024;
    if (stream_init(stream, parts) < 0) {
        stream_abandon(stream);
        return NULL;
    }
    return (PyObject *)stream;
}

int
stream_set_protocol(StreamObject *stream, PyObject *protocol)
{
    int buffered = PyObject_IsInstance(
        protocol, stream->engine->state->buffered_protocol);
    if (buffered < 0) {
        return -1;
    }
    stream->buffered = buffered;
    Py_XSETREF(stream->protocol, Py_NewRef(protocol));
    return 0;
}

/* ---- the end ---- */

/* Closes the fd, once, through the socket object where there is one. -1 with
 * an exception set. */
static int
stream_close_fd(StreamObject *stream)
{
    if (stream->finished) {
        return 0;
    }
    FdWatcher *watcher = stream->watcher;
    stream->watcher = NULL;
    stream->finished = true;
    stream->engine->poll_now = true; /* the peer may be a stream of ours */
    if (watcher != NULL) {
        watcher_close(watcher);
    }
    if (stream->sock == NULL) {
        close(stream->fd);
        return 0;
    }
    PyObject *result = PyObject_CallMethodNoArgs(
        stream->sock, STATE_NAME(stream->engine->state, close));
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

int
stream_schedule_lost(StreamObject *stream, PyObject *exc)
{
    stream->lost_writes++;
    PyObject *method = PyObject_GetAttr(
        (PyObject *)stream,
        STATE_NAME(stream->engine->state, _call_connection_lost));
    if (method == NULL) {
        return -1;
    }
    int err =
        engine_call_soon(stream->engine, method, exc, stream->own_context);
    Py_DECREF(method);
    return err;
}

int
stream_close(StreamObject *stream)
{
    if (stream->closing) {
        return 0;
    }
    if (stream_send_gathered(stream) < 0) {
        return -1;
    }
    if (stream->closing) {
        return 0; /* sending has failed, or its callback closed */
    }
    stream->closing = true;
    stream->reading = false;
    int err = 0;
    if (write_queue_is_empty(&stream->queue)) {
        stream->write_armed = false;
        err = stream_schedule_lost(stream, Py_None);
    }
    stream_update_watch(stream);
    return err;
}

int
stream_force_close(StreamObject *stream, PyObject *exc)
{
    if (stream->lost_writes) {
        return 0;
    }
    write_queue_clear(&stream->queue);
    stream->closing = true;
    stream->reading = false;
    stream->write_armed = false;
    int err = stream_schedule_lost(stream, exc);
    stream_update_watch(stream);
    return err;
}

static int
log_fatal(StreamObject *stream, const char *message, PyObject *exc)
{
    if (!stream->engine->debug) {
        return 0;
    }
    PyObject *debug =
        PyObject_GetAttr(stream->engine->state->logger,
                         STATE_NAME(stream->engine->state, debug));
    PyObject *args = Py_BuildValue("(sOs)", "%r: %s", stream, message);
    PyObject *keywords = Py_BuildValue("{s:O}", "exc_info", exc);
    PyObject *result = NULL;
    if (debug != NULL && args != NULL && keywords != NULL) {
        result = PyObject_Call(debug, args, keywords);
    }
    Py_XDECREF(keywords);
    Py_XDECREF(args);
    Py_XDECREF(debug);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

int
stream_fatal(StreamObject *stream, const char *message)
{
    if (errors_is_exit()) {
        return -1;
    }
    PyObject *exc = PyErr_GetRaisedException();
    int err;
    if (PyErr_GivenExceptionMatches(exc, PyExc_OSError)) {
        err = log_fatal(stream, message, exc);
    }
    else {
        PyErr_SetRaisedException(Py_NewRef(exc));
        err = report_raised(stream->engine, message, "transport", stream,
                            "protocol", stream->protocol, NULL);
    }
    if (err == 0) {
        err = stream_force_close(stream, exc);
    }
    Py_DECREF(exc);
    return err;
}

/* connection_lost(), whatever it raises; then everything is let go. */
static int
stream_finish(StreamObject *stream, PyObject *exc)
{
    PyObject *protocol = stream->protocol;
    PyObject *result = Py_NewRef(Py_None);
    if (protocol != NULL) {
        Py_SETREF(result,
                  PyObject_CallMethodOneArg(
                      protocol,
                      STATE_NAME(stream->engine->state, connection_lost),
                      exc));
    }
    PyObject *raised = PyErr_GetRaisedException();
    stream_remember(stream);
    int err = stream_close_fd(stream);
    Py_CLEAR(stream->protocol);
    if (stream_detach_server(stream) < 0) {
        err = -1;
    }
    if (raised != NULL) {
        if (err < 0) {
            report_unraisable("the end of a stream");
        }
        PyErr_SetRaisedException(raised);
        err = -1;
    }
    Py_XDECREF(result);
    return err;
}

static int
fail_empty_waiter(StreamObject *stream)
{
    if (stream->empty_waiter == NULL) {
        return 0;
    }
    ModuleState *state = stream->engine->state;
    PyObject *done = PyObject_CallMethodNoArgs(stream->empty_waiter,
                                               STATE_NAME(state, done));
    int is_done = done == NULL ? -1 : PyObject_IsTrue(done);
    Py_XDECREF(done);
    if (is_done != 0) {
        return is_done < 0 ? -1 : 0;
    }
    PyObject *exc = PyObject_CallFunction(PyExc_ConnectionError, "s",
                                          "Connection is closed by peer");
    PyObject *result =
        exc ? PyObject_CallMethodOneArg(stream->empty_waiter,
                                        STATE_NAME(state, set_exception), exc)
            : NULL;
    Py_XDECREF(exc);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* ---- methods ---- */

static PyObject *
none_or_null(int err)
{
    if (err < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
Stream__call_connection_lost(StreamObject *self, PyObject *exc)
{
    if (self->finished) {
        Py_RETURN_NONE;
    }
    if (stream_finish(self, exc) < 0) {
        return NULL;
    }
    return none_or_null(fail_empty_waiter(self));
}

static PyObject *
Stream_write(StreamObject *self, PyObject *data)
{
    return none_or_null(stream_write_object(self, data));
}

static PyObject *
Stream_writelines(StreamObject *self, PyObject *lines)
{
    return none_or_null(stream_write_lines(self, lines));
}

static PyObject *
Stream_write_eof(StreamObject *self, PyObject *Py_UNUSED(ignored))
{
    return none_or_null(stream_write_eof(self));
}

static PyObject *
Stream_can_write_eof(StreamObject *Py_UNUSED(self),
                     PyObject *Py_UNUSED(ignored))
{
    Py_RETURN_TRUE;
}

static PyObject *
Stream_close(StreamObject *self, PyObject *Py_UNUSED(ignored))
{
    return none_or_null(stream_close(self));
}

static PyObject *
Stream_abort(StreamObject *self, PyObject *Py_UNUSED(ignored))
{
    if (stream_send_gathered(self) < 0) {
        return NULL;
    }
    return none_or_null(stream_force_close(self, Py_None));
}

static PyObject *
Stream__force_close(StreamObject *self, PyObject *exc)
{
    return none_or_null(stream_force_close(self, exc));
}

static PyObject *
Stream_is_closing(StreamObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(self->closing);
}

static bool
stream_is_reading(StreamObject *stream)
{
    return !stream->closing && !stream->paused;
}

static PyObject *
Stream_is_reading(StreamObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(stream_is_reading(self));
}

static PyObject *
Stream_pause_reading(StreamObject *self, PyObject *Py_UNUSED(ignored))
{
    if (stream_is_reading(self)) {
        self->paused = true;
        self->reading = false;
        stream_update_watch(self);
    }
    Py_RETURN_NONE;
}

static PyObject *
Stream_resume_reading(StreamObject *self, PyObject *Py_UNUSED(ignored))
{
    if (self->closing || !self->paused) {
        Py_RETURN_NONE;
    }
    /* From here on reads call the protocol in the context of who resumed. */
    PyObject *context = stream_copy_context(self);
    if (context == NULL) {
        return NULL;
    }
    Py_SETREF(self->context, context);
    self->paused = false;
    self->reading = true;
    stream_update_watch(self);
    Py_RETURN_NONE;
}

static PyObject *
Stream_set_protocol(StreamObject *self, PyObject *protocol)
{
    return none_or_null(stream_set_protocol(self, protocol));
}

static PyObject *
or_none(PyObject *object)
{
    return Py_NewRef(object ? object : Py_None);
}

static PyObject *
Stream_get_protocol(StreamObject *self, PyObject *Py_UNUSED(ignored))
{
    return or_none(self->protocol);
}

static PyObject *
Stream_get_extra_info(StreamObject *self, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"name", "default", NULL};
    PyObject *name, *fallback = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O:get_extra_info",
                                     keywords, &name, &fallback)) {
        return NULL;
    }
    return stream_get_extra(self, name, fallback);
}

static PyObject *
Stream_get_write_buffer_size(StreamObject *self, PyObject *Py_UNUSED(ignored))
{
    if (stream_send_gathered(self) < 0) {
        return NULL;
    }
    return PyLong_FromSize_t(self->queue.size);
}

static PyObject *
Stream_get_write_buffer_limits(StreamObject *self,
                               PyObject *Py_UNUSED(ignored))
{
    return Py_BuildValue("(nn)", (Py_ssize_t)self->low_water,
                         (Py_ssize_t)self->high_water);
}

static PyObject *
Stream_set_write_buffer_limits(StreamObject *self, PyObject *args,
                               PyObject *kwargs)
{
    static char *keywords[] = {"high", "low", NULL};
    PyObject *high = Py_None, *low = Py_None;
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "|OO:set_write_buffer_limits", keywords, &high, &low)
        || stream_flow_set_limits(self, high, low) < 0
        || stream_send_gathered(self) < 0) {
        return NULL;
    }
    return none_or_null(stream_flow_pause(self));
}

static PyObject *
Stream__make_empty_waiter(StreamObject *self, PyObject *Py_UNUSED(ignored))
{
    if (self->empty_waiter != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "Empty waiter is already set");
        return NULL;
    }
    if (stream_send_gathered(self) < 0) {
        return NULL;
    }
    ModuleState *state = self->engine->state;
    PyObject *waiter = PyObject_CallMethodNoArgs(
        self->loop, STATE_NAME(state, create_future));
    if (waiter == NULL) {
        return NULL;
    }
    self->empty_waiter = Py_NewRef(waiter);
    if (write_queue_is_empty(&self->queue)) {
        PyObject *result = PyObject_CallMethodOneArg(
            waiter, STATE_NAME(state, set_result), Py_None);
        if (result == NULL) {
            Py_CLEAR(waiter);
        }
        Py_XDECREF(result);
    }
    return waiter;
}

static PyObject *
Stream__reset_empty_waiter(StreamObject *self, PyObject *Py_UNUSED(ignored))
{
    Py_CLEAR(self->empty_waiter);
    Py_RETURN_NONE;
}

/* ---- private attributes that asyncio and libraries read ---- */

static PyObject *
Stream_get_sock(StreamObject *self, void *Py_UNUSED(closure))
{
    if (self->finished) {
        Py_RETURN_NONE;
    }
    ModuleState *state = self->engine->state;
    PyObject *info =
        stream_get_extra(self, STATE_NAME(state, socket), Py_None);
    if (info == NULL) {
        return NULL;
    }
    Py_DECREF(info); /* it has made the socket */
    return or_none(self->sock);
}

static PyObject *
Stream_get_loop(StreamObject *self, void *Py_UNUSED(closure))
{
    return or_none(self->finished ? NULL : self->loop);
}

static PyObject *
Stream_get_object(StreamObject *self, void *offset)
{
    return or_none(*(PyObject **)((char *)self + (size_t)offset));
}

static PyObject *
Stream_get_flag(StreamObject *self, void *offset)
{
    return PyBool_FromLong(*(bool *)((char *)self + (size_t)offset));
}

static PyObject *
Stream_get_fd(StreamObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(self->fd);
}

static PyObject *
Stream_get_conn_lost(StreamObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromSsize_t(self->lost_writes);
}

#define STREAM_OBJECT(name, field)                                            \
    {name, (getter)Stream_get_object, NULL, NULL,                             \
     (void *)offsetof(StreamObject, field)}
#define STREAM_FLAG(name, field)                                              \
    {name, (getter)Stream_get_flag, NULL, NULL,                               \
     (void *)offsetof(StreamObject, field)}

static PyGetSetDef Stream_getset[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {"_sock", (getter)Stream_get_sock, NULL, NULL, NULL},
    {"_sock_fd", (getter)Stream_get_fd, NULL, NULL, NULL},
    {"_loop", (getter)Stream_get_loop, NULL, NULL, NULL},
    {"_conn_lost", (getter)Stream_get_conn_lost, NULL, NULL, NULL},
    STREAM_OBJECT("_protocol", protocol),
    STREAM_OBJECT("_server", server),
    STREAM_FLAG("_closing", closing),
    STREAM_FLAG("_paused", paused),
    STREAM_FLAG("_eof", eof_written),
    STREAM_FLAG("_protocol_paused", protocol_paused),
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef Stream_members[] = {
    {"__dictoffset__", T_PYSSIZET, offsetof(StreamObject, dict), READONLY,
     NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(StreamObject, weakrefs),
     READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

/* ---- memory ---- */

static int
Stream_traverse(StreamObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->loop);
    Py_VISIT(self->protocol);
    Py_VISIT(self->server);
    Py_VISIT(self->own_context);
    Py_VISIT(self->context);
    Py_VISIT(self->write_context);
    Py_VISIT(self->sock);
    Py_VISIT(self->waiter);
    Py_VISIT(self->empty_waiter);
    Py_VISIT(self->extra);
    Py_VISIT(self->dict);
    return 0;
}

/* Leaves `loop`, which the end of the watcher needs, and `sock`, which owns
 * the fd, to the dealloc. */
static int
Stream_clear(StreamObject *self)
{
    Py_CLEAR(self->protocol);
    Py_CLEAR(self->server);
    Py_CLEAR(self->write_context);
    Py_CLEAR(self->waiter);
    Py_CLEAR(self->empty_waiter);
    Py_CLEAR(self->extra);
    Py_CLEAR(self->dict);
    return 0;
}

/* Nobody has closed it: says so, closes the fd, tells the server. */
static void
Stream_finalize(StreamObject *self)
{
    if (self->finished || self->loop == NULL) {
        return;
    }
    PyObject *raised = PyErr_GetRaisedException();
    if (PyErr_ResourceWarning((PyObject *)self, 1, "unclosed transport %R",
                              self)
        < 0) {
        report_unraisable("an unclosed transport");
    }
    if (stream_close_fd(self) < 0 || stream_detach_server(self) < 0) {
        report_unraisable("an unclosed transport");
    }
    if (raised != NULL) {
        PyErr_SetRaisedException(raised);
    }
}

static void
Stream_dealloc(StreamObject *self)
{
    if (PyObject_CallFinalizerFromDealloc((PyObject *)self) < 0) {
        return; /* somebody has taken a reference */
    }
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    Stream_clear(self);
    write_queue_clear(&self->queue);
    PyMem_Free(self->peer);
    Py_CLEAR(self->own_context);
    Py_CLEAR(self->context);
    Py_CLEAR(self->sock);
    Py_CLEAR(self->loop);
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(Stream_doc,
             "The transport of a connected stream socket: an "
             "asyncio.Transport with everything of asyncio's own.");

#define NOARGS(name) {#name, (PyCFunction)Stream_##name, METH_NOARGS, NULL}
#define ONEARG(name) {#name, (PyCFunction)Stream_##name, METH_O, NULL}
#define KEYWORDS(name)                                                        \
    {#name, (PyCFunction)(void (*)(void))Stream_##name,                       \
     METH_VARARGS | METH_KEYWORDS, NULL}

/* Their documentation is that of asyncio.Transport. */
static PyMethodDef Stream_methods[] = {
    ONEARG(write),
    ONEARG(writelines),
    NOARGS(write_eof),
    NOARGS(can_write_eof),
    NOARGS(close),
    NOARGS(abort),
    NOARGS(is_closing),
    NOARGS(is_reading),
    NOARGS(pause_reading),
    NOARGS(resume_reading),
    ONEARG(set_protocol),
    NOARGS(get_protocol),
    KEYWORDS(get_extra_info),
    NOARGS(get_write_buffer_size),
    NOARGS(get_write_buffer_limits),
    KEYWORDS(set_write_buffer_limits),
    ONEARG(_force_close),
    ONEARG(_call_connection_lost),
    NOARGS(_make_empty_waiter),
    NOARGS(_reset_empty_waiter),
    {NULL, NULL, 0, NULL},
};

static PyType_Slot Stream_slots[] = {
    {Py_tp_doc, (void *)Stream_doc},   {Py_tp_dealloc, Stream_dealloc},
    {Py_tp_finalize, Stream_finalize}, {Py_tp_traverse, Stream_traverse},
    {Py_tp_clear, Stream_clear},       {Py_tp_repr, stream_repr},
    {Py_tp_methods, Stream_methods},   {Py_tp_getset, Stream_getset},
    {Py_tp_members, Stream_members},   {0, NULL},
};

static PyType_Spec Stream_spec = {
    .name = "pyaio._core.SocketTransport",
    .basicsize = sizeof(StreamObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = Stream_slots,
};

/* What asyncio's start_tls() and sendfile() look for on a transport. */
static int
stream_add_constants(PyTypeObject *type)
{
    PyObject *constants = PyImport_ImportModule("asyncio.constants");
    PyObject *modes =
        constants ? PyObject_GetAttrString(constants, "_SendfileMode") : NULL;
    PyObject *native =
        modes ? PyObject_GetAttrString(modes, "TRY_NATIVE") : NULL;
    int err = -1;
    if (native != NULL) {
        PyObject *object = (PyObject *)type;
        err = PyObject_SetAttrString(object, "_sendfile_compatible", native);
        if (err == 0) {
            err = PyObject_SetAttrString(object, "_start_tls_compatible",
                                         Py_True);
        }
    }
    Py_XDECREF(native);
    Py_XDECREF(modes);
    Py_XDECREF(constants);
    return err;
}

int
stream_setup(PyObject *module, ModuleState *state)
{
    PyObject *base = module_import_base("asyncio.transports",
                                        "_FlowControlMixin", STREAM_BASE_SIZE);
    if (base == NULL) {
        return -1;
    }
    state->stream_type = module_add_type(module, &Stream_spec, base);
    Py_DECREF(base);
    return state->stream_type == NULL
               ? -1
               : stream_add_constants(state->stream_type);
}
