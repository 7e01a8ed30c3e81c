/* The pipe transports as Python sees them: methods, attributes, memory. Their work is
 * done by the other pipe files. */
#include "base/compat.h"
#include "base/errors.h"
#include "base/members.h"
#include "net/child_output.h"
#include "net/pipe.h"
#include "net/transport.h"
#include "net/transport_log.h"

/* ---- of both ends ---- */

static PyObject *
Pipe_close(PipeObject *self, PyObject *Py_UNUSED(ignored))
{
    return none_or_null(pipe_close(self));
}

static PyObject *
Pipe_is_closing(PipeObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(self->closing);
}

static PyObject *
Pipe_set_protocol(PipeObject *self, PyObject *args, PyObject *kwargs)
{
    return transport_set_protocol(&self->protocol, args, kwargs);
}

static PyObject *
Pipe_get_protocol(PipeObject *self, PyObject *Py_UNUSED(ignored))
{
    return or_none(self->protocol);
}

static PyObject *
Pipe_get_extra_info(PipeObject *self, PyObject *args, PyObject *kwargs)
{
    PyObject *name, *fallback;
    /* Whoever asks for the pipe may write to it. */
    if (transport_info_arguments(args, kwargs, &name, &fallback) < 0
        || pipe_send_gathered(self) < 0) {
        return NULL;
    }
    return transport_info(self->extra, name, fallback);
}

static PyObject *
Pipe__start(PipeObject *self, PyObject *waiter)
{
    return none_or_null(pipe_start(self, waiter));
}

static PyObject *
Pipe__call_connection_lost(PipeObject *self, PyObject *exc)
{
    if (self->pipe == NULL) {
        Py_RETURN_NONE;
    }
    return none_or_null(pipe_finish(self, exc));
}

/* Where the loop has been closed asyncio finds no selector to ask. */
static PyObject *
Pipe_repr(PipeObject *self)
{
    const char *state = self->pipe == NULL ? " closed"
                        : self->closing    ? " closing"
                                           : "";
    bool polling = self->writes ? self->write_armed : self->reading;
    bool asked = self->pipe != NULL && !self->engine->closed;
    const char *polls = asked                ? polling ? "polling" : "idle"
                        : self->pipe == NULL ? "closed"
                                             : "open";
    if (self->writes && asked) {
        return PyUnicode_FromFormat("<WritePipeTransport%s fd=%d %s "
                                    "bufsize=%zu>",
                                    state, self->fd, polls, self->queue.size);
    }
    return PyUnicode_FromFormat("<%s%s fd=%d %s>",
                                self->writes ? "WritePipeTransport"
                                             : "ReadPipeTransport",
                                state, self->fd, polls);
}

/* ---- of the end that reads ---- */

static bool
pipe_is_reading(PipeObject *self)
{
    return !self->closing && !self->paused;
}

static PyObject *
Pipe_is_reading(PipeObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(pipe_is_reading(self));
}

static PyObject *
Pipe_pause_reading(PipeObject *self, PyObject *Py_UNUSED(ignored))
{
    if (!pipe_is_reading(self)) {
        Py_RETURN_NONE;
    }
    self->paused = true;
    self->reading = false;
    pipe_update_watch(self);
    return none_or_null(transport_log(self->engine, (PyObject *)self, "debug",
                                      "%r pauses reading"));
}

static PyObject *
Pipe_resume_reading(PipeObject *self, PyObject *Py_UNUSED(ignored))
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
    pipe_update_watch(self);
    Py_DECREF(before); /* may call the program: last */
    return none_or_null(transport_log(self->engine, (PyObject *)self, "debug",
                                      "%r resumes reading"));
}

/* ---- of the end that writes ---- */

static PyObject *
Pipe_write(PipeObject *self, PyObject *const *args, Py_ssize_t nargs,
           PyObject *kwnames)
{
    Py_ssize_t named = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    if (nargs + named != 1
        || (named == 1
            && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, 0),
                                                "data")
                   != 0)) {
        PyErr_SetString(PyExc_TypeError,
                        "write() takes exactly one argument: 'data'");
        return NULL;
    }
    return none_or_null(pipe_write(self, args[0]));
}

static PyObject *
Pipe_can_write_eof(PipeObject *Py_UNUSED(self), PyObject *Py_UNUSED(ignored))
{
    Py_RETURN_TRUE;
}

static PyObject *
Pipe_abort(PipeObject *self, PyObject *Py_UNUSED(ignored))
{
    if (pipe_send_gathered(self) < 0) {
        return NULL;
    }
    return none_or_null(pipe_force_close(self, Py_None));
}

