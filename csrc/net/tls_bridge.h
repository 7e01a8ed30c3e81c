/* The BIOs through which OpenSSL reads and writes the records of a connection in C.
 *
 * Each stands before the BIO of an ssl.MemoryBIO, to which it hands everything on: what
 * asyncio's SSLProtocol does with its SSLObject and its MemoryBIOs goes on as it was. But
 * while records are read or written by us, they come straight from the buffer in which
 * recv() has put them, and go into one that is sent from. */
#ifndef PYAIO_NET_TLS_BRIDGE_H
#define PYAIO_NET_TLS_BRIDGE_H

#include "base/tls_output.h"
#include "net/openssl.h"

typedef struct TlsBridge {
    const OpenSsl *openssl;
    Bio *bio;    /* owned: ours */
    Bio *memory; /* owned: the MemoryBIO's */
    const char
        *come; /* borrowed: records that have come and are not read yet */
    size_t come_size;  /* in bytes */
    bool stored_first; /* what is in `memory` has come before `come` */
    TlsOutput *output; /* borrowed: where records go, NULL: into `memory` */
} TlsBridge;

/* The method of our BIOs, for OpenSsl.bridge. False where there is no memory. */
bool tls_bridge_make_method(OpenSsl *openssl);
void tls_bridge_free_method(const OpenSsl *openssl);

/* A bridge before `memory`, borrowed. NULL with MemoryError. */
TlsBridge *tls_bridge_new(const OpenSsl *openssl, Bio *memory);
/* Of whoever has made it; the SSL may go on with its BIO. NULL is fine. */
void tls_bridge_free(TlsBridge *bridge);

/* How many bytes are in the MemoryBIO. */
static inline size_t
tls_bridge_stored(const TlsBridge *bridge)
{
    long size =
        bridge->openssl->BIO_ctrl(bridge->memory, OPENSSL_PENDING, 0, NULL);
    return size < 0 ? 0 : (size_t)size;
}

/* How many bytes have come that OpenSSL has not taken. */
static inline size_t
tls_bridge_unread(const TlsBridge *bridge)
{
    return tls_bridge_stored(bridge) + bridge->come_size;
}

/* Records that have come, to be read from where they are; borrowed until
 * tls_bridge_store_rest(). */
static inline void
tls_bridge_come(TlsBridge *bridge, const char *data, size_t size)
{
    bridge->come = data;
    bridge->come_size = size;
    bridge->stored_first = tls_bridge_stored(bridge) > 0;
}

/* What is left of `come` goes into the MemoryBIO. -1 with MemoryError. */
int tls_bridge_store_rest(TlsBridge *bridge);
/* Bytes for the MemoryBIO. As that. */
int tls_bridge_store(TlsBridge *bridge, const char *data, size_t size);
/* All that the MemoryBIO has, taken out. New reference, NULL with MemoryError. */
PyObject *tls_bridge_take(TlsBridge *bridge);

#endif
