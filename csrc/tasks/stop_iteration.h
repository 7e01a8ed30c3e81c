/* StopIterations that bring a result, one of them kept to be used again.
 *
 * A coroutine's `await` takes results by tp_iternext, not by am_send, and so
 * pays for an exception each. The interpreter drops it as soon as it has taken
 * the value, and right afterwards the iterator that has raised it. So the
 * iterator holds it, too, and gives it back when it dies: nothing keeps the value
 * any longer than a new exception would. */
#ifndef PYAIO_TASKS_STOP_ITERATION_H
#define PYAIO_TASKS_STOP_ITERATION_H

#include "base/state.h"

/* Not inlined: an await without a result would pay for them in registers. */

/* Raises StopIteration(value), or what keeps it from being made. `held` owns it,
 * too, in the place of whatever that has owned. */
Py_NO_INLINE void stop_iteration_raise(ModuleState *state, PyObject **held,
                                       PyObject *value);
/* Steals it: kept for the next one, unless a program holds it or has changed
 * anything of it. A NULL `state`: the module has gone. */
Py_NO_INLINE void stop_iteration_give_back(ModuleState *state, PyObject *stop);

/* Once the module goes. */
void stop_iteration_drop_spare(ModuleState *state);

#endif
