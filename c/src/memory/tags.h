/*
 * tags.h: when tags were last invalidated, by their hashes.
 *
 * A table of numbers.  A tag has two places in it, and an invalidation raises both to its own number; of
 * what two tags share the greater one stays.  So the less of the two is never less than the number of the
 * tag's latest invalidation, and is more only where both places have been raised by other tags' (as in a
 * count-min sketch: Cormode and Muthukrishnan, 2005).  Nothing is ever removed.
 */
#ifndef TANDEM_MEMORY_TAGS_H
#define TANDEM_MEMORY_TAGS_H

#include "memory/view.h"

static inline uint32_t tags_first_place(const struct memory *m, uint32_t hash)
{
    return hash & (m->layout.tags - 1);
}

static inline uint32_t tags_second_place(const struct memory *m, uint32_t hash)
{
    return (uint32_t)(hash * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (m->layout.tags - 1);
}

/* At least the number of its latest invalidation.  In a segment with tags, whatever the hash. */
static inline uint64_t tags_number(const struct memory *m, uint32_t hash)
{
    uint64_t a = atomic_load_explicit(m->tags + tags_first_place(m, hash), memory_order_acquire);
    uint64_t b = atomic_load_explicit(m->tags + tags_second_place(m, hash), memory_order_acquire);

    return a < b ? a : b;
}

#endif
