/* Debug mode: who holds the loop up. Called by the turn (engine/turn.c) for each entry;
 * follows BaseEventLoop._run_once(). */
#include "engine/slow.h"

#include "engine/handle.h"

static bool
is_handle(Engine *engine, PyObject *subject)
{
    /* The base: asyncio's own class, of which others may queue some. */
    return PyObject_TypeCheck(subject, engine->state->handle_type->tp_base);
}

/* asyncio.base_events.logger, which a test may have replaced. */
static PyObject *
base_events_logger(void)
{
    PyObject *module = PyImport_ImportModule("asyncio.base_events");
    PyObject *logger =
        module ? PyObject_GetAttrString(module, "logger") : NULL;
    Py_XDECREF(module);
    return logger;
}

static int
warn_slow(Engine *engine, PyObject *subject, double seconds)
{
    ModuleState *state = engine->state;
    PyObject *text = is_handle(engine, subject)
                         ? PyObject_CallOneArg(state->format_handle, subject)
                         : PyObject_Str(subject);
    PyObject *logger = text ? base_events_logger() : NULL;
    PyObject *result =
        logger ? PyObject_CallMethod(logger, "warning", "sOd",
                                     "Executing %s took %.3f seconds", text,
                                     seconds)
               : NULL;
    Py_XDECREF(logger);
    Py_XDECREF(text);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

static int
check_slow(Engine *engine, PyObject *subject, int64_t started)
{
    bool failed = false;
    int64_t now = engine_now(engine, &failed);
    if (failed) {
        return -1;
    }
    PyObject *limit = PyObject_GetAttr(
        engine->loop, STATE_NAME(engine->state, slow_callback_duration));
    if (limit == NULL) {
        return -1;
    }
    double seconds = PyFloat_AsDouble(limit);
    Py_DECREF(limit);
    if (seconds == -1.0 && PyErr_Occurred()) {
        return -1;
    }
    double took = (double)(now - started) / 1e9;
    return took >= seconds ? warn_slow(engine, subject, took) : 0;
}

void
slow_set_current(Engine *engine, PyObject *handle)
{
    PyObject *before;
    pthread_mutex_lock(&engine->inbox.mutex); /* other threads ask for it */
    before = engine->current_handle;
    engine->current_handle = Py_XNewRef(handle);
    pthread_mutex_unlock(&engine->inbox.mutex);
    Py_XDECREF(before);
}

int
slow_run_entry(Engine *engine, ReadyEntry *entry)
{
    bool failed = false;
    PyObject *subject = entry->ops->subject(entry);
    int64_t started = engine_now(engine, &failed);
    if (failed) {
        entry->ops->discard(entry);
        Py_DECREF(subject);
        return -1;
    }
    if (is_handle(engine, subject)) {
        slow_set_current(engine, subject);
    }
    int err = entry->ops->run(entry, engine);
    engine_leave_last(engine); /* what is reported is outside of it */
    slow_set_current(engine, NULL);
    if (err == 0) {
        err = check_slow(engine, subject, started);
    }
    Py_DECREF(subject);
    return err;
}
