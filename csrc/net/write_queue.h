/* What a stream or pipe has still to send: chunks of bytes, each held by the object it
 * lies in. */
#ifndef PYAIO_NET_WRITE_QUEUE_H
#define PYAIO_NET_WRITE_QUEUE_H

#include <Python.h>
#include <stdbool.h>
#include <sys/uio.h>

typedef struct WriteChunk {
    PyObject *owner;  /* owned bytes object */
    const char *data; /* the first byte not yet sent */
    size_t size;      /* never 0 */
} WriteChunk;

typedef struct WriteQueue {
    WriteChunk *chunks; /* NULL until something is queued */
    size_t first;       /* index of the oldest chunk */
    size_t count;
    size_t capacity;
    size_t size; /* bytes in all chunks */
} WriteQueue;

static inline bool
write_queue_is_empty(const WriteQueue *queue)
{
    return queue->count == 0;
}

/* Queues `size` bytes at `data`, which lie in `owner`: a bytes object is held,
 * of any other the bytes are copied, since it may change. -1 with MemoryError
 * and nothing queued. */
int write_queue_push(WriteQueue *queue, PyObject *owner, const char *data,
                     size_t size);

/* Sends the oldest chunks, by so many calls of `send` at the most, until the queue is
 * empty or less is taken than was offered. `send` returns how many bytes were taken, 0
 * where none are now, or -1 with an exception set: then this does, too. Else 0. */
int write_queue_send(WriteQueue *queue, int calls,
                     ssize_t (*send)(void *transport, struct iovec *vectors,
                                     int count),
                     void *transport);

/* Takes back the newest chunks until `count` are left. */
void write_queue_truncate(WriteQueue *queue, size_t count);

/* Drops everything and the memory, too. */
void write_queue_clear(WriteQueue *queue);

#endif
