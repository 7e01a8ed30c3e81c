/* See exchange.h. A connection asks for writability only while a message did not fit into
 * the socket at once. */
#include "exchange.h"

#include <err.h>
#include <string.h>

#include "../common/clock.h"
#include "../common/watch.h"

/* Sends what is left of the current message, as far as the socket takes it. */
static int
send_rest(Client *client, Connection *connection)
{
    Channel *channel = &connection->channel;
    const unsigned char *message =
        payload_message(&client->payload, connection->number);
    size_t size = client->payload.sent_size;
    bool wants_write = false;
    while (connection->sent < size && !wants_write) {
        ssize_t n = channel_send(channel, message + connection->sent,
                                 size - connection->sent);
        if (n == CHANNEL_BROKEN) {
            return -1;
        }
        if (n == CHANNEL_AGAIN && !channel->wants_write) {
            break; /* TLS waits for the server */
        }
        wants_write = n == CHANNEL_AGAIN;
        connection->sent += n > 0 ? (size_t)n : 0;
    }
    if (wants_write == connection->watches_write) {
        return 0;
    }
    connection->watches_write = wants_write;
    return watch(client->epoll, EPOLL_CTL_MOD, channel->fd, wants_write,
                 connection);
}

int
exchange_begin(Client *client, Connection *connection)
{
    connection->busy = true;
    connection->sent = 0;
    connection->received = 0;
    connection->sent_at = monotonic_ns();
    return send_rest(client, connection);
}

/* Compares what came with what has to come; a byte too many is an error as well. */
static int
check(Client *client, Connection *connection, size_t n)
{
    const Payload *payload = &client->payload;
    const unsigned char *reply = payload_reply(payload, connection->number);
    if (!connection->busy || n > payload->reply_size - connection->received) {
        warnx("the server sent more than it was sent");
        return -1;
    }
    if (memcmp(client->receive, reply + connection->received, n) != 0) {
        warnx("the echo differs from the message");
        return -1;
    }
    connection->received += n;
    return 0;
}

static int
receive_some(Client *client, Connection *connection)
{
    Channel *channel = &connection->channel;
    do {
        ssize_t n = channel_receive(channel, client->receive, RECEIVE_BYTES);
        if (n == CHANNEL_AGAIN) {
            return 0;
        }
        if (n == 0) {
            warnx("the server closed a connection");
        }
        if (n <= 0 || check(client, connection, (size_t)n) != 0) {
            return -1;
        }
    } while (channel_has_more(channel));
    return 0;
}

int
exchange_serve(Client *client, Connection *connection)
{
    if (connection->busy && connection->sent < client->payload.sent_size
        && send_rest(client, connection) != 0) {
        return -1;
    }
    if (!channel_is_up(&connection->channel)) {
        return 0;
    }
    if (receive_some(client, connection) != 0) {
        return -1;
    }
    if (connection->received < client->payload.reply_size) {
        return 0;
    }
    connection->busy = false;
    connection->number++;
    connection->received = 0;
    connection->sent = 0;
    return 1;
}
