/* The way of TLS out: from what the program writes to records, and from these to the
 * transport, by the rules of SSLProtocol._write_appdata() and _process_outgoing().
 *
 * Called by the transport's write() (net/tls_type.c) and by the way in. Records go into
 * one buffer for all connections of the loop and from there to the stream at once; where that is not
 * possible, into the MemoryBIO. */
#include "base/errors.h"
#include "net/tls.h"

/* What is turned into records before they are sent. */
#define PART ((size_t)128 * 1024)
/* The most that the common buffer keeps when a write is over. */
#define OUTPUT_KEPT ((size_t)256 * 1024)


/* ---- flow control of the program ---- */

/* _control_app_writing(), where there is something to be done with so many bytes of
 * records `stored`. */
static int
control_app_writing(TlsObject *self, size_t stored)
{
    size_t size = stored + (size_t)self->backlog_size;
    bool due = self->app_writing_paused ? size <= self->outgoing_low
                                        : size >= self->outgoing_high;
    return due ? tls_call(self, STATE_NAME(self->state, _control_app_writing))
               : 0;
}

/* ---- records that are in memory ---- */

static int
write_to_transport(TlsObject *self, PyObject *data)
{
    StreamObject *stream = tls_stream(self);
    if (stream != NULL) {
        Py_INCREF(stream);
        int err = stream_write_object(stream, data);
        Py_DECREF(stream);
        return err;
    }
    PyObject *transport =
        Py_NewRef(self->transport ? self->transport : Py_None);
    PyObject *result = PyObject_CallMethodOneArg(
        transport, STATE_NAME(self->state, write), data);
    Py_DECREF(transport);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

int
tls_send_records(TlsObject *self)
{
    if (self->ssl == NULL) {
        return 0;
    }
    size_t stored = tls_bridge_stored(self->out);
    if (stored > 0 && !self->ssl_writing_paused) {
        PyObject *data = tls_bridge_take(self->out);
        int err = data == NULL ? -1 : write_to_transport(self, data);
        Py_XDECREF(data);
        if (err < 0) {
            return -1;
        }
        stored = tls_bridge_stored(self->out);
    }
    return control_app_writing(self, stored);
}

/* ---- the common buffer ---- */

/* Takes the buffer where the records can go straight to the stream. */
static void
output_open(TlsObject *self)
{
    StreamObject *stream = tls_stream(self);
    if (stream == NULL) {
        return;
    }
    TlsOutput *output = &stream->engine->tls_output;
    if (!output->taken && !stream->lost_writes
        && tls_bridge_stored(self->out) == 0) {
        output->taken = true;
        output->size = 0;
        self->out->output = output;
    }
}

/* From here on records go into the MemoryBIO. */
static int
output_send(TlsObject *self)
{
    TlsOutput *output = self->out->output;
    self->out->output = NULL;
    if (output == NULL || output->size == 0) {
        return 0;
    }
    StreamObject *stream = tls_stream(self);
    if (stream == NULL) {
        /* A callback of OpenSSL's has ended the connection. */
        return tls_bridge_store(self->out, output->data, output->size);
    }
    Py_INCREF(stream);
    int err = stream_write_memory(stream, output->data, output->size);
    Py_DECREF(stream);
    return err;
}

static void
output_release(TlsOutput *output)
{
    if (output->capacity > OUTPUT_KEPT) {
        tls_output_close(output);
    }
    output->taken = false;
}

/* Sends what was collected, and gives the buffer back. */
static int
output_close(TlsObject *self)
{
    TlsOutput *output = self->out->output;
    int err = output_send(self);
    if (output != NULL) {
        output_release(output);
    }
    return err;
}

/* OpenSSL has failed: the connection ends, and what was collected is not sent. */
static void
output_drop(TlsObject *self)
{
    TlsOutput *output = self->out->output;
    self->out->output = NULL;
    if (output != NULL) {
        output_release(output);
    }
}

/* ---- SSLObject.write() ---- */

/* What OpenSSL says is for the SSLObject to tell: it finds the same (net/tls_read.c). 1
 * when all was taken, 0 when it is to be tried again later, -1 on error. */
static int
ask_sslobj(TlsObject *self, const char *data, size_t size, size_t *taken)
{
    PyObject *bytes = PyBytes_FromStringAndSize(data, (Py_ssize_t)size);
    PyObject *count =
        bytes ? PyObject_CallMethodOneArg(
                    self->sslobj, STATE_NAME(self->state, write), bytes)
              : NULL;
    Py_XDECREF(bytes);
    if (count == NULL) {
        if (!PyErr_ExceptionMatches(self->state->ssl_again)) {
            return -1;
        }
        PyErr_Clear();
        return 0;
    }
    *taken = PyLong_AsSize_t(count);
    Py_DECREF(count);
    if (*taken > size) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_ValueError,
                            "write() took more bytes than there were");
        }
        return -1;
    }
    return *taken == size;
}

/* The same for records in C. */
static int
encrypt_part(TlsObject *self, const char *data, size_t size, size_t *taken)
{
    *taken = 0;
    self->out->openssl->ERR_clear_error();
    if (self->out->openssl->SSL_write_ex(self->ssl, data, size, taken)) {
        return *taken == size;
    }
    return ask_sslobj(self, data, size, taken);
}

