/* Which class loop.create_future() and loop.create_task() make. */
#ifndef PYAIO_TASKS_FACTORY_H
#define PYAIO_TASKS_FACTORY_H

#include "base/state.h"

/* 1 when asyncio.futures.Future or asyncio.tasks.Task is not the class that it
 * was when pyaio was imported, 0 when it is, -1 with an exception set: then
 * asyncio's own methods of the loop have to make the object. */
int factory_future_is_replaced(ModuleState *state);
int factory_task_is_replaced(ModuleState *state);

#endif
