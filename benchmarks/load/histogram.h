/* Latencies in a fixed table: log-linear, so that any value is kept within 1.6 %.
 * Used by client.c (record) and main.c (percentiles). */
#ifndef LOAD_HISTOGRAM_H
#define LOAD_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_STEPS = 64,  /* steps for each power of two */
    HISTOGRAM_POWERS = 40, /* from 64 ns to 2^45 ns, about ten hours */
};

typedef struct {
    uint64_t counts[HISTOGRAM_STEPS * (HISTOGRAM_POWERS + 1)];
    uint64_t total; /* how many values were recorded */
    uint64_t max;   /* the largest of them, exact */
} Histogram;

void histogram_record(Histogram *histogram, uint64_t ns);

/* The value that a share of 0..1 of the recorded ones does not exceed; 0 when there are none. */
uint64_t histogram_percentile(const Histogram *histogram, double share);

#endif
