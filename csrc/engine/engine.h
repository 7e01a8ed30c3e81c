/* The engine: the whole state of one event loop, on one screen.
 *
 * It is embedded in the Loop object (api/loop.h), which makes it with
 * engine_init() and ends it with engine_close(). All of it belongs to the
 * thread that runs the loop and holds the GIL. Other threads that hold the GIL
 * push to `ready` and change watchers; a wait, which goes on without it, changes
 * what is the backend's, `fired` and `woken`, and nothing else. Where there is no GIL,
 * other threads push to `inbox`, read and write what is atomic, and visit the rest while
 * the loop waits (ENGINE_BEGIN). */
#ifndef PYAIO_ENGINE_ENGINE_H
#define PYAIO_ENGINE_ENGINE_H

#include "base/platform.h"
#include "base/state.h"
#include "base/tls_output.h"
#include "engine/gil.h"
#include "engine/inbox.h"
#include "engine/ready.h"
#include "engine/timers.h"
#include "engine/wakeup.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct Backend Backend;
typedef struct FdWatcher FdWatcher;

/* Methods that a subclass, an instance or a tracer may have replaced and that
 * our C then has to call as asyncio would (engine/overrides.c). */
enum {
    OVERRIDE_CALL_SOON = 1,
    OVERRIDE_CALL_AT = 2,
    OVERRIDE_TIME = 4,
    OVERRIDE_RUN_ONCE = 8,
    OVERRIDE_WRITE_TO_SELF = 16,
    OVERRIDE_PROCESS_EVENTS = 32,
    OVERRIDE_SELECTOR = 64, /* `_selector`, or its select() */
    OVERRIDE_GET_DEBUG = 128,
    /* A poll goes through the selector's select() and _process_events(). */
    OVERRIDE_POLL = OVERRIDE_PROCESS_EVENTS | OVERRIDE_SELECTOR,
};

struct Engine {
    ModuleState *state; /* of the module; outlives every engine */
    PyObject *loop;     /* borrowed: the Loop this is embedded in */

    /* What runs. */
    ReadyQueue ready;    /* runs in the next turn */
    Inbox inbox;         /* the same, from other threads without a GIL */
    ReadyQueue turn_end; /* flushes: run at the end of this turn, or before */
    int64_t flush_by;    /* clock, in ns, by which they are to have run */
    int64_t flush_tick;  /* coarse clock, in ns, when the first was queued */
    bool flush_due;      /* they run behind the present entry */
    Timers timers;

    /* When to poll (engine/turn.c). */
    uint32_t turns;    /* since the last poll */
    uint32_t check_at; /* number of turns at which to read the clock */
    uint64_t turn_id;  /* of the turn that runs, never 0 */
    bool in_turn;      /* entries run: turn_end comes for sure */
    int64_t polled_at; /* clock of the last poll, in ns */
    int64_t came_at;   /* of the last that waited or found something */
    int64_t tick;      /* coarse clock of the last poll, in ns */
    bool poll_now;     /* before the next turn: a timer is due, or bytes have
                          left and may be answered */

    /* What is watched, and waiting (engine/backend.h). */
    Backend *backend;          /* NULL once closed */
    Asleep asleep;             /* somebody has to wake us */
    COMPAT_ATOMIC(bool) woken; /* the next wait ends at once */
    bool called; /* call_soon_threadsafe() while awake: who turns the loop
                         by hand may have looked at `ready` before that */
    bool deaf;   /* no fd is left to be woken by: waits are short */
    bool open;   /* `backend` has to be closed */
    COMPAT_ATOMIC(bool) polling; /* the GIL is given up, the backend waits */
    GilShare gil;
    ReadyQueue fired;     /* filled by a poll */
    FdWatcher **watchers; /* by fd; entries may be NULL */
    int watchers_size;
    FdWatcher *changed_watchers; /* the backend has to look at them */

