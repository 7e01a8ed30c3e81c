/* The heap of timers, of which engine/timers.c has two. */
#include "engine/timer_heap.h"

#include "base/platform.h"
#include "engine/handle.h"

#define CHILDREN 4 /* of a node */

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

int
timer_heap_reserve(TimerHeap *heap)
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

PLATFORM_HOT void
timer_heap_push(TimerHeap *heap, TimerEntry entry)
{
    assert(heap->count < heap->capacity);
    sift_up(heap->entries, heap->count++, entry);
}

PLATFORM_HOT TimerEntry
timer_heap_pop(TimerHeap *heap)
{
    assert(heap->count > 0);
    TimerEntry first = heap->entries[0];
    TimerEntry last = heap->entries[--heap->count];
    if (heap->count > 0) {
        sift_down(heap->entries, heap->count, 0, last);
    }
    return first;
}

bool
timer_heap_remove(TimerHeap *heap, TimerHandleObject *handle)
{
    size_t index = 0;
    while (index < heap->count && heap->entries[index].handle != handle) {
        index++;
    }
    if (index == heap->count) {
        return false;
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
    return true;
}

PLATFORM_HOT size_t
timer_heap_take_cancelled(TimerHeap *heap, TimerHandleObject **taken,
                          size_t most)
{
    size_t kept = 0, count = 0;
    for (size_t i = 0; i < heap->count; i++) {
        TimerHandleObject *handle = heap->entries[i].handle;
        if (handle->handle.counted && count < most) {
            taken[count++] = handle;
        }
        else {
            heap->entries[kept++] = heap->entries[i];
        }
    }
    heap->count = kept;
    for (size_t i = (kept + CHILDREN - 2) / CHILDREN; i-- > 0;) {
        sift_down(heap->entries, kept, i, heap->entries[i]);
    }
    return count;
}

int
timer_heap_traverse(const TimerHeap *heap, visitproc visit, void *arg)
{
    for (size_t i = 0; i < heap->count; i++) {
        Py_VISIT(heap->entries[i].handle);
    }
    return 0;
}
