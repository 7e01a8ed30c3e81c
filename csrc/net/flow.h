/* Flow control as all transports have it: asyncio's transports._FlowControlMixin. */
#ifndef PYAIO_NET_FLOW_H
#define PYAIO_NET_FLOW_H

#include "engine/engine.h"

/* The limits of set_write_buffer_limits(), ints or None, in bytes. -1 with
 * ValueError or TypeError. */
int flow_limits(PyObject *high, PyObject *low, size_t *high_water,
                size_t *low_water);

/* Calls the protocol's `name`, pause_writing() or resume_writing(), and reports
 * what it raises, with `message`. Borrows everything; 0, or -1 with what has to
 * leave run_forever(). */
int flow_call(Engine *engine, PyObject *transport, PyObject *protocol,
              PyObject *name, const char *message);

#endif
