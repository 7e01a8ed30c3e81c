/* The listener. Started by the Loop's _listen() for each socket of a server; its watcher
 * accepts and makes streams (net/stream.c), or, for TLS, leaves that to asyncio's own
 * code. */
#include "net/listener.h"

#include "base/compat.h"
#include "base/errors.h"
#include "base/platform.h"
#include "engine/handle.h"
#include "engine/report.h"
#include "engine/watcher.h"
#include "net/socket_options.h"
#include "net/stream.h"

/* asyncio.constants.ACCEPT_RETRY_DELAY: after accept() ran out of fds. */
#define RETRY_NS 1000000000
/* So many full shares in a row double the share. */
#define FULL_SHARES 4

typedef struct ListenerObject {
    PyObject_HEAD
    Engine *engine;           /* valid while `loop` is held */
    PyObject *loop;           /* owned */
    PyObject *factory;        /* owned: makes the protocols */
    PyObject *sock;           /* owned socket.socket */
    PyObject *server;         /* owned asyncio.Server, or None */
    PyObject *admit;          /* owned: takes the connections; or None */
    PyObject *context;        /* owned: whose copies connections start in */
    bool owns_callbacks;      /* and in which they stay, since 3.15 */
    TimerHandleObject *retry; /* owned; NULL unless out of fds */
    FdWatcher *watcher;       /* owned; NULL once stopped */
    SocketFacts facts;
    int backlog;
    int share;       /* connections at a time: 1 to backlog */
    int full_shares; /* in a row */
} ListenerObject;

/* ---- one connection ---- */

/* Nobody waits for this connection: asyncio reports it in debug mode only. */
static int
admit_failed(ListenerObject *listener, PyObject *protocol)
{
    if (errors_is_exit()) {
        return -1;
    }
    if (!listener->engine->debug) {
        PyErr_Clear();
        return 0;
    }
    return report_raised(listener->engine,
                         "Error on transport creation for incoming connection",
                         "protocol", protocol, NULL);
}

/* Debug mode tells of the connection, by its socket. New reference; NULL on
 * failure, the fd left open. */
static PyObject *
listener_log(ListenerObject *listener, const SocketFacts *facts,
             const SocketAddress *peer)
{
    ModuleState *state = listener->engine->state;
    PyObject *sock = socket_from_facts(state, facts);
    PyObject *address = sock == NULL ? NULL : sockaddr_to_python(peer);
    PyObject *logged =
        address == NULL
            ? NULL
            : PyObject_CallMethod(state->logger, "debug", "sOOO",
                                  "%r got a new connection from %r: %r",
                                  listener->server, address, sock);
    Py_XDECREF(address);
    if (logged == NULL && sock != NULL) {
        socket_give_back(sock);
        sock = NULL;
    }
    Py_XDECREF(logged);
    return sock;
}

/* Takes the fd, whatever happens. */
static void
drop_connection(int fd, PyObject *sock)
{
    if (sock == NULL) {
        close(fd);
        return;
    }
    PyObject *raised = PyErr_GetRaisedException();
    PyObject *closed = PyObject_CallMethod(sock, "close", NULL);
    if (closed == NULL) {
        report_unraisable("a connection that could not be made");
    }
    Py_XDECREF(closed);
    PyErr_SetRaisedException(raised);
}

/* Takes the fd, whatever happens; `sock` owns it where there is one. */
static int
listener_admit(ListenerObject *listener, const SocketFacts *accepted,
               PyObject *sock, const SocketAddress *peer, PyObject *context)
{
    PyObject *protocol = PyObject_CallNoArgs(listener->factory);
    if (protocol == NULL) {
        drop_connection(accepted->fd, sock);
        return admit_failed(listener, NULL);
    }
    SocketFacts facts = *accepted;
    if (!PLATFORM_ACCEPT_INHERITS_NODELAY) {
        socket_set_nodelay(&facts);
    }
    StreamParts parts = {
        .protocol = protocol,
        .sock = sock,
        .fd = facts.fd,
        .family = facts.family,
        .type = facts.type,
        .proto = facts.proto,
        .peer = peer,
        .server = listener->server,
        .context = listener->owns_callbacks ? context : NULL,
    };
    PyObject *stream = stream_new(listener->engine, &parts);
    if (stream == NULL && sock != NULL) {
        drop_connection(facts.fd, sock);
    }
    int err = stream == NULL ? admit_failed(listener, protocol) : 0;
    Py_XDECREF(stream); /* the ready queue holds it */
    Py_DECREF(protocol);
    return err;
}

/* admit(sock, address). What it has called may have the socket, also where something is
 * raised: with asyncio, too, nobody but the last reference closes it. */
static int
call_admit(ListenerObject *listener, PyObject *sock, PyObject *address)
{
    PyObject *result =
        PyObject_CallFunctionObjArgs(listener->admit, sock, address, NULL);
    int err = 0;
    if (result == NULL) {
        err = report_raised(listener->engine,
                            "Exception in callback _accept_connection()",
                            "socket", sock, NULL);
    }
    Py_XDECREF(result);
    return err;
}

