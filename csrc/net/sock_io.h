/* One call of loop.sock_*(), as an attempt sees it: operation, socket, arguments. An
 * attempt does not wait; api/sock_call.c does, and tries again. Nothing here knows
 * of futures. */
#ifndef PYAIO_NET_SOCK_IO_H
#define PYAIO_NET_SOCK_IO_H

#include "engine/engine.h"

typedef struct SockOp SockOp;

/* One call's socket and arguments, and how far it has come. */
typedef struct SockIO {
    const SockOp *op;
    Engine *engine;    /* valid while its loop is held, which the owner does */
    PyObject *sock;    /* owned: a plain, non-blocking socket.socket */
    PyObject *data;    /* owned: a buffer, or what to send; may be NULL */
    PyObject *address; /* owned: where to send or connect; may be NULL */
    Py_ssize_t size;   /* how many bytes to receive at the most */
    bool connecting;   /* connect() has been called */
    bool drained;      /* the last attempt has left nothing to be read */
    Py_buffer view;    /* of `data`, from the first attempt to send it all to
                          the last; `obj` is NULL without it */
    Py_ssize_t sent;   /* bytes of `view` that have left */
} SockIO;

struct SockOp {
    const char *name;       /* of the loop's method */
    int event;              /* WATCH_READ or WATCH_WRITE: what to wait for */
    Py_ssize_t least, most; /* arguments, behind the socket */
    /* Takes the arguments: 1; 0 for what is left to asyncio's own code, such as
     * arguments that are wrong; -1 with an exception set. */
    int (*take)(SockIO *io, PyObject *const *args, Py_ssize_t nargs);
    /* The result, a new reference; NULL without an exception when the socket
     * would block, NULL with one on failure. */
    PyObject *(*attempt)(SockIO *io);
};

/* The operation behind the loop's method of that name, or NULL. */
const SockOp *sock_op_find(PyObject *name);

/* Takes socket and arguments into an empty `io`, which has an engine. As
 * SockOp.take. */
int sock_io_take(SockIO *io, const SockOp *op, PyObject *const *args,
                 Py_ssize_t nargs);
/* The fd of the socket, -1 when it is closed. */
int sock_io_fd(const SockIO *io);
/* The int behind a descriptor of _socket.socket, such as ModuleState.socket_family. */
int sock_io_int(const SockIO *io, PyObject *descriptor);
int sock_io_traverse(SockIO *io, visitproc visit, void *arg);
/* Lets go of all that it holds. */
void sock_io_clear(SockIO *io);

int sock_io_setup(ModuleState *state);

#endif
