/* The stream transport: how it comes to be and how it ends. Made by the Loop's
 * _make_socket_transport() and by listeners; its watcher calls the read and the
 * write path; net/stream_type.c is what Python sees of it. */
#include "net/stream.h"

#include "base/compat.h"
#include "base/errors.h"
#include "engine/handle.h"
#include "engine/report.h"
#include "net/transport.h"
#include "net/tls.h"
#include "net/transport_log.h"

#include <unistd.h>

/* ---- watching ---- */

static int
stream_on_ready(FdWatcher *watcher, int events)
{
    StreamObject *stream = (StreamObject *)watcher->owner;
    int err = 0;
    if (events & WATCH_READ) {
        err = stream_on_readable(stream);
    }
    if (err == 0 && events & WATCH_WRITE) {
        err = stream_on_writable(stream);
    }
    return err;
}

static PyObject *
owner_file(FdWatcher *watcher)
{
    return ((StreamObject *)watcher->owner)->sock;
}

static const WatcherOps stream_watcher_ops = {
    .on_ready = stream_on_ready,
    .displace = transport_displace,
    .file = owner_file,
};

/* ---- the start ---- */

static StreamObject *
stream_of_start(ReadyEntry *start)
{
    return CONTAINER_OF(start, StreamObject, start);
}

static int
wake_waiter(StreamObject *stream)
{
    PyObject *waiter = stream->waiter;
    if (waiter == NULL) {
        return 0;
    }
    stream->waiter = NULL;
    int err = transport_wake(stream->engine->state, waiter);
    Py_DECREF(waiter);
    return err;
}

static int
start_run(ReadyEntry *entry, Engine *engine)
{
    StreamObject *stream = stream_of_start(entry);
    if (!stream->closing && !stream->paused) {
        stream->reading = true;
        stream_update_watch(stream);
    }
    int err = report_contain(engine, wake_waiter(stream), (PyObject *)stream);
    Py_DECREF(stream); /* taken by stream_schedule_start() */
    return err;
}

static void
start_discard(ReadyEntry *entry)
{
    StreamObject *stream = stream_of_start(entry);
    Py_DECREF(stream); /* taken by stream_schedule_start() */
}

static int
start_traverse(ReadyEntry *entry, visitproc visit, void *arg)
{
    Py_VISIT(stream_of_start(entry));
    return 0;
}

static PyObject *
start_subject(ReadyEntry *entry)
{
    return Py_NewRef((PyObject *)stream_of_start(entry));
}

static const ReadyOps stream_start_ops = {
    .run = start_run,
    .discard = start_discard,
    .traverse = start_traverse,
    .subject = start_subject,
};

/* connection_made() runs in the next turn; reading starts right behind it. */
static int
stream_schedule_start(StreamObject *stream)
{
    Engine *engine = stream->engine;
    PyObject *made = PyObject_GetAttr(
        stream->protocol, STATE_NAME(engine->state, connection_made));
    int err = made == NULL ? -1
                           : engine_call_soon(engine, made, (PyObject *)stream,
                                              stream->own_context);
    Py_XDECREF(made);
    if (err == 0) {
        Py_INCREF(stream); /* dropped by start_run() or _discard() */
        engine_push(engine, &stream->start);
    }
    return err;
}

