/* Objects of one of our types to use again: what is made for every callback, future or
 * await lives for a turn, and the allocator's way costs more than the object.
 *
 * An object in a list is memory: nobody refers to it, the collector does not know it,
 * and the list has no reference to its type. It is linked through the first field
 * behind its head, whatever that is; free_list_take() leaves NULL there. In
 * free-threaded builds all lists stay closed. */
#ifndef PYAIO_BASE_FREE_LIST_H
#define PYAIO_BASE_FREE_LIST_H

#include "base/compat.h"

typedef struct FreeList {
    PyObject *head;
    int room; /* how many more it takes: 0 before it opens and after it closes */
} FreeList;

static inline PyObject **
free_list_link(PyObject *object)
{
    return (PyObject **)(object + 1);
}

static inline void
free_list_open(FreeList *list, int room)
{
    list->room = PYAIO_FREE_LISTS ? room : 0;
}

/* Memory of an object of the list's type, still to be initialized, or NULL. */
static inline PyObject *
free_list_take(FreeList *list)
{
    PyObject *object = list->head;
    if (object != NULL) {
        list->head = *free_list_link(object);
        list->room++;
        *free_list_link(object) = NULL;
    }
    return object;
}

static inline bool
free_list_has_room(const FreeList *list)
{
    return PYAIO_FREE_LISTS && list->room > 0;
}

/* Of a list that has room. The object is untracked, its fields are as a new one's,
 * but for the link. */
static inline void
free_list_put(FreeList *list, PyObject *object)
{
    *free_list_link(object) = list->head;
    list->head = object;
    list->room--;
}

/* While the objects' type still is: the allocator asks it where they begin. */
static inline void
free_list_close(FreeList *list)
{
    PyObject *object = list->head;
    *list = (FreeList){NULL, 0};
    while (object != NULL) {
        PyObject *next = *free_list_link(object);
        PyObject_GC_Del(object);
        object = next;
    }
}

#endif
