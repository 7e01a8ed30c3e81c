/* The GIL, given up for a wait and shared with threads that compute.
 *
 * Who waits for the GIL asks for it after a whole switch interval, 5 ms, and gets
 * it in the middle of whatever runs. A thread that computes never gives it up
 * otherwise: a loop that waits for each message comes to it 5 ms late, and on the
 * same core some 4 ms later than that, when the kernel lets it run to ask. So the
 * loop is sparing with the GIL as long as there is such a thread:
 *
 * - Once it has the GIL, it may keep it for as long as the others had it before,
 *   which leaves them half of the time.
 * - So that nobody asks for it earlier, the switch interval is a longer one
 *   meanwhile: sys.setswitchinterval() is what a thread looks at when it begins to
 *   wait. Before the loop gives the GIL up, the interval is the program's again.
 * - Then it hands the GIL over between two turns, for long enough that another
 *   thread wakes up and takes it.
 *
 * Without a GIL it is the thread's state that is given up and taken back, for who stops
 * all threads; nobody has to be shared with. */
#include "engine/gil.h"

#include "base/platform.h"
#include "engine/backend.h"
#include "engine/report.h"

#include <uv.h>

#define ROUTINE_NS 10000000 /* to keep the GIL with nobody known to want it */
#define CONTENDED_NS 500000 /* to get the GIL back: there is a thread */
#define PART_NS 6000000     /* of the loop beside it, at least */
#define PART_LONG_NS 18000000 /* and at most: less than the long interval */
#define HAND_OVER_NS 100000   /* for a thread to wake up */
#define SUSPECT_NS 4000000    /* less than the switch interval */
#define OFFER_NS 100000000    /* between two offers on a suspicion */

/* In seconds. Nobody else chooses this figure, by which ours is told from the
 * program's. */
#define LONG_INTERVAL 0.020011
/* sys.setswitchinterval() cuts off what is less than this. */
#define MICROSECOND 1e-6

/* ---- the switch interval ---- */

/* -1.0 with an exception set. */
static double
interval_now(ModuleState *state)
{
    PyObject *interval = PyObject_CallNoArgs(state->getswitchinterval);
    double seconds = interval ? PyFloat_AsDouble(interval) : -1.0;
    Py_XDECREF(interval);
    return seconds;
}

static bool
interval_is_ours(double seconds)
{
    return seconds > LONG_INTERVAL - MICROSECOND
           && seconds < LONG_INTERVAL + MICROSECOND;
}

static int
interval_set(ModuleState *state, PyObject *seconds)
{
    PyObject *none = PyObject_CallOneArg(state->setswitchinterval, seconds);
    Py_XDECREF(none);
    return none == NULL ? -1 : 0;
}

static int
interval_lengthen(Engine *engine)
{
    GilShare *gil = &engine->gil;
    double seconds = interval_now(engine->state);
    if (seconds < 0.0 || seconds > LONG_INTERVAL - MICROSECOND) {
        return seconds < 0.0 ? -1 : 0; /* long enough, or another loop's */
    }
    PyObject *ours = PyFloat_FromDouble(LONG_INTERVAL);
    /* Rounded, since it will be cut off. */
    PyObject *before = PyFloat_FromDouble(seconds + MICROSECOND / 2);
    int err = ours && before ? interval_set(engine->state, ours) : -1;
    Py_XDECREF(ours);
    if (err < 0) {
        Py_XDECREF(before);
        return -1;
    }
    gil->interval = before;
    engine->state->long_interval_of = engine;
    return 0;
}

/* Unless the program has set another one meanwhile. */
static int
interval_put_back(Engine *engine)
{
    PyObject *before = engine->gil.interval;
    engine->gil.interval = NULL;
    engine->state->long_interval_of = NULL;
    double seconds = interval_now(engine->state);
    int err = seconds < 0.0 ? -1 : 0;
    if (interval_is_ours(seconds)) {
        err = interval_set(engine->state, before);
    }
    Py_DECREF(before);
    return err;
}

/* ---- giving it up ---- */

static void
give_up_and_wait(Engine *engine, int64_t wait, bool hand_over)
{
    GilShare *gil = &engine->gil;
    int64_t given_at = (int64_t)uv_hrtime();
    engine->polling = true;
    PyThreadState *thread = PyEval_SaveThread();
    if (hand_over) {
        platform_sleep_ns(HAND_OVER_NS);
    }
    backend_wait(engine, wait);
    int64_t wanted_at = (int64_t)uv_hrtime();
    PyEval_RestoreThread(thread);
    engine->polling = false;
    gil->taken_at = (int64_t)uv_hrtime();
    gil->away = gil->taken_at - given_at;
    gil->contended =
        !PYAIO_FREE_THREADED && gil->taken_at - wanted_at > CONTENDED_NS;
}

void
gil_wait(Engine *engine, int64_t wait)
{
    GilShare *gil = &engine->gil;
    if (gil->interval != NULL && interval_put_back(engine) < 0) {
        report_unraisable("the switch interval");
    }
    give_up_and_wait(engine, wait, gil->contended || gil->suspicion);
    gil->suspicion = false;
    /* Who turns the loop by hand does not tell when he is done. */
    if (gil->contended && engine->running && interval_lengthen(engine) < 0) {
        report_unraisable("the switch interval");
    }
}

/* ---- when ---- */

void
gil_note_turns(GilShare *gil, int64_t now, int64_t elapsed)
{
    if (!PYAIO_FREE_THREADED && elapsed > SUSPECT_NS
        && now - gil->offered_at > OFFER_NS) {
        gil->offered_at = now;
        gil->suspicion = true;
    }
}

/* How long the loop may keep the GIL. */
static int64_t
part_of_the_loop(const GilShare *gil)
{
    if (!gil->contended) {
        return gil->suspicion ? 0 : ROUTINE_NS;
    }
    int64_t part = gil->away < PART_NS ? PART_NS : gil->away;
    return part < PART_LONG_NS ? part : PART_LONG_NS;
}

bool
gil_is_due(const GilShare *gil, int64_t now)
{
    return now - gil->taken_at > part_of_the_loop(gil);
}

void
gil_end_run(Engine *engine)
{
    if (engine->gil.interval == NULL) {
        return;
    }
    PyObject *raised = PyErr_GetRaisedException();
    if (interval_put_back(engine) < 0) {
        report_unraisable("the switch interval");
    }
    if (raised != NULL) {
        PyErr_SetRaisedException(raised);
    }
}

int
gil_after_fork(ModuleState *state)
{
    Engine *engine = state->long_interval_of;
    return engine != NULL ? interval_put_back(engine) : 0;
}
