/* The stream transport as Python sees it: methods, attributes, memory. Its work
 * is done by the other stream files. */
#include "base/compat.h"
#include "base/errors.h"
#include "net/stream.h"
#include "net/stream_methods.h"

static PyObject *
Stream__call_connection_lost(StreamObject *self, PyObject *exc)
{
    if (self->finished) {
        Py_RETURN_NONE;
    }
    return none_or_null(stream_finish(self, exc));
}

static PyObject *
Stream_write(StreamObject *self, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    PyObject *data = method_argument("write", "data", args, nargs, kwnames);
    int err = -1;
    if (data != NULL) {
        ENGINE_BEGIN(self->engine);
        err = stream_write_object(self, data);
        ENGINE_END();
    }
    return none_or_null(err);
}

static PyObject *
Stream_writelines(StreamObject *self, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames)
{
    PyObject *lines =
        method_argument("writelines", "list_of_data", args, nargs, kwnames);
    int err = -1;
    if (lines != NULL) {
        ENGINE_BEGIN(self->engine);
        err = stream_write_lines(self, lines);
        ENGINE_END();
    }
    return none_or_null(err);
}

static PyObject *
Stream_write_eof(StreamObject *self, PyObject *Py_UNUSED(ignored))
{
    int err;
    ENGINE_BEGIN(self->engine);
    err = stream_write_eof(self);
    ENGINE_END();
    return none_or_null(err);
}

static PyObject *
Stream_can_write_eof(StreamObject *Py_UNUSED(self),
                     PyObject *Py_UNUSED(ignored))
{
    Py_RETURN_TRUE;
}

static int
close_stream(PyObject *self)
{
    return stream_close((StreamObject *)self);
}

static PyObject *
Stream_close(StreamObject *self, PyObject *Py_UNUSED(ignored))
{
    return transport_close(self, close_stream);
}

static int
abort_stream(PyObject *self)
{
    StreamObject *stream = (StreamObject *)self;
    return stream_send_gathered(stream) < 0
               ? -1
               : stream_force_close(stream, Py_None);
}

static PyObject *
Stream_abort(StreamObject *self, PyObject *Py_UNUSED(ignored))
{
    return transport_close(self, abort_stream);
}

static PyObject *
Stream__force_close(StreamObject *self, PyObject *exc)
{
    int err;
    ENGINE_BEGIN(self->engine);
    err = stream_send_gathered(self);
    if (err == 0) {
        err = stream_force_close(self, exc);
    }
    ENGINE_END();
    return none_or_null(err);
}

static PyObject *
Stream_set_protocol(StreamObject *self, PyObject *const *args,
                    Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *protocol =
        method_argument("set_protocol", "protocol", args, nargs, kwnames);
    if (protocol == NULL) {
        return NULL;
    }
    int err;
    ENGINE_BEGIN(self->engine);
    /* Who has written too much is the one to be paused. */
    err = stream_send_gathered(self);
    if (err == 0) {
        err = stream_set_protocol(self, protocol);
    }
    ENGINE_END();
    return none_or_null(err);
}

static PyObject *
get_extra_info_inside(StreamObject *self, PyObject *args, PyObject *kwargs)
{
    PyObject *name, *fallback;
    if (transport_info_arguments(args, kwargs, &name, &fallback) < 0) {
        return NULL;
    }
    /* Whoever asks for the socket may send on it or shut it down. */
    if (stream_send_gathered(self) < 0) {
        return NULL;
    }
    return stream_get_extra(self, name, fallback);
}

TRANSPORT_VISIT_KEYWORDS(StreamObject, Stream_get_extra_info,
                         get_extra_info_inside)

static PyObject *
get_write_buffer_size_inside(StreamObject *self, PyObject *Py_UNUSED(ignored))
{
    if (stream_send_gathered(self) < 0) {
        return NULL;
    }
    return PyLong_FromSize_t(self->queue.size);
}

TRANSPORT_VISIT(StreamObject, Stream_get_write_buffer_size,
                get_write_buffer_size_inside, PyObject *)

