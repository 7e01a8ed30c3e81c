/* The way of the bytes in: from the pipe to the protocol.
 *
 * The watcher calls pipe_on_readable(), and this reads once into the engine's shared
 * buffer. A StreamReader gets the bytes from there (net/stream_reader.c), that of a
 * child process in the turn after (net/child_output.c); other protocols get a bytes
 * object. What a protocol raises is reported, and the pipe is read on, as in
 * asyncio. */
#include "base/errors.h"
#include "base/platform.h"
#include "engine/handle.h"
#include "net/child_output.h"
#include "net/pipe.h"
#include "net/transport_log.h"

/* The output of a child, in bytes, up to which memory is kept for the next one. */
#define LARGE_OUTPUT (8 * 1024 * 1024)

/* protocol.data_received() with a bytes object. */
static int
data_received(PipeObject *self, const char *bytes, Py_ssize_t size)
{
    PyObject *protocol = Py_XNewRef(self->protocol);
    if (protocol == NULL) {
        return 0; /* looking at it has run code that ended us */
    }
    PyObject *data = PyBytes_FromStringAndSize(bytes, size);
    PyObject *result =
        data ? PyObject_CallMethodOneArg(
                   protocol, STATE_NAME(self->engine->state, data_received),
                   data)
             : NULL;
    Py_XDECREF(data);
    Py_DECREF(protocol);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

static int
deliver(PipeObject *self, const char *bytes, Py_ssize_t size)
{
    int taken = self->of_child
                    ? child_output_take(self, bytes, size)
                    : stream_reader_feed(self->engine, &self->reader,
                                         self->protocol, bytes, size);
    if (taken != 0) {
        return taken < 0 ? -1 : 0;
    }
    return data_received(self, bytes, size);
}

/* eof_received(), whose answer is not asked for, and connection_lost(), both in the
 * next turn. */
static int
read_eof(PipeObject *self)
{
    if (transport_log(self->engine, (PyObject *)self, "info",
                      "%r was closed by peer")
        < 0) {
        return -1;
    }
    self->closing = true;
    self->reading = false;
    pipe_update_watch(self);
    PyObject *received = PyObject_GetAttr(
        self->protocol, STATE_NAME(self->engine->state, eof_received));
    int err = received == NULL
                  ? -1
                  : engine_call_soon(self->engine, received, NULL, NULL);
    Py_XDECREF(received);
    return err < 0 ? -1 : pipe_force_close(self, Py_None);
}

static int
read_failed(PipeObject *self)
{
    if (errors_is_retry(errno)) {
        return 0;
    }
    bool usual = errno == EIO;
    PyErr_SetFromErrno(PyExc_OSError);
    return pipe_fatal(self, "Fatal read error on pipe transport", usual);
}

int
pipe_on_readable(PipeObject *self)
{
    char *scratch = engine_scratch(self->engine);
    if (scratch == NULL) {
        return -1;
    }
    ssize_t count;
    do {
        count = read(self->fd, scratch, ENGINE_SCRATCH_SIZE);
    } while (count < 0 && errno == EINTR);
    if (count <= 0) {
        return count == 0 ? read_eof(self) : read_failed(self);
    }
    if (count >= PLATFORM_PIPE_SIZE && self->of_child && !self->enlarged) {
        /* It was full: the child writes more than it holds. Who collects the output
         * of a child, as communicate() does, has it twice, and lets go of both. */
        self->enlarged = true;
        platform_enlarge_pipe(self->fd, ENGINE_SCRATCH_SIZE);
        platform_expect_blocks(LARGE_OUTPUT);
    }
    return deliver(self, scratch, count);
}
