/* The way of the bytes out: from write() to the socket.
 *
 * The first write of a turn goes out at once when nothing is queued and nobody else
 * waits to run. All others are gathered, and leave in one sendmsg() when the turn
 * ends, or when they are much or have waited. What the socket does not take waits
 * for it to become writable; only then is the protocol asked to pause. */
#include "base/compat.h"
#include "base/errors.h"
#include "base/platform.h"
#include "engine/report.h"
#include "net/stream.h"
#include "net/transport.h"

#include <limits.h>
#include <uv.h>

#define VECTORS 64 /* chunks in one sendmsg() */
#define SENDS 16   /* sendmsg() calls of an event, for fairness */

/* Above the high-water mark gathering goes on as long as it is quick, and to twelve
 * times the mark or so many bytes. Each send may wake the receiver, which costs as
 * much as to copy 64 KiB; one that still copies needs not be woken. */
#define GATHERED_MARKS 12
#define GATHERED_MAXIMUM ((size_t)768 * 1024)
#define GATHERED_NS 200000

/* ---- sending ---- */

/* The system call. One chunk goes by send(): the kernel copies neither a header nor
 * a vector for it, a thirtieth of what a small message costs. */
static ssize_t
send_now(int fd, struct iovec *vectors, int count)
{
    if (count == 1) {
        return send(fd, vectors->iov_base, vectors->iov_len,
                    PLATFORM_SEND_FLAGS);
    }
    struct msghdr message = {
        .msg_iov = vectors,
        .msg_iovlen = (size_t)count,
    };
    return sendmsg(fd, &message, PLATFORM_SEND_FLAGS);
}

/* How many bytes the socket took, 0 when it takes none now; -1 with OSError. */
static ssize_t
send_vectors(StreamObject *stream, struct iovec *vectors, int count)
{
    ssize_t sent;
    do {
        sent = send_now(stream->fd, vectors, count);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0) {
        if (errors_is_retry(errno)) {
            return 0;
        }
        PyErr_SetFromErrno(PyExc_OSError);
    }
    stream->engine->poll_now = true; /* the answer may be there already */
    return sent;
}

static int
write_failed(StreamObject *stream)
{
    PyObject *exc = PyErr_GetRaisedException();
    PyErr_SetRaisedException(Py_NewRef(exc));
    int err = stream_fatal(stream, "Fatal write error on socket transport");
    if (err == 0) {
        err = stream_fail_empty_waiter(stream, exc);
    }
    Py_DECREF(exc);
    return err;
}

/* Calls in a context like that of the writer, who may not be there any more; with
 * the raised exception, if there is one. Returns what the call returns, or -1 with an
 * exception set. */
static int
in_writers_context(StreamObject *stream, int (*call)(StreamObject *))
{
    PyObject *raised = PyErr_GetRaisedException();
    PyObject *context = PyContext_Copy(stream->write_context);
    if (context == NULL || PyContext_Enter(context) < 0) {
        Py_XDECREF(context);
        Py_XDECREF(raised);
        return -1;
    }
    if (raised != NULL) {
        PyErr_SetRaisedException(raised);
    }
    int err = call(stream);
    if (PyContext_Exit(context) < 0) {
        err = -1;
    }
    Py_DECREF(context);
    return err;
}

/* Sends from the queue, by so many calls at the most, until it is empty or the socket
 * is full. 0 or, after the stream has been ended, 1; -1 with what has to leave
 * run_forever(). */
static int
send_queue(StreamObject *stream, int sends)
{
    stream->wrote_in_turn = stream->engine->turn_id;
    stream->gathers_until = 0;
    for (int i = 0; i < sends && !write_queue_is_empty(&stream->queue); i++) {
        struct iovec vectors[VECTORS];
        int count = write_queue_vectors(&stream->queue, vectors, VECTORS);
        size_t asked = 0;
        for (int v = 0; v < count; v++) {
            asked += vectors[v].iov_len;
        }
        ssize_t sent = send_vectors(stream, vectors, count);
        if (sent < 0) {
            return in_writers_context(stream, write_failed) < 0 ? -1 : 1;
        }
        write_queue_consume(&stream->queue, (size_t)sent);
        if ((size_t)sent < asked) {
            break;
        }
    }
    return 0;
}

/* ---- the queue has run empty ---- */

