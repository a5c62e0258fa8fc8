#include "memory/tags.h"

#include "base/hash.h"
#include "memory/fault.h"

enum { SET_BACK_US = 1000000 };

uint32_t memory_tag_hash(const struct memory *m, const void *tag, size_t length)
{
    return (uint32_t)(hash_bytes(tag, length, m->seed) >> 16);
}

uint64_t memory_tag_number(const struct memory *m)
{
    return atomic_load_explicit(&m->header->tag_number, memory_order_acquire);
}

uint32_t memory_tag_epoch(const struct memory *m)
{
    return atomic_load_explicit(&m->header->tag_epoch, memory_order_acquire);
}

bool memory_tags_hold(const struct memory *m, const struct memory_tags *tags)
{
    for (uint32_t i = 0; i < tags->count; i++)
        if (tags_number(m, tags->hashes[i]) > tags->number)
            return false;
    return true;
}

static void raise_to(_Atomic uint64_t *number, uint64_t to)
{
    uint64_t seen = atomic_load_explicit(number, memory_order_relaxed);

    while (seen < to && !atomic_compare_exchange_weak_explicit(
                            number, &seen, to, memory_order_acq_rel, memory_order_relaxed))
        ;
}

/* The number is drawn first: what was asked for before has a lesser one.  The epoch comes last: a near table
 * that has seen it finds both places raised, and one that has not will see it change. */
void memory_tag_invalidate(struct memory *m, uint32_t hash)
{
    uint64_t number;

    if (!m->layout.tags)
        return;
    number = atomic_fetch_add_explicit(&m->header->tag_number, 1, memory_order_acq_rel) + 1;
    FAULT_POINT(TAG_NUMBERED);
    raise_to(m->tags + tags_first_place(m, hash), number);
    FAULT_POINT(TAG_HALF);
    raise_to(m->tags + tags_second_place(m, hash), number);
    FAULT_POINT(TAG_RAISED);
    atomic_fetch_add_explicit(&m->header->tag_epoch, 1, memory_order_acq_rel);
    FAULT_POINT(TAG_DONE);
    memory_count(m, COUNT_MEMORY_TAG_INVALIDATIONS, 1);
}

uint64_t memory_tag_seen(const struct memory *m)
{
    return atomic_load_explicit(&m->header->tag_seen, memory_order_acquire);
}

/* A server whose clock is behind by more than an answer may take is another one, or was set back. */
void memory_tag_see(struct memory *m, uint64_t time_us)
{
    if (time_us + SET_BACK_US < memory_tag_seen(m))
        atomic_store_explicit(&m->header->tag_seen, time_us, memory_order_release);
    raise_to(&m->header->tag_seen, time_us);
}
