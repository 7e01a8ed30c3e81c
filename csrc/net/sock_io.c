/* What a call of loop.sock_*() is about: its operation, socket and arguments. Made by
 * api/sock_call.c. Where anything is unusual, asyncio's own code is called instead:
 * the messages of errors are its own. */
#include "net/sock_io.h"

#include "base/sockaddr.h"
#include "engine/watcher.h"
#include "net/sock_attempts.h"

#include <limits.h>
#include <sys/socket.h>

/* ---- facts of the socket ---- */

/* A method of _socket.socket without arguments, to be called past the look-up;
 * NULL where it is anything else. */
static PyCFunction
method_of_socket(ModuleState *state, const char *name)
{
    PyObject *method = PyObject_GetAttrString(state->socket_base, name);
    PyCFunction function = NULL;
    if (method != NULL && Py_IS_TYPE(method, &PyMethodDescr_Type)) {
        PyMethodDef *def = ((PyMethodDescrObject *)method)->d_method;
        function = def->ml_flags == METH_NOARGS ? def->ml_meth : NULL;
    }
    Py_XDECREF(method); /* the type, which does not change, holds it */
    return function;
}

int
sock_io_setup(ModuleState *state)
{
    PyObject *base = state->socket_base;
    state->socket_family = PyObject_GetAttrString(base, "family");
    state->socket_kind = PyObject_GetAttrString(base, "type");
    state->socket_proto = PyObject_GetAttrString(base, "proto");
    state->socket_fileno = method_of_socket(state, "fileno");
    state->socket_gettimeout = method_of_socket(state, "gettimeout");
    return PyErr_Occurred() ? -1 : 0;
}

int
sock_io_int(const SockIO *io, PyObject *descriptor)
{
    descrgetfunc get = Py_TYPE(descriptor)->tp_descr_get;
    PyObject *value = get(descriptor, io->sock, (PyObject *)Py_TYPE(io->sock));
    long number = value == NULL ? -1 : PyLong_AsLong(value);
    Py_XDECREF(value);
    return (int)number;
}

int
sock_io_fd(const SockIO *io)
{
    PyObject *number = io->engine->state->socket_fileno(io->sock, NULL);
    long fd = number == NULL ? -1 : PyLong_AsLong(number);
    Py_XDECREF(number);
    return (int)fd;
}

/* 1 when socket.gettimeout() is 0, 0 when not, -1 on error. */
static int
does_not_block(ModuleState *state, PyObject *sock)
{
    PyObject *timeout = state->socket_gettimeout(sock, NULL);
    if (timeout == NULL) {
        return -1;
    }
    int zero = PyFloat_CheckExact(timeout) && PyFloat_AS_DOUBLE(timeout) == 0;
    Py_DECREF(timeout);
    return zero;
}

/* True where sockaddr_to_python() knows the addresses. */
static bool
has_known_addresses(const SockIO *io)
{
    int family = sock_io_int(io, io->engine->state->socket_family);
    return family == AF_INET || family == AF_INET6 || family == AF_UNIX;
}

/* ---- arguments ---- */

/* A buffer of single bytes in one dimension: its len() is what is moved. */
static bool
is_bytes_buffer(PyObject *data)
{
    if (PyBytes_CheckExact(data) || PyByteArray_CheckExact(data)) {
        return true;
    }
    if (!PyMemoryView_Check(data)) {
        return false;
    }
    const Py_buffer *view = PyMemoryView_GET_BUFFER(data);
    return view->ndim == 1 && view->itemsize == 1
           && PyBuffer_IsContiguous(view, 'C');
}

/* How many bytes to receive: 1, or 0 for what is no positive int. */
static int
take_size(SockIO *io, PyObject *size)
{
    if (!PyLong_CheckExact(size)) {
        return 0;
    }
    int overflow;
    long number = PyLong_AsLongAndOverflow(size, &overflow);
    io->size = overflow ? 0 : number;
    return io->size > 0 && io->size <= INT_MAX;
}

static int
take_recv(SockIO *io, PyObject *const *args, Py_ssize_t Py_UNUSED(nargs))
{
    return take_size(io, args[0]);
}

static int
take_recvfrom(SockIO *io, PyObject *const *args, Py_ssize_t Py_UNUSED(nargs))
{
    return take_size(io, args[0]) && has_known_addresses(io);
}

static int
take_data(SockIO *io, PyObject *const *args, Py_ssize_t Py_UNUSED(nargs))
{
    io->data = Py_NewRef(args[0]);
    return is_bytes_buffer(args[0]);
}

static int
take_recvfrom_into(SockIO *io, PyObject *const *args, Py_ssize_t nargs)
{
    return (nargs == 1 || take_size(io, args[1])) && take_data(io, args, nargs)
           && has_known_addresses(io);
}

