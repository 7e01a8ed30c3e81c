/* Handles: made by call_soon() and its family (api/loop_schedule.c), run by the
 * turn (engine/turn.c) through their ready entries.
 *
 * A handle is called with what it holds copied to the C stack first, since the
 * callback may cancel it, and with the reference of the queue held until the
 * end, since the callback may drop every other one. What Python sees of it is
 * engine/handle_type.c. */
#include "engine/handle.h"

#include "base/compat.h"
#include "base/platform.h"
#include "base/snapshot.h"
#include "engine/backend.h"
#include "engine/engine.h"
#include "engine/overrides.h"
#include "engine/report.h"

static HandleObject *
handle_of(ReadyEntry *entry)
{
    return CONTAINER_OF(entry, HandleObject, entry);
}

/* ---- running ---- */

/* The callback's context has a run() of its own: not a contextvars.Context,
 * but asyncio takes it. */
PLATFORM_RARE static PyObject *
call_in_foreign_context(HandleObject *handle, PyObject *callback,
                        PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *run = PyObject_GetAttr(
        handle->context, STATE_NAME(handle_engine(handle)->state, run));
    PyObject *all = run ? PyTuple_New(nargs + 1) : NULL;
    PyObject *result = NULL;
    if (all != NULL) {
        PyTuple_SET_ITEM(all, 0, Py_NewRef(callback));
        for (Py_ssize_t i = 0; i < nargs; i++) {
            PyTuple_SET_ITEM(all, i + 1, Py_NewRef(args[i]));
        }
        result = PyObject_Call(run, all, NULL);
    }
    Py_XDECREF(all);
    Py_XDECREF(run);
    return result;
}

