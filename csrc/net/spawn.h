/* Programs started by posix_spawn(3): a child without a fork. Called by pyaio/_spawn.py,
 * which does without where the C library has not what it takes. */
#ifndef PYAIO_NET_SPAWN_H
#define PYAIO_NET_SPAWN_H

#include "base/platform.h"

#include <Python.h>

#ifdef PLATFORM_SPAWNS

/* _core._spawn(): see spawn_doc. */
PyObject *spawn(PyObject *module, PyObject *args);

extern const char spawn_doc[];

#define SPAWN_METHODS {"_spawn", spawn, METH_VARARGS, spawn_doc},
#else
#define SPAWN_METHODS
#endif

#endif
