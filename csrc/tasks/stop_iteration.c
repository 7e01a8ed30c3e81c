/* StopIterations with a result: see stop_iteration.h. Called by the iterator
 * behind `await future` (await_iter.c) and by the coroutines of sock_*()
 * (api/sock_call_type.c). */
#include "base/platform.h"
#include "tasks/stop_iteration.h"

#include "base/compat.h"

/* Without the calls of the type, of __init__() and of the parser. */
static PyObject *
make_new(PyObject *value)
{
    PyTypeObject *type = (PyTypeObject *)PyExc_StopIteration;
    PyObject *args = PyTuple_Pack(1, value);
    PyObject *stop = args ? type->tp_new(type, args, NULL) : NULL;
    Py_XDECREF(args);
    if (stop != NULL) {
        Py_XSETREF(((PyStopIterationObject *)stop)->value, Py_NewRef(value));
    }
    return stop;
}

/* Both fields of it, the old ones dropped last. */
static void
set_value(PyStopIterationObject *stop, PyObject *value)
{
    PyObject *before = stop->value;
    PyObject *argument = PyTuple_GET_ITEM(stop->args, 0);
    stop->value = Py_NewRef(value);
    PyTuple_SET_ITEM(stop->args, 0, Py_NewRef(value));
    Py_DECREF(argument);
    Py_DECREF(before);
}

/* As the interpreter's own StopIteration(value) is before it is raised: each
 * holder may add to it. */
static bool
is_as_new(const PyStopIterationObject *stop)
{
    return Py_REFCNT(stop) == 1 && stop->dict == NULL && stop->notes == NULL
           && stop->traceback == NULL && stop->context == NULL
           && stop->cause == NULL && !stop->suppress_context
           && stop->value != NULL && PyTuple_CheckExact(stop->args)
           && PyTuple_GET_SIZE(stop->args) == 1 && Py_REFCNT(stop->args) == 1;
}

/* StopIteration(value). New reference, NULL with an exception set. */
static PyObject *
make(ModuleState *state, PyObject *value)
{
    PyObject *stop = state->spare_stop_iteration;
    if (stop == NULL) {
        return make_new(value);
    }
    state->spare_stop_iteration = NULL;
    PyObject *args = ((PyStopIterationObject *)stop)->args;
    compat_tuple_forget_hash(args);
    set_value((PyStopIterationObject *)stop, value);
    PyObject_GC_Track(args);
    PyObject_GC_Track(stop);
    return stop;
}

PLATFORM_HOT void
stop_iteration_raise(ModuleState *state, PyObject **held, PyObject *value)
{
    PyObject *stop = make(state, value);
    if (stop != NULL) {
#if PYAIO_STOP_ITERATION_HAS_CONTEXT
        PyException_SetContext(stop, PyErr_GetHandledException());
#endif
        Py_XSETREF(*held, Py_NewRef(stop));
        PyErr_SetRaisedException(stop);
    }
}

PLATFORM_HOT void
stop_iteration_give_back(ModuleState *state, PyObject *stop)
{
    if (PYAIO_FREE_LISTS && state != NULL
        && state->spare_stop_iteration == NULL
        && is_as_new((PyStopIterationObject *)stop)) {
        /* As new to the collector, too: gc.freeze() must not keep it. */
        PyObject_GC_UnTrack(stop);
        PyObject_GC_UnTrack(((PyStopIterationObject *)stop)->args);
        state->spare_stop_iteration = stop;
        set_value((PyStopIterationObject *)stop, Py_None);
    }
    else {
        Py_DECREF(stop);
    }
}

void
stop_iteration_drop_spare(ModuleState *state)
{
    PyObject *stop = state->spare_stop_iteration;
    if (stop != NULL) {
        state->spare_stop_iteration = NULL;
        PyObject_GC_Track(stop); /* its dealloc takes that for granted */
        Py_DECREF(stop);
    }
}
