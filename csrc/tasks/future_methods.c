/* The methods and attributes that futures and tasks share: parse, check, call
 * future.c. Tasks replace cancel(), set_result() and set_exception(). */
#include "base/compat.h"
#include "base/members.h"
#include "base/platform.h"
#include "tasks/future.h"

/* ---- arguments ---- */

int
future_parse_optional(const char *method, PyObject *name, bool positional,
                      PyObject *const *args, Py_ssize_t nargs,
                      PyObject *kwnames, PyObject **value)
{
    Py_ssize_t named = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    *value = NULL;
    if (nargs > (positional ? 1 : 0)) {
        PyErr_Format(PyExc_TypeError,
                     "%s() takes at most %d positional argument%s (%zd given)",
                     method, positional, positional ? "" : "s", nargs);
        return -1;
    }
    if (nargs == 1) {
        *value = args[0];
    }
    for (Py_ssize_t i = 0; i < named; i++) {
        PyObject *given = PyTuple_GET_ITEM(kwnames, i);
        if (PyUnicode_Compare(given, name) != 0) {
            PyErr_Format(PyExc_TypeError,
                         "%s() got an unexpected keyword argument '%U'",
                         method, given);
            return -1;
        }
        if (*value != NULL) {
            PyErr_Format(PyExc_TypeError,
                         "argument for %s() given by name ('%U') and "
                         "position (1)",
                         method, given);
            return -1;
        }
        *value = args[nargs + i];
    }
    return 0;
}

/* ---- methods ---- */

PLATFORM_HOT static PyObject *
Future_result(FutureObject *self, PyObject *Py_UNUSED(ignored))
{
    return future_get_result(self);
}

static PyObject *
Future_exception(FutureObject *self, PyObject *Py_UNUSED(ignored))
{
    FutureState status = future_status(self);
    if (status == FUTURE_CANCELLED) {
        return future_get_result(self);
    }
    if (status == FUTURE_PENDING) {
        return future_refuse_pending(self, "Exception is not set.");
    }
    self->log_traceback = false;
    return Py_NewRef(self->exception ? self->exception : Py_None);
}

