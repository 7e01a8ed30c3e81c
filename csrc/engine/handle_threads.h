/* What call_soon_threadsafe() returns since Python 3.14: a handle of which
 * cancel(), cancelled() and _run() wait while another thread runs its callback,
 * as asyncio's do, which holds a lock for the time of the run. */
#ifndef PYAIO_ENGINE_HANDLE_THREADS_H
#define PYAIO_ENGINE_HANDLE_THREADS_H

#include "engine/handle.h"

/* Made by who waits for the end of a run, freed by the last who does. */
typedef struct RunEnd {
    PyThread_type_lock lock; /* held until the run has ended */
    int waiting;             /* threads */
} RunEnd;

typedef struct ThreadSafeHandleObject {
    HandleObject handle;
    unsigned long run_by; /* the thread that runs the callback, 0 for none */
    RunEnd *run_end;      /* NULL while nobody waits */
} ThreadSafeHandleObject;

/* A new reference, for the ready queue; before Python 3.14 an ordinary handle. */
HandleObject *threadsafe_handle_new(Engine *engine, PyObject *callback,
                                    PyObject *const *args, Py_ssize_t nargs,
                                    PyObject *context);

/* Returns when no other thread runs the callback. The caller holds a
 * reference. -1 with MemoryError. */
int threadsafe_handle_wait(ThreadSafeHandleObject *handle);

/* As handle_run_now(), after that wait; nothing for a cancelled handle. */
int threadsafe_handle_run(ThreadSafeHandleObject *handle);

#endif