static PyObject *
Pipe_get_write_buffer_size(PipeObject *self, PyObject *Py_UNUSED(ignored))
{
    if (pipe_send_gathered(self) < 0) {
        return NULL;
    }
    return PyLong_FromSize_t(self->queue.size);
}

static PyObject *
Pipe_get_write_buffer_limits(PipeObject *self, PyObject *Py_UNUSED(ignored))
{
    return flow_get_limits(&self->flow);
}

static PyObject *
Pipe_set_write_buffer_limits(PipeObject *self, PyObject *args,
                             PyObject *kwargs)
{
    if (flow_set_limits(&self->flow, args, kwargs) < 0
        || pipe_send_gathered(self) < 0) {
        return NULL;
    }
    return none_or_null(pipe_flow_pause(self));
}

/* ---- private attributes that libraries read ---- */

static PyObject *
Pipe_get_loop(PipeObject *self, void *Py_UNUSED(closure))
{
    return or_none(self->pipe == NULL ? NULL : self->loop);
}

/* None, by who has closed the file himself: nothing is left to be done. */
static int
Pipe_set_pipe(PipeObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    if (value != Py_None) {
        PyErr_SetString(PyExc_AttributeError,
                        "attribute '_pipe' can be set to None only");
        return -1;
    }
    PyObject *pipe = self->pipe;
    self->pipe = NULL;
    self->closing = true;
    self->reading = false;
    self->write_armed = false;
    watcher_drop(&self->watcher);
    write_queue_clear(&self->queue);
    Py_XDECREF(pipe);
    return 0;
}

#define PIPE_FIELDS                                                           \
    MEMBER_DICT, {"_loop", (getter)Pipe_get_loop, NULL, NULL, NULL},          \
        MEMBER("_fileno", int, PipeObject, fd),                               \
        MEMBER("_protocol", object, PipeObject, protocol),                    \
        {"_pipe", member_object, (setter)Pipe_set_pipe, NULL,                 \
         (void *)offsetof(PipeObject, pipe)},                                 \
        MEMBER("_extra", object, PipeObject, extra),                          \
        MEMBER("_closing", flag, PipeObject, closing)

static PyGetSetDef ReadPipe_getset[] = {
    PIPE_FIELDS,
    MEMBER("_paused", flag, PipeObject, paused),
    {NULL, NULL, NULL, NULL, NULL},
};

