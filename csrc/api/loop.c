/* The Loop type's C half: its making, its memory, its attributes; the methods
 * are in the other files of this folder.
 *
 * pyaio.Loop (pyaio/_loop.py) puts it before asyncio.SelectorEventLoop: what is
 * here is ours, everything else is asyncio's own for the running version. */
#include "api/loop.h"

#include "base/compat.h"
#include "engine/overrides.h"
#include "engine/report.h"
#include "engine/slow.h"

static PyObject *
Loop_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
         PyObject *Py_UNUSED(kwargs))
{
    PyObject *module = PyType_GetModuleByDef(type, &core_module);
    ModuleState *state = module ? PyModule_GetState(module) : NULL;
    LoopObject *self = state ? (LoopObject *)type->tp_alloc(type, 0) : NULL;
    if (self == NULL) {
        return NULL;
    }
    if (engine_init(&self->engine, state, (PyObject *)self) < 0
        || overrides_refresh(&self->engine) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

/* Patching an instance (`loop.time = fake`) has to be noticed. */
static int
Loop_setattro(LoopObject *self, PyObject *name, PyObject *value)
{
    int err = PyObject_GenericSetAttr((PyObject *)self, name, value);
    self->sock_loop_version = 0;
    if (err == 0 && PyUnicode_Check(name)) {
        overrides_note_own(&self->engine, name, value != NULL);
    }
    return err;
}

/* ---- attributes that asyncio's own code reads and writes ---- */

static int
no_delete(PyObject *value)
{
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "can't delete attribute");
        return -1;
    }
    return 0;
}

/* 1, 0, or -1 with an exception set. */
static int
take_bool(PyObject *value)
{
    return no_delete(value) < 0 ? -1 : PyObject_IsTrue(value);
}

static PyObject *
Loop_get_closed(LoopObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->engine.closed);
}

static int
Loop_set_closed(LoopObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    int closed = take_bool(value);
    if (closed < 0) {
        return -1;
    }
    /* asyncio's __init__() says False: no way back for a closed loop. */
    self->engine.closed = closed || !self->engine.open;
    return 0;
}

static PyObject *
Loop_get_stopping(LoopObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->engine.stopping);
}

static int
Loop_set_stopping(LoopObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    int stopping = take_bool(value);
    if (stopping < 0) {
        return -1;
    }
    self->engine.stopping = stopping;
    return 0;
}

static PyObject *
Loop_get_debug_attribute(LoopObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->engine.debug);
}

static int
Loop_set_debug_attribute(LoopObject *self, PyObject *value,
                         void *Py_UNUSED(closure))
{
    int debug = take_bool(value);
    if (debug < 0) {
        return -1;
    }
    self->engine.debug = debug;
    return 0;
}

static PyObject *
Loop_get_thread_id(LoopObject *self, void *Py_UNUSED(closure))
{
    unsigned long thread = self->engine.thread_id;
    return thread == 0 ? Py_NewRef(Py_None) : PyLong_FromUnsignedLong(thread);
}

static int
Loop_set_thread_id(LoopObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    unsigned long thread_id = 0;
    if (no_delete(value) < 0) {
        return -1;
    }
    if (value != Py_None) {
        thread_id = PyLong_AsUnsignedLong(value);
        if (thread_id == (unsigned long)-1 && PyErr_Occurred()) {
            return -1;
        }
    }
    self->engine.thread_id = thread_id;
    return 0;
}

static PyObject *
Loop_get_current_handle(LoopObject *self, void *Py_UNUSED(closure))
{
    Engine *engine = &self->engine;
    pthread_mutex_lock(&engine->inbox.mutex);
    PyObject *handle = Py_XNewRef(engine->current_handle);
    pthread_mutex_unlock(&engine->inbox.mutex);
    return handle ? handle : Py_NewRef(Py_None);
}

