/* The methods loop.sock_*(), made by pyaio/_loop.py of asyncio's own: functions that
 * return a coroutine in C (api/sock_call.c) where nobody can tell it from asyncio's,
 * and call asyncio's where somebody might: in debug mode, with a replaced method
 * of the loop or of sockets, with a socket or an argument that is not usual.
 *
 * A method has the code object, the signature and the names of asyncio's function,
 * so that inspect.iscoroutinefunction() and whoever asks it, as mocks do, see a
 * coroutine function. */
#include "api/sock_method.h"

#include "api/loop.h"
#include "api/sock_call.h"
#include "base/compat.h"
#include "engine/overrides.h"

typedef struct SockMethod {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    ModuleState *state; /* of the module that made the type */
    PyObject *function; /* owned: asyncio's */
    const SockOp *op;
} SockMethod;

/* What of the engine would show in asyncio's way through call_soon() and the
 * selector. */
#define OVERRIDES_SHOWN (OVERRIDE_CALL_SOON | OVERRIDE_POLL)

/* ---- whether somebody might tell ---- */

/* Asks Python, and keeps the answer for as long as nobody changes the types. */
static int
ask_loop(LoopObject *loop, PyTypeObject *socket_type)
{
    /* From before: a change meanwhile is another version. */
    unsigned int loop_version = compat_version(Py_TYPE(loop));
    unsigned int socket_version = compat_version(socket_type);
    PyObject *answer = PyObject_CallMethodNoArgs(
        (PyObject *)loop,
        STATE_NAME(loop->engine.state, _sock_calls_are_ours));
    int truth = answer ? PyObject_IsTrue(answer) : -1;
    Py_XDECREF(answer);
    if (truth >= 0) {
        loop->sock_calls_are_ours = truth;
        loop->sock_loop_version = loop_version;
        loop->sock_socket_version = socket_version;
    }
    return truth;
}

/* True when the methods involved are all our own and asyncio's. -1 on error. */
static int
calls_are_ours(LoopObject *loop)
{
    PyTypeObject *socket_type =
        (PyTypeObject *)loop->engine.state->socket_type;
    unsigned int loop_version = compat_version(Py_TYPE(loop));
    unsigned int socket_version = compat_version(socket_type);
    if (loop_version != 0 && loop_version == loop->sock_loop_version
        && socket_version != 0
        && socket_version == loop->sock_socket_version) {
        return loop->sock_calls_are_ours;
    }
    return ask_loop(loop, socket_type);
}

/* The coroutine in C, or NULL: without an exception where asyncio's is due. */
static PyObject *
call_natively(SockMethod *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs == 0 || !PyObject_TypeCheck(args[0], self->state->loop_type)) {
        return NULL;
    }
    LoopObject *loop = (LoopObject *)args[0];
    Engine *engine = &loop->engine;
    if (engine->debug || engine_is_away(engine) || overrides_check(engine) < 0
        || engine->overrides & OVERRIDES_SHOWN || calls_are_ours(loop) <= 0) {
        return NULL;
    }
    return sock_call_new(engine, self->function, self->op, args + 1,
                         nargs - 1);
}

static PyObject *
SockMethod_vectorcall(SockMethod *self, PyObject *const *args, size_t nargsf,
                      PyObject *kwnames)
{
    if (kwnames == NULL || PyTuple_GET_SIZE(kwnames) == 0) {
        PyObject *coro = call_natively(self, args, PyVectorcall_NARGS(nargsf));
        if (coro != NULL || PyErr_Occurred()) {
            return coro;
        }
    }
    return PyObject_Vectorcall(self->function, args, nargsf, kwnames);
}

/* ---- as a function ---- */

static PyObject *
SockMethod_get(PyObject *self, PyObject *loop, PyObject *Py_UNUSED(type))
{
    return loop == NULL || loop == Py_None ? Py_NewRef(self)
                                           : PyMethod_New(self, loop);
}

static PyObject *
SockMethod_attribute(SockMethod *self, void *closure)
{
    return PyObject_GetAttrString(self->function, closure);
}

static PyObject *
SockMethod_repr(SockMethod *self)
{
    PyObject *name = PyObject_GetAttrString(self->function, "__qualname__");
    PyObject *repr =
        name ? PyUnicode_FromFormat("<function %S at %p>", name, self) : NULL;
    Py_XDECREF(name);
    return repr;
}

#define ATTRIBUTE(name) {name, (getter)SockMethod_attribute, NULL, NULL, name}

static PyGetSetDef SockMethod_getset[] = {
    ATTRIBUTE("__name__"),          ATTRIBUTE("__qualname__"),
    ATTRIBUTE("__module__"),        ATTRIBUTE("__doc__"),
    ATTRIBUTE("__code__"),          ATTRIBUTE("__defaults__"),
    ATTRIBUTE("__kwdefaults__"),    ATTRIBUTE("__annotations__"),
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef SockMethod_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(SockMethod, vectorcall),
     READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

/* ---- the type ---- */

PyObject *
sock_method_new(PyObject *module, PyObject *function)
{
    ModuleState *state = PyModule_GetState(module);
    PyObject *name = PyObject_GetAttrString(function, "__name__");
    const SockOp *op =
        name && PyUnicode_Check(name) ? sock_op_find(name) : NULL;
    if (name != NULL && op == NULL) {
        PyErr_Format(PyExc_ValueError, "no operation %R", name);
    }
    Py_XDECREF(name);
    if (op == NULL) {
        return NULL;
    }
    PyTypeObject *type = state->sock_method_type;
    SockMethod *self = (SockMethod *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->vectorcall = (vectorcallfunc)SockMethod_vectorcall;
        self->state = state;
        self->function = Py_NewRef(function);
        self->op = op;
    }
    return (PyObject *)self;
}

static int
SockMethod_traverse(SockMethod *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->function);
    return 0;
}

static int
SockMethod_clear(SockMethod *self)
{
    Py_CLEAR(self->function);
    return 0;
}

static PyType_Slot SockMethod_slots[] = {
    {Py_tp_dealloc, module_type_dealloc},
    {Py_tp_traverse, SockMethod_traverse},
    {Py_tp_clear, SockMethod_clear},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_descr_get, SockMethod_get},
    {Py_tp_repr, SockMethod_repr},
    {Py_tp_getset, SockMethod_getset},
    {Py_tp_members, SockMethod_members},
    {0, NULL},
};

static PyType_Spec SockMethod_spec = {
    .name = "pyaio._core.SockMethod",
    .basicsize = sizeof(SockMethod),
    .flags = MODULE_TYPE_FLAGS | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR,
    .slots = SockMethod_slots,
};

int
sock_method_setup(PyObject *module, ModuleState *state)
{
    return module_add_type(module, &SockMethod_spec, NULL,
                           &state->sock_method_type);
}
