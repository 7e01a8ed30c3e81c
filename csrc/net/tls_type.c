/* TLS as Python sees it: asyncio's attributes as fields, and the methods that take the
 * place of asyncio's, on its protocol and on its transport. Their work is done by the
 * other tls files. */
#include "base/compat.h"
#include "base/errors.h"
#include "base/members.h"
#include "net/flow.h"
#include "net/tls.h"

/* ---- the protocol: attributes ---- */

#define OBJECT(name, field)                                                   \
    {name, T_OBJECT_EX, offsetof(TlsObject, field), 0, NULL}
#define FLAG(name, field) {name, T_BOOL, offsetof(TlsObject, field), 0, NULL}

static PyMemberDef Tls_members[] = {
    OBJECT("_state", phase),
    OBJECT("_transport", transport),
    OBJECT("_app_protocol", app_protocol),
    OBJECT("_app_protocol_get_buffer", app_get_buffer),
    OBJECT("_app_protocol_buffer_updated", app_buffer_updated),
    OBJECT("_write_backlog", backlog),
    {"_write_buffer_size", T_PYSSIZET, offsetof(TlsObject, backlog_size), 0,
     NULL},
    FLAG("_app_protocol_is_buffer", app_is_buffered),
    FLAG("_app_reading_paused", app_reading_paused),
    FLAG("_app_writing_paused", app_writing_paused),
    FLAG("_ssl_reading_paused", ssl_reading_paused),
    FLAG("_ssl_writing_paused", ssl_writing_paused),
    {NULL, 0, 0, 0, NULL},
};

static PyObject *
Tls_get_sslobj(TlsObject *self, void *Py_UNUSED(closure))
{
    return or_none(self->sslobj);
}

static int
Tls_set_sslobj(TlsObject *self, PyObject *sslobj, void *Py_UNUSED(closure))
{
    if (sslobj == NULL) {
        PyErr_SetString(PyExc_AttributeError, "cannot delete _sslobj");
        return -1;
    }
    Py_XSETREF(self->sslobj, Py_NewRef(sslobj));
    return tls_take_sslobj(self, sslobj);
}

/* A limit in bytes: any number, as asyncio takes it. */
static int
Tls_set_limit(PyObject *self, PyObject *limit, void *offset)
{
    if (limit == NULL) {
        PyErr_SetString(PyExc_AttributeError, "cannot delete a limit");
        return -1;
    }
    return flow_limit_as_size(limit,
                              (size_t *)((char *)self + (Py_ssize_t)offset));
}

#define LIMIT(name, field)                                                    \
    {name, member_size, Tls_set_limit, NULL,                                  \
     (void *)offsetof(TlsObject, field)}

static PyGetSetDef Tls_getset[] = {
    {"_sslobj", (getter)Tls_get_sslobj, (setter)Tls_set_sslobj, NULL, NULL},
    LIMIT("_incoming_high_water", incoming_high),
    LIMIT("_incoming_low_water", incoming_low),
    LIMIT("_outgoing_high_water", outgoing_high),
    LIMIT("_outgoing_low_water", outgoing_low),
    {NULL, NULL, NULL, NULL, NULL},
};

/* Whether a class's attribute is a method: nothing of that name is set but to replace it. */
static bool
is_method(PyTypeObject *type, PyObject *name)
{
    PyObject *found =
        PyUnicode_Check(name) ? compat_type_lookup(type, name) : NULL;
    bool method =
        found != NULL
        && (PyFunction_Check(found) || Py_IS_TYPE(found, &PyMethodDescr_Type));
    Py_XDECREF(found);
    return method;
}

static int
Tls_setattro(PyObject *self, PyObject *name, PyObject *value)
{
    if (is_method(Py_TYPE(self), name)) {
        ((TlsObject *)self)->replaced = true;
    }
    return PyObject_GenericSetAttr(self, name, value);
}

/* ---- the protocol: methods ---- */

static PyObject *
Tls__do_handshake(TlsObject *self, PyObject *Py_UNUSED(ignored))
{
    ModuleState *state = self->state;
    return tls_is_direct(self)
               ? tls_handshake(self)
               : tls_call_asyncio(self, STATE_NAME(state, _do_handshake),
                                  NULL);
}

static PyObject *
Tls__do_read(TlsObject *self, PyObject *Py_UNUSED(ignored))
{
    return tls_is_direct(self)
               ? none_or_null(tls_read(self))
               : tls_call_asyncio(self, STATE_NAME(self->state, _do_read),
                                  NULL);
}

static PyObject *
Tls__process_outgoing(TlsObject *self, PyObject *Py_UNUSED(ignored))
{
    ModuleState *state = self->state;
    return tls_is_direct(self)
               ? none_or_null(tls_send_records(self))
               : tls_call_asyncio(self, STATE_NAME(state, _process_outgoing),
                                  NULL);
}

