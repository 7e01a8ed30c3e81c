/* Signals: the pipe into which the interpreter writes the number of each
 * signal, so that one that arrives while the loop waits wakes it.
 *
 * Before its first wait in the main thread a run gives the write end to
 * signal.set_wakeup_fd(), and takes it back at its end: a loop that never waits
 * needs none of it, since the interpreter runs the handlers by itself. What is
 * read goes to loop._process_self_data(), which finds the handlers of
 * add_signal_handler(); handlers set by signal.signal() run through
 * PyErr_CheckSignals() after each poll. */
#ifndef PYAIO_ENGINE_SIGNALS_H
#define PYAIO_ENGINE_SIGNALS_H

#include "engine/engine.h"

/* The write end; makes the pipe at the first call. -1 with OSError. */
int signals_wakeup_fd(Engine *engine);

/* Before each poll. After a fork the pipe is the parent's, too, which has to get
 * none of our signals, nor we its: another one takes its place, under the same
 * numbers. -1 with OSError. */
int signals_leave_parent(Engine *engine);

/* Before the first wait: the wake-up fd is ours from now on, in the main thread,
 * and the program's own gets what it would have got. Runs the handlers of all
 * signals that came before. Where no descriptor is left, it stays due. -1 with
 * what a handler has raised. */
int signals_take(Engine *engine);
/* The wake-up fd is the program's again, unless it has set another one meanwhile.
 * One that was closed meanwhile is forgotten. -1 with an exception set. */
int signals_give_back(Engine *engine);

/* Closes the pipe, which is not the wake-up fd any more. */
void signals_close(Engine *engine);

#endif
