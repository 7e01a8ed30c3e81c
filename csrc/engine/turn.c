/* The turn of the loop: poll when it is due, fire timers, run what is ready.
 *
 * Called by the Loop's _run() (api/loop_run.c). What became ready in a turn
 * runs in the next one, first in first out, as in asyncio; unlike asyncio, a
 * turn does not start with a poll while there is something to run, unless
 * POLL_TURNS turns, POLL_NS or a tick of the coarse clock have passed since the
 * last one: a poll costs as much as ten switches between tasks. */
#include "base/compat.h"
#include "base/platform.h"
#include "engine/backend.h"
#include "engine/engine.h"
#include "engine/handle.h"
#include "engine/overrides.h"
#include "engine/replaced.h"
#include "engine/report.h"
#include "engine/signals.h"

#include <uv.h>

#define POLL_TURNS 256   /* without a poll, at the most */
#define POLL_NS 20000    /* the same in time: a poll is some 2 % of it */
#define CHECK_TURNS 16   /* between two looks at the clock */
#define FLUSH_COUNT 16   /* streams with something to send: they send now */
#define FLUSH_NS 300000  /* so does one that has waited for so long */
#define TICK_TURNS 2     /* between two looks at the coarse clock */
#define SPIN_NS 100000   /* to look for events before such a wait */
#define DEAF_NS 10000000 /* a wait that nobody could end */
#define MAXIMUM_WAIT_NS (24 * INT64_C(3600000000000)) /* as asyncio */

/* ---- waiting ---- */

/* Looks for events for a while before a wait, where the last wait had to fight for
 * the GIL: a thread that computes holds it for its whole switch interval, and what
 * is on its way is often here before that. 1 when something has come, 0 when not,
 * -1 with OSError. */
static int
poll_spin(Engine *engine)
{
    int64_t now = (int64_t)uv_hrtime();
    int64_t end = now + SPIN_NS;
    while (now < end && !gil_is_due(&engine->gil, now)) {
        backend_wait(engine, 0);
        if (backend_collect(engine) < 0) {
            return -1;
        }
        if (!ready_is_empty(&engine->fired) || engine->woken) {
            return 1;
        }
        now = (int64_t)uv_hrtime();
    }
    return 0;
}

/* Sleeps until something happens or `wait` ns have passed; -1: for ever. -1 with
 * OSError. */
static int
poll_wait(Engine *engine, int64_t wait)
{
    if (engine->gil.contended && (wait < 0 || wait > SPIN_NS)) {
        int come = poll_spin(engine);
        if (come != 0) {
            return come < 0 ? -1 : 0;
        }
    }
    if (engine->deaf && (wait < 0 || wait > DEAF_NS)) {
        wait = DEAF_NS;
    }
    /* A turn around us waits, too: what another thread writes has to leave now. */
    bool in_turn = engine->in_turn;
    engine->in_turn = false;
    asleep_set(&engine->asleep, true);
    gil_wait(engine, wait < MAXIMUM_WAIT_NS ? wait : MAXIMUM_WAIT_NS);
    asleep_set(&engine->asleep, false);
    engine->in_turn = in_turn;
    return backend_collect(engine);
}

/* Looks for events without waiting. The GIL is kept, but for one look in a
 * while: callbacks in C alone would never give it to another thread. Not more
 * often: each release that nobody takes starts the wait of who asks for the GIL
 * anew, and only a wait of a whole switch interval makes the interpreter hand
 * it over for certain. */
static int
poll_look(Engine *engine)
{
    int64_t now =
        engine->gil.contended ? (int64_t)uv_hrtime() : engine->polled_at;
    if (gil_is_due(&engine->gil, now)) {
        gil_wait(engine, 0);
    }
    else {
        backend_wait(engine, 0);
    }
    return backend_collect(engine);
}

/* ---- polling ---- */

/* How long the poll may wait: 0, ns, or -1 for ever. */
static int64_t
poll_allowance(Engine *engine, int64_t now)
{
    /* First, since it drops cancelled timers, which may run finalizers: what
     * these schedule has to be seen below. */
    const TimerEntry *timer = timer_heap_peek(&engine->timers);
    if (!ready_is_empty(&engine->ready) || !ready_is_empty(&engine->turn_end)
        || engine->stopping) {
        return 0;
    }
    if (timer == NULL || timer->when == INT64_MAX) {
        return -1;
    }
    if (timer->when <= now) {
        return 0;
    }
    /* Far in the past of one clock and far in the future of the other: the
     * difference may not fit. */
    uint64_t wait = (uint64_t)timer->when - (uint64_t)now;
    return wait > INT64_MAX ? INT64_MAX : (int64_t)wait;
}

