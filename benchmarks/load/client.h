/* A closed-loop client of an echo server: every connection sends one message, waits for all
 * of its bytes, checks them, and sends the next. Called by main.c. */
#ifndef LOAD_CLIENT_H
#define LOAD_CLIENT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "histogram.h"

typedef struct {
    struct sockaddr_in address;
    unsigned connections;
    size_t size;    /* bytes of a message */
    bool lines;     /* messages are lines: they end with their only newline */
    double warmup;  /* seconds before counting starts */
    double seconds; /* seconds that are counted */
    pid_t server;   /* the process whose CPU time is read; 0: nobody's */
} ClientPlan;

typedef struct {
    uint64_t messages; /* whole, checked replies inside the window */
    double start, end; /* the window on CLOCK_MONOTONIC, in seconds */
    double server_cpu; /* its CPU seconds in the window; negative: unknown */
    double load_cpu;   /* our own */
    Histogram latency; /* of the messages that count */
} ClientResult;

/* Runs the plan. Returns 0; or -1 after a line on stderr that says what went wrong. */
int client_run(const ClientPlan *plan, ClientResult *result);

#endif