/* Takes the fd, whatever happens; `sock` owns it where there is one. */
static int
listener_hand_over(ListenerObject *listener, const SocketFacts *accepted,
                   PyObject *sock, const SocketAddress *peer)
{
    Engine *engine = listener->engine;
    PyObject *made =
        sock ? Py_NewRef(sock) : socket_from_facts(engine->state, accepted);
    PyObject *address = made == NULL ? NULL : sockaddr_to_python(peer);
    int err;
    if (address != NULL) {
        err = call_admit(listener, made, address);
    }
    else {
        drop_connection(accepted->fd, made);
        err = report_raised(engine, "socket.accept() failed", NULL);
    }
    Py_XDECREF(address);
    Py_XDECREF(made);
    return err;
}

static int
listener_admit_in_context(ListenerObject *listener, int fd,
                          const SocketAddress *peer)
{
    PyObject *context = PyContext_Copy(listener->context);
    if (context == NULL || PyContext_Enter(context) < 0) {
        Py_XDECREF(context);
        close(fd);
        return -1;
    }
    SocketFacts facts = listener->facts;
    facts.fd = fd;
    PyObject *sock = NULL;
    int err = 0;
    if (listener->engine->debug) {
        sock = listener_log(listener, &facts, peer);
        err = sock == NULL ? -1 : 0;
    }
    if (err < 0) {
        close(fd);
    }
    else if (listener->admit != Py_None) {
        err = listener_hand_over(listener, &facts, sock, peer);
    }
    else {
        err = listener_admit(listener, &facts, sock, peer, context);
    }
    Py_XDECREF(sock);
    if (PyContext_Exit(context) < 0) {
        err = -1;
    }
    Py_DECREF(context);
    return err;
}

/* ---- out of file descriptors ---- */

static int
listener_schedule_retry(ListenerObject *listener)
{
    Engine *engine = listener->engine;
    bool failed = false;
    int64_t now = engine_now(engine, &failed);
    if (failed) {
        return -1;
    }
    int64_t due = now + RETRY_NS;
    PyObject *resume = PyObject_GetAttr((PyObject *)listener,
                                        STATE_NAME(engine->state, _resume));
    TimerHandleObject *timer =
        resume ? timer_handle_new(engine, (double)due / 1e9, NULL, resume,
                                  NULL, 0, listener->context)
               : NULL;
    Py_XDECREF(resume);
    if (timer == NULL) {
        return -1;
    }
    Py_XSETREF(listener->retry, timer);
    return 0;
}

static int
listener_back_off(ListenerObject *listener)
{
    Engine *engine = listener->engine;
    PyObject *raised = PyErr_GetRaisedException();
    PyObject *info =
        PyObject_CallOneArg(engine->state->transport_socket, listener->sock);
    if (info == NULL) {
        PyErr_Clear();
    }
    int err = listener_schedule_retry(listener);
    if (err == 0) {
        PyErr_SetRaisedException(raised);
        err = report_raised(engine, "socket.accept() out of system resource",
                            "socket", info, NULL);
    }
    else {
        Py_DECREF(raised);
    }
    Py_XDECREF(info);
    return err;
}

