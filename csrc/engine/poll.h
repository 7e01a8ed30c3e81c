/* The poll, which comes before a turn when it is due (engine/turn.c). */
#ifndef PYAIO_ENGINE_POLL_H
#define PYAIO_ENGINE_POLL_H

#include "engine/engine.h"

#define POLL_CHECK_TURNS 16 /* at most, between two looks at the clock */

/* Waits while there is nothing to run, and leaves in `ready` what has come and the
 * timers that are due. -1 with OSError, or with what a signal handler has raised. */
int poll_turn(Engine *engine);

/* Lets the backend fill `fired`: waits for up to `wait` ns, -1 for ever. -1 with
 * OSError. */
int poll_backend(Engine *engine, int64_t wait);

#endif
