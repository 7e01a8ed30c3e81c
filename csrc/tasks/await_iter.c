/* The iterator behind `await future`: yields the future once, while it is not
 * done, then returns its result. One a suspended `await`: hence a free list, and
 * am_send, by which a coroutine passes None without a method call. */
#include "base/compat.h"
#include "base/platform.h"
#include "tasks/future.h"
#include "tasks/stop_iteration.h"

typedef struct AwaitIter {
    PyObject_HEAD
    FutureObject
        *future;    /* owned; NULL once finished; the link in the free list */
    PyObject *stop; /* owned: what has brought the result; or NULL */
    ModuleState *state; /* of the module that made the type */
} AwaitIter;

PLATFORM_HOT PyObject *
await_iter_new(PyObject *future)
{
    if (future_check_alive((FutureObject *)future) < 0) {
        return NULL;
    }
    ModuleState *state = ((FutureObject *)future)->state;
    PyTypeObject *type = state->await_iter_type;
    AwaitIter *iter = (AwaitIter *)free_list_take(&state->free_await_iters);
    if (iter != NULL) {
        PyObject_Init((PyObject *)iter, type);
    }
    else if ((iter = PyObject_GC_New(AwaitIter, type)) == NULL) {
        return NULL;
    }
    iter->future = (FutureObject *)Py_NewRef(future);
    iter->stop = NULL;
    iter->state = state;
    PyObject_GC_Track(iter);
    return (PyObject *)iter;
}

PLATFORM_HOT static void
AwaitIter_dealloc(AwaitIter *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    FutureObject *future = self->future;
    PyObject *stop = self->stop;
    /* Gone if the type has no module. */
    ModuleState *state =
        ((PyHeapTypeObject *)type)->ht_module != NULL ? self->state : NULL;
    if (state != NULL && free_list_has_room(&state->free_await_iters)) {
        free_list_put(&state->free_await_iters, (PyObject *)self);
    }
    else {
        PyObject_GC_Del(self);
    }
    /* Last, since finalizers may await something. */
    if (stop != NULL) {
        stop_iteration_give_back(state, stop);
    }
    Py_XDECREF(future);
    Py_DECREF(type);
}

static int
AwaitIter_traverse(AwaitIter *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT((PyObject *)self->future);
    Py_VISIT(self->stop);
    return 0;
}

static int
AwaitIter_clear(AwaitIter *self)
{
    Py_CLEAR(self->future);
    Py_CLEAR(self->stop);
    return 0;
}

/* ---- stepping ---- */

PLATFORM_HOT static PySendResult
AwaitIter_am_send(AwaitIter *self, PyObject *Py_UNUSED(value),
                  PyObject **result)
{
    FutureObject *future = self->future;
    *result = NULL;
    if (future == NULL) {
        return PYGEN_ERROR;
    }
    if (future_status(future) == FUTURE_PENDING) {
        if (!future->blocking) {
            future->blocking = true;
            *result = Py_NewRef((PyObject *)future);
            return PYGEN_NEXT;
        }
        PyErr_SetString(PyExc_RuntimeError, "await wasn't used with future");
        return PYGEN_ERROR;
    }
    self->future = NULL;
    *result = future_get_result(future);
    Py_DECREF(future);
    return *result == NULL ? PYGEN_ERROR : PYGEN_RETURN;
}

PLATFORM_HOT static PyObject *
AwaitIter_next(AwaitIter *self)
{
    PyObject *result = NULL;
    switch (AwaitIter_am_send(self, Py_None, &result)) {
    case PYGEN_RETURN:
        if (result != Py_None) {
            stop_iteration_raise(self->state, &self->stop, result);
        }
        Py_DECREF(result);
        return NULL;
    case PYGEN_NEXT:
        return result;
    default:
        return NULL;
    }
}

