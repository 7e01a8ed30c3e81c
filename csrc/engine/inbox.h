/* The inbox: where other threads leave what the loop shall run, in free-
 * threaded builds. With a GIL they push to the ready queue itself, and of this
 * only `asleep` is used.
 *
 * A stack without locks: any thread pushes, the loop's thread takes it all and
 * turns it round. `asleep` tells a pusher whether a wake-up has to be sent;
 * the first one that finds it set sends it, the others need no system call. */
#ifndef PYAIO_ENGINE_INBOX_H
#define PYAIO_ENGINE_INBOX_H

#include "engine/ready.h"

#include <stdatomic.h>

typedef struct Inbox {
    _Atomic(ReadyEntry *) top;
    atomic_bool asleep;
} Inbox;

/* Any thread. True when the caller has to wake the loop. */
static inline bool
inbox_push(Inbox *inbox, ReadyEntry *entry)
{
    ReadyEntry *top = atomic_load_explicit(&inbox->top, memory_order_relaxed);
    do {
        entry->next = top;
    } while (!atomic_compare_exchange_weak(&inbox->top, &top, entry));
    return atomic_exchange(&inbox->asleep, false);
}

/* The loop's thread, each turn: one load when nothing is there. */
static inline void
inbox_take(Inbox *inbox, ReadyQueue *queue)
{
    if (atomic_load_explicit(&inbox->top, memory_order_relaxed) == NULL) {
        return;
    }
    ReadyEntry *entry = atomic_exchange(&inbox->top, NULL);
    ReadyEntry *oldest = NULL;
    while (entry != NULL) {
        ReadyEntry *next = entry->next;
        entry->next = oldest;
        oldest = entry;
        entry = next;
    }
    while (oldest != NULL) {
        ReadyEntry *next = oldest->next;
        oldest->next = NULL;
        ready_push(queue, oldest);
        oldest = next;
    }
}

/* The loop's thread, before a wait. False when something is there after all:
 * whoever pushes after this has seen `asleep` and wakes us. */
static inline bool
inbox_fall_asleep(Inbox *inbox)
{
    atomic_store(&inbox->asleep, true);
    return atomic_load(&inbox->top) == NULL;
}

/* True once a sleep: the caller has to wake the loop. */
static inline bool
inbox_is_asleep(Inbox *inbox)
{
    return atomic_load_explicit(&inbox->asleep, memory_order_relaxed)
           && atomic_exchange(&inbox->asleep, false);
}

static inline void
inbox_wake_up(Inbox *inbox)
{
    atomic_store_explicit(&inbox->asleep, false, memory_order_relaxed);
}

#endif
