/* Scheduling: call_soon() and its family, the clock, futures and tasks.
 *
 * A callback's way: one of these makes a handle (engine/handle.c), which goes
 * to the ready queue or the timer heap; the turn (engine/turn.c) runs it. */
#include "api/loop.h"
#include "base/compat.h"
#include "base/platform.h"
#include "engine/handle.h"
#include "engine/handle_threads.h"
#include "engine/overrides.h"
#include "engine/replaced.h"
#include "tasks/factory.h"
#include "tasks/task.h"

#include <math.h>
#include <uv.h>

/* ---- arguments ---- */

/* (first, callback, *args, *, context=None), `first` absent for call_soon. */
typedef struct Call {
    PyObject *first;       /* borrowed: delay or when; NULL */
    PyObject *callback;    /* borrowed */
    PyObject *const *args; /* borrowed */
    Py_ssize_t nargs;
    PyObject *context; /* borrowed; NULL when not given */
} Call;

PLATFORM_RARE static int
call_keyword_error(const char *method, PyObject *name)
{
    PyErr_Format(PyExc_TypeError,
                 "%s() got an unexpected keyword argument '%U'", method, name);
    return -1;
}

PLATFORM_RARE static int
call_missing_error(const char *method, const char *name)
{
    PyErr_Format(PyExc_TypeError,
                 "%s() missing required positional argument: '%s'", method,
                 name);
    return -1;
}

static int
call_take_keywords(ModuleState *state, Call *call, const char *method,
                   PyObject *first_name, PyObject *const *values,
                   PyObject *kwnames)
{
    Py_ssize_t count = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, i);
        if (PyUnicode_Compare(name, STATE_NAME(state, context)) == 0) {
            call->context = values[i];
        }
        else if (call->callback == NULL
                 && PyUnicode_Compare(name, STATE_NAME(state, callback))
                        == 0) {
            call->callback = values[i];
        }
        else if (first_name != NULL && call->first == NULL
                 && PyUnicode_Compare(name, first_name) == 0) {
            call->first = values[i];
        }
        else {
            return call_keyword_error(method, name);
        }
    }
    return 0;
}

PLATFORM_HOT static int
call_parse(ModuleState *state, Call *call, const char *method,
           PyObject *first_name, PyObject *const *args, Py_ssize_t nargs,
           PyObject *kwnames)
{
    PyObject *const *values = args + nargs;
    *call = (Call){0};
    if (first_name != NULL && nargs > 0) {
        call->first = *args++;
        nargs--;
    }
    if (nargs > 0) {
        call->callback = *args++;
        nargs--;
    }
    call->args = args;
    call->nargs = nargs;
    if (kwnames != NULL
        && call_take_keywords(state, call, method, first_name, values, kwnames)
               < 0) {
        return -1;
    }
    if (first_name != NULL && call->first == NULL) {
        return call_missing_error(method, PyUnicode_AsUTF8(first_name));
    }
    return call->callback == NULL ? call_missing_error(method, "callback") : 0;
}

