/* Signals. Taken by the turn before the first wait of a run, given back by the
 * Loop's run_forever() (pyaio/_loop.py); run by the turn when a byte has arrived. */
#include "engine/signals.h"

#include "base/errors.h"
#include "base/forks.h"
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
        if (watcher->engine->signal_before >= 0) {
            /* As the interpreter would have written it, errors and all. */
            (void)!write(watcher->engine->signal_before, numbers,
                         (size_t)count);
        }
        return signals_deliver(watcher->engine, numbers, count);
    }
    if (count == 0 || !errors_is_retry(errno)) {
        /* Both ends are ours: somebody has closed them. Never spin on it. */
        return watcher_set(watcher, 0);
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

/* -1 with OSError. */
static int
open_pipe(Engine *engine, int ends[2])
{
    if (platform_pipe(ends) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    for (int i = 0; i < 2; i++) {
        ends[i] = watchers_pass_by(engine, ends[i]);
        if (ends[i] < 0) {
            PyErr_SetFromErrno(PyExc_OSError);
            close(ends[1 - i]);
            return -1;
        }
    }
    return 0;
}

static int
signals_open(Engine *engine)
{
    int ends[2];
    if (open_pipe(engine, ends) < 0) {
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
    engine->signal_forks = forks_count();
    return watcher_set(watcher, WATCH_READ);
}

int
signals_leave_parent(Engine *engine)
{
    if (engine->signal_watcher == NULL
        || engine->signal_forks == forks_count()) {
        return 0;
    }
    int ends[2];
    if (platform_pipe(ends) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    int err = 0;
    for (int i = 0; i < 2; i++) {
        if (dup2(ends[i], engine->signal_pipe[i]) < 0
            || fcntl(engine->signal_pipe[i], F_SETFD, FD_CLOEXEC) < 0) {
            PyErr_SetFromErrno(PyExc_OSError);
            err = -1;
        }
        close(ends[i]);
    }
    engine->signal_forks = forks_count();
    watcher_rearm(engine->signal_watcher);
    return err;
}

int
signals_wakeup_fd(Engine *engine)
{
    int err = engine->signal_watcher == NULL ? signals_open(engine)
                                             : signals_leave_parent(engine);
    return err < 0 ? -1 : engine->signal_pipe[1];
}

/* ---- the wake-up fd ---- */

/* signal.set_wakeup_fd(), by a call from C: no handler can run between its
 * return and what we note of it. Returns the fd of before in *before. */
static int
set_wakeup_fd(const ModuleState *state, int fd, bool warn, int *before)
{
    PyObject *module = PyImport_ImportModule("signal");
    PyObject *set =
        module ? PyObject_GetAttr(module, STATE_NAME(state, set_wakeup_fd))
               : NULL;
    PyObject *args = Py_BuildValue("(i)", fd);
    PyObject *keywords = Py_BuildValue("{s:O}", "warn_on_full_buffer",
                                       warn ? Py_True : Py_False);
    PyObject *answer = set != NULL && args != NULL && keywords != NULL
                           ? PyObject_Call(set, args, keywords)
                           : NULL;
    Py_XDECREF(keywords);
    Py_XDECREF(args);
    Py_XDECREF(set);
    Py_XDECREF(module);
    *before = answer == NULL ? -1 : (int)PyLong_AsLong(answer);
    Py_XDECREF(answer);
    return PyErr_Occurred() ? -1 : 0;
}

/* 1 in the main thread, 0 in others, -1 with an exception set. */
static int
in_main_thread(const ModuleState *state)
{
    PyObject *module = PyImport_ImportModule("threading");
    PyObject *thread =
        module
            ? PyObject_CallMethodNoArgs(module, STATE_NAME(state, main_thread))
            : NULL;
    PyObject *ident =
        thread ? PyObject_GetAttr(thread, STATE_NAME(state, ident)) : NULL;
    unsigned long number = ident ? PyLong_AsUnsignedLong(ident) : 0;
    Py_XDECREF(ident);
    Py_XDECREF(thread);
    Py_XDECREF(module);
    return PyErr_Occurred() ? -1 : number == PyThread_get_thread_ident();
}

static int
take_wakeup_fd(Engine *engine)
{
    int main_thread = in_main_thread(engine->state);
    int ours = main_thread == 1 ? signals_wakeup_fd(engine) : -1;
    if (ours < 0) {
        return main_thread == 0 ? 0 : -1;
    }
    int before;
    if (set_wakeup_fd(engine->state, ours, false, &before) < 0) {
        if (PyErr_ExceptionMatches(PyExc_ValueError)) {
            PyErr_Clear(); /* the main thread of a subinterpreter */
            return 0;
        }
        return -1;
    }
    if (before != ours) { /* left there by add_signal_handler() */
        engine->signal_before = before;
    }
    engine->signals_taken = true;
    return 0;
}

int
signals_take(Engine *engine)
{
    engine->signals_due = false;
    if (take_wakeup_fd(engine) < 0) {
        if (!PyErr_ExceptionMatches(PyExc_OSError)) {
            return -1;
        }
        PyErr_Clear();
        engine->signals_due = true;
    }
    return PyErr_CheckSignals() < 0 ? -1 : engine_check_closed(engine);
}

int
signals_give_back(Engine *engine)
{
    if (!engine->signals_taken) {
        return 0;
    }
    int next = engine->signal_before;
    int current, none;
    engine->signals_taken = false;
    engine->signal_before = -1;
    if (set_wakeup_fd(engine->state, -1, true, &current) < 0) {
        return -1;
    }
    if (current != engine->signal_pipe[1]) {
        next = current; /* somebody else's, set meanwhile */
    }
    if (next < 0 || set_wakeup_fd(engine->state, next, true, &none) == 0) {
        return 0;
    }
    if (!PyErr_ExceptionMatches(PyExc_OSError)
        && !PyErr_ExceptionMatches(PyExc_ValueError)) {
        return -1;
    }
    PyErr_Clear(); /* the program has closed it meanwhile */
    return 0;
}

void
signals_close(Engine *engine)
{
    if (engine->signal_watcher == NULL) {
        return;
    }
    /* A Ctrl-C may have cut the end of the last run short. */
    if (signals_give_back(engine) < 0) {
        PyErr_Clear(); /* in another thread, or as the interpreter ends */
    }
    watcher_close(engine->signal_watcher);
    engine->signal_watcher = NULL;
    close(engine->signal_pipe[0]);
    close(engine->signal_pipe[1]);
}
