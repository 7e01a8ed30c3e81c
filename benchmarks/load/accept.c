/* Connections that come and go: connect, shake hands where there is TLS, a message, its
 * echo, close; then the same anew. All of that counts as one message. */
#include <err.h>

#include "../common/clock.h"
#include "connect.h"
#include "exchange.h"
#include "mode.h"

/* A server that resumes when it should not, or the other way round, is measured wrong. */
static int
check_handshake(const Connection *connection)
{
    if (connection->channel.tls == NULL) {
        return 0;
    }
    bool resumed = SSL_session_reused(connection->channel.tls);
    if (resumed != connection->resumes) {
        warnx("the TLS session was %s", resumed ? "resumed" : "not resumed");
        return -1;
    }
    return 0;
}

static int
serve(Client *client, Connection *connection)
{
    uint64_t began_at = connection->sent_at;
    int whole = exchange_serve(client, connection);
    if (whole <= 0) {
        return whole;
    }
    if (check_handshake(connection) != 0) {
        return -1;
    }
    client_count(client, 1, began_at);
    channel_close(&connection->channel);
    connection->sent_at = monotonic_ns();
    if (connect_soon(client, connection) != 0) {
        return -1;
    }
    return exchange_begin(client, connection);
}

const Mode MODE_ACCEPT = {
    .name = "accept",
    .start = exchange_begin,
    .serve = serve,
};
