/* The turn of the loop: poll when it is due (engine/poll.c), run what is ready.
 *
 * Called by the Loop's _run() (api/loop_run.c). What became ready in a turn
 * runs in the next one, first in first out, as in asyncio; unlike asyncio, a
 * turn does not start with a poll while there is something to run, unless some time
 * (poll_by), POLL_TURNS turns or a tick of the coarse clock have passed since the
 * last one: a poll costs as much as ten switches between tasks. */
#include "base/compat.h"
#include "base/platform.h"
#include "engine/engine.h"
#include "engine/overrides.h"
#include "engine/poll.h"
#include "engine/replaced.h"
#include "engine/report.h"
#include "engine/signals.h"
#include "engine/slow.h"

#include <uv.h>

#define POLL_TURNS 1024    /* without a poll, at the most */
#define POLL_PART 8        /* the same in time, of that since something came */
#define POLL_NS 2500       /* but for so long at least */
#define POLL_LONG_NS 80000 /* and at most: a poll is some 0.5 % of it */
#define POLL_TIMERS_NS 20000 /* between polls for nothing but timers */
#define FLUSH_COUNT 64   /* streams with something to send: they send now */
#define FLUSH_NS 1000000 /* so does one that has waited for so long */
#define TICK_TURNS 2     /* between two looks at the coarse clock */

/* ---- when to poll ---- */

/* Without looking for events, in ns: a client that answers at once is heard at once,
 * and who only computes pays for few polls. */
static int64_t
poll_interval(const Engine *engine)
{
    int64_t part = (engine->polled_at - engine->came_at) / POLL_PART;
    return part < POLL_NS        ? POLL_NS
           : part < POLL_LONG_NS ? part
                                 : POLL_LONG_NS;
}

/* The clock at which to poll. */
static int64_t
poll_by(const Engine *engine)
{
    int64_t by = engine->polled_at + poll_interval(engine);
    int64_t timer = timers_next(&engine->timers);
    int64_t soonest = engine->polled_at + POLL_TIMERS_NS;
    timer = timer > soonest ? timer : soonest;
    return by < timer ? by : timer;
}

/* The pace so far says at how many turns to look at the clock again; at a
 * change of pace, the tick of the coarse clock is what ends the wait. */
PLATFORM_HOT static bool
time_is_up(Engine *engine)
{
    int64_t now = (int64_t)uv_hrtime();
    int64_t elapsed = now - engine->polled_at;
    int64_t left = poll_by(engine) - now;
    if (left <= 0) {
        gil_note_turns(&engine->gil, now, elapsed);
        engine->check_at = 1;
        return true;
    }
    int64_t pace = elapsed / engine->turns + 1;
    int64_t more = left / pace;
    more = more < 1 ? 1 : more > POLL_CHECK_TURNS ? POLL_CHECK_TURNS : more;
    engine->check_at = engine->turns + (uint32_t)more;
    return false;
}

/* Whether to poll before this turn, at the cost of a clock now and then. */
PLATFORM_HOT static bool
poll_is_due(Engine *engine)
{
    if (ready_is_empty(&engine->ready) || engine->poll_now
        || engine->overrides & OVERRIDE_TIME) {
        return true; /* a clock of somebody's may have jumped */
    }
    engine->turns++;
    if (engine->turns >= engine->check_at && time_is_up(engine)) {
        return true;
    }
    return engine->turns % TICK_TURNS == 0
           && (engine->turns >= POLL_TURNS
               || platform_coarse_ns() != engine->tick);
}

/* ---- running ---- */

PLATFORM_HOT void
engine_flush_later(Engine *engine, ReadyEntry *entry)
{
    ReadyQueue *queue = &engine->turn_end;
    int64_t now = (int64_t)uv_hrtime();
    if (ready_is_empty(queue)) {
        engine->flush_by = now + FLUSH_NS;
        engine->flush_tick = platform_coarse_ns();
    }
    ready_push(queue, entry);
    engine->flush_due = queue->count >= FLUSH_COUNT || now >= engine->flush_by;
}

PLATFORM_HOT static int
run_queue(Engine *engine, ReadyQueue *queue)
{
    for (size_t todo = queue->count; todo > 0 && queue->head != NULL; todo--) {
        ReadyEntry *entry = ready_pop(queue);
        if (entry->ops->run(entry, engine) < 0) {
            return -1; /* the rest stays for the next run */
        }
    }
    return 0;
}

/* Whether they are to run behind the present entry. Where nothing more is written, the
 * coarse clock is what tells that the first has waited for long. */
static inline bool
flush_is_due(Engine *engine)
{
    return engine->flush_due
           || (!ready_is_empty(&engine->turn_end)
               && platform_coarse_ns() != engine->flush_tick);
}

PLATFORM_HOT int
engine_flush(Engine *engine)
{
    engine_leave_last(engine);
    engine->flush_due = false;
    return run_queue(engine, &engine->turn_end);
}

PLATFORM_HOT static int
run_ready(Engine *engine)
{
    ReadyQueue *queue = &engine->ready;
    /* A callback may run turns of its own, which leave less. */
    for (size_t todo = queue->count; todo > 0 && queue->head != NULL; todo--) {
        ReadyEntry *entry = ready_pop(queue);
        /* Of many entries none is in the processor's cache. */
        PLATFORM_PREFETCH(queue->head);
        if (entry->ops->run(entry, engine) < 0) {
            return -1; /* the rest stays for the next run */
        }
        if (flush_is_due(engine) && engine_flush(engine) < 0) {
            return -1;
        }
    }
    return 0;
}

