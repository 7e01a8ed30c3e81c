/* See client.h. Opens what the plan wants, then runs the mode: first for the warm-up, then
 * for the window. */
#include "client.h"

#include <err.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "../common/clock.h"
#include "../common/tls.h"
#include "connect.h"
#include "exchange.h"
#include "mode.h"
#include "websocket.h"

enum {
    EVENTS = 256,
    AT_ONCE = 50, /* connections that are opened together */
    SILENCE_SECONDS = 10,
};

void
client_count(Client *client, uint64_t messages, uint64_t began_at)
{
    client->completed += messages;
    if (!client->counting) {
        return;
    }
    client->result->messages += messages;
    if (began_at != NO_LATENCY) {
        histogram_record(&client->result->latency, monotonic_ns() - began_at);
    }
}

/* ---- opening ---- */

/* OpenSSL hands over what a session can be resumed by. Steals the session by returning 1. */
static int
on_new_session(SSL *tls, SSL_SESSION *session)
{
    Client *client = SSL_CTX_get_app_data(SSL_get_SSL_CTX(tls));
    SSL_SESSION_free(client->session);
    client->session = session;
    return 1;
}

static void
prepare_tls(Client *client)
{
    if (client->plan->authorities == NULL) {
        return;
    }
    client->tls = tls_client(client->plan->authorities);
    if (client->plan->resume) {
        SSL_CTX_set_app_data(client->tls, client);
        SSL_CTX_set_session_cache_mode(client->tls,
                                       SSL_SESS_CACHE_CLIENT
                                           | SSL_SESS_CACHE_NO_INTERNAL_STORE);
        SSL_CTX_sess_set_new_cb(client->tls, on_new_session);
    }
}

static int
prepare(Client *client)
{
    const Plan *plan = client->plan;
    prepare_tls(client);
    client->connections = calloc(plan->connections, sizeof(Connection));
    if (client->connections == NULL
        || payload_init(&client->payload, plan->size, plan->lines) != 0
        || (plan->mode->websocket && websocket_frame(&client->payload) != 0)) {
        warn("memory");
        return -1;
    }
    for (unsigned i = 0; i < plan->connections; i++) {
        client->connections[i].channel.fd = -1;
        client->connections[i].number = i;
    }
    client->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (client->epoll < 0) {
        warn("epoll_create1");
        return -1;
    }
    return 0;
}

/* Connects and, where the mode wants it, sends a first message. */
static int
open_one(Client *client, Connection *connection)
{
    const Mode *mode = client->plan->mode;
    if (connect_soon(client, connection) != 0
        || (mode->websocket
            && websocket_shake_hands(client, connection) != 0)) {
        return -1;
    }
    return mode->greets ? exchange_begin(client, connection) : 0;
}

/* Waits for the reply to the first message. */
static int
wait_for_greeting(Client *client, Connection *connection)
{
    int whole;
    while ((whole = exchange_serve(client, connection)) == 0) {
        struct pollfd ready = {
            .fd = connection->channel.fd,
            .events = POLLIN | (connection->watches_write ? POLLOUT : 0),
        };
        if (poll(&ready, 1, SILENCE_SECONDS * 1000) == 0) {
            warnx("no reply to the first message in %d seconds",
                  SILENCE_SECONDS);
            return -1;
        }
    }
    return whole > 0 ? 0 : -1;
}

/* Opens a few connections at once, fewer than a listener's queue takes. */
static int
open_some(Client *client, Connection *first, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (open_one(client, first + i) != 0) {
            return -1;
        }
    }
    for (unsigned i = 0; client->plan->mode->greets && i < count; i++) {
        if (wait_for_greeting(client, first + i) != 0) {
            return -1;
        }
    }
    return 0;
}

