/* The engine's making and ending, its clock and its checks. The Loop object
 * calls these (api/); what happens in between is engine/turn.c. */
#include "engine/engine.h"

#include "base/errors.h"
#include "base/forks.h"
#include "base/platform.h"
#include "engine/signals.h"
#include "engine/watcher.h"

/* Being woken is all that this does: the turn looks at the queue by itself. */
static void
on_wakeup(uv_async_t *wakeup)
{
    CONTAINER_OF(wakeup, Engine, wakeup)->woken = true;
}

#define UV_CLOSES_BACKEND ((1 << 16) | (51 << 8)) /* libuv 1.51 */

/* uv_loop_init(), which before libuv 1.51 leaves its epoll descriptor open when
 * a later step fails. Where its first allocation fails, the field is a 0 that
 * is no descriptor of the loop. */
static int
init_uv_loop(uv_loop_t *uv)
{
    int err = uv_loop_init(uv);
    if (err < 0 && uv_version() < UV_CLOSES_BACKEND
        && uv->backend_fd >= (err == UV_ENOMEM)) {
        close(uv->backend_fd);
    }
    return err;
}

static int
engine_init_uv(Engine *engine)
{
    int err = init_uv_loop(&engine->uv);
    if (err < 0) {
        return errors_set_uv(err);
    }
    err = uv_async_init(&engine->uv, &engine->wakeup, on_wakeup);
    if (err < 0) {
        uv_loop_close(&engine->uv);
        return errors_set_uv(err);
    }
    uv_timer_init(&engine->uv, &engine->alarm);
    return 0;
}

int
engine_init(Engine *engine, ModuleState *state, PyObject *loop)
{
    engine->state = state;
    engine->loop = loop;
    engine->closed = true; /* until all is there */
    engine->turn_id = 1;
    engine->alarm_at = -1;
    engine->signal_forward = -1;
    if (forks_watch() < 0 || engine_init_uv(engine) < 0) {
        return -1;
    }
    engine->forks = forks_count();
    engine->open = true;
    engine->closed = false;
    return 0;
}

static int
engine_close_uv(Engine *engine)
{
    watchers_release_all(engine);
    uv_close((uv_handle_t *)&engine->wakeup, NULL);
    uv_close((uv_handle_t *)&engine->alarm, NULL);
    /* Runs the callbacks of all that has been closed, and nothing else: no
     * handle is active any more. */
    uv_run(&engine->uv, UV_RUN_NOWAIT);
    int err = uv_loop_close(&engine->uv);
    return err < 0 ? errors_set_uv(err) : 0;
}

int
engine_close(Engine *engine)
{
    engine->closed = true;
    /* Also on a closed engine: another thread may have passed its check before
     * that and pushed after it. */
    ready_discard_all(&engine->ready);
    ready_discard_all(&engine->turn_end);
    timer_heap_clear(&engine->timers);
    if (!engine->open) {
        return 0;
    }
    engine->open = false; /* finalizers may come back here */
    signals_close(engine);
    int err = engine_close_uv(engine);
    ready_discard_all(&engine->fired);
    PyMem_RawFree(engine->scratch);
    engine->scratch = NULL;
    return err;
}

int
engine_traverse(Engine *engine, visitproc visit, void *arg)
{
    int stop = ready_traverse(&engine->ready, visit, arg);
    if (stop == 0) {
        stop = ready_traverse(&engine->turn_end, visit, arg);
    }
    if (stop == 0) {
        stop = timer_heap_traverse(&engine->timers, visit, arg);
    }
    if (stop == 0) {
        stop = watchers_traverse(engine, visit, arg);
    }
    Py_VISIT(engine->current_handle);
    return stop;
}

int64_t
engine_now(Engine *engine, bool *failed)
{
    if (!(engine->overrides & OVERRIDE_TIME)) {
        return (int64_t)uv_hrtime();
    }
    PyObject *time = PyObject_CallMethodNoArgs(
        engine->loop, STATE_NAME(engine->state, time));
    double seconds = time == NULL ? -1.0 : PyFloat_AsDouble(time);
    Py_XDECREF(time);
    if (seconds == -1.0 && PyErr_Occurred()) {
        *failed = true;
        return -1;
    }
    return timer_heap_ns(seconds);
}

int64_t
engine_resolution(Engine *engine, bool *failed)
{
    PyObject *value =
        PyObject_GetAttrString(engine->loop, "_clock_resolution");
    if (value == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear(); /* a loop whose __init__() has not run */
        return 0;
    }
    double seconds = value == NULL ? -1.0 : PyFloat_AsDouble(value);
    Py_XDECREF(value);
    if (seconds == -1.0 && PyErr_Occurred()) {
        *failed = true;
        return -1;
    }
    return timer_heap_ns(seconds);
}

char *
engine_scratch(Engine *engine)
{
    if (engine->scratch == NULL) {
        engine->scratch = PyMem_RawMalloc(ENGINE_SCRATCH_SIZE);
        if (engine->scratch == NULL) {
            PyErr_NoMemory();
        }
    }
    return engine->scratch;
}

int
engine_check_closed(Engine *engine)
{
    if (engine->closed) {
        PyErr_SetString(PyExc_RuntimeError, "Event loop is closed");
        return -1;
    }
    return 0;
}

int
engine_check_thread(Engine *engine)
{
    if (engine->thread_id != 0
        && engine->thread_id != PyThread_get_thread_ident()) {
        PyErr_SetString(PyExc_RuntimeError,
                        "Non-thread-safe operation invoked on an event loop "
                        "other than the current one");
        return -1;
    }
    return 0;
}
