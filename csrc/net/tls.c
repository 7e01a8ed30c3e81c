/* What the files of TLS share: the SSL of a connection, and the way to asyncio's own
 * methods. */
#include "net/tls.h"

#include "base/errors.h"

/* ---- the SSL ---- */

void
tls_forget_ssl(TlsObject *self)
{
    self->ssl = NULL;
    tls_bridge_free(self->in);
    tls_bridge_free(self->out);
    self->in = NULL;
    self->out = NULL;
    Py_CLEAR(self->ssl_socket);
}

/* SSL_set0_rbio() and its like take a reference, and drop that of the BIO before. */
static int
build_bridges(TlsObject *self, const OpenSsl *openssl, Ssl *ssl)
{
    Bio *in = openssl->SSL_get_rbio(ssl), *out = openssl->SSL_get_wbio(ssl);
    self->in = tls_bridge_new(openssl, in);
    self->out = self->in ? tls_bridge_new(openssl, out) : NULL;
    if (self->out == NULL) {
        return -1;
    }
    openssl->BIO_up_ref(self->in->bio);
    openssl->SSL_set0_rbio(ssl, self->in->bio);
    openssl->BIO_up_ref(self->out->bio);
    openssl->SSL_set0_wbio(ssl, self->out->bio);
    return 0;
}

/* 1 when the attribute is there and not None, 0 when it is None, -1 on error. */
static int
has(PyObject *object, PyObject *name)
{
    PyObject *value = PyObject_GetAttr(object, name);
    int is_set = value == NULL ? -1 : value != Py_None;
    Py_XDECREF(value);
    return is_set;
}

/* 1 when the program has OpenSSL tell it of every message: what its callback raises comes
 * out of the SSLObject's methods, so these are called. 0 when not, -1 on error. A callback
 * for the server's name may put in a context that logs keys, with the same effect in the
 * middle of a handshake. */
static int
is_watched(TlsObject *self, PyObject *sslobj)
{
    ModuleState *state = self->state;
    PyObject *context = PyObject_GetAttr(sslobj, STATE_NAME(state, context));
    int watched =
        context == NULL ? -1 : has(context, STATE_NAME(state, _msg_callback));
    int asks =
        watched == 0 ? has(context, STATE_NAME(state, sni_callback)) : 0;
    self->odd = asks > 0;
    Py_XDECREF(context);
    return asks < 0 ? -1 : watched;
}

int
tls_take_sslobj(TlsObject *self, PyObject *sslobj)
{
    if (self->ssl != NULL) {
        return 0; /* what is under way goes on with the first */
    }
    Ssl *ssl = openssl_ssl_of(self->state, sslobj, &self->ssl_socket);
    if (ssl == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    int watched = is_watched(self, sslobj);
    if (watched == 0 && openssl_logs_keys(openssl_get(), ssl)) {
        watched = 1;
    }
    if (watched != 0 || build_bridges(self, openssl_get(), ssl) < 0) {
        tls_forget_ssl(self);
        return watched > 0 ? 0 : -1;
    }
    self->ssl = ssl;
    return 0;
}

/* ---- asyncio's methods ---- */

PyObject *
tls_call_asyncio(TlsObject *self, PyObject *name, PyObject *argument)
{
    PyObject *args[] = {self->state->ssl_protocol, (PyObject *)self, argument};
    return PyObject_VectorcallMethod(name, args, argument == NULL ? 2 : 3,
                                     NULL);
}

int
tls_call(TlsObject *self, PyObject *name)
{
    PyObject *result = PyObject_CallMethodNoArgs((PyObject *)self, name);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

int
tls_fatal(TlsObject *self)
{
    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        return -1;
    }
    PyObject *exc = PyErr_GetRaisedException();
    PyObject *handled = PyErr_GetHandledException();
    PyErr_SetHandledException(exc); /* as in asyncio's `except` */
    PyObject *message = PyUnicode_FromString("Fatal error on SSL protocol");
    PyObject *result =
        message
            ? PyObject_CallMethodObjArgs((PyObject *)self,
                                         STATE_NAME(self->state, _fatal_error),
                                         exc, message, NULL)
            : NULL;
    Py_XDECREF(message);
    Py_XDECREF(result);
    PyErr_SetHandledException(handled);
    Py_XDECREF(handled);
    Py_DECREF(exc);
    return result == NULL ? -1 : 0;
}
