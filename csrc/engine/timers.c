/* The timers of a loop. Filled by call_at() and call_later() (api/loop_schedule.c),
 * emptied by the poll (engine/poll.c) into the ready queue. */
#include "engine/timers.h"

#include "base/platform.h"
#include "engine/handle.h"

#include <math.h>

/* How far the horizon is ahead of the clock when it is moved; it is moved at half. */
#define AHEAD_NS INT64_C(1000000000)

/* What moves over in one poll at the most: connections wait for it. */
#define MOVED_AT_ONCE 1000

/* Below this, sweeping costs more than the cancelled timers do. */
#define SWEEP_MINIMUM 64
#define ASYNCIO_SWEEP_MINIMUM 100 /* timers, cancelled or not */

int64_t
timers_ns(double seconds)
{
    double ns = ceil(seconds * 1e9);
    if (ns >= 9.2e18) {
        return INT64_MAX;
    }
    if (ns <= -9.2e18) {
        return INT64_MIN;
    }
    return (int64_t)ns;
}

static inline size_t
timers_count(const Timers *timers)
{
    return timers->soon.count + timers->later.count;
}

/* The heap in which the earliest is, if there is any. */
static inline TimerHeap *
first_heap(Timers *timers)
{
    return timers->soon.count > 0 ? &timers->soon : &timers->later;
}

/* ---- in and out ---- */

PLATFORM_HOT int
timers_push(Timers *timers, int64_t when, TimerHandleObject *handle)
{
    TimerHeap *heap = when <= timers->horizon ? &timers->soon : &timers->later;
    if (timer_heap_reserve(heap) < 0) {
        return -1;
    }
    Py_INCREF(handle);
    handle->handle.scheduled = true;
    handle->seq = timers->next_seq++;
    timer_heap_push(heap, (TimerEntry){when, handle});
    return 0;
}

/* The handle has left its heap. */
static void
leave(Timers *timers, TimerHandleObject *handle)
{
    handle->handle.scheduled = false;
    if (handle->handle.counted) {
        handle->handle.counted = false;
        timers->cancelled--;
    }
}

PLATFORM_HOT TimerHandleObject *
timers_pop(Timers *timers)
{
    TimerHandleObject *handle = timer_heap_pop(first_heap(timers)).handle;
    leave(timers, handle);
    return handle;
}

PLATFORM_HOT const TimerEntry *
timers_peek(Timers *timers)
{
    TimerHeap *first;
    while ((first = first_heap(timers))->count > 0) {
        if (!first->entries[0].handle->handle.counted) {
            return &first->entries[0];
        }
        /* A cancelled handle holds no callback: dropping it may still run the
         * finalizer of its context's values, which may set timers. */
        TimerHandleObject *handle = timers_pop(timers);
        handle_release(&handle->handle);
    }
    return NULL;
}

void
timers_remove(Timers *timers, TimerHandleObject *handle)
{
    if (timer_heap_remove(&timers->soon, handle)
        || timer_heap_remove(&timers->later, handle)) {
        leave(timers, handle);
        handle_release(&handle->handle);
    }
}

/* ---- the horizon ---- */

static int64_t
later_than(int64_t now, int64_t ns)
{
    return now > INT64_MAX - ns ? INT64_MAX : now + ns;
}

/* The first of `later` moves over. The horizon is then where no timer that is set can come
 * before one that was set for the same time. False without memory. */
static bool
bring_first(Timers *timers)
{
    if (timer_heap_reserve(&timers->soon) < 0) {
        PyErr_Clear(); /* it stays where it is */
        return false;
    }
    TimerEntry entry = timer_heap_pop(&timers->later);
    timer_heap_push(&timers->soon, entry);
    timers->horizon = entry.when - 1;
    return true;
}

/* What is due up to there moves over. False where some is left. */
static bool
bring(Timers *timers, int64_t horizon)
{
    const TimerHeap *later = &timers->later;
    for (int i = 0; later->count > 0 && later->entries[0].when <= horizon;
         i++) {
        if (i == MOVED_AT_ONCE || !bring_first(timers)) {
            return false;
        }
    }
    timers->horizon = horizon;
    return true;
}

void
timers_move_horizon(Timers *timers, int64_t now)
{
    int64_t horizon = later_than(now, AHEAD_NS);
    if (horizon <= timers->horizon || bring(timers, horizon)) {
        timers->look_at = later_than(now, AHEAD_NS / 2);
    }
}

/* ---- cancelled ones ---- */

/* They are dropped last, when all is whole again. */
PLATFORM_HOT static void
sweep(Timers *timers)
{
    size_t count = timers->cancelled;
    TimerHandleObject **taken = PyMem_Malloc(count * sizeof(*taken));
    if (taken == NULL) {
        return; /* they stay until they come up */
    }
    size_t soon = timer_heap_take_cancelled(&timers->soon, taken, count);
    count = soon
            + timer_heap_take_cancelled(&timers->later, taken + soon,
                                        count - soon);
    for (size_t i = 0; i < count; i++) {
        leave(timers, taken[i]);
    }
    assert(timers->cancelled == 0);
    for (size_t i = 0; i < count; i++) {
        handle_release(&taken[i]->handle);
    }
    PyMem_Free(taken);
}

void
timers_cancelled(Timers *timers)
{
    timers->cancelled++;
    if (timers->cancelled >= SWEEP_MINIMUM
        && timers->cancelled * 2 > timers_count(timers)) {
        sweep(timers);
    }
}

void
timers_sweep(Timers *timers)
{
    if (timers_count(timers) > ASYNCIO_SWEEP_MINIMUM
        && timers->cancelled * 2 > timers_count(timers)) {
        sweep(timers);
    }
}

/* ---- all of them ---- */

static void
all_leave(const TimerHeap *heap)
{
    for (size_t i = 0; i < heap->count; i++) {
        TimerHandleObject *handle = heap->entries[i].handle;
        handle->handle.scheduled = false;
        handle->handle.counted = false;
    }
}

static void
drop_all(TimerHeap *heap)
{
    for (size_t i = 0; i < heap->count; i++) {
        handle_release(&heap->entries[i].handle->handle);
    }
    PyMem_Free(heap->entries);
}

void
timers_clear(Timers *timers)
{
    TimerHeap soon = timers->soon, later = timers->later;
    timers->soon = timers->later = (TimerHeap){0};
    timers->cancelled = 0;
    all_leave(&soon);
    all_leave(&later);
    drop_all(&soon); /* finalizers may set and cancel timers */
    drop_all(&later);
}

int
timers_traverse(const Timers *timers, visitproc visit, void *arg)
{
    int stop = timer_heap_traverse(&timers->soon, visit, arg);
    return stop ? stop : timer_heap_traverse(&timers->later, visit, arg);
}
