/* The way of the packets out: from sendto() to the socket.
 *
 * A packet goes at once when none is queued. What the socket does not take
 * waits for it to become writable. Where the address is one that needs no help,
 * the kernel is called; for anything unusual the socket object's own sendto()
 * is, which knows names, families and errors. */
#include "base/compat.h"
#include "base/errors.h"
#include "base/platform.h"
#include "net/datagram.h"

#define SENDS 64 /* packets in a row, for fairness */

/* ---- one packet ---- */

/* sendto() that is not disturbed by signals. */
static ssize_t
transmit(int fd, const Py_buffer *view, const SocketAddress *address)
{
    const struct sockaddr *to = address ? &address->address.any : NULL;
    socklen_t length = address ? address->length : 0;
    ssize_t sent;
    do {
        sent = sendto(fd, view->buf, (size_t)view->len,
                      PLATFORM_SEND_FLAGS | PLATFORM_NOW, to, length);
    } while (sent < 0 && errno == EINTR);
    return sent;
}

/* These send one packet: 1 when it is on its way, 0 when the socket takes none
 * now, -1 with an exception set. */

/* To `address`, or to the socket's peer where that is NULL. */
static int
send_by_kernel(DatagramObject *self, PyObject *data,
               const SocketAddress *address)
{
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        return -1;
    }
    ssize_t sent = -1;
    errno = EBADF;
    if (self->sock != NULL) { /* asking for the bytes may have ended us */
        sent = transmit(self->fd, &view, address);
    }
    int error = errno;
    PyBuffer_Release(&view);
    if (sent >= 0) {
        self->engine->poll_now = true; /* the answer may be there already */
        return 1;
    }
    if (errors_is_retry(error)) {
        return 0;
    }
    errno = error;
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

static int
send_by_socket(DatagramObject *self, PyObject *data, PyObject *address)
{
    PyObject *sock = Py_NewRef(self->sock);
    PyObject *result = PyObject_CallMethodObjArgs(
        sock, STATE_NAME(self->engine->state, sendto), data, address, NULL);
    Py_DECREF(sock);
    if (result != NULL) {
        Py_DECREF(result);
        self->engine->poll_now = true;
        return 1;
    }
    if (PyErr_ExceptionMatches(PyExc_BlockingIOError)
        || PyErr_ExceptionMatches(PyExc_InterruptedError)) {
        PyErr_Clear();
        return 0;
    }
    return -1;
}

static int
send_packet(DatagramObject *self, PyObject *data, PyObject *address)
{
    if (self->connected) {
        return send_by_kernel(self, data, NULL);
    }
    SocketAddress target;
    if (!peers_address(&self->peers, self->family, address, &target)) {
        return send_by_socket(self, data, address);
    }
    if (PySys_Audit("socket.sendto", "OO", self->sock, address) < 0) {
        return -1;
    }
    return send_by_kernel(self, data, &target);
}

/* An OSError is the protocol's to hear of, all else ends the transport. 0, or
 * -1 with what error_received() raises or has to leave run_forever(). */
static int
send_failed(DatagramObject *self)
{
    if (PyErr_ExceptionMatches(PyExc_OSError)) {
        return datagram_error_received(self);
    }
    return datagram_fatal(self, "Fatal write error on datagram transport");
}

/* ---- the queue ---- */

static int
send_later(DatagramObject *self, PyObject *data, PyObject *address)
{
    PyObject *bytes =
        PyObject_Bytes(data); /* itself, or a copy of its bytes */
    if (bytes == NULL) {
        return -1;
    }
    int err = datagram_queue_push(&self->queue, bytes, address);
    Py_DECREF(bytes);
    return err < 0 ? -1 : datagram_flow_pause(self);
}

