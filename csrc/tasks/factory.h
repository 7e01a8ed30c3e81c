/* Futures and tasks of a loop: the one place that says of which classes they
 * are. */
#ifndef PYAIO_TASKS_FACTORY_H
#define PYAIO_TASKS_FACTORY_H

#include "engine/engine.h"

/* loop.create_future(). New reference, NULL on failure. */
PyObject *factory_new_future(Engine *engine);

/* A task of the loop for a coroutine, with the keywords of create_task() as a
 * vectorcall passes them: values behind `coro` in args, names in kwnames, or
 * NULL. New reference, NULL on failure. */
PyObject *factory_new_task(Engine *engine, PyObject *const *args,
                           PyObject *kwnames);

#endif
