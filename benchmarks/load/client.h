/* The connections of a run, and the window in which their messages are counted. main.c runs
 * it, the modes work with it. One thread, one epoll set. */
#ifndef LOAD_CLIENT_H
#define LOAD_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "../common/channel.h"
#include "payload.h"
#include "plan.h"

enum {
    RECEIVE_BYTES = 256 * 1024,
    NO_LATENCY = 0,
};

typedef struct {
    Channel channel;
    bool watches_write; /* its epoll mask has EPOLLOUT */
    bool busy;          /* a message is in flight */
    bool resumes;       /* a TLS session to resume was offered */
    size_t sent;        /* bytes of the current message that left */
    size_t received;    /* bytes of the reply that came and were right */
    uint64_t number;    /* of the current message: chooses its bytes */
    uint64_t sent_at;   /* ns; when the current message was begun */
} Connection;

typedef struct {
    const Plan *plan;
    Result *result;
    Payload payload;
    Connection *connections; /* plan->connections of them; owned */
    SSL_CTX *tls;            /* owned; NULL: no TLS */
    SSL_SESSION *session;    /* owned; the newest one to resume, or NULL */
    int epoll;               /* owned */
    bool counting;           /* inside the window */
    uint64_t completed;      /* messages since the start, counted or not */
    uint64_t opened;         /* connections since the start */
    unsigned turn;           /* MODE_ECHO: which connection sends next */
    unsigned char receive[RECEIVE_BYTES];
} Client;

/* Runs the plan. Returns 0; or -1 after a line on stderr that says what went wrong. */
int client_run(const Plan *plan, Result *result);

/* So many messages are done; one was begun at the given time (ns), which may be NO_LATENCY. */
void client_count(Client *client, uint64_t messages, uint64_t began_at);

#endif
