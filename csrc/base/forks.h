/* How many forks lie between this process and the first one that asked.
 *
 * An epoll set is shared with the parent across fork(2): who holds one compares
 * this number with that of its making before it touches the set. */
#ifndef PYAIO_BASE_FORKS_H
#define PYAIO_BASE_FORKS_H

/* Registers the counter; call it once a process or more often. 0, or -1 with
 * an exception set. */
int forks_watch(void);
unsigned forks_count(void);

#endif
