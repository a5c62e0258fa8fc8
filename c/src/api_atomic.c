/*
 * api_atomic.c: the customs office for changes that depend on what is there, and for peek.
 */
#include <math.h>

#include "api_check.h"
#include "base/hash.h"
#include "tandem.h"

#define NUMBER_MOST 9007199254740992.0 /* 2^53 */

int tandem_peek(tandem_cache *cache, const char *key, size_t key_length, int flags, void *buffer,
                size_t size, tandem_result *result)
{
    int status = api_check_key(cache, key, key_length, result);

    if (!status)
        status = tier_peek(cache, key, key_length, flags, buffer, size, result);
    return api_done(cache, flags, status);
}

int tandem_add(tandem_cache *cache, const char *key, size_t key_length, const void *value,
               size_t value_length, int64_t ttl_ms, int flags, tandem_result *result)
{
    int status = api_check_write(cache, key, key_length, value, value_length, ttl_ms, result);

    if (!status)
        status = tier_add(cache, key, key_length, value, value_length, ttl_ms, flags, result);
    return api_done(cache, flags, status);
}

int tandem_replace(tandem_cache *cache, const char *key, size_t key_length, const void *value,
                   size_t value_length, int64_t ttl_ms, int flags, tandem_result *result)
{
    int status = api_check_write(cache, key, key_length, value, value_length, ttl_ms, result);

    if (!status)
        status = tier_replace(cache, key, key_length, value, value_length, ttl_ms, flags, result);
    return api_done(cache, flags, status);
}

int tandem_incr(tandem_cache *cache, const char *key, size_t key_length, double by, double init,
                int64_t init_ttl_ms, int flags, tandem_result *result)
{
    int status = api_check_write(cache, key, key_length, NULL, 0, init_ttl_ms, result);

    if (!status && !(fabs(by) <= NUMBER_MOST && fabs(init) <= NUMBER_MOST))
        status = result_say(result, TANDEM_EINVAL, "by and init must be at most 2^53, either way");
    if (!status)
        status = tier_incr(cache, key, key_length, by, init, init_ttl_ms, flags, result);
    return api_done(cache, flags, status);
}

int tandem_expire(tandem_cache *cache, const char *key, size_t key_length, int64_t ttl_ms,
                  int flags, tandem_result *result)
{
    int status = api_check_write(cache, key, key_length, NULL, 0, ttl_ms, result);

    if (!status)
        status = tier_expire(cache, key, key_length, ttl_ms, flags, result);
    return api_done(cache, flags, status);
}

void tandem_hash(const char *key, size_t key_length, uint32_t seed, uint32_t halves[2])
{
    uint64_t hash = hash_bytes(key, key_length, seed);

    halves[0] = (uint32_t)hash;
    halves[1] = (uint32_t)(hash >> 32);
}
