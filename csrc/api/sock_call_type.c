/* The coroutine of one call of loop.sock_*(), as Python sees it. Made by
 * api/sock_method.c; its steps are in api/sock_call.c.
 *
 * A suspended one has no frame, so there is no cr_await either: who walks along the
 * chain of awaits ends before it. */
#include "api/sock_call.h"

#include "base/compat.h"
#include "base/errors.h"
#include "tasks/stop_iteration.h"

/* ---- as a coroutine ---- */

/* As a coroutine does: by StopIteration. */
static void
return_value(SockCall *self, PyObject *value)
{
    stop_iteration_raise(self->io.engine->state, &self->stop, value);
}

static PyObject *
SockCall_send(SockCall *self, PyObject *value)
{
    PyObject *sent;
    if (sock_call_step(self, value, &sent) == PYGEN_RETURN) {
        return_value(self, sent);
        Py_CLEAR(sent);
    }
    return sent;
}

/* What `await` calls: the end without an exception stands for None. */
static PyObject *
SockCall_next(SockCall *self)
{
    PyObject *sent;
    if (sock_call_step(self, Py_None, &sent) == PYGEN_RETURN) {
        if (sent != Py_None) {
            return_value(self, sent);
        }
        Py_CLEAR(sent);
    }
    return sent;
}

static PyObject *
SockCall_throw(SockCall *self, PyObject *const *args, Py_ssize_t nargs)
{
    PyObject *exception = await_thrown(args, nargs);
    if (exception != NULL) {
        (void)sock_call_throw(self, exception);
    }
    return NULL;
}

static PyObject *
SockCall_close(SockCall *self, PyObject *Py_UNUSED(ignored))
{
    return none_or_null(sock_call_close(self));
}

static PyObject *
SockCall_am_await(SockCall *self)
{
    return Py_NewRef((PyObject *)self);
}

/* ---- attributes ---- */

static PyObject *
SockCall_get_name(SockCall *self, void *closure)
{
    return PyObject_GetAttrString(self->function, closure);
}

static PyObject *
SockCall_get_running(SockCall *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->state == SOCK_CALL_RUNNING);
}

static PyObject *
SockCall_get_suspended(SockCall *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->state == SOCK_CALL_SUSPENDED);
}

static PyObject *
SockCall_get_none(SockCall *Py_UNUSED(self), void *Py_UNUSED(closure))
{
    Py_RETURN_NONE;
}

static PyObject *
SockCall_repr(SockCall *self)
{
    PyObject *name = PyObject_GetAttrString(self->function, "__qualname__");
    PyObject *repr =
        name ? PyUnicode_FromFormat("<coroutine object %S at %p>", name, self)
             : NULL;
    Py_XDECREF(name);
    return repr;
}

