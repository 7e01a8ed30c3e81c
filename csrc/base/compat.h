/* What differs between the supported Pythons (3.11 to 3.15, GIL and
 * free-threaded): every test of PY_VERSION_HEX stands in this file. */
#ifndef PYAIO_BASE_COMPAT_H
#define PYAIO_BASE_COMPAT_H

#include <Python.h>
#include <stddef.h>
#include <structmember.h>

/* Exceptions as one object: the 3.12 calls, for 3.11 too. */
#if PY_VERSION_HEX < 0x030C0000
static inline PyObject *
PyErr_GetRaisedException(void)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (type == NULL) {
        return NULL;
    }
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(value, traceback);
        Py_DECREF(traceback);
    }
    Py_DECREF(type);
    return value;
}

static inline void
PyErr_SetRaisedException(PyObject *exc)
{
    PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(exc)), exc,
                  PyException_GetTraceback(exc));
}
#endif

/* call_soon_threadsafe() returns a handle of which other threads may wait for
 * the run: asyncio.events._ThreadSafeHandle. */
#define PYAIO_THREADSAFE_HANDLES (PY_VERSION_HEX >= 0x030E0000)

/* asyncio.Server._attach() and _detach() take the transport since 3.13. */
#define PYAIO_SERVER_KNOWS_TRANSPORTS (PY_VERSION_HEX >= 0x030D0000)

/* The accept loop goes on behind a connection that was aborted in the queue. */
#define PYAIO_ACCEPT_SKIPS_ABORTED (PY_VERSION_HEX >= 0x030E0000)

/* writelines() is write() of the lines joined. */
#define PYAIO_WRITELINES_JOINS (PY_VERSION_HEX < 0x030C0000)

/* What write() calls its argument when it is none. */
#if PY_VERSION_HEX >= 0x030E0000
#define PYAIO_BYTES_LIKE "bytes, bytearray, or memoryview"
#else
#define PYAIO_BYTES_LIKE "bytes-like"
#endif

/* Module slots that say what the module can do, where the version asks. */
#if PY_VERSION_HEX >= 0x030C0000
#define PYAIO_SLOT_INTERPRETERS                                               \
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#else
#define PYAIO_SLOT_INTERPRETERS
#endif
/* Free-threaded builds turn the GIL on for us: not yet proved without it. */
#if PY_VERSION_HEX >= 0x030D0000
#define PYAIO_SLOT_GIL {Py_mod_gil, Py_MOD_GIL_USED},
#else
#define PYAIO_SLOT_GIL
#endif

/* A free list of objects is safe while one thread at a time runs Python. */
#ifdef Py_GIL_DISABLED
#define PYAIO_FREE_LISTS 0
#else
#define PYAIO_FREE_LISTS 1
#endif

#endif
