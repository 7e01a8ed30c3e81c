/* The timer heap. Filled by call_at() and call_later() (api/loop_schedule.c),
 * emptied by the turn (engine/turn.c) into the ready queue. */
#include "base/platform.h"
#include "engine/timer_heap.h"

#include "engine/handle.h"

#include <math.h>

/* Below this, sweeping costs more than the cancelled timers do. */
#define SWEEP_MINIMUM 64
#define ASYNCIO_SWEEP_MINIMUM 100 /* timers, cancelled or not */

#define CHILDREN 4 /* of a node */

int64_t
timer_heap_ns(double seconds)
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

static inline bool
entry_before(const TimerEntry *a, const TimerEntry *b)
{
    return a->when < b->when
           || (a->when == b->when && a->handle->seq < b->handle->seq);
}

PLATFORM_HOT static void
sift_up(TimerEntry *entries, size_t index, TimerEntry entry)
{
    while (index > 0) {
        size_t parent = (index - 1) / CHILDREN;
        if (!entry_before(&entry, &entries[parent])) {
            break;
        }
        entries[index] = entries[parent];
        index = parent;
    }
    entries[index] = entry;
}

/* The earliest child of a node that has one: `first` is its first. */
static size_t
earliest_child(const TimerEntry *entries, size_t count, size_t first)
{
    size_t end = first + CHILDREN < count ? first + CHILDREN : count;
    size_t earliest = first;
    for (size_t child = first + 1; child < end; child++) {
        if (entry_before(&entries[child], &entries[earliest])) {
            earliest = child;
        }
    }
    return earliest;
}

PLATFORM_HOT static void
sift_down(TimerEntry *entries, size_t count, size_t index, TimerEntry entry)
{
    for (;;) {
        size_t first = CHILDREN * index + 1;
        if (first >= count) {
            break;
        }
        size_t child = earliest_child(entries, count, first);
        if (!entry_before(&entries[child], &entry)) {
            break;
        }
        entries[index] = entries[child];
        if (index <= CHILDREN) { /* one of the next to fire */
            handle_prefetch(&entries[index].handle->handle);
        }
        index = child;
    }
    entries[index] = entry;
}

static int
heap_reserve(TimerHeap *heap)
{
    if (heap->count < heap->capacity) {
        return 0;
    }
    size_t capacity = heap->capacity ? heap->capacity * 2 : 64;
    TimerEntry *entries =
        PyMem_Realloc(heap->entries, capacity * sizeof(*entries));
    if (entries == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    heap->entries = entries;
    heap->capacity = capacity;
    return 0;
}

PLATFORM_HOT int
timer_heap_push(TimerHeap *heap, int64_t when, TimerHandleObject *handle)
{
    if (heap_reserve(heap) < 0) {
        return -1;
    }
    Py_INCREF(handle);
    handle->handle.scheduled = true;
    handle->seq = heap->next_seq++;
    TimerEntry entry = {when, handle};
    sift_up(heap->entries, heap->count++, entry);
    return 0;
}

PLATFORM_HOT TimerHandleObject *
timer_heap_pop(TimerHeap *heap)
{
    assert(heap->count > 0);
    TimerHandleObject *handle = heap->entries[0].handle;
    TimerEntry last = heap->entries[--heap->count];
    if (heap->count > 0) {
        sift_down(heap->entries, heap->count, 0, last);
    }
    handle->handle.scheduled = false;
    if (handle->handle.counted) {
        handle->handle.counted = false;
        heap->cancelled--;
    }
    return handle;
}

PLATFORM_HOT const TimerEntry *
timer_heap_peek(TimerHeap *heap)
{
    while (heap->count > 0 && heap->entries[0].handle->handle.counted) {
        /* A cancelled handle holds no callback: dropping it may still run the
         * finalizer of its context's values, which may set timers. */
        TimerHandleObject *handle = timer_heap_pop(heap);
        handle_release(&handle->handle);
    }
    return heap->count > 0 ? &heap->entries[0] : NULL;
}

/* Parts the cancelled from the others; the cancelled ones end up behind
 * `count` and are dropped last, when the heap is whole again. */
PLATFORM_HOT static void
heap_sweep(TimerHeap *heap)
{
    TimerHandleObject **dropped =
        PyMem_Malloc(heap->cancelled * sizeof(*dropped));
    if (dropped == NULL) {
        return; /* they stay until they come up */
    }
    size_t kept = 0, swept = 0;
    for (size_t i = 0; i < heap->count; i++) {
        TimerHandleObject *handle = heap->entries[i].handle;
        if (handle->handle.counted && swept < heap->cancelled) {
            handle->handle.scheduled = false;
            handle->handle.counted = false;
            dropped[swept++] = handle;
        }
        else {
            heap->entries[kept++] = heap->entries[i];
        }
    }
    assert(swept == heap->cancelled);
    heap->count = kept;
    heap->cancelled = 0;
    for (size_t i = (kept + CHILDREN - 2) / CHILDREN; i-- > 0;) {
        sift_down(heap->entries, kept, i, heap->entries[i]);
    }
    for (size_t i = 0; i < swept; i++) {
        handle_release(&dropped[i]->handle);
    }
    PyMem_Free(dropped);
}

void
timer_heap_cancelled(TimerHeap *heap)
{
    heap->cancelled++;
    if (heap->cancelled >= SWEEP_MINIMUM
        && heap->cancelled * 2 > heap->count) {
        heap_sweep(heap);
    }
}

void
timer_heap_sweep(TimerHeap *heap)
{
    if (heap->count > ASYNCIO_SWEEP_MINIMUM
        && heap->cancelled * 2 > heap->count) {
        heap_sweep(heap);
    }
}

void
timer_heap_remove(TimerHeap *heap, TimerHandleObject *handle)
{
    size_t index = 0;
    while (index < heap->count && heap->entries[index].handle != handle) {
        index++;
    }
    if (index == heap->count) {
        return;
    }
    TimerEntry last = heap->entries[--heap->count];
    if (index < heap->count) {
        bool up = entry_before(&last, &heap->entries[index]);
        if (up) {
            sift_up(heap->entries, index, last);
        }
        else {
            sift_down(heap->entries, heap->count, index, last);
        }
    }
    handle->handle.scheduled = false;
    if (handle->handle.counted) {
        handle->handle.counted = false;
        heap->cancelled--;
    }
    handle_release(&handle->handle);
}

void
timer_heap_clear(TimerHeap *heap)
{
    TimerEntry *entries = heap->entries;
    size_t count = heap->count;
    heap->entries = NULL;
    heap->count = heap->capacity = heap->cancelled = 0;
    for (size_t i = 0; i < count; i++) {
        entries[i].handle->handle.scheduled = false;
        entries[i].handle->handle.counted = false;
        handle_release(&entries[i].handle->handle);
    }
    PyMem_Free(entries);
}

int
timer_heap_traverse(TimerHeap *heap, visitproc visit, void *arg)
{
    for (size_t i = 0; i < heap->count; i++) {
        Py_VISIT(heap->entries[i].handle);
    }
    return 0;
}
