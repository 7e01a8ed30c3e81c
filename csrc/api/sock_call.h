/* What loop.sock_recv() and its like return: a coroutine in C, which makes the call
 * when it is awaited, and waits where the socket would block. */
#ifndef PYAIO_API_SOCK_CALL_H
#define PYAIO_API_SOCK_CALL_H

#include "net/poll_slot.h"
#include "net/sock_io.h"
#include "tasks/future.h"

typedef enum {
    SOCK_CALL_CREATED,
    SOCK_CALL_RUNNING,
    SOCK_CALL_SUSPENDED,
    SOCK_CALL_CLOSED
} SockCallState;

typedef struct SockCall {
    PyObject_HEAD
    PyObject *loop;       /* owned; the next in the free list */
    PyObject *function;   /* owned: asyncio's, for the names */
    SockIO io;            /* empty once closed */
    PollWait wait;        /* in the poller of `fd` while suspended */
    int fd;               /* what is waited for while suspended */
    FutureObject *future; /* owned while suspended, else NULL */
    PyObject *stop;       /* owned: what has brought the result; or NULL */
    SockCallState state;
} SockCall;

/* ---- steps: sock_call.c ---- */

/* One step, as am_send. */
PySendResult sock_call_step(SockCall *self, PyObject *value, PyObject **sent);
/* Raises `exception` (stolen) in it, which ends it. -1 with that, or with what is
 * wrong. */
int sock_call_throw(SockCall *self, PyObject *exception);
/* -1 with ValueError while it runs. */
int sock_call_close(SockCall *self);
/* PollWait.on_ready: the socket is ready, or says so. */
int sock_call_on_ready(PollWait *wait);
/* Drops all but what names it, and ends the wait. */
void sock_call_release(SockCall *self);

/* ---- the type: sock_call_type.c ---- */

/* A coroutine of the operation, behind the loop and the method of `function`,
 * asyncio's own. Borrows all. NULL without an exception for what is left to that. */
PyObject *sock_call_new(Engine *engine, PyObject *function, const SockOp *op,
                        PyObject *const *args, Py_ssize_t nargs);

int sock_call_setup(PyObject *module, ModuleState *state);

#endif
