/* What differs between platforms: every test of the platform stands in this
 * file; everywhere else there is one signature. */
#ifndef PYAIO_BASE_PLATFORM_H
#define PYAIO_BASE_PLATFORM_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* accept4, pipe2 */
#endif
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif
#include <time.h>
#include <unistd.h>

/* For a function off the usual way: it stays out of its callers, which so need
 * fewer registers, and a branch that ends there is taken to be rare. */
#ifdef __GNUC__
#define PLATFORM_RARE __attribute__((cold, noinline))
#else
#define PLATFORM_RARE
#endif

/* For a function that runs for each callback, timer or step of a task. These stand
 * together in the extension: as few pages and cache lines as can be, beside those of the
 * interpreter, whose own fill the cache. */
#ifdef __GNUC__
#define PLATFORM_HOT __attribute__((hot))
#else
#define PLATFORM_HOT
#endif

/* Of a struct that others begin like: what is written through one of them is read
 * through the other, and the compiler must not think otherwise. */
#ifdef __GNUC__
#define PLATFORM_MAY_ALIAS __attribute__((may_alias))
#else
#define PLATFORM_MAY_ALIAS
#endif

/* Has the processor fetch what is at the address, which may be any. */
#ifdef __GNUC__
#define PLATFORM_PREFETCH(address) __builtin_prefetch(address)
#else
#define PLATFORM_PREFETCH(address) ((void)(address))
#endif

/* An accepted socket takes TCP_NODELAY from its listener on Linux: set once
 * on the listener instead of once a connection. */
#ifdef __linux__
#define PLATFORM_ACCEPT_INHERITS_NODELAY 1
#else
#define PLATFORM_ACCEPT_INHERITS_NODELAY 0
#endif

/* A write to a connection that the peer has reset must not raise SIGPIPE,
 * also in a program that embeds Python and has not ignored it. */
#ifdef MSG_NOSIGNAL
#define PLATFORM_SEND_FLAGS MSG_NOSIGNAL
#else
#define PLATFORM_SEND_FLAGS 0
#endif

/* One recvfrom() or sendto() that does not wait, whatever mode the socket has
 * been put in meanwhile. */
#define PLATFORM_NOW MSG_DONTWAIT

/* A monotonic clock in ns that is cheap to read and moves in ticks of some ms,
 * where the platform has one. */
static inline int64_t
platform_coarse_ns(void)
{
    struct timespec now;
#ifdef CLOCK_MONOTONIC_COARSE
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
#else
    clock_gettime(CLOCK_MONOTONIC, &now);
    return ((int64_t)now.tv_sec * 1000000000 + now.tv_nsec) / 4000000
           * 4000000;
#endif
}

static inline int
platform_set_nonblocking_cloexec(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        return -1;
    }
    return fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/* One call where fcntl() would need two. -1 and errno on failure. */
static inline int
platform_set_nonblocking(int fd)
{
    int on = 1;
    return ioctl(fd, FIONBIO, &on);
}

/* What a new pipe holds, in bytes. */
#define PLATFORM_PIPE_SIZE (64 * 1024)

/* Has a pipe of that size hold more, where the platform and the user's limits allow
 * it; one of another size is left as somebody wanted it. */
static inline void
platform_enlarge_pipe(int fd, int size)
{
#ifdef F_SETPIPE_SZ
    if (fcntl(fd, F_GETPIPE_SZ) == PLATFORM_PIPE_SIZE) {
        (void)fcntl(fd, F_SETPIPE_SZ, size);
    }
#else
    (void)fd;
    (void)size;
#endif
}

/* glibc learns by the largest block that is freed: from then on it keeps blocks up to
 * that size on its heap, and twice as much of it when nothing is in use, instead of
 * giving it back to the kernel and getting it anew page by page. */
static inline void
platform_expect_blocks(size_t size)
{
#ifdef __GLIBC__
    void *volatile block = malloc(size); /* no page of it is touched */
    free(block);
#else
    (void)size;
#endif
}

/* True when the end of a pipe or socket that writes becomes readable by the closing
 * of the other end, and for a pipe by nothing else. On macOS and its like that of a
 * named one is readable whenever there is something in it. */
static inline bool
platform_write_end_hears_close(const struct stat *found)
{
#if defined(__APPLE__) || defined(__sun)
    return S_ISSOCK(found->st_mode) || found->st_nlink == 0;
#elif defined(_AIX)
    return S_ISSOCK(found->st_mode);
#else
    (void)found;
    return true;
#endif
}

/* accept4(2) with SOCK_NONBLOCK | SOCK_CLOEXEC. -1 and errno on failure. */
static inline int
platform_accept(int fd, struct sockaddr *address, socklen_t *length)
{
#ifdef __linux__
    return accept4(fd, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
#else
    int conn = accept(fd, address, length);
    if (conn >= 0 && platform_set_nonblocking_cloexec(conn) < 0) {
        int saved = errno;
        close(conn);
        errno = saved;
        return -1;
    }
    return conn;
#endif
}

/* posix_spawn(3) that can do what Popen's child does: close all descriptors but the
 * standard streams, change the directory, open a session. */
#if defined(__GLIBC__) && defined(__GLIBC_PREREQ)
#if __GLIBC_PREREQ(2, 34)
#define PLATFORM_SPAWNS 1

/* Adds signals 32 and 33 where they are not ignored. The C library keeps them to itself,
 * sigaddset() and sigaction() refuse them, and before 2.38 its posix_spawn() has the
 * child ignore them unless they are to have their default. */
static inline void
platform_add_internal_signals(sigset_t *signals)
{
    const int bits = 8 * sizeof signals->__val[0];
    for (int number = 32; number < 34; number++) {
        uintptr_t action[32] = {0}; /* the kernel's: the handler comes first */
        syscall(SYS_rt_sigaction, number, NULL, action, 8);
        if (action[0] != (uintptr_t)SIG_IGN) {
            signals->__val[(number - 1) / bits] |= 1ul << (number - 1) % bits;
        }
    }
}
#endif
#endif

/* Sleeps for so long, or a little longer, or until a signal comes. */
static inline void
platform_sleep_ns(long ns)
{
    struct timespec duration = {.tv_nsec = ns};
    nanosleep(&duration, NULL);
}

/* pipe2(2) with O_NONBLOCK | O_CLOEXEC. -1 and errno on failure. */
static inline int
platform_pipe(int ends[2])
{
#ifdef __linux__
    return pipe2(ends, O_NONBLOCK | O_CLOEXEC);
#else
    if (pipe(ends) < 0) {
        return -1;
    }
    if (platform_set_nonblocking_cloexec(ends[0]) < 0
        || platform_set_nonblocking_cloexec(ends[1]) < 0) {
        int saved = errno;
        close(ends[0]);
        close(ends[1]);
        errno = saved;
        return -1;
    }
    return 0;
#endif
}

#endif
