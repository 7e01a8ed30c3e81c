/* One way, as fast as it goes: the client sends all of its different messages once, then the
 * server repeats them, one after the other, without end. */
#include <err.h>
#include <string.h>

#include "../common/watch.h"
#include "mode.h"

/* Sends the pattern, as far as the socket takes it. connection->sent is how much of it. */
static int
send_pattern(Client *client, Connection *connection)
{
    Channel *channel = &connection->channel;
    size_t total = client->payload.sent_size * PAYLOAD_VARIANTS;
    while (connection->sent < total) {
        ssize_t n =
            channel_send(channel, client->payload.messages + connection->sent,
                         total - connection->sent);
        if (n < 0) {
            return n == CHANNEL_AGAIN ? 0 : -1;
        }
        connection->sent += (size_t)n;
    }
    return watch(client->epoll, EPOLL_CTL_MOD, channel->fd, false, connection);
}

static int
start(Client *client, Connection *connection)
{
    if (watch(client->epoll, EPOLL_CTL_MOD, connection->channel.fd, true,
              connection)
        != 0) {
        warn("epoll_ctl");
        return -1;
    }
    return 0;
}

/* Compares what has come with the pattern, from connection->received of it on. */
static int
check(Client *client, Connection *connection, size_t n)
{
    const unsigned char *got = client->receive;
    size_t total = client->payload.sent_size * PAYLOAD_VARIANTS;
    while (n > 0) {
        size_t rest = total - connection->received;
        size_t part = n < rest ? n : rest;
        if (memcmp(got, client->payload.messages + connection->received, part)
            != 0) {
            warnx("the stream differs from the messages it is made of");
            return -1;
        }
        got += part;
        n -= part;
        connection->received = (connection->received + part) % total;
    }
    return 0;
}

static int
receive_some(Client *client, Connection *connection)
{
    size_t size = client->payload.sent_size;
    do {
        ssize_t n = channel_receive(&connection->channel, client->receive,
                                    RECEIVE_BYTES);
        if (n <= 0) {
            if (n == 0) {
                warnx("the server closed its connection");
            }
            return n == CHANNEL_AGAIN ? 0 : -1;
        }
        size_t begun = connection->received % size;
        if (check(client, connection, (size_t)n) != 0) {
            return -1;
        }
        client_count(client, (begun + (size_t)n) / size, NO_LATENCY);
    } while (channel_has_more(&connection->channel));
    return 0;
}

static int
serve(Client *client, Connection *connection)
{
    size_t total = client->payload.sent_size * PAYLOAD_VARIANTS;
    if (connection->sent < total) {
        return send_pattern(client, connection);
    }
    return receive_some(client, connection);
}

const Mode MODE_BULK = {
    .name = "bulk",
    .start = start,
    .serve = serve,
};
