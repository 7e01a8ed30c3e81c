/* The datagram transport as Python sees it: methods, attributes, memory. Its
 * work is done by the other datagram files. */
#include "base/compat.h"
#include "base/errors.h"
#include "base/members.h"
#include "net/datagram.h"
#include "net/transport.h"
#include "net/transport_log.h"

/* ---- sending ---- */

/* Which argument of sendto() that is; -1 for none. */
static int
keyword_index(PyObject *keyword)
{
    if (PyUnicode_CompareWithASCIIString(keyword, "data") == 0) {
        return 0;
    }
    return PyUnicode_CompareWithASCIIString(keyword, "addr") == 0 ? 1 : -1;
}

/* Borrowed: values[0] is data, values[1] addr. -1 with TypeError. */
static int
sendto_arguments(PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                 PyObject *values[2])
{
    Py_ssize_t named = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    bool fit = nargs <= 2;
    values[0] = NULL;
    values[1] = Py_None;
    for (Py_ssize_t i = 0; i < nargs && fit; i++) {
        values[i] = args[i];
    }
    for (Py_ssize_t i = 0; i < named && fit; i++) {
        int at = keyword_index(PyTuple_GET_ITEM(kwnames, i));
        fit = at >= nargs; /* not given by position, too */
        if (fit) {
            values[at] = args[nargs + i];
        }
    }
    if (!fit || values[0] == NULL) {
        PyErr_SetString(PyExc_TypeError,
                        "sendto() takes 'data' and, if need be, 'addr'");
        return -1;
    }
    return 0;
}

static PyObject *
Datagram_sendto(DatagramObject *self, PyObject *const *args, Py_ssize_t nargs,
                PyObject *kwnames)
{
    PyObject *values[2];
    if (sendto_arguments(args, nargs, kwnames, values) < 0) {
        return NULL;
    }
    return none_or_null(datagram_sendto(self, values[0], values[1]));
}

static PyObject *
Datagram_get_write_buffer_size(DatagramObject *self,
                               PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromSize_t(self->queue.size);
}

static PyObject *
Datagram_get_write_buffer_limits(DatagramObject *self,
                                 PyObject *Py_UNUSED(ignored))
{
    return flow_get_limits(&self->flow);
}

static PyObject *
Datagram_set_write_buffer_limits(DatagramObject *self, PyObject *args,
                                 PyObject *kwargs)
{
    if (flow_set_limits(&self->flow, args, kwargs) < 0) {
        return NULL;
    }
    return none_or_null(datagram_flow_pause(self));
}

/* ---- the end ---- */

static PyObject *
Datagram_close(DatagramObject *self, PyObject *Py_UNUSED(ignored))
{
    return none_or_null(datagram_close(self));
}

static PyObject *
Datagram_abort(DatagramObject *self, PyObject *Py_UNUSED(ignored))
{
    return none_or_null(datagram_force_close(self, Py_None));
}

static PyObject *
Datagram_is_closing(DatagramObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(self->closing);
}

static PyObject *
Datagram__call_connection_lost(DatagramObject *self, PyObject *exc)
{
    if (self->sock == NULL) {
        Py_RETURN_NONE;
    }
    return none_or_null(datagram_finish(self, exc));
}

/* ---- reading ---- */

static PyObject *
Datagram__start(DatagramObject *self, PyObject *waiter)
{
    return none_or_null(datagram_start(self, waiter));
}

static bool
datagram_is_reading(DatagramObject *self)
{
    return !self->closing && !self->paused;
}

static PyObject *
Datagram_is_reading(DatagramObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(datagram_is_reading(self));
}

static PyObject *
log_and_return(DatagramObject *self, const char *format)
{
    return none_or_null(
        transport_log(self->engine, (PyObject *)self, "debug", format));
}

static PyObject *
Datagram_pause_reading(DatagramObject *self, PyObject *Py_UNUSED(ignored))
{
    if (!datagram_is_reading(self)) {
        Py_RETURN_NONE;
    }
    self->paused = true;
    self->reading = false;
    datagram_update_watch(self);
    return log_and_return(self, "%r pauses reading");
}

static PyObject *
Datagram_resume_reading(DatagramObject *self, PyObject *Py_UNUSED(ignored))
{
    if (self->closing || !self->paused) {
        Py_RETURN_NONE;
    }
    /* From here on reads call the protocol in the context of who resumed. */
    PyObject *context = PyContext_CopyCurrent();
    if (context == NULL) {
        return NULL;
    }
    PyObject *before = self->context;
    self->context = context;
    self->paused = false;
    self->reading = true;
    datagram_update_watch(self);
    Py_DECREF(before); /* may call the program: last */
    return log_and_return(self, "%r resumes reading");
}

