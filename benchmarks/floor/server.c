/* The floor of connections that come and go and of TLS: a server in C on epoll, with TLS on
 * OpenSSL's own sockets. All that there is to read is read, then answered at once.
 *
 *     server MODE [core to run on [PEM file: with TLS]]
 *
 * MODE is echo; or http, which answers every request alike: what HTTP clients are measured
 * against. */
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/channel.h"
#include "../common/lifetime.h"
#include "../common/process.h"
#include "../common/tls.h"
#include "../common/watch.h"

enum {
    SCRATCH_BYTES = 256 * 1024,
    EVENTS = 256,
};

static const char RESPONSE[] = "HTTP/1.1 200 OK\r\n"
                               "Content-Type: text/plain\r\n"
                               "Content-Length: 13\r\n"
                               "\r\n"
                               "Hello, world!";
static const char END_OF_REQUEST[] = "\r\n\r\n";

typedef struct {
    Channel channel;
    bool watches_write;
    char *unsent; /* owned; what the socket has not taken; NULL: nothing */
    size_t unsent_length;
} Connection;

/* Puts the answer into the place of what was read; returns its length. */
typedef size_t (*Answer)(char *bytes, size_t length);

typedef struct {
    int epoll;
    int listener;
    SSL_CTX *tls; /* NULL: no TLS */
    Answer answer;
} Server;

static char scratch[SCRATCH_BYTES]; /* free again when an event is served */

static size_t
answer_echo(char *bytes, size_t length)
{
    (void)bytes;
    return length;
}

/* A response for each request that ends in these bytes; a client's requests come whole. */
static size_t
answer_http(char *bytes, size_t length)
{
    size_t requests = 0;
    bytes[length] = '\0';
    for (char *at = bytes; (at = strstr(at, END_OF_REQUEST)) != NULL; at++) {
        requests++;
    }
    size_t size = sizeof(RESPONSE) - 1;
    for (size_t i = 0; i < requests; i++) {
        memcpy(bytes + i * size, RESPONSE, size);
    }
    return requests * size;
}

static void
drop(Connection *connection)
{
    channel_close(&connection->channel);
    free(connection->unsent);
    free(connection);
}

/* Sends as much as goes; returns how much that was, or -1 when the connection is broken. */
static ssize_t
send_some(Connection *connection, const char *bytes, size_t length)
{
    size_t sent = 0;
    while (sent < length) {
        ssize_t n =
            channel_send(&connection->channel, bytes + sent, length - sent);
        if (n < 0) {
            return n == CHANNEL_AGAIN ? (ssize_t)sent : -1;
        }
        sent += (size_t)n;
    }
    return (ssize_t)sent;
}

/* Sends, and keeps a copy of what the socket does not take. Returns 0, or -1. */
static int
send_or_keep(Connection *connection, const char *bytes, size_t length)
{
    ssize_t sent = send_some(connection, bytes, length);
    if (sent < 0) {
        return -1;
    }
    size_t left = length - (size_t)sent;
    char *kept = left > 0 ? malloc(left) : NULL;
    if (left > 0) {
        if (kept == NULL) {
            return -1;
        }
        memcpy(kept, bytes + sent, left);
    }
    free(connection->unsent); /* `bytes` may be in it */
    connection->unsent = kept;
    connection->unsent_length = left;
    return 0;
}

/* Reads until nothing is left or the buffer is full; returns how much, or -1 at the end of
 * the connection. */
static ssize_t
receive_all(Connection *connection)
{
    size_t length = 0;
    while (length < SCRATCH_BYTES - 1) {
        ssize_t n = channel_receive(&connection->channel, scratch + length,
                                    SCRATCH_BYTES - 1 - length);
        if (n == CHANNEL_AGAIN) {
            return (ssize_t)length;
        }
        if (n <= 0) {
            return -1;
        }
        length += (size_t)n;
        if (connection->channel.tls == NULL) {
            return (ssize_t)length; /* the next event tells if there is more */
        }
    }
    return (ssize_t)length;
}

static int
serve(Server *server, Connection *connection)
{
    if (connection->unsent != NULL
        && send_or_keep(connection, connection->unsent,
                        connection->unsent_length)
               != 0) {
        return -1;
    }
    while (connection->unsent == NULL) {
        ssize_t length = receive_all(connection);
        if (length < 0) {
            return -1;
        }
        size_t answered = server->answer(scratch, (size_t)length);
        if (send_or_keep(connection, scratch, answered) != 0) {
            return -1;
        }
        if (length < SCRATCH_BYTES - 1) {
            break;
        }
    }
    bool wants_write = connection->unsent != NULL;
    if (wants_write == connection->watches_write) {
        return 0;
    }
    connection->watches_write = wants_write;
    return watch(server->epoll, EPOLL_CTL_MOD, connection->channel.fd,
                 wants_write, connection);
}

static void
accept_one(Server *server, int fd)
{
    int one = 1;
    Connection *connection = calloc(1, sizeof(*connection));
    if (connection == NULL
        || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) != 0
        || channel_init(&connection->channel, fd, server->tls, true) != 0
        || watch(server->epoll, EPOLL_CTL_ADD, fd, false, connection) != 0) {
        err(1, "a new connection");
    }
}

static void
accept_all(Server *server)
{
    int fd;
    while ((fd = accept4(server->listener, NULL, NULL,
                         SOCK_NONBLOCK | SOCK_CLOEXEC))
           >= 0) {
        accept_one(server, fd);
    }
    if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR) {
        err(1, "accept4");
    }
}

static void
run(Server *server)
{
    struct epoll_event events[EVENTS];
    for (;;) {
        int count = epoll_wait(server->epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            void *owner = events[i].data.ptr;
            if (owner == server) {
                accept_all(server);
            }
            else if (owner == NULL) {
                lifetime_check_stdin();
            }
            else if (serve(server, owner) != 0) {
                drop(owner);
            }
        }
    }
}

int
main(int argc, char **argv)
{
    process_prepare();
    if (argc > 2 && *argv[2] != '\0') {
        process_pin(argv[2]);
    }
    bool http = argc > 1 && strcmp(argv[1], "http") == 0;
    Server server = {
        .epoll = epoll_create1(EPOLL_CLOEXEC),
        .listener = lifetime_serve(SOCK_STREAM),
        .tls = argc > 3 ? tls_server(argv[3]) : NULL,
        .answer = http ? answer_http : answer_echo,
    };
    if (server.epoll < 0
        || watch(server.epoll, EPOLL_CTL_ADD, 0, false, NULL) != 0
        || watch(server.epoll, EPOLL_CTL_ADD, server.listener, false, &server)
               != 0) {
        err(1, "epoll");
    }
    run(&server);
}
