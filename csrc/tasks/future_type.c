/* The Future type: memory, finalizer, repr. Its methods are in
 * future_methods.c, and tasks use most of what is here.
 *
 * Under the future lie the fields of asyncio's class: the attribute dict, the
 * weak references, and since 3.14 what debuggers read. They are traversed and
 * cleared by the base's own functions. */
#include "base/compat.h"
#include "base/platform.h"
#include "engine/report.h"
#include "tasks/future.h"
#include "tasks/task.h"

#include <string.h>

/* ---- the base ---- */

/* The asyncio class under ours: the types between belong to programs. */
static PyTypeObject *
base_type(FutureObject *future)
{
    PyTypeObject *base = Py_TYPE(future)->tp_base;
    while (base->tp_basicsize >= (Py_ssize_t)sizeof(FutureObject)) {
        base = base->tp_base;
    }
    return base;
}

int
future_traverse(FutureObject *future, visitproc visit, void *arg)
{
    int stop = base_type(future)->tp_traverse((PyObject *)future, visit, arg);
    if (stop != 0) {
        return stop;
    }
#if !PYAIO_BASE_VISITS_TYPE
    Py_VISIT(Py_TYPE(future));
#endif
    Py_VISIT(future->loop);
    Py_VISIT((PyObject *)future->waiter);
    Py_VISIT(future->callback0);
    Py_VISIT(future->context0);
    Py_VISIT(future->callbacks);
    Py_VISIT(future->result);
    Py_VISIT(future->exception);
    Py_VISIT(future->exception_traceback);
    Py_VISIT(future->source_traceback);
    Py_VISIT(future->cancel_message);
    Py_VISIT(future->cancelled_error);
    return 0;
}

PLATFORM_HOT static void
clear_fields(FutureObject *future)
{
    Py_CLEAR(future->waiter);
    Py_CLEAR(future->callback0);
    Py_CLEAR(future->context0);
    Py_CLEAR(future->callbacks);
    Py_CLEAR(future->result);
    Py_CLEAR(future->exception);
    Py_CLEAR(future->exception_traceback);
    Py_CLEAR(future->source_traceback);
    Py_CLEAR(future->cancel_message);
    Py_CLEAR(future->cancelled_error);
}

/* Whether asyncio's own code has left nothing in its fields, and the program no
 * attributes: so it nearly always is. Of exactly our own types. Some versions keep
 * attributes in the object itself, until its base has been cleared once. */
static bool
base_is_empty(FutureObject *future)
{
    PyObject **dict = compat_dict_slot((PyObject *)future);
    if (dict == NULL || !future->base_was_cleared
        || !future->state->dict_slot_is_proved) {
        return false;
    }
    const char *room = future->base.room;
    uintptr_t any = (uintptr_t)*dict;
    for (size_t at = sizeof(PyObject); at < FUTURE_BASE_SIZE;
         at += sizeof(any)) {
        uintptr_t word;
        memcpy(&word, room + at, sizeof(word));
        any |= word;
    }
    return any == 0;
}

void
future_clear(FutureObject *future)
{
    base_type(future)->tp_clear((PyObject *)future);
    clear_fields(future);
}

void
future_reset(FutureObject *future)
{
    PyObject *loop = future->loop;
    future->loop = NULL;
    future->engine = NULL;
    future_set_status(future, FUTURE_PENDING);
    future->log_traceback = false;
    future->blocking = false;
    clear_fields(future);
    Py_XDECREF(loop);
}

const char *
future_type_name(FutureObject *future)
{
    const char *name = Py_TYPE(future)->tp_name;
    const char *dot = strrchr(name, '.');
    return dot ? dot + 1 : name;
}

/* ---- memory ---- */

PyObject *
future_tp_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
              PyObject *Py_UNUSED(kwargs))
{
    PyObject *module = PyType_GetModuleByDef(type, &core_module);
    ModuleState *state = module ? PyModule_GetState(module) : NULL;
    FutureObject *future =
        state ? (FutureObject *)type->tp_alloc(type, 0) : NULL;
    if (future != NULL) {
        future->state = state;
    }
    return (PyObject *)future;
}

PLATFORM_HOT FutureObject *
future_alloc(ModuleState *state, PyTypeObject *type, FreeList *list)
{
    FutureObject *future = (FutureObject *)free_list_take(list);
    if (future != NULL) {
        PyObject_Init((PyObject *)future, type);
        PyObject_GC_Track(future);
        return future;
    }
    future = (FutureObject *)type->tp_alloc(type, 0);
    if (future != NULL) {
        future->state = state;
    }
    return future;
}

/* `list` is NULL for what must not be used again. */
static void
future_free(FutureObject *future, FreeList *list)
{
    PyTypeObject *type = Py_TYPE(future);
    PyObject *loop = future->loop;
    future->loop = NULL;
    future->engine = NULL;
    future_set_status(future, FUTURE_PENDING);
    future->log_traceback = false;
    future->blocking = false;
    if (list != NULL && free_list_has_room(list)) {
        free_list_put(list, (PyObject *)future);
    }
    else {
        type->tp_free(future);
    }
    Py_DECREF(type);
    Py_XDECREF(loop); /* last: the loop may go with it */
}

