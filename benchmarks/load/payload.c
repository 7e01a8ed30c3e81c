/* See payload.h. */
#include "payload.h"

#include <stdlib.h>

/* xorshift64: enough to make messages differ, and the same on every run. */
static uint64_t
next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

int
payload_init(Payload *payload, size_t size, bool lines)
{
    size_t total = size * PAYLOAD_VARIANTS;
    unsigned char *bytes = malloc(total);
    if (bytes == NULL) {
        return -1;
    }
    *payload = (Payload){bytes, bytes, size, size};
    uint64_t state = 0x9E3779B97F4A7C15ULL;
    for (size_t i = 0; i < total; i++) {
        unsigned char byte = (unsigned char)(next_random(&state) >> 32);
        if (lines && byte == '\n') {
            byte = ' ';
        }
        bytes[i] = byte;
    }
    for (size_t variant = 1; lines && variant <= PAYLOAD_VARIANTS; variant++) {
        bytes[variant * size - 1] = '\n';
    }
    return 0;
}

void
payload_free(Payload *payload)
{
    if (payload->replies != payload->messages) {
        free(payload->replies);
    }
    free(payload->messages);
    *payload = (Payload){0};
}
