/*
 * api_flight.c: the customs office for flights; see api.c.
 */
#include "api_check.h"

#define LONGEST_MS 1e15

int tandem_flight_begin(tandem_cache *cache, const char *key, size_t key_length, int flags,
                        double keep_ms, double wait_ms, tandem_result *result)
{
    int status = api_check_key(cache, key, key_length, result);

    if (status)
        return status;
    if (!(keep_ms > 0 && keep_ms < LONGEST_MS))
        return result_say(result, TANDEM_EINVAL, "keep_ms must be more than 0");
    if (!(wait_ms >= 0 && wait_ms < LONGEST_MS))
        return result_say(result, TANDEM_EINVAL, "wait_ms must be 0 or more");
    return flights_begin(cache, key, key_length, flags, keep_ms, wait_ms, result);
}

static int check(const tandem_cache *cache, int64_t ttl_ms, int64_t least_ms, tandem_result *result)
{
    result_clear(result);
    if (!cache)
        return result_say(result, TANDEM_EINVAL, "the cache is NULL");
    if (ttl_ms < least_ms || ttl_ms > OPTIONS_TTL_MAX_MS)
        return result_say(result, TANDEM_EINVAL, "ttl_ms is %lld, and must be from %lld to %lld",
                          (long long)ttl_ms, (long long)least_ms, (long long)OPTIONS_TTL_MAX_MS);
    return TANDEM_OK;
}

int tandem_flight_store(tandem_cache *cache, double flight, const void *value, size_t value_length,
                        int64_t ttl_ms, const char *tags, size_t tags_length, int flags,
                        tandem_result *result)
{
    int status = check(cache, ttl_ms, 0, result);

    if (!status && !value && value_length)
        status = result_say(result, TANDEM_EINVAL, "the value is missing");
    if (!status)
        status = api_check_tags(cache, tags, tags_length, result);
    if (!status)
        status = flights_store(cache, flight, value, value_length, ttl_ms, tags, tags_length, flags,
                               result);
    return api_done(cache, flags, status);
}

int tandem_flight_absent(tandem_cache *cache, double flight, int64_t ttl_ms, const char *tags,
                         size_t tags_length, tandem_result *result)
{
    int status = check(cache, ttl_ms, 1, result);

    if (!status)
        status = api_check_tags(cache, tags, tags_length, result);
    if (!status)
        status = flights_absent(cache, flight, ttl_ms, tags, tags_length, result);
    return status;
}

int tandem_fleet_lock(tandem_cache *cache, double flight, double keep_ms, double enough_ms,
                      int flags, tandem_result *result)
{
    int status = TANDEM_OK;

    result_clear(result);
    if (!cache)
        status = result_say(result, TANDEM_EINVAL, "the cache is NULL");
    else if (!(keep_ms >= 1 && keep_ms < LONGEST_MS))
        status = result_say(result, TANDEM_EINVAL, "keep_ms must be 1 or more");
    else if (!(enough_ms >= -1 && enough_ms < LONGEST_MS))
        status = result_say(result, TANDEM_EINVAL, "enough_ms must be -1 or more");
    else
        status = fleet_lock(cache, flight, keep_ms, enough_ms, flags, result);
    return api_done(cache, flags, status);
}

int tandem_fleet_wait(tandem_cache *cache, double flight, double wait_ms, tandem_result *result)
{
    result_clear(result);
    if (!cache)
        return result_say(result, TANDEM_EINVAL, "the cache is NULL");
    if (!(wait_ms >= 0 && wait_ms < LONGEST_MS))
        return result_say(result, TANDEM_EINVAL, "wait_ms must be 0 or more");
    return fleet_wait(cache, flight, wait_ms, result);
}

void tandem_flight_restart(tandem_cache *cache, double flight)
{
    if (cache)
        flights_restart(cache, flight);
}

void tandem_count_refreshes(tandem_cache *cache, double n)
{
    if (cache)
        flights_count_refreshes(cache, n);
}

void tandem_flight_end(tandem_cache *cache, double flight, int outcome, const char *error,
                       size_t error_length)
{
    if (cache && outcome >= TANDEM_FLIGHT_GONE && outcome <= TANDEM_FLIGHT_FAILED)
        flights_end(cache, flight, outcome, error, error ? error_length : 0);
}
