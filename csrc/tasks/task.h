/* Tasks: a coroutine that the loop steps, and a future of its result.
 *
 * A task is a ready entry itself: creating it, waking it and a bare yield push it
 * on the ready queue, once. In debug mode, on loops that are not ours and where
 * somebody has replaced call_soon(), it goes through the loop's method instead, as
 * asyncio's tasks do (task_is_direct). */
#ifndef PYAIO_TASKS_TASK_H
#define PYAIO_TASKS_TASK_H

#include "engine/ready.h"
#include "tasks/future.h"

struct TaskObject {
    FutureObject future;  /* of the coroutine's result */
    ReadyEntry entry;     /* in the ready queue */
    PyObject *coro;       /* owned; NULL once an eager task is done */
    PyObject *context;    /* owned: a slot (base/snapshot.h); NULL until
                              __init__() */
    PyObject *name;       /* owned str, or NULL: "Task-<number>" */
    uint64_t number;      /* for the automatic name */
    PyObject *fut_waiter; /* owned: what the coroutine awaits, or NULL */
    PyObject *throw_next; /* owned: raised in the next step, or NULL */
    void *registration;   /* in asyncio's set of tasks (tasks/registry.h): an
                              owned weak reference, or since 3.14 a node in
                              ourselves; NULL while not there */
    long cancel_requests; /* as cancelling() tells */
    bool must_cancel;     /* throw CancelledError in the next step */
    bool log_destroy_pending;
    bool queued; /* the entry is in a queue, which owns us */
};

typedef struct TaskOptions {
    PyObject *name;    /* borrowed; NULL or None for an automatic one */
    PyObject *context; /* borrowed; NULL or None for a copy */
    bool eager_start;
} TaskOptions;

/* Sets up a task that tp_new has made. Borrows everything; `loop` as in
 * future_init(). -1 with an exception set. */
int task_init(TaskObject *task, PyObject *coro, PyObject *loop,
              const TaskOptions *options);
/* A task of the engine's loop, scheduled. New reference, NULL on failure. */
PyObject *task_new(Engine *engine, PyObject *coro, const TaskOptions *options);

/* As task.cancel(): 1, 0 when it was done before, -1 with an exception set. */
int task_cancel(TaskObject *task, PyObject *message);

/* A task that has to be cancelled passes that on to what it has begun to await.
 * -1 with an exception set. */
int task_cancel_awaited(TaskObject *task);

/* The task's contextvars.Context, for who is not a step of it. Borrowed; NULL with
 * an exception set. */
PyObject *task_context(TaskObject *task);

/* What every switch calls is `extern inline` where it is defined: link-time
 * optimisation then makes one function of a whole step. */

/* ---- scheduling: task_wake.c ---- */

extern const ReadyOps task_ops;

/* What the task awaits is done: a step in the next turn. Takes nothing over. -1
 * with an exception set. */
int task_wake(TaskObject *task, FutureObject *awaited);
/* The step after a bare yield, the first one, or one that raises `exc` (stolen,
 * NULL for none). */
int task_step_soon(TaskObject *task, PyObject *exc);
/* Awaits `future`, which is ours and pending: links the two, or adds a
 * callback. */
int task_await(TaskObject *task, FutureObject *future);
/* The same with a callback, for any future of ours, done ones, too. */
int task_await_by_callback(TaskObject *task, FutureObject *future);
/* The callable that wakes the task, called with what it has awaited. New
 * reference, NULL on failure. */
PyObject *task_wakeup_callable(TaskObject *task);

/* ---- stepping: task_step.c ---- */

/* Sends None to the coroutine, or throws `exc` (stolen), and deals with what
 * comes back. The current task is set and the context entered by the caller.
 * -1 only with an exception that is not the task's own business. */
int task_send(TaskObject *task, PyObject *exc);
/* One step: the same within the bookkeeping of asyncio, in the caller's
 * context. */
int task_step(TaskObject *task, PyObject *exc);
/* What a step after waiting for `future` has to throw: a new reference, or NULL
 * for nothing. Any future; its exception counts as retrieved. */
PyObject *task_outcome(TaskObject *task, PyObject *future);

int task_setup(PyObject *module, ModuleState *state);

#endif
