/* The datagram transport: one UDP or Unix datagram socket and its protocol.
 *
 * An asyncio.DatagramTransport, with everything of asyncio's own selector
 * transport: net/datagram.c makes, closes and ends it, net/datagram_type.c is
 * what Python sees of it, net/datagram_read.c the way of the packets in,
 * net/datagram_send.c the way out, net/datagram_peers.c knows their addresses. */
#ifndef PYAIO_NET_DATAGRAM_H
#define PYAIO_NET_DATAGRAM_H

#include "engine/engine.h"
#include "engine/watcher.h"
#include "net/datagram_peers.h"
#include "net/datagram_queue.h"
#include "net/transport.h"

typedef struct DatagramObject {
    TRANSPORT_HEAD;
    int family;
    PyObject *sock;    /* owned socket.socket, which owns the fd; NULL once
                          closed */
    PyObject *address; /* owned: the one remote address, as the loop was
                          given it, or None */
    DatagramPeers peers;

    DatagramQueue queue;
    Py_ssize_t lost_writes; /* > 0: connection_lost() has been scheduled */

    bool has_address; /* `address` is true */
    bool connected;   /* the socket has a peer: nothing is sent elsewhere */
} DatagramObject;

/* What makes one; everything is borrowed, and may be None but for the first
 * two. */
typedef struct DatagramParts {
    PyObject
        *sock; /* socket.socket, owned by the transport if all goes well */
    PyObject *protocol;
    PyObject *address; /* the one remote address */
    PyObject *waiter;  /* future to wake when reading starts */
    PyObject *extra;   /* dict to put what is known into */
} DatagramParts;

/* True for a family and type of socket that the native transport serves. */
bool datagram_serves(int family, int type);

/* datagram.c. Schedules connection_made(). New reference, NULL on failure: the
 * socket stays its owner's. */
PyObject *datagram_new(Engine *engine, const DatagramParts *parts);
/* Behind connection_made(): begins to read, wakes the waiter (may be None). -1
 * with an exception set. */
int datagram_start(DatagramObject *self, PyObject *waiter);
/* close(): what is queued is sent first. -1 with an exception set. */
int datagram_close(DatagramObject *self);
/* Closes at once; connection_lost(exc) follows. `exc` is borrowed, may be
 * None. -1 with an exception set. */
int datagram_force_close(DatagramObject *self, PyObject *exc);
/* connection_lost(exc), whatever it raises; then everything is let go. -1 with
 * an exception set. */
int datagram_finish(DatagramObject *self, PyObject *exc);
/* Closes the socket, once. -1 with an exception set. */
int datagram_close_fd(DatagramObject *self);
/* Reports the raised exception, which is no OSError, with `message`, and ends
 * the transport. 0, or -1 with what has to leave run_forever(). */
int datagram_fatal(DatagramObject *self, const char *message);
/* The protocol's error_received() with the raised OSError. -1 with what that
 * raises. */
int datagram_error_received(DatagramObject *self);

/* datagram_read.c and datagram_send.c: on events of the watcher. 0, or -1 with
 * what has to leave run_forever(). */
int datagram_on_readable(DatagramObject *self);
int datagram_on_writable(DatagramObject *self);

/* datagram_send.c. sendto(data, addr). -1 with an exception set. */
int datagram_sendto(DatagramObject *self, PyObject *data, PyObject *address);

static inline void
datagram_update_watch(DatagramObject *self)
{
    transport_update_watch((Transport *)self);
}

/* What the protocol has raised in an event is reported. */
static inline int
datagram_contain(DatagramObject *self, int err, const char *callback)
{
    return transport_contain((Transport *)self, err, callback);
}

/* pause_writing() and resume_writing() where it is due. 0, or -1 with what has to
 * leave run_forever(). */
static inline int
datagram_flow_pause(DatagramObject *self)
{
    return flow_pause(&self->flow, self->queue.size, self->engine,
                      (PyObject *)self, self->protocol);
}

static inline int
datagram_flow_resume(DatagramObject *self)
{
    return flow_resume(&self->flow, self->queue.size, self->engine,
                       (PyObject *)self, self->protocol);
}

/* datagram_type.c. */
int datagram_setup(PyObject *module, ModuleState *state);

#endif
