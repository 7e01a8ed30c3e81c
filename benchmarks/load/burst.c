/* Datagrams one way, in bursts; of each burst the receiver sends the last one back. It
 * counts them to know which one that is, so a datagram that was lost or came twice shows in
 * the bytes of what comes back. A few bursts are on their way at a time: of datagrams of half
 * a KiB no more than fit into a socket's buffer of usual size. */
#include <err.h>
#include <string.h>
#include <sys/socket.h>

#include "mode.h"

enum {
    /* benchmarks/workloads/datagrams.py and floor/datagram.c have it, too. */
    BURST = 32,
    BURSTS_AT_ONCE = 3,
};

static int
send_burst(Client *client, Connection *connection)
{
    struct iovec parts[BURST];
    struct mmsghdr messages[BURST];
    memset(messages, 0, sizeof(messages));
    for (unsigned i = 0; i < BURST; i++) {
        const unsigned char *message =
            payload_message(&client->payload, connection->number++);
        parts[i] = (struct iovec){(void *)message, client->payload.sent_size};
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    if (sendmmsg(connection->channel.fd, messages, BURST, 0) != BURST) {
        warn("sendmmsg");
        return -1;
    }
    return 0;
}

static int
start(Client *client, Connection *connection)
{
    for (unsigned i = 0; i < BURSTS_AT_ONCE; i++) {
        if (send_burst(client, connection) != 0) {
            return -1;
        }
    }
    return 0;
}

static int
serve(Client *client, Connection *connection)
{
    ssize_t n =
        channel_receive(&connection->channel, client->receive, RECEIVE_BYTES);
    if (n < 0) {
        return n == CHANNEL_AGAIN ? 0 : -1;
    }
    const unsigned char *last = payload_message(&client->payload, BURST - 1);
    if ((size_t)n != client->payload.sent_size
        || memcmp(client->receive, last, (size_t)n) != 0) {
        warnx("a datagram of a burst was lost or changed");
        return -1;
    }
    client_count(client, BURST, NO_LATENCY);
    return send_burst(client, connection);
}

const Mode MODE_BURST = {
    .name = "burst",
    .start = start,
    .serve = serve,
};
