/* The datagram transport as Python sees it: methods, attributes, memory. Its
 * work is done by the other datagram files. */
#include "base/errors.h"
#include "net/datagram.h"

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
    int err;
    ENGINE_BEGIN(self->engine);
    err = datagram_sendto(self, values[0], values[1]);
    ENGINE_END();
    return none_or_null(err);
}

static PyObject *
Datagram_get_write_buffer_size(DatagramObject *self,
                               PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromSize_t(self->queue.size);
}

static PyObject *
set_write_buffer_limits_inside(DatagramObject *self, PyObject *args,
                               PyObject *kwargs)
{
    if (flow_set_limits(&self->flow, args, kwargs) < 0) {
        return NULL;
    }
    return none_or_null(datagram_flow_pause(self));
}

TRANSPORT_VISIT_KEYWORDS(DatagramObject, Datagram_set_write_buffer_limits,
                         set_write_buffer_limits_inside)

/* ---- the end ---- */

static int
close_datagram(PyObject *self)
{
    return datagram_close((DatagramObject *)self);
}

static PyObject *
Datagram_close(DatagramObject *self, PyObject *Py_UNUSED(ignored))
{
    return transport_close(self, close_datagram);
}

static int
abort_datagram(PyObject *self)
{
    return datagram_force_close((DatagramObject *)self, Py_None);
}

static PyObject *
Datagram_abort(DatagramObject *self, PyObject *Py_UNUSED(ignored))
{
    return transport_close(self, abort_datagram);
}

static PyObject *
Datagram__call_connection_lost(DatagramObject *self, PyObject *exc)
{
    if (self->sock == NULL) {
        Py_RETURN_NONE;
    }
    return none_or_null(datagram_finish(self, exc));
}

static PyObject *
Datagram__start(DatagramObject *self, PyObject *waiter)
{
    return none_or_null(datagram_start(self, waiter));
}

/* ---- what is known of the socket ---- */

static PyObject *
get_extra_info_inside(DatagramObject *self, PyObject *args, PyObject *kwargs)
{
    PyObject *name, *fallback;
    if (transport_info_arguments(args, kwargs, &name, &fallback) < 0) {
        return NULL;
    }
    return transport_info(self->extra, name, fallback);
}

TRANSPORT_VISIT_KEYWORDS(DatagramObject, Datagram_get_extra_info,
                         get_extra_info_inside)

static PyObject *
Datagram_repr(DatagramObject *self)
{
    return transport_repr((Transport *)self, self->sock == NULL,
                          self->queue.size);
}

/* ---- private attributes that libraries read ---- */

static PyObject *
Datagram_get_loop(DatagramObject *self, void *Py_UNUSED(closure))
{
    return or_none(self->sock == NULL ? NULL : self->loop);
}

static PyGetSetDef Datagram_getset[] = {
    TRANSPORT_FIELDS,
    TRANSPORT_FLOW_FIELDS,
    {"_loop", (getter)Datagram_get_loop, NULL, NULL, NULL},
    MEMBER("_sock_fd", int, DatagramObject, fd),
    MEMBER("_conn_lost", count, DatagramObject, lost_writes),
    MEMBER("_sock", object, DatagramObject, sock),
    MEMBER("_address", object, DatagramObject, address),
    MEMBER("_extra", object, DatagramObject, extra),
    MEMBER("_paused", flag, DatagramObject, paused),
    MEMBER("_buffer_size", size, DatagramObject, queue.size),
    {NULL, NULL, NULL, NULL, NULL},
};

/* ---- memory ---- */

static int
Datagram_traverse(DatagramObject *self, visitproc visit, void *arg)
{
    Py_VISIT(self->sock);
    Py_VISIT(self->address);
    int stop = datagram_queue_traverse(&self->queue, visit, arg);
    return stop ? stop : transport_traverse((Transport *)self, visit, arg);
}

/* Leaves `sock`, which owns the fd, to the dealloc. */
static int
Datagram_clear(DatagramObject *self)
{
    Py_XSETREF(self->address, Py_NewRef(Py_None));
    self->has_address = false;
    datagram_queue_clear(&self->queue);
    transport_clear((Transport *)self);
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
        transport_finalize((PyObject *)self, self->sock, end_unclosed);
    }
}

static void
release(PyObject *self)
{
    DatagramObject *datagram = (DatagramObject *)self;
    peers_clear(&datagram->peers);
    Py_CLEAR(datagram->sock);
    Py_CLEAR(datagram->address);
}

static void
Datagram_dealloc(PyObject *self)
{
    transport_dealloc(self, release);
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
    TRANSPORT_METHODS,
    TRANSPORT_SET_PROTOCOL,
    TRANSPORT_READ_METHODS,
    METHOD_KEYWORDS(
        Datagram, get_extra_info, ", name, default=None",
        "What is known of the socket: 'socket', 'sockname', 'peername'."),
    METHOD_NOARGS(
        Datagram, get_write_buffer_size,
        "How many bytes are queued, since Python 3.13 with 8 more for each "
        "packet."),
    TRANSPORT_FLOW_METHODS(Datagram),
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
    {Py_tp_members, Transport_members},  {0, NULL},
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
        "asyncio.transports", "_FlowControlMixin", TRANSPORT_BASE_SIZE);
    PyObject *datagram =
        flow ? module_import_base("asyncio.transports", "DatagramTransport",
                                  TRANSPORT_BASE_SIZE)
             : NULL;
    PyObject *bases = datagram ? PyTuple_Pack(2, flow, datagram) : NULL;
    Py_XDECREF(datagram);
    Py_XDECREF(flow);
    return bases;
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
    return err < 0 ? -1 : transport_add_max_size(state->datagram_type);
}
