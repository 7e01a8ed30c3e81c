/* See websocket.h. */
#include "websocket.h"

#include <err.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

enum {
    BINARY_MESSAGE = 0x82, /* whole in this frame */
    MASKED = 0x80,
    LENGTH_IN_2 = 126,
    LENGTH_IN_8 = 127,
    SHORT_LENGTHS = 126, /* lengths below have no bytes of their own */
    HEAD_BYTES = 14,     /* at most */
    WAIT_MS = 10000,
};

static const unsigned char MASK[4] = {0x37, 0xFA, 0x21, 0x3D};

static const char REQUEST[] = "GET / HTTP/1.1\r\n"
                              "Host: 127.0.0.1\r\n"
                              "Upgrade: websocket\r\n"
                              "Connection: Upgrade\r\n"
                              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                              "Sec-WebSocket-Version: 13\r\n"
                              "\r\n";
static const char AGREED[] = "HTTP/1.1 101 ";
static const char END_OF_HEAD[] = "\r\n\r\n";

/* Writes the head of a frame; returns its length. */
static size_t
write_head(unsigned char *head, size_t size, bool masked)
{
    size_t width = size < SHORT_LENGTHS ? 0 : size < 65536 ? 2 : 8;
    size_t first = width == 0 ? size : width == 2 ? LENGTH_IN_2 : LENGTH_IN_8;
    head[0] = BINARY_MESSAGE;
    head[1] = (unsigned char)(first | (masked ? MASKED : 0));
    for (size_t i = 0; i < width; i++) {
        head[2 + i] = (unsigned char)(size >> (8 * (width - 1 - i)));
    }
    if (!masked) {
        return 2 + width;
    }
    memcpy(head + 2 + width, MASK, sizeof(MASK));
    return 2 + width + sizeof(MASK);
}

/* New frames around all messages of the given size; sets the size of a frame. */
static unsigned char *
frames_of(const unsigned char *messages, size_t size, bool masked,
          size_t *frame_size)
{
    unsigned char head[HEAD_BYTES];
    size_t head_size = write_head(head, size, masked);
    *frame_size = head_size + size;
    unsigned char *frames = malloc(*frame_size * PAYLOAD_VARIANTS);
    if (frames == NULL) {
        return NULL;
    }
    for (size_t variant = 0; variant < PAYLOAD_VARIANTS; variant++) {
        unsigned char *body = frames + variant * *frame_size + head_size;
        memcpy(body - head_size, head, head_size);
        memcpy(body, messages + variant * size, size);
        for (size_t i = 0; masked && i < size; i++) {
            body[i] ^= MASK[i % sizeof(MASK)];
        }
    }
    return frames;
}

int
websocket_frame(Payload *payload)
{
    Payload framed;
    framed.messages = frames_of(payload->messages, payload->sent_size, true,
                                &framed.sent_size);
    framed.replies = frames_of(payload->messages, payload->sent_size, false,
                               &framed.reply_size);
    payload_free(payload);
    *payload = framed;
    return framed.messages != NULL && framed.replies != NULL ? 0 : -1;
}

static int
wait_for(const Channel *channel, short events)
{
    struct pollfd ready = {.fd = channel->fd, .events = events};
    if (poll(&ready, 1, WAIT_MS) != 1) {
        warnx("no answer to the WebSocket handshake");
        return -1;
    }
    return 0;
}

/* Reads the head of the answer into client->receive, as a string. */
static int
read_head(Client *client, Channel *channel)
{
    char *text = (char *)client->receive;
    size_t length = 0;
    do {
        if (wait_for(channel, POLLIN) != 0) {
            return -1;
        }
        ssize_t n = channel_receive(channel, text + length,
                                    RECEIVE_BYTES - 1 - length);
        if (n == 0 || n == CHANNEL_BROKEN) {
            warnx("the server closed a connection in its handshake");
            return -1;
        }
        length += n > 0 ? (size_t)n : 0;
        text[length] = '\0';
    } while (strstr(text, END_OF_HEAD) == NULL);
    return 0;
}

int
websocket_shake_hands(Client *client, Connection *connection)
{
    Channel *channel = &connection->channel;
    size_t length = strlen(REQUEST);
    if (wait_for(channel, POLLOUT) != 0
        || channel_send(channel, REQUEST, length) != (ssize_t)length) {
        warnx("the WebSocket handshake was not sent");
        return -1;
    }
    if (read_head(client, channel) != 0) {
        return -1;
    }
    if (strncmp((char *)client->receive, AGREED, strlen(AGREED)) != 0) {
        warnx("the server does not speak WebSocket");
        return -1;
    }
    return 0;
}
