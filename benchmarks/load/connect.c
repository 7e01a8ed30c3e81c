/* See connect.h. */
#include "connect.h"

#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../common/watch.h"

enum {
    SOURCES = 250
};

/* All of 127.0.0.0/8 is this machine. A closed connection keeps its port for a minute, so
 * the addresses take turns: there are not enough ports for one that connects at speed. */
static int
prepare_tcp(Client *client, int fd)
{
    int one = 1;
    struct sockaddr_in source = {.sin_family = AF_INET};
    source.sin_addr.s_addr =
        htonl(INADDR_LOOPBACK + 1 + client->opened % SOURCES);
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) != 0
        || setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one,
                      sizeof(one))
               != 0
        || bind(fd, (const struct sockaddr *)&source, sizeof(source)) != 0) {
        warn("preparing a socket");
        return -1;
    }
    return 0;
}

/* Returns a socket that connects, or -1 after a line on stderr. */
static int
connecting_socket(Client *client)
{
    const Plan *plan = client->plan;
    int family = plan->address.ss_family;
    int kind = plan->datagrams ? SOCK_DGRAM : SOCK_STREAM;
    int fd = socket(family, kind | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        warn("socket");
        return -1;
    }
    if (family == AF_INET && !plan->datagrams
        && prepare_tcp(client, fd) != 0) {
        close(fd);
        return -1;
    }
    const struct sockaddr *address = (const struct sockaddr *)&plan->address;
    if (connect(fd, address, plan->address_length) != 0
        && errno != EINPROGRESS) {
        warn("connect");
        close(fd);
        return -1;
    }
    return fd;
}

int
connect_soon(Client *client, Connection *connection)
{
    Channel *channel = &connection->channel;
    int fd = connecting_socket(client);
    if (fd < 0) {
        return -1;
    }
    client->opened++;
    connection->watches_write = false;
    if (channel_init(channel, fd, client->tls, false) != 0) {
        warnx("no memory for a connection");
        return -1;
    }
    connection->resumes = client->session != NULL;
    if (connection->resumes) {
        SSL_set_session(channel->tls, client->session);
    }
    if (watch(client->epoll, EPOLL_CTL_ADD, fd, false, connection) != 0) {
        warn("epoll_ctl");
        return -1;
    }
    return 0;
}
