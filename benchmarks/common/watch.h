/* The one way in which the programs here wait for a socket: level-triggered epoll. */
#ifndef COMMON_WATCH_H
#define COMMON_WATCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

/* Adds or changes a socket: bytes to read wake it, with `write` also room for bytes to send.
 * `owner` comes back with its events. Returns what epoll_ctl does. */
static inline int
watch(int epoll, int operation, int fd, bool write, void *owner)
{
    struct epoll_event event = {
        .events = EPOLLIN | (write ? (uint32_t)EPOLLOUT : 0),
        .data.ptr = owner,
    };
    return epoll_ctl(epoll, operation, fd, &event);
}

#endif