    /* Signals (engine/signals.c). */
    bool watching_signals;     /* a run or a select goes on */
    bool signals_due;          /* the next wait has to see to it */
    FdWatcher *signal_watcher; /* NULL until needed */
    int signal_pipe[2];        /* read end, write end, with a watcher */
    unsigned signal_forks;     /* forks_count() when the pipe was made */
    bool signals_taken;        /* signal.set_wakeup_fd() has our write end */
    int signal_before;         /* and before, the program's own, or -1 */

    /* State that asyncio's methods show. */
    atomic_ulong thread_id; /* of the thread that runs us, 0 when none */
    atomic_ulong inside;    /* of the one that turns us (ENGINE_BEGIN), or 0 */
    atomic_bool running;    /* engine_run() is at work */
    COMPAT_ATOMIC(bool) stopping;
    COMPAT_ATOMIC(bool) closed;
    COMPAT_ATOMIC(bool) debug;
    bool untracked_timers; /* the collector may not see all in the heap */
    /* What the last entry has left for its like to take over (a current task,
     * tasks/registry_sets.c), undone before anything else runs; or NULL. */
    void (*leave_last)(Engine *engine);
    const void *last;  /* whose it is */
    PyObject *entered; /* owned: its Context (engine/succession.h); or NULL */
    PyObject *current_handle; /* debug mode: what runs; may be NULL */

    /* Replaced methods. */
    COMPAT_ATOMIC(unsigned)
    overrides;                 /* OVERRIDE_* of the type and the instance */
    unsigned own_overrides;    /* those set on the instance */
    unsigned int type_version; /* of the type when `overrides` was set */

    StreamMethods stream_methods; /* of net/stream_reader.c */
    TlsOutput tls_output;         /* of net/tls_write.c */
    char *scratch;                /* shared read buffer; NULL until needed */
    bool lent;                    /* and one has been lent */
    bool expects_blocks; /* glibc has been told that there are large ones */
};

/* succession.c: leaves `entered`. Keeps a raised exception. */
void engine_leave_entered(Engine *engine);

static inline void
engine_leave_last(Engine *engine)
{
    if (engine->entered != NULL) {
        engine_leave_entered(engine); /* first: the other may run finalizers */
    }
    if (engine->leave_last != NULL) {
        engine->leave_last(engine);
    }
}

/* The head of every Loop object (api/loop.h), for who has only the loop. */
typedef struct EngineOwner {
    PyObject_HEAD
    Engine engine;
} EngineOwner;

static inline Engine *
engine_of_loop(PyObject *loop)
{
    return &((EngineOwner *)loop)->engine;
}

/* Bytes in Engine.scratch: what one read of a stream takes at the most, as in
 * asyncio (_SelectorTransport.max_size). Pages never touched cost nothing. */
#define ENGINE_SCRATCH_SIZE (256 * 1024)

/* What other threads have posted goes to `ready`. */
static inline void
engine_collect(Engine *engine)
{
    if (PYAIO_FREE_THREADED
        && atomic_load_explicit(&engine->inbox.filled, memory_order_relaxed)) {
        inbox_empty(engine);
    }
}

/* Without a GIL, the thread that turns the loop has the loop's critical section, which it
 * leaves while it waits; any other is let in then, by ENGINE_BEGIN(). With a GIL all of
 * this is nothing. */

/* Whether this thread turns the loop. */
static inline bool
engine_is_here(const Engine *engine)
{
    return !PYAIO_FREE_THREADED
           || engine->inside == PyThread_get_thread_ident();
}

/* Whether another one does. */
static inline bool
engine_is_away(const Engine *engine)
{
    unsigned long inside = PYAIO_FREE_THREADED ? engine->inside : 0;
    return inside != 0 && inside != PyThread_get_thread_ident();
}

/* Around what methods do to the loop and to what is the loop's; no jump leads out. */
#if PYAIO_FREE_THREADED
#define ENGINE_BEGIN(engine)                                                  \
    {                                                                         \
        PyCriticalSection engine_section;                                     \
        bool engine_visited = !engine_is_here(engine);                        \
        if (engine_visited) {                                                 \
            PyCriticalSection_Begin(&engine_section, (engine)->loop);         \
        }
#define ENGINE_END()                                                          \
    if (engine_visited) {                                                     \
        PyCriticalSection_End(&engine_section);                               \
    }                                                                         \
    }
