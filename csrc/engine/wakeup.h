/* Waking the loop: whether it sleeps, so that only one call_soon_threadsafe()
 * a sleep has to make a system call.
 *
 * Other threads push to the ready queue itself, one queue and one order: they
 * hold the GIL, and what a poll finds goes to another queue. Whoever looks at the
 * flag holds the GIL, too; it is atomic for interpreters without one. */
#ifndef PYAIO_ENGINE_WAKEUP_H
#define PYAIO_ENGINE_WAKEUP_H

#include <stdatomic.h>
#include <stdbool.h>

typedef atomic_bool Asleep;

/* The loop's thread, with the GIL, before it waits; and when it is back. */
static inline void
asleep_set(Asleep *asleep, bool value)
{
    atomic_store_explicit(asleep, value, memory_order_relaxed);
}

/* True once a sleep: the caller has to wake the loop. */
static inline bool
asleep_claim(Asleep *asleep)
{
    return atomic_load_explicit(asleep, memory_order_relaxed)
           && atomic_exchange(asleep, false);
}

#endif
