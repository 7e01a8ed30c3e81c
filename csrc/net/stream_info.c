/* What programs ask of a stream: get_extra_info().
 *
 * asyncio asks the socket for everything when the transport is made; here each
 * thing is made when it is asked for. Before the fd is closed its name is noted, so
 * that it can be asked for afterwards, too. */
#include "net/socket_options.h"
#include "net/stream.h"

static PyObject *
extra_dict(StreamObject *stream)
{
    if (stream->extra == NULL) {
        stream->extra = PyDict_New();
    }
    return stream->extra;
}

/* A socket that has been closed, as asyncio would show it now. New reference. */
static PyObject *
closed_socket(StreamObject *stream)
{
    ModuleState *state = stream->engine->state;
    PyObject *sock =
        PyObject_CallFunction(state->socket_type, "iii", stream->family,
                              stream->type, stream->proto);
    PyObject *closed =
        sock ? PyObject_CallMethodNoArgs(sock, STATE_NAME(state, close))
             : NULL;
    if (closed == NULL) {
        Py_CLEAR(sock);
    }
    Py_XDECREF(closed);
    return sock;
}

/* The Python socket, which from then on owns the fd. Borrowed. */
static PyObject *
stream_socket(StreamObject *stream)
{
    while (stream->sock == NULL) {
        bool finished = stream->finished;
        SocketFacts facts = {stream->fd, stream->family, stream->type,
                             stream->proto};
        PyObject *sock =
            finished ? closed_socket(stream)
                     : socket_from_facts(stream->engine->state, &facts);
        if (sock == NULL) {
            return NULL;
        }
        if (stream->sock == NULL && stream->finished == finished) {
            stream->sock = sock;
        }
        else {
            /* A finalizer or audit hook has asked for it, or ended the stream,
             * while it was made. */
            socket_give_back(sock);
        }
    }
    return stream->sock;
}

static PyObject *
make_socket_info(StreamObject *stream)
{
    PyObject *sock = stream_socket(stream);
    if (sock == NULL) {
        return NULL;
    }
    return PyObject_CallOneArg(stream->engine->state->transport_socket, sock);
}

/* False where there is none. */
static bool
ask_sockname(StreamObject *stream, SocketAddress *address)
{
    address->length = sizeof(address->address);
    return !stream->finished
           && getsockname(stream->fd, &address->address.any, &address->length)
                  == 0
           && address->length <= sizeof(address->address);
}

static PyObject *
make_sockname(StreamObject *stream)
{
    if (stream->local != NULL) {
        return sockaddr_to_python(stream->local);
    }
    SocketAddress address;
    return ask_sockname(stream, &address) ? sockaddr_to_python(&address)
                                          : Py_NewRef(Py_None);
}

static PyObject *
make_info(StreamObject *stream, PyObject *name)
{
    ModuleState *state = stream->engine->state;
    if (PyUnicode_Compare(name, STATE_NAME(state, socket)) == 0) {
        return make_socket_info(stream);
    }
    if (PyUnicode_Compare(name, STATE_NAME(state, sockname)) == 0) {
        return make_sockname(stream);
    }
    if (PyUnicode_Compare(name, STATE_NAME(state, peername)) == 0) {
        return stream->peer != NULL ? sockaddr_to_python(stream->peer)
                                    : Py_NewRef(Py_None);
    }
    return NULL;
}

PyObject *
stream_get_extra(StreamObject *stream, PyObject *name, PyObject *fallback)
{
    PyObject *extra = extra_dict(stream);
    if (extra == NULL) {
        return NULL;
    }
    PyObject *value = PyDict_GetItemWithError(extra, name);
    if (value != NULL) {
        return Py_NewRef(value);
    }
    if (PyErr_Occurred()) {
        return NULL;
    }
    value = PyUnicode_Check(name) ? make_info(stream, name) : NULL;
    if (value == NULL) {
        return PyErr_Occurred() ? NULL : Py_NewRef(fallback);
    }
    if (PyDict_SetItem(extra, name, value) < 0) {
        Py_CLEAR(value);
    }
    return value;
}

void
stream_remember(StreamObject *stream)
{
    SocketAddress address;
    if (stream->local == NULL && ask_sockname(stream, &address)) {
        stream->local = sockaddr_copy(&address); /* else it will be None */
    }
}
