/* TLS: what asyncio's SSLProtocol does for each piece of data, in C.
 *
 * pyaio._tls.SSLProtocol is this type before asyncio's class: the fields are asyncio's own
 * attributes, which its code reads and sets as before. What is around the handshake, the
 * shutdown and errors are that code. Here are the steps of the handshake, net/tls_handshake.c,
 * and the way of the records: net/tls_read.c takes them from the stream, net/tls_write.c
 * sends them. net/tls_type.c is what Python sees. Where the SSL has not been found
 * (net/openssl.h), everything is asyncio's. */
#ifndef PYAIO_NET_TLS_H
#define PYAIO_NET_TLS_H

#include "net/stream.h"
#include "net/stream_reader.h"
#include "net/tls_bridge.h"

/* What a record holds at the most (RFC 8446, 5.1). */
#define TLS_RECORD_DATA 16384

typedef struct TlsObject {
    PyObject_HEAD
    ModuleState *state; /* of the module that made the type */

    /* ---- asyncio's attributes; objects are owned, NULL until they are set ---- */
    PyObject *phase; /* _state: a SSLProtocolState */
    PyObject *transport;
    PyObject *app_protocol;
    PyObject *app_get_buffer; /* bound methods of a BufferedProtocol */
    PyObject *app_buffer_updated;
    PyObject *sslobj;
    PyObject *backlog;       /* _write_backlog: a deque */
    Py_ssize_t backlog_size; /* _write_buffer_size: bytes in it */
    /* In bytes; of what has come, and of what is to be sent. */
    size_t incoming_high, incoming_low, outgoing_high, outgoing_low;
    bool app_is_buffered;    /* _app_protocol_is_buffer */
    bool app_reading_paused; /* by the program */
    bool app_writing_paused; /* the program is */
    bool ssl_reading_paused; /* the transport is */
    bool ssl_writing_paused; /* by the transport */

    /* ---- ours ---- */
    PyObject *ssl_socket; /* owned: what owns `ssl`, or NULL */
    Ssl *ssl;             /* NULL: asyncio does it all */
    bool replaced;        /* methods, on the object: the same */
    bool odd;            /* something about the handshake: that is asyncio's */
    size_t looked_at;    /* bytes of it that are records, and not yet taken */
    TlsBridge *in, *out; /* owned; there while `ssl` is */
    ReaderLink reader;   /* of app_protocol */
} TlsObject;

/* The protocol as one that takes records in C; NULL for all others. A class that builds
 * on ours may have methods of its own, which are called. */
static inline TlsObject *
tls_of_protocol(ModuleState *state, PyObject *protocol)
{
    return Py_TYPE(protocol)->tp_base == state->tls_type
               ? (TlsObject *)protocol
               : NULL;
}

/* Whether C does what it can. */
static inline bool
tls_is_direct(const TlsObject *self)
{
    return self->ssl != NULL && !self->replaced;
}

/* The transport as a stream of ours whose write() nobody has replaced, or NULL. */
static inline StreamObject *
tls_stream(const TlsObject *self)
{
    PyObject *transport = self->transport;
    bool ours = transport != NULL
                && Py_IS_TYPE(transport, self->state->stream_type)
                && ((StreamObject *)transport)->dict == NULL;
    return ours ? (StreamObject *)transport : NULL;
}

/* ---- tls.c ---- */

/* Finds the SSL in the first sslobj, and puts our BIOs before its own. -1 on error. */
int tls_take_sslobj(TlsObject *self, PyObject *sslobj);
/* Lets the SSL go, when nothing is under way. */
void tls_forget_ssl(TlsObject *self);
/* asyncio's own method of that name, with `argument` unless that is NULL. New reference,
 * NULL with what it raises. */
PyObject *tls_call_asyncio(TlsObject *self, PyObject *name,
                           PyObject *argument);
/* self.name(), whoever's method that is. -1 with what it raises. */
int tls_call(TlsObject *self, PyObject *name);
/* What asyncio does with an Exception raised in its methods: _fatal_error(). -1 with
 * what is none. */
int tls_fatal(TlsObject *self);

/* ---- tls_handshake.c ---- */

/* Looks at what has come of the handshake, before it is stored. */
void tls_handshake_received(TlsObject *self, const char *data, size_t size);
/* _do_handshake(); `ssl` is there. None, or NULL with what it would raise. */
PyObject *tls_handshake(TlsObject *self);

/* ---- tls_read.c ---- */

/* Records that have come, from the transport: buffer_updated(). -1 with what it would
 * raise. `ssl` is there; the caller holds the object. */
int tls_received(TlsObject *self, const char *data, size_t size);
/* The same for records in memory that may be another's while the program runs. */
int tls_received_elsewhere(TlsObject *self, const char *data, size_t size);
/* _do_read(). -1 with what it would raise. */
int tls_read(TlsObject *self);

/* ---- tls_write.c ---- */

/* _write_appdata() of a tuple of pieces. -1 with what it would raise. */
int tls_write(TlsObject *self, PyObject *pieces);
/* _process_outgoing(). -1 with what it would raise. */
int tls_send_records(TlsObject *self);

/* tls_type.c. */
int tls_setup(PyObject *module, ModuleState *state);

#endif
