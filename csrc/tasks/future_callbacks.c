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
    int err = 0;
    bool pending;
    Py_BEGIN_CRITICAL_SECTION((PyObject *)future);
    pending = future_status(future) == FUTURE_PENDING;
    if (pending) {
        err = add_callback_steal(future, callback, taken);
    }
    Py_END_CRITICAL_SECTION();
    if (pending) {
        return err;
    }
    err = future_call_soon(future, callback, (PyObject *)future, taken);
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
    Waiting waiting;
    Py_BEGIN_CRITICAL_SECTION((PyObject *)future);
    waiting = (Waiting){
        .waiter = future->waiter,
        .callback0 = future->callback0,
        .context0 = future->context0,
        .callbacks = future->callbacks,
    };
    future->waiter = NULL;
    future->callback0 = NULL;
    future->context0 = NULL;
    future->callbacks = NULL;
    Py_END_CRITICAL_SECTION();
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
        err = task_wake(waiting.waiter, future);
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
    int err = task_wake(waiter, future);
    Py_DECREF(waiter);
    return err;
}

PLATFORM_HOT int
future_schedule_callbacks(FutureObject *future)
{
    if (future_has_no_callbacks(future)) {
        return 0;
    }
    return !PYAIO_FREE_THREADED && future->waiter != NULL
                   && future->callbacks == NULL
               ? wake_only_waiter(future)
               : schedule_all(future);
}

/* ---- removing ---- */

/* Puts a linked task in the place of an ordinary first callback, for who compares
 * callbacks. -1 with an exception set. */
static int
unlink_waiter(FutureObject *future)
{
    TaskObject *task;
    Py_BEGIN_CRITICAL_SECTION((PyObject *)future);
    task = (TaskObject *)Py_XNewRef((PyObject *)future->waiter);
    Py_END_CRITICAL_SECTION();
    if (task == NULL) {
        return 0;
    }
    PyObject *wakeup = task_wakeup_callable(task);
    PyObject *context = wakeup ? task_context(task) : NULL;
    if (context == NULL) {
        Py_XDECREF(wakeup);
        Py_DECREF(task);
        return -1;
    }
    TaskObject *unlinked = NULL;
    Py_BEGIN_CRITICAL_SECTION((PyObject *)future);
    if (future->waiter == task) { /* nobody has ended the future meanwhile */
        unlinked = task;
        future->waiter = NULL;
        future->callback0 = Py_NewRef(wakeup);
        future->context0 = Py_NewRef(context);
    }
    Py_END_CRITICAL_SECTION();
    Py_XDECREF(unlinked);
    Py_DECREF(wakeup);
    Py_DECREF(task);
    return 0;
}

/* Unless it is another one by now. */
static void
drop_first(FutureObject *future, PyObject *first)
{
    PyObject *context = NULL;
    bool there;
    Py_BEGIN_CRITICAL_SECTION((PyObject *)future);
    there = future->callback0 == first;
    if (there) {
        context = future->context0;
        future->callback0 = NULL;
        future->context0 = NULL;
    }
    Py_END_CRITICAL_SECTION();
    if (there) {
        Py_DECREF(first);
        Py_XDECREF(context);
    }
}

/* 1 when it was removed, 0 when it is another one, -1 on error. The comparison
 * may run code that changes the future. */
static int
remove_first(FutureObject *future, PyObject *callback)
{
    PyObject *first =
        compat_get_shared((PyObject *)future, &future->callback0);
    if (first == NULL) {
        return 0;
    }
    int same = PyObject_RichCompareBool(first, callback, Py_EQ);
    if (same > 0) {
        drop_first(future, first);
    }
    Py_DECREF(first);
    return same;
}

/* The pairs of `callbacks` with another callback, of *seen in all. New reference, NULL on
 * failure. */
static PyObject *
pairs_without(PyObject *callbacks, PyObject *callback, Py_ssize_t *seen)
{
    PyObject *kept = PyList_New(0);
    Py_ssize_t i = 0;
    for (; kept && i < PyList_GET_SIZE(callbacks); i++) {
        PyObject *pair = compat_list_item(callbacks, i);
        if (pair == NULL) {
            Py_CLEAR(kept);
            break;
        }
        int same = PyObject_RichCompareBool(PyTuple_GET_ITEM(pair, 0),
                                            callback, Py_EQ);
        if (same < 0 || (same == 0 && PyList_Append(kept, pair) < 0)) {
            Py_CLEAR(kept);
        }
        Py_DECREF(pair);
    }
    *seen = i;
    return kept;
}

/* `kept` in the place of `callbacks`, unless there is another list by now, or none. False
 * where another thread has put more into it than the `seen` ones that were looked at. */
