/* What futures do: become done, give their result. Called by their methods
 * (future_methods.c) and by tasks; the callbacks are in future_callbacks.c.
 *
 * Follows asyncio.Future of the running version, which is the oracle for every
 * message and every order of events. */
#include "tasks/future.h"

#include "base/compat.h"
#include "base/platform.h"
#include "engine/overrides.h"

/* ---- making ---- */

/* Debug mode: where the future was made. Our frames are not Python's, so the
 * current one is the caller's. */
PLATFORM_RARE static int
take_traceback(FutureObject *future)
{
    PyObject *frame = (PyObject *)PyEval_GetFrame();
    future->source_traceback = PyObject_CallOneArg(
        future->state->extract_stack, frame ? frame : Py_None);
    return future->source_traceback == NULL ? -1 : 0;
}

/* loop.get_debug(), of any loop: 1, 0, -1 with an exception set. */
static int
loop_debug(FutureObject *future)
{
    Engine *engine = future->engine;
    if (engine != NULL) {
        if (overrides_check(engine) < 0) {
            return -1;
        }
        if (!(engine->overrides & OVERRIDE_GET_DEBUG)) {
            return engine->debug;
        }
    }
    PyObject *debug = PyObject_CallMethodNoArgs(
        future->loop, STATE_NAME(future->state, get_debug));
    int truth = debug ? PyObject_IsTrue(debug) : -1;
    Py_XDECREF(debug);
    return truth;
}

/* The source traceback, where debug mode asks for one. */
PLATFORM_HOT static int
note_origin(FutureObject *future)
{
    int debug = loop_debug(future);
    return debug > 0 && !compat_is_finalizing() ? take_traceback(future)
                                                : debug;
}

/* A second __init__(): before 3.15 it makes a future anew; a task would have two
 * coroutines to step. */
PLATFORM_RARE static int
prepare_again(FutureObject *future)
{
    ModuleState *state = future->state;
    if (PYAIO_FUTURE_INITS_ONCE
        || PyObject_TypeCheck((PyObject *)future, state->task_type)) {
        PyErr_Format(PyExc_RuntimeError, "%s object is already initialized",
                     future_type_name(future));
        return -1;
    }
    future_reset(future);
    return 0;
}

int
future_init(FutureObject *future, PyObject *loop)
{
    ModuleState *state = future->state;
    if (future->loop != NULL && prepare_again(future) < 0) {
        return -1;
    }
    future->loop = loop != NULL && loop != Py_None
                       ? Py_NewRef(loop)
                       : PyObject_CallNoArgs(state->get_event_loop);
    if (future->loop == NULL) {
        return -1;
    }
    if (PyObject_TypeCheck(future->loop, state->loop_type)) {
        future->engine = engine_of_loop(future->loop);
    }
    return note_origin(future) < 0 ? -1 : 0;
}

PLATFORM_HOT FutureObject *
future_make(Engine *engine, PyTypeObject *type, FreeList *list)
{
    FutureObject *future = future_alloc(engine->state, type, list);
    if (future == NULL) {
        return NULL;
    }
    future->loop = Py_NewRef(engine->loop);
    future->engine = engine;
    if (note_origin(future) < 0) {
        Py_CLEAR(future);
    }
    return future;
}

PLATFORM_HOT PyObject *
future_new(Engine *engine)
{
    ModuleState *state = engine->state;
    return (PyObject *)future_make(engine, state->future_type,
                                   &state->free_futures);
}

int
future_check_alive(FutureObject *future)
{
    if (future->loop == NULL) {
        PyErr_SetString(PyExc_RuntimeError,
                        "Future object is not initialized.");
        return -1;
    }
    return 0;
}

/* ---- ending ---- */

static int
refuse_done(FutureObject *future)
{
    PyErr_SetString(future->state->invalid_state_error, "invalid state");
    return -1;
}

