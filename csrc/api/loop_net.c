/* The network: the hooks that asyncio's set-up code calls on its loop, done
 * by net/. */
#include "api/loop.h"
#include "base/compat.h"
#include "base/errors.h"
#include "engine/watcher.h"
#include "net/datagram.h"
#include "net/listener.h"
#include "net/pipe.h"
#include "net/poller.h"
#include "net/socket_options.h"
#include "net/stream.h"

/* ---- add_reader() and its family ---- */

/* The only keyword is `context`, since 3.15. Borrowed; NULL without one or on
 * error. */
static PyObject *
context_keyword(ModuleState *state, PyObject *const *values, PyObject *kwnames)
{
    Py_ssize_t count = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, i);
        if (PyUnicode_Compare(name, STATE_NAME(state, context)) != 0) {
            PyErr_Format(PyExc_TypeError, "unexpected keyword argument '%U'",
                         name);
            return NULL;
        }
    }
    return count == 0 ? NULL : values[0];
}

/* int(fileobj.fileno()), for what is no int itself. New reference. */
static PyObject *
ask_fileno(const ModuleState *state, PyObject *fileobj)
{
    PyObject *answer =
        PyObject_CallMethodNoArgs(fileobj, STATE_NAME(state, fileno));
    PyObject *number = answer ? PyNumber_Long(answer) : NULL;
    Py_XDECREF(answer);
    if (number == NULL
        && (PyErr_ExceptionMatches(PyExc_AttributeError)
            || PyErr_ExceptionMatches(PyExc_TypeError)
            || PyErr_ExceptionMatches(PyExc_ValueError))) {
        PyErr_Format(PyExc_ValueError, "Invalid file object: %R", fileobj);
    }
    return number;
}

/* The fd, checked as the selectors module does: -1 with ValueError for what is
 * none, with OverflowError for one that cannot be open. */
static int
fd_of(const ModuleState *state, PyObject *fileobj)
{
    PyObject *number = PyLong_Check(fileobj) ? Py_NewRef(fileobj)
                                             : ask_fileno(state, fileobj);
    if (number == NULL) {
        return -1;
    }
    int overflow;
    long fd = PyLong_AsLongAndOverflow(number, &overflow);
    if (overflow > 0 || fd > INT_MAX) {
        PyErr_SetString(PyExc_OverflowError,
                        "Python int too large to convert to C int");
        fd = -1;
    }
    else if (fd < 0) {
        PyErr_Format(PyExc_ValueError, "Invalid file descriptor: %S", number);
        fd = -1;
    }
    Py_DECREF(number);
    return (int)fd;
}

static PyObject *
add_callback(LoopObject *self, PyObject *const *args, Py_ssize_t nargs,
             PyObject *kwnames, int event, const char *method)
{
    Engine *engine = &self->engine;
    if (engine_check_closed(engine) < 0) {
        return NULL;
    }
    if (nargs < 2) {
        PyErr_Format(PyExc_TypeError,
                     "%s() missing required positional arguments", method);
        return NULL;
    }
    PyObject *context = context_keyword(engine->state, args + nargs, kwnames);
    int fd = context == NULL && PyErr_Occurred()
                 ? -1
                 : fd_of(engine->state, args[0]);
    if (fd < 0) {
        return NULL;
    }
    HandleObject *handle =
        handle_new(engine, args[1], args + 2, nargs - 2, context);
    if (handle != NULL && poller_add(engine, fd, args[0], event, handle) < 0) {
        Py_CLEAR(handle);
    }
    return (PyObject *)handle;
}

static PyObject *
remove_callback(LoopObject *self, PyObject *fileobj, int event)
{
    if (self->engine.closed) {
        Py_RETURN_FALSE;
    }
    int fd = fd_of(self->engine.state, fileobj);
    if (fd < 0 && PyErr_ExceptionMatches(PyExc_ValueError)) {
        /* It may have been closed since it was added. */
        PyObject *raised = PyErr_GetRaisedException();
        fd = poller_find(&self->engine, fileobj);
        if (fd < 0) {
            PyErr_SetRaisedException(raised);
            return NULL;
        }
        Py_DECREF(raised);
    }
    if (fd < 0) {
        if (!PyErr_ExceptionMatches(PyExc_OverflowError)) {
            return NULL;
        }
        PyErr_Clear(); /* nobody can have added it */
        Py_RETURN_FALSE;
    }
    int removed = poller_remove(&self->engine, fd, event);
    return removed < 0 ? NULL : PyBool_FromLong(removed);
}

static PyObject *
Loop__add_reader(LoopObject *self, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    return add_callback(self, args, nargs, kwnames, WATCH_READ, "_add_reader");
}

