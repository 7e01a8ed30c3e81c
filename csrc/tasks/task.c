/* Making and cancelling tasks. Called by loop.create_task() (api/) and by the
 * type (task_type.c); the steps are in task_step.c. */
#include "base/platform.h"
#include "tasks/task.h"

#include "base/compat.h"
#include "base/snapshot.h"
#include "tasks/registry.h"

/* ---- making ---- */

/* asyncio.iscoroutine(): 1, 0, -1. Native coroutines, the interpreter's and ours,
 * are known at sight. */
static int
is_coroutine(ModuleState *state, PyObject *object)
{
    if (PyCoro_CheckExact(object)
        || Py_IS_TYPE(object, state->sock_call_type)) {
        return 1;
    }
    PyObject *answer = PyObject_CallOneArg(state->iscoroutine, object);
    int truth = answer ? PyObject_IsTrue(answer) : -1;
    Py_XDECREF(answer);
    return truth;
}

static int
check_coroutine(TaskObject *task, PyObject *coro)
{
    int truth = is_coroutine(task->future.state, coro);
    if (truth > 0) {
        return 0;
    }
    task->log_destroy_pending = false;
    if (truth == 0) {
        PyErr_Format(PyExc_TypeError, "a coroutine was expected, got %R",
                     coro);
    }
    return -1;
}

static int
take_context(TaskObject *task, PyObject *context)
{
    if (context == NULL || context == Py_None) {
        task->context = snapshot_take(task->future.state);
        return task->context == NULL ? -1 : 0;
    }
#if PYAIO_TASK_CHECKS_CONTEXT
    if (!PyContext_CheckExact(context)) {
        task->log_destroy_pending = false;
        PyErr_Format(PyExc_TypeError,
                     "a contextvars.Context was expected, "
                     "got %s",
                     Py_TYPE(context)->tp_name);
        return -1;
    }
#endif
    task->context = Py_NewRef(context);
    return 0;
}

PyObject *
task_context(TaskObject *task)
{
    return snapshot_show(task->future.state, &task->context);
}

static int
take_name(TaskObject *task, PyObject *name)
{
    task->number = state_count_task(task->future.state);
    if (name == NULL || name == Py_None) {
        return 0;
    }
    task->name =
        PyUnicode_CheckExact(name) ? Py_NewRef(name) : PyObject_Str(name);
    return task->name == NULL ? -1 : 0;
}

/* Runs the first step at once, as the current task and in its own context. */
static int
start_eagerly(TaskObject *task)
{
    ModuleState *state = task->future.state;
    PyObject *loop = task->future.loop;
    PyObject *before = registry_swap(state, loop, (PyObject *)task);
    if (before == NULL) {
        return -1;
    }
    int err = registry_add_eager(task);
    if (err == 0) {
        err = snapshot_enter(state, &task->context);
        if (err == 0) {
            err = task_send(task, NULL);
            err = snapshot_leave(state, &task->context) < 0 ? -1 : err;
        }
        PyObject *raised = PyErr_GetRaisedException();
        if (registry_remove_eager(task) < 0) {
            err = -1;
            Py_CLEAR(raised);
        }
        if (raised != NULL) {
            PyErr_SetRaisedException(raised);
        }
    }
    PyObject *raised = PyErr_GetRaisedException();
    PyObject *itself = registry_swap(state, loop, before);
    err = itself == NULL ? -1 : err;
    Py_XDECREF(itself);
    Py_DECREF(before);
    if (raised != NULL) {
        PyErr_SetRaisedException(raised);
    }
    return err;
}

static int
finish_eager_start(TaskObject *task, int err)
{
    if (err < 0) {
        task->log_destroy_pending = false;
        return -1;
    }
    if (future_status(&task->future) == FUTURE_PENDING) {
        return registry_add(task);
    }
    compat_set_shared((PyObject *)task, &task->coro, NULL);
    return registry_publish(task);
}

/* loop.is_running(), of any loop: 1, 0, -1 with an exception set. */
static int
loop_is_running(TaskObject *task)
{
    if (task->future.engine != NULL) {
        return task->future.engine->thread_id != 0;
    }
    PyObject *answer = PyObject_CallMethodNoArgs(
        task->future.loop, STATE_NAME(task->future.state, is_running));
    int truth = answer ? PyObject_IsTrue(answer) : -1;
    Py_XDECREF(answer);
    return truth;
}

