/* The Task type as Python sees it: construction, methods, attributes, memory.
 * The work is done by task.c, task_wake.c and task_step.c. */
#include "base/compat.h"
#include "base/members.h"
#include "base/platform.h"
#include "engine/report.h"
#include "tasks/registry.h"
#include "tasks/task.h"

/* ---- memory ---- */

static int
Task_traverse(TaskObject *self, visitproc visit, void *arg)
{
    Py_VISIT(self->coro);
    Py_VISIT(self->context);
    Py_VISIT(self->name);
    Py_VISIT(self->fut_waiter);
    Py_VISIT(self->throw_next);
    return future_traverse(&self->future, visit, arg);
}

static int
Task_clear(TaskObject *self)
{
    Py_CLEAR(self->coro);
    Py_CLEAR(self->context);
    Py_CLEAR(self->name);
    Py_CLEAR(self->fut_waiter);
    Py_CLEAR(self->throw_next);
    future_clear(&self->future);
    return 0;
}

static bool
is_destroyed_pending(const TaskObject *task)
{
    return task->log_destroy_pending && task->future.loop != NULL
           && future_status(&task->future) == FUTURE_PENDING;
}

PLATFORM_HOT static void
Task_dealloc(TaskObject *self)
{
    if (future_finalize_dying(&self->future,
                              is_destroyed_pending(self)
                                  || self->future.log_traceback
                                  || registry_needs_finalizer(self))) {
        return; /* somebody has kept it */
    }
    PyObject_GC_UnTrack(self);
    registry_forget(self);
    compat_clear_weakrefs((PyObject *)self); /* before anything that it had */
    ModuleState *state = module_state_of_dying((PyObject *)self);
    Py_CLEAR(self->coro);
    Py_CLEAR(self->context);
    Py_CLEAR(self->name);
    Py_CLEAR(self->fut_waiter);
    Py_CLEAR(self->throw_next);
    self->cancel_requests = 0;
    self->must_cancel = false;
    self->log_destroy_pending = false;
    if (state != NULL) {
        registry_unpublish(self, state);
    }
    future_dealloc(&self->future, state ? &state->free_tasks : NULL);
}

static int
report_destroyed(TaskObject *task)
{
    PyObject *message =
        PyUnicode_FromString("Task was destroyed but it is pending!");
    if (message == NULL) {
        return -1;
    }
    int err = report_to_loop(task->future.loop, message, "task", task,
                             "source_traceback", task->future.source_traceback,
                             NULL);
    Py_DECREF(message);
    return err;
}

static void
Task_finalize(TaskObject *self)
{
    PyObject *raised = PyErr_GetRaisedException();
    registry_finalize(self);
    if (is_destroyed_pending(self) && report_destroyed(self) < 0) {
        PyErr_WriteUnraisable((PyObject *)self);
    }
    future_finalize(&self->future);
    if (raised != NULL) {
        PyErr_SetRaisedException(raised);
    }
}

/* ---- construction ---- */

static int
Task_init(TaskObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {
        "coro", "loop", "name", "context", PYAIO_EAGER_START_KEYWORD, NULL};
    PyObject *coro, *loop = NULL;
    TaskOptions options = {0};
    int eager_start = 0;
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "O|$OOO" PYAIO_EAGER_START_FORMAT ":Task", names,
            &coro, &loop, &options.name, &options.context, &eager_start)) {
        return -1;
    }
    options.eager_start = eager_start;
    self->entry.ops = &task_ops;
    return task_init(self, coro, loop, &options);
}

static PyObject *
Task_repr(TaskObject *self)
{
    if (future_check_alive(&self->future) < 0) {
        return NULL;
    }
    return PyObject_CallOneArg(self->future.state->task_repr,
                               (PyObject *)self);
}

/* ---- methods ---- */

static PyObject *
Task_cancel(TaskObject *self, PyObject *const *args, Py_ssize_t nargs,
            PyObject *kwnames)
{
    PyObject *message = NULL;
    PyObject *name = STATE_NAME(self->future.state, msg);
    if (future_parse_optional("cancel", name, true, args, nargs, kwnames,
                              &message)
        < 0) {
        return NULL;
    }
    int cancelled = task_cancel(self, message);
    return cancelled < 0 ? NULL : PyBool_FromLong(cancelled);
}

