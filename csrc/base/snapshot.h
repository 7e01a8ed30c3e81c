/* Snapshots: the context variables of a callback or a task.
 *
 * asyncio copies the current contextvars.Context for each of them. A Context is
 * little more than a reference to an immutable mapping, and a copy shares it. So a
 * snapshot is that mapping, and while the callback runs, one Context that is kept
 * for this holds it. Whoever gets hold of that Context (by get_context(), or by the
 * token of a variable that was set) keeps it: it then is the callback's own.
 *
 * Where a Context has its mapping is not published: it is proved at import. Without
 * the proof, and in free-threaded builds, a snapshot is a copy of the Context.
 *
 * A slot is a field that owns a snapshot or a Context. */
#ifndef PYAIO_BASE_SNAPSHOT_H
#define PYAIO_BASE_SNAPSHOT_H

#include "base/state.h"

/* Of the current context. New reference, NULL with an exception set. */
PyObject *snapshot_take(const ModuleState *state);

/* Enters the Context in the slot, or puts one there. -1 with RuntimeError when it
 * is entered already. */
int snapshot_enter(ModuleState *state, PyObject **slot);
/* Leaves it: what was put there is taken back unless somebody else holds it. -1
 * with an exception set. */
int snapshot_leave(ModuleState *state, PyObject **slot);

/* For what runs right behind each other. Leaves the slot as snapshot_leave() does, and
 * the Context entered, in *entered (owned). False, and nothing is done, where somebody
 * else holds it. */
bool snapshot_keep_entered(const ModuleState *state, PyObject **slot,
                           PyObject **entered);
/* Enters by that: true where the slot has the very same variables. */
bool snapshot_take_entered(PyObject **slot, PyObject **entered);
/* Leaves it after all. -1 with an exception set. */
int snapshot_leave_entered(ModuleState *state, PyObject **entered);

/* The Context in the slot, from here on a Context for ever. Borrowed; NULL with an
 * exception set. A collection may run: a slot that it can clear is shown as a local
 * copy. */
PyObject *snapshot_show(const ModuleState *state, PyObject **slot);

/* False for what has a run() of its own, which asyncio takes for a context. */
static inline bool
snapshot_is_native(const ModuleState *state, PyObject *context)
{
    return PyContext_CheckExact(context)
           || Py_IS_TYPE(context, state->vars_type);
}

int snapshot_setup(ModuleState *state);

#endif