static PyGetSetDef WritePipe_getset[] = {
    PIPE_FIELDS,
    MEMBER("_conn_lost", count, PipeObject, lost_writes),
    MEMBER("_protocol_paused", flag, PipeObject, flow.paused),
    MEMBER("_high_water", size, PipeObject, flow.high_water),
    MEMBER("_low_water", size, PipeObject, flow.low_water),
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef Pipe_members[] = {
    {"__dictoffset__", T_PYSSIZET, offsetof(PipeObject, dict), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(PipeObject, weakrefs),
     READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

/* ---- memory ---- */

static int
Pipe_traverse(PipeObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->loop);
    Py_VISIT(self->protocol);
    Py_VISIT(self->pipe);
    Py_VISIT(self->extra);
    Py_VISIT(self->reader.ref);
    Py_VISIT(self->context);
    Py_VISIT(self->write_context);
    Py_VISIT(self->dict);
    return 0;
}

/* Leaves to the dealloc `loop`, which the end of the watcher needs, `pipe`, which
 * owns the fd, and the contexts. */
static int
Pipe_clear(PipeObject *self)
{
    Py_CLEAR(self->protocol);
    Py_CLEAR(self->extra);
    Py_CLEAR(self->reader.ref);
    Py_CLEAR(self->dict);
    return 0;
}

static int
end_unclosed(PyObject *self)
{
    return pipe_close_file((PipeObject *)self);
}

static void
Pipe_finalize(PipeObject *self)
{
    if (self->pipe != NULL) {
        transport_finalize((PyObject *)self, end_unclosed);
    }
}

static void
Pipe_dealloc(PipeObject *self)
{
    if (PyObject_CallFinalizerFromDealloc((PyObject *)self) < 0) {
        return; /* somebody has taken a reference */
    }
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    Pipe_clear(self);
    write_queue_clear(&self->queue);
    Py_CLEAR(self->context);
    Py_CLEAR(self->write_context);
    Py_CLEAR(self->pipe);
    Py_CLEAR(self->loop);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- the types ---- */

/* Each follows the method of asyncio's transport of that name; the last two are
 * what the loop calls. */
#define PIPE_METHODS                                                          \
    METHOD_NOARGS(Pipe, is_closing,                                           \
                  "True once it is closed, or is about to be."),              \
        METHOD_KEYWORDS(Pipe, set_protocol, ", protocol",                     \
                        "Have another protocol called from now on."),         \
        METHOD_NOARGS(Pipe, get_protocol, "The protocol that is called."),    \
        METHOD_KEYWORDS(                                                      \
            Pipe, get_extra_info, ", name, default=None",                     \
            "What is known of the transport: 'pipe', its file object."),      \
        METHOD_ONEARG(                                                        \
            Pipe, _start, ", waiter",                                         \
            "Begin to listen; the waiter, a future, is done. It may be "      \
            "None."),                                                         \
        METHOD_ONEARG(Pipe, _call_connection_lost, ", exc",                   \
                      "Tell the protocol of the end, and close the pipe.")

static PyMethodDef ReadPipe_methods[] = {
    METHOD_NOARGS(Pipe, close, "Close the pipe."),
    METHOD_NOARGS(Pipe, is_reading,
                  "True unless reading is paused or has ended."),
    METHOD_NOARGS(Pipe, pause_reading, "Read nothing until resume_reading()."),
    METHOD_NOARGS(Pipe, resume_reading, "Read again after pause_reading()."),
    PIPE_METHODS,
    {NULL, NULL, 0, NULL},
};

static PyMethodDef WritePipe_methods[] = {
    METHOD_FASTCALL(
        Pipe, write, ", data",
        "Write bytes, at once or as soon as the pipe takes them.\n\n"
        "AssertionError for what is not bytes, bytearray or memoryview."),
    {"write_eof", (PyCFunction)Pipe_close, METH_NOARGS,
     METHOD_DOC(write_eof, "", "The same as close().")},
    METHOD_NOARGS(Pipe, can_write_eof, "True: write_eof() is there."),
    METHOD_NOARGS(Pipe, close,
                  "Close the pipe, after all that is queued is written."),
    METHOD_NOARGS(Pipe, abort, "Close the pipe at once; drop what is queued."),
    METHOD_NOARGS(Pipe, get_write_buffer_size, "How many bytes are queued."),
    METHOD_NOARGS(
        Pipe, get_write_buffer_limits,
        "At how many bytes writing is resumed and paused: (low, high)."),
    METHOD_KEYWORDS(Pipe, set_write_buffer_limits, ", high=None, low=None",
                    "Set at how many bytes writing is paused and resumed.\n\n"
                    "ValueError unless high >= low >= 0."),
    PIPE_METHODS,
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(ReadPipe_doc,
             "The transport of the reading end of a pipe: an "
             "asyncio.ReadTransport with everything\nof asyncio's own.");
PyDoc_STRVAR(WritePipe_doc,
             "The transport of the writing end of a pipe: an "
             "asyncio.WriteTransport with everything\nof asyncio's own.");

#define PIPE_SLOTS(kind)                                                      \
    {Py_tp_doc, (void *)kind##_doc}, {Py_tp_dealloc, Pipe_dealloc},           \
        {Py_tp_finalize, Pipe_finalize}, {Py_tp_traverse, Pipe_traverse},     \
        {Py_tp_clear, Pipe_clear}, {Py_tp_repr, Pipe_repr},                   \
        {Py_tp_methods, kind##_methods}, {Py_tp_getset, kind##_getset},       \
        {Py_tp_members, Pipe_members}, {0, NULL},

static PyType_Slot ReadPipe_slots[] = {PIPE_SLOTS(ReadPipe)};
static PyType_Slot WritePipe_slots[] = {PIPE_SLOTS(WritePipe)};

static PyType_Spec ReadPipe_spec = {
    .name = "pyaio._core.ReadPipeTransport",
    .basicsize = sizeof(PipeObject),
    .flags = MODULE_TYPE_FLAGS,
    .slots = ReadPipe_slots,
};

static PyType_Spec WritePipe_spec = {
    .name = "pyaio._core.WritePipeTransport",
    .basicsize = sizeof(PipeObject),
    .flags = MODULE_TYPE_FLAGS,
    .slots = WritePipe_slots,
};

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
pipe_setup(PyObject *module, ModuleState *state)
{
    if (module_add_type_under(module, &ReadPipe_spec, "asyncio.transports",
                              "ReadTransport", PIPE_BASE_SIZE,
                              &state->read_pipe_type)
            < 0
        || add_max_size(state->read_pipe_type) < 0
        || module_add_type_under(module, &WritePipe_spec, "asyncio.transports",
                                 "_FlowControlMixin", PIPE_BASE_SIZE,
                                 &state->write_pipe_type)
               < 0) {
        return -1;
    }
    return child_output_setup(state);
}
