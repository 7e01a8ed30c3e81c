/* The messages that are sent: a few different ones, so that a reply which is late by one
 * message, or which belongs to a neighbour's connection, is found by its bytes. */
#ifndef LOAD_PAYLOAD_H
#define LOAD_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PAYLOAD_VARIANTS = 8
};

typedef struct {
    unsigned char *messages; /* PAYLOAD_VARIANTS in a row; owned */
    unsigned char *replies;  /* what has to come back; owned, or `messages` */
    size_t sent_size;        /* bytes of a message */
    size_t reply_size;       /* bytes of its reply */
} Payload;

/* Fills the messages with pseudo-random bytes; they are to come back as they are. As lines,
 * each message ends with its only newline. Returns 0, or -1 when there is no memory. */
int payload_init(Payload *payload, size_t size, bool lines);
void payload_free(Payload *payload);

static inline const unsigned char *
payload_message(const Payload *payload, uint64_t number)
{
    return payload->messages
           + (number % PAYLOAD_VARIANTS) * payload->sent_size;
}

static inline const unsigned char *
payload_reply(const Payload *payload, uint64_t number)
{
    return payload->replies
           + (number % PAYLOAD_VARIANTS) * payload->reply_size;
}

#endif
