/* Rows for the tables of methods and attributes of our types. */
#ifndef PYAIO_BASE_MEMBERS_H
#define PYAIO_BASE_MEMBERS_H

#include <Python.h>
#include <stddef.h>

/* None for what may be NULL. New reference. */
static inline PyObject *
or_none(PyObject *object)
{
    return Py_NewRef(object ? object : Py_None);
}

/* Getters of a field, found by its offset: an object, which may be NULL; a bool, a
 * size_t, a Py_ssize_t, an int. */
PyObject *member_object(PyObject *self, void *offset);
PyObject *member_shared(PyObject *self,
                        void *offset); /* compat_set_shared() */
PyObject *member_flag(PyObject *self, void *offset);
PyObject *member_size(PyObject *self, void *offset);
PyObject *member_count(PyObject *self, void *offset);
PyObject *member_int(PyObject *self, void *offset);

/* A read-only attribute: MEMBER("_closing", flag, StreamObject, closing). */
#define MEMBER(name, kind, type, field)                                       \
    {name, member_##kind, NULL, NULL, (void *)offsetof(type, field)}
#define MEMBER_DICT                                                           \
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL}

/* A method `prefix_name`, with a docstring that starts with its signature. */
#define METHOD_DOC(name, parameters, text)                                    \
    #name "($self" parameters ")\n--\n\n" text
#define METHOD_NOARGS(prefix, name, text)                                     \
    {#name, (PyCFunction)prefix##_##name, METH_NOARGS,                        \
     METHOD_DOC(name, "", text)}
#define METHOD_ONEARG(prefix, name, parameters, text)                         \
    {#name, (PyCFunction)prefix##_##name, METH_O,                             \
     METHOD_DOC(name, parameters, text)}
#define METHOD_FASTCALL(prefix, name, parameters, text)                       \
    {#name, (PyCFunction)(void (*)(void))prefix##_##name,                     \
     METH_FASTCALL | METH_KEYWORDS, METHOD_DOC(name, parameters, text)}
#define METHOD_KEYWORDS(prefix, name, parameters, text)                       \
    {#name, (PyCFunction)(void (*)(void))prefix##_##name,                     \
     METH_VARARGS | METH_KEYWORDS, METHOD_DOC(name, parameters, text)}

/* The one argument of a METHOD_FASTCALL, by position or by its name. Borrowed, or NULL
 * with TypeError. */
static inline PyObject *
method_argument(const char *method, const char *name, PyObject *const *args,
                Py_ssize_t nargs, PyObject *kwnames)
{
    Py_ssize_t named = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    if (nargs + named == 1
        && (named == 0
            || PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(kwnames, 0),
                                                name)
                   == 0)) {
        return args[0];
    }
    PyErr_Format(PyExc_TypeError, "%s() takes exactly one argument: '%s'",
                 method, name);
    return NULL;
}

#endif
