/* What is asked of the load generator, and what it finds: main.c fills the one and prints
 * the other, everything between works with them. */
#ifndef LOAD_PLAN_H
#define LOAD_PLAN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "histogram.h"

typedef struct Mode Mode; /* mode.h */

typedef struct {
    const Mode *mode; /* what is done with the connections */
    struct sockaddr_storage address;
    socklen_t address_length;
    bool datagrams;          /* UDP instead of a stream */
    const char *authorities; /* PEM file, for TLS; NULL: no TLS */
    bool resume;             /* TLS sessions are resumed, not made anew */
    unsigned connections;
    unsigned active; /* how many of them have a message in flight at a time */
    size_t size;     /* bytes of a message */
    bool lines;      /* messages are lines: they end with their only newline */
    double warmup;   /* seconds before counting starts */
    double seconds;  /* seconds that are counted */
    pid_t server;    /* the process that is watched; 0: none */
} Plan;

typedef struct {
    uint64_t messages; /* whole, checked replies inside the window */
    double start, end; /* the window on CLOCK_MONOTONIC, in seconds */
    double server_cpu; /* its CPU seconds in the window; negative: unknown */
    double load_cpu;   /* our own */
    double memory;     /* bytes the server grew by with a connection; negative:
                          unknown */
    Histogram latency; /* of the messages that count */
} Result;

#endif