static PyObject *
set_write_buffer_limits_inside(StreamObject *self, PyObject *args,
                               PyObject *kwargs)
{
    if (flow_set_limits(&self->flow, args, kwargs) < 0
        || stream_send_gathered(self) < 0) {
        return NULL;
    }
    return none_or_null(stream_flow_pause(self));
}

TRANSPORT_VISIT_KEYWORDS(StreamObject, Stream_set_write_buffer_limits,
                         set_write_buffer_limits_inside)

static PyObject *
make_empty_waiter_inside(StreamObject *self, PyObject *Py_UNUSED(ignored))
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
    Py_XSETREF(self->empty_waiter, Py_NewRef(waiter));
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

TRANSPORT_VISIT(StreamObject, Stream__make_empty_waiter,
                make_empty_waiter_inside, PyObject *)

static PyObject *
reset_empty_waiter_inside(StreamObject *self, PyObject *Py_UNUSED(ignored))
{
    Py_CLEAR(self->empty_waiter);
    Py_RETURN_NONE;
}

TRANSPORT_VISIT(StreamObject, Stream__reset_empty_waiter,
                reset_empty_waiter_inside, PyObject *)

/* ---- private attributes that asyncio and libraries read ---- */

static PyObject *
get_sock_inside(StreamObject *self, void *Py_UNUSED(closure))
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

TRANSPORT_VISIT(StreamObject, Stream_get_sock, get_sock_inside, void *)

/* All that get_extra_info() knows, as asyncio has it from the start. */
static PyObject *
get_extra_inside(StreamObject *self, void *Py_UNUSED(closure))
{
    ModuleState *state = self->engine->state;
    PyObject *names[] = {STATE_NAME(state, socket),
                         STATE_NAME(state, sockname),
                         STATE_NAME(state, peername)};
    for (size_t i = 0; i < Py_ARRAY_LENGTH(names); i++) {
        PyObject *value = stream_get_extra(self, names[i], Py_None);
        if (value == NULL) {
            return NULL;
        }
        Py_DECREF(value);
    }
    return Py_NewRef(self->extra);
}

TRANSPORT_VISIT(StreamObject, Stream_get_extra, get_extra_inside, void *)

static PyObject *
Stream_get_loop(StreamObject *self, void *Py_UNUSED(closure))
{
    return or_none(self->finished ? NULL : self->loop);
}

static PyGetSetDef Stream_getset[] = {
    TRANSPORT_FIELDS,
    TRANSPORT_FLOW_FIELDS,
    {"_sock", (getter)Stream_get_sock, NULL, NULL, NULL},
    {"_extra", (getter)Stream_get_extra, NULL, NULL, NULL},
    MEMBER("_sock_fd", int, StreamObject, fd),
    {"_loop", (getter)Stream_get_loop, NULL, NULL, NULL},
    MEMBER("_conn_lost", count, StreamObject, lost_writes),
    MEMBER("_server", object, StreamObject, server),
    MEMBER("_paused", flag, StreamObject, paused),
    MEMBER("_eof", flag, StreamObject, eof_written),
    {NULL, NULL, NULL, NULL, NULL},
};

static PyObject *
Stream_repr(StreamObject *self)
{
    return transport_repr((Transport *)self, self->finished, self->queue.size);
}

/* ---- memory ---- */

static int
Stream_traverse(StreamObject *self, visitproc visit, void *arg)
{
    Py_VISIT(self->reader.ref);
    Py_VISIT(self->server);
    Py_VISIT(self->sock);
    Py_VISIT(self->waiter);
    Py_VISIT(self->empty_waiter);
    return transport_traverse((Transport *)self, visit, arg);
}

/* Leaves `sock`, which owns the fd, to the dealloc. */
static int
Stream_clear(StreamObject *self)
{
    Py_CLEAR(self->reader.ref);
    Py_CLEAR(self->server);
    Py_CLEAR(self->waiter);
    Py_CLEAR(self->empty_waiter);
    self->tls = NULL;
    transport_clear((Transport *)self);
    return 0;
}