static PyObject *
Listener__resume(ListenerObject *self, PyObject *Py_UNUSED(ignored))
{
    Py_CLEAR(self->retry);
    if (self->watcher != NULL && watcher_set(self->watcher, WATCH_READ) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- accepting ---- */

static int
accept_failed(ListenerObject *listener, int error)
{
    if (errors_is_retry(error) || error == ECONNABORTED) {
        return 0;
    }
    bool exhausted = error == EMFILE || error == ENFILE || error == ENOBUFS
                     || error == ENOMEM;
    if (exhausted) {
        /* The fd would be reported as ready again and again. First of all: what
         * comes may call the program, which may close the server. */
        watcher_set(listener->watcher, 0);
    }
    errno = error;
    PyErr_SetFromErrno(PyExc_OSError);
    return exhausted ? listener_back_off(listener)
                     : report_raised(listener->engine,
                                     "socket.accept() failed", NULL);
}

/* An accept() that finds nobody is not cheap: Linux makes the socket before it looks. So
 * as many are taken as there were before; who has not had his turn is told of by the next
 * poll. */

/* There were no more than `taken`. */
static void
share_was_enough(ListenerObject *listener, int taken)
{
    listener->share = taken > 0 ? taken : 1;
    listener->full_shares = 0;
}

static void
share_was_full(ListenerObject *listener)
{
    if (++listener->full_shares >= FULL_SHARES) {
        listener->share = listener->share < listener->backlog / 2
                              ? listener->share * 2
                              : listener->backlog;
        listener->full_shares = 0;
    }
}

static int
listener_on_ready(FdWatcher *watcher, int events)
{
    (void)events;
    ListenerObject *listener = (ListenerObject *)watcher->owner;
    for (int i = 0; i < listener->share && listener->watcher != NULL; i++) {
        SocketAddress peer = {.length = sizeof(peer.address)};
        int fd = platform_accept(listener->facts.fd, &peer.address.any,
                                 &peer.length);
        if (fd < 0 && errno == ECONNABORTED && PYAIO_ACCEPT_SKIPS_ABORTED) {
            continue;
        }
        if (fd < 0) {
            share_was_enough(listener, i);
            return accept_failed(listener, errno);
        }
        if (peer.length > sizeof(peer.address)) {
            peer.length = 0;
        }
        if (listener_admit_in_context(listener, fd, &peer) < 0) {
            return -1;
        }
    }
    share_was_full(listener);
    return 0;
}

static int
listener_displace(FdWatcher *watcher)
{
    return listener_stop(watcher->engine, watcher->fd);
}

static const WatcherOps listener_ops = {
    .on_ready = listener_on_ready,
    .displace = listener_displace,
};

/* ---- starting and stopping ---- */

static int
listener_init(ListenerObject *listener, Engine *engine, PyObject *sock,
              PyObject *factory, PyObject *server, PyObject *context,
              int backlog, PyObject *admit)
{
    listener->engine = engine;
    listener->loop = Py_NewRef(engine->loop);
    listener->sock = Py_NewRef(sock);
    listener->factory = Py_NewRef(factory);
    listener->server = Py_NewRef(server ? server : Py_None);
    listener->admit = Py_NewRef(admit);
    listener->backlog = backlog > 0 ? backlog : 1;
    listener->share = 1;
    listener->owns_callbacks = context != Py_None;
    listener->context = listener->owns_callbacks ? Py_NewRef(context)
                                                 : PyContext_CopyCurrent();
    if (listener->context == NULL
        || socket_facts(engine->state, sock, &listener->facts) < 0) {
        return -1;
    }
    if (PLATFORM_ACCEPT_INHERITS_NODELAY) {
        socket_set_nodelay(&listener->facts);
    }
    listener->watcher = watcher_open(engine, listener->facts.fd, false,
                                     &listener_ops, (PyObject *)listener);
    return listener->watcher == NULL ? -1 : 0;
}

int
listener_start(Engine *engine, PyObject *sock, PyObject *factory,
               PyObject *server, PyObject *context, int backlog,
               PyObject *admit)
{
    PyTypeObject *type = engine->state->listener_type;
    ListenerObject *listener = (ListenerObject *)type->tp_alloc(type, 0);
    if (listener == NULL) {
        return -1;
    }
    int err = listener_init(listener, engine, sock, factory, server, context,
                            backlog, admit);
    if (err == 0) {
        err = watcher_set(listener->watcher, WATCH_READ); /* holds it */
    }
    Py_DECREF(listener);
    return err;
}

int
listener_stop(Engine *engine, int fd)
{
    FdWatcher *watcher = watcher_find(engine, fd);
    if (watcher == NULL || watcher->ops != &listener_ops) {
        return 0;
    }
    ListenerObject *listener = (ListenerObject *)Py_NewRef(watcher->owner);
    TimerHandleObject *retry = listener->retry;
    listener->retry = NULL;
    watcher_drop(&listener->watcher);
    int err = retry == NULL ? 0 : handle_cancel_steal(&retry->handle);
    Py_DECREF(listener);
    return err;
}

/* ---- the type ---- */

static int
Listener_traverse(ListenerObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->loop);
    Py_VISIT(self->factory);
    Py_VISIT(self->sock);
    Py_VISIT(self->server);
    Py_VISIT(self->admit);
    Py_VISIT(self->context);
    Py_VISIT(self->retry);
    return 0;
}

static int
Listener_clear(ListenerObject *self)
{
    watcher_drop(&self->watcher); /* needs the loop */
    Py_CLEAR(self->loop);
    Py_CLEAR(self->factory);
    Py_CLEAR(self->sock);
    Py_CLEAR(self->server);
    Py_CLEAR(self->admit);
    Py_CLEAR(self->context);
    Py_CLEAR(self->retry);
    return 0;
}

static PyObject *
Listener_repr(ListenerObject *self)
{
    return PyUnicode_FromFormat("<Listener fd=%d%s>", self->facts.fd,
                                self->watcher == NULL ? " stopped" : "");
}

PyDoc_STRVAR(Listener_doc, "Accepts the connections of a listening socket.");

static PyMethodDef Listener_methods[] = {
    {"_resume", (PyCFunction)Listener__resume, METH_NOARGS,
     PyDoc_STR("Accept again, after accept() ran out of fds.")},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot Listener_slots[] = {
    {Py_tp_doc, (void *)Listener_doc},
    {Py_tp_dealloc, module_type_dealloc},
    {Py_tp_traverse, Listener_traverse},
    {Py_tp_clear, Listener_clear},
    {Py_tp_repr, Listener_repr},
    {Py_tp_methods, Listener_methods},
    {0, NULL},
};

static PyType_Spec Listener_spec = {
    .name = "pyaio._core.Listener",
    .basicsize = sizeof(ListenerObject),
    .flags = MODULE_TYPE_FLAGS | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = Listener_slots,
};

int
listener_setup(PyObject *module, ModuleState *state)
{
    return module_add_type(module, &Listener_spec, NULL,
                           &state->listener_type);
}
