/* The way of the bytes out, what the program asks: write(), writelines(), write_eof().
 *
 * The first write of a turn goes out at once when nothing is queued and nobody else
 * waits to run. All others are gathered, and leave in one sendmsg() when the turn
 * ends, or when they are much or have waited (net/stream_send.c). */
#include "base/compat.h"
#include "net/lines.h"
#include "net/stream_send.h"

/* A write of so many bytes does not wait for the end of the turn, unless somebody's has
 * to leave before it: what that saves is little beside the copy, and the bytes are in
 * the processor's cache now. */
#define LARGE_WRITE 32768

/* ---- write() ---- */

/* After close() or the end of the connection. */
static int
write_is_lost(StreamObject *stream)
{
    return transport_write_lost((Transport *)stream, &stream->lost_writes,
                                "socket.send() raised exception.");
}

/* While others wait to run in this turn, and once a write of it has gone out. Outside
 * a turn nobody would flush; of a stream that is being closed, a flush must not be what
 * drains it. */
static bool
write_can_wait(StreamObject *stream, size_t size)
{
    Engine *engine = stream->engine;
    if (!engine->in_turn || stream->closing) {
        return false;
    }
    if (stream->wrote_in_turn == engine->turn_id) {
        return true;
    }
    bool joins = size < LARGE_WRITE || !ready_is_empty(&engine->turn_end);
    return joins && !ready_is_empty(&engine->ready);
}

/* Queues bytes behind others or for the end of the turn. */
static int
write_later(StreamObject *stream, PyObject *owner, const char *data,
            size_t size)
{
    PyObject *before;
    if (stream_keep_first_writer(stream, &before) < 0) {
        return -1;
    }
    int err = write_queue_push(&stream->queue, owner, data, size);
    if (err == 0) {
        stream_gather(stream);
    }
    Py_XDECREF(before); /* may call the program */
    return err < 0 ? -1 : stream_send_if_much(stream);
}

static int
write_bytes(StreamObject *stream, PyObject *owner, const char *data,
            size_t size)
{
    if (stream->lost_writes) {
        return write_is_lost(stream);
    }
    if (!write_queue_is_empty(&stream->queue)
        || write_can_wait(stream, size)) {
        return write_later(stream, owner, data, size);
    }
    struct iovec vector = {(void *)data, size};
    ssize_t sent = stream_send(stream, &vector, 1);
    if (sent < 0) {
        return stream_write_failed(stream);
    }
    stream->wrote_in_turn = stream->engine->turn_id;
    if ((size_t)sent == size) {
        return 0;
    }
    PyObject *before;
    if (engine_check_closed(stream->engine) < 0
        || stream_keep_first_writer(stream, &before) < 0) {
        return -1;
    }
    int err = write_queue_push(&stream->queue, owner, data + sent,
                               size - (size_t)sent);
    if (err == 0) {
        stream_set_write_armed(stream, true);
    }
    Py_XDECREF(before); /* may call the program */
    return err < 0 ? -1 : stream_flow_pause(stream);
}

static int
check_may_write(StreamObject *stream, const char *method)
{
    if (stream->eof_written) {
        PyErr_Format(PyExc_RuntimeError, "Cannot call %s() after write_eof()",
                     method);
        return -1;
    }
    if (stream->empty_waiter != NULL) {
        PyErr_Format(PyExc_RuntimeError,
                     "unable to %s; sendfile is in progress", method);
        return -1;
    }
    return 0;
}

static int
type_error(PyObject *data)
{
    PyObject *name = PyType_GetName(Py_TYPE(data));
    if (name != NULL) {
        PyErr_Format(PyExc_TypeError,
                     "data argument must be a " PYAIO_BYTES_LIKE
                     " object, not %R",
                     name);
        Py_DECREF(name);
    }
    return -1;
}

