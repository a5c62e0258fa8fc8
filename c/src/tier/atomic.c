/*
 * atomic.c: add, replace, incr and expire.  Redis decides where there is one, and memory then drops the
 * key: what Redis has of it now is known to nobody here without asking.  So there is nothing to be done in
 * memory alone while Redis is away.
 */
#include <string.h>

#include "base/clock.h"
#include "base/number.h"
#include "tier/request.h"
#include "tier/result.h"

/* -- On the handle's thread ---------------------------------------------------------------------- */

/* Asks Redis to do it, unless what it has of the key is known to be older than what it is to be told. */
static int submit(tandem_cache *cache, struct request *r, const char *key, size_t key_length,
                  bool behind, int flags, tandem_result *result)
{
    struct tier *tier = cache->tier;

    if (behind)
        return write_submit_behind(cache, r, key, key_length, flags, result);
    if (r)
        memory_token_read(tier->memory, key, key_length, &r->token);
    return request_submit(cache, r, true, flags, result);
}

static int may_be_asked(tandem_cache *cache, const char *key, size_t key_length,
                        tandem_result *result)
{
    struct tier *tier = cache->tier;
    int status = request_possible(cache, result);

    if (!status &&
        memory_replay_peek(tier->memory, key, key_length, MEMORY_LOCK_US) != MEMORY_REPLAY_NONE)
        status =
            result_say(result, TANDEM_ECONN, "%s is yet to be told an earlier write of this key",
                       redis_client_server(tier->client));
    return status;
}

/* For those that are never queued. */
static int may_be_awaited(tandem_cache *cache, const char *key, size_t key_length, int flags,
                          tandem_result *result)
{
    if (flags & TANDEM_NOWAIT)
        return result_say(result, TANDEM_ENOWAIT, "the caller cannot wait for %s",
                          redis_client_server(cache->tier->client));
    return may_be_asked(cache, key, key_length, result);
}

static int set_if(tandem_cache *cache, enum redis_kind kind, const char *key, size_t key_length,
                  const void *value, size_t value_length, int64_t ttl_ms, int flags,
                  tandem_result *result)
{
    struct request *r;
    int status;

    ttl_ms = freshness_kept_ms(&cache->rules, ttl_ms);
    if (!cache->tier->client) {
        struct memory_attributes a = freshness_memory_only(ttl_ms > 0 ? clock_now_ms() : 0, ttl_ms);

        status = (kind == REDIS_ADD ? memory_add : memory_replace)(
            cache->tier->memory, key, key_length, value, value_length, &a, MEMORY_LOCK_US);
        return result_of_memory(cache->tier->memory, status, value_length, result);
    }
    status = may_be_awaited(cache, key, key_length, flags, result);
    if (status)
        return status;
    r = request_create(cache, kind, key, key_length);
    if (r && !request_set_value(r, value, value_length)) {
        redis_op_free(&r->op);
        r = NULL;
    }
    if (r)
        r->op.ttl_ms = ttl_ms;
    return submit(cache, r, key, key_length, false, flags, result);
}

int tier_add(tandem_cache *cache, const char *key, size_t key_length, const void *value,
             size_t value_length, int64_t ttl_ms, int flags, tandem_result *result)
{
    return set_if(cache, REDIS_ADD, key, key_length, value ? value : "", value_length, ttl_ms,
                  flags, result);
}

int tier_replace(tandem_cache *cache, const char *key, size_t key_length, const void *value,
                 size_t value_length, int64_t ttl_ms, int flags, tandem_result *result)
{
    return set_if(cache, REDIS_REPLACE, key, key_length, value ? value : "", value_length, ttl_ms,
                  flags, result);
}

