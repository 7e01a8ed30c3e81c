/* The stream transport as Python sees it: methods, attributes, memory. Its work
 * is done by the other stream files. */
#include "base/compat.h"
#include "base/errors.h"
#include "base/members.h"
#include "net/stream.h"
#include "net/stream_methods.h"
#include "net/transport.h"

static PyObject *
Stream__call_connection_lost(StreamObject *self, PyObject *exc)
{
    if (self->finished) {
        Py_RETURN_NONE;
    }
    return none_or_null(stream_finish(self, exc));
}

/* The one argument of a method, by position or by its name. Borrowed, or NULL
 * with TypeError. */
static PyObject *
one_argument(const char *method, const char *name, PyObject *const *args,
             Py_ssize_t nargs, PyObject *kwnames)
{
    Py_ssize_t named = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    if (nargs + named == 1
        && (named == 0
            || PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, 0),
                                                name)
                   == 0)) {
        return args[0];
    }
    PyErr_Format(PyExc_TypeError, "%s() takes exactly one argument: '%s'",
                 method, name);
    return NULL;
}

static PyObject *
Stream_write(StreamObject *self, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    PyObject *data = one_argument("write", "data", args, nargs, kwnames);
    return data ? none_or_null(stream_write_object(self, data)) : NULL;
}

static PyObject *
Stream_writelines(StreamObject *self, PyObject *const *args, Py_ssize_t nargs,
                  PyObject *kwnames)
{
    PyObject *lines =
        one_argument("writelines", "list_of_data", args, nargs, kwnames);
    return lines ? none_or_null(stream_write_lines(self, lines)) : NULL;
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
    if (stream_send_gathered(self) < 0) {
        return NULL;
    }
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
        return none_or_null(stream_log(self, "%r pauses reading"));
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
    PyObject *before = self->context;
    self->context = context;
    self->paused = false;
    self->reading = true;
    stream_update_watch(self);
    Py_DECREF(before); /* may call the program: last */
    return none_or_null(stream_log(self, "%r resumes reading"));
}

static PyObject *
Stream_set_protocol(StreamObject *self, PyObject *const *args,
                    Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *protocol =
        one_argument("set_protocol", "protocol", args, nargs, kwnames);
    return protocol ? none_or_null(stream_set_protocol(self, protocol)) : NULL;
}

static PyObject *
Stream_get_protocol(StreamObject *self, PyObject *Py_UNUSED(ignored))
{
    return or_none(self->protocol);
}

static PyObject *
Stream_get_extra_info(StreamObject *self, PyObject *args, PyObject *kwargs)
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
    return flow_get_limits(&self->flow);
}

static PyObject *
Stream_set_write_buffer_limits(StreamObject *self, PyObject *args,
                               PyObject *kwargs)
{
    if (flow_set_limits(&self->flow, args, kwargs) < 0
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

/* All that get_extra_info() knows, as asyncio has it from the start. */
static PyObject *
Stream_get_extra(StreamObject *self, void *Py_UNUSED(closure))
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

static PyObject *
Stream_get_loop(StreamObject *self, void *Py_UNUSED(closure))
{
    return or_none(self->finished ? NULL : self->loop);
}

static PyGetSetDef Stream_getset[] = {
    MEMBER_DICT,
    {"_sock", (getter)Stream_get_sock, NULL, NULL, NULL},
    {"_extra", (getter)Stream_get_extra, NULL, NULL, NULL},
    MEMBER("_high_water", size, StreamObject, flow.high_water),
    MEMBER("_low_water", size, StreamObject, flow.low_water),
    MEMBER("_sock_fd", int, StreamObject, fd),
    {"_loop", (getter)Stream_get_loop, NULL, NULL, NULL},
    MEMBER("_conn_lost", count, StreamObject, lost_writes),
    MEMBER("_protocol", object, StreamObject, protocol),
    MEMBER("_server", object, StreamObject, server),
    MEMBER("_closing", flag, StreamObject, closing),
    MEMBER("_paused", flag, StreamObject, paused),
    MEMBER("_eof", flag, StreamObject, eof_written),
    MEMBER("_protocol_paused", flag, StreamObject, flow.paused),
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
    Py_VISIT(self->reader.ref);
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

/* Leaves to the dealloc what methods use without a look whether it is there: the
 * loop and the contexts; and `sock`, which owns the fd. */
static int
Stream_clear(StreamObject *self)
{
    Py_CLEAR(self->protocol);
    Py_CLEAR(self->reader.ref);
    Py_CLEAR(self->server);
    Py_CLEAR(self->write_context);
    Py_CLEAR(self->waiter);
    Py_CLEAR(self->empty_waiter);
    Py_CLEAR(self->extra);
    Py_CLEAR(self->dict);
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
        transport_finalize((PyObject *)self, end_unclosed);
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
    METHOD_NOARGS(Stream, is_closing,
                  "True once it is closed, or is about to be."),
    METHOD_NOARGS(Stream, is_reading,
                  "True unless reading is paused or has ended."),
    METHOD_NOARGS(Stream, pause_reading,
                  "Read nothing until resume_reading()."),
    METHOD_NOARGS(Stream, resume_reading, "Read again after pause_reading()."),
    METHOD_FASTCALL(Stream, set_protocol, ", protocol",
                    "Have another protocol called from now on."),
    METHOD_NOARGS(Stream, get_protocol, "The protocol that is called."),
    METHOD_KEYWORDS(Stream, get_extra_info, ", name, default=None",
                    "What is known of the connection: 'socket', 'sockname', "
                    "'peername'."),
    METHOD_NOARGS(Stream, get_write_buffer_size, "How many bytes are queued."),
    METHOD_NOARGS(
        Stream, get_write_buffer_limits,
        "At how many bytes writing is resumed and paused: (low, high)."),
    METHOD_KEYWORDS(Stream, set_write_buffer_limits, ", high=None, low=None",
                    "Set at how many bytes writing is paused and resumed.\n\n"
                    "ValueError unless high >= low >= 0."),
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
    {Py_tp_doc, (void *)Stream_doc},   {Py_tp_dealloc, Stream_dealloc},
    {Py_tp_finalize, Stream_finalize}, {Py_tp_traverse, Stream_traverse},
    {Py_tp_clear, Stream_clear},       {Py_tp_repr, stream_repr},
    {Py_tp_methods, Stream_methods},   {Py_tp_getset, Stream_getset},
    {Py_tp_members, Stream_members},   {0, NULL},
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
            PyObject *size = PyLong_FromLong(ENGINE_SCRATCH_SIZE);
            err = size == NULL
                      ? -1
                      : PyObject_SetAttrString(object, "max_size", size);
            Py_XDECREF(size);
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
                              "_FlowControlMixin", STREAM_BASE_SIZE,
                              &state->stream_type)
            < 0
        || stream_add_constants(state->stream_type) < 0) {
        return -1;
    }
    return stream_methods_setup(state);
}
