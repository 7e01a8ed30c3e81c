/* The registry of tasks before Python 3.14: asyncio's dict of current tasks and
 * its WeakSet of all tasks, used without a Python call. */
#include "base/compat.h"
#include "base/platform.h"
#include "tasks/registry.h"

#if !PYAIO_TASKS_IN_FIELDS

/* ---- the current task ---- */

/* Whether the entry of a task that has just ended its step may stay: the next one to
 * run is a task of ours, which replaces it, and nobody else would find out that this
 * one dies only then: the entry holds it, and who runs the step. */
static bool
may_stay(const TaskObject *task)
{
    const Engine *engine = task->future.engine;
    const ReadyEntry *next = engine == NULL ? NULL : engine->ready.head;
    /* Who else holds it may be another thread, and let go of it. */
    bool may_die =
        PYAIO_FREE_THREADED && future_status(&task->future) != FUTURE_PENDING;
    return next != NULL && next->ops == &task_ops && !engine->stopping
           && Py_REFCNT(task) > 2 && !may_die;
}

static int
refuse_enter(TaskObject *task, PyObject *current)
{
    PyErr_Format(PyExc_RuntimeError,
                 "Cannot enter into task %R while another task %R is being "
                 "executed.",
                 task, current);
    return -1;
}

PLATFORM_HOT int
registry_enter(TaskObject *task)
{
    FutureObject *future = &task->future;
    PyObject *tasks = future->state->current_tasks;
    Engine *engine = future->engine;
    if (engine != NULL && engine->leave_last != NULL) {
        engine->leave_last = NULL;
        if (engine->last == task) {
            return 0; /* it is still there */
        }
    }
    else {
        PyObject *current = PyDict_GetItemWithError(tasks, future->loop);
        if (current != NULL) {
            return refuse_enter(task, current);
        }
        if (PyErr_Occurred()) {
            return -1;
        }
    }
    return PyDict_SetItem(tasks, future->loop, (PyObject *)task);
}

PLATFORM_HOT void
registry_leave(TaskObject *task)
{
    FutureObject *future = &task->future;
    PyObject *raised = PyErr_Occurred() ? PyErr_GetRaisedException() : NULL;
    if (raised == NULL && may_stay(task)) {
        future->engine->leave_last = registry_end_run;
        future->engine->last = task;
        return;
    }
    if (PyDict_DelItem(future->state->current_tasks, future->loop) < 0) {
        PyErr_Clear(); /* somebody has taken it out */
    }
    if (raised != NULL) {
        PyErr_SetRaisedException(raised);
    }
}

void
registry_end_run(Engine *engine)
{
    if (engine->leave_last == NULL) {
        return;
    }
    engine->leave_last = NULL;
    PyObject *raised = PyErr_GetRaisedException();
    if (PyDict_DelItem(engine->state->current_tasks, engine->loop) < 0) {
        PyErr_Clear();
    }
    if (raised != NULL) {
        PyErr_SetRaisedException(raised);
    }
}

PyObject *
registry_swap(ModuleState *state, PyObject *loop, PyObject *task)
{
    PyObject *before = PyDict_GetItemWithError(state->current_tasks, loop);
    if (before == NULL && PyErr_Occurred()) {
        return NULL;
    }
    before = Py_NewRef(before ? before : Py_None);
    int err = 0;
    if (task != Py_None) {
        err = PyDict_SetItem(state->current_tasks, loop, task);
    }
    else if (before != Py_None) {
        err = PyDict_DelItem(state->current_tasks, loop);
    }
    if (err < 0) {
        Py_CLEAR(before);
    }
    return before;
}

/* ---- all tasks ---- */

#define LOOK_NS 50000 /* to go through some hundred tasks */

/* asyncio.all_tasks() of another thread begins anew when the set has changed under it,
 * a thousand times and then fails; so new tasks come slowly while somebody looks. */
static void
let_others_look(const ModuleState *state)
{
    if (PYAIO_FREE_THREADED
        && PySet_GET_SIZE(state->all_tasks_iterating) > 0) {
        Py_BEGIN_ALLOW_THREADS
        platform_sleep_ns(LOOK_NS);
        Py_END_ALLOW_THREADS
    }
}

