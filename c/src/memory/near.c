/*
 * near.c: what near tables look at, and where they count.
 *
 * A near hit is a handful of instructions in a worker, so it must not cost an atomic addition, and a
 * worker that is killed must not take its count along.  Hence a counter in the segment that has one
 * writer at a time, who adds by plain stores.  A counter is never reset: whoever claims it next counts on
 * from where it stands, so that all of them together always say all near hits there ever were.
 *
 * A process that dies without giving its counters back is found dead when they are needed.
 */
#include "memory/near.h"

#include <string.h>

#include "memory/memory.h"
#include "memory/owner.h"
#include "memory/view.h"

/* Counters beside each other share a cache line: they are claimed in an order that fills lines last. */
enum { PER_LINE = 64 / sizeof(struct layout_near), LINES = LAYOUT_NEAR / PER_LINE };

_Static_assert(sizeof(double) == sizeof(uint64_t), "a count is a double");
_Static_assert(sizeof(struct layout_bucket) == 16 * sizeof(uint32_t), "see memory_near_word");
_Static_assert(offsetof(struct layout_bucket, version) == 32, "see memory_near_word");
_Static_assert(offsetof(struct layout_bucket, mark) == 48, "see tandem_near");

static struct layout_near *near_at(const struct memory *m, uint32_t i)
{
    struct layout_near *near = (void *)((char *)m->header + m->layout.near_at);

    return near + i % LINES * PER_LINE + i / LINES;
}

double near_hits(const struct memory *m)
{
    double sum = 0;

    for (uint32_t i = 0; i < LAYOUT_NEAR; i++) {
        uint64_t bits = atomic_load_explicit(&near_at(m, i)->hits, memory_order_relaxed);
        double hits;

        memcpy(&hits, &bits, sizeof(hits));
        sum += hits;
    }
    return sum;
}

bool memory_near_word(uint32_t slot, uint32_t *index)
{
    uint64_t word = (uint64_t)slot / LAYOUT_SLOTS * 16 + 8 + slot % LAYOUT_SLOTS;

    *index = (uint32_t)word;
    return word <= UINT32_MAX;
}

/* -- Owners -------------------------------------------------------------------------------------- */

static bool claim(struct layout_near *near, uint64_t from, uint64_t to)
{
    return atomic_compare_exchange_strong_explicit(&near->owner, &from, to, memory_order_acq_rel,
                                                   memory_order_relaxed);
}

static struct layout_near *claim_any(struct memory *m)
{
    uint64_t self = owner_self();

    for (uint32_t i = 0; i < LAYOUT_NEAR; i++)
        if (claim(near_at(m, i), 0, self))
            return near_at(m, i);
    for (uint32_t i = 0; i < LAYOUT_NEAR; i++) {
        struct layout_near *near = near_at(m, i);
        uint64_t owner = atomic_load_explicit(&near->owner, memory_order_relaxed);

        if (owner && owner_is_dead(owner, self) && claim(near, owner, self))
            return near;
    }
    return NULL;
}

int memory_near_claim(struct memory *m, struct memory_near *near)
{
    struct layout_near *claimed = claim_any(m);

    if (!claimed)
        return MEMORY_BUSY;
    near->words = (const void *)m->buckets;
    near->marks = (void *)m->buckets;
    near->epoch = (const void *)&m->header->epoch;
    near->tag_epoch = m->layout.tags ? (const void *)&m->header->tag_epoch : NULL;
    near->hits = (void *)&claimed->hits;
    return MEMORY_OK;
}

void memory_near_release(struct memory *m, double *hits)
{
    for (uint32_t i = 0; hits && i < LAYOUT_NEAR; i++)
        if ((void *)&near_at(m, i)->hits == (void *)hits)
            atomic_store_explicit(&near_at(m, i)->owner, 0, memory_order_release);
}
