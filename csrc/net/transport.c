/* What all transports do alike: see transport.h. Called by net/stream*.c,
 * net/datagram*.c and net/pipe*.c. */
#include "net/transport.h"

#include "base/compat.h"
#include "engine/handle.h"
#include "engine/report.h"

/* ---- the start ---- */

PyObject *
transport_extra(PyObject *given)
{
    if (given == NULL || given == Py_None) {
        return PyDict_New();
    }
    if (!PyDict_Check(given)) {
        PyErr_Format(PyExc_TypeError, "extra must be a dict, not %R", given);
        return NULL;
    }
    return Py_NewRef(given); /* as in asyncio: no copy */
}

int
transport_start_soon(Engine *engine, PyObject *transport, PyObject *protocol,
                     PyObject *waiter)
{
    PyObject *made =
        PyObject_GetAttr(protocol, STATE_NAME(engine->state, connection_made));
    PyObject *start =
        made ? PyObject_GetAttr(transport, STATE_NAME(engine->state, _start))
             : NULL;
    int err = -1;
    if (start != NULL
        && engine_call_soon(engine, made, transport, NULL) == 0) {
        err = engine_call_soon(engine, start, waiter, NULL);
    }
    Py_XDECREF(start);
    Py_XDECREF(made);
    return err;
}

int
transport_wake(ModuleState *state, PyObject *waiter)
{
    if (waiter == Py_None) {
        return 0;
    }
    PyObject *result = PyObject_CallFunctionObjArgs(
        state->set_result_unless_cancelled, waiter, Py_None, NULL);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* ---- methods ---- */

int
transport_refuse_fd(PyObject *transport, int fd)
{
    PyErr_Format(PyExc_RuntimeError,
                 "File descriptor %d is used by transport %R", fd, transport);
    return -1;
}

int
transport_info_arguments(PyObject *args, PyObject *kwargs, PyObject **name,
                         PyObject **fallback)
{
    static char *keywords[] = {"name", "default", NULL};
    *fallback = Py_None;
    return PyArg_ParseTupleAndKeywords(args, kwargs, "O|O:get_extra_info",
                                       keywords, name, fallback)
               ? 0
               : -1;
}

PyObject *
transport_info(PyObject *extra, PyObject *name, PyObject *fallback)
{
    PyObject *value = extra ? PyDict_GetItemWithError(extra, name) : NULL;
    if (value == NULL && PyErr_Occurred()) {
        return NULL;
    }
    return Py_NewRef(value ? value : fallback);
}

PyObject *
transport_set_protocol(PyObject **field, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"protocol", NULL};
    PyObject *protocol;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:set_protocol", keywords,
                                     &protocol)) {
        return NULL;
    }
    Py_XSETREF(*field, Py_NewRef(protocol));
    Py_RETURN_NONE;
}

/* ---- the end ---- */

int
transport_lose_soon(Engine *engine, PyObject *transport, PyObject *exc,
                    PyObject *context)
{
    PyObject *method = PyObject_GetAttr(
        transport, STATE_NAME(engine->state, _call_connection_lost));
    if (method == NULL) {
        return -1;
    }
    int err = engine_call_soon(engine, method, exc, context);
    Py_DECREF(method);
    return err;
}

int
transport_tell_lost(Engine *engine, PyObject *protocol, PyObject *exc)
{
    if (protocol == NULL) {
        return 0;
    }
    Py_INCREF(protocol); /* the call may set another one */
    PyObject *result = PyObject_CallMethodOneArg(
        protocol, STATE_NAME(engine->state, connection_lost), exc);
    Py_DECREF(protocol);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

int
transport_keep_first(PyObject *first, int err)
{
    if (first == NULL) {
        return err;
    }
    if (err < 0) {
        report_unraisable("the end of a transport");
    }
    PyErr_SetRaisedException(first);
    return -1;
}

void
transport_finalize(PyObject *transport, int (*close)(PyObject *))
{
    PyObject *raised = PyErr_GetRaisedException();
    if (PyErr_ResourceWarning(transport, 1, "unclosed transport %R", transport)
        < 0) {
        report_unraisable("an unclosed transport");
    }
    if (close(transport) < 0) {
        report_unraisable("an unclosed transport");
    }
    if (raised != NULL) {
        PyErr_SetRaisedException(raised);
    }
}
