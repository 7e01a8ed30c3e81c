/* What the turn hands to Python when somebody has replaced it: a subclass with a
 * _run_once() or a selector of its own, a clock that a test moves. Called by
 * engine/turn.c where Engine.overrides says so. */
#ifndef PYAIO_ENGINE_REPLACED_H
#define PYAIO_ENGINE_REPLACED_H

#include "engine/engine.h"

/* loop._run_once(), in place of a turn. -1 with what it has raised. */
int replaced_run_once(Engine *engine);

/* As asyncio polls: loop._process_events(loop._selector.select(timeout)). The
 * wait is in ns, -1 for ever. -1 with an exception set. */
int replaced_poll(Engine *engine, int64_t wait);

/* loop._write_to_self(). -1 with what it has raised. */
int replaced_write_to_self(Engine *engine);

#endif
