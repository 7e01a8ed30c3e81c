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
    PyObject *protocol;
    ENGINE_BEGIN(self->engine);
    protocol = or_none(self->protocol);
    ENGINE_END();
    return protocol;
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
    PyObject *before;
    ENGINE_BEGIN(self->engine);
    before = self->protocol;
    self->protocol = Py_NewRef(protocol);
    ENGINE_END();
    Py_XDECREF(before);
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
    bool still;
    ENGINE_BEGIN(self->engine);
    still = is_reading(self); /* the loop may have had a turn before */
    if (still) {
        self->paused = true;
        self->reading = false;
        transport_update_watch(self);
    }
    ENGINE_END();
    return still ? log_and_return(self, "%r pauses reading")
                 : Py_NewRef(Py_None);
}

static inline bool
may_resume(const Transport *self)
{
    return self->paused && !self->closing;
}

PyObject *
Transport_resume_reading(Transport *self, PyObject *Py_UNUSED(ignored))
{
    if (!may_resume(self)) {
        Py_RETURN_NONE;
    }
    if (engine_check_closed(self->engine) < 0) {
        return NULL;
    }
    /* From here on reads call the protocol in the context of who resumed. */
    PyObject *context = transport_copy_context(self);
    if (context == NULL) {
        return NULL;
    }
    PyObject *dropped = context;
    bool still;
    ENGINE_BEGIN(self->engine);
    still = may_resume(self);
    if (still) {
        dropped = self->context;
        self->context = context;
        self->paused = false;
        self->reading = true;
        transport_update_watch(self);
    }
    ENGINE_END();
    Py_DECREF(dropped); /* may call the program: last */
    return still ? log_and_return(self, "%r resumes reading")
                 : Py_NewRef(Py_None);
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

static int
close_in(Engine *engine, PyObject *transport, int (*close)(PyObject *))
{
    int err;
    (void)engine;
    ENGINE_BEGIN(engine);
    err = close(transport);
    ENGINE_END();
    return err;
}

PyObject *
transport_close(void *transport, int (*close)(PyObject *))
{
    Engine *engine = ((Transport *)transport)->engine;
    if (engine_is_away(engine) && inbox_send_home(engine, transport, close)) {
        Py_RETURN_NONE;
    }
    return none_or_null(close_in(engine, transport, close));
}

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

/* Here, where the collector finalizes the file, too, if that is garbage as well: of two
 * threads that close one at once, one would raise. */
static void
close_file(PyObject *file)
{
    Py_INCREF(file);
    PyObject *result = PyObject_CallMethod(file, "close", NULL);
    if (result == NULL) {
        report_unraisable("an unclosed transport");
    }
    Py_XDECREF(result);
    Py_DECREF(file);
}

/* What another thread's collector has found is closed at home. */
static bool
end_at_home(Transport *self, PyObject *file, int (*close)(PyObject *))
{
    if (!engine_is_away(self->engine)) {
        return false;
    }
    self->forsaken = true; /* before: the loop may get the number at once */
    if (file != NULL) {
        close_file(file);
    }
    return inbox_send_home(self->engine, (PyObject *)self, close);
}

/* By pyaio/_asyncio_hooks.py, unless the interpreter is about to take it away. */
static int
warn_unclosed(PyObject *transport)
{
    if (compat_is_finalizing()) {
        return PyErr_ResourceWarning(transport, 1, "unclosed transport %R",
                                     transport);
    }
    PyObject *hooks = PyImport_ImportModule("pyaio._asyncio_hooks");
    PyObject *result =
        hooks ? PyObject_CallMethod(hooks, "warn_unclosed", "O", transport)
              : NULL;
    Py_XDECREF(hooks);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

void
transport_finalize(PyObject *transport, PyObject *file,
                   int (*close)(PyObject *))
{
    Engine *engine = ((Transport *)transport)->engine;
    PyObject *raised = PyErr_GetRaisedException();
    if (warn_unclosed(transport) < 0) {
        report_unraisable("an unclosed transport");
    }
    if (!end_at_home((Transport *)transport, file, close)
        && close_in(engine, transport, close) < 0) {
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
