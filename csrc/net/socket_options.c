/* Facts and options of sockets. Called where streams and listeners are made. */
#include "net/socket_options.h"

#include "base/compat.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

/* A socket.socket makes enums of its family and its type, by Python; the class that it
 * builds on has the numbers. New reference, NULL with an exception set. */
static PyObject *
number_of(ModuleState *state, PyObject *sock, PyObject *name)
{
    if (!Py_IS_TYPE(sock, (PyTypeObject *)state->socket_type)) {
        return PyObject_GetAttr(sock, name);
    }
    PyObject *member = compat_type_lookup(Py_TYPE(sock)->tp_base, name);
    descrgetfunc get = member == NULL ? NULL : Py_TYPE(member)->tp_descr_get;
    PyObject *number = get == NULL
                           ? PyObject_GetAttr(sock, name)
                           : get(member, sock, (PyObject *)Py_TYPE(sock));
    Py_XDECREF(member);
    return number;
}

static int
int_attribute(ModuleState *state, PyObject *sock, PyObject *name, int *value)
{
    PyObject *attribute = number_of(state, sock, name);
    long number = attribute == NULL ? -1 : PyLong_AsLong(attribute);
    Py_XDECREF(attribute);
    *value = (int)number;
    return number == -1 && PyErr_Occurred() ? -1 : 0;
}

int
socket_facts(ModuleState *state, PyObject *sock, SocketFacts *facts)
{
    facts->fd = PyObject_AsFileDescriptor(sock);
    if (facts->fd < 0) {
        return -1;
    }
    if (int_attribute(state, sock, STATE_NAME(state, family), &facts->family)
            < 0
        || int_attribute(state, sock, STATE_NAME(state, type), &facts->type)
               < 0) {
        return -1;
    }
    return int_attribute(state, sock, STATE_NAME(state, proto), &facts->proto);
}

/* 1 when the type's method is socket.socket's, 0 when not, -1 on error. */
static int
is_inherited(ModuleState *state, PyTypeObject *type, const char *name)
{
    PyObject *ours = PyObject_GetAttrString(state->socket_type, name);
    PyObject *theirs =
        ours ? PyObject_GetAttrString((PyObject *)type, name) : NULL;
    int same = theirs == NULL ? -1 : ours == theirs;
    Py_XDECREF(theirs);
    Py_XDECREF(ours);
    return same;
}

int
socket_is_plain(ModuleState *state, PyObject *sock)
{
    static const char *const moving_bytes[] = {
        "recv",   "recv_into", "recvfrom", "send",
        "sendto", "sendmsg",   "shutdown", "accept"};
    if (Py_IS_TYPE(sock, (PyTypeObject *)state->socket_type)) {
        return 1;
    }
    int plain =
        PyType_IsSubtype(Py_TYPE(sock), (PyTypeObject *)state->socket_type);
    for (size_t i = 0; plain > 0 && i < Py_ARRAY_LENGTH(moving_bytes); i++) {
        plain = is_inherited(state, Py_TYPE(sock), moving_bytes[i]);
    }
    return plain;
}

PyObject *
socket_from_facts(ModuleState *state, const SocketFacts *facts)
{
    PyObject *sock =
        PyObject_CallFunction(state->socket_type, "iiii", facts->family,
                              facts->type, facts->proto, facts->fd);
    /* It has to know that the fd does not block: its dup() would set it. */
    PyObject *done = sock ? PyObject_CallMethodOneArg(
                                sock, STATE_NAME(state, setblocking), Py_False)
                          : NULL;
    if (done == NULL && sock != NULL) {
        socket_give_back(sock);
        sock = NULL;
    }
    Py_XDECREF(done);
    return sock;
}

void
socket_give_back(PyObject *sock)
{
    PyObject *raised = PyErr_GetRaisedException();
    PyObject *fd = PyObject_CallMethod(sock, "detach", NULL);
    if (fd == NULL) {
        PyErr_WriteUnraisable(sock);
    }
    Py_XDECREF(fd);
    Py_DECREF(sock);
    if (raised != NULL) {
        PyErr_SetRaisedException(raised);
    }
}

void
socket_set_nodelay(const SocketFacts *facts)
{
    if ((facts->family == AF_INET || facts->family == AF_INET6)
        && facts->type == SOCK_STREAM && facts->proto == IPPROTO_TCP) {
        int on = 1;
        (void)setsockopt(facts->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    }
}