/* Debug mode: no coroutines, only callables, only in the loop's thread. */
PLATFORM_RARE static int
call_check_debug(Engine *engine, const char *method, PyObject *callback,
                 bool check_thread)
{
    if (check_thread && engine_check_thread(engine) < 0) {
        return -1;
    }
    PyObject *name = PyUnicode_FromString(method);
    PyObject *result =
        name ? PyObject_CallMethodObjArgs(
                   engine->loop, STATE_NAME(engine->state, _check_callback),
                   callback, name, NULL)
             : NULL;
    Py_XDECREF(name);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* ---- now ---- */

PLATFORM_HOT static PyObject *
Loop_call_soon(LoopObject *self, PyObject *const *args, Py_ssize_t nargs,
               PyObject *kwnames)
{
    Engine *engine = &self->engine;
    Call call;
    if (call_parse(engine->state, &call, "call_soon", NULL, args, nargs,
                   kwnames)
            < 0
        || engine_check_closed(engine) < 0
        || (engine->debug
            && call_check_debug(engine, "call_soon", call.callback, true)
                   < 0)) {
        return NULL;
    }
    return (PyObject *)handle_new_ready(engine, call.callback, call.args,
                                        call.nargs, call.context);
}

PLATFORM_HOT static PyObject *
Loop_call_soon_threadsafe(LoopObject *self, PyObject *const *args,
                          Py_ssize_t nargs, PyObject *kwnames)
{
    Engine *engine = &self->engine;
    Call call;
    if (call_parse(engine->state, &call, "call_soon_threadsafe", NULL, args,
                   nargs, kwnames)
            < 0
        || engine_check_closed(engine) < 0
        || (engine->debug
            && call_check_debug(engine, "call_soon_threadsafe", call.callback,
                                false)
                   < 0)) {
        return NULL;
    }
    HandleObject *handle = threadsafe_handle_new(
        engine, call.callback, call.args, call.nargs, call.context);
    if (handle != NULL && handle_push_threadsafe(handle) < 0) {
        Py_CLEAR(handle);
    }
    if (handle != NULL && engine->overrides & OVERRIDE_WRITE_TO_SELF
        && replaced_write_to_self(engine) < 0) {
        Py_CLEAR(handle);
    }
    return (PyObject *)handle;
}

/* asyncio's code and its signal handlers queue handles of their own: ours go
 * straight into the queue, others are called by one of ours. */
static PyObject *
Loop__add_callback(LoopObject *self, PyObject *handle)
{
    ModuleState *state = self->engine.state;
    if (handle_is_ours(state, handle)) {
        HandleObject *ours = (HandleObject *)handle;
        if (!ours->cancelled && !ours->queued
            && handle_engine(ours) == &self->engine) {
            handle_push(ours);
            Py_RETURN_NONE;
        }
    }
    PyObject *cancelled =
        PyObject_CallMethodNoArgs(handle, STATE_NAME(state, cancelled));
    int skip = cancelled == NULL ? -1 : PyObject_IsTrue(cancelled);
    Py_XDECREF(cancelled);
    if (skip != 0) {
        return skip < 0 ? NULL : Py_NewRef(Py_None);
    }
    PyObject *run = handle_foreign_call(handle);
    HandleObject *wrapper =
        run ? handle_new(&self->engine, run, NULL, 0, NULL) : NULL;
    Py_XDECREF(run);
    if (wrapper == NULL) {
        return NULL;
    }
    handle_push(wrapper);
    Py_DECREF(wrapper);
    Py_RETURN_NONE;
}

/* ---- later ---- */

static double
clock_seconds(void)
{
    return (double)uv_hrtime() / 1e9;
}

PLATFORM_HOT static PyObject *
Loop_time(LoopObject *Py_UNUSED(self), PyObject *Py_UNUSED(ignored))
{
    return PyFloat_FromDouble(clock_seconds());
}

/* loop.time() + delay, as Python adds them. New reference. */
static PyObject *
time_after(Engine *engine, PyObject *delay)
{
    PyObject *now = engine->overrides & OVERRIDE_TIME
                        ? PyObject_CallMethodNoArgs(
                              engine->loop, STATE_NAME(engine->state, time))
                        : PyFloat_FromDouble(clock_seconds());
    PyObject *when = now ? PyNumber_Add(now, delay) : NULL;
    Py_XDECREF(now);
    return when;
}

int
loop_timer_seconds(PyObject *when, double *seconds)
{
    *seconds = PyFloat_AsDouble(when);
    if (*seconds == -1.0 && PyErr_Occurred()) {
        return -1;
    }
    if (isnan(*seconds)) {
        PyErr_SetString(PyExc_ValueError,
                        "the time of a timer must not be NaN");
        return -1;
    }
    return 0;
}

/* The arguments of call_at() and call_later(), the first of which is no None. */
static int
call_parse_timer(ModuleState *state, Call *call, const char *method,
                 PyObject *first_name, const char *refusal,
                 PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (call_parse(state, call, method, first_name, args, nargs, kwnames)
        < 0) {
        return -1;
    }
    if (call->first == Py_None) {
        PyErr_SetString(PyExc_TypeError, refusal);
        return -1;
    }
    return 0;
}

/* A delay that is no float has been added to one: it is a number. */
static bool
is_at_once(PyObject *delay)
{
    double seconds = PyFloat_AsDouble(delay);
    if (seconds == -1.0 && PyErr_Occurred()) {
        PyErr_Clear();
        return false;
    }
    return seconds <= 0.0;
}

static int
check_schedule(Engine *engine, const Call *call)
{
    if (engine_check_closed(engine) < 0) {
        return -1;
    }
    return engine->debug
               ? call_check_debug(engine, "call_at", call->callback, true)
               : 0;
}

/* `when` as in timer_handle_new(). `at_once`: known to be due already; such a timer
 * runs in the next turn, as asyncio's poll would find it there; others wait for a poll
 * of ours. */
static PyObject *
schedule_at(Engine *engine, double seconds, PyObject *when, const Call *call,
            bool at_once)
{
    TimerHandleObject *timer;
    ENGINE_BEGIN(engine);
    engine->poll_now |= at_once;
    timer = timer_handle_new(engine, seconds, when, call->callback, call->args,
                             call->nargs, call->context);
    ENGINE_END();
    return (PyObject *)timer;
}

/* call_at() with its arguments parsed. `delay`: of call_later(), or NULL. */
static PyObject *
schedule_at_object(Engine *engine, PyObject *when, const Call *call,
                   PyObject *delay)
{
    double seconds;
    if (check_schedule(engine, call) < 0
        || loop_timer_seconds(when, &seconds) < 0) {
        return NULL;
    }
    bool at_once =
        delay != NULL ? is_at_once(delay) : seconds <= clock_seconds();
    return schedule_at(engine, seconds, PyFloat_CheckExact(when) ? NULL : when,
                       call, at_once);
}

PLATFORM_HOT static PyObject *
Loop_call_at(LoopObject *self, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames)
{
    Engine *engine = &self->engine;
    Call call;
    if (call_parse_timer(engine->state, &call, "call_at",
                         STATE_NAME(engine->state, when),
                         "when cannot be None", args, nargs, kwnames)
        < 0) {
        return NULL;
    }
    return schedule_at_object(engine, call.first, &call, NULL);
}

/* self.call_at(when, callback, *args, context=context), replaced by somebody. */
static PyObject *
call_replaced_call_at(Engine *engine, PyObject *when, const Call *call)
{
    ModuleState *state = engine->state;
    PyObject *result = NULL;
    PyObject *method =
        PyObject_GetAttr(engine->loop, STATE_NAME(state, call_at));
    PyObject *args = PyTuple_New(call->nargs + 2);
    PyObject *kwargs = PyDict_New();
    if (method != NULL && args != NULL && kwargs != NULL
        && PyDict_SetItem(kwargs, STATE_NAME(state, context),
                          call->context ? call->context : Py_None)
               == 0) {
        PyTuple_SET_ITEM(args, 0, Py_NewRef(when));
        PyTuple_SET_ITEM(args, 1, Py_NewRef(call->callback));
        for (Py_ssize_t i = 0; i < call->nargs; i++) {
            PyTuple_SET_ITEM(args, i + 2, Py_NewRef(call->args[i]));
        }
        result = PyObject_Call(method, args, kwargs);
    }
    Py_XDECREF(kwargs);
    Py_XDECREF(args);
    Py_XDECREF(method);
    return result;
}

/* Where time() or call_at() are replaced, and for unusual numbers. */
static PyObject *
call_later_through_methods(Engine *engine, const Call *call)
{
    PyObject *when = time_after(engine, call->first);
    PyObject *timer = NULL;
    if (when != NULL && engine->overrides & OVERRIDE_CALL_AT) {
        timer = call_replaced_call_at(engine, when, call);
    }
    else if (when != NULL) {
        timer = schedule_at_object(engine, when, call, call->first);
    }
    Py_XDECREF(when);
    return timer;
}

/* True for a float or an int that is a time, and *seconds. */
static bool
is_plain_delay(PyObject *delay, double *seconds)
{
    if (PyFloat_CheckExact(delay)) {
        *seconds = PyFloat_AS_DOUBLE(delay);
        return !isnan(*seconds);
    }
    int overflow = 1;
    if (PyLong_CheckExact(delay)) {
        *seconds = (double)PyLong_AsLongAndOverflow(delay, &overflow);
    }
    return overflow == 0;
}

PLATFORM_HOT static PyObject *
Loop_call_later(LoopObject *self, PyObject *const *args, Py_ssize_t nargs,
                PyObject *kwnames)
{
    Engine *engine = &self->engine;
    Call call;
    double delay;
    if (call_parse_timer(engine->state, &call, "call_later",
                         STATE_NAME(engine->state, delay),
                         "delay must not be None", args, nargs, kwnames)
            < 0
        || overrides_check(engine) < 0) {
        return NULL;
    }
    if (engine->overrides & (OVERRIDE_TIME | OVERRIDE_CALL_AT)
        || !is_plain_delay(call.first, &delay)) {
        return call_later_through_methods(engine, &call);
    }
    if (check_schedule(engine, &call) < 0) {
        return NULL;
    }
    return schedule_at(engine, clock_seconds() + delay, NULL, &call,
                       delay <= 0.0);
}

/* asyncio's TimerHandle.cancel() calls this on its loop; ours count by
 * themselves. */
static PyObject *
Loop__timer_handle_cancelled(LoopObject *Py_UNUSED(self),
                             PyObject *Py_UNUSED(handle))
{
    Py_RETURN_NONE;
}

/* ---- futures and tasks ---- */

PLATFORM_HOT static PyObject *
Loop_create_future(LoopObject *self, PyObject *Py_UNUSED(ignored))
{
    ModuleState *state = self->engine.state;
    int replaced = factory_future_is_replaced(state);
    if (replaced == 0) {
        return future_new(&self->engine);
    }
    return replaced < 0 ? NULL
                        : PyObject_CallMethod(state->base_event_loop,
                                              "create_future", "O", self);
}

/* With a task factory, a replaced class, or keywords that not every version
 * takes: asyncio's own method decides. */
PLATFORM_RARE static PyObject *
create_task_as_asyncio(LoopObject *self, PyObject *const *args,
                       Py_ssize_t nargs, PyObject *kwnames)
{
    ModuleState *state = self->engine.state;
    PyObject *method = PyObject_GetAttr(state->base_event_loop,
                                        STATE_NAME(state, create_task));
    Py_ssize_t total =
        nargs + (kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames));
    PyObject **values = PyMem_New(PyObject *, total + 1);
    PyObject *task = NULL;
    if (values == NULL) {
        PyErr_NoMemory();
    }
    else if (method != NULL) {
        values[0] = (PyObject *)self;
        for (Py_ssize_t i = 0; i < total; i++) {
            values[i + 1] = args[i];
        }
        task = PyObject_Vectorcall(method, values, (size_t)nargs + 1, kwnames);
    }
    PyMem_Free(values);
    Py_XDECREF(method);
    return task;
}

