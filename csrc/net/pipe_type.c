/* The pipe transports as Python sees them: methods, attributes, memory. Their work is
 * done by the other pipe files. */
#include "base/errors.h"
#include "net/child_output.h"
#include "net/pipe.h"

/* ---- of both ends ---- */

static int
close_pipe(PyObject *self)
{
    return pipe_close((PipeObject *)self);
}

static PyObject *
Pipe_close(PipeObject *self, PyObject *Py_UNUSED(ignored))
{
    return transport_close(self, close_pipe);
}

static PyObject *
get_extra_info_inside(PipeObject *self, PyObject *args, PyObject *kwargs)
{
    PyObject *name, *fallback;
    /* Whoever asks for the pipe may write to it. */
    if (transport_info_arguments(args, kwargs, &name, &fallback) < 0
        || pipe_send_gathered(self) < 0) {
        return NULL;
    }
    return transport_info(self->extra, name, fallback);
}

TRANSPORT_VISIT_KEYWORDS(PipeObject, Pipe_get_extra_info,
                         get_extra_info_inside)

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

/* ---- of the end that writes ---- */

static PyObject *
Pipe_write(PipeObject *self, PyObject *const *args, Py_ssize_t nargs,
           PyObject *kwnames)
{
    PyObject *data = method_argument("write", "data", args, nargs, kwnames);
    int err = -1;
    if (data != NULL) {
        ENGINE_BEGIN(self->engine);
        err = pipe_write(self, data);
        ENGINE_END();
    }
    return none_or_null(err);
}

static PyObject *
Pipe_can_write_eof(PipeObject *Py_UNUSED(self), PyObject *Py_UNUSED(ignored))
{
    Py_RETURN_TRUE;
}

static int
abort_pipe(PyObject *self)
{
    PipeObject *pipe = (PipeObject *)self;
    return pipe_send_gathered(pipe) < 0 ? -1 : pipe_force_close(pipe, Py_None);
}

static PyObject *
Pipe_abort(PipeObject *self, PyObject *Py_UNUSED(ignored))
{
    return transport_close(self, abort_pipe);
}

static PyObject *
get_write_buffer_size_inside(PipeObject *self, PyObject *Py_UNUSED(ignored))
{
    if (pipe_send_gathered(self) < 0) {
        return NULL;
    }
    return PyLong_FromSize_t(self->queue.size);
}

TRANSPORT_VISIT(PipeObject, Pipe_get_write_buffer_size,
                get_write_buffer_size_inside, PyObject *)

static PyObject *
set_write_buffer_limits_inside(PipeObject *self, PyObject *args,
                               PyObject *kwargs)
{
    if (flow_set_limits(&self->flow, args, kwargs) < 0
        || pipe_send_gathered(self) < 0) {
        return NULL;
    }
    return none_or_null(pipe_flow_pause(self));
}

TRANSPORT_VISIT_KEYWORDS(PipeObject, Pipe_set_write_buffer_limits,
                         set_write_buffer_limits_inside)

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
    TRANSPORT_FIELDS, {"_loop", (getter)Pipe_get_loop, NULL, NULL, NULL},     \
        MEMBER("_fileno", int, PipeObject, fd),                               \
        {"_pipe", member_object, (setter)Pipe_set_pipe, NULL,                 \
         (void *)offsetof(PipeObject, pipe)},                                 \
        MEMBER("_extra", object, PipeObject, extra)

static PyGetSetDef ReadPipe_getset[] = {
    PIPE_FIELDS,
    MEMBER("_paused", flag, PipeObject, paused),
    {NULL, NULL, NULL, NULL, NULL},
};

static PyGetSetDef WritePipe_getset[] = {
    PIPE_FIELDS,
    MEMBER("_conn_lost", count, PipeObject, lost_writes),
    TRANSPORT_FLOW_FIELDS,
    {NULL, NULL, NULL, NULL, NULL},
};

/* ---- memory ---- */

static int
Pipe_traverse(PipeObject *self, visitproc visit, void *arg)
{
    Py_VISIT(self->pipe);
    Py_VISIT(self->reader.ref);
    return transport_traverse((Transport *)self, visit, arg);
}

/* Leaves `pipe`, which owns the fd, to the dealloc. */
static int
Pipe_clear(PipeObject *self)
{
    Py_CLEAR(self->reader.ref);
    transport_clear((Transport *)self);
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
        transport_finalize((PyObject *)self, self->pipe, end_unclosed);
    }
}

static void
release(PyObject *self)
{
    PipeObject *pipe = (PipeObject *)self;
    write_queue_clear(&pipe->queue);
    Py_CLEAR(pipe->pipe);
}

static void
Pipe_dealloc(PyObject *self)
{
    transport_dealloc(self, release);
}

/* ---- the types ---- */

/* Each follows the method of asyncio's transport of that name; the last two are
 * what the loop calls. */
#define PIPE_METHODS                                                          \
    TRANSPORT_METHODS, TRANSPORT_SET_PROTOCOL,                                \
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
    TRANSPORT_READ_METHODS,
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
    TRANSPORT_FLOW_METHODS(Pipe),
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
        {Py_tp_members, Transport_members}, {0, NULL},

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

int
pipe_setup(PyObject *module, ModuleState *state)
{
    if (module_add_type_under(module, &ReadPipe_spec, "asyncio.transports",
                              "ReadTransport", TRANSPORT_BASE_SIZE,
                              &state->read_pipe_type)
            < 0
        || transport_add_max_size(state->read_pipe_type) < 0
        || module_add_type_under(module, &WritePipe_spec, "asyncio.transports",
                                 "_FlowControlMixin", TRANSPORT_BASE_SIZE,
                                 &state->write_pipe_type)
               < 0) {
        return -1;
    }
    return child_output_setup(state);
}
