/* What writelines() is given, as bytes objects, with asyncio's errors. */
#ifndef PYAIO_NET_LINES_H
#define PYAIO_NET_LINES_H

#include <Python.h>

/* The items of an iterable as a new list. NULL with what iterating raised, or with
 * asyncio's TypeError. */
PyObject *lines_list(PyObject *lines);

/* Puts bytes objects in the place of all items of that list: from here on the program's
 * code has no part in it. -1 with asyncio's TypeError, or what the program raised. */
int lines_as_bytes(PyObject *list);

#endif
