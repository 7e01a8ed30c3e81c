/* See histogram.h. Values below HISTOGRAM_STEPS have a slot each; above, a value's highest
 * bits choose the slot: the power of two, then the next six bits. */
#include "histogram.h"

#include <stddef.h>

static size_t
slot_of(uint64_t ns)
{
    if (ns < HISTOGRAM_STEPS) {
        return (size_t)ns;
    }
    unsigned power = 63 - (unsigned)__builtin_clzll(ns) - 6;
    if (power >= HISTOGRAM_POWERS) {
        return HISTOGRAM_STEPS * (HISTOGRAM_POWERS + 1) - 1;
    }
    return (size_t)(power + 1) * HISTOGRAM_STEPS
           + ((ns >> power) & (HISTOGRAM_STEPS - 1));
}

/* The middle of the values that share a slot. */
static uint64_t
value_of(size_t slot)
{
    if (slot < HISTOGRAM_STEPS) {
        return slot;
    }
    unsigned power = (unsigned)(slot / HISTOGRAM_STEPS) - 1;
    uint64_t low = (uint64_t)(HISTOGRAM_STEPS + slot % HISTOGRAM_STEPS)
                   << power;
    return low + ((1ULL << power) >> 1);
}

void
histogram_record(Histogram *histogram, uint64_t ns)
{
    histogram->counts[slot_of(ns)]++;
    histogram->total++;
    if (ns > histogram->max) {
        histogram->max = ns;
    }
}

uint64_t
histogram_percentile(const Histogram *histogram, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)histogram->total + 0.5);
    uint64_t seen = 0;
    for (size_t slot = 0;
         slot < sizeof(histogram->counts) / sizeof(histogram->counts[0]);
         slot++) {
        seen += histogram->counts[slot];
        if (seen > 0 && seen >= wanted) {
            uint64_t value = value_of(slot);
            return value < histogram->max ? value : histogram->max;
        }
    }
    return 0;
}