static PyObject *
Tls__get_read_buffer_size(TlsObject *self, PyObject *Py_UNUSED(ignored))
{
    ModuleState *state = self->state;
    return tls_is_direct(self)
               ? PyLong_FromSize_t(tls_bridge_unread(self->in))
               : tls_call_asyncio(
                     self, STATE_NAME(state, _get_read_buffer_size), NULL);
}

/* Of any pieces: a list or a tuple is looked through here. */
static PyObject *
write_pieces(TlsObject *self, PyObject *pieces)
{
    if (!PyList_CheckExact(pieces) && !PyTuple_CheckExact(pieces)) {
        return tls_call_asyncio(self, STATE_NAME(self->state, _write_appdata),
                                pieces);
    }
    /* A copy: a list may change while OpenSSL calls the program. */
    PyObject *copy = PySequence_Tuple(pieces);
    if (copy == NULL) {
        return NULL;
    }
    int err = tls_write(self, copy);
    Py_DECREF(copy);
    return none_or_null(err);
}

static PyObject *
Tls__write_appdata(TlsObject *self, PyObject *list_of_data)
{
    return write_pieces(self, list_of_data);
}

static PyMethodDef Tls_methods[] = {
    METHOD_NOARGS(Tls, _do_handshake, "Go on with the handshake."),
    METHOD_NOARGS(Tls, _do_read, "Hand the program what has come."),
    METHOD_NOARGS(Tls, _process_outgoing, "Send the records that are there."),
    METHOD_NOARGS(Tls, _get_read_buffer_size,
                  "How many bytes have come and are not read."),
    METHOD_ONEARG(Tls, _write_appdata, ", list_of_data",
                  "Encrypt the pieces of data, and send them."),
    {NULL, NULL, 0, NULL},
};

/* ---- the protocol: memory ---- */

static ModuleState *
state_of(PyTypeObject *type)
{
    PyObject *module = PyType_GetModuleByDef(type, &core_module);
    return module == NULL ? NULL : PyModule_GetState(module);
}

/* Both types stand before a class of asyncio's, and make nothing by themselves. -1 with
 * TypeError. */
static int
check_type(PyTypeObject *type, PyTypeObject *own)
{
    if (type != own) {
        return 0;
    }
    PyErr_Format(PyExc_TypeError, "cannot create '%s' instances",
                 type->tp_name);
    return -1;
}

static PyObject *
Tls_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
        PyObject *Py_UNUSED(kwargs))
{
    ModuleState *state = state_of(type);
    if (state == NULL || check_type(type, state->tls_type) < 0) {
        return NULL;
    }
    TlsObject *self = (TlsObject *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->state = state;
    }
    return (PyObject *)self;
}

static int
Tls_traverse(TlsObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->phase);
    Py_VISIT(self->transport);
    Py_VISIT(self->app_protocol);
    Py_VISIT(self->app_get_buffer);
    Py_VISIT(self->app_buffer_updated);
    Py_VISIT(self->sslobj);
    Py_VISIT(self->backlog);
    Py_VISIT(self->ssl_socket);
    Py_VISIT(self->reader.ref);
    return 0;
}

static int
Tls_clear(TlsObject *self)
{
    Py_CLEAR(self->phase);
    Py_CLEAR(self->transport);
    Py_CLEAR(self->app_protocol);
    Py_CLEAR(self->app_get_buffer);
    Py_CLEAR(self->app_buffer_updated);
    Py_CLEAR(self->sslobj);
    Py_CLEAR(self->backlog);
    tls_forget_ssl(self);
    Py_CLEAR(self->reader.ref);
    return 0;
}

PyDoc_STRVAR(Tls_doc, "What asyncio's SSLProtocol does for each record; "
                      "pyaio._tls.SSLProtocol builds on it.");

static PyType_Slot Tls_slots[] = {
    {Py_tp_doc, (void *)Tls_doc},
    {Py_tp_new, Tls_new},
    {Py_tp_dealloc, module_type_dealloc},
    {Py_tp_traverse, Tls_traverse},
    {Py_tp_clear, Tls_clear},
    {Py_tp_methods, Tls_methods},
    {Py_tp_members, Tls_members},
    {Py_tp_getset, Tls_getset},
    {Py_tp_setattro, Tls_setattro},
    {0, NULL},
};

static PyType_Spec Tls_spec = {
    .name = "pyaio._core.SSLProtocol",
    .basicsize = sizeof(TlsObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = Tls_slots,
};

/* ---- the transport ---- */

static PyObject *
TlsTransport_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
                 PyObject *Py_UNUSED(kwargs))
{
    ModuleState *state = state_of(type);
    return state == NULL || check_type(type, state->tls_transport_type) < 0
               ? NULL
               : type->tp_alloc(type, 0);
}

