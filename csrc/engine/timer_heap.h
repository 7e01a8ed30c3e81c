/* The timer heap: TimerHandles by the time at which they are due.
 *
 * A heap of four children a node (they share a cache line or two, and there are half
 * as many levels as with two children) over (when, seq): timers of one instant fire
 * in the order in which they were set. Cancelling is O(1): the entry stays until it
 * comes up, or until the cancelled ones outnumber the rest and are swept. */
#ifndef PYAIO_ENGINE_TIMER_HEAP_H
#define PYAIO_ENGINE_TIMER_HEAP_H

#include <Python.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct TimerHandleObject TimerHandleObject;

typedef struct TimerEntry {
    int64_t when;              /* ns of the loop's clock */
    TimerHandleObject *handle; /* owned */
} TimerEntry;

typedef struct TimerHeap {
    TimerEntry *entries; /* NULL while empty for the first time */
    size_t count;
    size_t capacity;
    size_t cancelled; /* of `count`, those with HandleObject.counted */
    uint64_t next_seq;
} TimerHeap;

/* Converts seconds of the loop's clock to ns, rounded up so that no timer is
 * early, and clamped: an infinite time never comes. */
int64_t timer_heap_ns(double seconds);

/* Takes a new reference to `handle`. -1 with MemoryError. */
int timer_heap_push(TimerHeap *heap, int64_t when, TimerHandleObject *handle);

/* The earliest timer that is not cancelled; NULL when there is none. Drops
 * the cancelled ones that stand before it. */
const TimerEntry *timer_heap_peek(TimerHeap *heap);

/* When the first is due, which may be a cancelled one; INT64_MAX for never. */
static inline int64_t
timer_heap_next(const TimerHeap *heap)
{
    return heap->count > 0 ? heap->entries[0].when : INT64_MAX;
}

/* Removes the earliest; the caller owns the reference. */
TimerHandleObject *timer_heap_pop(TimerHeap *heap);

/* Takes a timer out that has not come up: for what reads and changes the heap
 * from outside, in linear time. */
void timer_heap_remove(TimerHeap *heap, TimerHandleObject *handle);

/* Drops the cancelled timers where asyncio would: of more than a hundred
 * timers, more than half. */
void timer_heap_sweep(TimerHeap *heap);

/* One of the heap's handles has been cancelled: sweeps when most are. */
void timer_heap_cancelled(TimerHeap *heap);

void timer_heap_clear(TimerHeap *heap);
int timer_heap_traverse(TimerHeap *heap, visitproc visit, void *arg);

#endif
