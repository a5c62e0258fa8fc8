/*
 * api.c: the customs office.  Arguments are checked here and nothing is decided; what a function
 * promises is in tandem.h, what it does in tier/.
 */
#include "tandem.h"

#include <stdio.h>

#include "api_check.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "tier/metric.h"
#include "tier/near.h"
#include "tier/options.h"
#include "tier/registry.h"
#include "tier/result.h"
#include "tier/tier.h"

/* -- The library --------------------------------------------------------------------------------- */

double tandem_now_ms(void)
{
    return (double)clock_now_ms();
}

void tandem_clock_shift(double ms)
{
    if (ms > -1e15 && ms < 1e15)
        clock_shift((int64_t)ms);
}

/* -- Mailboxes ----------------------------------------------------------------------------------- */

tandem_mailbox *tandem_mailbox_create(void)
{
    return mailbox_create();
}

void tandem_mailbox_release(tandem_mailbox *mailbox)
{
    mailbox_release(mailbox);
}

int tandem_bell_open(tandem_mailbox *mailbox, const char *runtime_dir, char *path, size_t path_size,
                     char *error, size_t error_size)
{
    return mailbox_bell_open(mailbox, runtime_dir, path, path_size, error, error_size);
}

int tandem_bell_accept(tandem_mailbox *mailbox)
{
    return mailbox_bell_accept(mailbox);
}

void tandem_bell_hang_up(tandem_mailbox *mailbox)
{
    mailbox_bell_hang_up(mailbox);
}

int tandem_drain(tandem_mailbox *mailbox, double *tickets, int max)
{
    return mailbox_drain(mailbox, tickets, max);
}

int tandem_wait(tandem_mailbox *mailbox, double ticket, double timeout_ms)
{
    return mailbox_wait(mailbox, ticket, timeout_ms);
}

int tandem_take(tandem_mailbox *mailbox, double ticket, void *buffer, size_t size,
                tandem_result *result)
{
    return mailbox_take(mailbox, ticket, buffer, buffer ? size : 0, result);
}

void tandem_abandon(tandem_mailbox *mailbox, double ticket)
{
    mailbox_abandon(mailbox, ticket);
}

int tandem_pending(tandem_mailbox *mailbox)
{
    return mailbox_pending(mailbox);
}

/* -- Caches -------------------------------------------------------------------------------------- */

void tandem_options_init(tandem_options *options)
{
    options_init(options);
}

static tandem_cache *make_handle(const tandem_options *options)
{
    tandem_cache *cache = alloc_zeroed(sizeof(*cache));

    if (!cache)
        return NULL;
    cache->mailbox = options->mailbox;
    if (cache->mailbox)
        mailbox_use(cache->mailbox);
    else
        cache->mailbox = mailbox_create();
    if (!cache->mailbox) {
        alloc_free(cache);
        return NULL;
    }
    cache->rules.memory_ttl_ms = options->memory_ttl_ms;
    cache->rules.stale_ttl_ms = options->stale_ttl_ms;
    cache->rules.max_stale_ms = options->max_stale_ms;
    cache->rules.tracking = options->tracking != 0;
    cache->rules.provisional_ms = options->max_stale_ms;
    if (2 * (int64_t)options->timeout_ms < options->max_stale_ms)
        cache->rules.provisional_ms = 2 * (int64_t)options->timeout_ms;
    cache->timeout_ms = options->timeout_ms;
    cache->connect_timeout_ms = options->connect_timeout_ms;
    cache->degrade = !options->fail;
    cache->write_behind = options->write_behind != 0;
    cache->replay_deletes = options->replay_delete != 0;
    return cache;
}

/* path NULL: the segment is found, or made, by the options. */
static int open_or_attach(const char *path, const tandem_options *options, tandem_cache **cache,
                          char *error, size_t error_size)
{
    struct registry_config config;
    tandem_cache *handle;
    char prefix[65];
    int status = options_check(options, error, error_size);

    if (status)
        return status;
    options_configure(options, prefix, &config);
    handle = make_handle(options);
    if (!handle) {
        snprintf(error, error_size, "no memory");
        return TANDEM_ESYS;
    }
    status = path ? registry_attach(path, &config, &handle->tier, error, error_size)
                  : registry_join(&config, &handle->tier, error, error_size);
    if (status) {
        mailbox_release(handle->mailbox);
        alloc_free(handle);
        return status;
    }
    if (handle->tier->client && handle->rules.tracking)
        tracking_want(handle->tier, handle->rules.max_stale_ms);
    *cache = handle;
    return TANDEM_OK;
}

