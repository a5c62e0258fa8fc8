#include "tier/near.h"

#include <math.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "tier/process.h"
#include "tier/tier.h"

/* In a near table's generation: its entries may have tags, and are never held against the epoch alone. */
#define WITH_TAGS UINT32_C(0x80000000)

/* To find all counters claimed takes a system call for each. */
enum { RETRY_MS = 1000 };

/* A child of fork() has its parent's handles, and must not count where its parent counts. */
static bool attached(const tandem_cache *cache)
{
    return cache->near_generation == process_generation();
}

int tandem_near_attach(tandem_cache *cache, tandem_near *near)
{
    if (!attached(cache)) {
        int64_t now_ms = clock_coarse_ms();

        if (now_ms < cache->near_retry_ms)
            return TANDEM_EFULL;
        if (memory_near_claim(cache->tier->memory, &cache->near) != MEMORY_OK) {
            cache->near_retry_ms = now_ms + RETRY_MS;
            return TANDEM_EFULL;
        }
        cache->near_generation = process_generation();
    }
    near->words = cache->near.words;
    near->epoch = cache->near.epoch;
    near->tag_epoch = cache->near.tag_epoch;
    near->marks = cache->near.marks;
    near->hits = cache->near.hits;
    near->generation = cache->near_generation | (near->tag_epoch ? WITH_TAGS : 0);
    return TANDEM_OK;
}

int tandem_near_attached(const tandem_near *near)
{
    return (near->generation & ~WITH_TAGS) == process_generation();
}

static inline uint32_t load(const uint32_t *word)
{
    return atomic_load_explicit((const _Atomic uint32_t *)word, memory_order_acquire);
}

static inline _Atomic uint8_t *mark_of(const tandem_near *near, uint32_t slot)
{
    return (_Atomic uint8_t *)(near->marks + 4 * (size_t)slot + 16 - 3 * (slot % 4));
}

/* Where entries may have tags.  Both words only grow, so their sum is what it was as long as neither has. */
static __attribute__((noinline, cold)) bool holds_with_tags(const tandem_near *near,
                                                            const tandem_near_entry *e)
{
    return near->generation == (process_generation() | WITH_TAGS) &&
           load(near->epoch) + load(near->tag_epoch) == e->epoch;
}

int tandem_near_hit(tandem_near *near, uint32_t i)
{
    tandem_near_entry *e = near->entries + i;
    _Atomic uint8_t *mark = mark_of(near, e->slot);

    if (e->fresh_until != INFINITY && (double)clock_coarse_ms() >= e->fresh_until)
        return 0;
    if (load(near->words + e->slot) != e->version)
        return 0;
    if ((load(near->epoch) != e->epoch || near->generation != process_generation()) &&
        !holds_with_tags(near, e))
        return 0;
    if (!atomic_load_explicit(mark, memory_order_relaxed))
        atomic_store_explicit(mark, 1, memory_order_relaxed);
    e->used = 1;
    *near->hits += 1;
    return 1;
}

void near_leave(tandem_cache *cache)
{
    if (attached(cache))
        memory_near_release(cache->tier->memory, cache->near.hits);
}