static int
task_start(TaskObject *task, bool eager_start)
{
    int eager = eager_start ? loop_is_running(task) : 0;
    if (eager < 0 || registry_publish(task) < 0) {
        return -1;
    }
    if (eager) {
        return finish_eager_start(task, start_eagerly(task));
    }
    return task_step_soon(task, NULL) < 0 ? -1 : registry_add(task);
}

PLATFORM_HOT static int
task_take(TaskObject *task, PyObject *coro, const TaskOptions *options)
{
    task->log_destroy_pending = true;
    if (check_coroutine(task, coro) < 0
        || take_context(task, options->context) < 0
        || take_name(task, options->name) < 0) {
        task->log_destroy_pending = false;
        return -1;
    }
    task->coro = Py_NewRef(coro);
    return task_start(task, options->eager_start);
}

int
task_init(TaskObject *task, PyObject *coro, PyObject *loop,
          const TaskOptions *options)
{
    if (future_init(&task->future, loop) < 0) {
        return -1;
    }
    return task_take(task, coro, options);
}

PLATFORM_HOT PyObject *
task_new(Engine *engine, PyObject *coro, const TaskOptions *options)
{
    ModuleState *state = engine->state;
    TaskObject *task = (TaskObject *)future_make(engine, state->task_type,
                                                 &state->free_tasks);
    if (task == NULL) {
        return NULL;
    }
    task->entry.ops = &task_ops;
    if (task_take(task, coro, options) < 0) {
        Py_CLEAR(task);
    }
    return (PyObject *)task;
}

/* ---- cancelling ---- */

/* future.cancel(msg=message) of anything: 1, 0, -1 with an exception set. */
static int
cancel_awaited(TaskObject *task, PyObject *awaited, PyObject *message)
{
    ModuleState *state = task->future.state;
    if (Py_IS_TYPE(awaited, state->future_type)) {
        return future_cancel((FutureObject *)awaited, message);
    }
    if (Py_IS_TYPE(awaited, state->task_type)) {
        /* Tasks that await each other go round for ever. */
        if (Py_EnterRecursiveCall(" while cancelling a task") != 0) {
            return -1;
        }
        int cancelled = task_cancel((TaskObject *)awaited, message);
        Py_LeaveRecursiveCall();
        return cancelled;
    }
    PyObject *args[] = {awaited, message ? message : Py_None};
    PyObject *answer = PyObject_VectorcallMethod(STATE_NAME(state, cancel),
                                                 args, 1, state->msg_keyword);
    int truth = answer ? PyObject_IsTrue(answer) : -1;
    Py_XDECREF(answer);
    return truth;
}

int
task_cancel(TaskObject *task, PyObject *message)
{
    if (future_check_alive(&task->future) < 0) {
        return -1;
    }
    task->future.log_traceback = false;
    if (future_status(&task->future) != FUTURE_PENDING) {
        return 0;
    }
    task->cancel_requests++;
    PyObject *awaited = compat_get_shared((PyObject *)task, &task->fut_waiter);
    if (awaited != NULL) {
        int cancelled = cancel_awaited(task, awaited, message);
        Py_DECREF(awaited);
        if (cancelled != 0) {
            return cancelled; /* the wake-up brings the CancelledError */
        }
    }
    task->must_cancel = true;
    compat_set_shared((PyObject *)task, &task->future.cancel_message,
                      Py_XNewRef(message));
    return 1;
}

int
task_cancel_awaited(TaskObject *task)
{
    if (!task->must_cancel || task->fut_waiter == NULL) {
        return 0;
    }
    PyObject *awaited = Py_NewRef(task->fut_waiter); /* ours to set */
    PyObject *message =
        compat_get_shared((PyObject *)task, &task->future.cancel_message);
    int cancelled = cancel_awaited(task, awaited, message);
    Py_XDECREF(message);
    Py_DECREF(awaited);
    if (cancelled > 0) {
        task->must_cancel = false;
    }
    return cancelled < 0 ? -1 : 0;
}
