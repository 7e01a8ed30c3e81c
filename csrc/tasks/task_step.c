/* One step of a task: send None to its coroutine, or throw, and act on what
 * comes back. The heart of tasks/: called by the turn through task_wake.c, once
 * a switch.
 *
 * Follows asyncio's Task.__step() of the running version. */
#include "base/compat.h"
#include "base/errors.h"
#include "base/platform.h"
#include "tasks/registry.h"
#include "tasks/task.h"

/* ---- into the coroutine ---- */

/* The value of the StopIteration that is set. New reference, NULL when another
 * exception is set. */
static PyObject *
take_stop_iteration(void)
{
    if (!PyErr_ExceptionMatches(PyExc_StopIteration)) {
        return NULL;
    }
    PyObject *stop = PyErr_GetRaisedException();
    PyObject *value = Py_XNewRef(((PyStopIterationObject *)stop)->value);
    Py_DECREF(stop);
    return value ? value : Py_NewRef(Py_None);
}

PLATFORM_RARE static PySendResult
throw_into(TaskObject *task, PyObject *exc, PyObject **result)
{
    *result = PyObject_CallMethodOneArg(
        task->coro, STATE_NAME(task->future.state, throw), exc);
    if (*result != NULL) {
        return PYGEN_NEXT;
    }
    *result = take_stop_iteration();
    return *result == NULL ? PYGEN_ERROR : PYGEN_RETURN;
}

/* send() of what is no native coroutine. */
PLATFORM_RARE static PySendResult
send_by_method(TaskObject *task, PyObject **result)
{
    *result = PyObject_CallMethodOneArg(
        task->coro, STATE_NAME(task->future.state, send), Py_None);
    if (*result != NULL) {
        return PYGEN_NEXT;
    }
    *result = take_stop_iteration();
    return *result == NULL ? PYGEN_ERROR : PYGEN_RETURN;
}

static PySendResult
send_into(TaskObject *task, PyObject **result)
{
    PyAsyncMethods *methods = Py_TYPE(task->coro)->tp_as_async;
    if (methods == NULL || methods->am_send == NULL) {
        return send_by_method(task, result);
    }
    PySendResult how = methods->am_send(task->coro, Py_None, result);
    if (how == PYGEN_ERROR && PyErr_ExceptionMatches(PyExc_StopIteration)) {
        *result = take_stop_iteration();
        return PYGEN_RETURN;
    }
    return how;
}

/* ---- out of the coroutine: it has ended ---- */

PLATFORM_HOT static int
task_returned(TaskObject *task, PyObject *value)
{
    if (task->must_cancel) {
        /* Cancelled right before it ended. */
        task->must_cancel = false;
        PyObject *message =
            compat_get_shared((PyObject *)task, &task->future.cancel_message);
        int cancelled = future_cancel(&task->future, message);
        Py_XDECREF(message);
        return cancelled < 0 ? -1 : 0;
    }
    return future_set_result(&task->future, value);
}

PLATFORM_RARE static int
task_raised(TaskObject *task)
{
    ModuleState *state = task->future.state;
    PyObject *exc = PyErr_GetRaisedException();
    int err;
    if (PyErr_GivenExceptionMatches(exc, state->cancelled_error)) {
        compat_set_shared((PyObject *)task, &task->future.cancelled_error,
                          exc);
        return future_cancel(&task->future, NULL) < 0 ? -1 : 0;
    }
    err = future_set_exception(&task->future, exc);
    if (err == 0
        && (PyErr_GivenExceptionMatches(exc, PyExc_KeyboardInterrupt)
            || PyErr_GivenExceptionMatches(exc, PyExc_SystemExit))) {
        PyErr_SetRaisedException(exc);
        return -1;
    }
    Py_DECREF(exc);
    return err;
}

/* ---- out of the coroutine: it waits ---- */

/* The next step raises RuntimeError(message), the message stolen. */
PLATFORM_RARE static int
throw_soon(TaskObject *task, PyObject *message)
{
    PyObject *exc =
        message ? PyObject_CallOneArg(PyExc_RuntimeError, message) : NULL;
    Py_XDECREF(message);
    return exc == NULL ? -1 : task_step_soon(task, exc);
}

