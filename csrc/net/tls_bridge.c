/* See net/tls_bridge.h. The functions on_...() are called by OpenSSL, in the midst of a
 * read, a write or a handshake; they raise nothing. */
#include "net/tls_bridge.h"

/* The memory of a bridge is the BIO's: it goes with the last reference to that. */
static int
on_destroy(Bio *bio)
{
    const OpenSsl *openssl = openssl_get();
    TlsBridge *bridge = openssl->BIO_get_data(bio);
    if (bridge != NULL) {
        openssl->BIO_free(bridge->memory);
        PyMem_RawFree(bridge);
    }
    return 1;
}

/* Whether it is worth to try again is what the MemoryBIO says. */
static int
hand_on_retry(TlsBridge *bridge, Bio *bio, int result)
{
    const OpenSsl *openssl = bridge->openssl;
    if (result <= 0) {
        openssl->BIO_set_flags(
            bio, openssl->BIO_test_flags(bridge->memory, OPENSSL_RETRY_FLAGS));
    }
    return result;
}

static int
read_stored(TlsBridge *bridge, Bio *bio, char *data, int size)
{
    return hand_on_retry(
        bridge, bio, bridge->openssl->BIO_read(bridge->memory, data, size));
}

static int
read_come(TlsBridge *bridge, char *data, size_t size)
{
    if (size > bridge->come_size) {
        size = bridge->come_size;
    }
    memcpy(data, bridge->come, size);
    bridge->come += size;
    bridge->come_size -= size;
    return (int)size;
}

static int
on_read(Bio *bio, char *data, int size)
{
    const OpenSsl *openssl = openssl_get();
    TlsBridge *bridge = openssl->BIO_get_data(bio);
    openssl->BIO_clear_flags(bio, OPENSSL_RETRY_FLAGS);
    if (bridge->stored_first) {
        bridge->stored_first = tls_bridge_stored(bridge) > 0;
    }
    return bridge->come_size == 0 || bridge->stored_first || size <= 0
               ? read_stored(bridge, bio, data, size)
               : read_come(bridge, data, (size_t)size);
}

static int
on_write(Bio *bio, const char *data, int size)
{
    const OpenSsl *openssl = openssl_get();
    TlsBridge *bridge = openssl->BIO_get_data(bio);
    openssl->BIO_clear_flags(bio, OPENSSL_RETRY_FLAGS);
    if (bridge->output != NULL) {
        bool ok = tls_output_append(bridge->output, data, (size_t)size);
        return ok ? size : -1;
    }
    return hand_on_retry(bridge, bio,
                         openssl->BIO_write(bridge->memory, data, size));
}

static long
on_control(Bio *bio, int command, long number, void *pointer)
{
    const OpenSsl *openssl = openssl_get();
    TlsBridge *bridge = openssl->BIO_get_data(bio);
    return bridge == NULL
               ? 0
               : openssl->BIO_ctrl(bridge->memory, command, number, pointer);
}

bool
tls_bridge_make_method(OpenSsl *openssl)
{
    int index = openssl->BIO_get_new_index();
    BioMethod *method =
        index < 0
            ? NULL
            : openssl->BIO_meth_new(index | OPENSSL_SOURCE_SINK, "pyaio");
    if (method == NULL) {
        return false;
    }
    openssl->BIO_meth_set_read(method, on_read);
    openssl->BIO_meth_set_write(method, on_write);
    openssl->BIO_meth_set_ctrl(method, on_control);
    openssl->BIO_meth_set_destroy(method, on_destroy);
    openssl->bridge = method;
    return true;
}

void
tls_bridge_free_method(const OpenSsl *openssl)
{
    openssl->BIO_meth_free(openssl->bridge);
}

TlsBridge *
tls_bridge_new(const OpenSsl *openssl, Bio *memory)
{
    TlsBridge *bridge = PyMem_RawCalloc(1, sizeof(TlsBridge));
    Bio *bio = bridge == NULL ? NULL : openssl->BIO_new(openssl->bridge);
    if (bio == NULL) {
        PyMem_RawFree(bridge);
        PyErr_NoMemory();
        return NULL;
    }
    openssl->BIO_up_ref(memory);
    *bridge = (TlsBridge){.openssl = openssl, .bio = bio, .memory = memory};
    openssl->BIO_set_data(bio, bridge);
    openssl->BIO_set_init(bio, 1);
    return bridge;
}

void
tls_bridge_free(TlsBridge *bridge)
{
    if (bridge != NULL) {
        bridge->come = NULL;
        bridge->come_size = 0;
        bridge->output = NULL;
        bridge->openssl->BIO_free(bridge->bio);
    }
}

int
tls_bridge_store(TlsBridge *bridge, const char *data, size_t size)
{
    if (size > 0
        && bridge->openssl->BIO_write(bridge->memory, data, (int)size)
               != (int)size) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

int
tls_bridge_store_rest(TlsBridge *bridge)
{
    const char *come = bridge->come;
    size_t size = bridge->come_size;
    bridge->come = NULL;
    bridge->come_size = 0;
    return tls_bridge_store(bridge, come, size);
}

PyObject *
tls_bridge_take(TlsBridge *bridge)
{
    size_t size = tls_bridge_stored(bridge);
    PyObject *data = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    if (data != NULL && size > 0) {
        int taken = bridge->openssl->BIO_read(
            bridge->memory, PyBytes_AS_STRING(data), (int)size);
        if (taken != (int)size) {
            (void)_PyBytes_Resize(&data, taken < 0 ? 0 : taken);
        }
    }
    return data;
}
