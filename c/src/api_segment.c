/*
 * api_segment.c: the customs office for those who look into a segment from outside; see api.c.
 */
#include <stdio.h>

#include "api_check.h"
#include "base/clock.h"
#include "tier/inspect.h"
#include "tier/metric.h"

static int check_path(const char *path, char *error, size_t error_size)
{
    if (path && path[0])
        return TANDEM_OK;
    snprintf(error, error_size, "the path is missing");
    return TANDEM_EINVAL;
}

int tandem_segment_open(const char *path, tandem_segment **segment, tandem_description *description,
                        char *error, size_t error_size)
{
    int status = check_path(path, error, error_size);

    return status ? status : inspect_open(path, segment, description, error, error_size);
}

void tandem_segment_close(tandem_segment *segment)
{
    inspect_close(segment);
}

double tandem_segment_value(tandem_segment *segment, int i)
{
    return segment ? metric_value(segment->memory, i) : 0;
}

int tandem_segment_buckets(tandem_segment *segment, int i, double *counts, int room, double *sum)
{
    return segment && metric_buckets(segment->memory, i, counts, room, sum) ? TANDEM_OK
                                                                            : TANDEM_EINVAL;
}

int tandem_segment_peek(tandem_segment *segment, const char *key, size_t key_length, void *buffer,
                        size_t size, tandem_result *result)
{
    result_clear(result);
    if (!segment)
        return result_say(result, TANDEM_EINVAL, "the segment is NULL");
    if (!key || key_length == 0 || key_length > MEMORY_KEY_MAX)
        return result_say(result, TANDEM_EINVAL, "the key has %zu bytes, 1 to %d are allowed",
                          key ? key_length : 0, MEMORY_KEY_MAX);
    return inspect_peek(segment, key, key_length, buffer, size, result);
}

int tandem_segment_keys(tandem_segment *segment, double *cursor, const char *glob,
                        size_t glob_length, void *buffer, size_t size, tandem_result *result)
{
    size_t length = 0, count = 0;
    int status;

    result_clear(result);
    if (!segment || !cursor || !(*cursor >= 0 && *cursor < API_CURSOR_MAX) ||
        (!glob && glob_length))
        return result_say(result, TANDEM_EINVAL, "the segment, the cursor or the pattern is wrong");
    status = memory_keys(segment->memory, cursor, glob, glob_length, clock_now_ms(), buffer,
                         buffer ? size : 0, &length, &count);
    result->length = (double)length;
    result->count = (double)count;
    if (status == MEMORY_SMALL)
        return TANDEM_TOO_SMALL;
    return status == MEMORY_MORE ? TANDEM_MORE : TANDEM_OK;
}

static int describe_slot(const struct memory *memory, double slot, void *key, tandem_result *result)
{
    size_t key_length, value_length;

    result_clear(result);
    if (!memory || !key || !(slot >= 0 && slot < memory_slots(memory)) ||
        !memory_slot(memory, (uint32_t)slot, clock_now_ms(), key, &key_length, &value_length))
        return TANDEM_MISS;
    result->length = (double)key_length;
    result->count = (double)value_length;
    return TANDEM_OK;
}

int tandem_segment_slot(tandem_segment *segment, double slot, void *key, tandem_result *result)
{
    return describe_slot(segment ? segment->memory : NULL, slot, key, result);
}

int tandem_segment_verify(tandem_segment *segment, double shard, tandem_findings *findings)
{
    return segment && shard >= 0 && shard <= UINT32_MAX &&
                   inspect_verify(segment, (uint32_t)shard, findings)
               ? TANDEM_OK
               : TANDEM_MISS;
}

double tandem_untold(const tandem_cache *cache)
{
    return cache ? memory_replay_count(cache->tier->memory) : 0;
}

int tandem_is_untold(tandem_cache *cache, const char *key, size_t key_length, tandem_result *result)
{
    int status = api_check_key(cache, key, key_length, result);

    if (status)
        return status;
    return memory_replay_peek(cache->tier->memory, key, key_length, MEMORY_LOCK_US) ==
                   MEMORY_REPLAY_NONE
               ? TANDEM_MISS
               : TANDEM_OK;
}

double tandem_slots(const tandem_cache *cache)
{
    return cache ? memory_slots(cache->tier->memory) : 0;
}

int tandem_slot(tandem_cache *cache, double slot, void *key, tandem_result *result)
{
    return describe_slot(cache ? cache->tier->memory : NULL, slot, key, result);
}

/* Slots are counted by 32 bits, and n may say "all". */
static bool slots(const tandem_cache *cache, double from, double n, const uint8_t *times,
                  uint32_t *first, uint32_t *count)
{
    double all = tandem_slots(cache);

    if (!times || !(from >= 0 && from < all) || !(n >= 1))
        return false;
    *first = (uint32_t)from;
    *count = (uint32_t)(n < all - from ? n : all - from);
    return true;
}

void tandem_marks_take(tandem_cache *cache, double from, double n, uint8_t *times)
{
    uint32_t first, count;

    if (slots(cache, from, n, times, &first, &count))
        memory_marks_take(cache->tier->memory, first, count, times);
}

void tandem_marks_give(tandem_cache *cache, double from, double n, const uint8_t *times)
{
    uint32_t first, count;

    if (slots(cache, from, n, times, &first, &count))
        memory_marks_give(cache->tier->memory, first, count, times);
}
