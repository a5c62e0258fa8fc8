/*
 * many.c: set and delete of many keys in memory only, where nothing is waited for.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "tier/result.h"
#include "tier/tier.h"

/* Tells the items, and in result of the first that failed why. */
static void tell(tandem_cache *cache, const struct memory_item *from, tandem_item *items,
                 size_t count, tandem_result *result)
{
    tandem_result later = *result, *to = result;

    for (size_t i = 0; i < count; i++) {
        items[i].status =
            result_of_memory(cache->tier->memory, from[i].status, items[i].value_length, to);
        if (items[i].status < 0)
            to = &later;
    }
}

static struct memory_item *copy(const tandem_item *items, size_t count)
{
    struct memory_item *to = alloc_bytes(count * sizeof(*to));

    for (size_t i = 0; to && i < count; i++)
        to[i] = (struct memory_item){.key = items[i].key,
                                     .value = items[i].value ? items[i].value : "",
                                     .key_length = items[i].key_length,
                                     .value_length = items[i].value_length};
    return to;
}

int tier_set_many(tandem_cache *cache, tandem_item *items, size_t count, int64_t ttl_ms,
                  tandem_result *result)
{
    struct memory_attributes a;
    struct memory_item *to = copy(items, count);

    if (!to)
        return result_say(result, TANDEM_ESYS, "no memory");
    ttl_ms = freshness_kept_ms(&cache->rules, ttl_ms);
    a = freshness_memory_only(ttl_ms > 0 ? clock_now_ms() : 0, ttl_ms);
    memory_put_many(cache->tier->memory, to, count, &a, MEMORY_LOCK_US);
    tell(cache, to, items, count, result);
    alloc_free(to);
    return TANDEM_OK;
}

int tier_delete_many(tandem_cache *cache, tandem_item *items, size_t count, tandem_result *result)
{
    struct memory_item *to = copy(items, count);

    if (!to)
        return result_say(result, TANDEM_ESYS, "no memory");
    memory_delete_many(cache->tier->memory, to, count, clock_coarse_ms(), MEMORY_LOCK_US);
    tell(cache, to, items, count, result);
    alloc_free(to);
    return TANDEM_OK;
}