PLATFORM_RARE static int
refuse_future(TaskObject *task, PyObject *future, bool other_loop)
{
    PyObject *message =
        other_loop
            ? PyUnicode_FromFormat(
                  "Task %R got Future %R attached to a different loop", task,
                  future)
            : PyUnicode_FromFormat("yield was used instead of yield from in "
                                   "task %R with %R",
                                   task, future);
    return throw_soon(task, message);
}

PLATFORM_RARE static int
refuse_itself(TaskObject *task)
{
    return throw_soon(
        task, PyUnicode_FromFormat("Task cannot await on itself: %R", task));
}

/* The task now waits for `future`, borrowed: bookkeeping of both kinds. */
static int
note_awaited(TaskObject *task, PyObject *future)
{
    compat_set_shared((PyObject *)task, &task->fut_waiter, Py_NewRef(future));
    return task->must_cancel ? task_cancel_awaited(task) : 0;
}

PLATFORM_HOT static int
await_ours(TaskObject *task, FutureObject *future)
{
    if ((PyObject *)future == (PyObject *)task) {
        return refuse_itself(task);
    }
    if (future->loop != task->future.loop) {
        return refuse_future(task, (PyObject *)future, true);
    }
    if (!future->blocking) {
        return refuse_future(task, (PyObject *)future, false);
    }
    future->blocking = false;
    if (registry_add_awaiter((PyObject *)future, task) < 0) {
        return -1;
    }
    int err;
    if (future_status(future) == FUTURE_PENDING) {
        err = task_await(task, future);
    }
    else { /* done between its yield and now */
        err = task_await_by_callback(task, future);
    }
    return err < 0 ? -1 : note_awaited(task, (PyObject *)future);
}

/* The loop of anybody's future. New reference, NULL on failure. */
static PyObject *
loop_of_foreign(ModuleState *state, PyObject *future)
{
    PyObject *get_loop = PyObject_GetAttr(future, STATE_NAME(state, get_loop));
    if (get_loop != NULL) {
        PyObject *loop = PyObject_CallNoArgs(get_loop);
        Py_DECREF(get_loop);
        return loop;
    }
    if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
        return NULL;
    }
    PyErr_Clear();
    return PyObject_GetAttr(future, STATE_NAME(state, _loop));
}

