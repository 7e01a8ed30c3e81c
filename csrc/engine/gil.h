/* The GIL: given up for a wait, and shared with threads that compute. */
#ifndef PYAIO_ENGINE_GIL_H
#define PYAIO_ENGINE_GIL_H

#include "base/state.h"

#include <Python.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Engine Engine;

/* In Engine.gil; times are uv_hrtime()'s, in ns. */
typedef struct GilShare {
    int64_t taken_at;   /* the loop got the GIL back */
    int64_t away;       /* and had not had it for so long before */
    int64_t offered_at; /* it was last offered on a suspicion */
    bool contended;     /* getting it back took long: a thread computes */
    bool suspicion;     /* there may be such a thread */
    PyObject *interval; /* the program's switch interval, while ours holds */
} GilShare;

/* backend_wait() without the GIL. Beside a thread that computes, that thread has
 * it before this returns. */
void gil_wait(Engine *engine, int64_t wait);

/* Without a GIL: a poll of somebody's may never wait, and so never let those in who want
 * to visit the loop (ENGINE_BEGIN). */
static inline void
gil_let_in(void)
{
#if PYAIO_FREE_THREADED
    Py_BEGIN_ALLOW_THREADS
    Py_END_ALLOW_THREADS
#endif
}

/* The turns since the last poll took so long: somebody may have taken the GIL in
 * one of them. */
void gil_note_turns(GilShare *gil, int64_t now, int64_t elapsed);

/* Whether it is time to offer the GIL to the others, by gil_wait(), though there is
 * something to do. */
bool gil_is_due(const GilShare *gil, int64_t now);

/* At the end of a run: the switch interval is the program's again. */
void gil_end_run(Engine *engine);

/* In a child forked in the middle of a run, which may never come to its end: the
 * same. -1 with an exception set. */
int gil_after_fork(ModuleState *state);

#endif
