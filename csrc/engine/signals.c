/* Signals. Opened by the Loop's run_forever() (pyaio/_loop.py); run by the turn
 * when a byte has arrived. */
#include "engine/signals.h"

#include "base/errors.h"
#include "base/platform.h"
#include "engine/watcher.h"

static int
signals_deliver(Engine *engine, const char *numbers, ssize_t count)
{
    PyObject *data = PyBytes_FromStringAndSize(numbers, count);
    if (data == NULL) {
        return -1;
    }
    PyObject *result = PyObject_CallMethodOneArg(
        engine->loop, STATE_NAME(engine->state, _process_self_data), data);
    Py_DECREF(data);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

static int
signals_on_ready(FdWatcher *watcher, int events)
{
    (void)events;
    char numbers[256];
    ssize_t count = read(watcher->fd, numbers, sizeof(numbers));
    if (count > 0) {
        if (watcher->engine->signal_forward >= 0) {
            /* As the interpreter would have written it, errors and all. */
            (void)!write(watcher->engine->signal_forward, numbers,
                         (size_t)count);
        }
        return signals_deliver(watcher->engine, numbers, count);
    }
    if (count == 0 || !errors_is_retry(errno)) {
        /* Both ends are ours: somebody has closed them. Never spin on it. */
        watcher_set(watcher, 0);
    }
    return 0;
}

static int
signals_displace(FdWatcher *watcher)
{
    PyErr_Format(PyExc_RuntimeError,
                 "File descriptor %d is the event loop's own", watcher->fd);
    return -1;
}

static const WatcherOps signals_ops = {
    .on_ready = signals_on_ready,
    .displace = signals_displace,
};

static int
signals_open(Engine *engine)
{
    int ends[2];
    if (platform_pipe(ends) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    /* The pipe is the loop's, which must not hold itself. */
    FdWatcher *watcher =
        watcher_open(engine, ends[0], true, &signals_ops, Py_None);
    if (watcher == NULL) {
        close(ends[0]);
        close(ends[1]);
        return -1;
    }
    engine->signal_watcher = watcher;
    engine->signal_pipe[0] = ends[0];
    engine->signal_pipe[1] = ends[1];
    watcher_set(watcher, WATCH_READ);
    return 0;
}

int
signals_wakeup_fd(Engine *engine)
{
    if (engine->signal_watcher == NULL && signals_open(engine) < 0) {
        return -1;
    }
    return engine->signal_pipe[1];
}

void
signals_close(Engine *engine)
{
    if (engine->signal_watcher == NULL) {
        return;
    }
    watcher_close(engine->signal_watcher);
    engine->signal_watcher = NULL;
    close(engine->signal_pipe[0]);
    close(engine->signal_pipe[1]);
}
