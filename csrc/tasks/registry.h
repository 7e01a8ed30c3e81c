/* What asyncio knows of tasks: which one runs, which ones there are, and who
 * awaits whom. current_task(), all_tasks(), call graphs and debuggers ask.
 *
 * Before 3.14 these are a dict and a WeakSet of asyncio (registry_sets.c); since
 * 3.14 fields of the thread's state and of asyncio's own objects, whose places
 * the interpreter publishes for debuggers (registry_fields.c). Where the direct
 * way is not proved to be right, the functions of _asyncio do the work. */
#ifndef PYAIO_TASKS_REGISTRY_H
#define PYAIO_TASKS_REGISTRY_H

#include "tasks/task.h"

/* Makes the task the current one of its loop. -1 with RuntimeError when another
 * one is. */
int registry_enter(TaskObject *task);
/* Undoes it; keeps a raised exception. A task of ours that runs right after
 * takes the place over without it being empty in between. */
void registry_leave(TaskObject *task);
/* Nothing runs any more: called at the end of a run, and where the step that
 * would have taken the place over has failed before it could. */
void registry_end_run(Engine *engine);
/* Makes `task` (or None) the current one of the loop, whoever was it before.
 * New reference to that one or None, NULL with an exception set. */
PyObject *registry_swap(ModuleState *state, PyObject *loop, PyObject *task);

/* asyncio.all_tasks() shows the task until it is done. -1 on failure. */
int registry_add(TaskObject *task);
int registry_add_eager(TaskObject *task);
int registry_remove_eager(TaskObject *task);
/* For the finalizer, where registry_needs_finalizer() asks for it. */
bool registry_needs_finalizer(TaskObject *task);
void registry_finalize(TaskObject *task);
/* In the dealloc, before weak references are cleared. */
void registry_forget(TaskObject *task);

/* `future` is awaited by the task; and is no longer. Nothing before 3.14. -1
 * with an exception set. */
int registry_add_awaiter(PyObject *future, TaskObject *task);
int registry_remove_awaiter(PyObject *future, TaskObject *task);

/* Shows debuggers the task's name and coroutine, since 3.14. -1 on failure. */
int registry_publish(TaskObject *task);
/* Takes that back, in the dealloc: asyncio's fields are empty again. */
void registry_unpublish(TaskObject *task, const ModuleState *state);

/* _core._use_layout(dict): where the fields are (pyaio/_layout.py). Proves each
 * and uses them from then on; False when one is not where it should be. */
PyObject *registry_use_layout(ModuleState *state, PyObject *layout);

int registry_setup(ModuleState *state);

#endif