int
stream_write_object(StreamObject *stream, PyObject *data)
{
    if (PyBytes_CheckExact(data)) {
        if (check_may_write(stream, "write") < 0) {
            return -1;
        }
        Py_ssize_t size = PyBytes_GET_SIZE(data);
        return size == 0 ? 0
                         : write_bytes(stream, data, PyBytes_AS_STRING(data),
                                       (size_t)size);
    }
    if (!PyBytes_Check(data) && !PyByteArray_Check(data)
        && !PyMemoryView_Check(data)) {
        return type_error(data);
    }
    if (check_may_write(stream, "write") < 0) {
        return -1;
    }
    int some = PyObject_IsTrue(data);
    if (some <= 0) {
        return some;
    }
    if (stream->lost_writes) {
        return write_is_lost(stream);
    }
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        /* A view that is not contiguous: what send() would say. */
        return stream_program_failed(stream,
                                     "Fatal write error on socket transport");
    }
    int err = view.len == 0
                  ? 0
                  : write_bytes(stream, data, view.buf, (size_t)view.len);
    PyBuffer_Release(&view);
    return err;
}

int
stream_write_memory(StreamObject *stream, const char *data, size_t size)
{
    return check_may_write(stream, "write") < 0
               ? -1
               : write_bytes(stream, Py_None, data, size);
}

/* ---- writelines() and write_eof() ---- */

/* All of the lines or none. */
static int
push_lines(StreamObject *stream, PyObject *lines)
{
    size_t before = stream->queue.count;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(lines); i++) {
        PyObject *line = PyList_GET_ITEM(lines, i);
        size_t size = (size_t)PyBytes_GET_SIZE(line);
        if (size > 0
            && write_queue_push(&stream->queue, line, PyBytes_AS_STRING(line),
                                size)
                   < 0) {
            write_queue_truncate(&stream->queue, before);
            return -1;
        }
    }
    return 0;
}

/* On a closed loop, which sends nothing later. */
static int
write_each_line(StreamObject *stream, PyObject *lines)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(lines); i++) {
        PyObject *line = PyList_GET_ITEM(lines, i);
        if (write_bytes(stream, line, PyBytes_AS_STRING(line),
                        (size_t)PyBytes_GET_SIZE(line))
            < 0) {
            return -1;
        }
    }
    return 0;
}

/* Queues the lines, and sends them unless they can wait. */
static int
write_own_lines(StreamObject *stream, PyObject *lines)
{
    if (stream->engine->closed) {
        return write_each_line(stream, lines);
    }
    bool waits = write_can_wait(stream, 0) || stream->write_armed;
    PyObject *before;
    if (stream_keep_first_writer(stream, &before) < 0) {
        return -1;
    }
    int err = push_lines(stream, lines);
    bool some = !write_queue_is_empty(&stream->queue);
    if (some) {
        stream_gather(stream);
    }
    Py_XDECREF(before); /* may call the program */
    if (err < 0 || !some) {
        stream_forget_writer(stream);
        return err;
    }
    if (!waits && !stream->lost_writes && stream_send_queue(stream) < 0) {
        return -1;
    }
    return stream_send_if_much(stream);
}

int
stream_write_lines(StreamObject *stream, PyObject *lines)
{
    if (check_may_write(stream,
                        PYAIO_WRITELINES_JOINS ? "write" : "writelines")
        < 0) {
        return -1;
    }
    if (!PYAIO_WRITELINES_JOINS) {
        int truth = PyObject_IsTrue(lines);
        if (truth <= 0) {
            return truth; /* nothing, and nothing to iterate over */
        }
        if (stream->lost_writes) {
            return write_is_lost(stream); /* whatever it is */
        }
    }
    PyObject *own = lines_list(lines);
    if (own == NULL) {
        return -1;
    }
    int err;
    if (stream->lost_writes) {
        err = write_is_lost(stream);
    }
    else {
        err = lines_as_bytes(own);
        /* Asking an item for its bytes may have ended the stream. */
        if (err == 0 && !stream->lost_writes) {
            err = write_own_lines(stream, own);
        }
    }
    Py_DECREF(own);
    return err;
}

int
stream_write_eof(StreamObject *stream)
{
    if (stream->closing || stream->eof_written) {
        return 0;
    }
    if (stream_send_gathered(stream) < 0) {
        return -1;
    }
    if (stream->closing || stream->eof_written) {
        return 0;
    }
    stream->eof_written = true;
    return write_queue_is_empty(&stream->queue) ? stream_send_eof(stream) : 0;
}