/* Whether a task factory does what we do: none, or asyncio's eager one. */
static bool
is_own_factory(LoopObject *self, TaskOptions *options)
{
    if (self->task_factory == NULL) {
        return true;
    }
#if PYAIO_TASKS_START_EAGERLY
    options->eager_start = true;
    return self->task_factory == self->engine.state->eager_task_factory;
#else
    (void)options;
    return false;
#endif
}

/* Takes the keywords of create_task(). 1 when there are others, which asyncio's
 * method knows or refuses, 0 when not, -1 with an exception set. */
static int
has_other_options(ModuleState *state, PyObject *const *values,
                  PyObject *kwnames, TaskOptions *options)
{
    Py_ssize_t count = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, i);
        if (PyUnicode_Compare(name, STATE_NAME(state, name)) == 0) {
            options->name = values[i];
        }
        else if (PyUnicode_Compare(name, STATE_NAME(state, context)) == 0) {
            options->context = values[i];
        }
#if PYAIO_CREATE_TASK_STARTS_EAGERLY
        else if (PyUnicode_Compare(name, STATE_NAME(state, eager_start))
                 == 0) {
            int eager = PyObject_IsTrue(values[i]);
            if (eager < 0) {
                return -1;
            }
            options->eager_start = eager;
        }
#endif
        else {
            return 1;
        }
    }
    return 0;
}