static int
check_pending(FutureObject *future)
{
    if (future_check_alive(future) < 0) {
        return -1;
    }
    return future_status(future) == FUTURE_PENDING ? 0 : refuse_done(future);
}

/* Of all threads one ends a future: the look whether it is pending, its outcome and its
 * state are one piece. */
PLATFORM_HOT extern inline int
future_set_result(FutureObject *future, PyObject *result)
{
    if (check_pending(future) < 0) {
        return -1;
    }
    bool ended = true;
    Py_BEGIN_CRITICAL_SECTION((PyObject *)future);
    if (PYAIO_FREE_THREADED && future_status(future) != FUTURE_PENDING) {
        ended = false;
    }
    else {
        future->result = Py_NewRef(result);
        future_set_status(future, FUTURE_FINISHED);
    }
    Py_END_CRITICAL_SECTION();
    return ended ? future_schedule_callbacks(future) : refuse_done(future);
}

PLATFORM_HOT int
future_wake(PyObject *object)
{
    FutureObject *future = (FutureObject *)object;
    return future_status(future) == FUTURE_CANCELLED
               ? 0
               : future_set_result(future, Py_None);
}

/* The exception object for what set_exception() was given: a class is called.
 * New reference, NULL on failure. */
static PyObject *
exception_object(PyObject *exception)
{
    PyObject *object = PyExceptionClass_Check(exception)
                           ? PyObject_CallNoArgs(exception)
                           : Py_NewRef(exception);
    if (object != NULL && !PyExceptionInstance_Check(object)) {
        PyErr_SetString(PyExc_TypeError, "invalid exception object");
        Py_CLEAR(object);
    }
    return object;
}

#define STOP_ITERATION                                                        \
    "StopIteration interacts badly with generators and cannot be raised "     \
    "into a Future"

/* StopIteration would end the awaiting coroutine. Steals `exception`. New
 * reference, NULL with TypeError before 3.13. */
static PyObject *
refuse_stop_iteration(PyObject *exception)
{
#if PYAIO_STOP_ITERATION_IS_WRAPPED
    if (!PyErr_GivenExceptionMatches(exception, PyExc_StopIteration)) {
        return exception;
    }
    PyObject *text = PyUnicode_FromString(STOP_ITERATION);
    PyObject *wrapped =
        text ? PyObject_CallOneArg(PyExc_RuntimeError, text) : NULL;
    Py_XDECREF(text);
    if (wrapped == NULL) {
        Py_DECREF(exception);
        return NULL;
    }
    PyException_SetCause(wrapped, Py_NewRef(exception));
    PyException_SetContext(wrapped, exception);
    return wrapped;
#else
    if (!Py_IS_TYPE(exception, (PyTypeObject *)PyExc_StopIteration)) {
        return exception;
    }
    Py_DECREF(exception);
    PyErr_SetString(PyExc_TypeError, STOP_ITERATION);
    return NULL;
#endif
}

static int
end_with_exception_steal(FutureObject *future, PyObject *exception)
{
    PyObject *traceback = PyException_GetTraceback(exception);
    bool ended = false;
    Py_BEGIN_CRITICAL_SECTION((PyObject *)future);
    if (future_status(future) == FUTURE_PENDING) {
        ended = true;
        future->exception = exception;
        future->exception_traceback = traceback;
        /* Another thread may retrieve it from here on. */
        future->log_traceback = PYAIO_FREE_THREADED;
        future_set_status(future, FUTURE_FINISHED);
    }
    Py_END_CRITICAL_SECTION();
    if (!ended) {
        Py_DECREF(exception);
        Py_XDECREF(traceback);
        return refuse_done(future);
    }
    if (future_schedule_callbacks(future) < 0) {
        future->log_traceback = false;
        return -1;
    }
    if (!PYAIO_FREE_THREADED) {
        future->log_traceback = true;
    }
    return 0;
}

