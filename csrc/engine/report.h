/* The one place where exceptions that nobody can catch go: those of callbacks,
 * protocols and the loop's own work end in loop.call_exception_handler(). */
#ifndef PYAIO_ENGINE_REPORT_H
#define PYAIO_ENGINE_REPORT_H

#include "engine/engine.h"

/* Takes the raised exception to loop.call_exception_handler() with `message`
 * and the pairs of (const char *key, PyObject *value) that follow, up to a
 * NULL key; pairs with a NULL value are left out. Borrows everything.
 *
 * 0 when it has been dealt with. -1 with an exception set when that has to
 * leave run_forever(): SystemExit and KeyboardInterrupt, which are not
 * reported, whatever the handler itself lets out, and MemoryError. */
int report_raised(Engine *engine, const char *message, ...);

/* The same for an exception raised by a handle's callback. */
int report_callback(Engine *engine, PyObject *handle, PyObject *callback,
                    PyObject *args, PyObject *source_traceback);

/* For the entries of our own that the turn runs: `err` is what one of them
 * ended with. Reports a raised exception that is no SystemExit or
 * KeyboardInterrupt, on behalf of `subject`; returns as report_raised(). */
int report_contain(Engine *engine, int err, PyObject *subject);

/* loop.call_exception_handler() of any loop, with `message` (a str) and the pairs
 * as above, PyObject values: what finalizers have to say. -1 with an exception
 * set. Borrows everything. */
int report_to_loop(PyObject *loop, PyObject *message, ...);

/* Writes the raised exception to sys.unraisablehook: for finalizers and for
 * failures while something is being undone. */
void report_unraisable(const char *where);

#endif