PLATFORM_HOT static PyObject *
Future_set_result(FutureObject *self, PyObject *result)
{
    if (future_set_result(self, result) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
Future_set_exception(FutureObject *self, PyObject *exception)
{
    if (future_set_exception(self, exception) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PLATFORM_HOT static PyObject *
Future_add_done_callback(FutureObject *self, PyObject *const *args,
                         Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *context = NULL;
    if (future_check_alive(self) < 0) {
        return NULL;
    }
    if (nargs != 1) {
        PyErr_Format(PyExc_TypeError,
                     "add_done_callback() takes exactly 1 positional argument "
                     "(%zd given)",
                     nargs);
        return NULL;
    }
    if (kwnames != NULL
        && future_parse_optional("add_done_callback",
                                 STATE_NAME(self->state, context), false,
                                 args + 1, 0, kwnames, &context)
               < 0) {
        return NULL;
    }
    if (future_add_callback(self, args[0], context) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
Future_remove_done_callback(FutureObject *self, PyObject *callback)
{
    if (future_check_alive(self) < 0) {
        return NULL;
    }
    Py_ssize_t removed = future_remove_callback(self, callback);
    return removed < 0 ? NULL : PyLong_FromSsize_t(removed);
}

static PyObject *
Future_cancel(FutureObject *self, PyObject *const *args, Py_ssize_t nargs,
              PyObject *kwnames)
{
    PyObject *message = NULL;
    if (future_parse_optional("cancel", STATE_NAME(self->state, msg), true,
                              args, nargs, kwnames, &message)
        < 0) {
        return NULL;
    }
    int cancelled = future_cancel(self, message);
    return cancelled < 0 ? NULL : PyBool_FromLong(cancelled);
}

PLATFORM_HOT static PyObject *
Future_cancelled(FutureObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(self->loop != NULL
                           && future_status(self) == FUTURE_CANCELLED);
}

PLATFORM_HOT static PyObject *
Future_done(FutureObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(self->loop != NULL
                           && future_status(self) != FUTURE_PENDING);
}

static PyObject *
Future_get_loop(FutureObject *self, PyObject *Py_UNUSED(ignored))
{
    return future_check_alive(self) < 0 ? NULL : Py_NewRef(self->loop);
}

static PyObject *
Future__make_cancelled_error(FutureObject *self, PyObject *Py_UNUSED(ignored))
{
    return future_make_cancelled_error(self);
}

/* ---- attributes ---- */

/* What there is only after __init__(). */
static PyObject *
Future_get_outcome(FutureObject *self, void *offset)
{
    return future_check_alive(self) < 0
               ? NULL
               : member_object((PyObject *)self, offset);
}

static PyObject *
Future_get_state(FutureObject *self, void *Py_UNUSED(closure))
{
    static const char *const names[] = {"PENDING", "CANCELLED", "FINISHED"};
    if (future_check_alive(self) < 0) {
        return NULL;
    }
    return PyUnicode_InternFromString(names[future_status(self)]);
}

static PyObject *
Future_get_callbacks(FutureObject *self, void *Py_UNUSED(closure))
{
    return future_check_alive(self) < 0 ? NULL : future_list_callbacks(self);
}

static PyObject *
Future_get_blocking(FutureObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->loop != NULL && self->blocking);
}

/* 1, 0, or -1 with an exception set; NULL stands for `del`. */
static int
take_bool(PyObject *value)
{
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "cannot delete attribute");
        return -1;
    }
    return PyObject_IsTrue(value);
}

static int
Future_set_blocking(FutureObject *self, PyObject *value,
                    void *Py_UNUSED(closure))
{
    int blocking = future_check_alive(self) < 0 ? -1 : take_bool(value);
    if (blocking < 0) {
        return -1;
    }
    self->blocking = blocking;
    return 0;
}

static PyObject *
Future_get_log_traceback(FutureObject *self, void *Py_UNUSED(closure))
{
    if (future_check_alive(self) < 0) {
        return NULL;
    }
    return PyBool_FromLong(self->log_traceback);
}

static int
Future_set_log_traceback(FutureObject *self, PyObject *value,
                         void *Py_UNUSED(closure))
{
    int log = take_bool(value);
    if (log < 0) {
        return -1;
    }
    if (log) {
        PyErr_SetString(PyExc_ValueError,
                        "_log_traceback can only be set to False");
        return -1;
    }
    self->log_traceback = false;
    return 0;
}

static int
Future_set_cancel_message(FutureObject *self, PyObject *message,
                          void *Py_UNUSED(closure))
{
    if (message == NULL) {
        PyErr_SetString(PyExc_AttributeError, "cannot delete attribute");
        return -1;
    }
    compat_set_shared((PyObject *)self, &self->cancel_message,
                      Py_NewRef(message));
    return 0;
}

/* ---- tables ---- */

PyDoc_STRVAR(result_doc,
             "result($self, /)\n--\n\n"
             "The result, as asyncio.Future.result().\n\n"
             "Raises the exception that was set, CancelledError if cancelled, "
             "InvalidStateError\nif not done.");
PyDoc_STRVAR(exception_doc,
             "exception($self, /)\n--\n\n"
             "The exception that was set, or None; as "
             "asyncio.Future.exception().");
PyDoc_STRVAR(set_result_doc,
             "set_result($self, result, /)\n--\n\n"
             "Mark the future done; InvalidStateError if it is already.");
PyDoc_STRVAR(set_exception_doc,
             "set_exception($self, exception, /)\n--\n\n"
             "Mark the future done with an exception: an object or a class.\n\n"
             "InvalidStateError if it is done already, TypeError for what is "
             "no exception.");
PyDoc_STRVAR(add_done_callback_doc,
             "add_done_callback($self, fn, /, *, context=None)\n--\n\n"
             "Call fn(future) by the loop once the future is done, in "
             "`context` or a copy of\nthe current one.");
PyDoc_STRVAR(remove_done_callback_doc,
             "remove_done_callback($self, fn, /)\n--\n\n"
             "Remove all callbacks that equal `fn`; returns how many.");
PyDoc_STRVAR(cancel_doc,
             "cancel($self, /, msg=None)\n--\n\n"
             "Cancel the future; False if it was done already.");
PyDoc_STRVAR(cancelled_doc, "cancelled($self, /)\n--\n\nTrue if cancelled.");
PyDoc_STRVAR(done_doc,
             "done($self, /)\n--\n\n"
             "True if there is a result or an exception, or if cancelled.");
PyDoc_STRVAR(get_loop_doc,
             "get_loop($self, /)\n--\n\nThe loop of the future.");
PyDoc_STRVAR(make_cancelled_error_doc,
             "_make_cancelled_error($self, /)\n--\n\n"
             "The CancelledError to raise for a cancelled future.");

#define NOARGS(name, doc) {#name, (PyCFunction)Future_##name, METH_NOARGS, doc}
#define FASTCALL(name, doc)                                                   \
    {#name, (PyCFunction)(void (*)(void))Future_##name,                       \
     METH_FASTCALL | METH_KEYWORDS, doc}
#define ONE(name, doc) {#name, (PyCFunction)Future_##name, METH_O, doc}

PyMethodDef future_methods[] = {
    NOARGS(result, result_doc),
    NOARGS(exception, exception_doc),
    ONE(set_result, set_result_doc),
    ONE(set_exception, set_exception_doc),
    FASTCALL(add_done_callback, add_done_callback_doc),
    ONE(remove_done_callback, remove_done_callback_doc),
    FASTCALL(cancel, cancel_doc),
    NOARGS(cancelled, cancelled_doc),
    NOARGS(done, done_doc),
    NOARGS(get_loop, get_loop_doc),
    NOARGS(_make_cancelled_error, make_cancelled_error_doc),
    {NULL, NULL, 0, NULL},
};

#define OUTCOME(name, field)                                                  \
    {name, (getter)Future_get_outcome, NULL, NULL,                            \
     (void *)offsetof(FutureObject, field)}

PyGetSetDef future_getset[] = {
    MEMBER("_loop", object, FutureObject, loop),
    OUTCOME("_result", result),
    OUTCOME("_exception", exception),
    MEMBER("_source_traceback", object, FutureObject, source_traceback),
    {"_state", (getter)Future_get_state, NULL, NULL, NULL},
    {"_callbacks", (getter)Future_get_callbacks, NULL, NULL, NULL},
    {"_asyncio_future_blocking", (getter)Future_get_blocking,
     (setter)Future_set_blocking, NULL, NULL},
    {"_log_traceback", (getter)Future_get_log_traceback,
     (setter)Future_set_log_traceback, NULL, NULL},
    {"_cancel_message", member_shared, (setter)Future_set_cancel_message, NULL,
     (void *)offsetof(FutureObject, cancel_message)},
    {NULL, NULL, NULL, NULL, NULL},
};
