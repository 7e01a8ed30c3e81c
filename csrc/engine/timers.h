/* The timers of a loop, in two heaps: those that are due soon, and all others.
 *
 * A timer that is set and fires within a second so pays for its like alone, however many
 * wait for longer: the timeouts of connections, say, which are hardly ever due. Each
 * poll looks ahead: what has become due soon moves over. A clock that is replaced, jumps
 * ahead and comes back leaves the horizon where it was: all timers before it are in one heap,
 * in their order.
 *
 * Cancelling is O(1): the entry stays until it comes up, or until the cancelled ones
 * outnumber the rest and are swept. */
#ifndef PYAIO_ENGINE_TIMERS_H
#define PYAIO_ENGINE_TIMERS_H

#include "engine/timer_heap.h"

typedef struct Timers {
    TimerHeap soon;   /* what is due at `horizon` or before */
    TimerHeap later;  /* the others */
    int64_t horizon;  /* ns of the loop's clock */
    int64_t look_at;  /* from this time on the horizon has come near */
    size_t cancelled; /* of both, those with HandleObject.counted */
    uint64_t next_seq;
} Timers;

/* Converts seconds of the loop's clock to ns, rounded up so that no timer is
 * early, and clamped: an infinite time never comes. */
int64_t timers_ns(double seconds);

/* Takes a new reference to `handle`. -1 with MemoryError. */
int timers_push(Timers *timers, int64_t when, TimerHandleObject *handle);

/* The earliest timer that is not cancelled; NULL when there is none. Drops
 * the cancelled ones that stand before it. */
const TimerEntry *timers_peek(Timers *timers);

/* Removes the earliest; the caller owns the reference. */
TimerHandleObject *timers_pop(Timers *timers);

/* Moves the horizon on from `now`. */
void timers_move_horizon(Timers *timers, int64_t now);

/* When the first is due, which may be a cancelled one; INT64_MAX for never. */
static inline int64_t
timers_next(const Timers *timers)
{
    const TimerHeap *soon = &timers->soon, *later = &timers->later;
    return soon->count > 0    ? soon->entries[0].when
           : later->count > 0 ? later->entries[0].when
                              : INT64_MAX;
}

/* Called at each poll. */
static inline void
timers_look_ahead(Timers *timers, int64_t now)
{
    if (now >= timers->look_at) {
        timers_move_horizon(timers, now);
    }
}

/* Takes a timer out that has not come up: for what reads and changes the timers
 * from outside, in linear time. */
void timers_remove(Timers *timers, TimerHandleObject *handle);

/* Drops the cancelled timers where asyncio would: of more than a hundred
 * timers, more than half. */
void timers_sweep(Timers *timers);

/* One of the handles has been cancelled: sweeps when most are. */
void timers_cancelled(Timers *timers);

void timers_clear(Timers *timers);
int timers_traverse(const Timers *timers, visitproc visit, void *arg);

#endif
