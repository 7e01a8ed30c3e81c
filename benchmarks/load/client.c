/* See client.h. One thread, one epoll set, level-triggered. A connection asks for
 * writability only while a message did not fit into the socket at once. */
#include "client.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "payload.h"

enum {
    RECEIVE_BYTES = 256 * 1024,
    EVENTS = 256,
    SILENCE_SECONDS = 10
};

typedef struct {
    int fd;           /* owned; -1 before it is open */
    bool wants_write; /* EPOLLOUT is in its epoll mask */
    size_t sent;      /* bytes of the current message that left */
    size_t received;  /* bytes of its echo that came back and were right */
    uint64_t number;  /* of the current message: chooses its bytes */
    uint64_t sent_at; /* ns; when the current message was begun */
} Connection;

typedef struct {
    const ClientPlan *plan;
    ClientResult *result;
    Payload payload;
    Connection *connections; /* plan->connections of them; owned */
    int epoll;               /* owned */
    bool counting;           /* inside the window */
    clockid_t server_clock;  /* valid when plan->server is not 0 */
    uint64_t completed;      /* replies since the start, counted or not */
    unsigned char receive[RECEIVE_BYTES];
} Client;

static double
seconds_on(clockid_t clock)
{
    struct timespec now;
    if (clock_gettime(clock, &now) != 0) {
        return -1;
    }
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static uint64_t
monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

static int
fail(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    return -1;
}

static int
watch(Client *client, Connection *connection, int operation, bool write)
{
    struct epoll_event event = {
        .events = EPOLLIN | (write ? (uint32_t)EPOLLOUT : 0),
        .data.ptr = connection,
    };
    connection->wants_write = write;
    return epoll_ctl(client->epoll, operation, connection->fd, &event);
}

/* Sends what is left of the current message, as far as the socket takes it. */
static int
connection_send(Client *client, Connection *connection)
{
    const unsigned char *message =
        payload_message(&client->payload, connection->number);
    size_t size = client->payload.size;
    while (connection->sent < size) {
        ssize_t n = send(connection->fd, message + connection->sent,
                         size - connection->sent, MSG_NOSIGNAL);
        if (n >= 0) {
            connection->sent += (size_t)n;
        }
        else if (errno == EAGAIN) {
            break;
        }
        else if (errno != EINTR) {
            return fail("send");
        }
    }
    bool pending = connection->sent < size;
    if (pending != connection->wants_write
        && watch(client, connection, EPOLL_CTL_MOD, pending) != 0) {
        return fail("epoll_ctl");
    }
    return 0;
}

/* The whole echo is here: count it and begin the next message. */
static int
connection_complete(Client *client, Connection *connection)
{
    uint64_t now = monotonic_ns();
    client->completed++;
    if (client->counting) {
        client->result->messages++;
        histogram_record(&client->result->latency, now - connection->sent_at);
    }
    connection->number++;
    connection->sent = 0;
    connection->received = 0;
    connection->sent_at = now;
    return connection_send(client, connection);
}

/* Compares what came with what was sent; a byte too many is an error as well. */
static int
connection_check(Client *client, Connection *connection, size_t n)
{
    const unsigned char *message =
        payload_message(&client->payload, connection->number);
    if (n > connection->sent - connection->received) {
        fprintf(stderr, "load: the server sent more than it was sent\n");
        return -1;
    }
    if (memcmp(client->receive, message + connection->received, n) != 0) {
        fprintf(stderr, "load: the echo differs from the message\n");
        return -1;
    }
    connection->received += n;
    return 0;
}

static int
connection_receive(Client *client, Connection *connection)
{
    ssize_t n = recv(connection->fd, client->receive, RECEIVE_BYTES, 0);
    if (n < 0) {
        return errno == EAGAIN || errno == EINTR ? 0 : fail("recv");
    }
    if (n == 0) {
        fprintf(stderr, "load: the server closed a connection\n");
        return -1;
    }
    if (connection_check(client, connection, (size_t)n) != 0) {
        return -1;
    }
    if (connection->received == client->payload.size) {
        return connection_complete(client, connection);
    }
    return 0;
}

static int
connection_open(Client *client, Connection *connection)
{
    int one = 1;
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->fd < 0) {
        return fail("socket");
    }
    if (connect(connection->fd,
                (const struct sockaddr *)&client->plan->address,
                sizeof(client->plan->address))
        != 0) {
        return fail("connect");
    }
    if (setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one))
            != 0
        || fcntl(connection->fd, F_SETFL, O_NONBLOCK) != 0) {
        return fail("a socket option");
    }
    return watch(client, connection, EPOLL_CTL_ADD, false) == 0
               ? 0
               : fail("epoll_ctl");
}