int
future_set_exception(FutureObject *future, PyObject *exception)
{
    if (check_pending(future) < 0) {
        return -1;
    }
    PyObject *object = exception_object(exception);
    if (object == NULL) {
        return -1;
    }
    /* Making the exception has run code that may have ended us. */
    if (check_pending(future) < 0) {
        Py_DECREF(object);
        return -1;
    }
    object = refuse_stop_iteration(object);
    if (object == NULL) {
        return -1;
    }
    return end_with_exception_steal(future, object);
}

int
future_cancel(FutureObject *future, PyObject *message)
{
    if (future_check_alive(future) < 0) {
        return -1;
    }
    future->log_traceback = false;
    bool pending;
    PyObject *before = NULL;
    Py_BEGIN_CRITICAL_SECTION((PyObject *)future);
    pending = future_status(future) == FUTURE_PENDING;
    if (pending) {
        before = future->cancel_message;
        future->cancel_message = Py_XNewRef(message);
        future_set_status(future, FUTURE_CANCELLED);
    }
    Py_END_CRITICAL_SECTION();
    Py_XDECREF(before);
    if (!pending) {
        return 0;
    }
    return future_schedule_callbacks(future) < 0 ? -1 : 1;
}

/* ---- results ---- */

PyObject *
future_make_cancelled_error(FutureObject *future)
{
    PyObject *error, *message;
    Py_BEGIN_CRITICAL_SECTION((PyObject *)future);
    error = future->cancelled_error;
    future->cancelled_error = NULL;
    message = Py_XNewRef(future->cancel_message);
    Py_END_CRITICAL_SECTION();
    if (error == NULL) {
        PyObject *class = future->state->cancelled_error;
        error = message == NULL || message == Py_None
                    ? PyObject_CallNoArgs(class)
                    : PyObject_CallOneArg(class, message);
    }
    Py_XDECREF(message);
    return error;
}

/* Raises it as `raise` does: with what is handled here as its __context__. Steals it. */
static void
raise_steal(PyObject *exception)
{
    PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
    Py_DECREF(exception);
}

PLATFORM_RARE static PyObject *
raise_cancelled(FutureObject *future)
{
    PyObject *error = future_make_cancelled_error(future);
    if (error != NULL) {
        raise_steal(error);
    }
    return NULL;
}

PLATFORM_RARE PyObject *
future_exception_to_raise(FutureObject *future)
{
    PyObject *exception = Py_NewRef(future->exception);
    PyObject *traceback;
    Py_BEGIN_CRITICAL_SECTION((PyObject *)future);
    traceback = future->exception_traceback;
    future->exception_traceback = NULL;
    Py_END_CRITICAL_SECTION();
    future->log_traceback = false;
    /* The one that it has now may be the last to hold frames, and finalizers call the
     * program: nothing is asked of the future behind it. */
    if (PyException_SetTraceback(exception, traceback ? traceback : Py_None)
        < 0) {
        Py_CLEAR(exception);
    }
    Py_XDECREF(traceback);
    return exception;
}

PLATFORM_RARE static PyObject *
raise_exception(FutureObject *future)
{
    PyObject *exception = future_exception_to_raise(future);
    if (exception != NULL) {
        raise_steal(exception);
    }
    return NULL;
}

PyObject *
future_refuse_pending(FutureObject *future, const char *message)
{
    PyErr_SetString(future->state->invalid_state_error,
                    future->loop ? message
                                 : "Future object is not initialized.");
    return NULL;
}

PLATFORM_HOT PyObject *
future_get_result(FutureObject *future)
{
    FutureState status = future_status(future);
    if (status == FUTURE_CANCELLED) {
        return raise_cancelled(future);
    }
    if (status == FUTURE_PENDING) {
        return future_refuse_pending(future, "Result is not set.");
    }
    if (future->exception != NULL) {
        return raise_exception(future);
    }
    future->log_traceback = false;
    return Py_NewRef(future->result);
}
