/* How a task comes to its next step: directly, as an entry of the ready queue, or
 * by the loop's call_soon() where somebody has to see it. The turn runs the entry
 * (task_run), a handle calls the builtin (task_step_builtin, task_wakeup). */
#include "base/compat.h"
#include "base/errors.h"
#include "base/platform.h"
#include "base/snapshot.h"
#include "engine/handle.h"
#include "engine/overrides.h"
#include "engine/report.h"
#include "engine/succession.h"
#include "tasks/registry.h"
#include "tasks/task.h"

static TaskObject *
task_of(ReadyEntry *entry)
{
    return CONTAINER_OF(entry, TaskObject, entry);
}

/* 1 when the ready queue is the way, 0 when it is call_soon(), -1 on error. */
PLATFORM_HOT static int
task_is_direct(TaskObject *task)
{
    Engine *engine = task->future.engine;
    if (engine == NULL || engine->debug || engine->closed || task->queued
        || !snapshot_is_native(task->future.state, task->context)) {
        return 0;
    }
    if (overrides_check(engine) < 0) {
        return -1;
    }
    return !(engine->overrides & OVERRIDE_CALL_SOON);
}

/* ---- by call_soon() ---- */

/* The handle goes on behind the step, which so leaves nothing to the next one. */
static int
step_by_handle(TaskObject *task, PyObject *exc)
{
    int err = task_step(task, exc);
    if (task->future.engine != NULL) {
        engine_leave_last(task->future.engine);
    }
    return err;
}

