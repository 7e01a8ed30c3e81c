/* The ready queue: what runs in the next turn, first in, first out.
 *
 * An entry stands at the head of whatever can be run (a handle, a watched fd,
 * a stream that has to flush), so that the engine runs things it cannot name.
 * Pushing and popping allocate nothing. */
#ifndef PYAIO_ENGINE_READY_H
#define PYAIO_ENGINE_READY_H

#include <Python.h>
#include <assert.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct Engine Engine;
typedef struct ReadyEntry ReadyEntry;

typedef struct ReadyOps {
    /* Runs the entry, which has just left the queue, and gives up the queue's
     * hold on it. -1 with an exception set only for what must leave
     * run_forever(): KeyboardInterrupt, SystemExit, a broken loop. */
    int (*run)(ReadyEntry *entry, Engine *engine);
    /* Gives up the queue's hold on an entry that will never run. */
    void (*discard)(ReadyEntry *entry);
    /* What the queue's hold keeps alive, for the cyclic collector. */
    int (*traverse)(ReadyEntry *entry, visitproc visit, void *arg);
    /* Who runs, for the slow-callback report of debug mode. New reference. */
    PyObject *(*subject)(ReadyEntry *entry);
    /* It runs in a Context, and takes over that of the entry before it. */
    bool succeeds;
} ReadyOps;

struct ReadyEntry {
    ReadyEntry *next; /* NULL at the tail and outside a queue */
    const ReadyOps *ops;
};

typedef struct ReadyQueue {
    ReadyEntry *head;
    ReadyEntry *tail; /* meaningless while head is NULL */
    size_t count;
} ReadyQueue;

#define CONTAINER_OF(pointer, type, member)                                   \
    ((type *)((char *)(pointer) - offsetof(type, member)))

static inline bool
ready_is_empty(const ReadyQueue *queue)
{
    return queue->head == NULL;
}

static inline void
ready_push(ReadyQueue *queue, ReadyEntry *entry)
{
    assert(entry->next == NULL);
    if (queue->head == NULL) {
        queue->head = entry;
    }
    else {
        queue->tail->next = entry;
    }
    queue->tail = entry;
    queue->count++;
}

static inline ReadyEntry *
ready_pop(ReadyQueue *queue)
{
    ReadyEntry *entry = queue->head;
    assert(entry != NULL);
    queue->head = entry->next;
    entry->next = NULL;
    queue->count--;
    return entry;
}

/* Moves all of `from` behind what is in `queue`. */
static inline void
ready_append(ReadyQueue *queue, ReadyQueue *from)
{
    if (from->head == NULL) {
        return;
    }
    if (queue->head == NULL) {
        queue->head = from->head;
    }
    else {
        queue->tail->next = from->head;
    }
    queue->tail = from->tail;
    queue->count += from->count;
    from->head = NULL;
    from->count = 0;
}

static inline void
ready_discard_all(ReadyQueue *queue)
{
    while (!ready_is_empty(queue)) {
        ReadyEntry *entry = ready_pop(queue);
        entry->ops->discard(entry);
    }
}

static inline int
ready_traverse(ReadyQueue *queue, visitproc visit, void *arg)
{
    for (ReadyEntry *entry = queue->head; entry; entry = entry->next) {
        int stop = entry->ops->traverse(entry, visit, arg);
        if (stop != 0) {
            return stop;
        }
    }
    return 0;
}

#endif
