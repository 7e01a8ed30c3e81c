/* Flow control as all transports have it: asyncio's transports._FlowControlMixin. More
 * than high_water bytes queued pause the protocol's writing, low_water or less resume
 * it. */
#ifndef PYAIO_NET_FLOW_H
#define PYAIO_NET_FLOW_H

#include "engine/engine.h"

typedef struct Flow {
    size_t high_water, low_water;
    bool paused; /* pause_writing() has been called */
} Flow;

/* asyncio's defaults. */
#define FLOW_DEFAULTS ((Flow){64 * 1024, 16 * 1024, false})

/* Calls pause_writing() or resume_writing() of the protocol, as is due with so many
 * bytes `queued`, and reports what it raises. Borrows everything; `protocol` may be
 * NULL. 0, or -1 with what has to leave run_forever(). */
int flow_call_pause(Flow *flow, Engine *engine, PyObject *transport,
                    PyObject *protocol);
int flow_call_resume(Flow *flow, Engine *engine, PyObject *transport,
                     PyObject *protocol);

static inline int
flow_pause(Flow *flow, size_t queued, Engine *engine, PyObject *transport,
           PyObject *protocol)
{
    bool due = queued > flow->high_water && !flow->paused && protocol != NULL;
    return due ? flow_call_pause(flow, engine, transport, protocol) : 0;
}

static inline int
flow_resume(Flow *flow, size_t queued, Engine *engine, PyObject *transport,
            PyObject *protocol)
{
    bool due = flow->paused && queued <= flow->low_water && protocol != NULL;
    return due ? flow_call_resume(flow, engine, transport, protocol) : 0;
}

/* A limit, any number, as bytes: what is no int is asyncio's to take and is rounded down.
 * -1 with an exception set. */
int flow_limit_as_size(PyObject *limit, size_t *size);
/* set_write_buffer_limits(high=None, low=None), without its pause. -1 with TypeError,
 * or ValueError unless high >= low >= 0. */
int flow_set_limits(Flow *flow, PyObject *args, PyObject *kwargs);
/* get_write_buffer_limits(): (low, high). New reference, NULL on failure. */
PyObject *flow_get_limits(const Flow *flow);

#endif
