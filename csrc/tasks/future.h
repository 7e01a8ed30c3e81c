/* Futures: what loop.create_future() returns, and the half that a task shares
 * with them.
 *
 * pyaio.Future lies under asyncio.Future and pyaio.Task under asyncio.Task, so
 * that isinstance() holds. The fields of the base stay empty, but for those that
 * debuggers read (tasks/registry.h); ours stand behind the room kept for them, at
 * the same offset in both types: one set of functions serves futures and tasks.
 *
 * A pyaio.Task that awaits one of our futures is linked to it (`waiter`): when the
 * future is done it goes to the ready queue itself, without a handle. */
#ifndef PYAIO_TASKS_FUTURE_H
#define PYAIO_TASKS_FUTURE_H

#include "engine/engine.h"

#include <stdatomic.h>
#include <stdbool.h>

/* Room for the fields of asyncio.Future and asyncio.Task: up to 176 bytes, in
 * 3.11 and 3.12. The module refuses to load where that is not enough. */
#define FUTURE_BASE_SIZE (160 + sizeof(PyObject))

typedef enum {
    FUTURE_PENDING,
    FUTURE_CANCELLED,
    FUTURE_FINISHED
} FutureState;

typedef struct FutureObject FutureObject;
typedef struct TaskObject TaskObject;

struct FutureObject {
    union {
        PyObject ob_base;
        char room[FUTURE_BASE_SIZE];
    } base;
    ModuleState *state;  /* of the module that made the type */
    PyObject *loop;      /* owned; NULL until __init__() */
    Engine *engine;      /* of a loop of ours, valid while `loop` is held; or
                            NULL */
    TaskObject *waiter;  /* owned: awaits us, and was the first to; or NULL */
    PyObject *callback0; /* owned: the first callback; NULL with a waiter */
    PyObject *context0;  /* owned: its context, a slot (base/snapshot.h); NULL
                            without it */
    PyObject *callbacks; /* owned list of (callback, context), or NULL */
    PyObject *result;    /* owned; set when finished without an exception */
    PyObject *exception; /* owned, or NULL */
    PyObject *exception_traceback; /* owned: of `exception` when it was set */
    PyObject *source_traceback;    /* owned, debug mode only, else NULL */
    PyObject *cancel_message;      /* owned, or NULL */
    PyObject *cancelled_error;     /* owned: to be raised once; or NULL */
    COMPAT_ATOMIC(unsigned char) status; /* future_status() */
    bool log_traceback;    /* the exception was not yet retrieved */
    bool blocking;         /* yielded by our iterator: "await me" */
    bool base_was_cleared; /* in an earlier life of the memory */
};

/* The outcome is there before this says so, to other threads, too. */
static inline FutureState
future_status(const FutureObject *future)
{
#if PYAIO_FREE_THREADED
    return atomic_load_explicit(&future->status, memory_order_acquire);
#else
    return future->status;
#endif
}

static inline void
future_set_status(FutureObject *future, FutureState status)
{
#if PYAIO_FREE_THREADED
    atomic_store_explicit(&future->status, (unsigned char)status,
                          memory_order_release);
#else
    future->status = (unsigned char)status;
#endif
}

/* True for exactly our own types: nothing of theirs is replaced. */
static inline bool
future_is_ours(const ModuleState *state, PyObject *object)
{
    return Py_IS_TYPE(object, state->future_type)
           || Py_IS_TYPE(object, state->task_type);
}

/* Sets up a future that tp_new has made: of `loop`, borrowed, or of the current
 * loop when that is NULL or None. -1 with an exception set. */
int future_init(FutureObject *future, PyObject *loop);

/* A future of the engine's loop. New reference, NULL on failure. */
PyObject *future_new(Engine *engine);
/* The same for exactly `type`, a future's or a task's, and its free list. */
FutureObject *future_make(Engine *engine, PyTypeObject *type, FreeList *list);

/* RuntimeError and -1 for an object whose __init__() never ran. */
int future_check_alive(FutureObject *future);

/* ---- ending: future.c. Borrow everything; -1 with an exception set ---- */

int future_set_result(FutureObject *future, PyObject *result);
int future_set_exception(FutureObject *future, PyObject *exception);
/* set_result(None) unless it was cancelled: ModuleState.wake_future. */
int future_wake(PyObject *future);
/* 1 when it was cancelled, 0 when it was done before. */
int future_cancel(FutureObject *future, PyObject *message);

