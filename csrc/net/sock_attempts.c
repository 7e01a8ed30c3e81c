/* The attempts of loop.sock_*(): one system call each, with the GIL held, since the
 * socket does not block. Called by api/sock_call.c through the table in
 * net/sock_io.c.
 *
 * What moves the bytes is that of the socket's methods, which is why the socket
 * has to be plain: recv() is socket.recv() without a tuple of arguments, without a
 * buffer for what is not there, and without letting other threads in. */
#include "net/sock_attempts.h"

#include "base/compat.h"
#include "base/errors.h"
#include "base/platform.h"
#include "base/sockaddr.h"
#include "net/socket_options.h"

/* The outcome of a failed system call. */
static PyObject *
not_now(void)
{
    return errors_is_retry(errno) ? NULL : PyErr_SetFromErrno(PyExc_OSError);
}

/* And of a method of the socket. */
static PyObject *
not_now_of_method(void)
{
    if (PyErr_ExceptionMatches(PyExc_BlockingIOError)
        || PyErr_ExceptionMatches(PyExc_InterruptedError)) {
        PyErr_Clear();
    }
    return NULL;
}

/* ---- receiving ---- */

/* A stream has nothing left that gave less than there was room for, as a rule. */
static bool
has_drained(const SockIO *io, ssize_t got, Py_ssize_t size)
{
    return got > 0 && got < size
           && sock_io_int(io, io->engine->state->socket_kind) == SOCK_STREAM;
}

/* recv(), or recvfrom() with `from`. */
static ssize_t
receive(SockIO *io, void *buffer, Py_ssize_t size, SocketAddress *from)
{
    int fd = sock_io_fd(io);
    struct sockaddr *address = from ? &from->address.any : NULL;
    ssize_t got;
    do {
        if (from != NULL) {
            from->length = sizeof(from->address);
        }
        got = recvfrom(fd, buffer, (size_t)size, PLATFORM_NOW, address,
                       from ? &from->length : NULL);
    } while (got < 0 && errno == EINTR);
    io->drained = has_drained(io, got, size);
    return got;
}

/* More than the shared buffer holds: into the object itself. */
static PyObject *
receive_large(SockIO *io, SocketAddress *from)
{
    PyObject *data = PyBytes_FromStringAndSize(NULL, io->size);
    if (data == NULL) {
        return NULL;
    }
    ssize_t got = receive(io, PyBytes_AS_STRING(data), io->size, from);
    if (got < 0) {
        Py_DECREF(data);
        return not_now();
    }
    (void)_PyBytes_Resize(&data, got);
    return data;
}

/* A bytes object of what is there. */
static PyObject *
receive_bytes(SockIO *io, SocketAddress *from)
{
    if (io->size > ENGINE_SCRATCH_SIZE) {
        return receive_large(io, from);
    }
    char *scratch = engine_scratch(io->engine);
    if (scratch == NULL) {
        return NULL;
    }
    ssize_t got = receive(io, scratch, io->size, from);
    engine_note_read(io->engine, got);
    return got < 0 ? not_now() : PyBytes_FromStringAndSize(scratch, got);
}

/* (what, address); `what` is stolen, NULL on failure. */
static PyObject *
with_address(PyObject *what, const SocketAddress *address)
{
    PyObject *from = what ? sockaddr_to_python(address) : NULL;
    PyObject *pair = from ? PyTuple_Pack(2, what, from) : NULL;
    Py_XDECREF(from);
    Py_XDECREF(what);
    return pair;
}

PyObject *
sock_attempt_recv(SockIO *io)
{
    return receive_bytes(io, NULL);
}

PyObject *
sock_attempt_recvfrom(SockIO *io)
{
    SocketAddress from;
    return with_address(receive_bytes(io, &from), &from);
}

/* The number of bytes that came into the buffer; `from` may be NULL. */
static PyObject *
receive_into(SockIO *io, Py_buffer *view, SocketAddress *from)
{
    Py_ssize_t size = io->size > 0 ? io->size : view->len;
    if (size == 0 && from == NULL) {
        return PyLong_FromLong(0); /* without a call, as the method */
    }
    ssize_t got = receive(io, view->buf, size, from);
    return got < 0 ? not_now() : PyLong_FromSsize_t(got);
}

/* True where the buffer has been taken and has room; false where the socket's
 * own method has to say what is wrong. */
