/* See channel.h. */
#include "channel.h"

#include <err.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tls.h"

int
channel_init(Channel *channel, int fd, SSL_CTX *context, bool is_server)
{
    *channel = (Channel){.fd = fd};
    if (context == NULL) {
        return 0;
    }
    channel->tls = SSL_new(context);
    if (channel->tls == NULL || SSL_set_fd(channel->tls, fd) != 1) {
        channel_close(channel);
        return -1;
    }
    if (is_server) {
        SSL_set_accept_state(channel->tls);
    }
    else {
        SSL_set_connect_state(channel->tls);
    }
    return 0;
}

/* What a call that moved no bytes has come to. */
static ssize_t
plain_failure(Channel *channel, const char *what, bool write)
{
    if (errno == EAGAIN || errno == EINTR) {
        channel->wants_write = write;
        return CHANNEL_AGAIN;
    }
    warn("%s", what);
    return CHANNEL_BROKEN;
}

static ssize_t
tls_failure(Channel *channel, const char *what, int status)
{
    switch (SSL_get_error(channel->tls, status)) {
    case SSL_ERROR_WANT_READ:
        channel->wants_write = false;
        return CHANNEL_AGAIN;
    case SSL_ERROR_WANT_WRITE:
        channel->wants_write = true;
        return CHANNEL_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_SYSCALL:
        warn("%s", what);
        return CHANNEL_BROKEN;
    default:
        tls_complain(what);
        return CHANNEL_BROKEN;
    }
}

ssize_t
channel_send(Channel *channel, const void *bytes, size_t length)
{
    if (channel->tls == NULL) {
        ssize_t sent = send(channel->fd, bytes, length, 0);
        return sent >= 0 ? sent : plain_failure(channel, "send", true);
    }
    size_t sent;
    int status = SSL_write_ex(channel->tls, bytes, length, &sent);
    return status == 1 ? (ssize_t)sent : tls_failure(channel, "send", status);
}

ssize_t
channel_receive(Channel *channel, void *bytes, size_t length)
{
    if (channel->tls == NULL) {
        ssize_t got = recv(channel->fd, bytes, length, 0);
        return got >= 0 ? got : plain_failure(channel, "receive", false);
    }
    size_t got;
    int status = SSL_read_ex(channel->tls, bytes, length, &got);
    return status == 1 ? (ssize_t)got
                       : tls_failure(channel, "receive", status);
}

bool
channel_is_up(const Channel *channel)
{
    return channel->tls == NULL || SSL_is_init_finished(channel->tls);
}

bool
channel_has_more(const Channel *channel)
{
    return channel->tls != NULL && SSL_has_pending(channel->tls);
}

void
channel_close(Channel *channel)
{
    if (channel->tls != NULL) {
        if (channel_is_up(channel)) {
            SSL_shutdown(channel->tls);
        }
        SSL_free(channel->tls);
        channel->tls = NULL;
    }
    if (channel->fd >= 0) {
        close(channel->fd);
        channel->fd = -1;
    }
}
