#include "tier/near.h"

#include <math.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "tier/process.h"
#include "tier/tier.h"

/* A child of fork() has its parent's handles, and must not count where its parent counts. */
static bool attached(const tandem_cache *cache)
{
    return cache->near_generation == process_generation();
}

int tandem_near_attach(tandem_cache *cache, tandem_near *near)
{
    if (!attached(cache)) {
        if (memory_near_claim(cache->tier->memory, &cache->near) != MEMORY_OK)
            return TANDEM_EFULL;
        cache->near_generation = process_generation();
    }
    near->words = cache->near.words;
    near->epoch = cache->near.epoch;
    near->marks = cache->near.marks;
    near->hits = cache->near.hits;
    near->generation = cache->near_generation;
    return TANDEM_OK;
}

int tandem_near_attached(const tandem_near *near)
{
    return near->generation == process_generation();
}

static inline uint32_t load(const uint32_t *word)
{
    return atomic_load_explicit((const _Atomic uint32_t *)word, memory_order_acquire);
}

int tandem_near_hit(tandem_near *near, uint32_t i)
{
    tandem_near_entry *e = near->entries + i;
    uint8_t *mark = near->marks + 4 * (size_t)e->slot + 16 - 3 * (e->slot % 4);

    if (e->fresh_until != INFINITY && (double)clock_coarse_ms() >= e->fresh_until)
        return 0;
    if (load(near->words + e->slot) != e->version || load(near->epoch) != e->epoch ||
        near->generation != process_generation())
        return 0;
    if (!*mark)
        *mark = 1;
    e->used = 1;
    *near->hits += 1;
    return 1;
}

void near_leave(tandem_cache *cache)
{
    if (attached(cache))
        memory_near_release(cache->tier->memory, cache->near.hits);
}