static void
timers_fire(Engine *engine, int64_t now)
{
    for (;;) {
        const TimerEntry *timer = timer_heap_peek(&engine->timers);
        if (timer == NULL || timer->when > now || timer->when == INT64_MAX) {
            return;
        }
        TimerHandleObject *handle = timer_heap_pop(&engine->timers);
        handle_push(&handle->handle);
        Py_DECREF(handle);
    }
}

/* Lets the backend fill `fired`. -1 with OSError. */
static int
poll_backend(Engine *engine, int64_t wait)
{
    engine->deaf = wait != 0 && engine->signals_due;
    if (signals_leave_parent(engine) < 0
        || backend_prepare(engine, wait != 0) < 0) {
        return -1;
    }
    /* From here to the wait no Python runs. */
    bool looks = wait == 0 || engine->woken || !ready_is_empty(&engine->fired);
    int err = looks ? poll_look(engine) : poll_wait(engine, wait);
    engine->woken = false;
    engine->polled_at = (int64_t)uv_hrtime();
    engine->tick = platform_coarse_ns();
    engine->turns = 0;
    engine->poll_now = false;
    if (engine->check_at > CHECK_TURNS) {
        engine->check_at = CHECK_TURNS;
    }
    return err;
}

static int
timers_fire_replaced(Engine *engine)
{
    bool failed = false;
    int64_t now = engine_now(engine, &failed);
    int64_t early = failed ? 0 : engine_resolution(engine, &failed);
    if (failed) {
        return -1;
    }
    timers_fire(engine, now > INT64_MAX - early ? now : now + early);
    return 0;
}

/* Waits for up to *wait, or less where a signal handler has given reason to, and
 * leaves what has come in `ready`. -1 with an exception set. */
static int
poll_ours(Engine *engine, int64_t now, int64_t *wait)
{
    if (*wait != 0 && engine->signals_due) {
        if (signals_take(engine) < 0) {
            return -1;
        }
        *wait = poll_allowance(engine, now);
    }
    int err = poll_backend(engine, *wait);
    ready_append(&engine->ready, &engine->fired);
    return err < 0 ? -1 : PyErr_CheckSignals();
}

static int
turn_poll(Engine *engine)
{
    bool failed = false;
    engine_leave_last(engine);
    int64_t now = engine_now(engine, &failed);
    if (failed) {
        return -1;
    }
    int64_t wait = poll_allowance(engine, now);
    bool replaced = engine->overrides & OVERRIDE_POLL;
    if ((replaced ? replaced_poll(engine, wait)
                  : poll_ours(engine, now, &wait))
        < 0) {
        return -1;
    }
    if (engine->overrides & OVERRIDE_TIME) {
        return timers_fire_replaced(engine);
    }
    timers_fire(engine, wait == 0 ? now : (int64_t)uv_hrtime());
    return 0;
}

/* The pace so far says at how many turns to look at the clock again; at a
 * change of pace, the tick of the coarse clock is what ends the wait. */
static bool
time_is_up(Engine *engine)
{
    int64_t now = (int64_t)uv_hrtime();
    int64_t elapsed = now - engine->polled_at;
    if (elapsed >= POLL_NS) {
        gil_note_turns(&engine->gil, now, elapsed);
        engine->check_at = 1;
        return true;
    }
    int64_t pace = elapsed / engine->turns + 1;
    int64_t more = (POLL_NS - elapsed) / pace;
    more = more < 1 ? 1 : more > CHECK_TURNS ? CHECK_TURNS : more;
    engine->check_at = engine->turns + (uint32_t)more;
    return false;
}

/* Whether to poll before this turn, at the cost of a clock now and then. */
static bool
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

void
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

static int
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

int
engine_flush(Engine *engine)
{
    engine_leave_last(engine);
    engine->flush_due = false;
    return run_queue(engine, &engine->turn_end);
}

static int
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

static bool
is_handle(Engine *engine, PyObject *subject)
{
    /* The base: asyncio's own class, of which others may queue some. */
    return PyObject_TypeCheck(subject, engine->state->handle_type->tp_base);
}

/* asyncio.base_events.logger, which a test may have replaced. */
static PyObject *
base_events_logger(void)
{
    PyObject *module = PyImport_ImportModule("asyncio.base_events");
    PyObject *logger =
        module ? PyObject_GetAttrString(module, "logger") : NULL;
    Py_XDECREF(module);
    return logger;
}

