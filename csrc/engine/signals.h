/* Signals: the pipe into which the interpreter writes the number of each
 * signal, so that one that arrives while the loop waits wakes it.
 *
 * The Loop gives the write end to signal.set_wakeup_fd() whenever it runs in
 * the main thread. What is read goes to loop._process_self_data(), which finds
 * the handlers of add_signal_handler(); handlers set by signal.signal() run
 * through PyErr_CheckSignals() after each poll. */
#ifndef PYAIO_ENGINE_SIGNALS_H
#define PYAIO_ENGINE_SIGNALS_H

#include "engine/engine.h"

/* The write end; makes the pipe at the first call. -1 with OSError. */
int signals_wakeup_fd(Engine *engine);
void signals_close(Engine *engine);

#endif
