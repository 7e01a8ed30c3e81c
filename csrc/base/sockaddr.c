/* Socket addresses. Called by streams (net/stream_info.c) and by the Loop's
 * getaddrinfo(). */
#include "base/sockaddr.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <string.h>

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
