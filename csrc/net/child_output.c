/* Takes a child's output from its pipe to its StreamReader. Called by
 * net/pipe_read.c.
 *
 * In asyncio the pipe's protocol tells the transport of the process
 * (_pipe_data_received), which has call_soon() tell the protocol of the process
 * (pipe_data_received), which feeds the reader. So the bytes arrive one turn after
 * they were read, in order with the end of the pipe and of the process, which are
 * told by the same way. Here they wait in an entry of the ready queue. */
#include "net/child_output.h"

#include "engine/overrides.h"
#include "engine/report.h"

/* ---- are the methods and the objects asyncio's own? ---- */

/* On the way, in this order; the indices of ModuleState.child_codes. */
enum {
    PIPE_DATA,    /* ReadSubprocessPipeProto.data_received */
    PROCESS_DATA, /* _UnixSubprocessTransport._pipe_data_received */
    PROCESS_CALL, /* _UnixSubprocessTransport._call */
    FEED,         /* SubprocessStreamProtocol.pipe_data_received */
    METHODS,
};

static PyObject *
method_name(ModuleState *state, int method)
{
    PyObject *names[METHODS] = {
        [PIPE_DATA] = STATE_NAME(state, data_received),
        [PROCESS_DATA] = STATE_NAME(state, _pipe_data_received),
        [PROCESS_CALL] = STATE_NAME(state, _call),
        [FEED] = STATE_NAME(state, pipe_data_received),
    };
    return names[method];
}

int
child_output_setup(ModuleState *state)
{
    PyObject *types[METHODS] = {
        [PIPE_DATA] = state->child_read_protocol,
        [PROCESS_DATA] = state->child_transport,
        [PROCESS_CALL] = state->child_transport,
        [FEED] = state->child_protocol,
    };
    PyObject *codes = PyTuple_New(METHODS);
    for (int i = 0; codes != NULL && i < METHODS; i++) {
        PyObject *function = PyObject_GetAttr(types[i], method_name(state, i));
        if (function == NULL) {
            Py_CLEAR(codes);
            break;
        }
        PyTuple_SET_ITEM(codes, i,
                         Py_NewRef(PyFunction_Check(function)
                                       ? PyFunction_GET_CODE(function)
                                       : Py_None));
        Py_DECREF(function);
    }
    state->child_codes = codes;
    return codes == NULL ? -1 : 0;
}

/* 1 when that method of the object has the code that it had at import, 0 when not,
 * -1 on error. */
static int
method_is_plain(ModuleState *state, PyObject *object, int method)
{
    PyObject *bound = PyObject_GetAttr(object, method_name(state, method));
    if (bound == NULL) {
        return -1;
    }
    int plain = 0;
    if (PyMethod_Check(bound) && PyMethod_GET_SELF(bound) == object
        && PyFunction_Check(PyMethod_GET_FUNCTION(bound))) {
        plain = PyFunction_GET_CODE(PyMethod_GET_FUNCTION(bound))
                == PyTuple_GET_ITEM(state->child_codes, method);
    }
    Py_DECREF(bound);
    return plain;
}

/* The protocol of the process, where transport and protocol are asyncio's own and the
 * pipes are connected. New reference; NULL where not, or with an exception set. */
static PyObject *
protocol_of_process(PipeObject *pipe, PyObject *process)
{
    ModuleState *state = pipe->engine->state;
    if (!Py_IS_TYPE(process, (PyTypeObject *)state->child_transport)
        || method_is_plain(state, process, PROCESS_DATA) <= 0
        || method_is_plain(state, process, PROCESS_CALL) <= 0) {
        return NULL;
    }
    PyObject *pending =
        PyObject_GetAttr(process, STATE_NAME(state, _pending_calls));
    PyObject *loop =
        pending ? PyObject_GetAttr(process, STATE_NAME(state, _loop)) : NULL;
    PyObject *protocol = NULL;
    if (pending == Py_None && loop == pipe->loop) {
        protocol = PyObject_GetAttr(process, STATE_NAME(state, _protocol));
    }
    Py_XDECREF(loop);
    Py_XDECREF(pending);
    if (protocol != NULL
        && (!Py_IS_TYPE(protocol, (PyTypeObject *)state->child_protocol)
            || method_is_plain(state, protocol, FEED) <= 0)) {
        Py_CLEAR(protocol);
    }
    return protocol;
}

/* The same from the protocol of the pipe, with the number of the pipe. */
static PyObject *
protocol_of_pipe(PipeObject *pipe, long *number)
{
    ModuleState *state = pipe->engine->state;
    PyObject *reading = pipe->protocol;
    if (!Py_IS_TYPE(reading, (PyTypeObject *)state->child_read_protocol)
        || method_is_plain(state, reading, PIPE_DATA) <= 0) {
        return NULL;
    }
    PyObject *fd = PyObject_GetAttr(reading, STATE_NAME(state, fd));
    PyObject *process =
        fd ? PyObject_GetAttr(reading, STATE_NAME(state, proc)) : NULL;
    PyObject *protocol = NULL;
    if (process != NULL && PyLong_CheckExact(fd)) {
        *number = PyLong_AsLong(fd);
        protocol = protocol_of_process(pipe, process);
    }
    Py_XDECREF(process);
    Py_XDECREF(fd);
    return protocol;
}

/* ---- the bytes on their way ---- */

typedef struct ChildOutput {
    ReadyEntry entry;
    PipeObject *pipe;   /* owned */
    PyObject *protocol; /* owned: of the process */
    char *bytes;        /* the engine's buffer, lent; or in `copy` */
    Py_ssize_t size;
    PyObject *copy; /* owned bytes, where another has the buffer; or NULL */
    long number;    /* of the pipe: 1 is stdout, 2 is stderr */
} ChildOutput;

