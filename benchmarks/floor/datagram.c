/* The floor of datagrams: recvfrom() until there are no more, and sendto().
 *
 *     datagram MODE [core to run on]
 *
 * MODE is echo, which sends every one back; or burst, which sends back the last of 32. */
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "../common/lifetime.h"
#include "../common/process.h"

enum {
    DATAGRAM_BYTES = 65536,
    BURST = 32, /* as in load/burst.c */
};

/* Sends back each `every`-th of the datagrams that are there. */
static void
serve(int fd, unsigned every)
{
    static char bytes[DATAGRAM_BYTES];
    static unsigned count;
    struct sockaddr_in peer;
    for (;;) {
        socklen_t length = sizeof(peer);
        ssize_t n = recvfrom(fd, bytes, sizeof(bytes), 0,
                             (struct sockaddr *)&peer, &length);
        if (n < 0) {
            break;
        }
        if (++count % every == 0
            && sendto(fd, bytes, (size_t)n, 0, (struct sockaddr *)&peer,
                      length)
                   != n) {
            err(1, "sendto");
        }
    }
    if (errno != EAGAIN && errno != EINTR && errno != ECONNREFUSED) {
        err(1, "recvfrom");
    }
}

int
main(int argc, char **argv)
{
    process_prepare();
    if (argc > 2 && *argv[2] != '\0') {
        process_pin(argv[2]);
    }
    unsigned every = argc > 1 && strcmp(argv[1], "burst") == 0 ? BURST : 1;
    struct pollfd ready[] = {
        {.fd = lifetime_serve(SOCK_DGRAM), .events = POLLIN},
        {.fd = 0, .events = POLLIN},
    };
    for (;;) {
        if (poll(ready, 2, -1) < 0 && errno != EINTR) {
            err(1, "poll");
        }
        if (ready[1].revents != 0) {
            lifetime_check_stdin();
        }
        if (ready[0].revents != 0) {
            serve(ready[0].fd, every);
        }
    }
}
