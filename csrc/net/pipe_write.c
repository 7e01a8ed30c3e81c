/* The way of the bytes out: from write() to the pipe.
 *
 * Each write goes out at once when nothing is queued, so that what others write to
 * the same pipe or file stays in order. Only a child's input, which nobody else
 * writes to, is gathered: the first write of a turn goes out at once, what follows
 * leaves in one writev() when the turn ends or more than the high-water mark has
 * come together. What the pipe does not take waits for it to become writable; the
 * protocol may go on when all has been written. */
#include "base/errors.h"
#include "base/platform.h"
#include "net/pipe.h"
#include "net/transport_log.h"

#include <limits.h>

#define WRITES 16 /* writev() calls of an event, for fairness */

/* ---- writing ---- */

/* How many bytes the pipe took, 0 when it takes none now; -1 with OSError. */
static ssize_t
write_vectors(void *pipe, struct iovec *vectors, int count)
{
    PipeObject *self = pipe;
    ssize_t written;
    do {
        written = writev(self->fd, vectors, count);
    } while (written < 0 && errno == EINTR);
    if (written < 0) {
        if (errors_is_retry(errno)) {
            return 0;
        }
        PyErr_SetFromErrno(PyExc_OSError);
    }
    self->engine->poll_now = true; /* the answer may be there already */
    return written;
}

static int
write_failed(PipeObject *self)
{
    self->lost_writes++;
    return pipe_fatal(self, "Fatal write error on pipe transport",
                      PyErr_ExceptionMatches(PyExc_OSError));
}

/* Writes from the queue, by so many calls at the most, until it is empty or the pipe is
 * full. 0 or, after the transport has been ended, 1; -1 with what has to leave
 * run_forever(). */
static int
write_queued(PipeObject *self, int writes)
{
    if (write_queue_send(&self->queue, writes, write_vectors, self) < 0) {
        return write_failed(self) < 0 ? -1 : 1;
    }
    return 0;
}

/* ---- the queue ---- */

/* All has been written: the protocol may go on, or the transport ends. */
static int
on_drained(PipeObject *self)
{
    if (self->write_armed) {
        self->write_armed = false;
        pipe_update_watch(self);
    }
    if (pipe_flow_resume(self) < 0) { /* may write, close, abort */
        return -1;
    }
    if (self->closing && !self->ending && write_queue_is_empty(&self->queue)) {
        return pipe_finish(self, Py_None); /* at once, as in asyncio */
    }
    return 0;
}

/* The queue's bytes leave as far as the pipe takes them in so many calls. */
static int
flush_queue(PipeObject *self, int writes)
{
    int ended = write_queued(self, writes);
    if (ended != 0) {
        return ended < 0 ? -1 : 0;
    }
    if (write_queue_is_empty(&self->queue)) {
        return on_drained(self);
    }
    return self->write_armed ? 0 : transport_arm_writer((Transport *)self);
}

int
pipe_on_writable(PipeObject *self)
{
    if (self->of_child && !self->enlarged
        && self->queue.size > PLATFORM_PIPE_SIZE) {
        /* The child reads, and there is more for it than a pipe holds. */
        self->enlarged = true;
        platform_enlarge_pipe(self->fd, ENGINE_SCRATCH_SIZE);
    }
    return flush_queue(self, WRITES);
}

int
pipe_on_other_end_closed(PipeObject *self)
{
    if (pipe_send_gathered(self) < 0) {
        return -1;
    }
    if (self->ending) {
        return 0;
    }
    if (transport_log(self->engine, (PyObject *)self, "info",
                      "%r was closed by peer")
        < 0) {
        return -1;
    }
    if (write_queue_is_empty(&self->queue)) {
        return pipe_force_close(self, Py_None);
    }
    PyObject *exc = PyObject_CallNoArgs(PyExc_BrokenPipeError);
    int err = exc == NULL ? -1 : pipe_force_close(self, exc);
    Py_XDECREF(exc);
    return err;
}

/* ---- gathering ---- */

static void
gather(PipeObject *self)
{
    if (!self->write_armed) {
        flush_later(&self->flush, self->engine);
    }
}

int
pipe_send_gathered(PipeObject *self)
{
    if (write_queue_is_empty(&self->queue) || self->write_armed
        || self->ending) {
        return 0;
    }
    return flush_queue(self, INT_MAX);
}

int
pipe_flush(PyObject *pipe)
{
    return pipe_send_gathered((PipeObject *)pipe);
}

/* ---- write() ---- */

static int
write_is_lost(PipeObject *self)
{
    return transport_write_lost((Transport *)self, &self->lost_writes,
                                "pipe closed by peer or os.write(pipe, data) "
                                "raised exception.");
}

/* Outside of a turn nobody would flush what is gathered. */
static bool
write_can_wait(PipeObject *self)
{
    Engine *engine = self->engine;
    return self->of_child && engine->in_turn
           && self->wrote_in_turn == engine->turn_id;
}

/* Queues bytes behind others or for the end of the turn. */
static int
write_later(PipeObject *self, PyObject *owner, const char *data, size_t size)
{
    if (write_queue_push(&self->queue, owner, data, size) < 0) {
        return -1;
    }
    gather(self);
    if (self->queue.size > self->flow.high_water
        && pipe_send_gathered(self) < 0) {
        return -1;
    }
    return pipe_flow_pause(self);
}

static int
write_now(PipeObject *self, PyObject *owner, const char *data, size_t size)
{
    struct iovec vector = {(void *)data, size};
    ssize_t written = write_vectors(self, &vector, 1);
    if (written < 0) {
        return write_failed(self);
    }
    self->wrote_in_turn = self->engine->turn_id;
    if ((size_t)written == size) {
        return 0;
    }
    if (engine_check_closed(self->engine) < 0
        || write_queue_push(&self->queue, owner, data + written,
                            size - (size_t)written)
               < 0
        || transport_arm_writer((Transport *)self) < 0) {
        return -1;
    }
    return pipe_flow_pause(self);
}

/* What os.write() says of a view that is not contiguous ends the transport; what
 * the buffer says, with something in it, is the caller's. */
static int
no_bytes(PipeObject *self, PyObject *data)
{
    if (write_queue_is_empty(&self->queue)) {
        return write_failed(self);
    }
    PyErr_Format(PyExc_TypeError, "can't concat %.100s to bytearray",
                 Py_TYPE(data)->tp_name);
    return -1;
}

int
pipe_write(PipeObject *self, PyObject *data)
{
    if (!PyBytes_Check(data) && !PyByteArray_Check(data)
        && !PyMemoryView_Check(data)) {
        PyErr_Format(PyExc_AssertionError, "%R", data);
        return -1;
    }
    int some = PyObject_IsTrue(data);
    if (some <= 0) {
        return some;
    }
    if (self->lost_writes || self->closing) {
        return write_is_lost(self);
    }
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        return no_bytes(self, data);
    }
    int err = 0;
    if (view.len > 0) {
        bool waits =
            !write_queue_is_empty(&self->queue) || write_can_wait(self);
        err = (waits ? write_later : write_now)(self, data, view.buf,
                                                (size_t)view.len);
    }
    PyBuffer_Release(&view);
    return err;
}
