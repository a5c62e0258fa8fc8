/*
 * fuzz.h: what the fuzz targets share: bytes to take from, a claim that must hold, and a server that says
 * what it is told to.  Each target is a program of its own, which libFuzzer calls with one input after
 * the other.
 */
#ifndef TANDEM_FUZZ_H
#define TANDEM_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold whatever the input is. */
#define HOLDS(claim)                                                                   \
    do {                                                                               \
        if (!(claim)) {                                                                \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #claim); \
            abort();                                                                   \
        }                                                                              \
    } while (0)

/* In place of the system's: an input does the same each time. */
ssize_t getrandom(void *bytes, size_t size, unsigned flags)
{
    (void)flags;
    memset(bytes, 0x5a, size);
    return (ssize_t)size;
}

/* The input's first bytes steer; the rest is what is said. */
struct input {
    const uint8_t *bytes;
    size_t left;
};

static inline unsigned input_byte(struct input *in)
{
    if (!in->left)
        return 0;
    in->left--;
    return *in->bytes++;
}

#endif
