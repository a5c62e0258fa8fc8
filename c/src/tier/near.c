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
    return TANDEM_OK;
}

double tandem_tick(tandem_cache *cache)
{
    int64_t now_ms = clock_coarse_ms();

    /* What the caller loads next must not have been loaded before this. */
    atomic_thread_fence(memory_order_acquire);
    return attached(cache) ? (double)now_ms : INFINITY;
}

void near_leave(tandem_cache *cache)
{
    if (attached(cache))
        memory_near_release(cache->tier->memory, cache->near.hits);
}