/* ---- the protocol, and what is known of the socket ---- */

static PyObject *
Datagram_set_protocol(DatagramObject *self, PyObject *args, PyObject *kwargs)
{
    return transport_set_protocol(&self->protocol, args, kwargs);
}

static PyObject *
Datagram_get_protocol(DatagramObject *self, PyObject *Py_UNUSED(ignored))
{
    return or_none(self->protocol);
}

static PyObject *
Datagram_get_extra_info(DatagramObject *self, PyObject *args, PyObject *kwargs)
{
    PyObject *name, *fallback;
    if (transport_info_arguments(args, kwargs, &name, &fallback) < 0) {
        return NULL;
    }
    return transport_info(self->extra, name, fallback);
}

static PyObject *
polling_info(DatagramObject *self)
{
    return PyUnicode_FromFormat(
        " read=%s write=<%s, bufsize=%zu>", self->reading ? "polling" : "idle",
        self->write_armed ? "polling" : "idle", self->queue.size);
}

static PyObject *
Datagram_repr(DatagramObject *self)
{
    const char *state = self->sock == NULL ? " closed"
                        : self->closing    ? " closing"
                                           : "";
    PyObject *polling = self->sock == NULL || self->engine->closed
                            ? PyUnicode_FromString("")
                            : polling_info(self);
    if (polling == NULL) {
        return NULL;
    }
    PyObject *repr = PyUnicode_FromFormat("<DatagramTransport%s fd=%d%U>",
                                          state, self->fd, polling);
    Py_DECREF(polling);
    return repr;
}

/* ---- private attributes that libraries read ---- */

static PyObject *
Datagram_get_loop(DatagramObject *self, void *Py_UNUSED(closure))
{
    return or_none(self->sock == NULL ? NULL : self->loop);
}