/* Sends the oldest of the queue. As send_packet(). */
static int
send_oldest(DatagramObject *self)
{
    Datagram oldest = datagram_queue_pop(&self->queue);
    int sent = send_packet(self, oldest.data, oldest.address);
    if (sent == 0 && self->write_armed) {
        return datagram_queue_unpop_steal(&self->queue, oldest);
    }
    PyObject *raised = PyErr_GetRaisedException();
    datagram_drop(oldest);
    if (raised != NULL) {
        PyErr_SetRaisedException(raised);
    }
    return sent;
}

static int
flush_queue(DatagramObject *self)
{
    for (int i = 0; i < SENDS && !datagram_queue_is_empty(&self->queue); i++) {
        int sent = send_oldest(self);
        if (sent < 0) {
            /* The others wait for the next event. */
            return datagram_contain(self, send_failed(self), "_sendto_ready");
        }
        if (sent == 0) {
            break;
        }
    }
    if (datagram_flow_resume(self) < 0) { /* may send, close, abort */
        return -1;
    }
    if (!datagram_queue_is_empty(&self->queue) || !self->write_armed) {
        return 0;
    }
    self->write_armed = false;
    datagram_update_watch(self);
    if (!self->closing || self->lost_writes) {
        return 0;
    }
    return datagram_contain(self, datagram_finish(self, Py_None),
                            "_sendto_ready");
}

int
datagram_on_writable(DatagramObject *self)
{
    if (!self->write_armed) {
        return 0;
    }
    PyObject *context = Py_NewRef(self->write_context);
    int err = -1;
    if (PyContext_Enter(context) == 0) {
        err = flush_queue(self);
        if (PyContext_Exit(context) < 0) {
            err = -1;
        }
    }
    Py_DECREF(context);
    return err;
}

/* ---- sendto() ---- */

static int
type_error(PyObject *data)
{
    PyObject *name = PyType_GetName(Py_TYPE(data));
    if (name != NULL) {
        PyErr_Format(PyExc_TypeError,
                     "data argument must be a bytes-like object, not %R",
                     name);
        Py_DECREF(name);
    }
    return -1;
}

/* 1 for what is to be sent, 0 for what is not, -1 with an exception set. */
static int
check_data(PyObject *data)
{
    if (!PyBytes_Check(data) && !PyByteArray_Check(data)
        && !PyMemoryView_Check(data)) {
        return type_error(data);
    }
    return PYAIO_SENDS_EMPTY_DATAGRAMS ? 1 : PyObject_IsTrue(data);
}

/* With one remote address, that or None is all that may be given. */
static int
check_address(DatagramObject *self, PyObject *address)
{
    if (address == Py_None || address == self->address) {
        return 0;
    }
    PyObject *allowed = PyTuple_Pack(2, Py_None, self->address);
    int found = allowed ? PySequence_Contains(allowed, address) : -1;
    Py_XDECREF(allowed);
    if (found == 0) {
        PyErr_Format(PyExc_ValueError, "Invalid address: must be None or %S",
                     self->address);
    }
    return found > 0 ? 0 : -1;
}

/* After close() or the end of the transport. */
static int
send_is_lost(DatagramObject *self)
{
    return transport_write_lost((Transport *)self, &self->lost_writes,
                                "socket.send() raised exception.");
}

int
datagram_sendto(DatagramObject *self, PyObject *data, PyObject *address)
{
    int some = check_data(data);
    if (some <= 0) {
        return some;
    }
    if (self->has_address) {
        if (check_address(self, address) < 0) {
            return -1;
        }
        if (self->lost_writes) {
            return send_is_lost(self);
        }
        address = self->address;
    }
    if (self->sock == NULL) {
        /* What asyncio's ends with when it has no remote address. */
        PyErr_SetString(PyExc_AttributeError,
                        "'NoneType' object has no attribute "
                        "'call_exception_handler'");
        return -1;
    }
    if (datagram_queue_is_empty(&self->queue)) {
        int sent = send_packet(self, data, address);
        if (sent != 0) {
            return sent > 0 ? 0 : send_failed(self);
        }
        if (transport_arm_writer((Transport *)self) < 0) {
            return -1;
        }
    }
    return send_later(self, data, address);
}
