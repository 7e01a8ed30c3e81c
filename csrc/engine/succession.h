/* Entries that run right behind each other in the same variables: steps of tasks of one
 * program, mostly (ReadyOps.succeeds). The Context that the first has run in stays
 * entered, and the next goes on in it.
 *
 * Nothing of the program's runs in between, which would find itself in there: an entry
 * that comes to an end leaves the Context before it lets go of what may have a
 * finalizer, and engine_leave_last() is called before anything else runs. */
#ifndef PYAIO_ENGINE_SUCCESSION_H
#define PYAIO_ENGINE_SUCCESSION_H

#include "base/snapshot.h"
#include "engine/engine.h"

/* Enters the Context of the slot. -1 with an exception set. */
static inline int
succession_enter(Engine *engine, PyObject **slot)
{
    if (engine->entered != NULL) {
        if (snapshot_take_entered(slot, &engine->entered)) {
            return 0;
        }
        engine_leave_entered(engine);
    }
    return snapshot_enter(engine->state, slot);
}

/* Whether the entry behind this one may take over. Not in debug mode, where reports are
 * written in between. */
static inline bool
succession_follows(const Engine *engine)
{
    const ReadyEntry *next = engine->ready.head;
    return next != NULL && next->ops->succeeds && !engine->stopping
           && !engine->debug;
}

/* Leaves it; where it may stay, lets it be taken over. -1 with an exception set. */
static inline int
succession_leave(Engine *engine, PyObject **slot, bool stays)
{
    if (stays
        && snapshot_keep_entered(engine->state, slot, &engine->entered)) {
        return 0;
    }
    return snapshot_leave(engine->state, slot);
}

#endif