/* Closes the fd, and tells the server. */
static int
end_unclosed(PyObject *self)
{
    StreamObject *stream = (StreamObject *)self;
    int err = stream_close_fd(stream);
    PyObject *raised = err < 0 ? PyErr_GetRaisedException() : NULL;
    return transport_keep_first(raised, stream_detach_server(stream));
}

static void
Stream_finalize(StreamObject *self)
{
    if (!self->finished) {
        transport_finalize((PyObject *)self, self->sock, end_unclosed);
    }
}

static void
release(PyObject *self)
{
    StreamObject *stream = (StreamObject *)self;
    write_queue_clear(&stream->queue);
    PyMem_Free(stream->peer);
    PyMem_Free(stream->local);
    Py_CLEAR(stream->sock);
}

static void
Stream_dealloc(PyObject *self)
{
    transport_dealloc(self, release);
}

PyDoc_STRVAR(Stream_doc,
             "The transport of a connected stream socket: an "
             "asyncio.Transport with everything of asyncio's own.");

/* Each follows the method of asyncio.Transport of that name; the last four
 * are what asyncio's own code calls. */
static PyMethodDef Stream_methods[] = {
    METHOD_FASTCALL(Stream, write, ", data",
                    "Send bytes, at once or as soon as it goes."),
    METHOD_FASTCALL(
        Stream, writelines, ", list_of_data",
        "Send the chunks of bytes of an iterable, one after the other."),
    METHOD_NOARGS(Stream, write_eof,
                  "Close the end that writes, after all that is queued."),
    METHOD_NOARGS(Stream, can_write_eof, "True: write_eof() is there."),
    METHOD_NOARGS(Stream, close,
                  "Close the connection, after all that is queued is sent."),
    METHOD_NOARGS(Stream, abort,
                  "Close the connection at once; drop what is queued."),
    TRANSPORT_METHODS,
    TRANSPORT_READ_METHODS,
    METHOD_FASTCALL(Stream, set_protocol, ", protocol",
                    "Have another protocol called from now on."),
    METHOD_KEYWORDS(Stream, get_extra_info, ", name, default=None",
                    "What is known of the connection: 'socket', 'sockname', "
                    "'peername'."),
    METHOD_NOARGS(Stream, get_write_buffer_size, "How many bytes are queued."),
    TRANSPORT_FLOW_METHODS(Stream),
    METHOD_ONEARG(Stream, _force_close, ", exc",
                  "Close at once; connection_lost() gets the exception."),
    METHOD_ONEARG(Stream, _call_connection_lost, ", exc",
                  "Tell the protocol of the end, and close the socket."),
    METHOD_NOARGS(Stream, _make_empty_waiter,
                  "A future that is done once all is sent."),
    METHOD_NOARGS(Stream, _reset_empty_waiter,
                  "Forget the future of _make_empty_waiter()."),
    {NULL, NULL, 0, NULL},
};

static PyType_Slot Stream_slots[] = {
    {Py_tp_doc, (void *)Stream_doc},    {Py_tp_dealloc, Stream_dealloc},
    {Py_tp_finalize, Stream_finalize},  {Py_tp_traverse, Stream_traverse},
    {Py_tp_clear, Stream_clear},        {Py_tp_repr, Stream_repr},
    {Py_tp_methods, Stream_methods},    {Py_tp_getset, Stream_getset},
    {Py_tp_members, Transport_members}, {0, NULL},
};

static PyType_Spec Stream_spec = {
    .name = "pyaio._core.SocketTransport",
    .basicsize = sizeof(StreamObject),
    .flags = MODULE_TYPE_FLAGS,
    .slots = Stream_slots,
};

/* What asyncio's start_tls() and sendfile() look for on a transport, and the
 * most that one read takes. */
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
        if (err == 0) {
            err = transport_add_max_size(type);
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
    if (module_add_type_under(module, &Stream_spec, "asyncio.transports",
                              "_FlowControlMixin", TRANSPORT_BASE_SIZE,
                              &state->stream_type)
            < 0
        || stream_add_constants(state->stream_type) < 0) {
        return -1;
    }
    return stream_methods_setup(state);
}
