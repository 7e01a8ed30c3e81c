/* What all transports do alike: how they start and end, and parts of their methods. */
#ifndef PYAIO_NET_TRANSPORT_H
#define PYAIO_NET_TRANSPORT_H

#include "engine/engine.h"

/* ---- the start ---- */

/* The dict of get_extra_info(): `given`, or a new one for NULL and None. New
 * reference, NULL with TypeError for anything else. */
PyObject *transport_extra(PyObject *given);
/* The protocol's connection_made() runs in the next turn, and the transport's
 * _start(waiter) right behind it. Borrows everything; -1 with an exception set. */
int transport_start_soon(Engine *engine, PyObject *transport,
                         PyObject *protocol, PyObject *waiter);
/* waiter.set_result(None) unless it was cancelled or is None. Borrows it; -1 with an
 * exception set. */
int transport_wake(ModuleState *state, PyObject *waiter);

/* ---- methods ---- */

/* Somebody wants to watch the fd of a transport that is open: RuntimeError and -1. */
int transport_refuse_fd(PyObject *transport, int fd);
/* The arguments of get_extra_info(name, default=None), borrowed. -1 with TypeError. */
int transport_info_arguments(PyObject *args, PyObject *kwargs, PyObject **name,
                             PyObject **fallback);
/* What `extra`, a dict or NULL, has under the name, else `fallback`. New reference,
 * NULL on failure. */
PyObject *transport_info(PyObject *extra, PyObject *name, PyObject *fallback);
/* set_protocol(protocol), into the field. New reference to None, NULL on failure. */
PyObject *transport_set_protocol(PyObject **field, PyObject *args,
                                 PyObject *kwargs);

/* ---- the end ---- */

/* The transport's _call_connection_lost(exc) runs in the next turn, in `context`, or
 * in the current one for NULL. Borrows everything; -1 with an exception set. */
int transport_lose_soon(Engine *engine, PyObject *transport, PyObject *exc,
                        PyObject *context);
/* protocol.connection_lost(exc); `protocol` may be NULL. -1 with what it raises. */
int transport_tell_lost(Engine *engine, PyObject *protocol, PyObject *exc);
/* Of two exceptions, `first` (stolen, may be NULL) and the raised one of `err`, keeps
 * the first; the other is shown as unraisable. */
int transport_keep_first(PyObject *first, int err);
/* For tp_finalize, where nobody has closed it: says so, and closes. */
void transport_finalize(PyObject *transport, int (*close)(PyObject *));

#endif
