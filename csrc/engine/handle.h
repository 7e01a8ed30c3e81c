/* Handles: what call_soon(), call_later() and call_at() return.
 *
 * Both are subclasses of asyncio's classes, so that isinstance() holds and the
 * methods in Python (repr, comparison) are asyncio's own. The fields of those are
 * slots, which stay hidden behind attributes of ours; so our own objects stand in
 * their places: a handle is two cache lines instead of four. */
#ifndef PYAIO_ENGINE_HANDLE_H
#define PYAIO_ENGINE_HANDLE_H

#include "base/platform.h"
#include "base/state.h"
#include "engine/engine.h"
#include "engine/ready.h"

#include <stdbool.h>

/* Arguments kept in the handle itself; more go into a tuple. */
#define HANDLE_INLINE_ARGS 3

typedef struct HandleObject {
    PyObject_HEAD
    /* In the places of slots, which hold an object or NULL, too: whatever reads
     * one past our attributes is safe (handle_setup() proves it). */
    PyObject *loop;     /* owned: one of ours; the link in a free list */
    PyObject *callback; /* owned; NULL once cancelled */
    PyObject *context;  /* owned: a slot (base/snapshot.h) */
    PyObject *args[HANDLE_INLINE_ARGS]; /* owned; the first nargs are set */
    PyObject *more_args; /* owned tuple when nargs > 3, else NULL */
    PyObject *weakrefs;  /* before Python 3.12; since then a slot, unused */
    PyObject *source_traceback; /* owned, debug mode only, else NULL */
    PyObject *repr; /* owned, of a handle cancelled in debug mode */
    /* Behind the base. */
    ReadyEntry entry; /* in the ready queue */
    int nargs;
    bool cancelled;
    bool queued;    /* the entry is in a queue, which owns us */
    bool scheduled; /* a timer: stands in the heap */
    bool counted;   /* there, as cancelled */
} HandleObject;

struct TimerHandleObject {
    HandleObject handle;
    double seconds; /* of the loop's clock: when it is due */
    PyObject *when; /* owned: the same as it was asked for, unless a float */
    uint64_t seq;   /* order of setting, for timers of one instant */
};
typedef struct TimerHandleObject TimerHandleObject;

/* The size of asyncio's TimerHandle: 96 bytes in 3.11, then 88. */
#define HANDLE_BASE_SIZE offsetof(HandleObject, entry)

/* Of many handles none is in the processor's cache when its time has come, and a
 * miss costs more than all else that is done with it. */
static inline void
handle_prefetch(const HandleObject *handle)
{
    PLATFORM_PREFETCH(handle);
    PLATFORM_PREFETCH(&handle->entry);
}

static inline Engine *
handle_engine(const HandleObject *handle)
{
    return engine_of_loop(handle->loop);
}

/* What a queue or the heap holds in a running loop is not tracked by the cyclic
 * collector: most handles live for one turn, and none of them can be garbage. Whoever
 * lets go of a handle calls handle_release(), by which one that others hold, too,
 * becomes visible; handles_track() does it for all when the run ends. */

/* New references. `context` is borrowed; NULL is a copy of the current one. */

/* For anything but a queue. */
HandleObject *handle_new(Engine *engine, PyObject *callback,
                         PyObject *const *args, Py_ssize_t nargs,
                         PyObject *context);
/* In the ready queue already. */
HandleObject *handle_new_ready(Engine *engine, PyObject *callback,
                               PyObject *const *args, Py_ssize_t nargs,
                               PyObject *context);
/* In the heap already, due at `seconds` of the loop's clock, which is no NaN. `when`
 * is borrowed: what when() returns where that is no float, else NULL. */
TimerHandleObject *timer_handle_new(Engine *engine, double seconds,
                                    PyObject *when, PyObject *callback,
                                    PyObject *const *args, Py_ssize_t nargs,
                                    PyObject *context);

/* For a queue, of exactly `type`, which has its own free list. */
HandleObject *handle_make(Engine *engine, PyTypeObject *type, FreeList *list,
                          PyObject *callback, PyObject *const *args,
                          Py_ssize_t nargs, PyObject *context);

/* True for exactly our own types. */
bool handle_is_ours(const ModuleState *state, PyObject *object);

/* Its entry's operations, but for the run. */
void handle_discard(ReadyEntry *entry);
int handle_entry_traverse(ReadyEntry *entry, visitproc visit, void *arg);
PyObject *handle_subject(ReadyEntry *entry);

/* Appends the handle to the ready queue, which takes a reference of its own.
 * A handle that is queued already runs once. */
void handle_push(HandleObject *handle);

/* Of an entry that has left the ready queue and is a handle's: the handle, with
 * the reference that the queue had. NULL for other entries. */
HandleObject *handle_take(ReadyEntry *entry);

/* For a handle that is not ours, asyncio's own: the callback that runs it
 * unless it is cancelled. New reference, NULL on failure. */
PyObject *handle_foreign_call(PyObject *foreign);
/* The handle to show for one of ours: that which it stands for. New reference. */
PyObject *handle_shown(HandleObject *handle);

/* The same as handle_push() from any thread; wakes the loop when it sleeps. -1 with
 * RuntimeError where another thread has just closed it. */
int handle_push_threadsafe(HandleObject *handle);

/* Runs the callback at once and reports what it raises. The caller holds a
 * reference. -1 with the exception that has to leave run_forever(). */
int handle_run_now(HandleObject *handle);
/* The same for a cancelled handle, whose callback is None: reports that. */
int handle_run_none(HandleObject *handle);

/* Cancels the handle: a scheduled timer, too. -1 with an exception set when
 * the repr() that debug mode keeps has failed. The second drops the caller's
 * reference. */
int handle_cancel(HandleObject *handle);
int handle_cancel_steal(HandleObject *handle);

/* Drops callback and arguments, the handle consistent before the first
 * finalizer can run. */
void handle_drop_call(HandleObject *handle);

/* The queue or the heap lets go of its reference. */
static inline void
handle_release(HandleObject *handle)
{
#if PYAIO_FREE_LISTS
    if (Py_REFCNT(handle) > 1 && !PyObject_GC_IsTracked((PyObject *)handle)) {
        PyObject_GC_Track(handle);
    }
#endif
    Py_DECREF(handle);
}

/* The end of a run: the collector sees all handles that wait. */
void handles_track(Engine *engine);

/* handle_memory.c. */

/* From the list, or new. Not tracked, but in free-threaded builds; NULL with
 * MemoryError. */
HandleObject *handle_alloc(PyTypeObject *type, FreeList *list);
/* The end of the dealloc: to the list or to the allocator. `list` is NULL when
 * the module has gone already. */
void handle_free(HandleObject *handle, FreeList *list);
/* handle_release() of a handle that has run. Where that was the last reference, as it
 * nearly always is, and it is exactly a `type`, it goes to that type's list without the
 * detour through the dealloc. */
void handle_retire(HandleObject *handle, PyTypeObject *type, FreeList *list);

/* loop.call_soon(callback, arg, context=context) for our own C: through the
 * method where somebody has replaced it. Borrows everything; without an argument
 * where that is NULL; a NULL context is a copy of the current one. -1 with an
 * exception set. */
int engine_call_soon(Engine *engine, PyObject *callback, PyObject *arg,
                     PyObject *context);

/* handle_type.c. */
int handle_setup(PyObject *module, ModuleState *state);

#endif
