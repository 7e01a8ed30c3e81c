/* The write queue of a stream or pipe: filled by net/stream_write.c and
 * net/pipe_write.c when no more is taken or a turn gathers its writes, emptied by
 * net/stream_send.c and net/pipe_write.c. */
#include "net/write_queue.h"

#include <string.h>

#define VECTORS 64 /* chunks in one system call */

/* A connection that was busy once must not keep a large table for ever. */
#define KEEP_CAPACITY 64

static int
queue_reserve(WriteQueue *queue)
{
    if (queue->first + queue->count < queue->capacity) {
        return 0;
    }
    if (queue->first > queue->count) {
        memmove(queue->chunks, queue->chunks + queue->first,
                queue->count * sizeof(*queue->chunks));
        queue->first = 0;
        return 0;
    }
    size_t capacity = queue->capacity ? queue->capacity * 2 : 4;
    WriteChunk *chunks =
        PyMem_Realloc(queue->chunks, capacity * sizeof(*chunks));
    if (chunks == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    queue->chunks = chunks;
    queue->capacity = capacity;
    return 0;
}

int
write_queue_push(WriteQueue *queue, PyObject *owner, const char *data,
                 size_t size)
{
    assert(size > 0);
    if (queue_reserve(queue) < 0) {
        return -1;
    }
    if (PyBytes_CheckExact(owner)) {
        Py_INCREF(owner);
    }
    else {
        owner = PyBytes_FromStringAndSize(data, (Py_ssize_t)size);
        if (owner == NULL) {
            return -1;
        }
        data = PyBytes_AS_STRING(owner);
    }
    queue->chunks[queue->first + queue->count++] =
        (WriteChunk){owner, data, size};
    queue->size += size;
    return 0;
}

/* Fills the vectors with the oldest chunks, returns how many, and in *size the bytes
 * in them. */
static int
queue_vectors(const WriteQueue *queue, struct iovec *vectors, size_t *size)
{
    int count = queue->count < VECTORS ? (int)queue->count : VECTORS;
    *size = 0;
    for (int i = 0; i < count; i++) {
        const WriteChunk *chunk = &queue->chunks[queue->first + (size_t)i];
        vectors[i].iov_base = (void *)chunk->data;
        vectors[i].iov_len = chunk->size;
        *size += chunk->size;
    }
    return count;
}

static void
queue_rewind_if_empty(WriteQueue *queue)
{
    if (queue->count == 0) {
        queue->first = 0;
        if (queue->capacity > KEEP_CAPACITY) {
            PyMem_Free(queue->chunks);
            queue->chunks = NULL;
            queue->capacity = 0;
        }
    }
}

/* The oldest `size` bytes have been sent. */
static void
queue_consume(WriteQueue *queue, size_t size)
{
    queue->size -= size;
    while (size > 0) {
        WriteChunk *chunk = &queue->chunks[queue->first];
        if (size < chunk->size) {
            chunk->data += size;
            chunk->size -= size;
            break;
        }
        size -= chunk->size;
        queue->first++;
        queue->count--;
        Py_DECREF(chunk->owner); /* bytes: no finalizer runs */
    }
    queue_rewind_if_empty(queue);
}

int
write_queue_send(WriteQueue *queue, int calls,
                 ssize_t (*send)(void *, struct iovec *, int), void *transport)
{
    for (int i = 0; i < calls && !write_queue_is_empty(queue); i++) {
        struct iovec vectors[VECTORS];
        size_t offered;
        int count = queue_vectors(queue, vectors, &offered);
        ssize_t sent = send(transport, vectors, count);
        if (sent < 0) {
            return -1;
        }
        queue_consume(queue, (size_t)sent);
        if ((size_t)sent < offered) {
            break;
        }
    }
    return 0;
}

void
write_queue_truncate(WriteQueue *queue, size_t count)
{
    while (queue->count > count) {
        WriteChunk *chunk = &queue->chunks[queue->first + --queue->count];
        queue->size -= chunk->size;
        Py_DECREF(chunk->owner);
    }
    queue_rewind_if_empty(queue);
}

void
write_queue_clear(WriteQueue *queue)
{
    write_queue_truncate(queue, 0);
    PyMem_Free(queue->chunks);
    queue->chunks = NULL;
    queue->capacity = 0;
}