int tandem_open(const tandem_options *options, tandem_cache **cache, char *error, size_t error_size)
{
    return open_or_attach(NULL, options, cache, error, error_size);
}

int tandem_attach(const char *path, const tandem_options *options, tandem_cache **cache,
                  char *error, size_t error_size)
{
    if (!path || !path[0]) {
        snprintf(error, error_size, "the path is missing");
        return TANDEM_EINVAL;
    }
    return open_or_attach(path, options, cache, error, error_size);
}

void tandem_uncork(tandem_cache *cache)
{
    tier_uncork(cache);
}

void tandem_close(tandem_cache *cache)
{
    if (!cache)
        return;
    tier_uncork(cache);
    near_leave(cache);
    flights_leave(cache);
    mailbox_abandon_of(cache->mailbox, cache);
    registry_leave(cache->tier);
    mailbox_release(cache->mailbox);
    alloc_free(cache);
}

const char *tandem_identity(const tandem_cache *cache)
{
    return cache->tier->identity;
}

const char *tandem_server(const tandem_cache *cache)
{
    return cache->tier->client ? redis_client_server(cache->tier->client) : NULL;
}

double tandem_key_limit(const tandem_cache *cache)
{
    (void)cache;
    return MEMORY_KEY_MAX;
}

double tandem_value_limit(const tandem_cache *cache)
{
    return (double)memory_value_limit(cache->tier->memory);
}

/* -- One key ------------------------------------------------------------------------------------- */

int api_wrong_key(const tandem_cache *cache, const char *key, size_t key_length,
                  tandem_result *result)
{
    if (!cache)
        return result_say(result, TANDEM_EINVAL, "the cache is NULL");
    if (!key || key_length == 0)
        return result_say(result, TANDEM_EINVAL, "the key is empty");
    if (key_length > MEMORY_KEY_MAX)
        return result_say(result, TANDEM_EINVAL, "the key has %zu bytes, at most %d are allowed",
                          key_length, MEMORY_KEY_MAX);
    return result_say(result, TANDEM_EINVAL,
                      "keys that begin with " RESERVED " are reserved for the library");
}

int api_check_write(const tandem_cache *cache, const char *key, size_t key_length,
                    const void *value, size_t value_length, int64_t ttl_ms, tandem_result *result)
{
    int status = api_check_key(cache, key, key_length, result);

    if (status)
        return status;
    if (!value && value_length)
        return result_say(result, TANDEM_EINVAL, "the value is missing");
    if (ttl_ms < 0 || ttl_ms > OPTIONS_TTL_MAX_MS)
        return result_say(result, TANDEM_EINVAL, "ttl_ms is %lld, and must be from 0 to %lld",
                          (long long)ttl_ms, (long long)OPTIONS_TTL_MAX_MS);
    return TANDEM_OK;
}

int api_check_tags(const tandem_cache *cache, const char *tags, size_t tags_length,
                   tandem_result *result)
{
    if (tags_length == 0)
        return TANDEM_OK;
    if (!cache->tier->tags)
        return result_say(result, TANDEM_EINVAL, "this cache has no tags");
    if (!tags || !tags_are_names(tags, tags_length))
        return result_say(result, TANDEM_EINVAL,
                          "tags must be 1 to %d, each a byte with its length and 1 to %d bytes",
                          MEMORY_TAGS_MAX, REDIS_TAG_MAX);
    return TANDEM_OK;
}

int tandem_get(tandem_cache *cache, const char *key, size_t key_length, int flags, void *buffer,
               size_t size, tandem_result *result)
{
    int status = api_check_key(cache, key, key_length, result);

    if (!status)
        status = tier_get(cache, key, key_length, flags, buffer, size, result);
    return api_done(cache, flags, status);
}

int tandem_exists(tandem_cache *cache, const char *key, size_t key_length, int flags,
                  tandem_result *result)
{
    int status = api_check_key(cache, key, key_length, result);

    if (!status)
        status = tier_exists(cache, key, key_length, flags, result);
    return api_done(cache, flags, status);
}

