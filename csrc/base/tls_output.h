/* The buffer in which the records of a write are collected before they are sent. There
 * is one for each loop, since a write and its sending are one piece; who finds it
 * taken, in a callback of OpenSSL's or of the transport, does without. */
#ifndef PYAIO_BASE_TLS_OUTPUT_H
#define PYAIO_BASE_TLS_OUTPUT_H

#include <Python.h>
#include <stdbool.h>
#include <string.h>

typedef struct TlsOutput {
    char *data; /* owned, NULL until the first record */
    size_t size;
    size_t capacity;
    bool taken;
} TlsOutput;

/* The first room, for what a write of 64 KiB becomes. */
#define TLS_OUTPUT_ROOM (80 * 1024)

/* False where there is no memory. */
static inline bool
tls_output_append(TlsOutput *output, const char *data, size_t size)
{
    if (size > output->capacity - output->size) {
        size_t capacity = output->size + size + TLS_OUTPUT_ROOM;
        char *room = PyMem_RawRealloc(output->data, capacity);
        if (room == NULL) {
            return false;
        }
        output->data = room;
        output->capacity = capacity;
    }
    memcpy(output->data + output->size, data, size);
    output->size += size;
    return true;
}

static inline void
tls_output_close(TlsOutput *output)
{
    PyMem_RawFree(output->data);
    *output = (TlsOutput){.taken = true};
}

#endif
