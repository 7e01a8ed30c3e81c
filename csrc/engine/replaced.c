/* A turn by asyncio's own methods, where somebody has replaced them. Called by
 * engine/turn.c; our own parts of it are the Loop's _run_once() and _select()
 * (api/loop_turn.c). */
#include "engine/replaced.h"

#define MAXIMUM_WAIT 86400.0 /* seconds, as asyncio */

static int
call_method(Engine *engine, PyObject *name)
{
    PyObject *result = PyObject_CallMethodNoArgs(engine->loop, name);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

int
replaced_run_once(Engine *engine)
{
    gil_let_in();
    return call_method(engine, STATE_NAME(engine->state, _run_once));
}

int
replaced_write_to_self(Engine *engine)
{
    return call_method(engine, STATE_NAME(engine->state, _write_to_self));
}

static PyObject *
timeout_of(int64_t wait)
{
    if (wait < 0) {
        return Py_NewRef(Py_None);
    }
    if (wait == 0) {
        return PyLong_FromLong(0);
    }
    double seconds = (double)wait / 1e9;
    return PyFloat_FromDouble(seconds < MAXIMUM_WAIT ? seconds : MAXIMUM_WAIT);
}

static PyObject *
select_events(Engine *engine, int64_t wait)
{
    ModuleState *state = engine->state;
    PyObject *selector =
        PyObject_GetAttr(engine->loop, STATE_NAME(state, _selector));
    PyObject *timeout = selector ? timeout_of(wait) : NULL;
    PyObject *events =
        timeout ? PyObject_CallMethodOneArg(selector,
                                            STATE_NAME(state, select), timeout)
                : NULL;
    Py_XDECREF(timeout);
    Py_XDECREF(selector);
    return events;
}

int
replaced_poll(Engine *engine, int64_t wait)
{
    gil_let_in();
    PyObject *events = select_events(engine, wait);
    if (events == NULL) {
        return -1;
    }
    PyObject *result = PyObject_CallMethodOneArg(
        engine->loop, STATE_NAME(engine->state, _process_events), events);
    Py_DECREF(events);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}