static bool
take_room(const SockIO *io, Py_buffer *view)
{
    if (PyObject_GetBuffer(io->data, view, PyBUF_WRITABLE) < 0) {
        PyErr_Clear();
        return false;
    }
    if (io->size > view->len) {
        PyBuffer_Release(view);
        return false;
    }
    return true;
}

PyObject *
sock_attempt_recv_into(SockIO *io)
{
    Py_buffer view;
    if (!take_room(io, &view)) {
        return PyObject_CallMethodOneArg(
            io->sock, STATE_NAME(io->engine->state, recv_into), io->data);
    }
    PyObject *got = receive_into(io, &view, NULL);
    PyBuffer_Release(&view);
    return got;
}

PyObject *
sock_attempt_recvfrom_into(SockIO *io)
{
    Py_buffer view;
    if (!take_room(io, &view)) {
        PyObject *size = PyLong_FromSsize_t(io->size);
        PyObject *got =
            size ? PyObject_CallMethodObjArgs(
                       io->sock, STATE_NAME(io->engine->state, recvfrom_into),
                       io->data, size, NULL)
                 : NULL;
        Py_XDECREF(size);
        return got;
    }
    SocketAddress from;
    PyObject *got = receive_into(io, &view, &from);
    PyBuffer_Release(&view);
    return with_address(got, &from);
}

/* ---- sending ---- */

/* The answer to what leaves may be there before the next turn. */
static void
note_sent(const SockIO *io)
{
    io->engine->poll_now = true;
}

PyObject *
sock_attempt_sendall(SockIO *io)
{
    Py_buffer *view = &io->view;
    if (view->obj == NULL
        && PyObject_GetBuffer(io->data, view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    ssize_t sent;
    do {
        sent = send(sock_io_fd(io), (char *)view->buf + io->sent,
                    (size_t)(view->len - io->sent),
                    PLATFORM_NOW | PLATFORM_SEND_FLAGS);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0) {
        return not_now();
    }
    note_sent(io);
    io->sent += sent;
    if (io->sent < view->len) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* By the socket's method, which knows all kinds of addresses. */
PyObject *
sock_attempt_sendto(SockIO *io)
{
    PyObject *sent = PyObject_CallMethodObjArgs(
        io->sock, STATE_NAME(io->engine->state, sendto), io->data, io->address,
        NULL);
    note_sent(io);
    return sent != NULL ? sent : not_now_of_method();
}

/* ---- connecting ---- */

/* By the socket's method, which has its audit event. */
static PyObject *
begin_to_connect(SockIO *io)
{
    PyObject *done = PyObject_CallMethodOneArg(
        io->sock, STATE_NAME(io->engine->state, connect), io->address);
    io->connecting = true;
    note_sent(io);
    return done != NULL ? done : not_now_of_method();
}

/* OSError(error, "Connect call failed ADDRESS"), of the error's own class. */
static PyObject *
connect_failed(const SockIO *io, int error)
{
    PyObject *message =
        PyUnicode_FromFormat("Connect call failed %S", io->address);
    PyObject *exception =
        message ? PyObject_CallFunction(PyExc_OSError, "iN", error, message)
                : NULL;
    if (exception != NULL) {
        PyErr_SetRaisedException(exception);
    }
    return NULL;
}

PyObject *
sock_attempt_connect(SockIO *io)
{
    if (!io->connecting) {
        return begin_to_connect(io);
    }
    int error;
    socklen_t length = sizeof(error);
    if (getsockopt(sock_io_fd(io), SOL_SOCKET, SO_ERROR, &error, &length)
        < 0) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return error == 0 ? Py_NewRef(Py_None) : connect_failed(io, error);
}

/* ---- accepting ---- */

/* A socket object for an accepted fd, which it takes over, also on failure. */
static PyObject *
accepted_socket(const SockIO *io, int conn)
{
    ModuleState *state = io->engine->state;
    SocketFacts facts = {
        .fd = conn,
        .family = sock_io_int(io, state->socket_family),
        .type = sock_io_int(io, state->socket_kind),
        .proto = sock_io_int(io, state->socket_proto),
    };
    PyObject *sock = socket_from_facts(state, &facts);
    if (sock == NULL) {
        close(conn);
    }
    return sock;
}

PyObject *
sock_attempt_accept(SockIO *io)
{
    SocketAddress from;
    from.length = sizeof(from.address);
    int conn =
        platform_accept(sock_io_fd(io), &from.address.any, &from.length);
    return conn < 0 ? not_now()
                    : with_address(accepted_socket(io, conn), &from);
}
