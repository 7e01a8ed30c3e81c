/* Handles as Python sees them: methods, attributes, and what asyncio's own code
 * reads of them. Their work is done by engine/handle.c. */
#include "base/compat.h"
#include "base/members.h"
#include "base/platform.h"
#include "base/snapshot.h"
#include "engine/engine.h"
#include "engine/handle.h"
#include "engine/handle_threads.h"

PLATFORM_HOT static PyObject *
Handle_cancel(HandleObject *self, PyObject *Py_UNUSED(ignored))
{
    if (handle_cancel(self) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
Handle_cancelled(HandleObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(self->cancelled);
}

static PyObject *
Handle_get_context(HandleObject *self, PyObject *Py_UNUSED(ignored))
{
    return Py_XNewRef(
        snapshot_show(handle_engine(self)->state, &self->context));
}

static PyObject *
Handle__run(HandleObject *self, PyObject *Py_UNUSED(ignored))
{
    Py_INCREF(self);
    int err = self->callback ? handle_run_now(self) : handle_run_none(self);
    Py_DECREF(self);
    if (err < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
ThreadSafeHandle_cancel(ThreadSafeHandleObject *self,
                        PyObject *Py_UNUSED(ignored))
{
    Py_INCREF(self);
    int err = threadsafe_handle_wait(self);
    if (err == 0) {
        err = handle_cancel(&self->handle);
    }
    Py_DECREF(self);
    return err < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
ThreadSafeHandle_cancelled(ThreadSafeHandleObject *self,
                           PyObject *Py_UNUSED(ignored))
{
    Py_INCREF(self);
    int err = threadsafe_handle_wait(self);
    bool cancelled = self->handle.cancelled;
    Py_DECREF(self);
    return err < 0 ? NULL : PyBool_FromLong(cancelled);
}

static PyObject *
ThreadSafeHandle__run(ThreadSafeHandleObject *self,
                      PyObject *Py_UNUSED(ignored))
{
    Py_INCREF(self);
    int err = threadsafe_handle_run(self);
    Py_DECREF(self);
    return err < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *
Handle_get_callback(HandleObject *self, void *Py_UNUSED(closure))
{
    PyObject *callback;
    Py_BEGIN_CRITICAL_SECTION(self);
    callback = or_none(self->callback);
    Py_END_CRITICAL_SECTION();
    return callback;
}

static PyObject *
Handle_get_args(HandleObject *self, void *Py_UNUSED(closure))
{
    PyObject *args;
    Py_BEGIN_CRITICAL_SECTION(self);
    if (self->callback == NULL || self->more_args != NULL) {
        args = or_none(self->more_args);
    }
    else {
        args = PyTuple_New(self->nargs);
        for (Py_ssize_t i = 0; args != NULL && i < self->nargs; i++) {
            PyTuple_SET_ITEM(args, i, Py_NewRef(self->args[i]));
        }
    }
    Py_END_CRITICAL_SECTION();
    return args;
}

static PyObject *
Handle_get_cancelled(HandleObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->cancelled);
}

static PyObject *
Handle_get_context_attribute(HandleObject *self, void *Py_UNUSED(closure))
{
    return Handle_get_context(self, NULL);
}

static PyObject *
TimerHandle_when(TimerHandleObject *self, PyObject *Py_UNUSED(ignored))
{
    return self->when ? Py_NewRef(self->when)
                      : PyFloat_FromDouble(self->seconds);
}

static PyObject *
TimerHandle_get_when(TimerHandleObject *self, void *Py_UNUSED(closure))
{
    return TimerHandle_when(self, NULL);
}

static PyObject *
TimerHandle_get_scheduled(TimerHandleObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->handle.scheduled);
}

/* asyncio's own code says so of a timer that it has taken from the heap. */
static int
TimerHandle_set_scheduled(TimerHandleObject *self, PyObject *value,
                          void *Py_UNUSED(closure))
{
    int scheduled = value ? PyObject_IsTrue(value) : 0;
    if (scheduled < 0) {
        return -1;
    }
    Engine *engine = handle_engine(&self->handle);
    ENGINE_BEGIN(engine);
    if (!scheduled && self->handle.scheduled) {
        timers_remove(&engine->timers, self);
    }
    ENGINE_END();
    return 0;
}

static int
Handle_traverse(HandleObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->loop);
    Py_VISIT(self->callback);
    Py_VISIT(self->context);
    for (int i = 0; i < HANDLE_INLINE_ARGS; i++) {
        Py_VISIT(self->args[i]);
    }
    Py_VISIT(self->more_args);
    Py_VISIT(self->source_traceback);
    Py_VISIT(self->repr);
    return 0;
}

/* Leaves `loop` and `context`: a handle that lives on after the collector has
 * cleared it can still be asked. They break no cycle that the callback and its
 * arguments do not, and the dealloc drops them. */
static int
Handle_clear(HandleObject *self)
{
    handle_drop_call(self);
    Py_CLEAR(self->source_traceback);
    Py_CLEAR(self->repr);
    return 0;
}

PLATFORM_HOT static void
handle_dealloc(HandleObject *self, FreeList *list)
{
    PyObject_GC_UnTrack(self);
    compat_clear_weakrefs((PyObject *)self);
    Handle_clear(self);
    Py_CLEAR(self->context);
    PyObject *loop = self->loop;
    self->loop = NULL;
    handle_free(self, list);
    Py_XDECREF(loop); /* last: the loop may go with it */
}

/* The state of the module that made the type; NULL when the collector has
 * already taken the two apart. */
static ModuleState *
state_of_dying(HandleObject *self)
{
    bool alive = ((PyHeapTypeObject *)Py_TYPE(self))->ht_module != NULL;
    return alive ? handle_engine(self)->state : NULL;
}

static void
Handle_dealloc(HandleObject *self)
{
    ModuleState *state = state_of_dying(self);
    handle_dealloc(self, state ? &state->free_handles : NULL);
}

/* Nobody waits for the end of a run: who does holds the handle. */
static void
ThreadSafeHandle_dealloc(ThreadSafeHandleObject *self)
{
    assert(self->run_end == NULL);
    ModuleState *state = state_of_dying(&self->handle);
    handle_dealloc(&self->handle,
                   state ? &state->free_threadsafe_handles : NULL);
}

static int
TimerHandle_traverse(TimerHandleObject *self, visitproc visit, void *arg)
{
    Py_VISIT(self->when);
    return Handle_traverse(&self->handle, visit, arg);
}

PLATFORM_HOT static void
TimerHandle_dealloc(TimerHandleObject *self)
{
    ModuleState *state = state_of_dying(&self->handle);
    PyObject_GC_UnTrack(self);
    Py_CLEAR(self->when);
    handle_dealloc(&self->handle, state ? &state->free_timer_handles : NULL);
}

/* What asyncio keeps in slots; its own code reads them, so they have to win
 * over the base's (empty) slots. */
#define HANDLE_ATTRIBUTES                                                     \
    {"_callback", (getter)Handle_get_callback, NULL, NULL, NULL},             \
        {"_args", (getter)Handle_get_args, NULL, NULL, NULL},                 \
        {"_cancelled", (getter)Handle_get_cancelled, NULL, NULL, NULL},       \
        {"_context", (getter)Handle_get_context_attribute, NULL, NULL, NULL}, \
        MEMBER("_loop", object, HandleObject, loop),                          \
        MEMBER("_source_traceback", object, HandleObject, source_traceback),  \
        MEMBER("_repr", object, HandleObject, repr)

static PyGetSetDef Handle_getset[] = {
    HANDLE_ATTRIBUTES,
    {NULL, NULL, NULL, NULL, NULL},
};

static PyGetSetDef ThreadSafeHandle_getset[] = {
    HANDLE_ATTRIBUTES,
    {NULL, NULL, NULL, NULL, NULL},
};

static PyGetSetDef TimerHandle_getset[] = {
    HANDLE_ATTRIBUTES,
    {"_scheduled", (getter)TimerHandle_get_scheduled,
     (setter)TimerHandle_set_scheduled, NULL, NULL},
    {"_when", (getter)TimerHandle_get_when, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(cancel_doc,
             "cancel($self, /)\n--\n\n"
             "Cancel the callback, as asyncio.Handle.cancel().\n\n"
             "A handle that has run or has been cancelled is left alone.");
PyDoc_STRVAR(cancelled_doc,
             "cancelled($self, /)\n--\n\n"
             "True if the callback was cancelled.");
PyDoc_STRVAR(get_context_doc,
             "get_context($self, /)\n--\n\n"
             "The contextvars.Context in which the callback runs.");
PyDoc_STRVAR(run_doc,
             "_run($self, /)\n--\n\n"
             "Call the callback now and report what it raises.");
PyDoc_STRVAR(when_doc,
             "when($self, /)\n--\n\n"
             "The time at which the callback is due, in seconds of the "
             "loop's clock (loop.time()), as a float.");

#define NOARGS(name, function, doc)                                           \
    {name, (PyCFunction)function, METH_NOARGS, doc}
#define HANDLE_METHODS                                                        \
    NOARGS("cancel", Handle_cancel, cancel_doc),                              \
        NOARGS("cancelled", Handle_cancelled, cancelled_doc),                 \
        NOARGS("get_context", Handle_get_context, get_context_doc),           \
        NOARGS("_run", Handle__run, run_doc)

static PyMethodDef Handle_methods[] = {
    HANDLE_METHODS,
    {NULL, NULL, 0, NULL},
};

static PyMethodDef TimerHandle_methods[] = {
    HANDLE_METHODS,
    NOARGS("when", TimerHandle_when, when_doc),
    {NULL, NULL, 0, NULL},
};

static PyMethodDef ThreadSafeHandle_methods[] = {
    NOARGS("cancel", ThreadSafeHandle_cancel, cancel_doc),
    NOARGS("cancelled", ThreadSafeHandle_cancelled, cancelled_doc),
    NOARGS("get_context", Handle_get_context, get_context_doc),
    NOARGS("_run", ThreadSafeHandle__run, run_doc),
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(Handle_doc,
             "What call_soon() and call_soon_threadsafe() return: an "
             "asyncio.Handle.");
PyDoc_STRVAR(ThreadSafeHandle_doc,
             "What call_soon_threadsafe() returns since Python 3.14: its "
             "methods wait while\nanother thread runs the callback.");
PyDoc_STRVAR(TimerHandle_doc,
             "What call_later() and call_at() return: an "
             "asyncio.TimerHandle.");

static PyType_Slot Handle_slots[] = {
    {Py_tp_doc, (void *)Handle_doc},
    {Py_tp_dealloc, Handle_dealloc},
    {Py_tp_traverse, Handle_traverse},
    {Py_tp_clear, Handle_clear},
    {Py_tp_getset, Handle_getset},
    {Py_tp_methods, Handle_methods},
    {0, NULL},
};

static PyType_Spec Handle_spec = {
    .name = "pyaio._core.Handle",
    .basicsize = sizeof(HandleObject),
    .flags = MODULE_TYPE_FLAGS,
    .slots = Handle_slots,
};

static PyType_Slot ThreadSafeHandle_slots[] = {
    {Py_tp_doc, (void *)ThreadSafeHandle_doc},
    {Py_tp_dealloc, ThreadSafeHandle_dealloc},
    {Py_tp_traverse, Handle_traverse},
    {Py_tp_clear, Handle_clear},
    {Py_tp_getset, ThreadSafeHandle_getset},
    {Py_tp_methods, ThreadSafeHandle_methods},
    {0, NULL},
};

static PyType_Spec ThreadSafeHandle_spec = {
    .name = "pyaio._core._ThreadSafeHandle",
    .basicsize = sizeof(ThreadSafeHandleObject),
    .flags = MODULE_TYPE_FLAGS,
    .slots = ThreadSafeHandle_slots,
};

static PyType_Slot TimerHandle_slots[] = {
    {Py_tp_doc, (void *)TimerHandle_doc},
    {Py_tp_dealloc, TimerHandle_dealloc},
    {Py_tp_traverse, TimerHandle_traverse},
    {Py_tp_clear, Handle_clear},
    {Py_tp_getset, TimerHandle_getset},
    {Py_tp_methods, TimerHandle_methods},
    {0, NULL},
};

static PyType_Spec TimerHandle_spec = {
    .name = "pyaio._core.TimerHandle",
    .basicsize = sizeof(TimerHandleObject),
    .flags = MODULE_TYPE_FLAGS,
    .slots = TimerHandle_slots,
};

/* Whether the fields of asyncio's class are where HandleObject has objects. */
static bool
base_has_our_places(PyTypeObject *base)
{
    Py_ssize_t weakrefs = base->tp_weaklistoffset;
    bool fits =
        base->tp_dictoffset == 0
        && (weakrefs <= 0 || weakrefs == offsetof(HandleObject, weakrefs));
    for (; base != &PyBaseObject_Type; base = base->tp_base) {
        PyMemberDef *slot = base->tp_members;
        for (; slot != NULL && slot->name != NULL; slot++) {
            fits = fits && slot->type == T_OBJECT_EX
                   && slot->offset % (Py_ssize_t)sizeof(PyObject *) == 0;
        }
    }
    return fits;
}

static int
handle_add_type(PyObject *module, PyType_Spec *spec, const char *base_name,
                PyTypeObject **type)
{
    PyObject *base =
        module_import_base("asyncio.events", base_name, HANDLE_BASE_SIZE);
    int err = -1;
    if (base != NULL && base_has_our_places((PyTypeObject *)base)) {
        err = module_add_type(module, spec, base, type);
    }
    else if (base != NULL) {
        PyErr_Format(PyExc_ImportError,
                     "pyaio does not fit this Python: the slots of "
                     "asyncio.events.%s are not where they were",
                     base_name);
    }
    Py_XDECREF(base);
    return err;
}

int
handle_setup(PyObject *module, ModuleState *state)
{
    if (handle_add_type(module, &Handle_spec, "Handle", &state->handle_type)
            < 0
        || handle_add_type(module, &TimerHandle_spec, "TimerHandle",
                           &state->timer_handle_type)
               < 0) {
        return -1;
    }
#if PYAIO_THREADSAFE_HANDLES
    return handle_add_type(module, &ThreadSafeHandle_spec, "_ThreadSafeHandle",
                           &state->threadsafe_handle_type);
#else
    (void)ThreadSafeHandle_spec;
    return 0;
#endif
}
