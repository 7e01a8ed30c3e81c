/* OpenSSL as the interpreter's own module `ssl` has loaded it: its functions, and the
 * way from an ssl.SSLObject to the SSL inside. Nothing is compiled or linked against it:
 * the library is the one that makes the objects, or TLS takes the way of asyncio. */
#ifndef PYAIO_NET_OPENSSL_H
#define PYAIO_NET_OPENSSL_H

#include "base/state.h"

/* OpenSSL's own types, of which only pointers are handed around. */
typedef struct ssl_st Ssl;
typedef struct ssl_ctx_st SslContext;
typedef struct bio_st Bio;
typedef struct bio_method_st BioMethod;

typedef void (*KeyLogger)(const Ssl *ssl, const char *line);
typedef int (*BioIo)(Bio *bio, char *data, int size);
typedef int (*BioSend)(Bio *bio, const char *data, int size);
typedef long (*BioControl)(Bio *bio, int command, long number, void *pointer);

/* All of them are there since OpenSSL 1.1.1, the oldest that Python 3.11 takes. */
#define OPENSSL_FUNCTIONS(X)                                                  \
    X(int, SSL_read_ex, (Ssl *, void *, size_t, size_t *))                    \
    X(int, SSL_write_ex, (Ssl *, const void *, size_t, size_t *))             \
    X(int, SSL_do_handshake, (Ssl *))                                         \
    X(int, SSL_get_error, (const Ssl *, int))                                 \
    X(int, SSL_has_pending, (const Ssl *))                                    \
    X(SslContext *, SSL_get_SSL_CTX, (const Ssl *))                           \
    X(KeyLogger, SSL_CTX_get_keylog_callback, (const SslContext *))           \
    X(void *, SSL_get_ex_data, (const Ssl *, int))                            \
    X(Bio *, SSL_get_rbio, (const Ssl *))                                     \
    X(Bio *, SSL_get_wbio, (const Ssl *))                                     \
    X(void, SSL_set0_rbio, (Ssl *, Bio *))                                    \
    X(void, SSL_set0_wbio, (Ssl *, Bio *))                                    \
    X(void, ERR_clear_error, (void))                                          \
    X(Bio *, BIO_new, (const BioMethod *))                                    \
    X(int, BIO_free, (Bio *))                                                 \
    X(int, BIO_up_ref, (Bio *))                                               \
    X(void *, BIO_get_data, (Bio *))                                          \
    X(void, BIO_set_data, (Bio *, void *))                                    \
    X(void, BIO_set_init, (Bio *, int))                                       \
    X(void, BIO_set_flags, (Bio *, int))                                      \
    X(void, BIO_clear_flags, (Bio *, int))                                    \
    X(int, BIO_test_flags, (const Bio *, int))                                \
    X(int, BIO_read, (Bio *, void *, int))                                    \
    X(int, BIO_write, (Bio *, const void *, int))                             \
    X(long, BIO_ctrl, (Bio *, int, long, void *))                             \
    X(int, BIO_get_new_index, (void))                                         \
    X(BioMethod *, BIO_meth_new, (int, const char *))                         \
    X(void, BIO_meth_free, (BioMethod *))                                     \
    X(int, BIO_meth_set_read, (BioMethod *, BioIo))                           \
    X(int, BIO_meth_set_write, (BioMethod *, BioSend))                        \
    X(int, BIO_meth_set_ctrl, (BioMethod *, BioControl))                      \
    X(int, BIO_meth_set_destroy, (BioMethod *, int (*)(Bio *)))

typedef struct OpenSsl {
#define X(result, name, parameters) result(*name) parameters;
    OPENSSL_FUNCTIONS(X)
#undef X
    BioMethod *bridge; /* of the BIOs of net/tls_bridge.h; lives for ever */
    Py_ssize_t ssl_offset; /* where an _ssl._SSLSocket has its SSL */
} OpenSsl;

/* Numbers of OpenSSL's headers that are part of its ABI. */
enum {
    OPENSSL_ERROR_WANT_READ = 2,   /* SSL_ERROR_WANT_READ */
    OPENSSL_ERROR_ZERO_RETURN = 6, /* SSL_ERROR_ZERO_RETURN */
    OPENSSL_PENDING = 10,          /* BIO_CTRL_PENDING */
    OPENSSL_SOURCE_SINK = 0x400,   /* BIO_TYPE_SOURCE_SINK */
    OPENSSL_RETRY_FLAGS = 0x0f,    /* BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY */
};

/* _use_openssl(path, ssl_object, socket, again, /): `path` is the file of the module _ssl,
 * `ssl_object` the class ssl.SSLObject, `socket` an _ssl._SSLSocket that is used for
 * nothing else, `again` the exceptions that ask to try again.
 * Python's True when its SSL has been found and proved, False when not; NULL with an
 * exception set. */
PyObject *openssl_use(PyObject *module, PyObject *args);

/* NULL unless openssl_use() has said True. */
const OpenSsl *openssl_get(void);

/* Whether its keys are logged: what goes wrong with the log is put aside by _ssl, or stays
 * in OpenSSL's queue, for the SSLObject's methods. */
static inline bool
openssl_logs_keys(const OpenSsl *openssl, const Ssl *ssl)
{
    SslContext *context = openssl->SSL_get_SSL_CTX(ssl);
    return openssl->SSL_CTX_get_keylog_callback(context) != NULL;
}

/* The SSL in an object of exactly ssl.SSLObject; *socket gets what owns it, a new
 * reference. NULL where it has none, or, with an exception set, on error. */
Ssl *openssl_ssl_of(ModuleState *state, PyObject *sslobj, PyObject **socket);

#endif
