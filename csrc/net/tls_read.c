/* The way of TLS in: from the records that a stream has received to the program.
 *
 * net/stream_read.c calls tls_received(). What OpenSSL makes of the records goes into the
 * StreamReader, as a bytes object to data_received(), or into the BufferedProtocol's
 * buffer: the order and the errors are those of SSLProtocol.buffer_updated(). */
#include "base/compat.h"
#include "base/errors.h"
#include "net/tls.h"

/* More than a record is with what is around its data. */
#define RECORD (TLS_RECORD_DATA + 1024)

/* What came of reading a piece. */
typedef enum Piece {
    PIECE_ERROR = -1, /* an exception is set */
    PIECE_AGAIN = 0,  /* there is no more, for now */
    PIECE_FULL,       /* there may be more */
    PIECE_END,        /* the other side has sent its close_notify */
} Piece;

/* ---- SSLObject.read() ---- */

/* Whatever is not data and not "later": the SSLObject finds the same, since OpenSSL
 * keeps its end and its queue of errors, which nobody clears in between, and makes Python's
 * exception of it. */
static Piece
ask_sslobj(TlsObject *self, char *buffer, size_t size, size_t *count)
{
    PyObject *most = PyLong_FromSize_t(size);
    PyObject *data =
        most ? PyObject_CallMethodOneArg(self->sslobj,
                                         STATE_NAME(self->state, read), most)
             : NULL;
    Py_XDECREF(most);
    if (data == NULL) {
        if (!PyErr_ExceptionMatches(self->state->ssl_again)) {
            return PIECE_ERROR;
        }
        PyErr_Clear();
        return PIECE_AGAIN;
    }
    char *bytes;
    Py_ssize_t length;
    if (PyBytes_AsStringAndSize(data, &bytes, &length) < 0) {
        Py_DECREF(data);
        return PIECE_ERROR;
    }
    Piece piece = length == 0 ? PIECE_END : PIECE_FULL;
    if ((size_t)length > size) {
        PyErr_SetString(PyExc_ValueError,
                        "read() returned more bytes than were asked for");
        piece = PIECE_ERROR;
    }
    else {
        memcpy(buffer, bytes, (size_t)length);
        *count = (size_t)length;
    }
    Py_DECREF(data);
    return piece;
}

/* One read: *count bytes, unless it is no PIECE_FULL. */
static Piece
read_once(TlsObject *self, char *buffer, size_t size, size_t *count)
{
    const OpenSsl *openssl = self->in->openssl;
    if (openssl->SSL_read_ex(self->ssl, buffer, size, count)) {
        return PIECE_FULL;
    }
    *count = 0;
    if (openssl->SSL_get_error(self->ssl, 0) == OPENSSL_ERROR_WANT_READ) {
        return PIECE_AGAIN;
    }
    return ask_sslobj(self, buffer, size, count);
}

/* Whether OpenSSL has been given all that has come. */
static bool
has_taken_all(const TlsBridge *in)
{
    return in->come_size == 0 && tls_bridge_stored(in) == 0;
}

/* Reads until the buffer is full or there is no more; *count says how much. A read that
 * leaves room has emptied its record: to ask OpenSSL for more when there is nothing to make
 * it of costs as much as the copying. */
static Piece
fill(TlsObject *self, char *buffer, size_t size, size_t *count)
{
    /* What somebody else has left behind would be taken for an error of ours. */
    self->in->openssl->ERR_clear_error();
    Piece piece = PIECE_FULL;
    *count = 0;
    while (piece == PIECE_FULL && *count < size) {
        size_t more;
        piece = read_once(self, buffer + *count, size - *count, &more);
        *count += more;
        if (piece == PIECE_FULL && *count < size && has_taken_all(self->in)) {
            piece = PIECE_AGAIN;
        }
    }
    return piece;
}

/* ---- a Protocol ---- */

