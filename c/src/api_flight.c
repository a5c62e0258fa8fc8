/*
 * api_flight.c: the customs office for loaders' runs.
 */
#include "api_check.h"
#include "tandem.h"

enum { OUTCOMES = TANDEM_FLIGHT_GONE };

static bool is_duration(double ms)
{
    return ms >= 0 && ms <= (double)OPTIONS_TTL_MAX_MS;
}

int tandem_flight_begin(tandem_cache *cache, const char *key, size_t key_length, int flags,
                        double keep_ms, double wait_ms, tandem_result *result)
{
    int status = api_check_key(cache, key, key_length, result);

    if (!status && !(is_duration(keep_ms) && is_duration(wait_ms)))
        status = result_say(result, TANDEM_EINVAL, "keep_ms and wait_ms must be from 0 to %lld",
                            (long long)OPTIONS_TTL_MAX_MS);
    if (!status)
        status = tier_flight_begin(cache, key, key_length, flags, keep_ms, wait_ms, result);
    return status;
}

int tandem_flight_store(tandem_cache *cache, double flight, const void *value, size_t value_length,
                        int64_t ttl_ms, int flags, tandem_result *result)
{
    int status = api_check_write(cache, "key", 3, value, value_length, ttl_ms, result);

    if (!status)
        status = tier_flight_store(cache, flight, value, value_length, ttl_ms, flags, result);
    return api_done(cache, flags, status);
}

int tandem_flight_absent(tandem_cache *cache, double flight, int64_t ttl_ms, tandem_result *result)
{
    int status = api_check_write(cache, "key", 3, NULL, 0, ttl_ms, result);

    if (!status)
        status = tier_flight_absent(cache, flight, ttl_ms, result);
    return status;
}

void tandem_flight_end(tandem_cache *cache, double flight, int outcome, const char *error,
                       size_t error_length)
{
    if (!cache)
        return;
    if (outcome < 1 || outcome > OUTCOMES)
        outcome = TANDEM_FLIGHT_GONE;
    tier_flight_end(cache, flight, outcome, error, error ? error_length : 0);
}

void tandem_fetch_count(tandem_cache *cache, int which)
{
    if (cache && which == TANDEM_FETCH_STALE)
        memory_count(cache->tier->memory, COUNT_FETCH_STALE, 1);
    else if (cache && which == TANDEM_FETCH_REFUSED)
        memory_count(cache->tier->memory, COUNT_FETCH_REFUSED, 1);
}
