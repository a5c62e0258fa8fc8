/*
 * write.c: set and delete.  Redis first, memory when Redis has said that it has it; memory alone where
 * Redis certainly has not got it and the rules say to carry on; neither where nobody can tell.
 *
 * On the I/O thread as on the handle's, a change is in memory before anybody is told of it.
 */
#include <string.h>

#include "base/clock.h"
#include "tier/request.h"
#include "tier/result.h"

/* -- In memory ----------------------------------------------------------------------------------- */

/* A write as memory sees it. */
struct change {
    const char *key;
    size_t key_length;
    const void *value; /* NULL: it is deleted */
    size_t value_length;
    int64_t ttl_ms;
    const char *tags; /* names: tags.h */
    size_t tags_length;
    const struct loaded *loaded;      /* a loader's value: what that was made from; else NULL */
    const struct memory_token *token; /* of when its tags have to hold; NULL: of now */
};

static int put_in_memory(struct tier *tier, const struct change *c,
                         const struct freshness_rules *rules, int64_t lock_us)
{
    int64_t now_ms = c->ttl_ms > 0 ? clock_now_ms() : clock_coarse_ms();
    struct memory_attributes a =
        tier->client ? freshness_attributes(rules, now_ms, c->ttl_ms > 0 ? c->ttl_ms : -1, false)
                     : freshness_memory_only(now_ms, c->ttl_ms);
    struct tags tags;

    tags_attach(tier, TAGS_NAMES, c->tags, c->tags_length,
                c->token ? c->token->tags : memory_tag_number(tier->memory), &tags, &a);
    if (c->loaded)
        return memory_fill(tier->memory, c->key, c->key_length, c->value, c->value_length, &a,
                           c->token, lock_us);
    return memory_put(tier->memory, c->key, c->key_length, c->value, c->value_length, &a, lock_us);
}

/* Does it in memory alone, as if Redis had said yes at this moment.  What memory answers. */
static int change_memory(struct tier *tier, const struct change *c,
                         const struct freshness_rules *rules, int64_t lock_us)
{
    if (!c->value)
        return memory_delete(tier->memory, c->key, c->key_length, clock_coarse_ms(), lock_us);
    return put_in_memory(tier, c, rules, lock_us);
}

static int change_memory_only(tandem_cache *cache, const struct change *c, tandem_result *result)
{
    int status = change_memory(cache->tier, c, &cache->rules, MEMORY_LOCK_US);

    return result_of_memory(cache->tier->memory, status, c->value_length, result);
}

/* Why a change that Redis has not got is not in memory either; NULL: it is. */
static const char *missing_because(int memory_status)
{
    switch (memory_status) {
    case MEMORY_BUSY:
        return "; nor was it done in memory, whose lock was not to be had";
    case MEMORY_TOO_BIG:
        return "; nor is it in memory, for which it is too large";
    case MEMORY_REFUSED:
        return "; nor is it in memory, where the key was changed meanwhile";
    default:
        return NULL;
    }
}

/* -- On the handle's thread ---------------------------------------------------------------------- */

/* What a thread that serves requests waits to have a write remembered: longer than for anything else, as
 * what is not remembered Redis never gets. */
enum { REMEMBER_LOCK_US = 10000 };

/* What became of a write in memory alone.  Memory does not know the names of tags: what has some is only deleted
 * in Redis, later. */
static const char *remember(struct tier *tier, const struct change *c, bool deletes,
                            int64_t lock_us)
{
    memory_count(tier->memory, COUNT_REDIS_DEGRADED, 1);
    return replay_remember(tier, c->key, c->key_length, deletes || !c->value || c->tags_length,
                           c->ttl_ms, lock_us)
               ? "queued"
               : "not in Redis";
}

/* Redis could not even be told, status and result saying why. */
static int not_queued(tandem_cache *cache, const struct change *c, int status,
                      tandem_result *result)
{
    char why[sizeof(result->error)];
    const char *missing;

    if (!cache->degrade)
        return status;
    memcpy(why, result->error, sizeof(why));
    missing = missing_because(change_memory(cache->tier, c, &cache->rules, MEMORY_LOCK_US));
    if (missing)
        return result_say(result, status, "%.*s%s", (int)sizeof(why) - 64, why, missing);
    return result_say(result, TANDEM_DEGRADED, "%s: %s",
                      remember(cache->tier, c, cache->replay_deletes, REMEMBER_LOCK_US), why);
}

