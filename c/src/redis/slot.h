/*
 * slot.h: which of a cluster's slots a key is in: CRC16 of the key, or of what stands in its first pair of braces,
 * if that is anything.  Pure.
 */
#ifndef TANDEM_REDIS_SLOT_H
#define TANDEM_REDIS_SLOT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/lanes.h"

enum { SLOTS = 16384, SLOTS_OF_LANE = SLOTS / LANES };

/* Slots side by side are in one lane: where masters have ranges of slots, few lanes have two. */
static inline unsigned slot_lane(unsigned slot)
{
    return slot / SLOTS_OF_LANE % LANES;
}

/* Of a key in two parts, of which braces know nothing. */
unsigned slot_of(const char *prefix, size_t prefix_length, const char *key, size_t key_length);

/* Are all keys with this prefix in one slot? */
bool slot_is_one(const char *prefix, size_t prefix_length);

#endif
