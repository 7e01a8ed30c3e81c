/* The start and the end of a transport, as far as all are alike, and its watch on the
 * fd. Called by net/stream*.c, net/datagram*.c and net/pipe*.c. */
#include "net/transport.h"

#include "base/compat.h"
#include "engine/handle.h"
#include "engine/report.h"

/* asyncio.constants.LOG_THRESHOLD_FOR_CONNLOST_WRITES */
#define LOST_WRITES_WARNED 5

/* ---- the start ---- */

PyObject *
transport_extra(PyObject *given)
{
    if (given == NULL || given == Py_None) {
        return PyDict_New();
    }
    if (!PyDict_Check(given)) {
        PyErr_Format(PyExc_TypeError, "extra must be a dict, not %R", given);
        return NULL;
    }
    return Py_NewRef(given); /* as in asyncio: no copy */
}

/* Reading starts right behind connection_made(). */
static int
start_soon(Transport *self, PyObject *waiter)
{
    ModuleState *state = self->engine->state;
    PyObject *made =
        PyObject_GetAttr(self->protocol, STATE_NAME(state, connection_made));
    PyObject *start =
        made ? PyObject_GetAttr((PyObject *)self, STATE_NAME(state, _start))
             : NULL;
    int err = -1;
    if (start != NULL
        && engine_call_soon(self->engine, made, (PyObject *)self, NULL) == 0) {
        err = engine_call_soon(self->engine, start, waiter, NULL);
    }
    Py_XDECREF(start);
    Py_XDECREF(made);
    return err;
}

int
transport_begin(Transport *self, const WatcherOps *ops, PyObject *waiter)
{
    self->context = PyContext_CopyCurrent();
    if (self->context == NULL) {
        return -1;
    }
    self->watcher =
        watcher_open(self->engine, self->fd, true, ops, (PyObject *)self);
    if (self->watcher == NULL) {
        return -1;
    }
    self->watcher->duplicate = true; /* dup() is at hand */
    return start_soon(self, waiter);
}

int
transport_wake(ModuleState *state, PyObject *waiter)
{
    if (waiter == Py_None) {
        return 0;
    }
    PyObject *result = PyObject_CallFunctionObjArgs(
        state->set_result_unless_cancelled, waiter, Py_None, NULL);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* ---- watching ---- */

int
transport_keep_writer(Transport *self, PyObject **before)
{
    PyObject *context = PyContext_CopyCurrent();
    if (context == NULL) {
        return -1;
    }
    *before = self->write_context;
    self->write_context = context;
    return 0;
}

int
transport_arm_writer(Transport *self)
{
    PyObject *before;
    if (transport_keep_writer(self, &before) < 0) {
        return -1;
    }
    self->write_armed = true;
    transport_update_watch(self);
    Py_XDECREF(before);
    return 0;
}

/* Somebody wants to watch the fd, which only one that is being closed lets go. */
int
transport_displace(FdWatcher *watcher)
{
    Transport *self = (Transport *)watcher->owner;
    if (!transport_lets_go(self)) {
        PyErr_Format(PyExc_RuntimeError,
                     "File descriptor %d is used by transport %R", watcher->fd,
                     self);
        return -1;
    }
    watcher_drop(&self->watcher);
    return 0;
}

PyObject *
transport_copy_context(Transport *self)
{
    return self->own_context != NULL ? Py_NewRef(self->own_context)
                                     : PyContext_CopyCurrent();
}

/* ---- errors ---- */

int
transport_report(Transport *self, const char *message)
{
    return report_raised(self->engine, message, "transport", self, "protocol",
                         self->protocol, NULL);
}

int
transport_contain(Transport *self, int err, const char *callback)
{
    if (err == 0) {
        return 0;
    }
    char message[80];
    PyOS_snprintf(message, sizeof(message), "Exception in callback %s.%s()",
                  transport_class(self), callback);
    return transport_report(self, message);
}

/* ---- the end ---- */

int
transport_write_lost(Transport *self, Py_ssize_t *lost_writes,
                     const char *warning)
{
    PyObject *result = Py_NewRef(Py_None);
    if (*lost_writes >= LOST_WRITES_WARNED) {
        Py_SETREF(result, PyObject_CallMethod(self->engine->state->logger,
                                              "warning", "s", warning));
    }
    ++*lost_writes;
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

int
transport_lose_soon(Transport *self, PyObject *exc)
{
    PyObject *method =
        PyObject_GetAttr((PyObject *)self, STATE_NAME(self->engine->state,
                                                      _call_connection_lost));
    if (method == NULL) {
        return -1;
    }
    int err = engine_call_soon(self->engine, method, exc, self->own_context);
    Py_DECREF(method);
    return err;
}

int
transport_tell_lost(Transport *self, PyObject *exc)
{
    PyObject *protocol = Py_XNewRef(self->protocol); /* may set another one */
    if (protocol == NULL) {
        return 0;
    }
    PyObject *result = PyObject_CallMethodOneArg(
        protocol, STATE_NAME(self->engine->state, connection_lost), exc);
    Py_DECREF(protocol);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

int
transport_keep_first(PyObject *first, int err)
{
    if (first == NULL) {
        return err;
    }
    if (err < 0) {
        report_unraisable("the end of a transport");
    }
    PyErr_SetRaisedException(first);
    return -1;
}
