/* See lifetime.h. */
#include "lifetime.h"

#include <err.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BACKLOG = 1024
};

int
lifetime_serve(int type)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof(address);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) != 0
        || (type == SOCK_STREAM && listen(fd, BACKLOG) != 0)
        || getsockname(fd, (struct sockaddr *)&address, &length) != 0) {
        err(1, "the server's socket");
    }
    printf("{\"port\": %d}\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

void
lifetime_check_stdin(void)
{
    char ignored[256];
    if (read(0, ignored, sizeof(ignored)) <= 0) {
        exit(0);
    }
}