PLATFORM_HOT static PyObject *
call_in_context(HandleObject *handle, PyObject *callback,
                PyObject *const *args, Py_ssize_t nargs)
{
    ModuleState *state = handle_engine(handle)->state;
    if (!snapshot_is_native(state, handle->context)) {
        return call_in_foreign_context(handle, callback, args, nargs);
    }
    if (snapshot_enter(state, &handle->context) < 0) {
        return NULL;
    }
    PyObject *result = PyObject_Vectorcall(
        callback, args, (size_t)nargs | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    if (snapshot_leave(state, &handle->context) < 0) {
        Py_CLEAR(result);
    }
    return result;
}

PLATFORM_RARE static int
handle_report(HandleObject *handle, PyObject *callback, PyObject *const *args,
              Py_ssize_t nargs)
{
    PyObject *exc = PyErr_GetRaisedException();
    PyObject *tuple = PyTuple_New(nargs);
    if (tuple == NULL) {
        Py_DECREF(exc);
        return -1;
    }
    for (Py_ssize_t i = 0; i < nargs; i++) {
        PyTuple_SET_ITEM(tuple, i, Py_NewRef(args[i]));
    }
    PyErr_SetRaisedException(exc);
    int err = report_callback(handle_engine(handle), (PyObject *)handle,
                              callback, tuple, handle->source_traceback);
    Py_DECREF(tuple);
    return err;
}

/* Calls, and reports what is raised. args[-1] is lent to the callee. */
PLATFORM_HOT static int
call_and_report(HandleObject *handle, PyObject *callback,
                PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *result = call_in_context(handle, callback, args, nargs);
    if (result == NULL) {
        return handle_report(handle, callback, args, nargs);
    }
    Py_DECREF(result);
    return 0;
}

/* A tuple's items may be lent their predecessor, but ob_item[-1] is no place for
 * the callee to write to: hence a copy. */
PLATFORM_RARE static int
run_with_more_args_steal(HandleObject *handle, PyObject *callback,
                         PyObject *more)
{
    Py_ssize_t nargs = PyTuple_GET_SIZE(more);
    PyObject **copy = PyMem_New(PyObject *, nargs + 1);
    int err = -1;
    if (copy == NULL) {
        PyErr_NoMemory();
    }
    else {
        for (Py_ssize_t i = 0; i < nargs; i++) {
            copy[i + 1] = PyTuple_GET_ITEM(more, i);
        }
        err = call_and_report(handle, callback, copy + 1, nargs);
    }
    PyMem_Free(copy);
    Py_DECREF(more);
    Py_DECREF(callback);
    return err;
}

PLATFORM_HOT extern inline int
handle_run_now(HandleObject *handle)
{
    PyObject *stack[1 + HANDLE_INLINE_ARGS];
    PyObject *callback, *more;
    Py_ssize_t nargs;
    Py_BEGIN_CRITICAL_SECTION(handle);
    callback = Py_XNewRef(handle->callback);
    more = Py_XNewRef(handle->more_args);
    nargs = more == NULL ? handle->nargs : 0;
    for (Py_ssize_t i = 0; i < nargs; i++) {
        stack[i + 1] = Py_NewRef(handle->args[i]);
    }
    Py_END_CRITICAL_SECTION();
    if (more != NULL) {
        return run_with_more_args_steal(handle, callback, more);
    }
    if (PYAIO_FREE_THREADED && callback == NULL) {
        return 0; /* another thread has cancelled it meanwhile */
    }
    int err = call_and_report(handle, callback, stack + 1, nargs);
    for (Py_ssize_t i = 0; i < nargs; i++) {
        Py_DECREF(stack[i + 1]);
    }
    Py_DECREF(callback);
    return err;
}

int
handle_run_none(HandleObject *handle)
{
    PyErr_SetString(PyExc_TypeError, "'NoneType' object is not callable");
    return report_callback(handle_engine(handle), (PyObject *)handle, Py_None,
                           Py_None, handle->source_traceback);
}

PLATFORM_HOT static int
handle_run(ReadyEntry *entry, Engine *engine)
{
    HandleObject *handle = handle_of(entry);
    handle->queued = false;
    bool cancelled = !PYAIO_FREE_THREADED && handle->callback == NULL;
    int err = cancelled ? 0 : handle_run_now(handle);
    ModuleState *state = engine->state;
    /* taken by handle_push() */
    handle_retire(handle, state->handle_type, &state->free_handles);
    return err;
}

void
handle_discard(ReadyEntry *entry)
{
    HandleObject *handle = handle_of(entry);
    handle->queued = false;
    handle_release(handle); /* taken by handle_push() */
}

int
handle_entry_traverse(ReadyEntry *entry, visitproc visit, void *arg)
{
    Py_VISIT(handle_of(entry));
    return 0;
}

/* ---- handles of others ---- */

static PyObject *
run_foreign(PyObject *handle, PyObject *Py_UNUSED(ignored))
{
    PyObject *cancelled = PyObject_CallMethod(handle, "cancelled", NULL);
    int skip = cancelled == NULL ? -1 : PyObject_IsTrue(cancelled);
    Py_XDECREF(cancelled);
    if (skip != 0) {
        return skip < 0 ? NULL : Py_NewRef(Py_None);
    }
    return PyObject_CallMethod(handle, "_run", NULL);
}

static PyMethodDef run_foreign_def = {"_run", run_foreign, METH_NOARGS, NULL};

PyObject *
handle_foreign_call(PyObject *foreign)
{
    return PyCFunction_New(&run_foreign_def, foreign);
}

PyObject *
handle_shown(HandleObject *handle)
{
    PyObject *shown = (PyObject *)handle;
    Py_BEGIN_CRITICAL_SECTION(handle);
    PyObject *callback = handle->callback;
    if (callback != NULL && PyCFunction_Check(callback)
        && PyCFunction_GetFunction(callback) == run_foreign) {
        shown = PyCFunction_GetSelf(callback);
    }
    Py_INCREF(shown);
    Py_END_CRITICAL_SECTION();
    return shown;
}

PyObject *
handle_subject(ReadyEntry *entry)
{
    return handle_shown(handle_of(entry));
}

static const ReadyOps handle_ops = {
    .run = handle_run,
    .discard = handle_discard,
    .traverse = handle_entry_traverse,
    .subject = handle_subject,
};

HandleObject *
handle_take(ReadyEntry *entry)
{
    if (entry->ops->discard != handle_discard) {
        return NULL;
    }
    HandleObject *handle = handle_of(entry);
    handle->queued = false;
    return handle;
}

PLATFORM_HOT void
handle_push(HandleObject *handle)
{
    if (!handle->queued) {
        handle->queued = true;
        Py_INCREF(handle); /* dropped by handle_run() or _discard() */
        engine_push(handle_engine(handle), &handle->entry);
    }
}

/* Without a GIL: nothing of the loop's but its inbox is touched. */
static int
handle_post(HandleObject *handle)
{
    Engine *engine = handle_engine(handle);
    handle->queued = true;
    Py_INCREF(handle); /* dropped by handle_run() or _discard() */
    if (!inbox_post(engine, &handle->entry, true)) {
        handle_discard(&handle->entry);
        return engine_check_closed(engine);
    }
    return 0;
}

PLATFORM_HOT int
handle_push_threadsafe(HandleObject *handle)
{
    Engine *engine = handle_engine(handle);
    if (!engine_is_here(engine)) {
        return handle_post(handle);
    }
    handle_push(handle);
    if (engine->open && asleep_claim(&engine->asleep)) {
        backend_interrupt(engine);
    }
    else {
        engine->called = true;
    }
    return 0;
}

/* ---- tracking ---- */

static void
track(HandleObject *handle)
{
#if PYAIO_FREE_LISTS
    if (!PyObject_GC_IsTracked((PyObject *)handle)) {
        PyObject_GC_Track(handle);
    }
#else
    (void)handle;
#endif
}

bool
handle_is_ours(const ModuleState *state, PyObject *object)
{
    return Py_IS_TYPE(object, state->handle_type)
           || Py_IS_TYPE(object, state->timer_handle_type)
           || Py_IS_TYPE(object, state->threadsafe_handle_type);
}

static int
track_visited(PyObject *object, void *state)
{
    if (handle_is_ours(state, object)) {
        track((HandleObject *)object);
    }
    return 0;
}

void
handles_track(Engine *engine)
{
    ready_traverse(&engine->ready, track_visited, engine->state);
    if (engine->untracked_timers) {
        engine->untracked_timers = false;
        timers_traverse(&engine->timers, track_visited, engine->state);
    }
}

/* ---- making ---- */

static int
handle_take_args(HandleObject *handle, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs > HANDLE_INLINE_ARGS) {
        handle->more_args = PyTuple_New(nargs);
        if (handle->more_args == NULL) {
            return -1;
        }
        for (Py_ssize_t i = 0; i < nargs; i++) {
            PyTuple_SET_ITEM(handle->more_args, i, Py_NewRef(args[i]));
        }
    }
    else {
        for (Py_ssize_t i = 0; i < nargs; i++) {
            handle->args[i] = Py_NewRef(args[i]);
        }
    }
    handle->nargs = (int)nargs;
    return 0;
}

