/* How many forks lie between this process and the first one that asked, and how
 * many it has made itself.
 *
 * An epoll set is shared with the parent across fork(2): who holds one compares
 * the first number with that of its making before it touches the set. An open
 * file that a child has, too, outlives its close() here: the second number tells
 * of that. */
#ifndef PYAIO_BASE_FORKS_H
#define PYAIO_BASE_FORKS_H

/* Registers the counter; call it once a process or more often. 0, or -1 with
 * an exception set. */
int forks_watch(void);
unsigned forks_count(void);
unsigned forks_made(void);

#endif
