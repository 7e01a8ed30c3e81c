/* The frame of an extension module that is a few functions and no state. */
#ifndef COMMON_MODULE_H
#define COMMON_MODULE_H

#include <Python.h>

/* What the PyInit_ function of the one module of a file returns. */
static PyObject *
module_of(const char *name, PyMethodDef *methods)
{
    static PyModuleDef_Slot slots[] = {
#ifdef Py_GIL_DISABLED
        {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
        {0, NULL},
    };
    static struct PyModuleDef module = {
        PyModuleDef_HEAD_INIT,
        .m_slots = slots,
    };
    module.m_name = name;
    module.m_methods = methods;
    return PyModuleDef_Init(&module);
}

#endif
