/* The loop turned from Python, one step at a time: by a subclass with a
 * _run_once() of its own, by asyncio's, by a selector that somebody has put
 * before ours. pyaio/_views.py makes of it what asyncio's code expects. */
#include "api/loop.h"
#include "base/compat.h"
#include "base/errors.h"
#include "engine/handle.h"
#include "engine/overrides.h"
#include "engine/watcher.h"

/* ---- a turn ---- */

/* Signals wake a loop that run_forever() has set up; others have to be told. */
static PyObject *
watch_signals(LoopObject *self)
{
    return self->engine.running
               ? Py_NewRef(Py_False)
               : PyObject_CallMethodNoArgs(
                     (PyObject *)self,
                     STATE_NAME(self->engine.state, _watch_signals));
}

static int
unwatch_signals(LoopObject *self, PyObject *token, int err)
{
    if (token == Py_False) {
        return err;
    }
    PyObject *raised = err < 0 ? PyErr_GetRaisedException() : NULL;
    PyObject *result = PyObject_CallMethodOneArg(
        (PyObject *)self, STATE_NAME(self->engine.state, _unwatch_signals),
        token);
    Py_XDECREF(result);
    if (raised != NULL) {
        PyErr_SetRaisedException(raised); /* in place of a second one */
        return -1;
    }
    return result == NULL ? -1 : 0;
}

static PyObject *
Loop__run_once(LoopObject *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *token =
        engine_check_closed(&self->engine) < 0 ? NULL : watch_signals(self);
    if (token == NULL) {
        return NULL;
    }
    int err = engine_turn(&self->engine);
    err = unwatch_signals(self, token, err);
    Py_DECREF(token);
    return none_or_null(err);
}

/* ---- polling ---- */

static PyObject *
fired_events(Engine *engine)
{
    PyObject *events = PyList_New(0);
    for (ReadyEntry *entry = engine->fired.head; events != NULL && entry;
         entry = entry->next) {
        FdWatcher *watcher = CONTAINER_OF(entry, FdWatcher, entry);
        int mask = watcher->events & watcher->interest;
        PyObject *event = mask && !watcher->closed
                              ? Py_BuildValue("(ii)", watcher->fd, mask)
                              : Py_NewRef(Py_None);
        if (event == NULL
            || (event != Py_None && PyList_Append(events, event) < 0)) {
            Py_CLEAR(events);
        }
        Py_XDECREF(event);
    }
    return events;
}

static PyObject *
Loop__select(LoopObject *self, PyObject *timeout)
{
    int64_t wait = -1;
    if (timeout != Py_None) {
        double seconds = PyFloat_AsDouble(timeout);
        if (seconds == -1.0 && PyErr_Occurred()) {
            return NULL;
        }
        wait = seconds > 0 ? timers_ns(seconds) : 0;
    }
    if (engine_select(&self->engine, wait) < 0) {
        return NULL;
    }
    PyObject *events;
    ENGINE_BEGIN(&self->engine);
    events = fired_events(&self->engine);
    ENGINE_END();
    return events;
}

static PyObject *
Loop__run_fired(LoopObject *self, PyObject *Py_UNUSED(ignored))
{
    return none_or_null(engine_run_fired(&self->engine));
}

static PyObject *
Loop__send_gathered(LoopObject *self, PyObject *Py_UNUSED(ignored))
{
    return none_or_null(engine_flush(&self->engine));
}

static PyObject *
Loop__process_events(LoopObject *self, PyObject *Py_UNUSED(events))
{
    Engine *engine = &self->engine;
    if (ready_is_empty(&engine->fired)) {
        Py_RETURN_NONE;
    }
    PyObject *run = PyObject_GetAttr((PyObject *)self,
                                     STATE_NAME(engine->state, _run_fired));
    HandleObject *handle = run ? handle_new(engine, run, NULL, 0, NULL) : NULL;
    Py_XDECREF(run);
    if (handle == NULL) {
        return NULL;
    }
    handle_push(handle);
    Py_DECREF(handle);
    Py_RETURN_NONE;
}

static PyObject *
Loop__poll_natively(LoopObject *self, PyObject *natively)
{
    int truth = PyObject_IsTrue(natively);
    if (truth < 0) {
        return NULL;
    }
    overrides_set_own(&self->engine, OVERRIDE_SELECTOR, !truth);
    Py_RETURN_NONE;
}

