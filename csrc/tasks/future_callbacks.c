/* Who waits for a future: a task linked to it, or callbacks, in the order in
 * which they came. A list exists only once there is a second one.
 *
 * What runs when the future is done goes to the ready queue of the loop, never
 * called from here. */
#include "base/compat.h"
#include "base/platform.h"
#include "base/snapshot.h"
#include "engine/handle.h"
#include "engine/overrides.h"
#include "tasks/task.h"

/* ---- by the loop ---- */

/* loop.call_soon(callback[, arg], context=context) through the method. */
PLATFORM_RARE static int
call_loop_call_soon(FutureObject *future, PyObject *callback, PyObject *arg,
                    PyObject *context)
{
    ModuleState *state = future->state;
    PyObject *slot = Py_NewRef(context);
    PyObject *args[4] = {future->loop, callback};
    size_t count = 2;
    if (arg != NULL) {
        args[count++] = arg;
    }
    args[count] = snapshot_show(state, &slot);
    PyObject *handle = NULL;
    if (args[count] != NULL) {
        handle = PyObject_VectorcallMethod(STATE_NAME(state, call_soon), args,
                                           count, state->context_keyword);
    }
    Py_DECREF(slot);
    Py_XDECREF(handle);
    return handle == NULL ? -1 : 0;
}

PLATFORM_HOT int
future_call_soon(FutureObject *future, PyObject *callback, PyObject *arg,
                 PyObject *context)
{
    Engine *engine = future->engine;
    if (engine == NULL || engine->debug) {
        return call_loop_call_soon(future, callback, arg, context);
    }
    if (overrides_check(engine) < 0) {
        return -1;
    }
    if (engine->overrides & OVERRIDE_CALL_SOON) {
        return call_loop_call_soon(future, callback, arg, context);
    }
    if (engine_check_closed(engine) < 0) {
        return -1;
    }
    HandleObject *handle =
        handle_new_ready(engine, callback, &arg, arg == NULL ? 0 : 1, context);
    Py_XDECREF(handle);
    return handle == NULL ? -1 : 0;
}

/* ---- adding ---- */

/* Appends (callback, context); steals neither. */
static int
append_callback(FutureObject *future, PyObject *callback, PyObject *context)
{
    if (future->callbacks == NULL) {
        future->callbacks = PyList_New(0);
        if (future->callbacks == NULL) {
            return -1;
        }
    }
    PyObject *pair = PyTuple_Pack(2, callback, context);
    int err = pair ? PyList_Append(future->callbacks, pair) : -1;
    Py_XDECREF(pair);
    return err;
}

/* Of a pending future; steals `context`, a slot's. */
static int
add_callback_steal(FutureObject *future, PyObject *callback, PyObject *context)
{
    if (future_has_no_callbacks(future)) {
        future->callback0 = Py_NewRef(callback);
        future->context0 = context;
        return 0;
    }
    PyObject *shown = snapshot_show(future->state, &context);
    int err = shown ? append_callback(future, callback, shown) : -1;
    Py_DECREF(context);
    return err;
}

PLATFORM_HOT int
future_add_callback(FutureObject *future, PyObject *callback,
                    PyObject *context)
{
    /* First: a collection may run here, and end the future. */
    PyObject *taken = context != NULL && context != Py_None
                          ? Py_NewRef(context)
                          : snapshot_take(future->state);
    if (taken == NULL) {
        return -1;
    }
    if (future->status == FUTURE_PENDING) {
        return add_callback_steal(future, callback, taken);
    }
    int err = future_call_soon(future, callback, (PyObject *)future, taken);
    Py_DECREF(taken);
    return err;
}

/* ---- scheduling ---- */

/* What is taken off a future before any of it runs: call_soon() may be
 * somebody's own method. */
typedef struct Waiting {
    TaskObject *waiter;
    PyObject *callback0;
    PyObject *context0;
    PyObject *callbacks;
} Waiting;

static Waiting
take_waiting(FutureObject *future)
{
    Waiting waiting = {
        .waiter = future->waiter,
        .callback0 = future->callback0,
        .context0 = future->context0,
        .callbacks = future->callbacks,
    };
    future->waiter = NULL;
    future->callback0 = NULL;
    future->context0 = NULL;
    future->callbacks = NULL;
    return waiting;
}

static int
schedule_list(FutureObject *future, PyObject *callbacks)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(callbacks); i++) {
        PyObject *pair = PyList_GET_ITEM(callbacks, i);
        if (future_call_soon(future, PyTuple_GET_ITEM(pair, 0),
                             (PyObject *)future, PyTuple_GET_ITEM(pair, 1))
            < 0) {
            return -1;
        }
    }
    return 0;
}

static int
schedule_all(FutureObject *future)
{
    Waiting waiting = take_waiting(future);
    int err = 0;
    if (waiting.waiter != NULL) {
        err = task_wake(waiting.waiter);
    }
    else if (waiting.callback0 != NULL) {
        err = future_call_soon(future, waiting.callback0, (PyObject *)future,
                               waiting.context0);
    }
    if (err == 0 && waiting.callbacks != NULL) {
        err = schedule_list(future, waiting.callbacks);
    }
    Py_XDECREF(waiting.waiter);
    Py_XDECREF(waiting.callback0);
    Py_XDECREF(waiting.context0);
    Py_XDECREF(waiting.callbacks);
    return err;
}

