/*
 * api_check.h: what the functions of the public interface that are about one key have in common, before
 * and after.
 */
#ifndef TANDEM_API_CHECK_H
#define TANDEM_API_CHECK_H

#include <string.h>

#include "tier/options.h"
#include "tier/result.h"
#include "tier/tier.h"

/* Cursors of walks through memory are less. */
#define API_CURSOR_MAX 9007199254740992.0 /* 2^53 */

/* Says what is wrong with a key, or that the cache is NULL. */
int api_wrong_key(const tandem_cache *cache, const char *key, size_t key_length,
                  tandem_result *result);

static inline int api_check_key(const tandem_cache *cache, const char *key, size_t key_length,
                                tandem_result *result)
{
    result_clear(result);
    if (!cache || !key || key_length - 1 >= MEMORY_KEY_MAX ||
        (key[0] == RESERVED[0] && reserved_is(key, key_length)))
        return api_wrong_key(cache, key, key_length, result);
    return TANDEM_OK;
}

/* A key, a value and its time to live. */
int api_check_write(const tandem_cache *cache, const char *key, size_t key_length,
                    const void *value, size_t value_length, int64_t ttl_ms, tandem_result *result);

/* Tags as tandem_set_tagged has them; none are fine. */
int api_check_tags(const tandem_cache *cache, const char *tags, size_t tags_length,
                   tandem_result *result);

/* Whatever came of a call without TANDEM_CORK, what was queued before it goes now. */
static inline int api_done(tandem_cache *cache, int flags, int status)
{
    if (cache && cache->corked && !(flags & TANDEM_CORK))
        tier_uncork(cache);
    return status;
}

#endif