static struct request *request_of(tandem_cache *cache, const struct change *c)
{
    enum redis_kind kind = c->loaded && c->loaded->first ? REDIS_ADD
                           : c->value                    ? REDIS_SET
                                                         : REDIS_DELETE;
    struct request *r = request_create(cache, kind, c->key, c->key_length);

    if (!r)
        return NULL;
    r->op.ttl_ms = c->ttl_ms;
    r->loaded = r->op.loaded = c->loaded != NULL;
    if (c->loaded)
        r->op.time_us = c->loaded->seen_us;
    if (c->value && !(request_set_value(r, c->value, c->value_length) &&
                      request_set_tags(r, c->tags, c->tags_length))) {
        redis_op_free(&r->op);
        return NULL;
    }
    return r;
}

/* Queues it with nobody to wait.  From here on this process does not read the key from memory, and this
 * host not what memory has of it now. */
int write_submit_behind(tandem_cache *cache, struct request *r, const char *key, size_t key_length,
                        int flags, tandem_result *result)
{
    struct tier *tier = cache->tier;
    unsigned behind;
    int status;

    memory_drop(tier->memory, key, key_length, clock_now_ms(), MEMORY_LOCK_US);
    if (!r)
        return request_submit(cache, NULL, false, flags, result);
    behind = behind_begin(&tier->behind, key, key_length);
    r->behind = behind;
    memory_token_read(tier->memory, key, key_length, &r->token);
    status = request_submit(cache, r, false, flags, result);
    if (status == TANDEM_PENDING)
        return TANDEM_OK;
    behind_end(&tier->behind, behind);
    return status;
}

static int change(tandem_cache *cache, const struct change *c, int flags, tandem_result *result)
{
    struct tier *tier = cache->tier;
    struct request *r;
    int status;

    if (!tier->client)
        return change_memory_only(cache, c, result);
    status = request_possible(cache, result);
    if (status)
        return not_queued(cache, c, status, result);
    if (!replay_allows(tier, c->key, c->key_length))
        return not_queued(cache, c,
                          result_say(result, TANDEM_ECONN,
                                     "%s is being told an earlier write of this key",
                                     redis_client_server(tier->client)),
                          result);
    r = request_of(cache, c);
    if (!c->loaded && (cache->write_behind || (flags & TANDEM_NOWAIT))) {
        status = write_submit_behind(cache, r, c->key, c->key_length, flags, result);
    } else {
        if (r && c->loaded)
            r->token = *c->token;
        else if (r)
            memory_token_read(tier->memory, c->key, c->key_length, &r->token);
        status = request_submit(cache, r, true, flags, result);
    }
    return status < 0 ? not_queued(cache, c, status, result) : status;
}

int tier_set(tandem_cache *cache, const char *key, size_t key_length, const void *value,
             size_t value_length, int64_t ttl_ms, int flags, tandem_result *result)
{
    return tier_set_tagged(cache, key, key_length, value, value_length, ttl_ms, NULL, 0, flags,
                           result);
}

int tier_set_tagged(tandem_cache *cache, const char *key, size_t key_length, const void *value,
                    size_t value_length, int64_t ttl_ms, const char *tags, size_t tags_length,
                    int flags, tandem_result *result)
{
    struct change c = {.key = key,
                       .key_length = key_length,
                       .value = value ? value : "",
                       .value_length = value_length,
                       .ttl_ms = freshness_kept_ms(&cache->rules, ttl_ms),
                       .tags = tags,
                       .tags_length = tags_length};

    return change(cache, &c, flags, result);
}

int write_loaded(tandem_cache *cache, const char *key, size_t key_length, const void *value,
                 size_t value_length, int64_t ttl_ms, const char *tags, size_t tags_length,
                 const struct loaded *loaded, int flags, tandem_result *result)
{
    struct change c = {.key = key,
                       .key_length = key_length,
                       .value = value ? value : "",
                       .value_length = value_length,
                       .ttl_ms = freshness_kept_ms(&cache->rules, ttl_ms),
                       .tags = tags,
                       .tags_length = tags_length,
                       .loaded = loaded,
                       .token = &loaded->token};
    int status = change(cache, &c, flags, result);

    if (status == TANDEM_OK)
        result->tier = TANDEM_TIER_LOADER;
    return status;
}

int tier_delete(tandem_cache *cache, const char *key, size_t key_length, int flags,
                tandem_result *result)
{
    struct change c = {.key = key, .key_length = key_length};

    return change(cache, &c, flags, result);
}

/* -- On the I/O thread --------------------------------------------------------------------------- */

