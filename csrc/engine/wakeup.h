/* Waking the loop: whether it sleeps, so that only one call_soon_threadsafe()
 * a sleep has to make a system call.
 *
 * Other threads push to the ready queue itself, one queue and one order: they
 * hold the GIL, and what a poll finds goes to another queue. Whoever looks at the
 * flag holds the GIL, too. Without a GIL they push to the inbox (engine/inbox.h), and
 * the order counts: who wakes the loop leaves word first and looks at the flag then,
 * the loop sets the flag first and looks for word then. One of the two sees the other. */
#ifndef PYAIO_ENGINE_WAKEUP_H
#define PYAIO_ENGINE_WAKEUP_H

#include "base/compat.h"

#include <stdatomic.h>
#include <stdbool.h>

typedef atomic_bool Asleep;

#define ASLEEP_ORDER                                                          \
    (PYAIO_FREE_THREADED ? memory_order_seq_cst : memory_order_relaxed)

/* The loop's thread, with the GIL, before it waits; and when it is back. */
static inline void
asleep_set(Asleep *asleep, bool value)
{
    atomic_store_explicit(asleep, value, ASLEEP_ORDER);
}

/* True once a sleep: the caller has to wake the loop. */
static inline bool
asleep_claim(Asleep *asleep)
{
    return atomic_load_explicit(asleep, ASLEEP_ORDER)
           && atomic_exchange(asleep, false);
}

#endif