static PyObject *
step_builtin(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *exc = nargs > 0 ? Py_NewRef(args[0]) : NULL;
    if (step_by_handle((TaskObject *)self, exc) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
wakeup_builtin(PyObject *self, PyObject *future)
{
    TaskObject *task = (TaskObject *)self;
    if (registry_remove_awaiter(future, task) < 0
        || step_by_handle(task, task_outcome(task, future)) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef step_method = {"task_step",
                                  (PyCFunction)(void (*)(void))step_builtin,
                                  METH_FASTCALL, NULL};
static PyMethodDef wakeup_method = {"task_wakeup", wakeup_builtin, METH_O,
                                    NULL};

PyObject *
task_wakeup_callable(TaskObject *task)
{
    return PyCFunction_New(&wakeup_method, (PyObject *)task);
}

PLATFORM_RARE static int
step_by_call_soon(TaskObject *task, PyObject *exc)
{
    PyObject *step = PyCFunction_New(&step_method, (PyObject *)task);
    PyObject *context = step ? task_context(task) : NULL;
    int err =
        context ? future_call_soon(&task->future, step, exc, context) : -1;
    Py_XDECREF(step);
    Py_XDECREF(exc);
    return err;
}

PLATFORM_RARE static int
wake_by_call_soon(TaskObject *task, FutureObject *awaited)
{
    PyObject *wakeup = task_wakeup_callable(task);
    PyObject *context = wakeup ? task_context(task) : NULL;
    int err = context ? future_call_soon(&task->future, wakeup,
                                         (PyObject *)awaited, context)
                      : -1;
    Py_XDECREF(wakeup);
    return err;
}

/* ---- directly ---- */

PLATFORM_HOT static void
task_push(TaskObject *task)
{
    task->queued = true;
    Py_INCREF(task); /* dropped by task_run() or task_discard() */
    engine_push(task->future.engine, &task->entry);
}

PLATFORM_HOT extern inline int
task_wake(TaskObject *task, FutureObject *awaited)
{
    int direct = task_is_direct(task);
    if (direct > 0) {
        task_push(task);
        return 0;
    }
    return direct < 0 ? -1 : wake_by_call_soon(task, awaited);
}

PLATFORM_HOT extern inline int
task_step_soon(TaskObject *task, PyObject *exc)
{
    int direct = task_is_direct(task);
    if (direct > 0) {
        Py_XSETREF(task->throw_next, exc);
        task_push(task);
        return 0;
    }
    if (direct < 0) {
        Py_XDECREF(exc);
        return -1;
    }
    return step_by_call_soon(task, exc);
}

int
task_await_by_callback(TaskObject *task, FutureObject *future)
{
    PyObject *wakeup = task_wakeup_callable(task);
    PyObject *context = wakeup ? task_context(task) : NULL;
    int err = context ? future_add_callback(future, wakeup, context) : -1;
    Py_XDECREF(wakeup);
    return err;
}

PLATFORM_HOT int
task_await(TaskObject *task, FutureObject *future)
{
    int direct = task_is_direct(task);
    bool linked = false;
    Py_BEGIN_CRITICAL_SECTION((PyObject *)future);
    if (direct > 0 && future_has_no_callbacks(future)
        && future_status(future) == FUTURE_PENDING) {
        future->waiter = (TaskObject *)Py_NewRef((PyObject *)task);
        linked = true;
    }
    Py_END_CRITICAL_SECTION();
    if (linked) {
        return 0;
    }
    return direct < 0 ? -1 : task_await_by_callback(task, future);
}

/* ---- the entry ---- */

/* What the step has let out although it is not the task's business goes where
 * the exception of a handle's callback goes. */
PLATFORM_RARE static int
report_step(TaskObject *task, Engine *engine)
{
    registry_end_run(engine); /* where it has failed before it began */
    if (errors_is_exit()) {
        return -1;
    }
    PyObject *raised = PyErr_GetRaisedException();
    PyObject *step = PyCFunction_New(&step_method, (PyObject *)task);
    PyObject *context = step ? task_context(task) : NULL;
    HandleObject *handle =
        context ? handle_new(engine, step, NULL, 0, context) : NULL;
    PyObject *args = handle ? PyTuple_New(0) : NULL;
    int err = -1;
    if (args != NULL) {
        PyErr_SetRaisedException(raised);
        err = report_callback(engine, (PyObject *)handle, step, args, NULL);
    }
    else {
        Py_XDECREF(raised);
    }
    Py_XDECREF(args);
    Py_XDECREF(handle);
    Py_XDECREF(step);
    return err;
}

/* What the next step has to throw, or NULL. New reference. -1 in *failed. */
static PyObject *
take_news(TaskObject *task, int *failed)
{
    PyObject *exc = task->throw_next;
    if (exc != NULL) {
        task->throw_next = NULL;
        return exc;
    }
    PyObject *awaited = task->fut_waiter;
    if (awaited == NULL) {
        return NULL;
    }
    *failed = registry_remove_awaiter(awaited, task);
    return *failed < 0 ? NULL : task_outcome(task, awaited);
}

/* `err` is what the step has come to, and what this returns if all goes well. */
static int
leave_context(TaskObject *task, Engine *engine, int err)
{
    bool lives_on = Py_REFCNT(task) > 1;
    bool stays = err == 0 && lives_on && succession_follows(engine);
    return succession_leave(engine, &task->context, stays) < 0 ? -1 : err;
}

PLATFORM_HOT static int
task_run(ReadyEntry *entry, Engine *engine)
{
    TaskObject *task = task_of(entry);
    task->queued = false;
    int err = succession_enter(engine, &task->context);
    if (err == 0) {
        PyObject *exc = take_news(task, &err);
        if (err == 0) {
            err = task_step(task, exc);
        }
        err = leave_context(task, engine, err);
    }
    if (err < 0) {
        err = report_step(task, engine);
    }
    Py_DECREF(task); /* taken by task_push() */
    return err;
}

static void
task_discard(ReadyEntry *entry)
{
    TaskObject *task = task_of(entry);
    task->queued = false;
    Py_DECREF(task); /* taken by task_push() */
}

static int
task_entry_traverse(ReadyEntry *entry, visitproc visit, void *arg)
{
    Py_VISIT((PyObject *)task_of(entry));
    return 0;
}

static PyObject *
task_subject(ReadyEntry *entry)
{
    return Py_NewRef((PyObject *)task_of(entry));
}

const ReadyOps task_ops = {
    .run = task_run,
    .discard = task_discard,
    .traverse = task_entry_traverse,
    .subject = task_subject,
    .succeeds = true,
};