static PyObject *
Loop__add_writer(LoopObject *self, PyObject *const *args, Py_ssize_t nargs,
                 PyObject *kwnames)
{
    return add_callback(self, args, nargs, kwnames, WATCH_WRITE,
                        "_add_writer");
}

static PyObject *
Loop__remove_reader(LoopObject *self, PyObject *fd)
{
    return remove_callback(self, fd, WATCH_READ);
}

static PyObject *
Loop__remove_writer(LoopObject *self, PyObject *fd)
{
    return remove_callback(self, fd, WATCH_WRITE);
}

static PyObject *
Loop__watched_events(LoopObject *self, PyObject *fileobj)
{
    int fd = PyObject_AsFileDescriptor(fileobj);
    if (fd < 0) {
        return NULL;
    }
    return PyLong_FromLong(poller_events(&self->engine, fd));
}

/* ---- streams and listeners ---- */

/* The open transport that has the fd, or NULL. Borrowed, and not to be held: where it is
 * not held by its watcher, another thread may be about to let it go. Its memory is there
 * as long as the watcher is open. */
static Transport *
transport_of(const Engine *engine, const FdWatcher *watcher)
{
    const ModuleState *state = engine->state;
    bool found = watcher != NULL
                 && (Py_IS_TYPE(watcher->owner, state->stream_type)
                     || Py_IS_TYPE(watcher->owner, state->datagram_type)
                     || Py_IS_TYPE(watcher->owner, state->read_pipe_type)
                     || Py_IS_TYPE(watcher->owner, state->write_pipe_type));
    Transport *transport = found ? (Transport *)watcher->owner : NULL;
    return found && !transport_lets_go(transport) ? transport : NULL;
}

/* -1 with RuntimeError where a transport has the fd that is asked for as `fileobj`. */
static int
check_no_transport(Engine *engine, int fd, PyObject *fileobj)
{
    Transport *transport = transport_of(engine, watcher_find(engine, fd));
    if (transport == NULL) {
        return 0;
    }
    PyErr_Format(PyExc_RuntimeError,
                 "File descriptor %R is used by transport %R", fileobj,
                 (PyObject *)transport);
    return -1;
}

static PyObject *
Loop__check_no_transport(LoopObject *self, PyObject *args)
{
    PyObject *number, *fileobj;
    if (!PyArg_ParseTuple(args, "O!O:_check_no_transport", &PyLong_Type,
                          &number, &fileobj)) {
        return NULL;
    }
    int overflow;
    long fd = PyLong_AsLongAndOverflow(number, &overflow);
    if (fd < 0 || fd > INT_MAX) {
        Py_RETURN_NONE; /* the caller goes on with it, and is told then */
    }
    return none_or_null(check_no_transport(&self->engine, (int)fd, fileobj));
}

/* asyncio's own transport, by the loop's method `name`, for what has a recv()
 * and send() of its own. */
static PyObject *
make_foreign_transport(PyObject *loop, const char *name, PyObject *args,
                       PyObject *kwargs)
{
    PyObject *method = PyObject_GetAttrString(loop, name);
    PyObject *transport =
        method == NULL ? NULL : PyObject_Call(method, args, kwargs);
    Py_XDECREF(method);
    return transport;
}

static PyObject *
Loop__is_plain_socket(LoopObject *self, PyObject *object)
{
    int plain = socket_is_plain(self->engine.state, object);
    return plain < 0 ? NULL : PyBool_FromLong(plain);
}

static PyObject *
Loop__make_socket_transport(LoopObject *self, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"sock",   "protocol", "waiter", "extra",
                               "server", "context",  NULL};
    PyObject *sock;
    StreamParts parts = {0};
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "OO|O$OOO:_make_socket_transport", keywords, &sock,
            &parts.protocol, &parts.waiter, &parts.extra, &parts.server,
            &parts.context)) {
        return NULL;
    }
    Engine *engine = &self->engine;
    int plain = socket_is_plain(engine->state, sock);
    if (plain <= 0) {
        return plain < 0 ? NULL
                         : make_foreign_transport((PyObject *)self,
                                                  "_make_foreign_transport",
                                                  args, kwargs);
    }
    SocketFacts facts;
    if (engine_check_closed(engine) < 0
        || socket_facts(engine->state, sock, &facts) < 0
        || check_no_transport(engine, facts.fd, sock) < 0) {
        return NULL;
    }
    socket_set_nodelay(&facts);
    parts.sock = sock;
    parts.fd = facts.fd;
    parts.family = facts.family;
    parts.type = facts.type;
    parts.proto = facts.proto;
    return stream_new(engine, &parts);
}

