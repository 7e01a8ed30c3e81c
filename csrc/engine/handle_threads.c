/* Handles that several threads share: see handle_threads.h. Made by
 * call_soon_threadsafe() (api/loop_schedule.c), run by the turn. A run costs no
 * lock: the GIL guards the fields, and one is made for who has to wait. */
#include "base/platform.h"
#include "engine/handle_threads.h"

#include "engine/engine.h"

static int
run_end_make(ThreadSafeHandleObject *handle)
{
    RunEnd *end = PyMem_RawMalloc(sizeof(*end));
    if (end == NULL || (end->lock = PyThread_allocate_lock()) == NULL) {
        PyMem_RawFree(end);
        PyErr_NoMemory();
        return -1;
    }
    end->waiting = 0;
    PyThread_acquire_lock(end->lock, WAIT_LOCK); /* free: does not wait */
    handle->run_end = end;
    return 0;
}

PLATFORM_HOT int
threadsafe_handle_wait(ThreadSafeHandleObject *handle)
{
    unsigned long self = PyThread_get_thread_ident();
    while (handle->run_by != 0 && handle->run_by != self) {
        if (handle->run_end == NULL && run_end_make(handle) < 0) {
            return -1;
        }
        RunEnd *end = handle->run_end;
        end->waiting++;
        Py_BEGIN_ALLOW_THREADS
        PyThread_acquire_lock(end->lock, WAIT_LOCK);
        PyThread_release_lock(end->lock); /* the next who waits */
        Py_END_ALLOW_THREADS
        if (--end->waiting == 0) {
            PyThread_free_lock(end->lock);
            PyMem_RawFree(end);
        }
    }
    return 0;
}

PLATFORM_HOT int
threadsafe_handle_run(ThreadSafeHandleObject *handle)
{
    if (threadsafe_handle_wait(handle) < 0) {
        return -1;
    }
    if (handle->handle.callback == NULL) {
        return 0;
    }
    unsigned long before = handle->run_by; /* ours, in a run within a run */
    handle->run_by = PyThread_get_thread_ident();
    int err = handle_run_now(&handle->handle);
    handle->run_by = before;
    if (before == 0 && handle->run_end != NULL) {
        PyThread_release_lock(handle->run_end->lock);
        handle->run_end = NULL; /* belongs to those who wait */
    }
    return err;
}

PLATFORM_HOT static int
threadsafe_entry_run(ReadyEntry *entry, Engine *engine)
{
    ModuleState *state = engine->state;
    HandleObject *handle = CONTAINER_OF(entry, HandleObject, entry);
    handle->queued = false;
    int err = threadsafe_handle_run((ThreadSafeHandleObject *)handle);
    /* taken by handle_push() */
    handle_retire(handle, state->threadsafe_handle_type,
                  &state->free_threadsafe_handles);
    return err;
}

static const ReadyOps threadsafe_handle_ops = {
    .run = threadsafe_entry_run,
    .discard = handle_discard,
    .traverse = handle_entry_traverse,
    .subject = handle_subject,
};

PLATFORM_HOT HandleObject *
threadsafe_handle_new(Engine *engine, PyObject *callback,
                      PyObject *const *args, Py_ssize_t nargs,
                      PyObject *context)
{
    ModuleState *state = engine->state;
    if (state->threadsafe_handle_type == NULL) {
        return handle_make(engine, state->handle_type, &state->free_handles,
                           callback, args, nargs, context);
    }
    HandleObject *handle = handle_make(engine, state->threadsafe_handle_type,
                                       &state->free_threadsafe_handles,
                                       callback, args, nargs, context);
    if (handle != NULL) {
        handle->entry.ops = &threadsafe_handle_ops;
    }
    return handle;
}
