/* The one place where exceptions that nobody can catch go. Called by handles,
 * streams and listeners; calls loop.call_exception_handler(). */
#include "engine/report.h"

#include "base/compat.h"
#include "base/errors.h"

#include <stdarg.h>

/* While a handler hears of an exception, that is the one being handled, as in an `except`
 * clause of asyncio's: for sys.exc_info(), for a bare `raise`, for the __context__ of what
 * is raised meanwhile. An item of the interpreter's own stack of these. */
typedef _PyErr_StackItem Handled;

/* Takes what is raised. Borrowed. */
static PyObject *
handled_begin(Handled *handled)
{
    PyThreadState *thread = PyThreadState_Get();
    handled->exc_value = PyErr_GetRaisedException();
    handled->previous_item = thread->exc_info;
    thread->exc_info = handled;
    return handled->exc_value;
}

static void
handled_end(Handled *handled)
{
    PyThreadState_Get()->exc_info = handled->previous_item;
    Py_DECREF(handled->exc_value);
}

static PyObject *
context_new(ModuleState *state, PyObject *message, PyObject *exc)
{
    PyObject *context = PyDict_New();
    if (context == NULL
        || PyDict_SetItem(context, STATE_NAME(state, message), message) < 0
        || PyDict_SetItem(context, STATE_NAME(state, exception), exc) < 0) {
        Py_CLEAR(context);
    }
    return context;
}

/* Steals `context`. */
static int
context_report(Engine *engine, PyObject *context)
{
    PyObject *result = PyObject_CallMethodOneArg(
        engine->loop, STATE_NAME(engine->state, call_exception_handler),
        context);
    Py_DECREF(context);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

static int
context_add_pairs(PyObject *context, va_list pairs)
{
    for (;;) {
        const char *key = va_arg(pairs, const char *);
        if (key == NULL) {
            return 0;
        }
        PyObject *value = va_arg(pairs, PyObject *);
        if (value != NULL && PyDict_SetItemString(context, key, value) < 0) {
            return -1;
        }
    }
}

int
report_raised(Engine *engine, const char *message, ...)
{
    if (errors_is_exit()) {
        return -1;
    }
    Handled handled;
    PyObject *exc = handled_begin(&handled);
    PyObject *text = PyUnicode_FromString(message);
    PyObject *context = text ? context_new(engine->state, text, exc) : NULL;
    Py_XDECREF(text);
    va_list pairs;
    va_start(pairs, message);
    if (context != NULL && context_add_pairs(context, pairs) < 0) {
        Py_CLEAR(context);
    }
    va_end(pairs);
    int err = context == NULL ? -1 : context_report(engine, context);
    handled_end(&handled);
    return err;
}

/* "Exception in callback f(1, 2) at file.py:3", as asyncio words it. */
static PyObject *
callback_message(Engine *engine, PyObject *callback, PyObject *args)
{
    ModuleState *state = engine->state;
    PyObject *keywords = NULL;
    PyObject *values[3] = {callback, args, engine->debug ? Py_True : Py_False};
    if (state->format_callback_takes_debug) {
        keywords = PyTuple_Pack(1, STATE_NAME(state, debug));
        if (keywords == NULL) {
            return NULL;
        }
    }
    PyObject *source =
        PyObject_Vectorcall(state->format_callback, values, 2, keywords);
    Py_XDECREF(keywords);
    if (source == NULL) {
        return NULL;
    }
    PyObject *message =
        PyUnicode_FromFormat("Exception in callback %U", source);
    Py_DECREF(source);
    return message;
}

/* What is told of a callback's exception. New reference, NULL on failure. */
static PyObject *
callback_context(Engine *engine, PyObject *exc, PyObject *handle,
                 PyObject *callback, PyObject *args,
                 PyObject *source_traceback)
{
    ModuleState *state = engine->state;
    PyObject *message = callback_message(engine, callback, args);
    PyObject *context = message ? context_new(state, message, exc) : NULL;
    Py_XDECREF(message);
    if (context != NULL
        && (PyDict_SetItem(context, STATE_NAME(state, handle), handle) < 0
            || (source_traceback != NULL
                && PyDict_SetItem(context, STATE_NAME(state, source_traceback),
                                  source_traceback)
                       < 0))) {
        Py_CLEAR(context);
    }
    return context;
}

int
report_callback(Engine *engine, PyObject *handle, PyObject *callback,
                PyObject *args, PyObject *source_traceback)
{
    if (errors_is_exit()) {
        return -1;
    }
    Handled handled;
    PyObject *exc = handled_begin(&handled);
    PyObject *context = callback_context(engine, exc, handle, callback, args,
                                         source_traceback);
    int err = context == NULL ? -1 : context_report(engine, context);
    handled_end(&handled);
    return err;
}

int
report_contain(Engine *engine, int err, PyObject *subject)
{
    if (err == 0) {
        return 0;
    }
    return report_raised(engine, "Exception in the event loop's own callback",
                         "transport", subject, NULL);
}

int
report_to_loop(PyObject *loop, PyObject *message, ...)
{
    PyObject *context = PyDict_New();
    if (context == NULL
        || PyDict_SetItemString(context, "message", message) < 0) {
        Py_XDECREF(context);
        return -1;
    }
    va_list pairs;
    va_start(pairs, message);
    int err = context_add_pairs(context, pairs);
    va_end(pairs);
    PyObject *result =
        err < 0 ? NULL
                : PyObject_CallMethod(loop, "call_exception_handler", "O",
                                      context);
    Py_DECREF(context);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

void
report_unraisable(const char *where)
{
    PyObject *exc = PyErr_GetRaisedException();
    PyObject *text = PyUnicode_FromString(where);
    PyErr_Clear();
    PyErr_SetRaisedException(exc);
    PyErr_WriteUnraisable(text);
    Py_XDECREF(text);
}
