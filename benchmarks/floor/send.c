/* The floor of a task's switch: a coroutine that is sent None until it ends, and nothing
 * around it: no ready queue, no handle, no context. build.py builds it for the interpreter
 * that runs the benchmarks; workloads/tasks.py calls it. */
#include "../common/module.h"

/* drive(coroutine) -> what the coroutine returns. Whatever it yields is dropped, so that
 * each bare yield comes back at once. Borrows the coroutine; returns a new reference, or
 * NULL with what the coroutine raised. */
static PyObject *
drive(PyObject *module, PyObject *coroutine)
{
    (void)module;
    PyObject *given;
    PySendResult how;
    while ((how = PyIter_Send(coroutine, Py_None, &given)) == PYGEN_NEXT) {
        Py_DECREF(given);
    }
    return how == PYGEN_RETURN ? given : NULL;
}

static PyMethodDef METHODS[] = {
    {"drive", drive, METH_O, "Sends None to a coroutine until it ends."},
    {NULL, NULL, 0, NULL},
};

PyMODINIT_FUNC
PyInit_send(void)
{
    return module_of("send", METHODS);
}
