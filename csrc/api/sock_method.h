/* loop.sock_recv() and its like: functions in C with asyncio's own behind them. */
#ifndef PYAIO_API_SOCK_METHOD_H
#define PYAIO_API_SOCK_METHOD_H

#include "base/state.h"

/* Python's _core._sock_method(function): the method of asyncio's coroutine function
 * `function`, which answers for what is not usual. New reference, NULL on failure:
 * ValueError for a function of another name. */
PyObject *sock_method_new(PyObject *module, PyObject *function);

int sock_method_setup(PyObject *module, ModuleState *state);

#endif