static int
warn_slow(Engine *engine, PyObject *subject, double seconds)
{
    ModuleState *state = engine->state;
    PyObject *text = is_handle(engine, subject)
                         ? PyObject_CallOneArg(state->format_handle, subject)
                         : PyObject_Str(subject);
    PyObject *logger = text ? base_events_logger() : NULL;
    PyObject *result =
        logger ? PyObject_CallMethod(logger, "warning", "sOd",
                                     "Executing %s took %.3f seconds", text,
                                     seconds)
               : NULL;
    Py_XDECREF(logger);
    Py_XDECREF(text);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

static int
check_slow(Engine *engine, PyObject *subject, int64_t started)
{
    bool failed = false;
    int64_t now = engine_now(engine, &failed);
    if (failed) {
        return -1;
    }
    PyObject *limit = PyObject_GetAttr(
        engine->loop, STATE_NAME(engine->state, slow_callback_duration));
    if (limit == NULL) {
        return -1;
    }
    double seconds = PyFloat_AsDouble(limit);
    Py_DECREF(limit);
    if (seconds == -1.0 && PyErr_Occurred()) {
        return -1;
    }
    double took = (double)(now - started) / 1e9;
    return took >= seconds ? warn_slow(engine, subject, took) : 0;
}

/* Debug mode: notes who runs and says who was slow. */
static int
run_entry_debug(Engine *engine, ReadyEntry *entry)
{
    bool failed = false;
    PyObject *subject = entry->ops->subject(entry);
    int64_t started = engine_now(engine, &failed);
    if (failed) {
        entry->ops->discard(entry);
        Py_DECREF(subject);
        return -1;
    }
    if (is_handle(engine, subject)) {
        Py_XSETREF(engine->current_handle, Py_NewRef(subject));
    }
    int err = entry->ops->run(entry, engine);
    Py_CLEAR(engine->current_handle);
    if (err == 0) {
        err = check_slow(engine, subject, started);
    }
    Py_DECREF(subject);
    return err;
}

PLATFORM_RARE static int
run_ready_debug(Engine *engine)
{
    for (size_t todo = engine->ready.count;
         todo > 0 && engine->ready.head != NULL; todo--) {
        if (run_entry_debug(engine, ready_pop(&engine->ready)) < 0) {
            return -1;
        }
        if (flush_is_due(engine) && engine_flush(engine) < 0) {
            return -1;
        }
    }
    return 0;
}

/* What was written leaves, also when an exception ends the run (`err`). */
static int
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

static int
turn_run(Engine *engine)
{
    engine->turn_id++;
    engine->in_turn = true;
    int err = engine->debug ? run_ready_debug(engine) : run_ready(engine);
    engine->in_turn = false;
    if (ready_is_empty(&engine->turn_end)) {
        return err;
    }
    return turn_end(engine, err);
}

static int
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
            if (overrides_check(engine) < 0) {
                return -1;
            }
            replaced = engine->overrides & OVERRIDE_RUN_ONCE;
            if ((replaced ? replaced_run_once(engine) : turn_poll(engine))
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

/* Who turns the loop by hand is not found by asyncio's own check. */
static int
check_not_polling(Engine *engine)
{
    if (engine->polling) {
        PyErr_SetString(PyExc_RuntimeError,
                        "the event loop polls, in another thread");
        return -1;
    }
    return 0;
}

int
engine_run(Engine *engine)
{
    if (check_not_polling(engine) < 0) {
        return -1;
    }
    int err = run_until_stopped(engine);
    gil_end_run(engine);
    return err;
}

/* ---- for who turns the loop from Python ---- */

int
engine_turn(Engine *engine)
{
    if (check_not_polling(engine) < 0 || overrides_check(engine) < 0
        || turn_poll(engine) < 0) {
        return -1;
    }
    int err = turn_run(engine);
    engine_leave_last(engine);
    return err;
}

int
engine_select(Engine *engine, int64_t wait)
{
    if (check_not_polling(engine) < 0 || engine_flush(engine) < 0) {
        return -1; /* what a turn around us has written must be out */
    }
    if (!ready_is_empty(&engine->turn_end)) {
        wait = 0; /* their callbacks have written, too */
    }
    if (wait != 0 && ready_is_empty(&engine->fired) && engine->signals_due
        && signals_take(engine) < 0) {
        return -1;
    }
    if (engine->called) {
        wait = 0; /* the caller may have decided to wait before the call */
        engine->called = false;
    }
    if (poll_backend(engine, wait) < 0) {
        return -1;
    }
    return PyErr_CheckSignals();
}

int
engine_run_fired(Engine *engine)
{
    return run_queue(engine, &engine->fired);
}