/* Opens all connections, then starts them: none runs while others still connect. */
static int
client_open(Client *client)
{
    unsigned count = client->plan->connections;
    client->connections = calloc(count, sizeof(Connection));
    if (client->connections == NULL
        || payload_init(&client->payload, client->plan->size,
                        client->plan->lines)
               != 0) {
        return fail("memory");
    }
    for (unsigned i = 0; i < count; i++) {
        client->connections[i].fd = -1;
        client->connections[i].number = i;
    }
    client->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (client->epoll < 0) {
        return fail("epoll_create1");
    }
    for (unsigned i = 0; i < count; i++) {
        if (connection_open(client, &client->connections[i]) != 0) {
            return -1;
        }
    }
    return 0;
}

static int
client_start(Client *client)
{
    for (unsigned i = 0; i < client->plan->connections; i++) {
        client->connections[i].sent_at = monotonic_ns();
        if (connection_send(client, &client->connections[i]) != 0) {
            return -1;
        }
    }
    return 0;
}

static void
client_close(Client *client)
{
    for (unsigned i = 0;
         client->connections != NULL && i < client->plan->connections; i++) {
        if (client->connections[i].fd >= 0) {
            close(client->connections[i].fd);
        }
    }
    if (client->epoll >= 0) {
        close(client->epoll);
    }
    free(client->connections);
    payload_free(&client->payload);
}

static int
client_serve(Client *client, const struct epoll_event *event)
{
    Connection *connection = event->data.ptr;
    if ((event->events & EPOLLOUT)
        && connection_send(client, connection) != 0) {
        return -1;
    }
    if (event->events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        return connection_receive(client, connection);
    }
    return 0;
}

/* Runs until the given time; fails when no reply at all came for SILENCE_SECONDS. */
static int
client_run_until(Client *client, uint64_t deadline)
{
    struct epoll_event events[EVENTS];
    uint64_t silent_since = monotonic_ns();
    for (uint64_t now = silent_since; now < deadline; now = monotonic_ns()) {
        uint64_t completed = client->completed;
        int timeout = (int)((deadline - now) / 1000000) + 1;
        int count = epoll_wait(client->epoll, events, EVENTS, timeout);
        if (count < 0 && errno != EINTR) {
            return fail("epoll_wait");
        }
        for (int i = 0; i < count; i++) {
            if (client_serve(client, &events[i]) != 0) {
                return -1;
            }
        }
        if (client->completed != completed) {
            silent_since = now;
        }
        else if (now - silent_since > SILENCE_SECONDS * 1000000000ULL) {
            fprintf(stderr, "load: no reply for %d seconds\n",
                    SILENCE_SECONDS);
            return -1;
        }
    }
    return 0;
}

static double
server_seconds(const Client *client)
{
    return client->plan->server != 0 ? seconds_on(client->server_clock) : -1;
}

/* The window: both clocks are read right at its ends, inside this program, so that nothing
 * else is in them. */
static int
client_measure(Client *client)
{
    ClientResult *result = client->result;
    double server_cpu = server_seconds(client);
    double load_cpu = seconds_on(CLOCK_PROCESS_CPUTIME_ID);
    result->start = seconds_on(CLOCK_MONOTONIC);
    client->counting = true;
    uint64_t length = (uint64_t)(client->plan->seconds * 1e9);
    if (client_run_until(client, monotonic_ns() + length) != 0) {
        return -1;
    }
    result->end = seconds_on(CLOCK_MONOTONIC);
    result->load_cpu = seconds_on(CLOCK_PROCESS_CPUTIME_ID) - load_cpu;
    result->server_cpu =
        server_cpu < 0 ? -1 : server_seconds(client) - server_cpu;
    if (result->messages == 0) {
        fprintf(stderr, "load: not one whole reply in the window\n");
        return -1;
    }
    return 0;
}

static int
client_run_plan(Client *client)
{
    if (client_open(client) != 0 || client_start(client) != 0) {
        return -1;
    }
    uint64_t warm = monotonic_ns() + (uint64_t)(client->plan->warmup * 1e9);
    if (client_run_until(client, warm) != 0) {
        return -1;
    }
    return client_measure(client);
}

int
client_run(const ClientPlan *plan, ClientResult *result)
{
    memset(result, 0, sizeof(*result));
    Client *client = calloc(1, sizeof(Client));
    if (client == NULL) {
        return fail("memory");
    }
    client->plan = plan;
    client->result = result;
    client->epoll = -1;
    if (plan->server != 0) {
        errno = clock_getcpuclockid(plan->server, &client->server_clock);
        if (errno != 0) {
            int status = fail("the CPU clock of the server");
            free(client);
            return status;
        }
    }
    int status = client_run_plan(client);
    client_close(client);
    free(client);
    return status;
}