static int
send_eof(StreamObject *stream)
{
    if (shutdown(stream->fd, SHUT_WR) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    return 0;
}

static int
on_drained(StreamObject *stream)
{
    if (stream->empty_waiter != NULL
        && transport_wake(stream->engine->state, stream->empty_waiter) < 0) {
        return -1;
    }
    if (!stream->closing && stream->eof_written && send_eof(stream) < 0) {
        return report_raised(stream->engine, "shutdown() failed", "transport",
                             stream, NULL);
    }
    return 0;
}

static void
set_write_armed(StreamObject *stream, bool armed)
{
    if (stream->write_armed != armed) {
        stream->write_armed = armed;
        stream_update_watch(stream);
    }
}

/* The queue's bytes leave as far as the socket takes them in so many calls. */
static int
flush_queue(StreamObject *stream, int sends)
{
    int ended = send_queue(stream, sends);
    if (ended != 0) {
        return ended < 0 ? -1 : 0;
    }
    set_write_armed(stream, !write_queue_is_empty(&stream->queue));
    if (stream_flow_resume(stream) < 0) { /* may write, close, abort */
        return -1;
    }
    if (stream->lost_writes || !write_queue_is_empty(&stream->queue)) {
        return 0;
    }
    return on_drained(stream);
}

/* Of a stream that is being closed: only a writable event drains it, so that no method
 * of the stream is under way, and it ends at once, as in asyncio. `err` is what that
 * event has come to. */
static int
finish_if_drained(StreamObject *stream, int err)
{
    if (!stream->closing || stream->lost_writes
        || !write_queue_is_empty(&stream->queue)) {
        return err;
    }
    PyObject *raised = err < 0 ? PyErr_GetRaisedException() : NULL;
    return transport_keep_first(raised, stream_finish(stream, Py_None));
}

/* Once nobody waits for the socket: what his context holds is the program's to keep.
 * May call the program. */
static void
forget_writer(StreamObject *stream)
{
    if (write_queue_is_empty(&stream->queue)) {
        Py_CLEAR(stream->write_context);
    }
}

int
stream_on_writable(StreamObject *stream)
{
    if (stream->lost_writes || !stream->write_armed) {
        return 0;
    }
    PyObject *context =
        Py_NewRef(stream->own_context != NULL ? stream->own_context
                                              : stream->write_context);
    int err = -1;
    if (PyContext_Enter(context) == 0) {
        err = finish_if_drained(stream, flush_queue(stream, SENDS));
        if (PyContext_Exit(context) < 0) {
            err = -1;
        }
    }
    forget_writer(stream);
    Py_DECREF(context);
    return err;
}

/* ---- gathering ---- */

/* Whoever fills an empty queue is the one in whose context the protocol is called: to
 * be asked before the push, so that a queue with something in it has a context. As
 * transport_keep_writer(). */
static int
keep_first_writer(StreamObject *stream, PyObject **before)
{
    *before = NULL;
    return write_queue_is_empty(&stream->queue)
               ? transport_keep_writer((Transport *)stream, before)
               : 0;
}

static void
gather(StreamObject *stream)
{
    if (!stream->write_armed) {
        flush_later(&stream->flush, stream->engine);
    }
}

static size_t
gathered_limit(size_t high_water)
{
    return high_water < GATHERED_MAXIMUM / GATHERED_MARKS
               ? high_water * GATHERED_MARKS
               : GATHERED_MAXIMUM;
}

/* Whether what has been gathered leaves in the middle of a turn: there is much, or
 * the program takes its time. The clock is asked once in high_water bytes. */
static bool
gathered_enough(StreamObject *stream)
{
    size_t size = stream->queue.size;
    size_t high_water = stream->flow.high_water;
    if (size <= high_water) {
        return false;
    }
    if (size > gathered_limit(high_water)) {
        return true;
    }
    if (stream->gathers_until != 0 && size <= stream->clock_due_at) {
        return false;
    }
    int64_t now = (int64_t)uv_hrtime();
    stream->clock_due_at = size + high_water;
    if (stream->gathers_until == 0) {
        stream->gathers_until = now + GATHERED_NS;
    }
    return now >= stream->gathers_until;
}

/* The socket has not taken what was gathered. */
static int
pause_late(StreamObject *stream)
{
    if (stream->queue.size <= stream->flow.high_water || stream->flow.paused) {
        return 0;
    }
    return in_writers_context(stream, stream_flow_pause);
}

int
stream_send_gathered(StreamObject *stream)
{
    if (write_queue_is_empty(&stream->queue) || stream->write_armed
        || stream->lost_writes) {
        return 0;
    }
    return flush_queue(stream, INT_MAX) < 0 ? -1 : pause_late(stream);
}

int
stream_flush(PyObject *stream)
{
    StreamObject *self = (StreamObject *)stream;
    int err = stream_send_gathered(self);
    forget_writer(self);
    return err;
}

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
write_can_wait(StreamObject *stream)
{
    Engine *engine = stream->engine;
    return engine->in_turn && !stream->closing
           && (stream->wrote_in_turn == engine->turn_id
               || !ready_is_empty(&engine->ready));
}

/* In the middle of a turn, after a write. The protocol pauses when the socket is
 * known to be full. */
static int
send_if_much(StreamObject *stream)
{
    if (!stream->write_armed && !stream->lost_writes) {
        if (!gathered_enough(stream)) {
            return 0;
        }
        if (flush_queue(stream, INT_MAX) < 0) {
            return -1;
        }
    }
    return stream_flow_pause(stream);
}

/* Queues bytes behind others or for the end of the turn. */
static int
write_later(StreamObject *stream, PyObject *owner, const char *data,
            size_t size)
{
    PyObject *before;
    if (keep_first_writer(stream, &before) < 0) {
        return -1;
    }
    int err = write_queue_push(&stream->queue, owner, data, size);
    if (err == 0) {
        gather(stream);
    }
    Py_XDECREF(before); /* may call the program */
    return err < 0 ? -1 : send_if_much(stream);
}

static int
write_bytes(StreamObject *stream, PyObject *owner, const char *data,
            size_t size)
{
    if (stream->lost_writes) {
        return write_is_lost(stream);
    }
    if (!write_queue_is_empty(&stream->queue) || write_can_wait(stream)) {
        return write_later(stream, owner, data, size);
    }
    struct iovec vector = {(void *)data, size};
    ssize_t sent = send_vectors(stream, &vector, 1);
    if (sent < 0) {
        return write_failed(stream);
    }
    stream->wrote_in_turn = stream->engine->turn_id;
    if ((size_t)sent == size) {
        return 0;
    }
    PyObject *before;
    if (keep_first_writer(stream, &before) < 0) {
        return -1;
    }
    int err = write_queue_push(&stream->queue, owner, data + sent,
                               size - (size_t)sent);
    if (err == 0) {
        set_write_armed(stream, true);
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

/* ---- writelines() and write_eof() ---- */

/* An item without bytes that is false counts as an empty one since 3.14, None
 * among them; of another one, the raised exception stays. */
static PyObject *
empty_if_false(PyObject *line)
{
    PyObject *raised = PyErr_GetRaisedException();
    int truth = PyObject_IsTrue(line);
    if (truth > 0) {
        PyErr_SetRaisedException(raised);
        return NULL;
    }
    Py_DECREF(raised);
    return truth < 0 ? NULL : PyBytes_FromStringAndSize(NULL, 0);
}

/* The bytes of an item. New reference, NULL on failure. */
static PyObject *
line_as_bytes(PyObject *line)
{
    Py_buffer view;
    if (PyObject_GetBuffer(line, &view, PyBUF_SIMPLE) < 0) {
        return PYAIO_WRITELINES_SKIPS_FALSE ? empty_if_false(line) : NULL;
    }
    PyObject *bytes = PyBytes_FromStringAndSize(view.buf, view.len);
    PyBuffer_Release(&view);
    return bytes;
}

/* Makes bytes objects of all items: from here on the program's code has no part in
 * it. -1 with an exception set. */
static int
lines_as_bytes(PyObject *lines)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(lines); i++) {
        PyObject *line = PyList_GET_ITEM(lines, i);
        if (PyBytes_CheckExact(line)) {
            continue;
        }
        PyObject *bytes = line_as_bytes(line);
        if (bytes == NULL) {
            return -1;
        }
        PyList_SetItem(lines, i, bytes); /* steals it, and drops the item */
    }
    return 0;
}

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

/* The TypeError for lines that cannot be written, in asyncio's words: of joining
 * them, or of the memoryview of each. */
static int
lines_failed(PyObject *lines)
{
    if (!PyErr_ExceptionMatches(PyExc_TypeError)) {
        return -1;
    }
    PyObject *raised = PyErr_GetRaisedException();
    PyObject *result = Py_NewRef(Py_None);
    if (PYAIO_WRITELINES_JOINS) {
        PyObject *empty = PyBytes_FromStringAndSize(NULL, 0);
        Py_SETREF(result,
                  empty ? PyObject_CallMethod(empty, "join", "(O)", lines)
                        : NULL);
        Py_XDECREF(empty);
    }
    else if (PyList_CheckExact(lines)) {
        for (Py_ssize_t i = 0; i < PyList_GET_SIZE(lines) && result != NULL;
             i++) {
            PyObject *line = PyList_GET_ITEM(lines, i);
            Py_SETREF(result, PyMemoryView_FromObject(line));
        }
    }
    if (result == NULL) {
        Py_DECREF(raised);
        return -1;
    }
    Py_DECREF(result);
    PyErr_SetRaisedException(raised);
    return -1;
}

/* Queues the lines, and sends them unless they can wait. */
static int
write_own_lines(StreamObject *stream, PyObject *lines)
{
    bool waits = write_can_wait(stream) || stream->write_armed;
    PyObject *before;
    if (keep_first_writer(stream, &before) < 0) {
        return -1;
    }
    int err = push_lines(stream, lines);
    bool some = !write_queue_is_empty(&stream->queue);
    if (some) {
        gather(stream);
    }
    Py_XDECREF(before); /* may call the program */
    if (err < 0 || !some) {
        forget_writer(stream);
        return err;
    }
    if (!waits && !stream->lost_writes && flush_queue(stream, INT_MAX) < 0) {
        return -1;
    }
    return send_if_much(stream);
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
    }
    PyObject *own = PySequence_List(lines);
    if (own == NULL) {
        return lines_failed(lines);
    }
    int err;
    if (stream->lost_writes) {
        err = write_is_lost(stream);
    }
    else if (lines_as_bytes(own) < 0) {
        err = lines_failed(own);
    }
    else {
        /* Asking an item for its bytes may have ended the stream. */
        err = stream->lost_writes ? 0 : write_own_lines(stream, own);
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
    return write_queue_is_empty(&stream->queue) ? send_eof(stream) : 0;
}
