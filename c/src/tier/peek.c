/*
 * peek.c: what memory has, as it lies there.
 */
#include "base/clock.h"
#include "tier/result.h"
#include "tier/tier.h"

enum { BEFORE_ALL = 0 }; /* a time at which nothing has expired */

/* 0 would mean that it never expires.  What is kept for its own TTL's sake or memory's is no matter. */
static double seconds_left(const tandem_cache *cache, const struct memory_attributes *a,
                           int64_t now_ms)
{
    int64_t ms = freshness_left(&cache->rules, a, now_ms);

    if (!a->expires_ms)
        return 0;
    if (ms == INT64_MAX)
        ms = a->expires_ms - now_ms;
    return ms ? (double)ms / 1000 : -0.001;
}

int tier_peek(tandem_cache *cache, const char *key, size_t key_length, int flags, void *buffer,
              size_t size, tandem_result *result)
{
    struct tier *tier = cache->tier;
    int64_t now_ms = clock_coarse_ms(), lease_ms = memory_lease(tier->memory);
    struct memory_entry entry;
    char nothing;
    int found;

    if (tier->client && behind_has(&tier->behind, key, key_length))
        return TANDEM_MISS; /* as a get: what is there is older than what is on its way */
    found = memory_get(tier->memory, key, key_length, BEFORE_ALL, true, buffer ? buffer : &nothing,
                       buffer ? size : 0, &entry);
    if (found != MEMORY_OK && found != MEMORY_SMALL)
        return TANDEM_MISS;
    result->tier = TANDEM_TIER_MEMORY;
    if (!tier_is_fresh(tier, key, key_length, &entry, lease_ms, now_ms) ||
        freshness_left(&cache->rules, &entry.attributes, now_ms) <= 0)
        result->tier = TANDEM_TIER_STALE;
    if (result->tier == TANDEM_TIER_STALE && !(flags & TANDEM_STALE)) {
        result->tier = TANDEM_TIER_NONE;
        return TANDEM_MISS;
    }
    result->ttl = seconds_left(cache, &entry.attributes, now_ms);
    if (entry.attributes.flags & MEMORY_NEGATIVE) {
        result->tier = TANDEM_TIER_NEGATIVE;
        return TANDEM_MISS;
    }
    result->length = (double)entry.length;
    return found == MEMORY_SMALL ? TANDEM_TOO_SMALL : TANDEM_OK;
}