/* Bytes of memory that the server has in use; negative where nobody tells. */
static double
server_memory(const Client *client)
{
    char name[64];
    long pages = -1;
    snprintf(name, sizeof(name), "/proc/%d/statm", (int)client->plan->server);
    FILE *file = client->plan->server != 0 ? fopen(name, "r") : NULL;
    if (file != NULL) {
        if (fscanf(file, "%*s %ld", &pages) != 1) {
            pages = -1;
        }
        fclose(file);
    }
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

/* Opens all connections; their work begins when all are there. The first one is not in the
 * memory that a connection takes: it brings what the server needs but once. */
static int
open_all(Client *client)
{
    unsigned count = client->plan->connections;
    if (open_some(client, client->connections, 1) != 0) {
        return -1;
    }
    double before = server_memory(client);
    for (unsigned i = 1; i < count; i += AT_ONCE) {
        unsigned part = count - i < AT_ONCE ? count - i : AT_ONCE;
        if (open_some(client, client->connections + i, part) != 0) {
            return -1;
        }
    }
    client->result->memory =
        before < 0 || count == 1
            ? -1
            : (server_memory(client) - before) / (double)(count - 1);
    for (unsigned i = 0; i < count; i++) {
        if (client->plan->mode->start(client, &client->connections[i]) != 0) {
            return -1;
        }
    }
    return 0;
}

static void
close_all(Client *client)
{
    for (unsigned i = 0;
         client->connections != NULL && i < client->plan->connections; i++) {
        channel_close(&client->connections[i].channel);
    }
    if (client->epoll >= 0) {
        close(client->epoll);
    }
    free(client->connections);
    payload_free(&client->payload);
    SSL_SESSION_free(client->session);
    SSL_CTX_free(client->tls);
}

/* ---- running ---- */

static int
serve_events(Client *client, int timeout_ms)
{
    struct epoll_event events[EVENTS];
    int count = epoll_wait(client->epoll, events, EVENTS, timeout_ms);
    if (count < 0 && errno != EINTR) {
        warn("epoll_wait");
        return -1;
    }
    for (int i = 0; i < count; i++) {
        if (client->plan->mode->serve(client, events[i].data.ptr) != 0) {
            return -1;
        }
    }
    return 0;
}

/* Runs for so many seconds, or longer until something is counted; fails when no reply at all
 * came for SILENCE_SECONDS. */
static int
run_for(Client *client, double seconds, const uint64_t *counted)
{
    uint64_t now = monotonic_ns();
    uint64_t deadline = now + (uint64_t)(seconds * 1e9);
    uint64_t silent_since = now;
    for (; now < deadline || *counted == 0; now = monotonic_ns()) {
        uint64_t completed = client->completed;
        uint64_t left_ms = now < deadline ? (deadline - now) / 1000000 : 0;
        if (serve_events(client, (int)left_ms + 1) != 0) {
            return -1;
        }
        if (client->completed != completed) {
            silent_since = now;
        }
        else if (now - silent_since > SILENCE_SECONDS * 1000000000ULL) {
            warnx("no reply for %d seconds", SILENCE_SECONDS);
            return -1;
        }
    }
    return 0;
}

/* The window: all clocks are read right at its ends, inside this program, so that nothing
 * else is in them. */
static int
measure(Client *client, clockid_t server_clock)
{
    Result *result = client->result;
    bool watched = client->plan->server != 0;
    double server_cpu = watched ? seconds_on(server_clock) : -1;
    double load_cpu = seconds_on(CLOCK_PROCESS_CPUTIME_ID);
    result->start = seconds_on(CLOCK_MONOTONIC);
    client->counting = true;
    if (run_for(client, client->plan->seconds, &result->messages) != 0) {
        return -1;
    }
    result->end = seconds_on(CLOCK_MONOTONIC);
    result->load_cpu = seconds_on(CLOCK_PROCESS_CPUTIME_ID) - load_cpu;
    result->server_cpu = watched ? seconds_on(server_clock) - server_cpu : -1;
    return 0;
}

static int
run(Client *client)
{
    clockid_t server_clock = CLOCK_MONOTONIC;
    if (client->plan->server != 0) {
        errno = clock_getcpuclockid(client->plan->server, &server_clock);
        if (errno != 0) {
            warn("the CPU clock of the server");
            return -1;
        }
    }
    if (prepare(client) != 0 || open_all(client) != 0
        || run_for(client, client->plan->warmup, &client->completed) != 0) {
        return -1;
    }
    return measure(client, server_clock);
}

int
client_run(const Plan *plan, Result *result)
{
    *result = (Result){.memory = -1};
    Client *client = calloc(1, sizeof(Client));
    if (client == NULL) {
        warn("memory");
        return -1;
    }
    client->plan = plan;
    client->result = result;
    client->epoll = -1;
    int status = run(client);
    close_all(client);
    free(client);
    return status;
}