/* asyncio.Server counts its transports; since 3.13 it knows them. */
static int
server_call(PyObject *server, PyObject *method, StreamObject *stream)
{
    PyObject *transport =
        PYAIO_SERVER_KNOWS_TRANSPORTS ? (PyObject *)stream : NULL;
    PyObject *result =
        PyObject_CallMethodObjArgs(server, method, transport, NULL);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

int
stream_detach_server(StreamObject *stream)
{
    PyObject *server = stream->server;
    if (server == NULL) {
        return 0;
    }
    stream->server = NULL;
    int err = server_call(server, STATE_NAME(stream->engine->state, _detach),
                          stream);
    Py_DECREF(server);
    return err;
}

/* What accept() said, or the socket says now: after a reset it would not. */
static int
stream_take_peer(StreamObject *stream, const SocketAddress *peer)
{
    SocketAddress asked = {.length = sizeof(asked.address)};
    if (peer == NULL) {
        if (getpeername(stream->fd, &asked.address.any, &asked.length) < 0
            || asked.length > sizeof(asked.address)) {
            return 0;
        }
        peer = &asked;
    }
    if (peer->length == 0) {
        return 0;
    }
    stream->peer = sockaddr_copy(peer);
    if (stream->peer == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

/* What a recv() of TCP leaves behind is known; that of a Unix socket also stops between
 * two messages (credentials, descriptors), whatever the socket object says it is. */
static bool
stream_is_tcp(const StreamObject *stream)
{
    int family =
        stream->peer == NULL ? 0 : stream->peer->address.any.sa_family;
    return (family == AF_INET || family == AF_INET6)
           && stream->type == SOCK_STREAM
           && (stream->proto == 0 || stream->proto == IPPROTO_TCP);
}

static int
stream_init(StreamObject *stream, const StreamParts *parts)
{
    Engine *engine = stream->engine;
    if (stream_set_protocol(stream, parts->protocol) < 0
        || stream_take_peer(stream, parts->peer) < 0) {
        return -1;
    }
    if (parts->extra != NULL && PyDict_Check(parts->extra)) {
        stream->extra = PyDict_Copy(parts->extra);
        if (stream->extra == NULL) {
            return -1;
        }
    }
    stream->own_context = Py_XNewRef(not_none(parts->context));
    stream->context = stream_copy_context(stream);
    if (stream->context == NULL) {
        return -1;
    }
    stream->watcher = watcher_open(engine, parts->fd, true,
                                   &stream_watcher_ops, (PyObject *)stream);
    if (stream->watcher == NULL) {
        return -1;
    }
    stream->watcher->edge = stream_is_tcp(stream);
    if (not_none(parts->server) != NULL) {
        if (server_call(parts->server, STATE_NAME(engine->state, _attach),
                        stream)
            < 0) {
            return -1;
        }
        stream->server = Py_NewRef(parts->server);
    }
    stream->waiter = Py_XNewRef(not_none(parts->waiter));
    return stream_schedule_start(stream);
}

/* Undoes a stream that could not be made: what failed is the exception that
 * is raised, and a socket that was handed in stays its owner's. */
static void
stream_abandon(StreamObject *stream)
{
    PyObject *raised = PyErr_GetRaisedException();
    FdWatcher *watcher = stream->watcher;
    stream->watcher = NULL;
    stream->finished = true;
    if (watcher != NULL) {
        watcher_close(watcher);
    }
    if (stream->sock == NULL) {
        close(stream->fd);
    }
    if (stream_detach_server(stream) < 0) {
        report_unraisable("a stream that could not be made");
    }
    PyErr_SetRaisedException(raised);
    Py_DECREF(stream);
}

PyObject *
stream_new(Engine *engine, const StreamParts *parts)
{
    PyTypeObject *type = engine->state->stream_type;
    StreamObject *stream = (StreamObject *)type->tp_alloc(type, 0);
    if (stream == NULL) {
        if (parts->sock == NULL) {
            close(parts->fd);
        }
        return NULL;
    }
    stream->engine = engine;
    stream->loop = Py_NewRef(engine->loop);
    stream->sock = Py_XNewRef(parts->sock);
    stream->fd = parts->fd;
    stream->family = parts->family;
    stream->type = parts->type;
    stream->proto = parts->proto;
    stream->start.ops = &stream_start_ops;
    flush_init(&stream->flush, (PyObject *)stream, stream_flush);
    stream->flow = FLOW_DEFAULTS;
    if (stream_init(stream, parts) < 0) {
        stream_abandon(stream);
        return NULL;
    }
    return (PyObject *)stream;
}

int
stream_set_protocol(StreamObject *stream, PyObject *protocol)
{
    int buffered = PyObject_IsInstance(
        protocol, stream->engine->state->buffered_protocol);
    if (buffered < 0) {
        return -1;
    }
    stream->buffered = buffered;
    stream->tls = tls_of_protocol(stream->engine->state, protocol);
    Py_XSETREF(stream->protocol, Py_NewRef(protocol));
    return 0;
}

PyObject *
stream_call_protocol(StreamObject *stream, PyObject *name, PyObject *argument)
{
    PyObject *args[] = {Py_NewRef(stream->protocol), argument};
    PyObject *result =
        PyObject_VectorcallMethod(name, args, argument == NULL ? 1 : 2, NULL);
    Py_DECREF(args[0]);
    return result;
}

/* ---- the end ---- */

/* A sendfile() has a duplicate of the fd: without this the connection would live on in
 * it, until all of the file is sent. */
static void
stream_end_sendfile(StreamObject *stream)
{
    if (stream->empty_waiter == NULL) {
        return;
    }
    PyObject *result =
        PyObject_CallMethod(stream->sock, "shutdown", "i", SHUT_RDWR);
    if (result == NULL && PyErr_ExceptionMatches(PyExc_OSError)) {
        PyErr_Clear(); /* the peer has gone before */
    }
    else if (result == NULL) {
        report_unraisable("the end of a sendfile()");
    }
    Py_XDECREF(result);
}

int
stream_close_fd(StreamObject *stream)
{
    if (stream->finished) {
        return 0;
    }
    FdWatcher *watcher = stream->watcher;
    stream->watcher = NULL;
    stream->finished = true;
    stream->engine->poll_now = true; /* the peer may be a stream of ours */
    if (watcher != NULL) {
        watcher->duplicate = stream->sock != NULL; /* dup() was at hand */
        watcher_close(watcher);
    }
    if (stream->sock == NULL) {
        close(stream->fd);
        return 0;
    }
    stream_end_sendfile(
        stream); /* who has a duplicate has asked for the socket */
    PyObject *result = PyObject_CallMethodNoArgs(
        stream->sock, STATE_NAME(stream->engine->state, close));
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

int
stream_schedule_lost(StreamObject *stream, PyObject *exc)
{
    stream->lost_writes++;
    return transport_lose_soon((Transport *)stream, exc);
}

int
stream_close(StreamObject *stream)
{
    if (stream->closing) {
        return 0;
    }
    if (stream_send_gathered(stream) < 0) {
        return -1;
    }
    if (stream->closing) {
        return 0; /* sending has failed, or its callback closed */
    }
    stream->closing = true;
    stream->reading = false;
    int err = 0;
    if (write_queue_is_empty(&stream->queue)) {
        stream->write_armed = false;
        err = stream_schedule_lost(stream, Py_None);
    }
    stream_update_watch(stream);
    return err;
}

int
stream_force_close(StreamObject *stream, PyObject *exc)
{
    if (stream->lost_writes) {
        return 0;
    }
    write_queue_clear(&stream->queue);
    stream->closing = true;
    stream->reading = false;
    stream->write_armed = false;
    int err = stream_schedule_lost(stream, exc);
    stream_update_watch(stream);
    return err;
}

int
stream_log(StreamObject *stream, const char *format)
{
    return transport_log(stream->engine, (PyObject *)stream, "debug", format);
}

int
stream_fatal(StreamObject *stream, const char *message)
{
    if (errors_is_exit()) {
        return -1;
    }
    PyObject *exc = PyErr_GetRaisedException();
    int err;
    if (PyErr_GivenExceptionMatches(exc, PyExc_OSError)) {
        err = transport_log_failure(stream->engine, (PyObject *)stream,
                                    message, exc);
    }
    else {
        PyErr_SetRaisedException(Py_NewRef(exc));
        err = transport_report((Transport *)stream, message);
    }
    if (err == 0) {
        err = stream_force_close(stream, exc);
    }
    Py_DECREF(exc);
    return err;
}

int
stream_program_failed(StreamObject *stream, const char *message)
{
    if (errors_is_exit()) {
        return -1; /* sent when the turn ends */
    }
    PyObject *exc = PyErr_GetRaisedException();
    if (stream_send_gathered(stream) < 0) {
        Py_DECREF(exc);
        return -1;
    }
    PyErr_SetRaisedException(exc);
    return stream_fatal(stream, message);
}

int
stream_fail_empty_waiter(StreamObject *stream, PyObject *exc)
{
    if (stream->empty_waiter == NULL) {
        return 0;
    }
    ModuleState *state = stream->engine->state;
    /* Its methods may be a program's, and have it reset. */
    PyObject *waiter = Py_NewRef(stream->empty_waiter);
    PyObject *answer =
        PyObject_CallMethodNoArgs(waiter, STATE_NAME(state, done));
    int done = answer == NULL ? -1 : PyObject_IsTrue(answer);
    if (done == 0) {
        Py_SETREF(answer, PyObject_CallMethodOneArg(
                              waiter, STATE_NAME(state, set_exception), exc));
    }
    int err = answer == NULL || done < 0 ? -1 : 0;
    Py_XDECREF(answer);
    Py_DECREF(waiter);
    return err;
}

static int
tell_empty_waiter(StreamObject *stream)
{
    if (stream->empty_waiter == NULL) {
        return 0;
    }
    PyObject *exc = PyObject_CallFunction(PyExc_ConnectionError, "s",
                                          "Connection is closed by peer");
    int err = exc == NULL ? -1 : stream_fail_empty_waiter(stream, exc);
    Py_XDECREF(exc);
    return err;
}

/* Nothing is read or written any more, whoever asks for it. */
static void
stream_let_go(StreamObject *stream)
{
    stream->lost_writes += stream->lost_writes == 0;
    stream->closing = true;
    stream->reading = false;
    stream->write_armed = false;
    write_queue_clear(&stream->queue);
}

int
stream_finish(StreamObject *stream, PyObject *exc)
{
    stream_let_go(stream);
    int err = transport_tell_lost((Transport *)stream, exc);
    PyObject *raised = err < 0 ? PyErr_GetRaisedException() : NULL;
    stream_remember(stream);
    err = transport_keep_first(raised, stream_close_fd(stream));
    raised = err < 0 ? PyErr_GetRaisedException() : NULL;
    stream->tls = NULL;
    Py_CLEAR(stream->protocol);
    Py_CLEAR(stream->reader.ref);
    Py_CLEAR(stream->write_context);
    int told =
        stream_detach_server(stream) < 0 ? -1 : tell_empty_waiter(stream);
    return transport_keep_first(raised, told);
}