static PyObject *
AwaitIter_send(AwaitIter *self, PyObject *Py_UNUSED(value))
{
    PyObject *result = AwaitIter_next(self);
    if (result == NULL && !PyErr_Occurred()) {
        PyErr_SetNone(PyExc_StopIteration);
    }
    return result;
}

/* ---- throw() and close() ---- */

/* The exception that throw(type, value, traceback) means. New reference. */
static PyObject *
thrown_exception(PyObject *type, PyObject *value)
{
    if (PyExceptionInstance_Check(type)) {
        if (value != NULL && value != Py_None) {
            PyErr_SetString(
                PyExc_TypeError,
                "instance exception may not have a separate value");
            return NULL;
        }
        return Py_NewRef(type);
    }
    if (!PyExceptionClass_Check(type)) {
        PyErr_SetString(PyExc_TypeError,
                        "exceptions must be classes deriving BaseException or "
                        "instances of such a class");
        return NULL;
    }
    if (value == NULL || value == Py_None) {
        return PyObject_CallNoArgs(type);
    }
    if (PyObject_TypeCheck(value, (PyTypeObject *)type)) {
        return Py_NewRef(value);
    }
    return PyObject_CallOneArg(type, value);
}

PyObject *
await_thrown(PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs < 1 || nargs > 3) {
        PyErr_Format(PyExc_TypeError,
                     "throw expected 1 to 3 arguments, got %zd", nargs);
        return NULL;
    }
#if PYAIO_THROW_WARNS
    if (nargs > 1
        && PyErr_WarnEx(PyExc_DeprecationWarning,
                        "the (type, exc, tb) signature of throw() is "
                        "deprecated, use the single-arg signature instead.",
                        1)
               < 0) {
        return NULL;
    }
#endif
    PyObject *traceback = nargs == 3 && args[2] != Py_None ? args[2] : NULL;
    if (traceback != NULL && !PyTraceBack_Check(traceback)) {
        PyErr_SetString(PyExc_TypeError,
                        "throw() third argument must be a traceback");
        return NULL;
    }
    PyObject *exception =
        thrown_exception(args[0], nargs > 1 ? args[1] : NULL);
    if (exception != NULL && traceback != NULL) {
        PyException_SetTraceback(exception, traceback);
    }
    return exception;
}

static PyObject *
AwaitIter_throw(AwaitIter *self, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *exception = await_thrown(args, nargs);
    if (exception == NULL) {
        return NULL;
    }
    Py_CLEAR(self->future);
    PyErr_SetRaisedException(exception);
    return NULL;
}

static PyObject *
AwaitIter_close(AwaitIter *self, PyObject *Py_UNUSED(ignored))
{
    Py_CLEAR(self->future);
    Py_RETURN_NONE;
}

/* ---- the type ---- */

static PyMethodDef AwaitIter_methods[] = {
    {"send", (PyCFunction)AwaitIter_send, METH_O, NULL},
    {"throw", (PyCFunction)(void (*)(void))AwaitIter_throw, METH_FASTCALL,
     NULL},
    {"close", (PyCFunction)AwaitIter_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot AwaitIter_slots[] = {
    {Py_tp_dealloc, AwaitIter_dealloc}, {Py_tp_traverse, AwaitIter_traverse},
    {Py_tp_clear, AwaitIter_clear},     {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, AwaitIter_next},   {Py_tp_methods, AwaitIter_methods},
    {Py_am_send, AwaitIter_am_send},    {0, NULL},
};

static PyType_Spec AwaitIter_spec = {
    .name = "pyaio._core.AwaitIter",
    .basicsize = sizeof(AwaitIter),
    .flags = MODULE_TYPE_FLAGS,
    .slots = AwaitIter_slots,
};

int
await_iter_setup(PyObject *module, ModuleState *state)
{
    state->await_iter_type = (PyTypeObject *)PyType_FromModuleAndSpec(
        module, &AwaitIter_spec, NULL);
    if (state->await_iter_type == NULL) {
        return -1;
    }
    compat_type_is_shared(state->await_iter_type);
    return 0;
}
