/* Errors of libuv and of system calls as the exceptions of Python. */
#ifndef PYAIO_BASE_ERRORS_H
#define PYAIO_BASE_ERRORS_H

#include <Python.h>
#include <stdbool.h>

/* What a method in C returns for one of our error codes: None, or NULL for -1 with
 * an exception set. */
static inline PyObject *
none_or_null(int err)
{
    return err < 0 ? NULL : Py_NewRef(Py_None);
}

/* Sets the OSError subclass for a libuv error code (negative). Returns -1. */
int errors_set_uv(int uv_error);

/* True when the raised exception is one that asyncio lets through every
 * callback: SystemExit or KeyboardInterrupt. */
bool errors_is_exit(void);

/* True for the errno of "not now": EAGAIN, EWOULDBLOCK, EINTR. */
bool errors_is_retry(int error);

#endif
