/* Socket addresses as Python shows them, and names that are addresses. */
#ifndef PYAIO_BASE_SOCKADDR_H
#define PYAIO_BASE_SOCKADDR_H

#include <Python.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Any address that a transport can have; `length` 0 when there is none. */
typedef struct SocketAddress {
    socklen_t length;
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un path;
    } address;
} SocketAddress;

/* A copy that takes no more than the address needs (most are 16 bytes), to be freed by
 * PyMem_Free(); no exception is set where there is no memory. */
SocketAddress *sockaddr_copy(const SocketAddress *address);

/* What socket.getsockname() would give: (host, port), (host, port, flowinfo,
 * scope_id), a path. None without an address or of another family. New
 * reference, NULL on failure. */
PyObject *sockaddr_to_python(const SocketAddress *address);

/* The address that socket.sendto() makes of `name` on a socket of that family,
 * where that needs nobody's help: an IPv4 or IPv6 address in a tuple, a path.
 * False, with no exception set, for all else: names to look up, what is out of
 * range, what is no address. */
bool sockaddr_from_python(int family, PyObject *name, SocketAddress *address);

/* True for a str or bytes that getaddrinfo(3) takes as an address, without a question
 * to anybody: "127.0.0.1", "::1", "fe80::1%lo". */
bool sockaddr_is_literal(PyObject *host);

#endif
