/* Facts and options of sockets. Called where streams and listeners are made. */
#include "net/socket_options.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

static int
int_attribute(PyObject *object, PyObject *name, int *value)
{
    PyObject *attribute = PyObject_GetAttr(object, name);
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
    if (int_attribute(sock, STATE_NAME(state, family), &facts->family) < 0
        || int_attribute(sock, STATE_NAME(state, type), &facts->type) < 0) {
        return -1;
    }
    return int_attribute(sock, STATE_NAME(state, proto), &facts->proto);
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
