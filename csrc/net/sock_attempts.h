/* The attempts of loop.sock_*(), for SockOp.attempt (net/sock_io.h). */
#ifndef PYAIO_NET_SOCK_ATTEMPTS_H
#define PYAIO_NET_SOCK_ATTEMPTS_H

#include "net/sock_io.h"

PyObject *sock_attempt_recv(SockIO *io);
PyObject *sock_attempt_recvfrom(SockIO *io);
PyObject *sock_attempt_recv_into(SockIO *io);
PyObject *sock_attempt_recvfrom_into(SockIO *io);
PyObject *sock_attempt_sendall(SockIO *io);
PyObject *sock_attempt_sendto(SockIO *io);
PyObject *sock_attempt_connect(SockIO *io);
PyObject *sock_attempt_accept(SockIO *io);

#endif
