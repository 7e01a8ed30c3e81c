/* Which class loop.create_future() and loop.create_task() make: ours, unless
 * somebody has put another one in the place of asyncio's. */
#include "tasks/factory.h"

/* asyncio's loop looks its classes up in their modules at each call. */
static int
is_replaced(PyObject *namespace, PyObject *name, PyObject *original)
{
    PyObject *found = PyDict_GetItemWithError(namespace, name);
    if (found == NULL && PyErr_Occurred()) {
        return -1;
    }
    return found != original;
}

int
factory_future_is_replaced(ModuleState *state)
{
    return is_replaced(state->futures_namespace, STATE_NAME(state, Future),
                       state->asyncio_future);
}

int
factory_task_is_replaced(ModuleState *state)
{
    return is_replaced(state->tasks_namespace, STATE_NAME(state, Task),
                       state->asyncio_task);
}