/* Debug mode: where the handle was made. Our frames are not Python's, so the
 * current one is the caller's. */
PLATFORM_RARE static int
handle_take_traceback(HandleObject *handle)
{
    PyObject *frame = (PyObject *)PyEval_GetFrame();
    handle->source_traceback = PyObject_CallOneArg(
        handle_engine(handle)->state->extract_stack, frame ? frame : Py_None);
    return handle->source_traceback == NULL ? -1 : 0;
}

PLATFORM_HOT static int
handle_init(HandleObject *handle, Engine *engine, PyObject *callback,
            PyObject *const *args, Py_ssize_t nargs, PyObject *context)
{
    handle->entry.ops = &handle_ops;
    handle->loop = Py_NewRef(engine->loop);
    handle->callback = Py_NewRef(callback);
    handle->cancelled = false;
    handle->scheduled = false;
    handle->counted = false;
    handle->context = context && context != Py_None
                          ? Py_NewRef(context)
                          : snapshot_take(engine->state);
    if (handle->context == NULL || handle_take_args(handle, args, nargs) < 0) {
        return -1;
    }
    return engine->debug ? handle_take_traceback(handle) : 0;
}

PLATFORM_HOT HandleObject *
handle_make(Engine *engine, PyTypeObject *type, FreeList *list,
            PyObject *callback, PyObject *const *args, Py_ssize_t nargs,
            PyObject *context)
{
    HandleObject *handle = handle_alloc(type, list);
    if (handle != NULL
        && handle_init(handle, engine, callback, args, nargs, context) < 0) {
        Py_CLEAR(handle);
    }
    if (handle != NULL && !engine->running) {
        track(handle);
    }
    return handle;
}

PLATFORM_HOT static HandleObject *
handle_make_plain(Engine *engine, PyObject *callback, PyObject *const *args,
                  Py_ssize_t nargs, PyObject *context)
{
    ModuleState *state = engine->state;
    return handle_make(engine, state->handle_type, &state->free_handles,
                       callback, args, nargs, context);
}

HandleObject *
handle_new(Engine *engine, PyObject *callback, PyObject *const *args,
           Py_ssize_t nargs, PyObject *context)
{
    HandleObject *handle =
        handle_make_plain(engine, callback, args, nargs, context);
    if (handle != NULL) {
        track(handle);
    }
    return handle;
}

PLATFORM_HOT HandleObject *
handle_new_ready(Engine *engine, PyObject *callback, PyObject *const *args,
                 Py_ssize_t nargs, PyObject *context)
{
    HandleObject *handle =
        handle_make_plain(engine, callback, args, nargs, context);
    if (handle != NULL) {
        handle_push(handle);
    }
    return handle;
}

