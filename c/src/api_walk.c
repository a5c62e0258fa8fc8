/*
 * api_walk.c: the customs office for walks over all keys, in memory and in Redis; see api.c.
 */
#include "api_check.h"
#include "base/clock.h"

enum { SCAN_CURSOR_MAX = 24 /* digits of a 64-bit number, and of the number of a node */ };

static int check_walk(const tandem_cache *cache, const double *cursor, const char *glob,
                      size_t glob_length, tandem_result *result)
{
    result_clear(result);
    if (!cache)
        return result_say(result, TANDEM_EINVAL, "the cache is NULL");
    if (!cursor || !(*cursor >= 0 && *cursor < API_CURSOR_MAX))
        return result_say(result, TANDEM_EINVAL, "the cursor is not one that a call returned");
    if (!glob && glob_length)
        return result_say(result, TANDEM_EINVAL, "the pattern is missing");
    return TANDEM_OK;
}

static int walk_status(int memory_status, tandem_result *result)
{
    switch (memory_status) {
    case MEMORY_OK:
        return TANDEM_OK;
    case MEMORY_MORE:
        return TANDEM_MORE;
    case MEMORY_SMALL:
        return TANDEM_TOO_SMALL;
    default:
        return result_busy(result);
    }
}

int tandem_keys(tandem_cache *cache, double *cursor, const char *glob, size_t glob_length,
                void *buffer, size_t size, tandem_result *result)
{
    size_t length = 0, count = 0;
    int status = check_walk(cache, cursor, glob, glob_length, result);

    if (status)
        return status;
    status = memory_keys(cache->tier->memory, cursor, glob, glob_length, clock_now_ms(), buffer,
                         buffer ? size : 0, &length, &count);
    result->length = (double)length;
    result->count = (double)count;
    return walk_status(status, result);
}

int tandem_remove(tandem_cache *cache, double *cursor, const char *glob, size_t glob_length,
                  tandem_result *result)
{
    size_t count = 0;
    int status = check_walk(cache, cursor, glob, glob_length, result);

    if (status)
        return status;
    if (*cursor == 0)
        memory_replay_remove(cache->tier->memory, glob, glob_length);
    status = memory_remove(cache->tier->memory, cursor, glob, glob_length, clock_now_ms(),
                           MEMORY_LOCK_US, &count);
    result->count = (double)count;
    return walk_status(status, result);
}

int tandem_cleanup(tandem_cache *cache, double *cursor, double max, tandem_result *result)
{
    size_t count = 0;
    int status = check_walk(cache, cursor, NULL, 0, result);

    if (status)
        return status;
    if (!(max >= 0))
        return result_say(result, TANDEM_EINVAL, "max is negative");
    status = memory_cleanup(cache->tier->memory, cursor, max < API_CURSOR_MAX ? (size_t)max : 0,
                            clock_now_ms(), MEMORY_LOCK_US, &count);
    result->count = (double)count;
    return walk_status(status, result);
}

static bool is_scan_cursor(const char *cursor, size_t length)
{
    size_t digits = 0;

    while (cursor && digits < length && cursor[digits] >= '0' && cursor[digits] <= '9')
        digits++;
    return digits == length && length > 0 && length <= SCAN_CURSOR_MAX;
}

static int scan(tandem_cache *cache, enum redis_kind kind, const char *cursor, size_t cursor_length,
                const char *glob, size_t glob_length, int flags, tandem_result *result)
{
    int status = TANDEM_OK;

    result_clear(result);
    if (!cache)
        status = result_say(result, TANDEM_EINVAL, "the cache is NULL");
    else if (!cache->tier->client)
        status = result_say(result, TANDEM_EINVAL, "this cache has no Redis");
    else if (!is_scan_cursor(cursor, cursor_length))
        status = result_say(result, TANDEM_EINVAL, "the cursor is not one that a call returned");
    else if (!glob && glob_length)
        status = result_say(result, TANDEM_EINVAL, "the pattern is missing");
    else
        status = tier_scan(cache, kind, cursor, cursor_length, glob, glob_length, flags, result);
    return api_done(cache, flags, status);
}

int tandem_scan(tandem_cache *cache, const char *cursor, size_t cursor_length, const char *glob,
                size_t glob_length, int flags, tandem_result *result)
{
    return scan(cache, REDIS_SCAN, cursor, cursor_length, glob, glob_length, flags, result);
}

int tandem_scan_unlink(tandem_cache *cache, const char *cursor, size_t cursor_length,
                       const char *glob, size_t glob_length, int flags, tandem_result *result)
{
    return scan(cache, REDIS_SCAN_UNLINK, cursor, cursor_length, glob, glob_length, flags, result);
}