static PyMethodDef SockCall_methods[] = {
    {"send", (PyCFunction)SockCall_send, METH_O, NULL},
    {"throw", (PyCFunction)(void (*)(void))SockCall_throw, METH_FASTCALL,
     NULL},
    {"close", (PyCFunction)SockCall_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef SockCall_getset[] = {
    {"__name__", (getter)SockCall_get_name, NULL, NULL, "__name__"},
    {"__qualname__", (getter)SockCall_get_name, NULL, NULL, "__qualname__"},
    {"cr_running", (getter)SockCall_get_running, NULL, NULL, NULL},
    {"cr_suspended", (getter)SockCall_get_suspended, NULL, NULL, NULL},
    {"cr_origin", (getter)SockCall_get_none, NULL, NULL, NULL},
    {"cr_frame", (getter)SockCall_get_none, NULL, NULL, NULL},
    {"cr_code", (getter)SockCall_get_none, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

/* ---- memory ---- */

/* An empty one: from the free list or new. NULL on failure. */
static SockCall *
sock_call_alloc(ModuleState *state)
{
    PyTypeObject *type = state->sock_call_type;
    SockCall *self = (SockCall *)free_list_take(&state->free_sock_calls);
    if (self != NULL) {
        PyObject_Init((PyObject *)self, type);
    }
    else if ((self = PyObject_GC_New(SockCall, type)) == NULL) {
        return NULL;
    }
    memset((char *)self + sizeof(PyObject), 0,
           sizeof(*self) - sizeof(PyObject));
    self->state = SOCK_CALL_CLOSED; /* nothing to warn of yet */
    self->wait = (PollWait){
        .owner = (PyObject *)self,
        .on_ready = sock_call_on_ready,
    };
    return self;
}

PyObject *
sock_call_new(Engine *engine, PyObject *function, const SockOp *op,
              PyObject *const *args, Py_ssize_t nargs)
{
    SockCall *self = sock_call_alloc(engine->state);
    if (self == NULL) {
        return NULL;
    }
    self->loop = Py_NewRef(engine->loop);
    self->function = Py_NewRef(function);
    self->io.engine = engine;
    PyObject_GC_Track(self);
    if (sock_io_take(&self->io, op, args, nargs) <= 0) {
        Py_DECREF(self);
        return NULL;
    }
    self->state = SOCK_CALL_CREATED;
    return (PyObject *)self;
}

/* As the interpreter does of its own: by warnings, which knows more to say, while
 * modules can be imported. -1 with an exception set. */
static int
warn_never_awaited(SockCall *self)
{
    if (compat_is_finalizing()) {
        PyObject *name =
            PyObject_GetAttrString(self->function, "__qualname__");
        int err =
            name == NULL
                ? -1
                : PyErr_WarnFormat(PyExc_RuntimeWarning, 1,
                                   "coroutine '%S' was never awaited", name);
        Py_XDECREF(name);
        return err;
    }
    PyObject *warnings = PyImport_ImportModule("warnings");
    PyObject *result =
        warnings ? PyObject_CallMethod(warnings, "_warn_unawaited_coroutine",
                                       "O", self)
                 : NULL;
    Py_XDECREF(warnings);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

static void
SockCall_finalize(SockCall *self)
{
    if (self->state != SOCK_CALL_CREATED) {
        return;
    }
    PyObject *raised = PyErr_GetRaisedException();
    if (warn_never_awaited(self) < 0) {
        PyErr_WriteUnraisable((PyObject *)self);
    }
    if (raised != NULL) {
        PyErr_SetRaisedException(raised);
    }
}

static int
SockCall_traverse(SockCall *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->loop);
    Py_VISIT(self->function);
    Py_VISIT((PyObject *)self->future);
    Py_VISIT(self->stop);
    return sock_io_traverse(&self->io, visit, arg);
}

static int
SockCall_clear(SockCall *self)
{
    sock_call_release(self);
    Py_CLEAR(self->function);
    Py_CLEAR(self->stop);
    return 0; /* the loop stays: `io.engine` is a part of it */
}

/* `state` may be NULL: the module has gone. */
static void
sock_call_free(ModuleState *state, SockCall *self)
{
    /* The allocator's memory is kept with the note that it was finalized. */
    if (state != NULL && free_list_has_room(&state->free_sock_calls)
        && !PyObject_GC_IsFinalized((PyObject *)self)) {
        free_list_put(&state->free_sock_calls, (PyObject *)self);
    }
    else {
        PyObject_GC_Del(self);
    }
}

static void
SockCall_dealloc(SockCall *self)
{
    if (self->state == SOCK_CALL_CREATED
        && PyObject_CallFinalizerFromDealloc((PyObject *)self) < 0) {
        return; /* somebody has got hold of it */
    }
    PyTypeObject *type = Py_TYPE(self);
    ModuleState *state = module_state_of_dying((PyObject *)self);
    PyObject_GC_UnTrack(self);
    PyObject *stop = self->stop;
    self->stop = NULL;
    SockCall_clear(self);
    PyObject *loop = self->loop;
    sock_call_free(state, self);
    if (stop != NULL) {
        stop_iteration_give_back(state, stop);
    }
    Py_DECREF(type);
    Py_XDECREF(loop);
}

/* ---- the type ---- */

PyDoc_STRVAR(SockCall_doc, "The coroutine of a call of loop.sock_*().");

static PyType_Slot SockCall_slots[] = {
    {Py_tp_doc, (void *)SockCall_doc},   {Py_tp_dealloc, SockCall_dealloc},
    {Py_tp_finalize, SockCall_finalize}, {Py_tp_traverse, SockCall_traverse},
    {Py_tp_clear, SockCall_clear},       {Py_tp_repr, SockCall_repr},
    {Py_tp_iternext, SockCall_next},     {Py_tp_methods, SockCall_methods},
    {Py_tp_getset, SockCall_getset},     {Py_am_await, SockCall_am_await},
    {Py_am_send, sock_call_step},        {0, NULL},
};

static PyType_Spec SockCall_spec = {
    .name = "pyaio._core.SockCall",
    .basicsize = sizeof(SockCall),
    .flags = MODULE_TYPE_FLAGS | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = SockCall_slots,
};

int
sock_call_setup(PyObject *module, ModuleState *state)
{
    return module_add_type(module, &SockCall_spec, NULL,
                           &state->sock_call_type);
}