/* What is left of a piece waits for OpenSSL; it is kept as bytes. */
static int
keep(TlsObject *self, const char *data, size_t size)
{
    PyObject *rest = PyBytes_FromStringAndSize(data, (Py_ssize_t)size);
    PyObject *result =
        rest ? PyObject_CallMethodOneArg(self->backlog,
                                         STATE_NAME(self->state, append), rest)
             : NULL;
    Py_XDECREF(result);
    Py_XDECREF(rest);
    if (result == NULL) {
        return -1;
    }
    self->backlog_size += (Py_ssize_t)size;
    return 0;
}

/* One piece of data, part by part. 1 when all was taken, 0 when the rest is kept, -1 on
 * error. While the transport is `paused` the records wait in the BIO. */
static int
encrypt(TlsObject *self, const char *data, size_t size, bool paused)
{
    while (size > 0) {
        size_t part = size < PART ? size : PART, taken;
        if (!paused) {
            output_open(self);
        }
        int all = encrypt_part(self, data, part, &taken);
        data += taken;
        size -= taken;
        if (all < 0) {
            output_drop(self);
            return -1;
        }
        if (output_close(self) < 0) {
            return -1;
        }
        if (!all && taken == 0) {
            return keep(self, data, size);
        }
    }
    return 1;
}

/* ---- _write_appdata() ---- */

/* Whether the object is bytes as they are: what len() says is their number. */
static bool
is_plain(PyObject *piece)
{
    if (PyMemoryView_Check(piece)) {
        Py_buffer view;
        if (PyObject_GetBuffer(piece, &view, PyBUF_FULL_RO) < 0) {
            PyErr_Clear(); /* it has been released */
            return false;
        }
        bool plain = view.ndim == 1 && view.itemsize == 1
                     && PyBuffer_IsContiguous(&view, 'C');
        PyBuffer_Release(&view);
        return plain;
    }
    return PyBytes_CheckExact(piece) || PyByteArray_CheckExact(piece);
}

/* Whether OpenSSL can have the pieces now. -1 on error. */
static int
can_encrypt(TlsObject *self, PyObject *const *pieces, Py_ssize_t count)
{
    if (!tls_is_direct(self) || self->phase != self->state->tls_wrapped
        || self->backlog == NULL) {
        return 0;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        if (!is_plain(pieces[i])) {
            return 0;
        }
    }
    Py_ssize_t waiting = PyObject_Size(self->backlog);
    return waiting < 0 ? -1 : waiting == 0;
}

/* As encrypt(); a piece that `waits` goes behind what is in the backlog. */
static int
encrypt_piece(TlsObject *self, PyObject *piece, bool paused, bool waits)
{
    Py_buffer view;
    if (PyObject_GetBuffer(piece, &view, PyBUF_SIMPLE) < 0) {
        return -1;
    }
    size_t size = (size_t)view.len;
    int all = waits ? keep(self, view.buf, size)
                    : encrypt(self, view.buf, size, paused);
    PyBuffer_Release(&view);
    return all;
}

static int
encrypt_pieces(TlsObject *self, PyObject *const *pieces, Py_ssize_t count,
               bool paused)
{
    int all = 1;
    for (Py_ssize_t i = 0; all >= 0 && i < count; i++) {
        all = encrypt_piece(self, pieces[i], paused, all == 0);
    }
    return all < 0 ? -1 : 0;
}

/* Small pieces in one record. False where they are too much, or just one. */
static bool
join(PyObject *const *pieces, Py_ssize_t count, char *joined, size_t *size)
{
    *size = 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *piece = pieces[i];
        if (!PyBytes_CheckExact(piece)
            || (size_t)PyBytes_GET_SIZE(piece) > TLS_RECORD_DATA - *size) {
            return false;
        }
        size_t length = (size_t)PyBytes_GET_SIZE(piece);
        memcpy(joined + *size, PyBytes_AS_STRING(piece), length);
        *size += length;
    }
    return count > 1;
}

/* A transport that asks to pause amid the pieces has them all, as it has one write of
 * asyncio's. */
static int
encrypt_all(TlsObject *self, PyObject *const *pieces, Py_ssize_t count)
{
    bool paused = self->ssl_writing_paused;
    if (count > 1) {
        char joined[TLS_RECORD_DATA];
        size_t size;
        if (join(pieces, count, joined, &size)) {
            return encrypt(self, joined, size, paused) < 0 ? -1 : 0;
        }
    }
    return encrypt_pieces(self, pieces, count, paused);
}

static int
write_by_asyncio(TlsObject *self, PyObject *pieces)
{
    PyObject *result = tls_call_asyncio(
        self, STATE_NAME(self->state, _write_appdata), pieces);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

int
tls_write(TlsObject *self, PyObject *pieces)
{
    PyObject *const *items = &PyTuple_GET_ITEM(pieces, 0);
    Py_ssize_t count = PyTuple_GET_SIZE(pieces);
    int can = can_encrypt(self, items, count);
    if (can <= 0) {
        return can < 0 ? -1 : write_by_asyncio(self, pieces);
    }
    int err = encrypt_all(self, items, count);
    if (err == 0) {
        err = tls_send_records(self);
    }
    return err < 0 ? tls_fatal(self) : 0;
}
