/* Running: _run(), the heart of run_forever(), and the state around it. */
#include "api/loop.h"
#include "base/errors.h"
#include "base/platform.h"
#include "engine/handle.h"
#include "engine/overrides.h"
#include "engine/signals.h"
#include "tasks/registry.h"

PLATFORM_HOT static PyObject *
Loop__run(LoopObject *self, PyObject *Py_UNUSED(ignored))
{
    Engine *engine = &self->engine;
    if (engine_check_closed(engine) < 0) {
        return NULL;
    }
    if (atomic_exchange(&engine->running, true)) {
        PyErr_SetString(PyExc_RuntimeError,
                        "This event loop is already running");
        return NULL;
    }
    int err = engine_run(engine);
    registry_end_run(engine);
    handles_track(engine);
    engine->running = false;
    return none_or_null(err);
}

/* Of two threads that have both seen that nobody runs the loop, one does. */
static PyObject *
Loop__take_thread(LoopObject *self, PyObject *Py_UNUSED(ignored))
{
    unsigned long none = 0;
    if (!atomic_compare_exchange_strong(&self->engine.thread_id, &none,
                                        PyThread_get_thread_ident())) {
        PyErr_SetString(PyExc_RuntimeError,
                        "This event loop is already running");
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
Loop__release(LoopObject *self, PyObject *Py_UNUSED(ignored))
{
    if (self->engine.thread_id != 0 || self->engine.running
        || self->engine.polling) {
        PyErr_SetString(PyExc_RuntimeError,
                        "Cannot close a running event loop");
        return NULL;
    }
    return none_or_null(engine_close(&self->engine));
}

static PyObject *
Loop__wakeup_fd(LoopObject *self, PyObject *Py_UNUSED(ignored))
{
    if (engine_check_closed(&self->engine) < 0) {
        return NULL;
    }
    int fd = signals_wakeup_fd(&self->engine);
    return fd < 0 ? NULL : PyLong_FromLong(fd);
}

static PyObject *
Loop__expect_signals(LoopObject *self, PyObject *expected)
{
    int truth = PyObject_IsTrue(expected);
    if (truth < 0) {
        return NULL;
    }
    Engine *engine = &self->engine;
    bool before = engine->watching_signals;
    engine->watching_signals = truth;
    engine->signals_due = truth && (!before || engine->signals_due);
    return PyBool_FromLong(before);
}

static PyObject *
Loop__take_wakeup_fd(LoopObject *self, PyObject *Py_UNUSED(ignored))
{
    Engine *engine = &self->engine;
    /* Again, too: the program may have set another one meanwhile. */
    if ((engine->signals_due || engine->signals_taken)
        && signals_take(engine) < 0) {
        return NULL;
    }
    return PyBool_FromLong(engine->signals_taken);
}

static PyObject *
Loop__give_wakeup_fd_back(LoopObject *self, PyObject *Py_UNUSED(ignored))
{
    if (signals_give_back(&self->engine) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* asyncio's own code writes to a pipe here; our queue needs no more than a
 * loop that is awake. */
static PyObject *
Loop__write_to_self(LoopObject *self, PyObject *Py_UNUSED(ignored))
{
    engine_wake(&self->engine);
    Py_RETURN_NONE;
}

static PyObject *
Loop_stop(LoopObject *self, PyObject *Py_UNUSED(ignored))
{
    self->engine.stopping = true;
    Py_RETURN_NONE;
}

static PyObject *
Loop_is_running(LoopObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(self->engine.thread_id != 0);
}

static PyObject *
Loop_is_closed(LoopObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(self->engine.closed);
}

static PyObject *
Loop__check_closed(LoopObject *self, PyObject *Py_UNUSED(ignored))
{
    return none_or_null(engine_check_closed(&self->engine));
}

static PyObject *
Loop__check_thread(LoopObject *self, PyObject *Py_UNUSED(ignored))
{
    return none_or_null(engine_check_thread(&self->engine));
}

static PyObject *
Loop__is_away(LoopObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(engine_is_away(&self->engine));
}

static PyObject *
Loop_get_debug(LoopObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(self->engine.debug);
}

PyDoc_STRVAR(run_doc,
             "_run($self, /)\n--\n\n"
             "Turn until stop(): the inner part of run_forever().");
PyDoc_STRVAR(take_thread_doc,
             "_take_thread($self, /)\n--\n\n"
             "Run in this thread: sets _thread_id; RuntimeError if it is set.");
PyDoc_STRVAR(release_doc,
             "_release($self, /)\n--\n\n"
             "Drop all that is scheduled or watched: the inner part of "
             "close().");
PyDoc_STRVAR(wakeup_fd_doc,
             "_wakeup_fd($self, /)\n--\n\n"
             "The fd that the loop wants as signal.set_wakeup_fd(); OSError "
             "when none can be\nmade.");
PyDoc_STRVAR(expect_signals_doc,
             "_expect_signals($self, expected, /)\n--\n\n"
             "Whether signals have to end the waits from now on; returns what "
             "held before.");
PyDoc_STRVAR(take_wakeup_fd_doc,
             "_take_wakeup_fd($self, /)\n--\n\n"
             "Do at once what is due before the first wait, or do it again; "
             "returns whether the\nloop holds signal.set_wakeup_fd().");
PyDoc_STRVAR(give_wakeup_fd_back_doc,
             "_give_wakeup_fd_back($self, /)\n--\n\n"
             "Put back what signal.set_wakeup_fd() was before, if the loop "
             "holds it.");
PyDoc_STRVAR(write_to_self_doc,
             "_write_to_self($self, /)\n--\n\n"
             "Wake the loop up, from any thread.");
PyDoc_STRVAR(stop_doc,
             "stop($self, /)\n--\n\n"
             "Return from run_forever() at the end of this turn, or of the "
             "first one.");
PyDoc_STRVAR(is_running_doc,
             "is_running($self, /)\n--\n\nTrue while the loop runs.");
PyDoc_STRVAR(is_closed_doc,
             "is_closed($self, /)\n--\n\nTrue after close().");
PyDoc_STRVAR(check_closed_doc,
             "_check_closed($self, /)\n--\n\n"
             "RuntimeError if the loop is closed.");
PyDoc_STRVAR(check_thread_doc,
             "_check_thread($self, /)\n--\n\n"
             "RuntimeError in a thread that is not the running loop's.");
PyDoc_STRVAR(is_away_doc,
             "_is_away($self, /)\n--\n\n"
             "True without a GIL while another thread turns the loop.");
PyDoc_STRVAR(get_debug_doc,
             "get_debug($self, /)\n--\n\nTrue in debug mode.");

VISIT_ONE(_release)
VISIT_ONE(_wakeup_fd)
VISIT_ONE(_take_wakeup_fd)
VISIT_ONE(_give_wakeup_fd_back)

#define NOARGS(name, doc) {#name, (PyCFunction)Loop_##name, METH_NOARGS, doc}
#define VISITING(name, doc)                                                   \
    {#name, (PyCFunction)Loop_##name##_visit, METH_NOARGS, doc}

PyMethodDef loop_run_methods[] = {
    NOARGS(_run, run_doc),
    NOARGS(_take_thread, take_thread_doc),
    VISITING(_release, release_doc),
    VISITING(_wakeup_fd, wakeup_fd_doc),
    {"_expect_signals", (PyCFunction)Loop__expect_signals, METH_O,
     expect_signals_doc},
    VISITING(_take_wakeup_fd, take_wakeup_fd_doc),
    VISITING(_give_wakeup_fd_back, give_wakeup_fd_back_doc),
    NOARGS(_write_to_self, write_to_self_doc),
    NOARGS(stop, stop_doc),
    NOARGS(is_running, is_running_doc),
    NOARGS(is_closed, is_closed_doc),
    NOARGS(_check_closed, check_closed_doc),
    NOARGS(_check_thread, check_thread_doc),
    NOARGS(_is_away, is_away_doc),
    NOARGS(get_debug, get_debug_doc),
    {NULL, NULL, 0, NULL},
};
