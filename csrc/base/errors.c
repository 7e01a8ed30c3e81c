/* Errors of libuv and of system calls as the exceptions of Python.
 *
 * Called from every layer; calls only the interpreter. */
#include "base/errors.h"

#include <errno.h>
#include <uv.h>

int
errors_set_uv(int uv_error)
{
    /* libuv's codes are negated errno values on Unix, but for its own
     * inventions (UV_EOF, UV_EAI_*), which lie below -3000. */
    if (uv_error > -3000) {
        errno = -uv_error;
        PyErr_SetFromErrno(PyExc_OSError);
    }
    else {
        PyErr_Format(PyExc_OSError, "%s", uv_strerror(uv_error));
    }
    return -1;
}

bool
errors_is_exit(void)
{
    return PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)
           || PyErr_ExceptionMatches(PyExc_SystemExit);
}

bool
errors_is_retry(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}
