/* What every program here does to its own process, once, as it starts. They complain by
 * err.h, so a line on stderr starts with the program's name. */
#ifndef COMMON_PROCESS_H
#define COMMON_PROCESS_H

/* Stays on one core from now on; ends the program where that cannot be. */
void process_pin(const char *core);

/* A broken connection is an error to return, not a signal; as many files as may be open. */
void process_prepare(void);

#endif
