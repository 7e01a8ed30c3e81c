/* The handshake of TLS, by the rules of SSLProtocol._do_handshake(): called when the
 * connection is made, and for whatever comes until it is done.
 *
 * The SSLObject says "later" by an exception, twice in each handshake; here nothing is
 * raised for that. What else OpenSSL has to say is for asyncio's own method, which asks once
 * more: OpenSSL does not go on with a handshake that has failed, and what it has to say of it
 * still stands in its queue. Not so where what came were no records at all: then it notes
 * something else at the second time. So each header is looked at before. */
#include "base/errors.h"
#include "base/platform.h"
#include "net/tls.h"

/* ---- what has come ---- */

/* Of the header of a record: type, version, length (RFC 8446, 5.1 and 5.2). */
#define HEADER 5
#define VERSION_MAJOR 3
#define LARGEST (TLS_RECORD_DATA + 2048) /* of TLS 1.2, RFC 5246, 6.2.3 */

/* change_cipher_spec, handshake, and what is encrypted; not alert, 21. */
static bool
is_type(unsigned char byte)
{
    return byte == 20 || byte == 22 || byte == 23;
}

/* Whether these are records, all of them whole. */
static bool
are_records(const unsigned char *data, size_t size)
{
    while (size >= HEADER && is_type(data[0]) && data[1] == VERSION_MAJOR) {
        size_t length = (size_t)data[3] << 8 | data[4];
        if (length == 0 || length > LARGEST || length > size - HEADER) {
            return false;
        }
        data += HEADER + length;
        size -= HEADER + length;
    }
    return size == 0;
}

void
tls_handshake_received(TlsObject *self, const char *data, size_t size)
{
    bool first = tls_bridge_stored(self->in) == 0;
    self->looked_at =
        first && are_records((const unsigned char *)data, size) ? size : 0;
}

/* Whether OpenSSL has, and gets, nothing but what was looked at. */
static bool
is_ordinary(TlsObject *self)
{
    if (tls_bridge_stored(self->in) != self->looked_at) {
        self->odd = true; /* a part of a record may stay in OpenSSL */
    }
    self->looked_at = 0;
    return !self->odd;
}

/* ---- one step ---- */

/* SSL_do_handshake(): 0 when it is done, else what SSL_get_error() says. Without the GIL,
 * as in the module _ssl: a signature takes a good part of a millisecond. */
static int
shake_hands(TlsObject *self)
{
    const OpenSsl *openssl = self->in->openssl;
    Ssl *ssl = self->ssl;
    PyObject *socket = Py_NewRef(self->ssl_socket); /* owns the SSL */
    int error;
    Py_BEGIN_ALLOW_THREADS
    openssl->ERR_clear_error();
    int done = openssl->SSL_do_handshake(ssl);
    error = done == 1 ? 0 : openssl->SSL_get_error(ssl, done);
    Py_END_ALLOW_THREADS
    Py_DECREF(socket);
    return error;
}

static PyObject *
by_asyncio(TlsObject *self)
{
    return tls_call_asyncio(self, STATE_NAME(self->state, _do_handshake),
                            NULL);
}

static PyObject *
handshake_is_over(TlsObject *self, PyObject *exc)
{
    return PyObject_CallMethodOneArg(
        (PyObject *)self, STATE_NAME(self->state, _on_handshake_complete),
        exc);
}

/* As _ssl makes it, but for the line of its source. */
static PyObject *
zero_return_error(void)
{
    PyObject *ssl = PyImport_ImportModule("ssl");
    PyObject *exc =
        ssl == NULL
            ? NULL
            : PyObject_CallMethod(ssl, "SSLZeroReturnError", "is",
                                  OPENSSL_ERROR_ZERO_RETURN,
                                  "TLS/SSL connection has been closed (EOF)");
    if (exc != NULL
        && (PyObject_SetAttrString(exc, "reason", Py_None) < 0
            || PyObject_SetAttrString(exc, "library", Py_None) < 0)) {
        Py_CLEAR(exc);
    }
    Py_XDECREF(ssl);
    return exc;
}

/* An encrypted close_notify, which OpenSSL does not tell of a second time. */
PLATFORM_RARE static PyObject *
handshake_is_broken_off(TlsObject *self)
{
    PyObject *exc = zero_return_error();
    PyObject *result = exc == NULL ? NULL : handshake_is_over(self, exc);
    Py_XDECREF(exc);
    return result;
}

PyObject *
tls_handshake(TlsObject *self)
{
    if (!is_ordinary(self)) {
        return by_asyncio(self);
    }
    int error = shake_hands(self);
    switch (error) {
    case 0:
        return handshake_is_over(self, Py_None);
    case OPENSSL_ERROR_WANT_READ:
        return none_or_null(tls_send_records(self));
    case OPENSSL_ERROR_ZERO_RETURN:
        return handshake_is_broken_off(self);
    default:
        return by_asyncio(self);
    }
}