/* 1 where the native transport may go past the socket's own methods, 0 where
 * not, -1 on error and where the socket has a transport. */
static int
datagrams_are_plain(Engine *engine, PyObject *sock)
{
    int plain = socket_is_plain(engine->state, sock);
    SocketFacts facts;
    if (plain <= 0) {
        return plain;
    }
    if (socket_facts(engine->state, sock, &facts) < 0
        || check_no_transport(engine, facts.fd, sock) < 0) {
        return -1;
    }
    return datagram_serves(facts.family, facts.type);
}

static PyObject *
Loop__make_datagram_transport(LoopObject *self, PyObject *args,
                              PyObject *kwargs)
{
    static char *keywords[] = {"sock",   "protocol", "address",
                               "waiter", "extra",    NULL};
    DatagramParts parts = {
        .address = Py_None, .waiter = Py_None, .extra = Py_None};
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "OO|OOO:_make_datagram_transport", keywords,
            &parts.sock, &parts.protocol, &parts.address, &parts.waiter,
            &parts.extra)) {
        return NULL;
    }
    Engine *engine = &self->engine;
    int plain = datagrams_are_plain(engine, parts.sock);
    if (plain <= 0) {
        return plain < 0
                   ? NULL
                   : make_foreign_transport((PyObject *)self,
                                            "_make_foreign_datagram_transport",
                                            args, kwargs);
    }
    if (engine_check_closed(engine) < 0) {
        return NULL;
    }
    return datagram_new(engine, &parts);
}

static PyObject *
make_pipe_transport(LoopObject *self, PyObject *args, PyObject *kwargs,
                    bool writes)
{
    static char *keywords[] = {"pipe", "protocol", "waiter", "extra", NULL};
    PipeParts parts = {.writes = writes, .waiter = Py_None, .extra = Py_None};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO|OO", keywords,
                                     &parts.pipe, &parts.protocol,
                                     &parts.waiter, &parts.extra)) {
        return NULL;
    }
    int serves = pipe_serves(&parts);
    if (serves <= 0) {
        const char *name = writes ? "_make_foreign_write_pipe_transport"
                                  : "_make_foreign_read_pipe_transport";
        return serves < 0 ? NULL
                          : make_foreign_transport((PyObject *)self, name,
                                                   args, kwargs);
    }
    if (engine_check_closed(&self->engine) < 0) {
        return NULL;
    }
    return pipe_new(&self->engine, &parts);
}

static PyObject *
Loop__make_read_pipe_transport(LoopObject *self, PyObject *args,
                               PyObject *kwargs)
{
    return make_pipe_transport(self, args, kwargs, false);
}

static PyObject *
Loop__make_write_pipe_transport(LoopObject *self, PyObject *args,
                                PyObject *kwargs)
{
    return make_pipe_transport(self, args, kwargs, true);
}