enum write_verdict write_judge(const struct redis_op *op)
{
    switch (op->status) {
    case REDIS_DONE:
    case REDIS_ABSENT:
        return WRITE_APPLIED;
    case REDIS_UNSENT:
    case REDIS_REFUSED:
        return WRITE_NOT_APPLIED;
    case REDIS_TIMEOUT:
        return op->may_have_run ? WRITE_UNCERTAIN : WRITE_NOT_APPLIED;
    default:
        return WRITE_UNCERTAIN;
    }
}

static int drop(struct tier *tier, const struct redis_op *op)
{
    return memory_drop(tier->memory, op->key, op->key_length, clock_now_ms(), MEMORY_LOCK_IO_US);
}

static void deleted(struct tier *tier, struct request *r, struct outcome *outcome)
{
    struct redis_op *op = &r->op;
    bool was_in_memory = drop(tier, op) == MEMORY_OK;

    if (op->integer == 0) {
        if (!was_in_memory)
            outcome->status = TANDEM_MISS;
        tracking_tell_absent(tier, op->key, op->key_length);
    }
}

/* With a link the write comes back as a message, before or after this.  So it is stored for as long as it
 * takes to read it back. */
static void stored(struct tier *tier, struct request *r)
{
    struct redis_op *op = &r->op;
    int64_t ttl_ms = op->ttl_ms > 0 ? op->ttl_ms : -1;
    bool confirm = r->rules.tracking && tracking_may_report(tier, op);
    bool leased = confirm && tracking_covers(tier, op);
    struct memory_attributes a =
        confirm
            ? freshness_provisional(&r->rules, op->sent_ms, ttl_ms, leased, r->rules.provisional_ms)
            : freshness_attributes(&r->rules, op->sent_ms, ttl_ms, false);
    struct tags tags;

    if (r->rules.tracking && !tracking_trusts(tier, op)) {
        memory_count(tier->memory, COUNT_TRACKING_STRANGERS, 1);
        drop(tier, op);
        return;
    }
    tags_attach(tier, TAGS_NAMES, op->tags, op->tags_length, r->token.tags, &tags, &a);
    /* Refused, or too large: then memory has dropped it and Redis will be asked. */
    if (memory_commit(tier->memory, op->key, op->key_length, op->value, op->value_length, &a,
                      &r->token, MEMORY_LOCK_IO_US) == MEMORY_OK &&
        confirm)
        readback_later(tier, op->key, op->key_length, &r->rules);
}

static void applied(struct tier *tier, struct request *r, struct outcome *outcome)
{
    outcome->status = TANDEM_OK;
    outcome->tier = r->loaded ? TANDEM_TIER_LOADER : TANDEM_TIER_NONE;
    if (r->op.kind == REDIS_DELETE) {
        deleted(tier, r, outcome);
    } else if (r->op.status == REDIS_ABSENT) {
        outcome->status = TANDEM_MISS;
        outcome->tier = r->op.overtaken ? TANDEM_TIER_NONE : TANDEM_TIER_REDIS;
    } else {
        stored(tier, r);
    }
}

static void not_applied(struct tier *tier, struct request *r, struct outcome *outcome)
{
    struct redis_op *op = &r->op;
    struct loaded loaded = {.token = r->token};
    struct change c = {.key = op->key,
                       .key_length = op->key_length,
                       .value = op->value,
                       .value_length = op->value_length,
                       .ttl_ms = op->ttl_ms,
                       .tags = op->tags,
                       .tags_length = op->tags_length,
                       .loaded = r->loaded ? &loaded : NULL,
                       .token = &r->token};
    const char *missing = NULL;

    if (r->degrade)
        missing = missing_because(change_memory(tier, &c, &r->rules, MEMORY_LOCK_IO_US));
    if (r->degrade && !missing)
        request_degrade(r, remember(tier, &c, r->replay_deletes, MEMORY_LOCK_IO_US), outcome);
    else
        request_fail(r, missing, outcome);
}

void write_done(struct tier *tier, struct request *r)
{
    struct outcome outcome = {0};

    if (tier->tags && (r->op.status == REDIS_DONE || r->op.status == REDIS_ABSENT))
        memory_tag_see(tier->memory, r->op.time_us);
    switch (write_judge(&r->op)) {
    case WRITE_APPLIED:
        applied(tier, r, &outcome);
        break;
    case WRITE_NOT_APPLIED:
        not_applied(tier, r, &outcome);
        break;
    case WRITE_UNCERTAIN:
        drop(tier, &r->op);
        request_fail(r, "; whether the write took place is unknown", &outcome);
        break;
    }
    behind_end(&tier->behind, r->behind);
    request_finish(r, &outcome);
}
