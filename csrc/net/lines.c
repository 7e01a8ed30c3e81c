/* The lines of a stream's writelines(): called by net/stream_write.c. */
#include "net/lines.h"

#include "base/compat.h"

/* The TypeError for lines that cannot be written, in asyncio's words: of joining
 * them, or of the memoryview of each. */
static void
explain_failure(PyObject *lines)
{
    if (!PyErr_ExceptionMatches(PyExc_TypeError)) {
        return;
    }
    PyObject *raised = PyErr_GetRaisedException();
    PyObject *result = Py_NewRef(Py_None);
    if (PYAIO_WRITELINES_JOINS) {
        PyObject *empty = PyBytes_FromStringAndSize(NULL, 0);
        Py_SETREF(result,
                  empty ? PyObject_CallMethod(empty, "join", "(O)", lines)
                        : NULL);
        Py_XDECREF(empty);
    }
    else if (PyList_CheckExact(lines)) {
        for (Py_ssize_t i = 0; i < PyList_GET_SIZE(lines) && result != NULL;
             i++) {
            PyObject *line = PyList_GET_ITEM(lines, i);
            Py_SETREF(result, PyMemoryView_FromObject(line));
        }
    }
    if (result == NULL) {
        Py_DECREF(raised);
        return;
    }
    Py_DECREF(result);
    PyErr_SetRaisedException(raised);
}

/* An item without bytes that is false counts as an empty one since 3.14, None
 * among them; of another one, the raised exception stays. */
static PyObject *
empty_if_false(PyObject *line)
{
    PyObject *raised = PyErr_GetRaisedException();
    int truth = PyObject_IsTrue(line);
    if (truth > 0) {
        PyErr_SetRaisedException(raised);
        return NULL;
    }
    Py_DECREF(raised);
    return truth < 0 ? NULL : PyBytes_FromStringAndSize(NULL, 0);
}

/* The bytes of an item. New reference, NULL on failure. */
static PyObject *
line_as_bytes(PyObject *line)
{
    Py_buffer view;
    if (PyObject_GetBuffer(line, &view, PyBUF_SIMPLE) < 0) {
        return PYAIO_WRITELINES_SKIPS_FALSE ? empty_if_false(line) : NULL;
    }
    PyObject *bytes = PyBytes_FromStringAndSize(view.buf, view.len);
    PyBuffer_Release(&view);
    return bytes;
}

/* Bytes objects of all items. -1 with an exception set. */
static int
convert(PyObject *list)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list); i++) {
        PyObject *line = PyList_GET_ITEM(list, i);
        if (PyBytes_CheckExact(line)) {
            continue;
        }
        PyObject *bytes = line_as_bytes(line);
        if (bytes == NULL) {
            return -1;
        }
        PyList_SetItem(list, i, bytes); /* steals it, and drops the item */
    }
    return 0;
}

PyObject *
lines_list(PyObject *lines)
{
    PyObject *list = PySequence_List(lines);
    if (list == NULL) {
        explain_failure(lines);
    }
    return list;
}

int
lines_as_bytes(PyObject *list)
{
    int err = convert(list);
    if (err < 0) {
        explain_failure(list);
    }
    return err;
}
