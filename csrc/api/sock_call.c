/* The steps of a call of loop.sock_*(). The first tries it, by net/sock_io.h; where
 * the socket would block, waits with net/poller.h and a future, which it yields as
 * `await future` does. Called by the coroutine's type (api/sock_call_type.c) and, when
 * the socket is ready, by the poller. Lives above tasks/ and net/, since it needs
 * both.
 *
 * Follows asyncio's coroutines of these names: what has come is taken when the
 * socket is ready, before the task's step. */
#include "api/sock_call.h"

#include "base/compat.h"
#include "base/errors.h"
#include "engine/watcher.h"
#include "net/poller.h"

/* ---- waiting ---- */

/* Who dies stands in no slot, which would own him: nothing of the loop's is looked at
 * then, which may be another thread's. */
static void
end_wait(SockCall *self)
{
    if (self->wait.listed) {
        poller_end_wait(self->io.engine, self->fd, self->io.op->event,
                        &self->wait, self->io.drained);
    }
}

/* The result (stolen) or, where that is NULL, the exception that is set ends the
 * wait, and is the future's. */
static int
settle(SockCall *self, FutureObject *future, PyObject *result)
{
    PyObject *raised = result == NULL ? PyErr_GetRaisedException() : NULL;
    end_wait(self);
    int err = result != NULL ? future_set_result(future, result)
                             : future_set_exception(future, raised);
    Py_XDECREF(raised);
    Py_XDECREF(result);
    return err;
}

int
sock_call_on_ready(PollWait *wait)
{
    SockCall *self = (SockCall *)wait->owner;
    if (future_status(self->future) != FUTURE_PENDING) {
        end_wait(self); /* cancelled */
        return 0;
    }
    /* An attempt may reach code of the program, which may close the coroutine. */
    FutureObject *future = (FutureObject *)Py_NewRef((PyObject *)self->future);
    PyObject *result = self->io.op->attempt(&self->io);
    int err = PyErr_Occurred() ? -1 : 0;
    if (result != NULL || (err < 0 && !errors_is_exit())) {
        err = settle(self, future, result);
    }
    Py_DECREF(future);
    return err;
}

/* loop._ensure_fd_no_transport(fd). */
static int
check_no_transport(SockCall *self, int fd)
{
    PyObject *number = PyLong_FromLong(fd);
    PyObject *result =
        number ? PyObject_CallMethodOneArg(self->loop,
                                           STATE_NAME(self->io.engine->state,
                                                      _ensure_fd_no_transport),
                                           number)
               : NULL;
    Py_XDECREF(number);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* True where an attempt would find nothing: the wait before has just taken all. */
static bool
has_nothing_to_read(const SockCall *self)
{
    const SockIO *io = &self->io;
    return io->op->event == WATCH_READ
           && poller_is_drained(io->engine, sock_io_fd(io), io->sock);
}

/* Has the loop watch the socket. */
static int
begin_wait(SockCall *self)
{
    SockIO *io = &self->io;
    int fd = sock_io_fd(io);
    if (!poller_is_kept(io->engine, fd, io->sock)
        && check_no_transport(self, fd) < 0) {
        return -1;
    }
    self->future = (FutureObject *)future_new(io->engine);
    self->fd = fd;
    return self->future == NULL ? -1
                                : poller_wait(io->engine, fd, io->sock,
                                              io->op->event, &self->wait);
}

/* ---- steps ---- */

/* Its future, taken out; NULL where it does not wait. */
static FutureObject *
stop_waiting(SockCall *self)
{
    FutureObject *future = self->future;
    if (future != NULL) {
        end_wait(self);
        self->future = NULL;
    }
    return future;
}

void
sock_call_release(SockCall *self)
{
    self->state = SOCK_CALL_CLOSED;
    FutureObject *future;
    if (self->wait.listed) { /* the loop may look at it, in another thread */
        ENGINE_BEGIN(self->io.engine);
        future = stop_waiting(self);
        ENGINE_END();
    }
    else {
        future = stop_waiting(self);
    }
    Py_XDECREF(future);
    sock_io_clear(&self->io);
}

static PySendResult
end_step(SockCall *self, PyObject *result, PyObject **sent)
{
    PyObject *raised = result == NULL ? PyErr_GetRaisedException() : NULL;
    sock_call_release(self);
    if (raised != NULL) {
        PyErr_SetRaisedException(raised);
    }
    *sent = result;
    return result == NULL ? PYGEN_ERROR : PYGEN_RETURN;
}

static PySendResult
first_step(SockCall *self, PyObject *value, PyObject **sent)
{
    if (value != Py_None) {
        PyErr_SetString(
            PyExc_TypeError,
            "can't send non-None value to a just-started coroutine");
        return PYGEN_ERROR;
    }
    self->state = SOCK_CALL_RUNNING;
    PyObject *result = NULL;
    if (!has_nothing_to_read(self)) {
        result = self->io.op->attempt(&self->io);
    }
    if (result != NULL || PyErr_Occurred() || begin_wait(self) < 0) {
        return end_step(self, result, sent);
    }
    self->state = SOCK_CALL_SUSPENDED;
    self->future->blocking = true;
    *sent = Py_NewRef((PyObject *)self->future);
    return PYGEN_NEXT;
}

/* As the iterator of `await future` (tasks/await_iter.c). */
static PySendResult
next_step(SockCall *self, PyObject **sent)
{
    FutureObject *future = self->future;
    if (future_status(future) != FUTURE_PENDING) {
        return end_step(self, future_get_result(future), sent);
    }
    if (future->blocking) {
        PyErr_SetString(PyExc_RuntimeError, "await wasn't used with future");
        return end_step(self, NULL, sent);
    }
    future->blocking = true;
    *sent = Py_NewRef((PyObject *)future);
    return PYGEN_NEXT;
}

/* What a coroutine refuses: to run in itself, or once more. */
static int
refuse(SockCall *self)
{
    if (self->state == SOCK_CALL_RUNNING) {
        PyErr_SetString(PyExc_ValueError, "coroutine already executing");
    }
    else {
        PyErr_SetString(PyExc_RuntimeError,
                        "cannot reuse already awaited coroutine");
    }
    return -1;
}

PySendResult
sock_call_step(SockCall *self, PyObject *value, PyObject **sent)
{
    *sent = NULL;
    switch (self->state) {
    case SOCK_CALL_CREATED:
        return first_step(self, value, sent);
    case SOCK_CALL_SUSPENDED:
        return next_step(self, sent);
    default:
        (void)refuse(self);
        return PYGEN_ERROR;
    }
}

int
sock_call_throw(SockCall *self, PyObject *exception)
{
    if (self->state == SOCK_CALL_RUNNING || self->state == SOCK_CALL_CLOSED) {
        Py_DECREF(exception);
        return refuse(self);
    }
    sock_call_release(self);
    PyErr_SetRaisedException(exception);
    return -1;
}

int
sock_call_close(SockCall *self)
{
    if (self->state == SOCK_CALL_RUNNING) {
        return refuse(self);
    }
    sock_call_release(self);
    return 0;
}
