/* The way of the bytes out, the sending: by net/stream_write.c at once, by the flush of
 * what a turn has gathered, and by the socket that has become writable.
 *
 * What the socket does not take waits for it to become writable; only then is the
 * protocol asked to pause. */
#include "net/stream_send.h"

#include "base/errors.h"
#include "base/platform.h"
#include "engine/report.h"

#include <limits.h>
#include <uv.h>

#define SENDS 16 /* sendmsg() calls of an event, for fairness */

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

ssize_t
stream_send(StreamObject *stream, struct iovec *vectors, int count)
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

int
stream_write_failed(StreamObject *stream)
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

static ssize_t
send_vectors(void *stream, struct iovec *vectors, int count)
{
    return stream_send(stream, vectors, count);
}

/* Sends from the queue, by so many calls at the most, until it is empty or the socket
 * is full. 0 or, after the stream has been ended, 1; -1 with what has to leave
 * run_forever(). */
static int
send_queue(StreamObject *stream, int sends)
{
    stream->wrote_in_turn = stream->engine->turn_id;
    stream->gathers_until = 0;
    if (write_queue_send(&stream->queue, sends, send_vectors, stream) < 0) {
        return in_writers_context(stream, stream_write_failed) < 0 ? -1 : 1;
    }
    return 0;
}

/* ---- the queue has run empty ---- */

int
stream_send_eof(StreamObject *stream)
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
    if (!stream->closing && stream->eof_written
        && stream_send_eof(stream) < 0) {
        return report_raised(stream->engine, "shutdown() failed", "transport",
                             stream, NULL);
    }
    return 0;
}

void
stream_set_write_armed(StreamObject *stream, bool armed)
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
    stream_set_write_armed(stream, !write_queue_is_empty(&stream->queue));
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

void
stream_forget_writer(StreamObject *stream)
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
    stream_forget_writer(stream);
    Py_DECREF(context);
    return err;
}

/* ---- gathering ---- */

int
stream_keep_first_writer(StreamObject *stream, PyObject **before)
{
    *before = NULL;
    return write_queue_is_empty(&stream->queue)
               ? transport_keep_writer((Transport *)stream, before)
               : 0;
}

void
stream_gather(StreamObject *stream)
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
stream_send_if_much(StreamObject *stream)
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

int
stream_send_queue(StreamObject *stream)
{
    return flush_queue(stream, INT_MAX);
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
    stream_forget_writer(self);
    return err;
}
