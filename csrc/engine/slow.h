/* Debug mode: callbacks that take longer than loop.slow_callback_duration. */
#ifndef PYAIO_ENGINE_SLOW_H
#define PYAIO_ENGINE_SLOW_H

#include "engine/engine.h"

/* Runs an entry that has just left the ready queue: notes who runs in
 * Engine.current_handle, and logs who was slow. -1 as ReadyOps.run. */
int slow_run_entry(Engine *engine, ReadyEntry *entry);

/* Sets Engine.current_handle, which other threads ask for; borrows it, may be NULL. */
void slow_set_current(Engine *engine, PyObject *handle);

#endif