static int
deliver(TlsObject *self, PyObject *data)
{
    PyObject *protocol = Py_XNewRef(self->app_protocol);
    if (protocol == NULL) {
        return 0; /* taken away by a callback of OpenSSL's */
    }
    PyObject *result = PyObject_CallMethodOneArg(
        protocol, STATE_NAME(self->state, data_received), data);
    Py_DECREF(protocol);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* More bytes than the records that are there can hold; OpenSSL has a part of one itself. */
static size_t
expected(const TlsObject *self)
{
    size_t size = tls_bridge_unread(self->in);
    if (self->in->openssl->SSL_has_pending(self->ssl)) {
        size += RECORD;
    }
    return size + 1;
}

/* Makes a bytes object of all that is there; NULL where there is nothing, and on error. */
static Piece
read_all(TlsObject *self, PyObject **data)
{
    size_t size = expected(self), count = 0;
    Piece piece = PIECE_FULL;
    *data = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    while (*data != NULL && piece == PIECE_FULL) {
        size_t more;
        piece =
            fill(self, PyBytes_AS_STRING(*data) + count, size - count, &more);
        count += more;
        size += piece == PIECE_FULL ? RECORD : 0;
        (void)_PyBytes_Resize(
            data, (Py_ssize_t)(piece == PIECE_FULL ? size : count));
    }
    if (*data == NULL) {
        return PIECE_ERROR;
    }
    if (piece == PIECE_ERROR || count == 0) {
        Py_CLEAR(*data);
    }
    return piece;
}

/* In one piece: a program that pauses has it all. */
static Piece
read_to_protocol(TlsObject *self)
{
    PyObject *data;
    Piece piece = read_all(self, &data);
    if (data != NULL && deliver(self, data) < 0) {
        piece = PIECE_ERROR;
    }
    Py_XDECREF(data);
    return piece;
}

/* ---- a StreamReader ---- */

/* 1 when the reader has it, 0 where that is not an ordinary one, -1 on error. */
static int
feed(TlsObject *self, const char *data, size_t size)
{
    PyObject *protocol = Py_XNewRef(self->app_protocol);
    StreamObject *stream = tls_stream(self);
    Py_XINCREF(stream);
    int fed = protocol == NULL ? 1
              : stream == NULL
                  ? 0
                  : stream_reader_feed(stream->engine, &self->reader, protocol,
                                       data, (Py_ssize_t)size);
    Py_XDECREF(stream);
    Py_XDECREF(protocol);
    return fed;
}

/* data_received() with the data and the rest, if there is one, behind it. */
static int
deliver_joined(TlsObject *self, const char *data, size_t size, PyObject *rest)
{
    PyObject *all = PyBytes_FromStringAndSize(data, (Py_ssize_t)size);
    if (all != NULL && rest != NULL) {
        PyBytes_Concat(&all, rest); /* NULL on failure */
    }
    int err = all == NULL ? -1 : deliver(self, all);
    Py_XDECREF(all);
    return err;
}

/* To the reader, or, where that is not an ordinary one, to data_received(). */
static int
feed_or_deliver(TlsObject *self, const char *data, size_t size, PyObject *rest)
{
    int fed = size > 0 ? feed(self, data, size) : 1;
    if (fed == 0) {
        return deliver_joined(self, data, size, rest);
    }
    if (fed > 0 && rest != NULL) {
        fed = feed(self, PyBytes_AS_STRING(rest),
                   (size_t)PyBytes_GET_SIZE(rest));
        if (fed == 0) {
            return deliver(self, rest);
        }
    }
    return fed < 0 ? -1 : 0;
}

/* What is more than a record comes in a second piece; nothing is fed before OpenSSL has
 * found all of it good, as in asyncio. */
static Piece
read_to_reader(TlsObject *self)
{
    char data[TLS_RECORD_DATA];
    size_t count;
    PyObject *rest = NULL;
    Piece piece = fill(self, data, sizeof(data), &count);
    if (piece == PIECE_FULL) {
        piece = read_all(self, &rest);
    }
    if (piece != PIECE_ERROR && feed_or_deliver(self, data, count, rest) < 0) {
        piece = PIECE_ERROR;
    }
    Py_XDECREF(rest);
    return piece;
}

/* ---- a BufferedProtocol ---- */

/* One of the protocol's methods, with a number of bytes. New reference, NULL with what it
 * raises. */
static PyObject *
call_with_size(PyObject *method, size_t size)
{
    if (method == NULL) {
        PyErr_SetString(PyExc_AttributeError,
                        "the protocol has no methods of a BufferedProtocol");
        return NULL;
    }
    PyObject *number = PyLong_FromSize_t(size);
    if (number == NULL) {
        return NULL;
    }
    Py_INCREF(method); /* the call may set another protocol */
    PyObject *result = PyObject_CallOneArg(method, number);
    Py_DECREF(method);
    Py_DECREF(number);
    return result;
}

/* The program's buffer; *wants gets how much of it is to be filled. -1 on error. */
static int
get_buffer(TlsObject *self, Py_buffer *view, size_t *wants)
{
    PyObject *buffer =
        call_with_size(self->app_get_buffer, tls_bridge_unread(self->in));
    Py_ssize_t length = buffer == NULL ? -1 : PyObject_Size(buffer);
    /* The interpreter's own conversion, for the errors of SSLObject.read(). */
    PyObject *args = length < 0 ? NULL : Py_BuildValue("(nO)", length, buffer);
    bool ok =
        args != NULL && PyArg_ParseTuple(args, "nw*:read", &length, view);
    Py_XDECREF(args);
    Py_XDECREF(buffer); /* the view holds it */
    if (!ok) {
        return -1;
    }
    *wants = (size_t)(length < view->len ? length : view->len);
    return 0;
}

static int
buffer_updated(TlsObject *self, size_t count)
{
    PyObject *result = call_with_size(self->app_buffer_updated, count);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

/* loop.call_soon(self._do_read): the buffer is full. */
static int
read_on_soon(TlsObject *self)
{
    ModuleState *state = self->state;
    PyObject *loop =
        PyObject_GetAttr((PyObject *)self, STATE_NAME(state, _loop));
    PyObject *read =
        loop ? PyObject_GetAttr((PyObject *)self, STATE_NAME(state, _do_read))
             : NULL;
    PyObject *handle = read ? PyObject_CallMethodOneArg(
                                  loop, STATE_NAME(state, call_soon), read)
                            : NULL;
    Py_XDECREF(read);
    Py_XDECREF(loop);
    Py_XDECREF(handle);
    return handle == NULL ? -1 : 0;
}

static Piece
read_to_buffer(TlsObject *self)
{
    Py_buffer view;
    size_t wants, count = 0;
    if (get_buffer(self, &view, &wants) < 0) {
        return PIECE_ERROR;
    }
    /* asyncio takes no room for no data, and get_buffer() may have ended it all. */
    bool ends = wants == 0 || self->ssl == NULL;
    Piece piece = ends ? PIECE_END : fill(self, view.buf, wants, &count);
    PyBuffer_Release(&view);
    if (piece == PIECE_ERROR || (piece == PIECE_FULL && read_on_soon(self) < 0)
        || (count > 0 && buffer_updated(self, count) < 0)) {
        return PIECE_ERROR;
    }
    return piece == PIECE_FULL ? PIECE_AGAIN : piece;
}

/* ---- _do_read() ---- */

static bool
may_read(const TlsObject *self)
{
    return (self->phase == self->state->tls_wrapped
            || self->phase == self->state->tls_flushing)
           && self->ssl != NULL && self->app_protocol != NULL;
}

/* Until there is no more: also when the program has paused, since asyncio takes the
 * connection for read to the end (_do_flush()). */
static Piece
read_for_program(TlsObject *self)
{
    PyTypeObject *readers = (PyTypeObject *)self->state->stream_protocol;
    return self->app_is_buffered                     ? read_to_buffer(self)
           : Py_IS_TYPE(self->app_protocol, readers) ? read_to_reader(self)
                                                     : read_to_protocol(self);
}

static int
read_pieces(TlsObject *self)
{
    Piece piece = may_read(self) ? read_for_program(self) : PIECE_AGAIN;
    if (piece != PIECE_END) {
        return piece == PIECE_ERROR ? -1 : 0;
    }
    ModuleState *state = self->state;
    return tls_call(self, STATE_NAME(state, _call_eof_received)) < 0
                   || tls_call(self, STATE_NAME(state, _start_shutdown)) < 0
               ? -1
               : 0;
}

/* What the program could not write for a while, or what OpenSSL has to say. */
static int
write_waiting(TlsObject *self)
{
    Py_ssize_t waiting = self->backlog ? PyObject_Size(self->backlog) : 0;
    if (waiting < 0) {
        return -1;
    }
    return waiting > 0 ? tls_call(self, STATE_NAME(self->state, _do_write))
                       : tls_send_records(self);
}

/* _control_ssl_reading(), where there is something to be done. */
static int
control_reading(TlsObject *self)
{
    if (self->in == NULL) {
        return 0;
    }
    size_t size = tls_bridge_unread(self->in);
    bool due = self->ssl_reading_paused ? size <= self->incoming_low
                                        : size >= self->incoming_high;
    return due ? tls_call(self, STATE_NAME(self->state, _control_ssl_reading))
               : 0;
}

int
tls_read(TlsObject *self)
{
    ModuleState *state = self->state;
    if (self->phase != state->tls_wrapped
        && self->phase != state->tls_flushing) {
        return 0;
    }
    int err = 0;
    if (!self->app_reading_paused) {
        err = read_pieces(self);
        if (err == 0) {
            err = write_waiting(self);
        }
    }
    if (err == 0) {
        err = control_reading(self);
    }
    return err < 0 ? tls_fatal(self) : 0;
}

/* ---- buffer_updated() ---- */

/* In the handshake and at the end: by what is in the MemoryBIO. */
static int
go_on(TlsObject *self)
{
    ModuleState *state = self->state;
    if (self->phase == state->tls_handshake) {
        return tls_call(self, STATE_NAME(state, _do_handshake));
    }
    if (self->phase == state->tls_flushing) {
        return tls_call(self, STATE_NAME(state, _do_flush));
    }
    if (self->phase == state->tls_shutdown) {
        return tls_call(self, STATE_NAME(state, _do_shutdown));
    }
    return 0;
}

int
tls_received_elsewhere(TlsObject *self, const char *data, size_t size)
{
    if (self->phase == self->state->tls_handshake) {
        tls_handshake_received(self, data, size);
    }
    if (tls_bridge_store(self->in, data, size) < 0) {
        return -1;
    }
    return self->phase == self->state->tls_wrapped ? tls_read(self)
                                                   : go_on(self);
}

int
tls_received(TlsObject *self, const char *data, size_t size)
{
    if (self->phase != self->state->tls_wrapped) {
        return tls_received_elsewhere(self, data, size);
    }
    tls_bridge_come(self->in, data, size);
    int err = tls_read(self);
    PyObject *raised = err < 0 ? PyErr_GetRaisedException() : NULL;
    /* Not read, since the program has paused: `data` is the caller's. */
    err = tls_bridge_store_rest(self->in);
    return transport_keep_first(raised, err);
}