static PyObject *
Loop__watched_fds(LoopObject *self, PyObject *Py_UNUSED(ignored))
{
    Engine *engine = &self->engine;
    PyObject *fds = PyList_New(0);
    for (int fd = 0; fds != NULL && fd < engine->watchers_size; fd++) {
        FdWatcher *watcher = engine->watchers[fd];
        if (watcher == NULL || watcher->interest == 0) {
            continue;
        }
        PyObject *number = PyLong_FromLong(fd);
        if (number == NULL || PyList_Append(fds, number) < 0) {
            Py_CLEAR(fds);
        }
        Py_XDECREF(number);
    }
    return fds;
}

/* ---- the queues ---- */

static PyObject *
Loop__ready_list(LoopObject *self, PyObject *Py_UNUSED(ignored))
{
    engine_collect(&self->engine);
    PyObject *list = PyList_New(0);
    ReadyEntry *entry = self->engine.ready.head;
    for (; list != NULL && entry != NULL; entry = entry->next) {
        PyObject *subject = entry->ops->subject(entry);
        if (subject == NULL || PyList_Append(list, subject) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(subject);
    }
    return list;
}

static PyObject *
Loop__ready_count(LoopObject *self, PyObject *Py_UNUSED(ignored))
{
    engine_collect(&self->engine);
    return PyLong_FromSize_t(self->engine.ready.count);
}

/* An entry that is no handle, out of the queue and in a capsule: its end is
 * its run or that of the capsule. The capsule's context is set once it ran. */
static void
entry_discard(PyObject *capsule)
{
    if (PyCapsule_GetContext(capsule) == NULL) {
        ReadyEntry *entry = PyCapsule_GetPointer(capsule, NULL);
        entry->ops->discard(entry);
    }
}

static PyObject *
entry_run(PyObject *pair, PyObject *Py_UNUSED(ignored))
{
    LoopObject *loop = (LoopObject *)PyTuple_GET_ITEM(pair, 0);
    PyObject *capsule = PyTuple_GET_ITEM(pair, 1);
    if (PyCapsule_GetContext(capsule) != NULL) {
        Py_RETURN_NONE;
    }
    ReadyEntry *entry = PyCapsule_GetPointer(capsule, NULL);
    PyCapsule_SetContext(capsule, entry);
    int err = entry->ops->run(entry, &loop->engine);
    engine_leave_last(&loop->engine); /* the caller runs in a context, too */
    return none_or_null(err);
}

static PyMethodDef entry_run_def = {"_run", entry_run, METH_NOARGS, NULL};

/* A handle that runs the entry. Takes over the queue's hold on it. */
static PyObject *
entry_handle(LoopObject *self, ReadyEntry *entry)
{
    PyObject *capsule = PyCapsule_New(entry, NULL, entry_discard);
    if (capsule == NULL) {
        entry->ops->discard(entry);
        return NULL;
    }
    PyObject *pair = PyTuple_Pack(2, self, capsule);
    PyObject *run = pair ? PyCFunction_New(&entry_run_def, pair) : NULL;
    HandleObject *handle =
        run ? handle_new(&self->engine, run, NULL, 0, NULL) : NULL;
    Py_XDECREF(run);
    Py_XDECREF(pair);
    Py_DECREF(capsule);
    return (PyObject *)handle;
}

static PyObject *
Loop__ready_pop(LoopObject *self, PyObject *Py_UNUSED(ignored))
{
    engine_collect(&self->engine);
    if (ready_is_empty(&self->engine.ready)) {
        PyErr_SetString(PyExc_IndexError, "nothing is ready");
        return NULL;
    }
    engine_leave_last(&self->engine); /* who knows when this one will run */
    ReadyEntry *entry = ready_pop(&self->engine.ready);
    HandleObject *handle = handle_take(entry);
    return handle != NULL ? (PyObject *)handle : entry_handle(self, entry);
}

static int
append_shown(PyObject *timer, void *list)
{
    PyObject *shown = handle_shown((HandleObject *)timer);
    int err = PyList_Append(list, shown);
    Py_DECREF(shown);
    return err;
}

static PyObject *
Loop__scheduled_list(LoopObject *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *list = PyList_New(0);
    if (list != NULL
        && timers_traverse(&self->engine.timers, append_shown, list) < 0) {
        Py_CLEAR(list);
    }
    return list;
}

/* A new timer of ours runs somebody's. -1 with an exception set. */
static int
schedule_foreign(Engine *engine, PyObject *foreign, double seconds,
                 PyObject *when)
{
    PyObject *run = handle_foreign_call(foreign);
    TimerHandleObject *timer =
        run ? timer_handle_new(engine, seconds, when, run, NULL, 0, NULL)
            : NULL;
    Py_XDECREF(run);
    Py_XDECREF(timer);
    return timer == NULL ? -1 : 0;
}

static int
schedule(Engine *engine, PyObject *handle, PyObject *when)
{
    double seconds;
    if (loop_timer_seconds(when, &seconds) < 0) {
        return -1;
    }
    engine->poll_now = true;
    if (!Py_IS_TYPE(handle, engine->state->timer_handle_type)
        || handle_engine((HandleObject *)handle) != engine) {
        return schedule_foreign(engine, handle, seconds, when);
    }
    return ((HandleObject *)handle)->scheduled
               ? 0
               : timers_push(&engine->timers, timers_ns(seconds),
                             (TimerHandleObject *)handle);
}

static PyObject *
Loop__schedule(LoopObject *self, PyObject *handle)
{
    PyObject *cancelled =
        engine_check_closed(&self->engine) < 0
            ? NULL
            : PyObject_CallMethodNoArgs(
                  handle, STATE_NAME(self->engine.state, cancelled));
    int skip = cancelled == NULL ? -1 : PyObject_IsTrue(cancelled);
    Py_XDECREF(cancelled);
    if (skip != 0) {
        return none_or_null(skip);
    }
    PyObject *when = PyObject_CallMethodNoArgs(
        handle, STATE_NAME(self->engine.state, when));
    int err = when ? schedule(&self->engine, handle, when) : -1;
    Py_XDECREF(when);
    return none_or_null(err);
}

PyDoc_STRVAR(run_once_doc,
             "_run_once($self, /)\n--\n\n"
             "Wait for something to do and do it: one poll, one turn.");
PyDoc_STRVAR(select_doc,
             "_select($self, timeout, /)\n--\n\n"
             "Wait for events up to `timeout` seconds, None for ever; returns "
             "[(fd, events)].");
PyDoc_STRVAR(process_events_doc,
             "_process_events($self, events, /)\n--\n\n"
             "Make what the last _select() has found ready.");
PyDoc_STRVAR(send_gathered_doc,
             "_send_gathered($self, /)\n--\n\n"
             "Send what the transports have gathered in the running turn.");
PyDoc_STRVAR(run_fired_doc,
             "_run_fired($self, /)\n--\n\n"
             "Run the callbacks of what the last _select() has found.");
PyDoc_STRVAR(poll_natively_doc,
             "_poll_natively($self, natively, /)\n--\n\n"
             "Whether polls may go past `_selector`.");
PyDoc_STRVAR(watched_fds_doc,
             "_watched_fds($self, /)\n--\n\nThe fds that are watched.");
PyDoc_STRVAR(ready_list_doc,
             "_ready_list($self, /)\n--\n\n"
             "What runs in the next turn: handles, and what runs without one.");
PyDoc_STRVAR(ready_count_doc,
             "_ready_count($self, /)\n--\n\nHow many entries are ready.");
PyDoc_STRVAR(ready_pop_doc,
             "_ready_pop($self, /)\n--\n\n"
             "Take the first entry from the ready queue, as a handle.");
PyDoc_STRVAR(scheduled_list_doc,
             "_scheduled_list($self, /)\n--\n\n"
             "The timers that have not fired, the next one first.");
PyDoc_STRVAR(schedule_doc,
             "_schedule($self, handle, /)\n--\n\n"
             "Have an asyncio.TimerHandle run at its time.");

VISIT_ONE(_ready_list)
VISIT_ONE(_ready_count)
VISIT_ONE(_ready_pop)
VISIT_ONE(_scheduled_list)
VISIT_ONE(_schedule)
VISIT_ONE(_watched_fds)
VISIT_ONE(_process_events)
VISIT_ONE(_send_gathered)

#define METHOD(name, flags, doc) {#name, (PyCFunction)Loop_##name, flags, doc}
#define VISITING(name, flags, doc)                                            \
    {#name, (PyCFunction)Loop_##name##_visit, flags, doc}

PyMethodDef loop_turn_methods[] = {
    METHOD(_run_once, METH_NOARGS, run_once_doc),
    METHOD(_select, METH_O, select_doc),
    VISITING(_process_events, METH_O, process_events_doc),
    VISITING(_send_gathered, METH_NOARGS, send_gathered_doc),
    METHOD(_run_fired, METH_NOARGS, run_fired_doc),
    METHOD(_poll_natively, METH_O, poll_natively_doc),
    VISITING(_watched_fds, METH_NOARGS, watched_fds_doc),
    VISITING(_ready_list, METH_NOARGS, ready_list_doc),
    VISITING(_ready_count, METH_NOARGS, ready_count_doc),
    VISITING(_ready_pop, METH_NOARGS, ready_pop_doc),
    VISITING(_scheduled_list, METH_NOARGS, scheduled_list_doc),
    VISITING(_schedule, METH_O, schedule_doc),
    {NULL, NULL, 0, NULL},
};
