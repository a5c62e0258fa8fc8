/*
 * hash.h: the 64-bit hash of keys: XXH3 (Yann Collet, xxHash 0.8), seeded.
 */
#ifndef TANDEM_BASE_HASH_H
#define TANDEM_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t hash_bytes(const void *data, size_t length, uint64_t seed);

#endif