PLATFORM_HOT TimerHandleObject *
timer_handle_new(Engine *engine, double seconds, PyObject *when,
                 PyObject *callback, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *context)
{
    ModuleState *state = engine->state;
    TimerHandleObject *timer = (TimerHandleObject *)handle_make(
        engine, state->timer_handle_type, &state->free_timer_handles, callback,
        args, nargs, context);
    if (timer == NULL) {
        return NULL;
    }
    timer->seconds = seconds;
    timer->when = Py_XNewRef(when);
    engine->untracked_timers |= engine->running;
    if (timers_push(&engine->timers, timers_ns(seconds), timer) < 0) {
        Py_CLEAR(timer);
    }
    return timer;
}

/* The same through the method: call_soon(callback, arg, context=context). */
static int
call_replaced_call_soon(Engine *engine, PyObject *callback, PyObject *arg,
                        PyObject *context)
{
    PyObject *names =
        context ? PyTuple_Pack(1, STATE_NAME(engine->state, context)) : NULL;
    if (context != NULL && names == NULL) {
        return -1;
    }
    PyObject *args[4] = {engine->loop, callback};
    size_t count = 2;
    if (arg != NULL) {
        args[count++] = arg;
    }
    args[count] = context;
    PyObject *result = PyObject_VectorcallMethod(
        STATE_NAME(engine->state, call_soon), args, count, names);
    Py_XDECREF(names);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

int
engine_call_soon(Engine *engine, PyObject *callback, PyObject *arg,
                 PyObject *context)
{
    if (engine_check_closed(engine) < 0 || overrides_check(engine) < 0) {
        return -1;
    }
    if (engine->overrides & OVERRIDE_CALL_SOON) {
        return call_replaced_call_soon(engine, callback, arg, context);
    }
    HandleObject *handle =
        handle_new_ready(engine, callback, &arg, arg != NULL, context);
    Py_XDECREF(handle);
    return handle == NULL ? -1 : 0;
}

/* ---- cancelling ---- */

/* Drops callback and arguments, the handle consistent before the first
 * finalizer can run. */
PLATFORM_HOT void
handle_drop_call(HandleObject *handle)
{
    PyObject *callback, *more;
    PyObject *args[HANDLE_INLINE_ARGS];
    Py_BEGIN_CRITICAL_SECTION(handle);
    callback = handle->callback;
    more = handle->more_args;
    for (int i = 0; i < HANDLE_INLINE_ARGS; i++) {
        args[i] = handle->args[i];
        handle->args[i] = NULL;
    }
    handle->callback = NULL;
    handle->more_args = NULL;
    handle->nargs = 0;
    Py_END_CRITICAL_SECTION();
    for (int i = 0; i < HANDLE_INLINE_ARGS; i++) {
        Py_XDECREF(args[i]);
    }
    Py_XDECREF(more);
    Py_XDECREF(callback);
}

static int
handle_keep_repr(HandleObject *handle)
{
    if (!handle_engine(handle)->debug) {
        return 0;
    }
    PyObject *repr = PyObject_Repr((PyObject *)handle);
    Py_XSETREF(handle->repr, repr);
    return repr == NULL ? -1 : 0;
}

/* Of a handle that has just been marked as cancelled. */
PLATFORM_HOT static int
handle_finish_cancel(HandleObject *handle)
{
    int err = handle_keep_repr(handle);
    PyObject *raised = err < 0 ? PyErr_GetRaisedException() : NULL;
    handle_drop_call(handle);
    if (raised != NULL) {
        PyErr_SetRaisedException(raised);
    }
    return err;
}

/* At once, since the timers count on it before a finalizer can run. Another thread's
 * fires when its time has come, and calls nothing. */
static void
tell_timers(HandleObject *handle)
{
    Engine *engine = handle_engine(handle);
    if (!handle->scheduled || engine_is_away(engine)) {
        return;
    }
    ENGINE_BEGIN(engine);
    if (handle->scheduled) {
        handle->counted = true;
        timers_cancelled(&engine->timers);
    }
    ENGINE_END();
}

PLATFORM_HOT int
handle_cancel(HandleObject *handle)
{
    bool before;
    Py_BEGIN_CRITICAL_SECTION(handle);
    before = handle->cancelled;
    handle->cancelled = true;
    Py_END_CRITICAL_SECTION();
    if (before) {
        return 0;
    }
    tell_timers(handle);
    return handle_finish_cancel(handle);
}

int
handle_cancel_steal(HandleObject *handle)
{
    int err = handle_cancel(handle);
    Py_DECREF(handle);
    return err;
}
