/* Socket addresses. Called by transports (net/stream_info.c,
 * net/datagram_peers.c) and by the Loop's getaddrinfo(). */
#include "base/sockaddr.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <string.h>

SocketAddress *
sockaddr_copy(const SocketAddress *address)
{
    const size_t head = offsetof(SocketAddress, address);
    size_t size = head + address->length;
    size_t least = head + sizeof(struct sockaddr_in6);
    SocketAddress *copy = PyMem_Malloc(size < least ? least : size);
    if (copy != NULL) {
        memcpy(copy, address, size);
    }
    return copy;
}

static PyObject *
v4_to_python(const struct sockaddr_in *address)
{
    char host[INET_ADDRSTRLEN];
    if (inet_ntop(AF_INET, &address->sin_addr, host, sizeof(host)) == NULL) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return Py_BuildValue("(si)", host, ntohs(address->sin_port));
}

static PyObject *
v6_to_python(const struct sockaddr_in6 *address)
{
    char host[INET6_ADDRSTRLEN];
    if (inet_ntop(AF_INET6, &address->sin6_addr, host, sizeof(host)) == NULL) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return Py_BuildValue("(siII)", host, ntohs(address->sin6_port),
                         ntohl(address->sin6_flowinfo),
                         address->sin6_scope_id);
}

static PyObject *
path_to_python(const struct sockaddr_un *address, socklen_t length)
{
    size_t offset = offsetof(struct sockaddr_un, sun_path);
    size_t size = length > offset ? length - offset : 0;
#ifdef __linux__
    if (size > 0 && address->sun_path[0] == '\0') {
        /* The abstract namespace: every byte counts. */
        return PyBytes_FromStringAndSize(address->sun_path, (Py_ssize_t)size);
    }
#endif
    return PyUnicode_DecodeFSDefaultAndSize(
        address->sun_path, (Py_ssize_t)strnlen(address->sun_path, size));
}

PyObject *
sockaddr_to_python(const SocketAddress *address)
{
    if (address->length == 0) {
        Py_RETURN_NONE;
    }
    switch (address->address.any.sa_family) {
    case AF_INET:
        return v4_to_python(&address->address.v4);
    case AF_INET6:
        return v6_to_python(&address->address.v6);
    case AF_UNIX:
        return path_to_python(&address->address.path, address->length);
    default:
        Py_RETURN_NONE;
    }
}

/* ---- from Python ---- */

/* The item of a tuple as an int between 0 and `max`. */
static bool
number_in_range(PyObject *name, Py_ssize_t index, uint32_t max,
                uint32_t *number)
{
    PyObject *item = PyTuple_GET_ITEM(name, index);
    int overflow = 0;
    long long value = PyLong_CheckExact(item)
                          ? PyLong_AsLongLongAndOverflow(item, &overflow)
                          : -1;
    *number = (uint32_t)value;
    return overflow == 0 && value >= 0 && value <= max;
}

/* (host, port, …) with a host in digits and a port in range. */
static bool
host_and_port(int family, PyObject *name, void *host, in_port_t *port)
{
    PyObject *text = PyTuple_GET_ITEM(name, 0);
    uint32_t number;
    if (!PyUnicode_CheckExact(text) || !PyUnicode_IS_COMPACT_ASCII(text)
        || !number_in_range(name, 1, UINT16_MAX, &number)) {
        return false;
    }
    const char *digits = PyUnicode_DATA(text);
    *port = htons((uint16_t)number);
    return strlen(digits) == (size_t)PyUnicode_GET_LENGTH(text)
           && inet_pton(family, digits, host) == 1;
}

static bool
v4_from_python(PyObject *name, struct sockaddr_in *address)
{
    memset(address, 0, sizeof(*address));
    address->sin_family = AF_INET;
    return PyTuple_GET_SIZE(name) == 2
           && host_and_port(AF_INET, name, &address->sin_addr,
                            &address->sin_port);
}

static bool
v6_from_python(PyObject *name, struct sockaddr_in6 *address)
{
    Py_ssize_t size = PyTuple_GET_SIZE(name);
    uint32_t flow = 0;
    memset(address, 0, sizeof(*address));
    address->sin6_family = AF_INET6;
    if (size < 2 || size > 4
        || (size > 2 && !number_in_range(name, 2, 0xFFFFF, &flow))
        || (size > 3
            && !number_in_range(name, 3, UINT32_MAX,
                                &address->sin6_scope_id))) {
        return false;
    }
    address->sin6_flowinfo = htonl(flow);
    return host_and_port(AF_INET6, name, &address->sin6_addr,
                         &address->sin6_port);
}

/* A path ends with a NUL; a name in Linux's abstract namespace is as long as it
 * is. */
static bool
path_from_bytes(PyObject *path, SocketAddress *address)
{
    struct sockaddr_un *to = &address->address.path;
    size_t size = (size_t)PyBytes_GET_SIZE(path);
    if (size == 0 || size >= sizeof(to->sun_path)) {
        return false;
    }
    memset(to, 0, sizeof(*to));
    to->sun_family = AF_UNIX;
    memcpy(to->sun_path, PyBytes_AS_STRING(path), size);
    bool abstract = to->sun_path[0] == '\0';
    address->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size
                                  + (abstract ? 0 : 1));
    return true;
}

static bool
path_from_python(PyObject *name, SocketAddress *address)
{
    if (PyBytes_CheckExact(name)) {
        return path_from_bytes(name, address);
    }
    PyObject *path =
        PyUnicode_CheckExact(name) ? PyUnicode_EncodeFSDefault(name) : NULL;
    bool fits = path != NULL && path_from_bytes(path, address);
    Py_XDECREF(path);
    PyErr_Clear(); /* surrogates that stand for no byte: not a path */
    return fits;
}

bool
sockaddr_from_python(int family, PyObject *name, SocketAddress *address)
{
    if (family == AF_UNIX) {
        return path_from_python(name, address);
    }
    if (!PyTuple_CheckExact(name) || PyTuple_GET_SIZE(name) < 2) {
        return false;
    }
    if (family == AF_INET) {
        address->length = sizeof(address->address.v4);
        return v4_from_python(name, &address->address.v4);
    }
    address->length = sizeof(address->address.v6);
    return family == AF_INET6 && v6_from_python(name, &address->address.v6);
}

/* ---- names that are addresses ---- */

bool
sockaddr_is_literal(PyObject *host)
{
    Py_ssize_t length = 0;
    const char *text = NULL;
    if (PyUnicode_Check(host)) {
        text = PyUnicode_AsUTF8AndSize(host, &length);
    }
    else if (PyBytes_Check(host)) {
        text = PyBytes_AS_STRING(host);
        length = PyBytes_GET_SIZE(host);
    }
    char address[INET6_ADDRSTRLEN];
    if (text == NULL || length >= (Py_ssize_t)sizeof(address)
        || strlen(text) != (size_t)length) {
        PyErr_Clear(); /* lone surrogates: not an address */
        return false;
    }
    memcpy(address, text, (size_t)length + 1);
    char *zone = strchr(address, '%');
    if (zone != NULL) {
        *zone = '\0';
    }
    struct in6_addr parsed;
    return (zone == NULL && inet_pton(AF_INET, address, &parsed) == 1)
           || inet_pton(AF_INET6, address, &parsed) == 1;
}
