/*
 * bytes.h: bytes that are put together in memory of their own.  Pure.
 */
#ifndef TANDEM_REDIS_BYTES_H
#define TANDEM_REDIS_BYTES_H

#include <stdbool.h>
#include <stddef.h>

/* All zero: empty. */
struct bytes {
    char *data;
    size_t length, capacity;
    bool failed; /* there was no memory: what is here is not whole */
};

void bytes_add(struct bytes *bytes, const void *data, size_t length);

/* Empties it for the next use; memory that is unusually large is given back. */
void bytes_clear(struct bytes *bytes);

/* Gives its memory back, wiping it first. */
void bytes_free(struct bytes *bytes);

#endif
