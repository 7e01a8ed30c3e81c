/* Who waits for one event of a fd: a callback in Python, a wait of our own C, or
 * nobody. The two slots of a Poller (net/poller.c), which owns what is in them. */
#ifndef PYAIO_NET_POLL_SLOT_H
#define PYAIO_NET_POLL_SLOT_H

#include "engine/handle.h"

#include <stdbool.h>

/* Part of the object that waits, which the slot keeps alive. */
typedef struct PollWait {
    PyObject *owner; /* borrowed: what this is a part of */
    bool listed;     /* stands in a slot */
    /* The event has come. It may come for nothing, and comes again until the
     * wait ends. -1 only with an exception that must leave run_forever(). */
    int (*on_ready)(struct PollWait *wait);
} PollWait;

/* At most one of the two. */
typedef struct PollSlot {
    HandleObject *handle; /* owned, or NULL */
    PollWait *wait;       /* its owner is owned; or NULL */
} PollSlot;

static inline bool
poll_slot_is_empty(const PollSlot *slot)
{
    return slot->handle == NULL && slot->wait == NULL;
}

static inline bool
poll_slot_is(const PollSlot *slot, PollSlot other)
{
    return slot->handle == other.handle && slot->wait == other.wait;
}

static inline void
poll_slot_note(const PollSlot *slot)
{
    if (slot->wait != NULL) {
        slot->wait->listed = true;
    }
}

/* Leaves the slot empty; the caller owns what was in it. */
static inline PollSlot
poll_slot_take(PollSlot *slot)
{
    PollSlot taken = *slot;
    *slot = (PollSlot){NULL, NULL};
    if (taken.wait != NULL) {
        taken.wait->listed = false;
    }
    return taken;
}

/* A new reference to whoever is in the slot. */
static inline PollSlot
poll_slot_hold(const PollSlot *slot)
{
    Py_XINCREF(slot->handle);
    Py_XINCREF(slot->wait != NULL ? slot->wait->owner : NULL);
    return *slot;
}

/* Steals `held`. */
static inline void
poll_slot_release(PollSlot held)
{
    Py_XDECREF(held.handle);
    Py_XDECREF(held.wait != NULL ? held.wait->owner : NULL);
}

/* Of whoever has been taken out, and is stolen: a handle is cancelled, as asyncio
 * does, a wait is told nothing. -1 with what cancelling has raised. */
static inline int
poll_slot_end(PollSlot taken)
{
    if (taken.handle != NULL) {
        return handle_cancel_steal(taken.handle);
    }
    poll_slot_release(taken);
    return 0;
}

static inline int
poll_slot_traverse(const PollSlot *slot, visitproc visit, void *arg)
{
    Py_VISIT(slot->handle);
    Py_VISIT(slot->wait != NULL ? slot->wait->owner : NULL);
    return 0;
}

#endif