static PyObject *
Task_cancelling(TaskObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromLong(self->cancel_requests);
}

static PyObject *
Task_uncancel(TaskObject *self, PyObject *Py_UNUSED(ignored))
{
    if (self->cancel_requests > 0) {
        self->cancel_requests--;
#if PYAIO_UNCANCEL_REVOKES
        if (self->cancel_requests == 0) {
            self->must_cancel = false;
        }
#endif
    }
    return PyLong_FromLong(self->cancel_requests);
}

static PyObject *
Task_get_coro(TaskObject *self, PyObject *Py_UNUSED(ignored))
{
    return member_shared((PyObject *)self, (void *)offsetof(TaskObject, coro));
}

#if PYAIO_TASK_SHOWS_CONTEXT
static PyObject *
Task_get_context(TaskObject *self, PyObject *Py_UNUSED(ignored))
{
    if (self->context == NULL) {
        Py_RETURN_NONE;
    }
    return Py_XNewRef(task_context(self));
}
#endif

static PyObject *
Task_get_name(TaskObject *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *name;
    Py_BEGIN_CRITICAL_SECTION((PyObject *)self);
    if (self->name == NULL) {
        self->name = PyUnicode_FromFormat("Task-%llu",
                                          (unsigned long long)self->number);
    }
    name = Py_XNewRef(self->name);
    Py_END_CRITICAL_SECTION();
    return name;
}

static PyObject *
Task_set_name(TaskObject *self, PyObject *name)
{
    PyObject *text =
        PyUnicode_CheckExact(name) ? Py_NewRef(name) : PyObject_Str(name);
    if (text == NULL) {
        return NULL;
    }
    compat_set_shared((PyObject *)self, &self->name, text);
    if (registry_publish(self) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
refuse_operation(const char *name)
{
    return PyErr_Format(PyExc_RuntimeError,
                        "Task does not support %s operation", name);
}

static PyObject *
Task_set_result(TaskObject *Py_UNUSED(self), PyObject *Py_UNUSED(result))
{
    return refuse_operation("set_result");
}

static PyObject *
Task_set_exception(TaskObject *Py_UNUSED(self), PyObject *Py_UNUSED(exception))
{
    return refuse_operation("set_exception");
}

static PyObject *
Task_get_stack(TaskObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"limit", NULL};
    PyObject *limit = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$O:get_stack", names,
                                     &limit)) {
        return NULL;
    }
    return PyObject_CallFunctionObjArgs(self->future.state->task_get_stack,
                                        self, limit, NULL);
}

static PyObject *
Task_print_stack(TaskObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"limit", "file", NULL};
    PyObject *limit = Py_None, *file = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$OO:print_stack", names,
                                     &limit, &file)) {
        return NULL;
    }
    return PyObject_CallFunctionObjArgs(self->future.state->task_print_stack,
                                        self, limit, file, NULL);
}

/* ---- attributes ---- */

static int
Task_set_log_destroy_pending(TaskObject *self, PyObject *value,
                             void *Py_UNUSED(closure))
{
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "cannot delete attribute");
        return -1;
    }
    int log = PyObject_IsTrue(value);
    if (log < 0) {
        return -1;
    }
    self->log_destroy_pending = log;
    return 0;
}

static PyObject *
Task_get_cancel_requests(TaskObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(self->cancel_requests);
}

/* ---- tables ---- */

PyDoc_STRVAR(cancel_doc,
             "cancel($self, /, msg=None)\n--\n\n"
             "Ask the task to cancel itself: CancelledError is raised in its "
             "coroutine in the\nnext turn. False if it is done already.");
PyDoc_STRVAR(cancelling_doc,
             "cancelling($self, /)\n--\n\n"
             "How many cancel() were not yet taken back by uncancel().");
PyDoc_STRVAR(uncancel_doc,
             "uncancel($self, /)\n--\n\n"
             "Take one cancel() back; returns how many are left.");
PyDoc_STRVAR(get_coro_doc,
             "get_coro($self, /)\n--\n\nThe coroutine of the task.");