/* In the section of the SSL transport's loop, which reads by the same SSL. */
static PyObject *
visit_and_write(TlsObject *tls, PyObject *transport, PyObject *pieces)
{
    ModuleState *state = tls->state;
    PyObject *loop = PyObject_GetAttr(transport, STATE_NAME(state, _loop));
    PyObject *result = NULL;
    if (loop != NULL && PyObject_TypeCheck(loop, state->loop_type)) {
        ENGINE_BEGIN(engine_of_loop(loop));
        result = write_pieces(tls, pieces);
        ENGINE_END();
    }
    else if (loop != NULL) {
        result = write_pieces(tls, pieces);
    }
    Py_XDECREF(loop);
    return result;
}

static PyObject *
write_in_loop(TlsObject *tls, PyObject *transport, PyObject *pieces)
{
    return PYAIO_FREE_THREADED ? visit_and_write(tls, transport, pieces)
                               : write_pieces(tls, pieces);
}

/* protocol._write_appdata(pieces): of ours without the call. */
static PyObject *
write_to_protocol(PyObject *transport, PyObject *pieces)
{
    ModuleState *state = state_of(Py_TYPE(transport));
    PyObject *protocol =
        state ? PyObject_GetAttr(transport, STATE_NAME(state, _ssl_protocol))
              : NULL;
    if (protocol == NULL) {
        return NULL;
    }
    TlsObject *tls = tls_of_protocol(state, protocol);
    PyObject *result =
        tls && !tls->replaced
            ? write_in_loop(tls, transport, pieces)
            : PyObject_CallMethodOneArg(
                  protocol, STATE_NAME(state, _write_appdata), pieces);
    Py_DECREF(protocol);
    return result;
}

static PyObject *
type_error(PyObject *data)
{
    PyObject *name = PyType_GetName(Py_TYPE(data));
    if (name != NULL) {
        PyErr_Format(PyExc_TypeError,
                     "data: expecting a bytes-like instance, got %U", name);
        Py_DECREF(name);
    }
    return NULL;
}

static PyObject *
TlsTransport_write(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                   PyObject *kwnames)
{
    PyObject *data = method_argument("write", "data", args, nargs, kwnames);
    if (data == NULL) {
        return NULL;
    }
    if (!PyBytes_Check(data) && !PyByteArray_Check(data)
        && !PyMemoryView_Check(data)) {
        return type_error(data);
    }
    int some = PyObject_IsTrue(data);
    if (some <= 0) {
        return none_or_null(some);
    }
    PyObject *pieces = PyTuple_Pack(1, data);
    PyObject *result = pieces ? write_to_protocol(self, pieces) : NULL;
    Py_XDECREF(pieces);
    return result;
}

static PyObject *
TlsTransport_writelines(PyObject *self, PyObject *const *args,
                        Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *lines =
        method_argument("writelines", "list_of_data", args, nargs, kwnames);
    return lines ? write_to_protocol(self, lines) : NULL;
}

PyDoc_STRVAR(TlsTransport_doc, "What asyncio's transport of TLS does for each write; "
                               "pyaio._tls builds on it.");

static PyMethodDef TlsTransport_methods[] = {
    METHOD_FASTCALL(TlsTransport, write, ", data",
                    "Send bytes, at once or as soon as it goes."),
    METHOD_FASTCALL(
        TlsTransport, writelines, ", list_of_data",
        "Send the chunks of bytes of an iterable, one after the other."),
    {NULL, NULL, 0, NULL},
};

static PyType_Slot TlsTransport_slots[] = {
    {Py_tp_doc, (void *)TlsTransport_doc},
    {Py_tp_new, TlsTransport_new},
    {Py_tp_methods, TlsTransport_methods},
    {0, NULL},
};

/* Without fields: it stands beside asyncio's class, which has some. */
static PyType_Spec TlsTransport_spec = {
    .name = "pyaio._core.SSLTransport",
    .basicsize = sizeof(PyObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = TlsTransport_slots,
};

/* ---- set-up ---- */

static int
find_phases(ModuleState *state)
{
    PyObject *phases = state->ssl_phases;
    bool all =
        (state->tls_handshake = PyObject_GetAttrString(phases, "DO_HANDSHAKE"))
        && (state->tls_wrapped = PyObject_GetAttrString(phases, "WRAPPED"))
        && (state->tls_flushing = PyObject_GetAttrString(phases, "FLUSHING"))
        && (state->tls_shutdown = PyObject_GetAttrString(phases, "SHUTDOWN"));
    return all ? 0 : -1;
}

int
tls_setup(PyObject *module, ModuleState *state)
{
    return find_phases(state) < 0
                   || module_add_type(module, &Tls_spec, NULL,
                                      &state->tls_type)
                          < 0
                   || module_add_type(module, &TlsTransport_spec, NULL,
                                      &state->tls_transport_type)
                          < 0
               ? -1
               : 0;
}
