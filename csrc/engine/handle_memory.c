/* The memory of handles: one is made for each callback and lives for one turn, so those
 * that have run wait in a list for the next. Taken by handle_make() (engine/handle.c),
 * given back by the turn and by the deallocs (engine/handle_type.c). */
#include "base/compat.h"
#include "engine/handle.h"

#define FREE_LIST_MAXIMUM 4096 /* 1 MiB: what a busy turn needs */

/* An interpreter that counts or lists all objects has to hear of the end of each. */
#ifdef Py_REF_DEBUG
#define RETIRES 0
#else
#define RETIRES PYAIO_FREE_LISTS
#endif

static inline bool
has_room(const HandleFreeList *list)
{
    return PYAIO_FREE_LISTS && list->count >= 0
           && list->count < FREE_LIST_MAXIMUM;
}

/* Without the reference to its type, which so can be collected. */
static inline void
list_push(HandleFreeList *list, HandleObject *handle)
{
    PyTypeObject *type = Py_TYPE(handle);
    handle->loop = (PyObject *)list->head;
    list->head = handle;
    list->count++;
    Py_DECREF(type);
}

static inline HandleObject *
list_pop(HandleFreeList *list, PyTypeObject *type)
{
    HandleObject *handle = list->head;
    list->head = (HandleObject *)handle->loop;
    list->count--;
    handle->loop = NULL;
    if (Py_REFCNT(handle) == 0) {
        PyObject_Init((PyObject *)handle, type);
    }
    else {
        Py_INCREF(type); /* one that was retired is an object still */
    }
    return handle;
}

HandleObject *
handle_alloc(PyTypeObject *type, HandleFreeList *list)
{
    if (list->head != NULL) {
        return list_pop(list, type);
    }
    HandleObject *handle = (HandleObject *)type->tp_alloc(type, 0);
    if (PYAIO_FREE_LISTS && handle != NULL) {
        PyObject_GC_UnTrack(handle);
    }
    return handle;
}

void
handle_free(HandleObject *handle, HandleFreeList *list)
{
    if (list != NULL && has_room(list)) {
        list_push(list, handle);
        return;
    }
    PyTypeObject *type = Py_TYPE(handle);
    type->tp_free(handle);
    Py_DECREF(type);
}

/* Nobody else has it, and there is nothing about it that only the dealloc knows. */
static inline bool
is_ours_alone(HandleObject *handle, const PyTypeObject *type)
{
    return Py_REFCNT(handle) == 1 && Py_IS_TYPE(handle, type)
           && !compat_has_weakrefs((PyObject *)handle)
           && handle->source_traceback == NULL && handle->repr == NULL;
}

void
handle_retire(HandleObject *handle, const PyTypeObject *type,
              HandleFreeList *list)
{
    if (!RETIRES || !is_ours_alone(handle, type)) {
        handle_release(handle);
        return;
    }
    PyObject_GC_UnTrack(handle);
    handle_drop_call(handle);
    Py_CLEAR(handle->context);
    if (!has_room(list)) {
        Py_DECREF(handle);
        return;
    }
    PyObject *loop = handle->loop;
    list_push(list, handle);
    Py_DECREF(loop); /* last: the loop may go with it */
}

static void
free_list_clear(HandleFreeList *list)
{
    HandleObject *handle = list->head;
    list->head = NULL;
    list->count = -1; /* takes no more */
    while (handle != NULL) {
        HandleObject *next = (HandleObject *)handle->loop;
        PyObject_GC_Del(handle);
        handle = next;
    }
}

void
handle_free_list_clear(ModuleState *state)
{
    free_list_clear(&state->free_handles);
    free_list_clear(&state->free_timer_handles);
    free_list_clear(&state->free_threadsafe_handles);
}
