/* The registry of tasks since Python 3.14: the current task in the thread's
 * state, all tasks in a list through the tasks themselves, who awaits whom in the
 * futures. Debuggers find these by a table of offsets that the interpreter
 * publishes; so do we (pyaio/_layout.py), after a proof on throw-away objects.
 *
 * Without that proof, and in free-threaded builds, where the lists have locks,
 * _asyncio's functions do the same. */
#include "base/compat.h"
#include "base/platform.h"
#include "tasks/registry.h"

#if PYAIO_TASKS_IN_FIELDS

/* As in the interpreter's internal llist.h. */
typedef struct ListNode {
    struct ListNode *next;
    struct ListNode *prev;
} ListNode;

#define FIELD(type, object, offset) ((type *)((char *)(object) + (offset)))

/* ---- calls of _asyncio's functions ---- */

static int
call(PyObject *function, void *first, void *second)
{
    PyObject *args[] = {first, second};
    PyObject *result =
        PyObject_Vectorcall(function, args, second == NULL ? 1 : 2, NULL);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* Where the direct way is not proved, or not the right one just now. */
PLATFORM_RARE static int
call_instead(PyObject *function, void *first, void *second)
{
    return call(function, first, second);
}

/* ---- the current task ---- */

PLATFORM_HOT int
registry_enter(TaskObject *task)
{
    ModuleState *state = task->future.state;
    const TaskLayout *layout = &state->task_layout;
    if (layout->proved) {
        PyThreadState *thread = PyThreadState_GetUnchecked();
        PyObject **current = FIELD(PyObject *, thread, layout->running_task);
        PyObject **loop = FIELD(PyObject *, thread, layout->running_loop);
        if (*current == NULL && *loop == task->future.loop) {
            *current = Py_NewRef((PyObject *)task);
            return 0;
        }
    }
    return call_instead(state->enter_task, task->future.loop, task);
}

PLATFORM_HOT void
registry_leave(TaskObject *task)
{
    ModuleState *state = task->future.state;
    const TaskLayout *layout = &state->task_layout;
    if (layout->proved) {
        PyThreadState *thread = PyThreadState_GetUnchecked();
        PyObject **current = FIELD(PyObject *, thread, layout->running_task);
        if (*current == (PyObject *)task) {
            *current = NULL;
            Py_DECREF(task);
            return;
        }
    }
    PyObject *raised = PyErr_GetRaisedException();
    if (call_instead(state->leave_task, task->future.loop, task) < 0) {
        PyErr_Clear(); /* somebody has taken it out */
    }
    if (raised != NULL) {
        PyErr_SetRaisedException(raised);
    }
}

void
registry_end_run(Engine *engine)
{
    (void)engine;
}

PyObject *
registry_swap(ModuleState *state, PyObject *loop, PyObject *task)
{
    PyObject *args[] = {loop, task};
    return PyObject_Vectorcall(state->swap_current_task, args, 2, NULL);
}

/* ---- all tasks ---- */

static ListNode *
node_of(const TaskLayout *layout, TaskObject *task)
{
    return FIELD(ListNode, task, layout->node);
}

PLATFORM_HOT int
registry_add(TaskObject *task)
{
    ModuleState *state = task->future.state;
    const TaskLayout *layout = &state->task_layout;
    if (!layout->proved) {
        return call_instead(state->register_task, task, NULL);
    }
    ListNode *node = node_of(layout, task);
    if (node->next == NULL) {
        ListNode *head =
            FIELD(ListNode, PyThreadState_GetUnchecked(), layout->tasks_head);
        node->prev = head->prev;
        node->next = head;
        head->prev->next = node;
        head->prev = node;
        task->registration = node;
    }
    return 0;
}

bool
registry_needs_finalizer(TaskObject *task)
{
    if (task->registration != NULL) {
        return false; /* noted by the proved layout */
    }
    ModuleState *state = module_state_beneath_dying((PyObject *)task);
    return state != NULL && !state->task_layout.proved
           && state->unregister_task != NULL;
}

void
registry_finalize(TaskObject *task)
{
    ModuleState *state = module_state_beneath_dying((PyObject *)task);
    if (registry_needs_finalizer(task)
        && call(state->unregister_task, task, NULL) < 0) {
        PyErr_WriteUnraisable((PyObject *)task);
    }
}

/* The node of a dying task, NULL where there is none. Also of a task that only
 * asyncio's own _register_task() has put into the list. */
static ListNode *
node_of_dying(TaskObject *task)
{
    if (task->registration != NULL) {
        return task->registration;
    }
    ModuleState *state = module_state_beneath_dying((PyObject *)task);
    return state != NULL && state->task_layout.proved
               ? node_of(&state->task_layout, task)
               : NULL;
}

PLATFORM_HOT void
registry_forget(TaskObject *task)
{
    ListNode *node = node_of_dying(task);
    task->registration = NULL;
    /* asyncio's _unregister_task() may have taken it out. */
    if (node != NULL && node->next != NULL) {
        node->prev->next = node->next;
        node->next->prev = node->prev;
        node->next = NULL;
        node->prev = NULL;
    }
}

int
registry_add_eager(TaskObject *task)
{
    return call(task->future.state->register_eager_task, task, NULL);
}

int
registry_remove_eager(TaskObject *task)
{
    return call(task->future.state->unregister_eager_task, task, NULL);
}

/* ---- who awaits whom ---- */

/* The field of a future that one task awaits, or NULL where it has to be
 * done by the function: several tasks make a set of it. */
static PyObject **
awaiter_field(ModuleState *state, PyObject *future)
{
    const TaskLayout *layout = &state->task_layout;
    if (!layout->proved || !future_is_ours(state, future)
        || *FIELD(char, future, layout->awaited_by_is_set)) {
        return NULL;
    }
    return FIELD(PyObject *, future, layout->awaited_by);
}

PLATFORM_HOT int
registry_add_awaiter(PyObject *future, TaskObject *task)
{
    ModuleState *state = task->future.state;
    PyObject **awaiter = awaiter_field(state, future);
    if (awaiter != NULL && *awaiter == NULL) {
        *awaiter = Py_NewRef((PyObject *)task);
        return 0;
    }
    return call_instead(state->add_awaiter, future, task);
}

PLATFORM_HOT int
registry_remove_awaiter(PyObject *future, TaskObject *task)
{
    ModuleState *state = task->future.state;
    PyObject **awaiter = awaiter_field(state, future);
    if (awaiter != NULL && *awaiter == (PyObject *)task) {
        *awaiter = NULL;
        Py_DECREF(task);
        return 0;
    }
    return call_instead(state->remove_awaiter, future, task);
}

/* ---- what debuggers read ---- */

PLATFORM_HOT int
registry_publish(TaskObject *task)
{
    const TaskLayout *layout = &task->future.state->task_layout;
    if (!layout->proved) {
        return 0;
    }
    PyObject *name = task->name ? Py_NewRef(task->name)
                                : PyLong_FromUnsignedLongLong(task->number);
    if (name == NULL) {
        return -1;
    }
    *FIELD(char, task, layout->is_task) = 1;
    Py_XSETREF(*FIELD(PyObject *, task, layout->name), name);
    Py_XSETREF(*FIELD(PyObject *, task, layout->coro), Py_XNewRef(task->coro));
    return 0;
}

void
registry_unpublish(TaskObject *task, const ModuleState *state)
{
    const TaskLayout *layout = &state->task_layout;
    if (layout->proved) {
        *FIELD(char, task, layout->is_task) = 0;
        Py_CLEAR(*FIELD(PyObject *, task, layout->name));
        Py_CLEAR(*FIELD(PyObject *, task, layout->coro));
    }
}

/* ---- the layout ---- */

#define LAYOUT_FIELDS(X)                                                      \
    X(name)                                                                   \
    X(coro)                                                                   \
    X(awaited_by)                                                             \
    X(is_task)                                                                \
    X(awaited_by_is_set)                                                      \
    X(node)                                                                   \
    X(running_loop)                                                           \
    X(running_task)                                                           \
    X(tasks_head)

static int
read_offset(PyObject *layout, const char *name, Py_ssize_t *offset)
{
    PyObject *value = PyMapping_GetItemString(layout, name);
    *offset = value ? PyLong_AsSsize_t(value) : -1;
    Py_XDECREF(value);
    return *offset < 0 ? -1 : 0;
}

static bool
is_inside(const ModuleState *state, Py_ssize_t offset, size_t size)
{
    Py_ssize_t end = ((PyTypeObject *)state->asyncio_task)->tp_basicsize;
    return offset >= (Py_ssize_t)sizeof(PyObject)
           && offset + (Py_ssize_t)size <= end;
}

/* On a task of asyncio's own that is registered, named and awaited. */
static bool
task_matches(const TaskLayout *layout, PyObject *task, PyObject *coro,
             PyObject *name)
{
    PyThreadState *thread = PyThreadState_GetUnchecked();
    ListNode *head = FIELD(ListNode, thread, layout->tasks_head);
    return *FIELD(PyObject *, task, layout->name) == name
           && *FIELD(PyObject *, task, layout->coro) == coro
           && *FIELD(char, task, layout->is_task) == 1
           && *FIELD(char, task, layout->awaited_by_is_set) == 0
           && *FIELD(PyObject *, task, layout->awaited_by) == task
           && head->prev == FIELD(ListNode, task, layout->node)
           && FIELD(ListNode, task, layout->node)->next == head;
}

static bool
thread_matches(const TaskLayout *layout, PyObject *loop, PyObject *task)
{
    PyThreadState *thread = PyThreadState_GetUnchecked();
    return *FIELD(PyObject *, thread, layout->running_loop) == loop
           && *FIELD(PyObject *, thread, layout->running_task) == task;
}

static bool
offsets_are_inside(const ModuleState *state, const TaskLayout *layout)
{
    return is_inside(state, layout->name, sizeof(PyObject *))
           && is_inside(state, layout->coro, sizeof(PyObject *))
           && is_inside(state, layout->awaited_by, sizeof(PyObject *))
           && is_inside(state, layout->is_task, 1)
           && is_inside(state, layout->awaited_by_is_set, 1)
           && is_inside(state, layout->node, sizeof(ListNode));
}

/* layout: the offsets, and "loop", "task", "coro", "task_name": a running loop
 * and a task of it that has just been made, is current and awaits itself. */
PyObject *
registry_use_layout(ModuleState *state, PyObject *layout)
{
    TaskLayout found = {0};
#define X(field)                                                              \
    if (read_offset(layout, #field, &found.field) < 0) {                      \
        return NULL;                                                          \
    }
    LAYOUT_FIELDS(X)
#undef X
    PyObject *loop = PyMapping_GetItemString(layout, "loop");
    PyObject *task = PyMapping_GetItemString(layout, "task");
    PyObject *coro = PyMapping_GetItemString(layout, "task_coro");
    PyObject *name = PyMapping_GetItemString(layout, "task_name");
    if (loop != NULL && task != NULL && coro != NULL && name != NULL) {
        found.proved = !PYAIO_FREE_THREADED
                       && Py_IS_TYPE(task, (PyTypeObject *)state->asyncio_task)
                       && offsets_are_inside(state, &found)
                       && thread_matches(&found, loop, task)
                       && task_matches(&found, task, coro, name);
        if (found.proved) {
            state->task_layout = found;
        }
    }
    Py_XDECREF(name);
    Py_XDECREF(coro);
    Py_XDECREF(task);
    Py_XDECREF(loop);
    return PyErr_Occurred() ? NULL : PyBool_FromLong(found.proved);
}

int
registry_setup(ModuleState *state)
{
    (void)state;
    return 0;
}

#endif
