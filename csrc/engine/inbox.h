/* The inbox: what other threads have the loop run, in builds without a GIL.
 *
 * With the GIL they push to the ready queue itself: one queue and one order. Without it
 * that queue is of the thread that runs the loop alone; what comes from another waits
 * here, under a lock, until a turn begins (engine_collect). The lock also guards who wakes
 * the loop against who closes it. */
#ifndef PYAIO_ENGINE_INBOX_H
#define PYAIO_ENGINE_INBOX_H

#include "engine/ready.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

typedef struct Engine Engine;

/* The lock is one of the system's: held for some instructions that neither wait nor call
 * Python, it is never held across os.fork(), which stops all threads first. */
typedef struct Inbox {
    pthread_mutex_t mutex;
    ReadyQueue entries;
    atomic_bool filled; /* something is in it */
    bool closed;        /* nobody will look at it any more */
} Inbox;

/* -1 with OSError. */
int inbox_open(Engine *engine);

/* Takes over the queue's hold on the entry; `wakes`: ends the loop's wait, as
 * call_soon_threadsafe() does and call_soon() does not. False on a closed loop, where
 * the entry stays the caller's. */
bool inbox_post(Engine *engine, ReadyEntry *entry, bool wakes);
/* run(object) in the thread of the loop, soon, and in any case: as a closed loop lets go
 * of all. The object is held till then. False where that cannot be: the loop is closed,
 * or there is no memory. An exception that `run` sets with -1 is reported. */
bool inbox_send_home(Engine *engine, PyObject *object,
                     int (*run)(PyObject *object));

/* Ends the wait that goes on, from any thread, while the loop is open. */
void inbox_wake(Engine *engine);
/* Moves all to the ready queue; in the thread of the loop. */
void inbox_empty(Engine *engine);
/* The loop does not run any more: when this returns nobody is about to wake it. */
void inbox_settle(Engine *engine);
/* From now on nothing is taken, so that who is refused knows: the loop has let go of
 * all. What is there is discarded. */
void inbox_close(Engine *engine);

#endif