/* WeakSet.add() without its Python code: a weak reference with the set's own
 * callback, in the set's own data. */
PLATFORM_HOT int
registry_add(TaskObject *task)
{
    ModuleState *state = task->future.state;
    if (task->registration != NULL) {
        return 0;
    }
    let_others_look(state);
    PyObject *entry =
        PyWeakref_NewRef((PyObject *)task, state->all_tasks_remove);
    if (entry == NULL || PySet_Add(state->all_tasks_data, entry) < 0) {
        Py_XDECREF(entry);
        return -1;
    }
    task->registration = entry;
    return 0;
}

/* Takes the entry out before the weak reference dies, which spares its callback
 * in Python. While somebody iterates, the callback has to do it. */
PLATFORM_HOT void
registry_forget(TaskObject *task)
{
    PyObject *entry = task->registration;
    if (entry == NULL) {
        return;
    }
    task->registration = NULL;
    ModuleState *state = module_state_of_dying((PyObject *)task);
    /* The set may compare the entry with others, which asks a weak reference for what
     * it refers to; without a GIL one that was finalized can be had again by that. */
    bool may_ask =
        !PYAIO_FREE_THREADED || !PyObject_GC_IsFinalized((PyObject *)task);
    if (state != NULL && state->all_tasks_data != NULL && may_ask
        && PySet_GET_SIZE(state->all_tasks_iterating) == 0
        && PySet_Discard(state->all_tasks_data, entry) < 0) {
        PyErr_Clear();
    }
    Py_DECREF(entry);
}

bool
registry_needs_finalizer(TaskObject *task)
{
    (void)task;
    return false;
}

void
registry_finalize(TaskObject *task)
{
    (void)task;
}

#if PYAIO_TASKS_START_EAGERLY
int
registry_add_eager(TaskObject *task)
{
    return PySet_Add(task->future.state->eager_tasks, (PyObject *)task);
}

int
registry_remove_eager(TaskObject *task)
{
    PyObject *tasks = task->future.state->eager_tasks;
    return PySet_Discard(tasks, (PyObject *)task) < 0 ? -1 : 0;
}
#else
int
registry_add_eager(TaskObject *task)
{
    (void)task;
    return 0;
}

int
registry_remove_eager(TaskObject *task)
{
    (void)task;
    return 0;
}
#endif

/* ---- what is there since 3.14 only ---- */

int
registry_add_awaiter(PyObject *future, TaskObject *task)
{
    (void)future;
    (void)task;
    return 0;
}

int
registry_remove_awaiter(PyObject *future, TaskObject *task)
{
    (void)future;
    (void)task;
    return 0;
}

int
registry_publish(TaskObject *task)
{
    (void)task;
    return 0;
}

void
registry_unpublish(TaskObject *task, const ModuleState *state)
{
    (void)task;
    (void)state;
}

PyObject *
registry_use_layout(ModuleState *state, PyObject *layout)
{
    (void)state;
    (void)layout;
    Py_RETURN_FALSE;
}

/* ---- set-up ---- */

int
registry_setup(ModuleState *state)
{
    PyObject *tasks = state->all_tasks;
    state->all_tasks_data = PyObject_GetAttrString(tasks, "data");
    state->all_tasks_iterating = PyObject_GetAttrString(tasks, "_iterating");
    state->all_tasks_remove = PyObject_GetAttrString(tasks, "_remove");
    if (state->all_tasks_data == NULL || state->all_tasks_iterating == NULL
        || state->all_tasks_remove == NULL) {
        return -1;
    }
    if (!PySet_Check(state->all_tasks_data)
        || !PySet_Check(state->all_tasks_iterating)
        || !PyDict_Check(state->current_tasks)) {
        PyErr_SetString(
            PyExc_ImportError,
            "asyncio's registry of tasks is none that pyaio knows");
        return -1;
    }
    return 0;
}

#endif