/* One task waits, and nobody else. */
PLATFORM_HOT static int
wake_only_waiter(FutureObject *future)
{
    TaskObject *waiter = future->waiter;
    future->waiter = NULL;
    int err = task_wake(waiter);
    Py_DECREF(waiter);
    return err;
}

PLATFORM_HOT int
future_schedule_callbacks(FutureObject *future)
{
    if (future_has_no_callbacks(future)) {
        return 0;
    }
    return future->waiter != NULL && future->callbacks == NULL
               ? wake_only_waiter(future)
               : schedule_all(future);
}

/* ---- removing ---- */

/* Puts a linked task in the place of an ordinary first callback, for who looks
 * at callbacks as objects. -1 with an exception set. */
static int
unlink_waiter(FutureObject *future)
{
    if (future->waiter == NULL) {
        return 0;
    }
    TaskObject *task = (TaskObject *)Py_NewRef((PyObject *)future->waiter);
    PyObject *wakeup = task_wakeup_callable(task);
    PyObject *context = wakeup ? task_context(task) : NULL;
    if (context == NULL) {
        Py_XDECREF(wakeup);
        Py_DECREF(task);
        return -1;
    }
    if (future->waiter == task) { /* no collection has ended the future */
        Py_CLEAR(future->waiter);
        future->callback0 = Py_NewRef(wakeup);
        future->context0 = Py_NewRef(context);
    }
    Py_DECREF(wakeup);
    Py_DECREF(task);
    return 0;
}

/* 1 when it was removed, 0 when it is another one, -1 on error. The comparison
 * may run code that changes the future. */
static int
remove_first(FutureObject *future, PyObject *callback)
{
    PyObject *first = Py_XNewRef(future->callback0);
    if (first == NULL) {
        return 0;
    }
    int same = PyObject_RichCompareBool(first, callback, Py_EQ);
    if (same > 0 && future->callback0 == first) {
        Py_CLEAR(future->callback0);
        Py_CLEAR(future->context0);
    }
    Py_DECREF(first);
    return same;
}

/* The pairs of `callbacks` with another callback. New reference. */
static PyObject *
pairs_without(PyObject *callbacks, PyObject *callback)
{
    PyObject *kept = PyList_New(0);
    for (Py_ssize_t i = 0; kept && i < PyList_GET_SIZE(callbacks); i++) {
        PyObject *pair = Py_NewRef(PyList_GET_ITEM(callbacks, i));
        int same = PyObject_RichCompareBool(PyTuple_GET_ITEM(pair, 0),
                                            callback, Py_EQ);
        if (same < 0 || (same == 0 && PyList_Append(kept, pair) < 0)) {
            Py_CLEAR(kept);
        }
        Py_DECREF(pair);
    }
    return kept;
}

static Py_ssize_t
remove_from_list(FutureObject *future, PyObject *callback)
{
    if (future->callbacks == NULL) {
        return 0;
    }
    PyObject *callbacks = Py_NewRef(future->callbacks);
    PyObject *kept = pairs_without(callbacks, callback);
    Py_ssize_t removed = -1;
    if (kept != NULL) {
        removed = PyList_GET_SIZE(callbacks) - PyList_GET_SIZE(kept);
    }
    if (removed > 0 && future->callbacks == callbacks) {
        if (PyList_GET_SIZE(kept) == 0) {
            Py_CLEAR(kept);
        }
        Py_XSETREF(future->callbacks, Py_XNewRef(kept));
    }
    Py_XDECREF(kept);
    Py_DECREF(callbacks);
    return removed;
}

Py_ssize_t
future_remove_callback(FutureObject *future, PyObject *callback)
{
    if (unlink_waiter(future) < 0) {
        return -1;
    }
    int first = remove_first(future, callback);
    if (first < 0) {
        return -1;
    }
    Py_ssize_t others = remove_from_list(future, callback);
    return others < 0 ? -1 : first + others;
}

/* ---- looking ---- */

/* (callback, context) of the first callback. New reference, NULL on failure. */
static PyObject *
pair_of_first(FutureObject *future)
{
    /* Locals: a collection may end the future here. */
    PyObject *callback = Py_NewRef(future->callback0);
    PyObject *slot = Py_NewRef(future->context0);
    PyObject *context = snapshot_show(future->state, &slot);
    PyObject *pair = context ? PyTuple_Pack(2, callback, context) : NULL;
    if (pair != NULL && future->callback0 == callback) {
        Py_SETREF(future->context0, Py_NewRef(context));
    }
    Py_DECREF(slot);
    Py_DECREF(callback);
    return pair;
}

PyObject *
future_list_callbacks(FutureObject *future)
{
    if (future_has_no_callbacks(future)) {
        Py_RETURN_NONE;
    }
    PyObject *list = PyList_New(0);
    PyObject *first = NULL;
    if (list == NULL || unlink_waiter(future) < 0) {
        goto failed;
    }
    if (future->callback0 != NULL) {
        first = pair_of_first(future);
        if (first == NULL || PyList_Append(list, first) < 0) {
            goto failed;
        }
    }
    if (future->callbacks != NULL
        && PyList_SetSlice(list, PY_SSIZE_T_MAX, PY_SSIZE_T_MAX,
                           future->callbacks)
               < 0) {
        goto failed;
    }
    Py_XDECREF(first);
    return list;
failed:
    Py_XDECREF(first);
    Py_XDECREF(list);
    return NULL;
}
