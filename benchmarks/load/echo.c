/* Closed loop: a connection sends a message, waits for all of its echo, and sends the next.
 * Where fewer are to be active than there are, the next message goes over the connection
 * that has rested longest. */
#include "exchange.h"
#include "mode.h"

static Connection *
next_connection(Client *client, Connection *last)
{
    unsigned count = client->plan->connections;
    if (client->plan->active == count) {
        return last;
    }
    Connection *next;
    do {
        next = &client->connections[client->turn++ % count];
    } while (next->busy);
    return next;
}

static int
start(Client *client, Connection *connection)
{
    if (client->turn >= client->plan->active) {
        return 0; /* it waits for its turn */
    }
    client->turn++;
    return exchange_begin(client, connection);
}

static int
serve(Client *client, Connection *connection)
{
    uint64_t began_at = connection->sent_at;
    int whole = exchange_serve(client, connection);
    if (whole <= 0) {
        return whole;
    }
    client_count(client, 1, began_at);
    return exchange_begin(client, next_connection(client, connection));
}

const Mode MODE_ECHO = {
    .name = "echo",
    .greets = true,
    .start = start,
    .serve = serve,
};

const Mode MODE_WEBSOCKET = {
    .name = "websocket",
    .websocket = true,
    .greets = true,
    .start = start,
    .serve = serve,
};
