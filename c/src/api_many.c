/*
 * api_many.c: the customs office for many keys at once; see api.c.
 */
#include "api_check.h"

static int check_all(const tandem_cache *cache, const tandem_item *items, size_t count,
                     bool with_values, int64_t ttl_ms, tandem_result *result)
{
    result_clear(result);
    if (!cache)
        return result_say(result, TANDEM_EINVAL, "the cache is NULL");
    if (cache->tier->client)
        return result_say(result, TANDEM_EINVAL, "with Redis each key is an operation of its own");
    if (count > MEMORY_ITEMS_MAX || (count && !items))
        return result_say(result, TANDEM_EINVAL, "there must be %d items at most",
                          MEMORY_ITEMS_MAX);
    for (size_t i = 0; i < count; i++) {
        const tandem_item *item = items + i;
        int status = with_values ? api_check_write(cache, item->key, item->key_length, item->value,
                                                   item->value_length, ttl_ms, result)
                                 : api_check_key(cache, item->key, item->key_length, result);

        if (status)
            return status;
    }
    return TANDEM_OK;
}

int tandem_set_many(tandem_cache *cache, tandem_item *items, size_t count, int64_t ttl_ms,
                    tandem_result *result)
{
    int status = check_all(cache, items, count, true, ttl_ms, result);

    return status || !count ? status : tier_set_many(cache, items, count, ttl_ms, result);
}

int tandem_delete_many(tandem_cache *cache, tandem_item *items, size_t count, tandem_result *result)
{
    int status = check_all(cache, items, count, false, 0, result);

    return status || !count ? status : tier_delete_many(cache, items, count, result);
}
