/* The flush of a transport that gathers what is written: an entry of the engine's
 * (engine_flush_later), which holds the transport as long as it is queued. */
#ifndef PYAIO_NET_FLUSH_H
#define PYAIO_NET_FLUSH_H

#include "engine/engine.h"

typedef struct Flush {
    ReadyEntry entry;
    PyObject *transport; /* borrowed: this is a part of it */
    /* Sends what has been gathered. 0, or -1 with what has to leave run_forever(). */
    int (*send)(PyObject *transport);
    bool queued;
} Flush;

void flush_init(Flush *flush, PyObject *transport, int (*send)(PyObject *));
/* Runs at the end of this turn, or before; once, however often it is asked for. */
void flush_later(Flush *flush, Engine *engine);

#endif
