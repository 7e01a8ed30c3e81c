/* A floor talks as a Python worker does (benchmarks/worker.py): it prints a line of JSON with
 * its port, and ends when its stdin is closed. */
#ifndef COMMON_LIFETIME_H
#define COMMON_LIFETIME_H

/* A socket on a free port of 127.0.0.1 that does not block; a stream listens. Its port is
 * printed. Ends the program when it cannot be made. */
int lifetime_serve(int type);

/* Called when fd 0 can be read: ends the program if it is closed. */
void lifetime_check_stdin(void);

#endif
