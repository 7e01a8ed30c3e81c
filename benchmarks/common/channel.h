/* Bytes to and from one peer over a socket, as they are or under TLS: what load/ and floor/
 * send and receive by. TLS shakes hands in the first call that needs it. */
#ifndef COMMON_CHANNEL_H
#define COMMON_CHANNEL_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <sys/types.h>

enum {
    CHANNEL_AGAIN = -1, /* nothing now: wait for the socket, then call again */
    CHANNEL_BROKEN =
        -2, /* the connection is of no more use; stderr says why */
};

typedef struct {
    int fd;           /* owned; -1: closed */
    SSL *tls;         /* owned; NULL: no TLS */
    bool wants_write; /* CHANNEL_AGAIN was for room to send */
} Channel;

/* Steals fd, also when it fails. `context` is NULL without TLS; it is borrowed. Returns 0,
 * or -1 when there is no memory. */
int channel_init(Channel *channel, int fd, SSL_CTX *context, bool is_server);

/* Both return how many bytes went, 0 (receive) at the end, or one of the above. */
ssize_t channel_send(Channel *channel, const void *bytes, size_t length);
ssize_t channel_receive(Channel *channel, void *bytes, size_t length);

/* Whether TLS, where there is any, has shaken hands. While it has not, whoever has something
 * to send has to call channel_send() again: reading instead could end the handshake, and the
 * socket would not wake anybody for that. */
bool channel_is_up(const Channel *channel);

/* Whether bytes were read ahead: the socket will not wake anybody for them. */
bool channel_has_more(const Channel *channel);

/* Says good-bye where TLS wants it, then closes the socket. */
void channel_close(Channel *channel);

#endif
