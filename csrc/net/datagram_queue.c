/* The queue of a datagram transport: filled by net/datagram_send.c when the
 * socket takes no more, emptied there when it does again. */
#include "net/datagram_queue.h"

#include "base/compat.h"

#include <string.h>

/* What one datagram counts. */
static size_t
counted_size(PyObject *data)
{
    return (size_t)PyBytes_GET_SIZE(data) + PYAIO_DATAGRAM_HEADER;
}

/* Room for one more behind the last. */
static int
queue_reserve(DatagramQueue *queue)
{
    if (queue->first + queue->count < queue->capacity) {
        return 0;
    }
    if (queue->first > queue->count) {
        memmove(queue->items, queue->items + queue->first,
                queue->count * sizeof(*queue->items));
        queue->first = 0;
        return 0;
    }
    size_t capacity = queue->capacity ? queue->capacity * 2 : 8;
    Datagram *items = PyMem_Realloc(queue->items, capacity * sizeof(*items));
    if (items == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    queue->items = items;
    queue->capacity = capacity;
    return 0;
}

int
datagram_queue_push(DatagramQueue *queue, PyObject *data, PyObject *address)
{
    if (queue_reserve(queue) < 0) {
        return -1;
    }
    queue->items[queue->first + queue->count++] =
        (Datagram){Py_NewRef(data), Py_NewRef(address)};
    queue->size += counted_size(data);
    return 0;
}

Datagram
datagram_queue_pop(DatagramQueue *queue)
{
    assert(queue->count > 0);
    Datagram oldest = queue->items[queue->first++];
    queue->size -= counted_size(oldest.data);
    if (--queue->count == 0) {
        queue->first = 0;
    }
    return oldest;
}

int
datagram_queue_unpop_steal(DatagramQueue *queue, Datagram datagram)
{
    if (queue->first == 0) {
        if (queue_reserve(queue) < 0) {
            datagram_drop(datagram);
            return -1;
        }
        memmove(queue->items + 1, queue->items,
                queue->count * sizeof(*queue->items));
        queue->first = 1;
    }
    queue->items[--queue->first] = datagram;
    queue->count++;
    queue->size += counted_size(datagram.data);
    return 0;
}

void
datagram_queue_clear(DatagramQueue *queue)
{
    DatagramQueue dropped = *queue;
    *queue = (DatagramQueue){0}; /* an address may be anything, and finalize */
    while (dropped.count > 0) {
        datagram_drop(datagram_queue_pop(&dropped));
    }
    PyMem_Free(dropped.items);
}

int
datagram_queue_traverse(const DatagramQueue *queue, visitproc visit, void *arg)
{
    for (size_t i = 0; i < queue->count; i++) {
        Py_VISIT(queue->items[queue->first + i].address); /* data: bytes */
    }
    return 0;
}