static int
take_sendto(SockIO *io, PyObject *const *args, Py_ssize_t Py_UNUSED(nargs))
{
    io->data = Py_NewRef(args[0]);
    io->address = Py_NewRef(args[1]);
    return 1;
}

/* The IPv6 address as asyncio resolves it, with all four items. NULL on failure. */
static PyObject *
whole_v6_address(PyObject *address)
{
    PyObject *zero = PyLong_FromLong(0);
    PyObject *whole = zero ? PyTuple_New(4) : NULL;
    for (Py_ssize_t i = 0; whole != NULL && i < 4; i++) {
        bool given = i < PyTuple_GET_SIZE(address);
        PyObject *item = given ? PyTuple_GET_ITEM(address, i) : zero;
        PyTuple_SET_ITEM(whole, i, Py_NewRef(item));
    }
    Py_XDECREF(zero);
    return whole;
}

/* True for what resolves an address without a question to anybody: a kind and a
 * protocol of which getaddrinfo() need not be asked. */
static bool
has_usual_protocol(const SockIO *io)
{
    int kind = sock_io_int(io, io->engine->state->socket_kind);
    int proto = sock_io_int(io, io->engine->state->socket_proto);
    return (kind == SOCK_STREAM || kind == SOCK_DGRAM)
           && (proto == 0 || proto == IPPROTO_TCP || proto == IPPROTO_UDP);
}

static int
take_connect(SockIO *io, PyObject *const *args, Py_ssize_t Py_UNUSED(nargs))
{
    int family = sock_io_int(io, io->engine->state->socket_family);
    SocketAddress parsed;
    if (!sockaddr_from_python(family, args[0], &parsed)
        || (family != AF_UNIX && !has_usual_protocol(io))) {
        return 0;
    }
    io->address =
        family == AF_INET6 ? whole_v6_address(args[0]) : Py_NewRef(args[0]);
    return io->address == NULL ? -1 : 1;
}

static int
take_accept(SockIO *io, PyObject *const *Py_UNUSED(args),
            Py_ssize_t Py_UNUSED(nargs))
{
    return has_known_addresses(io);
}

int
sock_io_take(SockIO *io, const SockOp *op, PyObject *const *args,
             Py_ssize_t nargs)
{
    ModuleState *state = io->engine->state;
    PyObject *sock = nargs > 0 ? args[0] : NULL;
    if (nargs - 1 < op->least || nargs - 1 > op->most
        || !Py_IS_TYPE(sock, (PyTypeObject *)state->socket_type)
        || state->socket_fileno == NULL || state->socket_gettimeout == NULL) {
        return 0;
    }
    int usual = does_not_block(state, sock);
    if (usual <= 0) {
        return usual;
    }
    io->op = op;
    io->sock = Py_NewRef(sock);
    return op->take(io, args + 1, nargs - 1);
}

/* ---- the operations ---- */

static const SockOp operations[] = {
    {"sock_recv", WATCH_READ, 1, 1, take_recv, sock_attempt_recv},
    {"sock_recv_into", WATCH_READ, 1, 1, take_data, sock_attempt_recv_into},
    {"sock_recvfrom", WATCH_READ, 1, 1, take_recvfrom, sock_attempt_recvfrom},
    {"sock_recvfrom_into", WATCH_READ, 1, 2, take_recvfrom_into,
     sock_attempt_recvfrom_into},
    {"sock_sendall", WATCH_WRITE, 1, 1, take_data, sock_attempt_sendall},
    {"sock_sendto", WATCH_WRITE, 2, 2, take_sendto, sock_attempt_sendto},
    {"sock_connect", WATCH_WRITE, 1, 1, take_connect, sock_attempt_connect},
    {"sock_accept", WATCH_READ, 0, 0, take_accept, sock_attempt_accept},
};

const SockOp *
sock_op_find(PyObject *name)
{
    for (size_t i = 0; i < Py_ARRAY_LENGTH(operations); i++) {
        if (PyUnicode_CompareWithASCIIString(name, operations[i].name) == 0) {
            return &operations[i];
        }
    }
    return NULL;
}

/* ---- memory ---- */

int
sock_io_traverse(SockIO *io, visitproc visit, void *arg)
{
    Py_VISIT(io->sock);
    Py_VISIT(io->data);
    Py_VISIT(io->address);
    Py_VISIT(io->view.obj);
    return 0;
}

void
sock_io_clear(SockIO *io)
{
    Py_CLEAR(io->sock);
    Py_CLEAR(io->data);
    Py_CLEAR(io->address);
    PyBuffer_Release(&io->view);
}