PLATFORM_HOT static PyObject *
Loop_create_task(LoopObject *self, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    Engine *engine = &self->engine;
    TaskOptions options = {0};
    int foreign = factory_task_is_replaced(engine->state);
    if (foreign == 0) {
        foreign = nargs != 1 || !is_own_factory(self, &options);
    }
    if (foreign == 0) {
        foreign =
            has_other_options(engine->state, args + 1, kwnames, &options);
    }
    if (foreign != 0) {
        return foreign < 0
                   ? NULL
                   : create_task_as_asyncio(self, args, nargs, kwnames);
    }
    if (engine_check_closed(engine) < 0) {
        return NULL;
    }
    return task_new(engine, args[0], &options);
}

/* ---- the table ---- */

#define FASTCALL(name)                                                        \
    (PyCFunction)(void (*)(void)) Loop_##name, METH_FASTCALL | METH_KEYWORDS

PyDoc_STRVAR(call_soon_doc,
             "call_soon($self, callback, *args, context=None)\n--\n\n"
             "Call callback(*args) in the next turn; returns an "
             "asyncio.Handle.\n\n"
             "Callbacks run in the order in which they were given, each once, "
             "in the\ncontextvars.Context `context` or a copy of the current "
             "one. RuntimeError on a\nclosed loop. As "
             "asyncio.loop.call_soon().");