static PyGetSetDef Datagram_getset[] = {
    MEMBER_DICT,
    {"_loop", (getter)Datagram_get_loop, NULL, NULL, NULL},
    MEMBER("_sock_fd", int, DatagramObject, fd),
    MEMBER("_conn_lost", count, DatagramObject, lost_writes),
    MEMBER("_protocol", object, DatagramObject, protocol),
    MEMBER("_sock", object, DatagramObject, sock),
    MEMBER("_address", object, DatagramObject, address),
    MEMBER("_extra", object, DatagramObject, extra),
    MEMBER("_closing", flag, DatagramObject, closing),
    MEMBER("_paused", flag, DatagramObject, paused),
    MEMBER("_protocol_paused", flag, DatagramObject, flow.paused),
    MEMBER("_high_water", size, DatagramObject, flow.high_water),
    MEMBER("_low_water", size, DatagramObject, flow.low_water),
    MEMBER("_buffer_size", size, DatagramObject, queue.size),
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef Datagram_members[] = {
    {"__dictoffset__", T_PYSSIZET, offsetof(DatagramObject, dict), READONLY,
     NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(DatagramObject, weakrefs),
     READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

/* ---- memory ---- */

static int
Datagram_traverse(DatagramObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->loop);
    Py_VISIT(self->protocol);
    Py_VISIT(self->context);
    Py_VISIT(self->write_context);
    Py_VISIT(self->sock);
    Py_VISIT(self->address);
    int stop = datagram_queue_traverse(&self->queue, visit, arg);
    if (stop != 0) {
        return stop;
    }
    Py_VISIT(self->extra);
    Py_VISIT(self->dict);
    return 0;
}

/* Leaves `loop`, which the end of the watcher needs, `sock`, which owns the
 * fd, and the contexts to the dealloc. */
static int
Datagram_clear(DatagramObject *self)
{
    Py_CLEAR(self->protocol);
    Py_XSETREF(self->address, Py_NewRef(Py_None));
    self->has_address = false;
    datagram_queue_clear(&self->queue);
    Py_CLEAR(self->extra);
    Py_CLEAR(self->dict);
    return 0;
}

static int
end_unclosed(PyObject *self)
{
    return datagram_close_fd((DatagramObject *)self);
}

static void
Datagram_finalize(DatagramObject *self)
{
    if (self->sock != NULL) {
        transport_finalize((PyObject *)self, end_unclosed);
    }
}

static void
Datagram_dealloc(DatagramObject *self)
{
    if (PyObject_CallFinalizerFromDealloc((PyObject *)self) < 0) {
        return; /* somebody has taken a reference */
    }
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    Datagram_clear(self);
    peers_clear(&self->peers);
    Py_CLEAR(self->context);
    Py_CLEAR(self->write_context);
    Py_CLEAR(self->sock);
    Py_CLEAR(self->address);
    Py_CLEAR(self->loop);
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(Datagram_doc,
             "The transport of a datagram socket: an asyncio.DatagramTransport "
             "with everything of\nasyncio's own.");

/* Each follows the method of asyncio's transport of that name; the last two are
 * what the loop calls. */
static PyMethodDef Datagram_methods[] = {
    METHOD_FASTCALL(
        Datagram, sendto, ", data, addr=None",
        "Send a packet of bytes, at once or as soon as it goes.\n\n"
        "addr is where to, as socket.sendto() takes it; None is the one "
        "remote address.\nTypeError for what is not bytes-like, "
        "ValueError for another remote address. An\nOSError goes to "
        "error_received()."),
    METHOD_NOARGS(Datagram, close,
                  "Close the socket, after all that is queued is sent."),
    METHOD_NOARGS(Datagram, abort,
                  "Close the socket at once; drop what is queued."),
    METHOD_NOARGS(Datagram, is_closing,
                  "True once it is closed, or is about to be."),
    METHOD_NOARGS(Datagram, is_reading,
                  "True unless reading is paused or has ended."),
    METHOD_NOARGS(Datagram, pause_reading,
                  "Read nothing until resume_reading()."),
    METHOD_NOARGS(Datagram, resume_reading,
                  "Read again after pause_reading()."),
    METHOD_KEYWORDS(Datagram, set_protocol, ", protocol",
                    "Have another protocol called from now on."),
    METHOD_NOARGS(Datagram, get_protocol, "The protocol that is called."),
    METHOD_KEYWORDS(
        Datagram, get_extra_info, ", name, default=None",
        "What is known of the socket: 'socket', 'sockname', 'peername'."),
    METHOD_NOARGS(
        Datagram, get_write_buffer_size,
        "How many bytes are queued, since Python 3.13 with 8 more for each "
        "packet."),
    METHOD_NOARGS(
        Datagram, get_write_buffer_limits,
        "At how many bytes writing is resumed and paused: (low, high)."),
    METHOD_KEYWORDS(Datagram, set_write_buffer_limits, ", high=None, low=None",
                    "Set at how many bytes writing is paused and resumed.\n\n"
                    "ValueError unless high >= low >= 0."),
    METHOD_ONEARG(
        Datagram, _start, ", waiter",
        "Begin to read; the waiter, a future, is done. It may be None."),
    METHOD_ONEARG(Datagram, _call_connection_lost, ", exc",
                  "Tell the protocol of the end, and close the socket."),
    {NULL, NULL, 0, NULL},
};

static PyType_Slot Datagram_slots[] = {
    {Py_tp_doc, (void *)Datagram_doc},   {Py_tp_dealloc, Datagram_dealloc},
    {Py_tp_finalize, Datagram_finalize}, {Py_tp_traverse, Datagram_traverse},
    {Py_tp_clear, Datagram_clear},       {Py_tp_repr, Datagram_repr},
    {Py_tp_methods, Datagram_methods},   {Py_tp_getset, Datagram_getset},
    {Py_tp_members, Datagram_members},   {0, NULL},
};

static PyType_Spec Datagram_spec = {
    .name = "pyaio._core.DatagramTransport",
    .basicsize = sizeof(DatagramObject),
    .flags = MODULE_TYPE_FLAGS,
    .slots = Datagram_slots,
};

/* asyncio's flow control, and DatagramTransport, which asyncio's own is under
 * since 3.12. New reference to a tuple, NULL on failure. */
static PyObject *
import_bases(void)
{
    PyObject *flow = module_import_base(
        "asyncio.transports", "_FlowControlMixin", DATAGRAM_BASE_SIZE);
    PyObject *datagram =
        flow ? module_import_base("asyncio.transports", "DatagramTransport",
                                  DATAGRAM_BASE_SIZE)
             : NULL;
    PyObject *bases = datagram ? PyTuple_Pack(2, flow, datagram) : NULL;
    Py_XDECREF(datagram);
    Py_XDECREF(flow);
    return bases;
}

/* The most that one read takes. */
static int
add_max_size(PyTypeObject *type)
{
    PyObject *size = PyLong_FromLong(ENGINE_SCRATCH_SIZE);
    int err = size == NULL
                  ? -1
                  : PyObject_SetAttrString((PyObject *)type, "max_size", size);
    Py_XDECREF(size);
    return err;
}

int
datagram_setup(PyObject *module, ModuleState *state)
{
    PyObject *bases = import_bases();
    if (bases == NULL) {
        return -1;
    }
    int err =
        module_add_type(module, &Datagram_spec, bases, &state->datagram_type);
    Py_DECREF(bases);
    return err < 0 ? -1 : add_max_size(state->datagram_type);
}
