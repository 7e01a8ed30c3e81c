/* Flow control as all transports have it: what the limits are, and the calls of the
 * protocol. */
#include "net/flow.h"

#include "engine/report.h"

/* The method `name` of the protocol; what it raises is reported with `message`. */
static int
call_protocol(Engine *engine, PyObject *transport, PyObject *protocol,
              PyObject *name, const char *message)
{
    Py_INCREF(protocol); /* the call may set another one */
    PyObject *result = PyObject_CallMethodNoArgs(protocol, name);
    int err = 0;
    if (result == NULL) {
        err = report_raised(engine, message, "transport", transport,
                            "protocol", protocol, NULL);
    }
    Py_XDECREF(result);
    Py_DECREF(protocol);
    return err;
}

int
flow_call_pause(Flow *flow, Engine *engine, PyObject *transport,
                PyObject *protocol)
{
    flow->paused = true;
    return call_protocol(engine, transport, protocol,
                         STATE_NAME(engine->state, pause_writing),
                         "protocol.pause_writing() failed");
}

int
flow_call_resume(Flow *flow, Engine *engine, PyObject *transport,
                 PyObject *protocol)
{
    flow->paused = false;
    return call_protocol(engine, transport, protocol,
                         STATE_NAME(engine->state, resume_writing),
                         "protocol.resume_writing() failed");
}

/* ---- the limits ---- */

/* high and low as ints, by asyncio's rules for what is None. -1 on error. */
static int
default_limits(PyObject *high, PyObject *low, PyObject **out_high,
               PyObject **out_low)
{
    PyObject *four = PyLong_FromLong(4);
    if (four == NULL) {
        return -1;
    }
    if (high != Py_None) {
        *out_high = Py_NewRef(high);
    }
    else if (low == Py_None) {
        *out_high = PyLong_FromLong(64 * 1024);
    }
    else {
        *out_high = PyNumber_Multiply(four, low);
    }
    *out_low = NULL;
    if (*out_high != NULL) {
        *out_low = low != Py_None ? Py_NewRef(low)
                                  : PyNumber_FloorDivide(*out_high, four);
    }
    Py_DECREF(four);
    if (*out_low == NULL) {
        Py_CLEAR(*out_high);
        return -1;
    }
    return 0;
}

/* 1 when high >= low >= 0, 0 when not, -1 on error. */
static int
limits_in_order(PyObject *high, PyObject *low)
{
    PyObject *zero = PyLong_FromLong(0);
    if (zero == NULL) {
        return -1;
    }
    int in_order = PyObject_RichCompareBool(high, low, Py_GE);
    if (in_order > 0) {
        in_order = PyObject_RichCompareBool(low, zero, Py_GE);
    }
    Py_DECREF(zero);
    return in_order;
}

int
flow_limit_as_size(PyObject *limit, size_t *size)
{
    PyObject *whole = PyNumber_Long(limit);
    *size = whole == NULL ? (size_t)-1 : PyLong_AsSize_t(whole);
    Py_XDECREF(whole);
    if (*size == (size_t)-1 && PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_OverflowError)) {
            return -1;
        }
        PyErr_Clear();
        *size = SIZE_MAX; /* more than any buffer can hold */
    }
    return 0;
}

static int
set_limits(Flow *flow, PyObject *high, PyObject *low)
{
    if (default_limits(high, low, &high, &low) < 0) {
        return -1;
    }
    size_t high_size, low_size;
    int ok = limits_in_order(high, low);
    if (ok == 0) {
        PyErr_Format(PyExc_ValueError,
                     "high (%R) must be >= low (%R) must be >= 0", high, low);
    }
    int err = ok == 1 && flow_limit_as_size(high, &high_size) == 0
                      && flow_limit_as_size(low, &low_size) == 0
                  ? 0
                  : -1;
    if (err == 0) {
        flow->high_water = high_size;
        flow->low_water = low_size;
    }
    Py_DECREF(high);
    Py_DECREF(low);
    return err;
}

int
flow_set_limits(Flow *flow, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"high", "low", NULL};
    PyObject *high = Py_None, *low = Py_None;
    return PyArg_ParseTupleAndKeywords(args, kwargs,
                                       "|OO:set_write_buffer_limits", keywords,
                                       &high, &low)
               ? set_limits(flow, high, low)
               : -1;
}

PyObject *
flow_get_limits(const Flow *flow)
{
    return Py_BuildValue("(KK)", (unsigned long long)flow->low_water,
                         (unsigned long long)flow->high_water);
}