PyDoc_STRVAR(call_soon_threadsafe_doc,
             "call_soon_threadsafe($self, callback, *args, context=None)"
             "\n--\n\n"
             "call_soon() for other threads: wakes the loop if it waits.\n\n"
             "As asyncio.loop.call_soon_threadsafe().");
PyDoc_STRVAR(call_later_doc,
             "call_later($self, delay, callback, *args, context=None)"
             "\n--\n\n"
             "Call callback(*args) in `delay` seconds; returns an "
             "asyncio.TimerHandle.\n\n"
             "`delay` is an int or a float; 0 or less is as soon as possible, "
             "inf never.\nValueError for NaN. As asyncio.loop.call_later().");
PyDoc_STRVAR(call_at_doc,
             "call_at($self, when, callback, *args, context=None)\n--\n\n"
             "Call callback(*args) at the time `when` of loop.time(), in "
             "seconds.\n\nAs asyncio.loop.call_at().");
PyDoc_STRVAR(time_doc,
             "time($self, /)\n--\n\n"
             "The loop's clock in seconds: time.monotonic().");
PyDoc_STRVAR(create_future_doc,
             "create_future($self, /)\n--\n\n"
             "An asyncio.Future of this loop.");
PyDoc_STRVAR(create_task_doc,
             "create_task($self, " PYAIO_CREATE_TASK_PARAMETERS ")\n--\n\n"
             "An asyncio.Task of this loop that runs the coroutine.\n\n"
             "The keywords are those of the running version's "
             "asyncio.loop.create_task().");
PyDoc_STRVAR(add_callback_doc,
             "_add_callback($self, handle, /)\n--\n\n"
             "Run an asyncio.Handle in the next turn unless it is cancelled.");
PyDoc_STRVAR(timer_handle_cancelled_doc,
             "_timer_handle_cancelled($self, handle, /)\n--\n\n"
             "What asyncio.TimerHandle.cancel() tells its loop.");

PyMethodDef loop_schedule_methods[] = {
    {"call_soon", FASTCALL(call_soon), call_soon_doc},
    {"call_soon_threadsafe", FASTCALL(call_soon_threadsafe),
     call_soon_threadsafe_doc},
    {"call_later", FASTCALL(call_later), call_later_doc},
    {"call_at", FASTCALL(call_at), call_at_doc},
    {"time", (PyCFunction)Loop_time, METH_NOARGS, time_doc},
    {"create_future", (PyCFunction)Loop_create_future, METH_NOARGS,
     create_future_doc},
    {"create_task", FASTCALL(create_task), create_task_doc},
    {"_add_callback", (PyCFunction)Loop__add_callback, METH_O,
     add_callback_doc},
    {"_timer_handle_cancelled", (PyCFunction)Loop__timer_handle_cancelled,
     METH_O, timer_handle_cancelled_doc},
    {NULL, NULL, 0, NULL},
};
