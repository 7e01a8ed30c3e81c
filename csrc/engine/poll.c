/* The poll: waits for events, or only looks for them, and fires the timers that are due.
 *
 * Called by the turn (engine/turn.c) when a poll is due. What can be waited for is the
 * backend's to know (engine/backend.h), who has the GIL meanwhile gil.c's. */
#include "base/platform.h"
#include "engine/poll.h"

#include "engine/backend.h"
#include "engine/handle.h"
#include "engine/overrides.h"
#include "engine/replaced.h"
#include "engine/signals.h"

#include <uv.h>

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
PLATFORM_HOT static int
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
    if (PYAIO_FREE_THREADED && (engine->inbox.filled || engine->woken)) {
        wait = 0; /* who came before that has woken nobody */
    }
    gil_wait(engine, wait < MAXIMUM_WAIT_NS ? wait : MAXIMUM_WAIT_NS);
    asleep_set(&engine->asleep, false);
    engine->in_turn = in_turn;
    return backend_collect(engine);
}

/* Looks for events without waiting. The GIL is kept, but for one look in a
 * while: callbacks in C alone would never give it to another thread. Not more
 * often: each release that nobody takes starts the wait of who asks for the GIL
 * anew, and only a wait of a whole switch interval makes the interpreter hand
 * it over for certain. Without a GIL it costs little, and a thread that collects garbage
 * waits for it. */
PLATFORM_HOT static int
poll_look(Engine *engine)
{
    int64_t now =
        engine->gil.contended ? (int64_t)uv_hrtime() : engine->polled_at;
    if (PYAIO_FREE_THREADED || gil_is_due(&engine->gil, now)) {
        gil_wait(engine, 0);
    }
    else {
        backend_wait(engine, 0);
    }
    return backend_collect(engine);
}

/* ---- polling ---- */

/* How long the poll may wait: 0, ns, or -1 for ever. */
PLATFORM_HOT static int64_t
poll_allowance(Engine *engine, int64_t now)
{
    /* First, since it drops cancelled timers, which may run finalizers: what
     * these schedule has to be seen below. */
    const TimerEntry *timer = timers_peek(&engine->timers);
    engine_collect(engine);
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

PLATFORM_HOT static void
timers_fire(Engine *engine, int64_t now)
{
    for (;;) {
        const TimerEntry *timer = timers_peek(&engine->timers);
        if (timer == NULL || timer->when > now || timer->when == INT64_MAX) {
            return;
        }
        TimerHandleObject *handle = timers_pop(&engine->timers);
        handle_push(&handle->handle);
        Py_DECREF(handle);
    }
}

PLATFORM_HOT int
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
    if (!looks || !ready_is_empty(&engine->fired)) {
        engine->came_at = engine->polled_at;
        engine->check_at = 1;
    }
    engine->tick = platform_coarse_ns();
    engine->turns = 0;
    engine->poll_now = false;
    if (engine->check_at > POLL_CHECK_TURNS) {
        engine->check_at = POLL_CHECK_TURNS;
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
PLATFORM_HOT static int
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

PLATFORM_HOT int
poll_turn(Engine *engine)
{
    bool failed = false;
    engine_leave_last(engine);
    int64_t now = engine_now(engine, &failed);
    if (failed) {
        return -1;
    }
    timers_look_ahead(&engine->timers, now);
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