PLATFORM_RARE static int
run_ready_debug(Engine *engine)
{
    for (size_t todo = engine->ready.count;
         todo > 0 && engine->ready.head != NULL; todo--) {
        if (slow_run_entry(engine, ready_pop(&engine->ready)) < 0) {
            return -1;
        }
        if (flush_is_due(engine) && engine_flush(engine) < 0) {
            return -1;
        }
    }
    return 0;
}

/* What was written leaves, also when an exception ends the run (`err`). */
PLATFORM_HOT static int
turn_end(Engine *engine, int err)
{
    PyObject *raised = PyErr_GetRaisedException();
    int flushed = engine_flush(engine);
    if (raised != NULL) {
        if (flushed < 0) {
            report_unraisable("the end of a turn");
        }
        PyErr_SetRaisedException(raised);
    }
    return err < 0 ? err : flushed;
}

PLATFORM_HOT static int
turn_run(Engine *engine)
{
    engine->turn_id++;
    engine_collect(engine);
    engine->in_turn = true;
    int err = engine->debug ? run_ready_debug(engine) : run_ready(engine);
    engine->in_turn = false;
    if (ready_is_empty(&engine->turn_end)) {
        return err;
    }
    return turn_end(engine, err);
}

PLATFORM_HOT static int
run_until_stopped(Engine *engine)
{
    if (overrides_refresh(engine) < 0) {
        return -1;
    }
    engine->poll_now = true;
    engine->check_at = 1; /* until the pace is known */
    do {
        bool replaced = false;
        if (poll_is_due(engine)) {
            engine_leave_last(engine);
            if (overrides_check(engine) < 0) {
                return -1;
            }
            replaced = engine->overrides & OVERRIDE_RUN_ONCE;
            if ((replaced ? replaced_run_once(engine) : poll_turn(engine))
                < 0) {
                return -1;
            }
        }
        if (replaced) {
            engine->poll_now = true; /* the next turn is its, too */
        }
        else if (turn_run(engine) < 0) {
            return -1;
        }
    } while (!engine->stopping);
    return 0;
}

/* In the loop's section, which another thread that polls has left. Who turns the loop by
 * hand is not found by asyncio's own check. */
static int
check_may_turn(Engine *engine)
{
    if (engine->polling) {
        PyErr_SetString(PyExc_RuntimeError,
                        "the event loop polls, in another thread");
        return -1;
    }
    return engine_check_closed(engine);
}

PLATFORM_HOT static int
run(Engine *engine)
{
    if (check_may_turn(engine) < 0) {
        return -1;
    }
    unsigned long before = engine_enter(engine);
    int err = run_until_stopped(engine);
    engine_leave_last(engine);
    gil_end_run(engine);
    engine_leave(engine, before);
    return err;
}

PLATFORM_HOT int
engine_run(Engine *engine)
{
    int err;
    Py_BEGIN_CRITICAL_SECTION(engine->loop);
    err = run(engine);
    Py_END_CRITICAL_SECTION();
    return err;
}

/* ---- for who turns the loop from Python ---- */

static int
poll_and_run(Engine *engine)
{
    if (overrides_check(engine) < 0 || poll_turn(engine) < 0) {
        return -1;
    }
    int err = turn_run(engine);
    engine_leave_last(engine);
    return err;
}

static int
turn_once(Engine *engine)
{
    if (check_may_turn(engine) < 0) {
        return -1;
    }
    unsigned long before = engine_enter(engine);
    timers_sweep(&engine->timers);
    int err = poll_and_run(engine);
    engine_leave(engine, before);
    return err;
}

/* In a turn of ours, too: a callback may turn the loop. */
int
engine_turn(Engine *engine)
{
    int err;
    ENGINE_BEGIN(engine);
    err = turn_once(engine);
    ENGINE_END();
    return err;
}

static int
flush_and_poll(Engine *engine, int64_t wait)
{
    if (engine_flush(engine) < 0) {
        return -1; /* what a turn around us has written must be out */
    }
    if (!ready_is_empty(&engine->turn_end)) {
        wait = 0; /* their callbacks have written, too */
    }
    if (wait != 0 && ready_is_empty(&engine->fired) && engine->signals_due
        && signals_take(engine) < 0) {
        return -1;
    }
    if (engine->called || (PYAIO_FREE_THREADED && engine->inbox.filled)) {
        wait = 0; /* the caller may have decided to wait before the call */
        engine->called = false;
    }
    if (poll_backend(engine, wait) < 0) {
        return -1;
    }
    return PyErr_CheckSignals();
}

static int
select_once(Engine *engine, int64_t wait)
{
    if (check_may_turn(engine) < 0) {
        return -1;
    }
    unsigned long before = engine_enter(engine);
    int err = flush_and_poll(engine, wait);
    engine_leave(engine, before);
    return err;
}

int
engine_select(Engine *engine, int64_t wait)
{
    int err;
    ENGINE_BEGIN(engine);
    err = select_once(engine, wait);
    ENGINE_END();
    return err;
}

int
engine_run_fired(Engine *engine)
{
    int err;
    ENGINE_BEGIN(engine);
    unsigned long before = engine_enter(engine);
    err = run_queue(engine, &engine->fired);
    engine_leave(engine, before);
    ENGINE_END();
    return err;
}