static PyObject *
Loop__listen(LoopObject *self, PyObject *args)
{
    PyObject *sock, *factory, *server, *context, *admit;
    int backlog;
    if (!PyArg_ParseTuple(args, "OOOOiO:_listen", &sock, &factory, &server,
                          &context, &backlog, &admit)
        || engine_check_closed(&self->engine) < 0
        || listener_start(&self->engine, sock, factory, server, context,
                          backlog, admit)
               < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
Loop__unlisten(LoopObject *self, PyObject *sock)
{
    int fd = PyObject_AsFileDescriptor(sock);
    if (fd < 0 || listener_stop(&self->engine, fd) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(add_reader_doc,
             "_add_reader($self, fd, callback, /, *args, context=None)\n--\n\n"
             "Call callback(*args) whenever the fd is readable; returns its "
             "asyncio.Handle.\n\n"
             "OSError for a fd that cannot be polled.");
PyDoc_STRVAR(add_writer_doc,
             "_add_writer($self, fd, callback, /, *args, context=None)\n--\n\n"
             "Call callback(*args) whenever the fd is writable; returns its "
             "asyncio.Handle.\n\n"
             "OSError for a fd that cannot be polled.");
PyDoc_STRVAR(remove_reader_doc,
             "_remove_reader($self, fd, /)\n--\n\n"
             "Undo _add_reader(); True if there was a callback.");
PyDoc_STRVAR(remove_writer_doc,
             "_remove_writer($self, fd, /)\n--\n\n"
             "Undo _add_writer(); True if there was a callback.");
PyDoc_STRVAR(watched_events_doc,
             "_watched_events($self, fd, /)\n--\n\n"
             "What the loop waits for on the fd: 1 reading, 2 writing, or "
             "both.");
PyDoc_STRVAR(check_no_transport_doc,
             "_check_no_transport($self, fd, fileobj, /)\n--\n\n"
             "RuntimeError if one of our transports has the file descriptor, "
             "an int, of the\nobject.");
PyDoc_STRVAR(make_socket_transport_doc,
             "_make_socket_transport($self, sock, protocol, waiter=None, *, "
             "extra=None,\n                       server=None, context=None)"
             "\n--\n\n"
             "The transport of a connected socket, which it owns from now on: "
             "asyncio's own\nwhere it is not _is_plain_socket().\n\n"
             "connection_made() and the waiter's result come in the next "
             "turn.");
PyDoc_STRVAR(make_datagram_transport_doc,
             "_make_datagram_transport($self, sock, protocol, address=None, "
             "waiter=None,\n                         extra=None)"
             "\n--\n\n"
             "The transport of a datagram socket, which it owns from now on: "
             "asyncio's own where\nit is not _is_plain_socket(), or of "
             "another family than IPv4, IPv6 and Unix.\n\n"
             "connection_made() and the waiter's result come in the next "
             "turn.");
PyDoc_STRVAR(make_read_pipe_transport_doc,
             "_make_read_pipe_transport($self, pipe, protocol, waiter=None, "
             "extra=None)\n--\n\n"
             "The transport of the reading end of a pipe, which it owns from "
             "now on: asyncio's own\nfor a character device. ValueError for "
             "what is no pipe, socket or such a device.\n\n"
             "connection_made() and the waiter's result come in the next "
             "turn.");
PyDoc_STRVAR(make_write_pipe_transport_doc,
             "_make_write_pipe_transport($self, pipe, protocol, waiter=None, "
             "extra=None)\n--\n\n"
             "The same for the end that writes.");
PyDoc_STRVAR(is_plain_socket_doc,
             "_is_plain_socket($self, sock, /)\n--\n\n"
             "True for a socket.socket whose bytes move by its own methods: "
             "the native\ntransport may go past them.");
PyDoc_STRVAR(listen_doc,
             "_listen($self, sock, factory, server, context, backlog, admit, /)\n--\n\n"
             "Accept on a listening socket.socket; factory() makes each connection's "
             "protocol;\nall its callbacks run in a copy of `context`, unless that is "
             "None. Where `admit` is\nnot None, admit(socket, address) does all that.");
PyDoc_STRVAR(unlisten_doc,
             "_unlisten($self, sock, /)\n--\n\n"
             "Undo _listen(); the socket is left open.");

/* ---- the table ---- */

VISIT_FASTCALL(_add_reader)
VISIT_FASTCALL(_add_writer)
VISIT_ONE(_remove_reader)
VISIT_ONE(_remove_writer)
VISIT_ONE(_watched_events)
VISIT_ONE(_check_no_transport)
VISIT_ONE(_listen)
VISIT_ONE(_unlisten)
VISIT_KEYWORDS(_make_socket_transport)
VISIT_KEYWORDS(_make_datagram_transport)
VISIT_KEYWORDS(_make_read_pipe_transport)
VISIT_KEYWORDS(_make_write_pipe_transport)

#define METHOD(name, flags, doc)                                              \
    {#name, (PyCFunction)(void (*)(void))Loop_##name, flags, doc}
#define VISITING(name, flags, doc)                                            \
    {#name, (PyCFunction)(void (*)(void))Loop_##name##_visit, flags, doc}

PyMethodDef loop_net_methods[] = {
    VISITING(_add_reader, METH_FASTCALL | METH_KEYWORDS, add_reader_doc),
    VISITING(_add_writer, METH_FASTCALL | METH_KEYWORDS, add_writer_doc),
    VISITING(_remove_reader, METH_O, remove_reader_doc),
    VISITING(_remove_writer, METH_O, remove_writer_doc),
    VISITING(_watched_events, METH_O, watched_events_doc),
    VISITING(_check_no_transport, METH_VARARGS, check_no_transport_doc),
    VISITING(_make_socket_transport, METH_VARARGS | METH_KEYWORDS,
             make_socket_transport_doc),
    VISITING(_make_datagram_transport, METH_VARARGS | METH_KEYWORDS,
             make_datagram_transport_doc),
    VISITING(_make_read_pipe_transport, METH_VARARGS | METH_KEYWORDS,
             make_read_pipe_transport_doc),
    VISITING(_make_write_pipe_transport, METH_VARARGS | METH_KEYWORDS,
             make_write_pipe_transport_doc),
    METHOD(_is_plain_socket, METH_O, is_plain_socket_doc),
    VISITING(_listen, METH_VARARGS, listen_doc),
    VISITING(_unlisten, METH_O, unlisten_doc),
    {NULL, NULL, 0, NULL},
};