static int
Loop_set_current_handle(LoopObject *self, PyObject *value,
                        void *Py_UNUSED(closure))
{
    if (no_delete(value) < 0) {
        return -1;
    }
    slow_set_current(&self->engine, value == Py_None ? NULL : value);
    return 0;
}

static PyObject *
Loop_get_cancelled_count(LoopObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromSize_t(self->engine.timers.cancelled);
}

/* Ours to know: what asyncio's __init__() writes has no effect. */
static int
Loop_set_nothing(LoopObject *Py_UNUSED(self), PyObject *value,
                 void *Py_UNUSED(closure))
{
    return no_delete(value);
}

static PyObject *
Loop_get_task_factory_attribute(LoopObject *self, void *Py_UNUSED(closure))
{
    return Py_NewRef(self->task_factory ? self->task_factory : Py_None);
}

static int
Loop_set_task_factory_attribute(LoopObject *self, PyObject *value,
                                void *Py_UNUSED(closure))
{
    if (no_delete(value) < 0) {
        return -1;
    }
    Py_XSETREF(self->task_factory, value == Py_None ? NULL : Py_NewRef(value));
    return 0;
}

#define ATTRIBUTE(name, get, set)                                             \
    {name, (getter)Loop_get_##get, (setter)Loop_set_##set, NULL, NULL}

static PyGetSetDef Loop_getset[] = {
    ATTRIBUTE("_closed", closed, closed),
    ATTRIBUTE("_stopping", stopping, stopping),
    ATTRIBUTE("_debug", debug_attribute, debug_attribute),
    ATTRIBUTE("_thread_id", thread_id, thread_id),
    ATTRIBUTE("_current_handle", current_handle, current_handle),
    ATTRIBUTE("_timer_cancelled_count", cancelled_count, nothing),
    ATTRIBUTE("_task_factory", task_factory_attribute, task_factory_attribute),
    {NULL, NULL, NULL, NULL, NULL},
};

/* ---- memory ---- */

static int
Loop_traverse(LoopObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->task_factory);
    return engine_traverse(&self->engine, visit, arg);
}

static int
Loop_clear(LoopObject *self)
{
    Py_CLEAR(self->task_factory);
    Py_CLEAR(self->engine.current_handle);
    StreamMethods *methods = &self->engine.stream_methods;
    methods->plain = false;
    for (int i = 0; i < STREAM_METHODS; i++) {
        Py_CLEAR(methods->functions[i]);
    }
    PyObject *raised = PyErr_GetRaisedException();
    if (engine_close(&self->engine) < 0) {
        report_unraisable("the end of an event loop");
    }
    if (raised != NULL) {
        PyErr_SetRaisedException(raised);
    }
    return 0;
}

static void
Loop_dealloc(LoopObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Loop_clear(self);
    tls_output_close(&self->engine.tls_output);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- the type ---- */

PyDoc_STRVAR(Loop_doc, "The native half of pyaio.Loop.");

static PyType_Slot Loop_slots[] = {
    {Py_tp_doc, (void *)Loop_doc},
    {Py_tp_new, Loop_new},
    {Py_tp_dealloc, Loop_dealloc},
    {Py_tp_traverse, Loop_traverse},
    {Py_tp_clear, Loop_clear},
    {Py_tp_setattro, Loop_setattro},
    {Py_tp_getset, Loop_getset},
    {Py_tp_methods, loop_schedule_methods},
    {0, NULL},
};

static PyType_Spec Loop_spec = {
    .name = "pyaio._core.Loop",
    .basicsize = sizeof(LoopObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = Loop_slots,
};

/* A type has one slot for methods, and ours come from several files. */
int
loop_setup(PyObject *module, ModuleState *state)
{
    if (module_add_type(module, &Loop_spec, NULL, &state->loop_type) < 0
        || module_add_methods(state->loop_type, loop_run_methods) < 0
        || module_add_methods(state->loop_type, loop_turn_methods) < 0) {
        return -1;
    }
    return module_add_methods(state->loop_type, loop_net_methods);
}
