/* What a datagram transport has still to send. */
#ifndef PYAIO_NET_DATAGRAM_QUEUE_H
#define PYAIO_NET_DATAGRAM_QUEUE_H

#include <Python.h>
#include <stdbool.h>

typedef struct Datagram {
    PyObject *data;    /* owned bytes */
    PyObject *address; /* owned: as sendto() was given it; may be None */
} Datagram;

typedef struct DatagramQueue {
    Datagram *items; /* NULL until something is queued */
    size_t first;    /* index of the oldest */
    size_t count;
    size_t capacity;
    size_t size; /* as get_write_buffer_size() counts: bytes, with headers */
} DatagramQueue;

static inline bool
datagram_queue_is_empty(const DatagramQueue *queue)
{
    return queue->count == 0;
}

/* Queues `data`, which is a bytes object, behind all others. Borrows both; -1
 * with MemoryError. */
int datagram_queue_push(DatagramQueue *queue, PyObject *data,
                        PyObject *address);

/* Takes the oldest, whose references are the caller's from then on. The queue
 * must not be empty. */
Datagram datagram_queue_pop(DatagramQueue *queue);

/* Puts back what was popped. Steals its references, also on failure: -1 with
 * MemoryError. */
int datagram_queue_unpop_steal(DatagramQueue *queue, Datagram datagram);

/* Drops everything and the memory, too. */
void datagram_queue_clear(DatagramQueue *queue);

int datagram_queue_traverse(const DatagramQueue *queue, visitproc visit,
                            void *arg);

static inline void
datagram_drop(Datagram datagram)
{
    Py_DECREF(datagram.data);
    Py_DECREF(datagram.address);
}

#endif