int tandem_ttl(tandem_cache *cache, const char *key, size_t key_length, int flags,
               tandem_result *result)
{
    int status = api_check_key(cache, key, key_length, result);

    if (!status)
        status = tier_ttl(cache, key, key_length, flags, result);
    return api_done(cache, flags, status);
}

int tandem_set(tandem_cache *cache, const char *key, size_t key_length, const void *value,
               size_t value_length, int64_t ttl_ms, int flags, tandem_result *result)
{
    int status = api_check_write(cache, key, key_length, value, value_length, ttl_ms, result);

    if (!status)
        status = tier_set(cache, key, key_length, value, value_length, ttl_ms, flags, result);
    return api_done(cache, flags, status);
}

int tandem_set_tagged(tandem_cache *cache, const char *key, size_t key_length, const void *value,
                      size_t value_length, int64_t ttl_ms, const char *tags, size_t tags_length,
                      int flags, tandem_result *result)
{
    int status = api_check_write(cache, key, key_length, value, value_length, ttl_ms, result);

    if (!status)
        status = api_check_tags(cache, tags, tags_length, result);
    if (!status)
        status = tier_set_tagged(cache, key, key_length, value, value_length, ttl_ms, tags,
                                 tags_length, flags, result);
    return api_done(cache, flags, status);
}

int tandem_invalidate_tag(tandem_cache *cache, const char *tag, size_t tag_length, int flags,
                          tandem_result *result)
{
    int status = TANDEM_OK;

    result_clear(result);
    if (!cache)
        status = result_say(result, TANDEM_EINVAL, "the cache is NULL");
    else if (!cache->tier->tags)
        status = result_say(result, TANDEM_EINVAL, "this cache has no tags");
    else if (!tag || tag_length == 0 || tag_length > REDIS_TAG_MAX)
        status = result_say(result, TANDEM_EINVAL, "the tag has %zu bytes, and must have 1 to %d",
                            tag ? tag_length : 0, REDIS_TAG_MAX);
    else
        status = tags_invalidate(cache, tag, tag_length, flags, result);
    return api_done(cache, flags, status);
}

int tandem_delete(tandem_cache *cache, const char *key, size_t key_length, int flags,
                  tandem_result *result)
{
    int status = api_check_key(cache, key, key_length, result);

    if (!status)
        status = tier_delete(cache, key, key_length, flags, result);
    return api_done(cache, flags, status);
}

/* -- How it is doing ----------------------------------------------------------------------------- */

int tandem_redis_up(tandem_cache *cache)
{
    if (!cache->tier->client)
        return -1;
    return redis_client_state(cache->tier->client, NULL, 0) == REDIS_STATE_UP;
}

int tandem_redis_trouble(tandem_cache *cache, char *text, size_t size)
{
    snprintf(text, size, "%s", "");
    if (cache->tier->client)
        redis_client_trouble(cache->tier->client, text, size);
    return size && text[0] ? TANDEM_MISS : TANDEM_OK;
}

const char *tandem_tracking_state(tandem_cache *cache)
{
    if (!cache->tier->client || !cache->rules.tracking)
        return "off";
    return tracking_is_live(cache->tier, clock_now_ms()) ? "on" : "unavailable";
}

int tandem_attend(tandem_cache *cache)
{
    if (cache->tier->client && cache->rules.tracking)
        tracking_attend(cache->tier);
    return TANDEM_OK;
}

int tandem_tracking_trouble(tandem_cache *cache, char *text, size_t size)
{
    if (cache->tier->client && cache->rules.tracking)
        return tracking_trouble(cache->tier, text, size);
    snprintf(text, size, "%s", "");
    return TANDEM_OK;
}

int tandem_metric_count(void)
{
    return METRIC_ROWS;
}

int tandem_metric_at(int i, tandem_metric *metric)
{
    return metric_row(i, metric) ? TANDEM_OK : TANDEM_EINVAL;
}

double tandem_metric_value(tandem_cache *cache, int i)
{
    return metric_value(cache->tier->memory, i);
}

int tandem_metric_buckets(tandem_cache *cache, int i, double *counts, int room, double *sum)
{
    return metric_buckets(cache->tier->memory, i, counts, room, sum) ? TANDEM_OK : TANDEM_EINVAL;
}

double tandem_bucket_bound(int bucket)
{
    return metric_bound(bucket);
}
