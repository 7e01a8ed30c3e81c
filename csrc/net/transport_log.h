/* What transports write to asyncio's logger in debug mode. */
#ifndef PYAIO_NET_TRANSPORT_LOG_H
#define PYAIO_NET_TRANSPORT_LOG_H

#include "engine/engine.h"

/* logger.<level>(format, transport), in debug mode only. Borrows everything; -1
 * with an exception set. */
int transport_log(Engine *engine, PyObject *transport, const char *level,
                  const char *format);

/* logger.debug("%r: %s", transport, message, exc_info=exc), in debug mode only: of an
 * error that is the peer's doing. Borrows everything; -1 with an exception set. */
int transport_log_failure(Engine *engine, PyObject *transport,
                          const char *message, PyObject *exc);

#endif