static ChildOutput *
output_of(ReadyEntry *entry)
{
    return CONTAINER_OF(entry, ChildOutput, entry);
}

static void
output_discard(ReadyEntry *entry)
{
    ChildOutput *output = output_of(entry);
    if (output->copy == NULL) {
        engine_return_scratch(output->pipe->engine, output->bytes);
    }
    Py_XDECREF(output->copy);
    Py_DECREF(output->protocol);
    Py_DECREF(output->pipe);
    PyMem_Free(output);
}

/* protocol.pipe_data_received(), whoever's it is by now. New reference, NULL on
 * failure. */
static PyObject *
pipe_data_received(ChildOutput *output)
{
    PyObject *number = PyLong_FromLong(output->number);
    PyObject *data =
        output->copy != NULL
            ? Py_NewRef(output->copy)
            : PyBytes_FromStringAndSize(output->bytes, output->size);
    PyObject *result =
        number && data ? PyObject_CallMethodObjArgs(
                             output->protocol,
                             method_name(output->pipe->engine->state, FEED),
                             number, data, NULL)
                       : NULL;
    Py_XDECREF(data);
    Py_XDECREF(number);
    return result;
}

/* The same in a context of its own. -1 with an exception set. */
static int
call_protocol(ChildOutput *output)
{
    PyObject *context = PyContext_Copy(output->pipe->context);
    PyObject *result = NULL;
    if (context != NULL && PyContext_Enter(context) == 0) {
        result = pipe_data_received(output);
        if (PyContext_Exit(context) < 0) {
            Py_CLEAR(result);
        }
    }
    Py_XDECREF(context);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* 1 when the reader of the pipe has the bytes, or there is none; 0 when the protocol
 * is to be called, -1 on error. */
static int
feed_reader(ChildOutput *output)
{
    ModuleState *state = output->pipe->engine->state;
    int plain = method_is_plain(state, output->protocol, FEED);
    if (plain <= 0) {
        return plain;
    }
    if (output->number != 1 && output->number != 2) {
        return 1;
    }
    PyObject *reader = PyObject_GetAttr(
        output->protocol, output->number == 1 ? STATE_NAME(state, stdout)
                                              : STATE_NAME(state, stderr));
    if (reader == NULL) {
        return -1;
    }
    int fed = 1;
    if (reader != Py_None) {
        fed = stream_reader_feed_known(output->pipe->engine,
                                       &output->pipe->reader, reader,
                                       output->bytes, output->size);
    }
    Py_DECREF(reader);
    return fed;
}

static int
output_run(ReadyEntry *entry, Engine *engine)
{
    ChildOutput *output = output_of(entry);
    int fed = feed_reader(output);
    int err = fed == 0 ? call_protocol(output) : fed;
    if (err < 0) {
        err = report_raised(engine,
                            "Exception in callback "
                            "SubprocessStreamProtocol.pipe_data_received()",
                            "protocol", output->protocol, NULL);
    }
    output_discard(entry);
    return err < 0 ? -1 : 0;
}

static int
output_traverse(ReadyEntry *entry, visitproc visit, void *arg)
{
    Py_VISIT(output_of(entry)->pipe);
    Py_VISIT(output_of(entry)->protocol);
    return 0;
}

static PyObject *
output_subject(ReadyEntry *entry)
{
    return Py_NewRef(output_of(entry)->protocol);
}

static const ReadyOps output_ops = {
    .run = output_run,
    .discard = output_discard,
    .traverse = output_traverse,
    .subject = output_subject,
};

/* Has the bytes of the engine's buffer last until the next turn: the buffer itself,
 * of which one is lent at a time, or a copy. -1 with MemoryError. */
static int
keep_bytes(ChildOutput *output, const char *bytes)
{
    output->bytes = engine_lend_scratch(output->pipe->engine);
    if (output->bytes == NULL) {
        output->copy = PyBytes_FromStringAndSize(bytes, output->size);
        if (output->copy == NULL) {
            return -1;
        }
        output->bytes = PyBytes_AS_STRING(output->copy);
    }
    return 0;
}

/* Steals `protocol`. */
static int
push_output_steal(PipeObject *pipe, PyObject *protocol, long number,
                  const char *bytes, Py_ssize_t size)
{
    ChildOutput *output = PyMem_Malloc(sizeof(*output));
    if (output == NULL) {
        Py_DECREF(protocol);
        PyErr_NoMemory();
        return -1;
    }
    *output = (ChildOutput){
        .entry.ops = &output_ops,
        .pipe = pipe,
        .protocol = protocol,
        .size = size,
        .number = number,
    };
    if (keep_bytes(output, bytes) < 0) {
        Py_DECREF(protocol);
        PyMem_Free(output);
        return -1;
    }
    Py_INCREF(pipe);
    engine_push(pipe->engine, &output->entry);
    return 0;
}

int
child_output_take(PipeObject *pipe, const char *bytes, Py_ssize_t size)
{
    Engine *engine = pipe->engine;
    if (engine->debug) {
        return 0; /* debug mode sees each call */
    }
    if (overrides_check(engine) < 0) {
        return -1;
    }
    if (engine->overrides & OVERRIDE_CALL_SOON) {
        return 0;
    }
    long number = -1;
    PyObject *protocol = protocol_of_pipe(pipe, &number);
    if (protocol == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    return push_output_steal(pipe, protocol, number, bytes, size) < 0 ? -1 : 1;
}
