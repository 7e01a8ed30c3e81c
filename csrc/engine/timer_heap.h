/* A heap of TimerHandles by the time at which they are due.
 *
 * Four children a node (they share a cache line or two, and there are half as many
 * levels as with two children), in the order of (when, seq): timers of one instant fire
 * in the order in which they were set. The loop has two (engine/timers.h). */
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
} TimerHeap;

/* Room for one more. -1 with MemoryError. */
int timer_heap_reserve(TimerHeap *heap);

/* Takes the entry; timer_heap_reserve() has found room. */
void timer_heap_push(TimerHeap *heap, TimerEntry entry);

/* Removes the earliest entry, which the caller owns then. */
TimerEntry timer_heap_pop(TimerHeap *heap);

/* Takes the handle out, in linear time. False where it is not in this heap. */
bool timer_heap_remove(TimerHeap *heap, TimerHandleObject *handle);

/* Takes out the handles that are cancelled and HandleObject.counted, up to `most` of
 * them, and puts them into `taken`; returns how many. */
size_t timer_heap_take_cancelled(TimerHeap *heap, TimerHandleObject **taken,
                                 size_t most);

int timer_heap_traverse(const TimerHeap *heap, visitproc visit, void *arg);

#endif