PyDoc_STRVAR(get_name_doc,
             "get_name($self, /)\n--\n\nThe name of the task, a str.");
PyDoc_STRVAR(set_name_doc,
             "set_name($self, value, /)\n--\n\nSet the name, to "
             "str(value).");
PyDoc_STRVAR(set_result_doc,
             "set_result($self, result, /)\n--\n\n"
             "RuntimeError: a task's result is its coroutine's.");
PyDoc_STRVAR(set_exception_doc,
             "set_exception($self, exception, /)\n--\n\n"
             "RuntimeError: a task's exception is its coroutine's.");
PyDoc_STRVAR(get_stack_doc,
             "get_stack($self, /, *, limit=None)\n--\n\n"
             "The frames of the coroutine, as asyncio.Task.get_stack().");
PyDoc_STRVAR(print_stack_doc,
             "print_stack($self, /, *, limit=None, file=None)\n--\n\n"
             "Print the frames of the coroutine, as "
             "asyncio.Task.print_stack().");

#define NOARGS(name) {#name, (PyCFunction)Task_##name, METH_NOARGS, name##_doc}
#define ONE(name) {#name, (PyCFunction)Task_##name, METH_O, name##_doc}
#define KEYWORDS(name)                                                        \
    {#name, (PyCFunction)(void (*)(void))Task_##name,                         \
     METH_VARARGS | METH_KEYWORDS, name##_doc}

static PyMethodDef Task_methods[] = {
    {"cancel", (PyCFunction)(void (*)(void))Task_cancel,
     METH_FASTCALL | METH_KEYWORDS, cancel_doc},
    NOARGS(cancelling),
    NOARGS(uncancel),
    NOARGS(get_coro),
#if PYAIO_TASK_SHOWS_CONTEXT
    {"get_context", (PyCFunction)Task_get_context, METH_NOARGS,
     PyDoc_STR("get_context($self, /)\n--\n\nThe contextvars.Context of the "
               "task.")},
#endif
    NOARGS(get_name),
    ONE(set_name),
    ONE(set_result),
    ONE(set_exception),
    KEYWORDS(get_stack),
    KEYWORDS(print_stack),
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef Task_getset[] = {
    MEMBER("_coro", shared, TaskObject, coro),
    MEMBER("_fut_waiter", shared, TaskObject, fut_waiter),
    MEMBER("_must_cancel", flag, TaskObject, must_cancel),
    {"_num_cancels_requested", (getter)Task_get_cancel_requests, NULL, NULL,
     NULL},
    {"_log_destroy_pending", member_flag, (setter)Task_set_log_destroy_pending,
     NULL, (void *)offsetof(TaskObject, log_destroy_pending)},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(Task_doc,
             "Task(coro, *, loop=None, name=None, "
             "context=None" PYAIO_EAGER_START_SIGNATURE ")\n--\n\n"
             "An asyncio.Task in C: what create_task() returns.\n\n"
             "The keywords are those of the running version's asyncio.Task.");

static PyType_Slot Task_slots[] = {
    {Py_tp_doc, (void *)Task_doc},
    {Py_tp_new, future_tp_new},
    {Py_tp_init, Task_init},
    {Py_tp_dealloc, Task_dealloc},
    {Py_tp_traverse, Task_traverse},
    {Py_tp_clear, Task_clear},
    {Py_tp_finalize, Task_finalize},
    {Py_tp_repr, Task_repr},
    {Py_tp_iter, await_iter_new},
    {Py_am_await, await_iter_new},
    {Py_tp_methods, Task_methods},
    {Py_tp_getset, Task_getset},
    {0, NULL},
};

static PyType_Spec Task_spec = {
    .name = "pyaio.Task",
    .basicsize = sizeof(TaskObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = Task_slots,
};

int
task_setup(PyObject *module, ModuleState *state)
{
    if (module_add_type_under(module, &Task_spec, "asyncio", "Task",
                              FUTURE_BASE_SIZE, &state->task_type)
            < 0
        || module_add_methods(state->task_type, future_methods) < 0
        || module_add_getset(state->task_type, future_getset) < 0
        || future_prove_dict_slot(state, state->task_type) < 0) {
        return -1;
    }
    return registry_setup(state);
}
