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
    unsigned char *bytes; /* PAYLOAD_VARIANTS messages in a row; owned */
    size_t size;          /* bytes of one message */
} Payload;

/* Fills the messages with pseudo-random bytes. As lines, each message ends with its only
 * newline. Returns 0, or -1 when there is no memory. */
int payload_init(Payload *payload, size_t size, bool lines);
void payload_free(Payload *payload);

static inline const unsigned char *
payload_message(const Payload *payload, uint64_t number)
{
    return payload->bytes + (number % PAYLOAD_VARIANTS) * payload->size;
}

#endif
