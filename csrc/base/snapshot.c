/* Snapshots of context variables: see snapshot.h. Taken when handles (engine/) and
 * tasks (tasks/) are made, entered around each callback and step. */
#include "base/snapshot.h"

#include <string.h>

/* A contextvars.Context, from 3.7 on. */
typedef struct ContextFields {
    PyObject_HEAD
    PyObject *before;   /* which one it was entered from */
    PyObject *vars;     /* owned: the mapping, immutable, never NULL */
    PyObject *weakrefs; /* to the Context */
    int entered;
} ContextFields;

static ContextFields *
fields_of(PyObject *context)
{
    return (ContextFields *)context;
}

/* ---- taking ---- */

PyObject *
snapshot_take(const ModuleState *state)
{
    if (state->vars_type == NULL) {
        return PyContext_CopyCurrent();
    }
    PyObject *context = PyThreadState_GetUnchecked()->context;
    return Py_NewRef(context ? fields_of(context)->vars : state->no_vars);
}

PyObject *
snapshot_show(const ModuleState *state, PyObject **slot)
{
    if (Py_IS_TYPE(*slot, state->vars_type)) {
        PyObject *context = PyContext_New();
        if (context == NULL) {
            return NULL;
        }
        Py_DECREF(fields_of(context)->vars); /* no_vars */
        fields_of(context)->vars = *slot;
        *slot = context;
    }
    return *slot;
}

/* ---- running ---- */

/* Puts the spare Context, with the slot's variables, into the slot. */
static int
lend_spare(ModuleState *state, PyObject **slot)
{
    PyObject *context = state->spare_context;
    if (context == NULL) {
        return snapshot_show(state, slot) == NULL ? -1 : 0;
    }
    state->spare_context = NULL;
    Py_DECREF(fields_of(context)->vars); /* no_vars */
    fields_of(context)->vars = *slot;
    *slot = context;
    return 0;
}

int
snapshot_enter(ModuleState *state, PyObject **slot)
{
    if (Py_IS_TYPE(*slot, state->vars_type) && lend_spare(state, slot) < 0) {
        return -1;
    }
    return PyContext_Enter(*slot);
}

/* The spare Context has done its work: steals it, returns the variables. */
static PyObject *
take_back_steal(ModuleState *state, PyObject *context)
{
    PyObject *vars = fields_of(context)->vars;
    fields_of(context)->vars = Py_NewRef(state->no_vars);
    if (state->spare_context == NULL) {
        state->spare_context = context;
    }
    else {
        Py_DECREF(context);
    }
    return vars;
}

/* Whether it is held by so many and nobody else can find it. */
static bool
is_held_by(const ModuleState *state, PyObject *context, Py_ssize_t holders)
{
    return Py_REFCNT(context) == holders && state->vars_type != NULL
           && fields_of(context)->weakrefs == NULL;
}

int
snapshot_leave(ModuleState *state, PyObject **slot)
{
    PyObject *context = *slot;
    int err = PyContext_Exit(context);
    if (is_held_by(state, context, 1)) {
        *slot = take_back_steal(state, context);
    }
    return err;
}

/* ---- running one behind the other ---- */

bool
snapshot_keep_entered(const ModuleState *state, PyObject **slot,
                      PyObject **entered)
{
    PyObject *context = *slot;
    assert(*entered == NULL);
    /* The slot holds it, and the thread. */
    if (!is_held_by(state, context, 2)
        || PyThreadState_GetUnchecked()->context != context) {
        return false;
    }
    *slot = Py_NewRef(fields_of(context)->vars);
    *entered = context;
    return true;
}

bool
snapshot_take_entered(PyObject **slot, PyObject **entered)
{
    if (*slot != fields_of(*entered)->vars) {
        return false;
    }
    Py_DECREF(*slot); /* the Context has it, too */
    *slot = *entered;
    *entered = NULL;
    return true;
}

int
snapshot_leave_entered(ModuleState *state, PyObject **entered)
{
    PyObject *context = *entered;
    *entered = NULL;
    int err = PyContext_Exit(context);
    if (is_held_by(state, context, 1)) {
        Py_DECREF(take_back_steal(state, context));
    }
    else {
        Py_DECREF(context);
    }
    return err;
}

/* ---- the proof ---- */

/* `context` is current, and `copy` a copy of it from before a variable was set. */
static bool
fields_match(PyObject *context, PyObject *copy, PyObject *before)
{
    ContextFields *fields = fields_of(context);
    return PyThreadState_GetUnchecked()->context == context
           && fields->before == before && fields->entered == 1
           && fields->weakrefs == NULL && fields_of(copy)->entered == 0
           && fields_of(copy)->before == NULL && fields->vars != NULL
           && fields->vars != fields_of(copy)->vars
           && Py_TYPE(fields->vars) == Py_TYPE(fields_of(copy)->vars)
           && strcmp(Py_TYPE(fields->vars)->tp_name, "hamt") == 0;
}

/* Whether `copy`, given the mapping of `context`, has the variable's value, too. */
static int
mapping_carries(PyObject *context, PyObject *copy, PyObject *var,
                PyObject *expected)
{
    Py_SETREF(fields_of(copy)->vars, Py_NewRef(fields_of(context)->vars));
    PyObject *value = NULL;
    if (PyContext_Enter(copy) < 0) {
        return -1;
    }
    int err = PyContextVar_Get(var, NULL, &value);
    bool same = value == expected;
    Py_XDECREF(value);
    return PyContext_Exit(copy) < 0 || err < 0 ? -1 : same;
}

/* 1, 0, -1 with an exception set. `context` is new. */
static int
prove_in(PyObject *context, PyObject *var, PyObject *value)
{
    PyObject *before = PyThreadState_GetUnchecked()->context;
    PyObject *copy = PyContext_Copy(context);
    if (copy == NULL || PyContext_Enter(context) < 0) {
        Py_XDECREF(copy);
        return -1;
    }
    PyObject *token = PyContextVar_Set(var, value);
    int proved = token == NULL ? -1 : fields_match(context, copy, before);
    if (proved > 0) {
        proved = mapping_carries(context, copy, var, value);
    }
    Py_XDECREF(token);
    Py_DECREF(copy);
    return PyContext_Exit(context) < 0 ? -1 : proved;
}

static int
prove(PyObject *context)
{
    if (PYAIO_FREE_THREADED
        || PyContext_Type.tp_basicsize != sizeof(ContextFields)) {
        return 0;
    }
    PyObject *var = PyContextVar_New("pyaio", NULL);
    PyObject *value = PyList_New(0);
    int proved = var && value ? prove_in(context, var, value) : -1;
    Py_XDECREF(value);
    Py_XDECREF(var);
    return proved;
}

int
snapshot_setup(ModuleState *state)
{
    PyObject *context = PyContext_New();
    PyObject *empty = PyContext_New();
    int proved = context && empty ? prove(context) : -1;
    if (proved > 0) {
        PyObject *vars = fields_of(empty)->vars;
        state->no_vars = Py_NewRef(vars);
        state->vars_type =
            (PyTypeObject *)Py_NewRef((PyObject *)Py_TYPE(vars));
    }
    Py_XDECREF(empty);
    Py_XDECREF(context);
    return proved < 0 ? -1 : 0;
}
