/* The memory of handles: one is made for each callback and lives for one turn, so those
 * that have run wait in a list for the next. Taken by handle_make() (engine/handle.c),
 * given back by the turn and by the deallocs (engine/handle_type.c). */
#include "base/compat.h"
#include "base/platform.h"
#include "engine/handle.h"

/* An interpreter that counts or lists all objects has to hear of the end of each. */
#ifdef Py_REF_DEBUG
#define RETIRES 0
#else
#define RETIRES PYAIO_FREE_LISTS
#endif

PLATFORM_HOT HandleObject *
handle_alloc(PyTypeObject *type, FreeList *list)
{
    PyObject *handle = free_list_take(list);
    if (handle == NULL) {
        handle = type->tp_alloc(type, 0);
        if (PYAIO_FREE_LISTS && handle != NULL) {
            PyObject_GC_UnTrack(handle);
        }
    }
    else if (Py_REFCNT(handle) == 0) {
        PyObject_Init(handle, type);
    }
    else {
        Py_INCREF(type); /* one that was retired is an object still */
    }
    return (HandleObject *)handle;
}

void
handle_free(HandleObject *handle, FreeList *list)
{
    PyTypeObject *type = Py_TYPE(handle);
    if (list != NULL && free_list_has_room(list)) {
        free_list_put(list, (PyObject *)handle);
    }
    else {
        type->tp_free(handle);
    }
    Py_DECREF(type);
}

/* Nobody else has it, and there is nothing about it that only the dealloc knows. */
static inline bool
is_ours_alone(HandleObject *handle, PyTypeObject *type)
{
    return Py_REFCNT(handle) == 1 && Py_IS_TYPE(handle, type)
           && !compat_has_weakrefs((PyObject *)handle)
           && handle->source_traceback == NULL && handle->repr == NULL;
}

PLATFORM_HOT void
handle_retire(HandleObject *handle, PyTypeObject *type, FreeList *list)
{
    if (!RETIRES || !is_ours_alone(handle, type)) {
        handle_release(handle);
        return;
    }
    PyObject_GC_UnTrack(handle);
    handle_drop_call(handle);
    Py_CLEAR(handle->context);
    if (!free_list_has_room(list)) {
        Py_DECREF(handle);
        return;
    }
    PyObject *loop = handle->loop;
    free_list_put(list, (PyObject *)handle);
    Py_DECREF(type);
    Py_DECREF(loop); /* last: the loop may go with it */
}
