/* The way of the packets in: from the socket to datagram_received().
 *
 * The turn runs the watcher, the watcher calls datagram_on_readable(), and this
 * reads packet by packet until there is none, or the transport has had its
 * share of the turn. Each packet is read when the callback before it is over:
 * one that closes, pauses or sets another protocol has its effect on the next. */
#include "base/errors.h"
#include "base/platform.h"
#include "net/datagram.h"

/* The share of one turn. */
#define SHARE_PACKETS 32
#define SHARE_BYTES ENGINE_SCRATCH_SIZE

/* recvfrom() that is not disturbed by signals. */
static ssize_t
receive(int fd, char *buffer, SocketAddress *from)
{
    ssize_t count;
    do {
        from->length = sizeof(from->address);
        count = recvfrom(fd, buffer, ENGINE_SCRATCH_SIZE, PLATFORM_NOW,
                         &from->address.any, &from->length);
    } while (count < 0 && errno == EINTR);
    return count;
}

/* The socket has nothing more, or has an error to tell, such as that nobody
 * listens where something was sent. */
static int
receive_failed(DatagramObject *self)
{
    if (errors_is_retry(errno)) {
        return 0;
    }
    PyErr_SetFromErrno(PyExc_OSError);
    return datagram_contain(self, datagram_error_received(self),
                            "_read_ready");
}

/* datagram_received(data, address). -1 with what that raises. */
static int
call_protocol(DatagramObject *self, PyObject *data, PyObject *address)
{
    PyObject *protocol = Py_NewRef(self->protocol);
    PyObject *args[] = {NULL, protocol, data, address};
    PyObject *result = PyObject_VectorcallMethod(
        STATE_NAME(self->engine->state, datagram_received), args + 1,
        3 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    Py_DECREF(protocol);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* Hands over what lies in the scratch buffer. 1 when all went well, 0 when an
 * exception was reported, -1 with what has to leave run_forever(). */
static int
deliver(DatagramObject *self, const char *scratch, ssize_t count,
        const SocketAddress *from)
{
    PyObject *data = PyBytes_FromStringAndSize(scratch, count);
    PyObject *address = data ? peers_name(&self->peers, from) : NULL;
    if (address == NULL) {
        Py_XDECREF(data);
        return datagram_fatal(self, "Fatal read error on datagram transport");
    }
    int err = call_protocol(self, data, address);
    Py_DECREF(address);
    Py_DECREF(data);
    return err == 0 ? 1 : datagram_contain(self, err, "_read_ready");
}

/* What was decided in a callback: no more packets in this turn, not in this
 * context, or, where the loop is turned by hand, no more of anything. */
static bool
has_had_enough(DatagramObject *self, PyObject *context)
{
    return !self->reading || self->context != context || self->engine->stopping
           || self->engine->closed;
}

static int
read_share(DatagramObject *self, PyObject *context)
{
    char *scratch = engine_scratch(self->engine);
    if (scratch == NULL) {
        return datagram_fatal(self, "Fatal read error on datagram transport");
    }
    ssize_t taken = 0;
    for (int i = 0; i < SHARE_PACKETS && taken < SHARE_BYTES; i++) {
        SocketAddress from;
        ssize_t count = receive(self->fd, scratch, &from);
        if (count < 0) {
            return receive_failed(self);
        }
        int delivered = deliver(self, scratch, count, &from);
        if (delivered <= 0 || has_had_enough(self, context)) {
            return delivered < 0 ? -1 : 0;
        }
        taken += count;
    }
    return 0;
}

int
datagram_on_readable(DatagramObject *self)
{
    if (!self->reading) {
        return 0;
    }
    PyObject *context = Py_NewRef(self->context);
    int err = -1;
    if (PyContext_Enter(context) == 0) {
        err = read_share(self, context);
        if (PyContext_Exit(context) < 0) {
            err = -1;
        }
    }
    Py_DECREF(context);
    return err;
}
