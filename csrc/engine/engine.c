/* The engine's making and ending, its clock and its checks. The Loop object
 * calls these (api/); what happens in between is engine/turn.c. */
#include "engine/engine.h"

#include "base/forks.h"
#include "engine/backend.h"
#include "engine/signals.h"
#include "engine/watcher.h"

#include <uv.h>

int
engine_init(Engine *engine, ModuleState *state, PyObject *loop)
{
    engine->state = state;
    engine->loop = loop;
    engine->closed = true; /* until all is there */
    engine->turn_id = 1;
    engine->signal_before = -1;
    if (forks_watch() < 0 || inbox_open(engine) < 0
        || backend_open(engine) < 0) {
        return -1;
    }
    engine->open = true;
    engine->closed = false;
    return 0;
}

/* Of all that is watched, and of what it is watched with. */
static int
let_go(Engine *engine)
{
    engine->open = false; /* finalizers may come back here */
    signals_close(engine);
    watchers_release_all(engine);
    int err = backend_close(engine);
    ready_discard_all(&engine->fired);
    PyMem_RawFree(engine->scratch);
    engine->scratch = NULL;
    return err;
}

int
engine_close(Engine *engine)
{
    engine->closed = true;
    unsigned long before = engine_enter(engine);
    inbox_settle(engine);
    /* Also on a closed engine: another thread may have passed its check before
     * that and pushed after it. */
    ready_discard_all(&engine->ready);
    ready_discard_all(&engine->turn_end);
    timers_clear(&engine->timers);
    int err = engine->open ? let_go(engine) : 0;
    inbox_close(engine);
    engine_leave(engine, before);
    return err;
}

int
engine_traverse(Engine *engine, visitproc visit, void *arg)
{
    int stop = ready_traverse(&engine->ready, visit, arg);
    if (stop == 0) {
        stop = ready_traverse(&engine->inbox.entries, visit, arg);
    }
    if (stop == 0) {
        stop = ready_traverse(&engine->turn_end, visit, arg);
    }
    if (stop == 0) {
        stop = timers_traverse(&engine->timers, visit, arg);
    }
    if (stop == 0) {
        stop = watchers_traverse(engine, visit, arg);
    }
    Py_VISIT(engine->current_handle);
    Py_VISIT(engine->entered);
    for (int i = 0; i < STREAM_METHODS; i++) {
        Py_VISIT(engine->stream_methods.functions[i]);
    }
    return stop;
}

void
engine_wake(Engine *engine)
{
    engine->woken = true;
    inbox_wake(engine);
}

PLATFORM_HOT int64_t
engine_now(Engine *engine, bool *failed)
{
    if (!(engine->overrides & OVERRIDE_TIME)) {
        return (int64_t)uv_hrtime();
    }
    PyObject *time = PyObject_CallMethodNoArgs(
        engine->loop, STATE_NAME(engine->state, time));
    double seconds = time == NULL ? -1.0 : PyFloat_AsDouble(time);
    Py_XDECREF(time);
    if (seconds == -1.0 && PyErr_Occurred()) {
        *failed = true;
        return -1;
    }
    return timers_ns(seconds);
}

int64_t
engine_resolution(Engine *engine, bool *failed)
{
    PyObject *value = PyObject_GetAttr(
        engine->loop, STATE_NAME(engine->state, _clock_resolution));
    if (value == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear(); /* a loop whose __init__() has not run */
        return 0;
    }
    double seconds = value == NULL ? -1.0 : PyFloat_AsDouble(value);
    Py_XDECREF(value);
    if (seconds == -1.0 && PyErr_Occurred()) {
        *failed = true;
        return -1;
    }
    return timers_ns(seconds);
}

PLATFORM_HOT char *
engine_scratch(Engine *engine)
{
    if (engine->scratch == NULL) {
        engine->scratch = PyMem_RawMalloc(ENGINE_SCRATCH_SIZE);
        if (engine->scratch == NULL) {
            PyErr_NoMemory();
        }
    }
    return engine->scratch;
}

char *
engine_lend_scratch(Engine *engine)
{
    if (engine->lent) {
        return NULL;
    }
    char *scratch = engine->scratch;
    engine->lent = scratch != NULL;
    engine->scratch = NULL; /* another one, should it be needed before */
    return scratch;
}

void
engine_return_scratch(Engine *engine, char *lent)
{
    engine->lent = false;
    if (engine->scratch == NULL && !engine->closed) {
        engine->scratch = lent;
    }
    else {
        PyMem_RawFree(lent);
    }
}

#define LOOP_IS_CLOSED "Event loop is closed"

int
engine_check_closed(Engine *engine)
{
    if (engine->closed) {
        PyErr_SetString(PyExc_RuntimeError, LOOP_IS_CLOSED);
        return -1;
    }
    return 0;
}

bool
engine_clear_closed_error(void)
{
    PyObject *error = PyErr_GetRaisedException();
    PyObject *text = Py_IS_TYPE(error, (PyTypeObject *)PyExc_RuntimeError)
                         ? PyObject_Str(error)
                         : NULL;
    if (text != NULL
        && PyUnicode_CompareWithASCIIString(text, LOOP_IS_CLOSED) == 0) {
        Py_DECREF(text);
        Py_DECREF(error);
        return true;
    }
    PyErr_Clear(); /* of a text that could not be made */
    Py_XDECREF(text);
    PyErr_SetRaisedException(error);
    return false;
}

int
engine_check_thread(Engine *engine)
{
    unsigned long thread = engine->thread_id;
    if (thread != 0 && thread != PyThread_get_thread_ident()) {
        PyErr_SetString(PyExc_RuntimeError,
                        "Non-thread-safe operation invoked on an event loop "
                        "other than the current one");
        return -1;
    }
    return 0;
}
