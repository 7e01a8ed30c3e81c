/* The datagram transport: how it comes to be and how it ends. Made by the Loop's
 * _make_datagram_transport(); its watcher calls the read and the write path;
 * net/datagram_type.c is what Python sees of it. */
#include "net/datagram.h"

#include "base/compat.h"
#include "base/errors.h"
#include "net/socket_options.h"

/* ---- watching ---- */

static int
datagram_on_ready(FdWatcher *watcher, int events)
{
    DatagramObject *self = (DatagramObject *)watcher->owner;
    int err = 0;
    if (events & WATCH_READ) {
        err = datagram_on_readable(self);
    }
    if (err == 0 && events & WATCH_WRITE) {
        err = datagram_on_writable(self);
    }
    return err;
}

static PyObject *
owner_file(FdWatcher *watcher)
{
    return ((DatagramObject *)watcher->owner)->sock;
}

static const WatcherOps datagram_watcher_ops = {
    .on_ready = datagram_on_ready,
    .displace = transport_displace,
    .file = owner_file,
};

/* ---- the start ---- */

bool
datagram_serves(int family, int type)
{
    return type == SOCK_DGRAM
           && (family == AF_INET || family == AF_INET6 || family == AF_UNIX);
}

int
datagram_start(DatagramObject *self, PyObject *waiter)
{
    if (!self->closing && !self->paused) {
        self->reading = true;
        datagram_update_watch(self);
    }
    return transport_wake(self->engine->state, waiter);
}

/* The socket's address, by one of its methods; None where it has none. */
static PyObject *
ask_socket(PyObject *sock, PyObject *method)
{
    PyObject *address = PyObject_CallMethodNoArgs(sock, method);
    if (address == NULL && PyErr_ExceptionMatches(PyExc_OSError)) {
        PyErr_Clear();
        return Py_NewRef(Py_None);
    }
    return address;
}

/* Steals `value`, NULL on failure. */
static int
note_steal(PyObject *extra, PyObject *name, PyObject *value)
{
    if (value == NULL) {
        return -1;
    }
    int err = PyDict_SetItem(extra, name, value);
    Py_DECREF(value);
    return err;
}

/* What is known of the socket, from the start as in asyncio: an unbound one may
 * get an address later, and does not show it. */
static int
note_names(DatagramObject *self)
{
    ModuleState *state = self->engine->state;
    PyObject *sock = self->sock, *extra = self->extra;
    PyObject *peername = STATE_NAME(state, peername);
    if (note_steal(extra, STATE_NAME(state, socket),
                   PyObject_CallOneArg(state->transport_socket, sock))
            < 0
        || note_steal(extra, STATE_NAME(state, sockname),
                      ask_socket(sock, STATE_NAME(state, getsockname)))
               < 0) {
        return -1;
    }
    int given = PyDict_Contains(extra, peername);
    if (given < 0
        || (!given
            && note_steal(extra, peername,
                          ask_socket(sock, STATE_NAME(state, getpeername)))
                   < 0)) {
        return -1;
    }
    PyObject *peer = PyDict_GetItemWithError(extra, peername);
    int connected = peer == NULL ? -1 : PyObject_IsTrue(peer);
    self->connected = connected > 0;
    return connected < 0 ? -1 : 0;
}

static int
datagram_init(DatagramObject *self, const DatagramParts *parts)
{
    int has_address = PyObject_IsTrue(parts->address);
    if (has_address < 0) {
        return -1;
    }
    self->has_address = has_address;
    self->address = Py_NewRef(parts->address);
    self->protocol = Py_NewRef(parts->protocol);
    self->extra = transport_extra(parts->extra);
    if (self->extra == NULL || note_names(self) < 0) {
        return -1;
    }
    return transport_begin((Transport *)self, &datagram_watcher_ops,
                           parts->waiter);
}

/* Undoes a transport that could not be made. What may be scheduled already
 * finds it closed. */
