/*
 * cache.h: handles for the tests of the public interface, and its calls in short.
 */
#ifndef TANDEM_TEST_SUPPORT_CACHE_H
#define TANDEM_TEST_SUPPORT_CACHE_H

#include "check.h"
#include "tandem.h"

/* What the last call said, and the value it brought, NUL-terminated. */
static tandem_result said;
static char value[1 << 16];

/* Defaults, with a mailbox. */
CHECK_UNUSED tandem_options options_for(const char *name, const char *redis_url)
{
    tandem_options options;

    tandem_options_init(&options);
    options.name = name;
    options.memory_bytes = 4 << 20;
    options.redis_url = redis_url;
    options.mailbox = tandem_mailbox_create();
    REQUIRE(options.mailbox != NULL);
    return options;
}

CHECK_UNUSED tandem_cache *open_with(const tandem_options *options)
{
    char error[256] = "";
    tandem_cache *cache = NULL;

    if (tandem_open(options, &cache, error, sizeof(error)) != TANDEM_OK)
        printf("%s\n", error);
    REQUIRE(cache != NULL);
    return cache;
}

/* Gives up a handle and its mailbox. */
CHECK_UNUSED void close_all(tandem_cache *cache, const tandem_options *options)
{
    tandem_close(cache);
    tandem_mailbox_release(options->mailbox);
}

/* Waits for a pending operation and takes it. */
CHECK_UNUSED int finish(const tandem_options *options, int status)
{
    double ticket = said.ticket;

    if (status == TANDEM_OK)
        value[(size_t)said.length] = '\0';
    if (status != TANDEM_PENDING)
        return status;
    if (tandem_wait(options->mailbox, ticket, 30000) != TANDEM_OK)
        printf("waited in vain\n");
    status = tandem_take(options->mailbox, ticket, value, sizeof(value) - 1, &said);
    if (status == TANDEM_OK)
        value[(size_t)said.length] = '\0';
    return status;
}

/* The calls without waiting: what they say at once. */
CHECK_UNUSED int get_now(tandem_cache *cache, const char *key, int flags)
{
    int status = tandem_get(cache, key, strlen(key), flags, value, sizeof(value) - 1, &said);

    if (status == TANDEM_OK)
        value[(size_t)said.length] = '\0';
    return status;
}

CHECK_UNUSED int set_now(tandem_cache *cache, const char *key, const char *text, int64_t ttl_ms,
                         int flags)
{
    return tandem_set(cache, key, strlen(key), text, strlen(text), ttl_ms, flags, &said);
}

CHECK_UNUSED int delete_now(tandem_cache *cache, const char *key, int flags)
{
    return tandem_delete(cache, key, strlen(key), flags, &said);
}

/* And to their end. */
CHECK_UNUSED int get(tandem_cache *cache, const tandem_options *options, const char *key)
{
    return finish(options, get_now(cache, key, 0));
}

CHECK_UNUSED int set(tandem_cache *cache, const tandem_options *options, const char *key,
                     const char *text, int64_t ttl_ms)
{
    return finish(options, set_now(cache, key, text, ttl_ms, 0));
}

CHECK_UNUSED int del(tandem_cache *cache, const tandem_options *options, const char *key)
{
    return finish(options, delete_now(cache, key, 0));
}

CHECK_UNUSED int exists(tandem_cache *cache, const tandem_options *options, const char *key)
{
    return finish(options, tandem_exists(cache, key, strlen(key), 0, &said));
}

CHECK_UNUSED int ttl(tandem_cache *cache, const tandem_options *options, const char *key)
{
    return finish(options, tandem_ttl(cache, key, strlen(key), 0, &said));
}

CHECK_UNUSED int add(tandem_cache *cache, const tandem_options *options, const char *key,
                     const char *text, int64_t ttl_ms)
{
    return finish(options,
                  tandem_add(cache, key, strlen(key), text, strlen(text), ttl_ms, 0, &said));
}

CHECK_UNUSED int replace(tandem_cache *cache, const tandem_options *options, const char *key,
                         const char *text, int64_t ttl_ms)
{
    return finish(options,
                  tandem_replace(cache, key, strlen(key), text, strlen(text), ttl_ms, 0, &said));
}

/* Without init; the sum is in said.count. */
CHECK_UNUSED int incr(tandem_cache *cache, const tandem_options *options, const char *key,
                      double by)
{
    return finish(options, tandem_incr(cache, key, strlen(key), by, 0, 0, 0, &said));
}

CHECK_UNUSED int incr_from(tandem_cache *cache, const tandem_options *options, const char *key,
                           double by, double init, int64_t ttl_ms)
{
    return finish(options,
                  tandem_incr(cache, key, strlen(key), by, init, ttl_ms, TANDEM_INIT, &said));
}

CHECK_UNUSED int expire(tandem_cache *cache, const tandem_options *options, const char *key,
                        int64_t ttl_ms)
{
    return finish(options, tandem_expire(cache, key, strlen(key), ttl_ms, 0, &said));
}

CHECK_UNUSED int peek(tandem_cache *cache, const char *key, int flags)
{
    int status = tandem_peek(cache, key, strlen(key), flags, value, sizeof(value) - 1, &said);

    if (status == TANDEM_OK)
        value[(size_t)said.length] = '\0';
    return status;
}

/* A counter or gauge by its names. */
CHECK_UNUSED double metric(tandem_cache *cache, const char *tier, const char *name)
{
    tandem_metric row;

    for (int i = 0; tandem_metric_at(i, &row) == TANDEM_OK; i++) {
        if (strcmp(row.tier, tier) == 0 && strcmp(row.name, name) == 0)
            return tandem_metric_value(cache, i);
    }
    printf("there is no metric %s.%s\n", tier, name);
    CHECK(false);
    return -1;
}

#endif