/* New reference to the result; NULL with the future's exception set, a
 * CancelledError or InvalidStateError. Counts as retrieving. */
PyObject *future_get_result(FutureObject *future);
/* The exception that the future has ended with, to be raised or thrown. The first time it
 * has the traceback that it had when it was set, which is then given up, with the frames
 * that it holds; later none. New reference; NULL on failure. Counts as retrieving. */
PyObject *future_exception_to_raise(FutureObject *future);
/* NULL with InvalidStateError, `message` or that there was no __init__(). */
PyObject *future_refuse_pending(FutureObject *future, const char *message);
/* The CancelledError to be raised. New reference, NULL on failure. */
PyObject *future_make_cancelled_error(FutureObject *future);

/* ---- callbacks: future_callbacks.c ---- */

/* Calls `callback(future)` in `context` (NULL: a copy of the current one) by the
 * loop: when the future is done, or soon if it is. -1 with an exception set. */
int future_add_callback(FutureObject *future, PyObject *callback,
                        PyObject *context);
/* How many were removed, -1 with an exception set. */
Py_ssize_t future_remove_callback(FutureObject *future, PyObject *callback);
/* Hands all callbacks to the loop. -1 with an exception set, all dropped. */
int future_schedule_callbacks(FutureObject *future);
/* True while nothing waits for the future. */
static inline bool
future_has_no_callbacks(const FutureObject *future)
{
    return future->waiter == NULL && future->callback0 == NULL
           && future->callbacks == NULL;
}
/* The list of (callback, context) pairs, or None. New reference. */
PyObject *future_list_callbacks(FutureObject *future);

/* loop.call_soon(callback[, arg], context=context) for any loop. `arg` and
 * `context` may be NULL. */
int future_call_soon(FutureObject *future, PyObject *callback, PyObject *arg,
                     PyObject *context);

/* ---- memory: future_type.c ---- */

int future_traverse(FutureObject *future, visitproc visit, void *arg);
/* Drops what the collector may drop; leaves `loop`, for who asks later. */
void future_clear(FutureObject *future);
/* Back to the state before __init__(). */
void future_reset(FutureObject *future);
/* The name of its class without the module's. */
const char *future_type_name(FutureObject *future);
/* tp_new of both types. */
PyObject *future_tp_new(PyTypeObject *type, PyObject *args, PyObject *kwargs);
/* Runs the finalizer of what is about to be freed, where it has something to say:
 * true when that has brought the object back to life. */
bool future_finalize_dying(FutureObject *future, bool has_something_to_say);
/* The rest of a dealloc; `list` is NULL for what must not be used again. */
void future_dealloc(FutureObject *future, FreeList *list);
/* An object of exactly `type`, from the free list or new; NULL on failure. */
FutureObject *future_alloc(ModuleState *state, PyTypeObject *type,
                           FreeList *list);
/* The "was never retrieved" report of a finalizer, tp_finalize of a future. */
void future_finalize(FutureObject *future);

int future_setup(PyObject *module, ModuleState *state);
/* Tries on one object of the type whether its attributes are where we look for them.
 * -1 with an exception set. */
int future_prove_dict_slot(ModuleState *state, PyTypeObject *type);

/* ---- methods: future_methods.c ---- */

/* Parses the one argument `name` of a method, which may be left out, given by
 * place (where `positional`) or by keyword; NULL in *value when it is not there.
 * -1 with TypeError. */
int future_parse_optional(const char *method, PyObject *name, bool positional,
                          PyObject *const *args, Py_ssize_t nargs,
                          PyObject *kwnames, PyObject **value);
/* What tasks share. */
extern PyMethodDef future_methods[];
extern PyGetSetDef future_getset[];

/* ---- awaiting: await_iter.c ---- */

/* The iterator behind `await future`. New reference, NULL on failure. */
PyObject *await_iter_new(PyObject *future);
/* For whoever is awaited like a coroutine: the exception that throw(type, value,
 * traceback) or throw(exception) means. New reference, NULL with TypeError. */
PyObject *await_thrown(PyObject *const *args, Py_ssize_t nargs);
int await_iter_setup(PyObject *module, ModuleState *state);

#endif
