/* The clocks of the programs here: load/ measures by them. */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include <stdint.h>
#include <time.h>

/* The time on a clock in seconds; negative where it cannot be read. */
static inline double
seconds_on(clockid_t clock)
{
    struct timespec now;
    if (clock_gettime(clock, &now) != 0) {
        return -1;
    }
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static inline uint64_t
monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

#endif