static void
datagram_abandon(DatagramObject *self)
{
    PyObject *raised = PyErr_GetRaisedException();
    self->closing = true;
    watcher_drop(&self->watcher);
    Py_CLEAR(self->sock);
    PyErr_SetRaisedException(raised);
    Py_DECREF(self);
}

PyObject *
datagram_new(Engine *engine, const DatagramParts *parts)
{
    SocketFacts facts;
    if (socket_facts(engine->state, parts->sock, &facts) < 0) {
        return NULL;
    }
    PyTypeObject *type = engine->state->datagram_type;
    DatagramObject *self = (DatagramObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->engine = engine;
    self->loop = Py_NewRef(engine->loop);
    self->sock = Py_NewRef(parts->sock);
    self->fd = facts.fd;
    self->family = facts.family;
    self->flow = FLOW_DEFAULTS;
    if (datagram_init(self, parts) < 0) {
        datagram_abandon(self);
        return NULL;
    }
    return (PyObject *)self;
}

/* ---- errors ---- */

int
datagram_error_received(DatagramObject *self)
{
    PyObject *exc = PyErr_GetRaisedException();
    PyObject *protocol = Py_XNewRef(self->protocol);
    if (protocol == NULL) {
        Py_DECREF(exc); /* the collector has taken the two apart */
        return 0;
    }
    PyObject *result = PyObject_CallMethodOneArg(
        protocol, STATE_NAME(self->engine->state, error_received), exc);
    Py_XDECREF(result);
    Py_DECREF(protocol);
    Py_DECREF(exc);
    return result == NULL ? -1 : 0;
}

int
datagram_fatal(DatagramObject *self, const char *message)
{
    if (errors_is_exit()) {
        return -1;
    }
    PyObject *exc = PyErr_GetRaisedException();
    PyErr_SetRaisedException(Py_NewRef(exc));
    int err = transport_report((Transport *)self, message);
    if (err == 0) {
        err = datagram_force_close(self, exc);
    }
    Py_DECREF(exc);
    return err;
}

/* ---- the end ---- */

static int
schedule_lost(DatagramObject *self, PyObject *exc)
{
    self->lost_writes++;
    return transport_lose_soon((Transport *)self, exc);
}

int
datagram_close(DatagramObject *self)
{
    if (self->closing) {
        return 0;
    }
    self->closing = true;
    self->reading = false;
    int err = 0;
    if (datagram_queue_is_empty(&self->queue)) {
        self->write_armed = false;
        err = schedule_lost(self, Py_None);
    }
    datagram_update_watch(self);
    return err;
}

int
datagram_force_close(DatagramObject *self, PyObject *exc)
{
    if (self->lost_writes) {
        return 0;
    }
    self->closing = true;
    self->reading = false;
    self->write_armed = false;
    int err = schedule_lost(self, exc);
    datagram_update_watch(self);
    datagram_queue_clear(&self->queue); /* may call the program: last */
    return err;
}

int
datagram_close_fd(DatagramObject *self)
{
    PyObject *sock = self->sock;
    if (sock == NULL) {
        return 0;
    }
    self->sock = NULL;
    watcher_drop(&self->watcher);
    PyObject *result = PyObject_CallMethodNoArgs(
        sock, STATE_NAME(self->engine->state, close));
    Py_XDECREF(result);
    Py_DECREF(sock);
    return result == NULL ? -1 : 0;
}

int
datagram_finish(DatagramObject *self, PyObject *exc)
{
    self->lost_writes += self->lost_writes == 0;
    self->closing = true;
    self->reading = false;
    int err = transport_tell_lost((Transport *)self, exc);
    PyObject *raised = err < 0 ? PyErr_GetRaisedException() : NULL;
    self->write_armed = false;
    err = transport_keep_first(raised, datagram_close_fd(self));
    datagram_queue_clear(&self->queue);
    Py_CLEAR(self->protocol);
    return err;
}