/* future.add_done_callback(wake-up, context=context). */
static int
add_wakeup_to_foreign(TaskObject *task, PyObject *future)
{
    ModuleState *state = task->future.state;
    PyObject *wakeup = task_wakeup_callable(task);
    PyObject *context = wakeup ? task_context(task) : NULL;
    PyObject *args[] = {future, wakeup, context};
    PyObject *result =
        context
            ? PyObject_VectorcallMethod(STATE_NAME(state, add_done_callback),
                                        args, 2, state->context_keyword)
            : NULL;
    Py_XDECREF(wakeup);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* `blocking`: what the future says of itself. */
PLATFORM_RARE static int
await_foreign(TaskObject *task, PyObject *future, PyObject *blocking)
{
    ModuleState *state = task->future.state;
    PyObject *loop = loop_of_foreign(state, future);
    if (loop == NULL) {
        return -1;
    }
    Py_DECREF(loop); /* compared, not used */
    if (loop != task->future.loop) {
        return refuse_future(task, future, true);
    }
    int truth = PyObject_IsTrue(blocking);
    if (truth < 0) {
        return -1;
    }
    if (truth == 0) {
        return refuse_future(task, future, false);
    }
    if (future == (PyObject *)task) {
        return refuse_itself(task);
    }
    if (registry_add_awaiter(future, task) < 0
        || PyObject_SetAttr(
               future, STATE_NAME(state, _asyncio_future_blocking), Py_False)
               < 0
        || add_wakeup_to_foreign(task, future) < 0) {
        return -1;
    }
    return note_awaited(task, future);
}

/* Something that is neither a future of ours nor None. */
PLATFORM_RARE static int
task_yielded(TaskObject *task, PyObject *result)
{
    ModuleState *state = task->future.state;
    PyObject *blocking =
        PyObject_GetAttr(result, STATE_NAME(state, _asyncio_future_blocking));
    if (blocking == NULL && !PyErr_ExceptionMatches(PyExc_AttributeError)) {
        return -1;
    }
    PyErr_Clear();
    if (blocking != NULL && blocking != Py_None) {
        int err = await_foreign(task, result, blocking);
        Py_DECREF(blocking);
        return err;
    }
    Py_XDECREF(blocking);
    if (PyGen_CheckExact(result)) {
        return throw_soon(
            task, PyUnicode_FromFormat("yield was used instead of yield from "
                                       "for generator in task %R with %R",
                                       task, result));
    }
    return throw_soon(task,
                      PyUnicode_FromFormat("Task got bad yield: %R", result));
}

/* An exception in our own dealing with what was yielded ends the task with it,
 * as in asyncio. */
PLATFORM_HOT static int
task_waits(TaskObject *task, PyObject *result)
{
    int err;
    if (result == Py_None) {
        err = task_step_soon(task, NULL);
    }
    else if (future_is_ours(task->future.state, result)) {
        err = await_ours(task, (FutureObject *)result);
    }
    else {
        err = task_yielded(task, result);
    }
    return err;
}

/* ---- the step ---- */

PLATFORM_HOT extern inline int
task_send(TaskObject *task, PyObject *exc)
{
    PyObject *result = NULL;
    PySendResult how;
    if (exc == NULL) {
        how = send_into(task, &result);
    }
    else {
        how = throw_into(task, exc, &result);
        Py_DECREF(exc);
    }
    int err;
    switch (how) {
    case PYGEN_NEXT:
        err = task_waits(task, result);
        break;
    case PYGEN_RETURN:
        err = task_returned(task, result);
        break;
    default:
        return task_raised(task);
    }
    Py_DECREF(result);
    return err;
}

/* The exception to throw in place of `exc` (stolen) in a task that has to be
 * cancelled. NULL with an exception set on failure. */
PLATFORM_RARE static PyObject *
cancellation(TaskObject *task, PyObject *exc)
{
    task->must_cancel = false;
    if (exc != NULL
        && PyErr_GivenExceptionMatches(exc,
                                       task->future.state->cancelled_error)) {
        return exc;
    }
    Py_XDECREF(exc);
    return future_make_cancelled_error(&task->future);
}

PLATFORM_RARE static int
refuse_step(TaskObject *task, PyObject *exc)
{
    PyErr_Format(task->future.state->invalid_state_error,
                 PYAIO_STEP_NAME "(): already done: %R %R", task,
                 exc ? exc : Py_None);
    Py_XDECREF(exc);
    return -1;
}

PLATFORM_HOT extern inline int
task_step(TaskObject *task, PyObject *exc)
{
    if (future_status(&task->future) != FUTURE_PENDING) {
        return refuse_step(task, exc);
    }
    if (task->must_cancel) {
        exc = cancellation(task, exc);
        if (exc == NULL) {
            return -1;
        }
    }
    if (task->fut_waiter != NULL) {
        compat_set_shared((PyObject *)task, &task->fut_waiter, NULL);
    }
    if (registry_enter(task) < 0) {
        Py_XDECREF(exc);
        return -1;
    }
    int err = task_send(task, exc);
    registry_leave(task);
    return err;
}

PyObject *
task_outcome(TaskObject *task, PyObject *future)
{
    PyObject *result;
    if (future_is_ours(task->future.state, future)) {
        FutureObject *ours = (FutureObject *)future;
        if (future_status(ours) == FUTURE_FINISHED) {
            if (ours->exception == NULL) {
                return NULL; /* the iterator takes the result */
            }
            result = future_exception_to_raise(ours);
            return result != NULL ? result : PyErr_GetRaisedException();
        }
        result = future_get_result(ours);
    }
    else {
        result = PyObject_CallMethodNoArgs(
            future, STATE_NAME(task->future.state, result));
    }
    if (result != NULL) {
        Py_DECREF(result);
        return NULL;
    }
    return PyErr_GetRaisedException();
}
