/* Futures and tasks are asyncio's own; this is the seam at which they become
 * ours. Called by the Loop's create_future() and create_task(). */
#include "tasks/factory.h"

PyObject *
factory_new_future(Engine *engine)
{
    PyObject *loop = engine->loop;
    return PyObject_Vectorcall(engine->state->future_type, &loop, 0,
                               engine->state->loop_keyword);
}

/* kwnames + ("loop",). */
static PyObject *
add_loop_keyword(Engine *engine, PyObject *kwnames)
{
    if (kwnames == NULL) {
        return Py_NewRef(engine->state->loop_keyword);
    }
    return PySequence_Concat(kwnames, engine->state->loop_keyword);
}

PyObject *
factory_new_task(Engine *engine, PyObject *const *args, PyObject *kwnames)
{
    PyObject *few[4];
    PyObject **values = few;
    Py_ssize_t count = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    if (count + 2 > (Py_ssize_t)Py_ARRAY_LENGTH(few)) {
        values = PyMem_New(PyObject *, count + 2);
        if (values == NULL) {
            return PyErr_NoMemory();
        }
    }
    for (Py_ssize_t i = 0; i <= count; i++) {
        values[i] = args[i];
    }
    values[count + 1] = engine->loop;
    PyObject *task = NULL;
    PyObject *names = add_loop_keyword(engine, kwnames);
    if (names != NULL) {
        task = PyObject_Vectorcall(engine->state->task_type, values, 1, names);
        Py_DECREF(names);
    }
    if (values != few) {
        PyMem_Free(values);
    }
    return task;
}
