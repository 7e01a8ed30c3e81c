/* What Python sees of all transports: methods, attributes, memory. The tables of
 * net/stream_type.c, net/datagram_type.c and net/pipe_type.c lead here. */
#include "base/compat.h"
#include "base/errors.h"
#include "engine/report.h"
#include "net/transport.h"
#include "net/transport_log.h"

/* ---- methods ---- */

PyObject *
Transport_is_closing(Transport *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(self->closing);
}

PyObject *
Transport_get_protocol(Transport *self, PyObject *Py_UNUSED(ignored))
{
    return or_none(self->protocol);
}

PyObject *
Transport_set_protocol(Transport *self, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"protocol", NULL};
    PyObject *protocol;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:set_protocol", keywords,
                                     &protocol)) {
        return NULL;
    }
    Py_XSETREF(self->protocol, Py_NewRef(protocol));
    Py_RETURN_NONE;
}

static bool
is_reading(const Transport *self)
{
    return !self->closing && !self->paused;
}

static PyObject *
log_and_return(Transport *self, const char *format)
{
    return none_or_null(
        transport_log(self->engine, (PyObject *)self, "debug", format));
}

PyObject *
Transport_is_reading(Transport *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(is_reading(self));
}

PyObject *
Transport_pause_reading(Transport *self, PyObject *Py_UNUSED(ignored))
{
    if (!is_reading(self)) {
        Py_RETURN_NONE;
    }
    self->paused = true;
    self->reading = false;
    transport_update_watch(self);
    return log_and_return(self, "%r pauses reading");
}

PyObject *
Transport_resume_reading(Transport *self, PyObject *Py_UNUSED(ignored))
{
    if (self->closing || !self->paused) {
        Py_RETURN_NONE;
    }
    /* From here on reads call the protocol in the context of who resumed. */
    PyObject *context = transport_copy_context(self);
    if (context == NULL) {
        return NULL;
    }
    PyObject *before = self->context;
    self->context = context;
    self->paused = false;
    self->reading = true;
    transport_update_watch(self);
    Py_DECREF(before); /* may call the program: last */
    return log_and_return(self, "%r resumes reading");
}

PyObject *
Transport_get_write_buffer_limits(Transport *self,
                                  PyObject *Py_UNUSED(ignored))
{
    return flow_get_limits(&self->flow);
}

PyMemberDef Transport_members[] = {
    {"__dictoffset__", T_PYSSIZET, offsetof(Transport, dict), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Transport, weakrefs), READONLY,
     NULL},
    {NULL, 0, 0, 0, NULL},
};

/* ---- what is known of it ---- */

const char *
transport_class(Transport *self)
{
    const char *name = Py_TYPE(self)->tp_name;
    const char *dot = strrchr(name, '.');
    return dot ? dot + 1 : name;
}

int
transport_info_arguments(PyObject *args, PyObject *kwargs, PyObject **name,
                         PyObject **fallback)
{
    static char *keywords[] = {"name", "default", NULL};
    *fallback = Py_None;
    return PyArg_ParseTupleAndKeywords(args, kwargs, "O|O:get_extra_info",
                                       keywords, name, fallback)
               ? 0
               : -1;
}

PyObject *
transport_info(PyObject *extra, PyObject *name, PyObject *fallback)
{
    PyObject *value = extra ? PyDict_GetItemWithError(extra, name) : NULL;
    if (value == NULL && PyErr_Occurred()) {
        return NULL;
    }
    return Py_NewRef(value ? value : fallback);
}

static PyObject *
polling_info(Transport *self, size_t queued)
{
    return PyUnicode_FromFormat(
        " read=%s write=<%s, bufsize=%zu>", self->reading ? "polling" : "idle",
        self->write_armed ? "polling" : "idle", queued);
}

PyObject *
transport_repr(Transport *self, bool closed, size_t queued)
{
    const char *state = closed ? " closed" : self->closing ? " closing" : "";
    PyObject *polling = closed || self->engine->closed
                            ? PyUnicode_FromString("")
                            : polling_info(self, queued);
    if (polling == NULL) {
        return NULL;
    }
    PyObject *repr = PyUnicode_FromFormat(
        "<%s%s fd=%d%U>", transport_class(self), state, self->fd, polling);
    Py_DECREF(polling);
    return repr;
}

/* ---- memory ---- */

int
transport_traverse(Transport *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->loop);
    Py_VISIT(self->protocol);
    Py_VISIT(self->own_context);
    Py_VISIT(self->context);
    Py_VISIT(self->write_context);
    Py_VISIT(self->extra);
    Py_VISIT(self->dict);
    return 0;
}

void
transport_clear(Transport *self)
{
    Py_CLEAR(self->protocol);
    Py_CLEAR(self->extra);
    Py_CLEAR(self->dict);
}

void
transport_finalize(PyObject *transport, int (*close)(PyObject *))
{
    PyObject *raised = PyErr_GetRaisedException();
    if (PyErr_ResourceWarning(transport, 1, "unclosed transport %R", transport)
        < 0) {
        report_unraisable("an unclosed transport");
    }
    if (close(transport) < 0) {
        report_unraisable("an unclosed transport");
    }
    if (raised != NULL) {
        PyErr_SetRaisedException(raised);
    }
}

void
transport_dealloc(PyObject *transport, void (*release)(PyObject *))
{
    if (PyObject_CallFinalizerFromDealloc(transport) < 0) {
        return; /* somebody has taken a reference */
    }
    Transport *self = (Transport *)transport;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs(transport);
    }
    (void)type->tp_clear(transport);
    release(transport);
    Py_CLEAR(self->own_context);
    Py_CLEAR(self->context);
    Py_CLEAR(self->write_context);
    Py_CLEAR(self->loop);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- the type ---- */

int
transport_add_max_size(PyTypeObject *type)
{
    PyObject *size = PyLong_FromLong(ENGINE_SCRATCH_SIZE);
    int err = size == NULL
                  ? -1
                  : PyObject_SetAttrString((PyObject *)type, "max_size", size);
    Py_XDECREF(size);
    return err;
}