#else
#define ENGINE_BEGIN(engine) {
#define ENGINE_END() }
#endif

/* Around what turns the loop: `before` is for engine_leave(). */
static inline unsigned long
engine_enter(Engine *engine)
{
    unsigned long before = engine->inside;
    if (PYAIO_FREE_THREADED) {
        engine->inside = PyThread_get_thread_ident();
    }
    return before;
}

static inline void
engine_leave(Engine *engine, unsigned long before)
{
    if (PYAIO_FREE_THREADED) {
        engine->inside = before;
    }
}

/* The entry runs in the next turn. From another thread, too, which call_soon() and the
 * like are not for: it does not wake the loop, as in asyncio. */
static inline void
engine_push(Engine *engine, ReadyEntry *entry)
{
    if (!engine_is_here(engine)) {
        if (!inbox_post(engine, entry, false)) {
            entry->ops->discard(entry);
        }
        return;
    }
    engine_collect(engine); /* first come, first served */
    ready_push(&engine->ready, entry);
}

/* Ends the wait that goes on, or else the next one, from any thread. */
void engine_wake(Engine *engine);

/* Makes what the engine waits with. -1 with OSError. */
int engine_init(Engine *engine, ModuleState *state, PyObject *loop);
/* Ends everything that is queued, watched or scheduled, once; -1 with an
 * exception set if the backend can't be closed. Harmless on an engine that
 * engine_init() has refused. */
int engine_close(Engine *engine);
int engine_traverse(Engine *engine, visitproc visit, void *arg);

/* Turns until stopped: turn.c. 0, or -1 with the exception that leaves
 * run_forever(); RuntimeError while another thread polls, and on a closed loop. */
int engine_run(Engine *engine);
/* One poll and one turn: what _run_once() does. As engine_run(). */
int engine_turn(Engine *engine);
/* Waits for events up to `wait` ns, -1 for ever, and leaves them in `fired`;
 * does not wait after a call from another thread. -1 with what a signal handler
 * has raised, or RuntimeError as engine_run(). */
int engine_select(Engine *engine, int64_t wait);
/* Runs what is in `fired`. As engine_run(). */
int engine_run_fired(Engine *engine);
/* Runs what is in `turn_end` now. As engine_run(). */
int engine_flush(Engine *engine);

/* Runs the entry at the end of this turn, or before that, between two others, when
 * many such entries have come or the first has waited for long. */
void engine_flush_later(Engine *engine, ReadyEntry *entry);

/* The loop's clock in ns: the monotonic clock, or loop.time() where that has
 * been replaced. -1 with an exception set in *failed only then. */
int64_t engine_now(Engine *engine, bool *failed);
/* Where time() has been replaced: loop._clock_resolution in ns, which timers
 * may be early, so that sums of floats hit their time. As engine_now(). */
int64_t engine_resolution(Engine *engine, bool *failed);

/* A read of so much makes or fills blocks that glibc would map and unmap, or take from
 * the kernel and give back, one by one. */
#define ENGINE_LARGE_READ 32768
#define ENGINE_BLOCKS ((size_t)8 * ENGINE_SCRATCH_SIZE)

/* After each read of unknown size. */
static inline void
engine_note_read(Engine *engine, Py_ssize_t count)
{
    if (count >= ENGINE_LARGE_READ && !engine->expects_blocks) {
        engine->expects_blocks = true;
        platform_expect_blocks(ENGINE_BLOCKS);
    }
}

/* The shared read buffer. NULL with MemoryError. */
char *engine_scratch(Engine *engine);
/* Gives the buffer away with what is in it, to who will return it; NULL while one has
 * not been returned. */
char *engine_lend_scratch(Engine *engine);
void engine_return_scratch(Engine *engine, char *lent);

/* RuntimeError('Event loop is closed') and -1 on a closed loop. */
int engine_check_closed(Engine *engine);
/* With an exception set: clears it and returns true if it is that one. */
bool engine_clear_closed_error(void);
/* Debug mode: RuntimeError and -1 in a thread that is not the loop's. */
int engine_check_thread(Engine *engine);

#endif