bool
future_finalize_dying(FutureObject *future, bool has_something_to_say)
{
    return has_something_to_say
           && PyObject_CallFinalizerFromDealloc((PyObject *)future) < 0;
}

PLATFORM_HOT void
future_dealloc(FutureObject *future, FreeList *list)
{
    PyObject_GC_UnTrack(future);
    compat_clear_weakrefs((PyObject *)future);
    if (list != NULL && base_is_empty(future)) {
        clear_fields(future);
    }
    else {
        future_clear(future);
        future->base_was_cleared = true;
    }
    /* The collector's mark of a finalized object stays with the memory. */
    bool finalized = PyObject_GC_IsFinalized((PyObject *)future);
    future_free(future, finalized ? NULL : list);
}

PLATFORM_HOT static void
Future_dealloc(FutureObject *self)
{
    if (future_finalize_dying(self, self->log_traceback)) {
        return; /* somebody has kept it */
    }
    ModuleState *state = module_state_of_dying((PyObject *)self);
    future_dealloc(self, state ? &state->free_futures : NULL);
}

/* ---- the last word ---- */

static int
report_never_retrieved(FutureObject *future)
{
    PyObject *message = PyUnicode_FromFormat(
        "%s exception was never retrieved", future_type_name(future));
    if (message == NULL) {
        return -1;
    }
    int err = report_to_loop(
        future->loop, message, "exception", future->exception, "future",
        future, "source_traceback", future->source_traceback, NULL);
    Py_DECREF(message);
    return err;
}

void
future_finalize(FutureObject *future)
{
    if (!future->log_traceback || future->loop == NULL) {
        return;
    }
    future->log_traceback = false;
    PyObject *raised = PyErr_GetRaisedException();
    if (report_never_retrieved(future) < 0) {
        PyErr_WriteUnraisable((PyObject *)future);
    }
    if (raised != NULL) {
        PyErr_SetRaisedException(raised);
    }
}

/* ---- the type ---- */

static int
Future_init(FutureObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"loop", NULL};
    PyObject *loop = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$O:Future", names,
                                     &loop)) {
        return -1;
    }
    return future_init(self, loop);
}

static PyObject *
Future_repr(FutureObject *self)
{
    if (future_check_alive(self) < 0) {
        return NULL;
    }
    return PyObject_CallOneArg(self->state->future_repr, (PyObject *)self);
}

static int
Future_traverse(FutureObject *self, visitproc visit, void *arg)
{
    return future_traverse(self, visit, arg);
}

static int
Future_clear(FutureObject *self)
{
    future_clear(self);
    return 0;
}

static void
Future_finalize(FutureObject *self)
{
    future_finalize(self);
}

PyDoc_STRVAR(Future_doc,
             "Future(*, loop=None)\n--\n\n"
             "An asyncio.Future in C: what create_future() returns.\n\n"
             "`loop` is the event loop; None stands for the current one.");

static PyType_Slot Future_slots[] = {
    {Py_tp_doc, (void *)Future_doc},
    {Py_tp_new, future_tp_new},
    {Py_tp_init, Future_init},
    {Py_tp_dealloc, Future_dealloc},
    {Py_tp_traverse, Future_traverse},
    {Py_tp_clear, Future_clear},
    {Py_tp_finalize, Future_finalize},
    {Py_tp_repr, Future_repr},
    {Py_tp_iter, await_iter_new},
    {Py_am_await, await_iter_new},
    {Py_tp_methods, future_methods},
    {Py_tp_getset, future_getset},
    {0, NULL},
};

static PyType_Spec Future_spec = {
    .name = "pyaio.Future",
    .basicsize = sizeof(FutureObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = Future_slots,
};

int
future_prove_dict_slot(ModuleState *state, PyTypeObject *type)
{
    FutureObject *future = (FutureObject *)type->tp_alloc(type, 0);
    if (future == NULL) {
        return -1;
    }
    future->state = state;
    future_clear(future);
    PyObject **slot = compat_dict_slot((PyObject *)future);
    bool empty = slot != NULL && *slot == NULL;
    int err =
        PyObject_SetAttr((PyObject *)future, STATE_NAME(state, run), Py_None);
    state->dict_slot_is_proved &= err == 0 && empty && *slot != NULL;
    Py_DECREF(future);
    return err;
}

int
future_setup(PyObject *module, ModuleState *state)
{
    state->wake_future = future_wake;
    if (module_add_type_under(module, &Future_spec, "asyncio", "Future",
                              FUTURE_BASE_SIZE, &state->future_type)
        < 0) {
        return -1;
    }
    state->dict_slot_is_proved = true;
    return future_prove_dict_slot(state, state->future_type);
}