int tier_incr(tandem_cache *cache, const char *key, size_t key_length, double by, double init,
              int64_t ttl_ms, int flags, tandem_result *result)
{
    struct request *r;
    int status;

    ttl_ms = freshness_kept_ms(&cache->rules, ttl_ms);
    if (!cache->tier->client) {
        struct memory_addition a = {
            .by = number_of_double(by),
            .init = number_of_double(init),
            .with_init = (flags & TANDEM_INIT) != 0,
            .attributes = freshness_memory_only(ttl_ms > 0 ? clock_now_ms() : 0, ttl_ms),
        };

        status = memory_incr(cache->tier->memory, key, key_length, &a, MEMORY_LOCK_US);
        result->count = (double)a.sum;
        return result_of_memory(cache->tier->memory, status, 0, result);
    }
    status = may_be_awaited(cache, key, key_length, flags, result);
    if (status)
        return status;
    r = request_create(cache, REDIS_INCR, key, key_length);
    if (r) {
        r->op.by = by;
        r->op.init = init;
        r->op.with_init = (flags & TANDEM_INIT) != 0;
        r->op.ttl_ms = ttl_ms;
    }
    return submit(cache, r, key, key_length, false, flags, result);
}

int tier_expire(tandem_cache *cache, const char *key, size_t key_length, int64_t ttl_ms, int flags,
                tandem_result *result)
{
    struct request *r;
    int status;

    ttl_ms = freshness_kept_ms(&cache->rules, ttl_ms);
    if (!cache->tier->client) {
        int64_t now_ms = clock_now_ms();
        struct memory_attributes a = freshness_memory_only(now_ms, ttl_ms);

        status = memory_expire(cache->tier->memory, key, key_length, a.expires_ms, now_ms,
                               MEMORY_LOCK_US);
        return result_of_memory(cache->tier->memory, status, 0, result);
    }
    status = may_be_asked(cache, key, key_length, result);
    if (status)
        return status;
    r = request_create(cache, REDIS_EXPIRE, key, key_length);
    if (r)
        r->op.ttl_ms = ttl_ms;
    return submit(cache, r, key, key_length, cache->write_behind || (flags & TANDEM_NOWAIT), flags,
                  result);
}

/* -- On the I/O thread --------------------------------------------------------------------------- */

static void answered(const struct redis_op *op, struct outcome *outcome)
{
    bool yes = op->status == REDIS_DONE;

    if (op->kind == REDIS_EXPIRE)
        yes = op->integer != 0;
    outcome->status = yes ? TANDEM_OK : TANDEM_MISS;
    outcome->tier = TANDEM_TIER_REDIS;
    outcome->count = op->number;
}

/* What Redis says to a value that is no number, or is of another type. */
static bool says(const struct redis_op *op, const char *what)
{
    return op->status == REDIS_REFUSED && strstr(op->error, what) != NULL;
}

/* Does memory, as it is, still have what Redis has?  Not having changed anything does not say so: what Redis
 * does not find is not to be served as stale later. */
static bool leaves_memory_alone(const struct redis_op *op)
{
    if (op->kind == REDIS_ADD && op->status == REDIS_ABSENT)
        return true;
    return write_judge(op) == WRITE_NOT_APPLIED && !says(op, "WRONGTYPE");
}

void atomic_done(struct tier *tier, struct request *r)
{
    struct redis_op *op = &r->op;
    struct outcome outcome = {0};

    if (!leaves_memory_alone(op))
        memory_drop(tier->memory, op->key, op->key_length, clock_now_ms(), MEMORY_LOCK_IO_US);
    switch (write_judge(op)) {
    case WRITE_APPLIED:
        answered(op, &outcome);
        break;
    case WRITE_NOT_APPLIED:
        if (op->kind == REDIS_INCR && says(op, "value is not a valid float"))
            outcome.status = TANDEM_NOT_A_NUMBER;
        else
            request_fail(r, NULL, &outcome);
        break;
    case WRITE_UNCERTAIN:
        request_fail(r, "; whether the write took place is unknown", &outcome);
        break;
    }
    behind_end(&tier->behind, r->behind);
    request_finish(r, &outcome);
}
