/* What transports write to asyncio's logger in debug mode, in asyncio's words. Called
 * by all transports. */
#include "net/transport_log.h"

int
transport_log(Engine *engine, PyObject *transport, const char *level,
              const char *format)
{
    if (!engine->debug) {
        return 0;
    }
    PyObject *result = PyObject_CallMethod(engine->state->logger, level, "sO",
                                           format, transport);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

int
transport_log_failure(Engine *engine, PyObject *transport, const char *message,
                      PyObject *exc)
{
    if (!engine->debug) {
        return 0;
    }
    PyObject *debug = PyObject_GetAttr(engine->state->logger,
                                       STATE_NAME(engine->state, debug));
    PyObject *args = Py_BuildValue("(sOs)", "%r: %s", transport, message);
    PyObject *keywords = Py_BuildValue("{s:O}", "exc_info", exc);
    PyObject *result = NULL;
    if (debug != NULL && args != NULL && keywords != NULL) {
        result = PyObject_Call(debug, args, keywords);
    }
    Py_XDECREF(keywords);
    Py_XDECREF(args);
    Py_XDECREF(debug);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}