static bool
replace_list(FutureObject *future, PyObject *callbacks, PyObject *kept,
             Py_ssize_t seen)
{
    PyObject *fewer = PyList_GET_SIZE(kept) > 0 ? Py_NewRef(kept) : NULL;
    PyObject *dropped = fewer;
    bool same;
    Py_BEGIN_CRITICAL_SECTION((PyObject *)future);
    same = PyList_GET_SIZE(callbacks) == seen;
    if (same && future->callbacks == callbacks) {
        future->callbacks = fewer;
        dropped = callbacks;
    }
    Py_END_CRITICAL_SECTION();
    Py_XDECREF(dropped);
    return same;
}

/* How many are removed of this list; -1 on error, -2 where it has grown meanwhile. */
static Py_ssize_t
try_to_remove(FutureObject *future, PyObject *callbacks, PyObject *callback)
{
    Py_ssize_t seen;
    PyObject *kept = pairs_without(callbacks, callback, &seen);
    if (kept == NULL) {
        return -1;
    }
    Py_ssize_t removed = seen - PyList_GET_SIZE(kept);
    if (removed > 0 && !replace_list(future, callbacks, kept, seen)) {
        removed = -2;
    }
    Py_DECREF(kept);
    return removed;
}

static Py_ssize_t
remove_from_list(FutureObject *future, PyObject *callback)
{
    Py_ssize_t removed;
    do {
        PyObject *callbacks =
            compat_get_shared((PyObject *)future, &future->callbacks);
        if (callbacks == NULL) {
            return 0;
        }
        removed = try_to_remove(future, callbacks, callback);
        Py_DECREF(callbacks);
    } while (removed == -2);
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

/* (callback, context) as objects: of the first callback, or of the task that is linked
 * in its place. New reference, NULL on failure. */
static PyObject *
pair_of_first(FutureObject *future, const Waiting *seen)
{
    TaskObject *task = seen->waiter;
    PyObject *callback =
        task ? task_wakeup_callable(task) : Py_NewRef(seen->callback0);
    PyObject *slot = task ? NULL : Py_NewRef(seen->context0);
    PyObject *context = callback == NULL ? NULL
                        : task           ? task_context(task)
                                         : snapshot_show(future->state, &slot);
    PyObject *pair = context ? PyTuple_Pack(2, callback, context) : NULL;
    if (pair != NULL && task == NULL && future->callback0 == callback) {
        /* The same Context when it is asked for again. */
        compat_set_shared((PyObject *)future, &future->context0,
                          Py_NewRef(context));
    }
    Py_XDECREF(slot);
    Py_XDECREF(callback);
    return pair;
}

static PyObject *
list_of_waiting(FutureObject *future, const Waiting *seen)
{
    PyObject *list = PyList_New(0);
    int err = list == NULL ? -1 : 0;
    if (err == 0 && (seen->waiter != NULL || seen->callback0 != NULL)) {
        PyObject *first = pair_of_first(future, seen);
        err = first == NULL ? -1 : PyList_Append(list, first);
        Py_XDECREF(first);
    }
    if (err == 0 && seen->callbacks != NULL) {
        err = PyList_SetSlice(list, PY_SSIZE_T_MAX, PY_SSIZE_T_MAX,
                              seen->callbacks);
    }
    if (err < 0) {
        Py_CLEAR(list);
    }
    return list;
}

/* Leaves the future as it is: another thread may be about to end it. */
PyObject *
future_list_callbacks(FutureObject *future)
{
    Waiting seen;
    bool more;
    Py_BEGIN_CRITICAL_SECTION((PyObject *)future);
    more = future->callbacks != NULL;
    seen = (Waiting){
        .waiter = (TaskObject *)Py_XNewRef((PyObject *)future->waiter),
        .callback0 = Py_XNewRef(future->callback0),
        .context0 = Py_XNewRef(future->context0),
        /* A copy: whoever adds one must not have to wait for its lock. */
        .callbacks =
            more ? PyList_GetSlice(future->callbacks, 0, PY_SSIZE_T_MAX)
                 : NULL,
    };
    Py_END_CRITICAL_SECTION();
    bool none = seen.waiter == NULL && seen.callback0 == NULL && !more;
    PyObject *list = more && seen.callbacks == NULL ? NULL
                     : none                         ? Py_NewRef(Py_None)
                            : list_of_waiting(future, &seen);
    Py_XDECREF(seen.waiter);
    Py_XDECREF(seen.callback0);
    Py_XDECREF(seen.context0);
    Py_XDECREF(seen.callbacks);
    return list;
}
