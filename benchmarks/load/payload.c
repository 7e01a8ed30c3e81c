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
    payload->size = size;
    payload->bytes = malloc(total);
    if (payload->bytes == NULL) {
        return -1;
    }
    uint64_t state = 0x9E3779B97F4A7C15ULL;
    for (size_t i = 0; i < total; i++) {
        unsigned char byte = (unsigned char)(next_random(&state) >> 32);
        if (lines && byte == '\n') {
            byte = ' ';
        }
        payload->bytes[i] = byte;
    }
    for (size_t variant = 1; lines && variant <= PAYLOAD_VARIANTS; variant++) {
        payload->bytes[variant * size - 1] = '\n';
    }
    return 0;
}

void
payload_free(Payload *payload)
{
    free(payload->bytes);
    payload->bytes = NULL;
}
