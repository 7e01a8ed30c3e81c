/* The counters of forks: the one fact that belongs to the process and not to an
 * interpreter, hence in static variables. */
#include "base/forks.h"

#include <Python.h>
#include <pthread.h>
#include <stdatomic.h>

static atomic_uint forks;
static atomic_uint made;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int register_error;

static void
count_child(void)
{
    atomic_fetch_add(&made, 1);
}

static void
count_fork(void)
{
    atomic_fetch_add(&forks, 1);
}

static void
register_counter(void)
{
    register_error = pthread_atfork(NULL, count_child, count_fork);
}

int
forks_watch(void)
{
    pthread_once(&once, register_counter);
    if (register_error != 0) {
        errno = register_error;
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    return 0;
}

unsigned
forks_count(void)
{
    return atomic_load_explicit(&forks, memory_order_relaxed);
}

unsigned
forks_made(void)
{
    return atomic_load_explicit(&made, memory_order_relaxed);
}
