/* Finds OpenSSL's functions and the SSL of an ssl.SSLObject. Asked by pyaio/_tls.py at
 * the first TLS connection, and by net/tls.c at each. */
#include "net/openssl.h"

#include "net/tls_bridge.h"

#include <dlfcn.h>
#include <stdatomic.h>

/* Of the process, as the library is: its methods for BIOs outlive any interpreter. */
static _Atomic(const OpenSsl *) published;

const OpenSsl *
openssl_get(void)
{
    return atomic_load_explicit(&published, memory_order_acquire);
}

/* ---- its functions ---- */

/* A function of the library that the module _ssl was linked with. NULL where the program
 * has an OpenSSL of its own, too, which may have come in between. */
static void *
find_function(void *library, const char *name)
{
    void *found = dlsym(library, name);
    void *of_program = dlsym(RTLD_DEFAULT, name);
    return of_program == NULL || of_program == found ? found : NULL;
}

/* Whether all functions are there. */
static bool
find_functions(OpenSsl *openssl, void *library)
{
    void *found;
#define X(result, name, parameters)                                           \
    found = find_function(library, #name);                                    \
    if (found == NULL) {                                                      \
        return false;                                                         \
    }                                                                         \
    memcpy(&openssl->name, &found, sizeof(found));
    OPENSSL_FUNCTIONS(X)
#undef X
    return true;
}

/* ---- the place of the SSL ---- */

static void *
word_at(PyObject *object, Py_ssize_t offset)
{
    void *word;
    memcpy(&word, (char *)object + offset, sizeof(word));
    return word;
}

/* An _SSLSocket has its SSL right before its context, which is known; and the SSL has
 * the _SSLSocket as its application's data, which proves it. */
static bool
find_ssl(OpenSsl *openssl, PyObject *socket, PyObject *context)
{
    Py_ssize_t word = (Py_ssize_t)sizeof(void *);
    Py_ssize_t end = Py_TYPE(socket)->tp_basicsize - word;
    for (Py_ssize_t at = (Py_ssize_t)sizeof(PyObject); at < end; at += word) {
        Ssl *ssl = word_at(socket, at);
        if (word_at(socket, at + word) == context && ssl != NULL) {
            openssl->ssl_offset = at;
            return openssl->SSL_get_ex_data(ssl, 0) == socket;
        }
    }
    return false;
}

/* ---- to be used ---- */

static void
publish(OpenSsl *openssl)
{
    const OpenSsl *none = NULL;
    if (!atomic_compare_exchange_strong(&published, &none, openssl)) {
        tls_bridge_free_method(openssl); /* another interpreter was first */
        PyMem_RawFree(openssl);
    }
}

/* 1 when all is found and published, 0 when not, -1 on error. */
static int
find_all(const char *path, PyObject *socket, PyObject *context)
{
    const OpenSsl *found = openssl_get();
    if (found != NULL) { /* by another interpreter */
        Ssl *ssl = word_at(socket, found->ssl_offset);
        return found->SSL_get_ex_data(ssl, 0) == socket;
    }
    void *library = dlopen(path, RTLD_LAZY | RTLD_NOLOAD);
    if (library == NULL) {
        return 0;
    }
    OpenSsl *openssl = PyMem_RawCalloc(1, sizeof(OpenSsl));
    if (openssl == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (find_functions(openssl, library) && find_ssl(openssl, socket, context)
        && tls_bridge_make_method(openssl)) {
        publish(openssl);
        return 1;
    }
    PyMem_RawFree(openssl);
    return 0;
}

PyObject *
openssl_use(PyObject *module, PyObject *args)
{
    PyObject *path, *ssl_object, *socket, *again;
    if (!PyArg_ParseTuple(args, "O&O!OO:_use_openssl", PyUnicode_FSConverter,
                          &path, &PyType_Type, &ssl_object, &socket, &again)) {
        return NULL;
    }
    PyObject *context = PyObject_GetAttrString(socket, "context");
    int found = context == NULL
                    ? -1
                    : find_all(PyBytes_AS_STRING(path), socket, context);
    Py_XDECREF(context);
    Py_DECREF(path);
    if (found > 0) {
        ModuleState *state = PyModule_GetState(module);
        Py_XSETREF(state->ssl_object, Py_NewRef(ssl_object));
        Py_XSETREF(state->ssl_socket, Py_NewRef(Py_TYPE(socket)));
        Py_XSETREF(state->ssl_again, Py_NewRef(again));
    }
    return found < 0 ? NULL : PyBool_FromLong(found);
}

Ssl *
openssl_ssl_of(ModuleState *state, PyObject *sslobj, PyObject **socket)
{
    const OpenSsl *openssl = openssl_get();
    if (openssl == NULL || (PyObject *)Py_TYPE(sslobj) != state->ssl_object) {
        return NULL;
    }
    *socket = PyObject_GetAttr(sslobj, STATE_NAME(state, _sslobj));
    if (*socket == NULL) {
        return NULL;
    }
    Ssl *ssl = (PyObject *)Py_TYPE(*socket) == state->ssl_socket
                   ? word_at(*socket, openssl->ssl_offset)
                   : NULL;
    if (ssl == NULL) {
        Py_CLEAR(*socket);
    }
    return ssl;
}
