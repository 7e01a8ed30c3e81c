/* The floor of a task's switch: a coroutine that is sent None until it ends, and nothing
 * around it: no ready queue, no handle, no context. build.py builds it for the interpreter
 * that runs the benchmarks; workloads/tasks.py calls it. */
#include <Python.h>

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

static PyModuleDef_Slot SLOTS[] = {
#ifdef Py_GIL_DISABLED
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef MODULE = {
    PyModuleDef_HEAD_INIT,
    .m_name = "send",
    .m_methods = METHODS,
    .m_slots = SLOTS,
};

PyMODINIT_FUNC
PyInit_send(void)
{
    return PyModuleDef_Init(&MODULE);
}
