/*
 * read.c: get, exists and ttl: memory while it is fresh, then Redis, then memory past its freshness.
 */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tier/request.h"
#include "tier/result.h"

/* -- On the handle's thread ---------------------------------------------------------------------- */

/* Does memory know the key's own expiry, if that is what is asked? */
static bool tells(enum redis_kind kind, const struct memory_entry *entry)
{
    return kind != REDIS_PTTL || !(entry->attributes.flags & MEMORY_CAPPED);
}

static inline double sooner(double until, int64_t time_ms)
{
    return (double)time_ms < until ? (double)time_ms : until;
}

/* How long the caller may answer from what it got, if it looks whether it has changed.  Only an entry of
 * the segment's present epoch: such a one is there as long as that epoch lasts, whereas an older one may
 * be dropped without any further sign.  Of the lease what is known now is enough: it only grows, and a
 * caller who asks again when that is over learns how far it goes then. */
static inline void say_near(const struct memory_entry *entry, int32_t from, int64_t lease_ms,
                            uint32_t tag_epoch, int64_t left_ms, int64_t now_ms,
                            tandem_result *result)
{
    const struct memory_attributes *a = &entry->attributes;
    double until = a->expires_ms ? (double)a->expires_ms : INFINITY;

    if (from != TANDEM_TIER_MEMORY || !entry->epoch_holds ||
        !memory_near_word(entry->slot, &result->slot))
        return;
    if (left_ms != INT64_MAX)
        until = sooner(until, now_ms + left_ms);
    if ((a->flags & MEMORY_FROM_REDIS) && a->fresh_until_ms)
        until = sooner(until, a->fresh_until_ms);
    if (a->flags & MEMORY_LEASED)
        until = sooner(until, lease_ms);
    result->fresh_until = until;
    result->version = entry->version;
    result->epoch = a->epoch + tag_epoch;
}

/* What tandem_result says of a TTL: 0 for ever, negative when it is over. */
static inline double ttl_left(int64_t left_ms)
{
    if (left_ms == INT64_MAX)
        return 0;
    return left_ms ? (double)left_ms / 1000 : -0.001;
}

/* Answers with what memory has; found is MEMORY_OK or MEMORY_SMALL. */
static inline int answer(struct tier *tier, enum redis_kind kind, int flags, int found,
                         const struct memory_entry *entry, int32_t from, int64_t now_ms,
                         int64_t lease_ms, uint32_t tag_epoch, int64_t left_ms,
                         tandem_result *result)
{
    result->tier = from;
    if ((entry->attributes.flags & MEMORY_LEASED) &&
        !atomic_load_explicit(&tier->tracking.attends, memory_order_relaxed))
        tracking_attend(tier);
    if (kind == REDIS_GET) {
        result->length = (double)entry->length;
        say_near(entry, from, lease_ms, tag_epoch, left_ms, now_ms, result);
    }
    if (found == MEMORY_SMALL)
        return TANDEM_TOO_SMALL;
    result->ttl = ttl_left(left_ms);
    if (kind == REDIS_PTTL && result->ttl > 0) { /* now_ms is the coarse clock's, which is late */
        result->ttl -= (double)(clock_now_ms() - now_ms) / 1000;
        result->ttl = result->ttl < 0.001 ? 0.001 : result->ttl;
    }
    if (!(flags & TANDEM_AGAIN))
        memory_count(tier->memory,
                     left_ms <= 0                ? COUNT_FETCH_STALE
                     : from == TANDEM_TIER_STALE ? COUNT_MEMORY_STALE
                                                 : COUNT_MEMORY_HITS,
                     1);
    return TANDEM_OK;
}

/* The end of a lookup that found nothing. */
static void missed(struct tier *tier, bool again)
{
    if (!again)
        memory_count(tier->memory, COUNT_MEMORY_LOOKUP_MISSES, 1);
}

/* have: memory has something to answer with, if Redis does not. */
static int ask(tandem_cache *cache, enum redis_kind kind, const char *key, size_t key_length,
               int flags, bool have, tandem_result *result)
{
    struct tier *tier = cache->tier;
    struct request *r;
    int status;

    if (flags & TANDEM_NOWAIT)
        return result_say(result, TANDEM_ENOWAIT,
                          "memory does not have it, and the caller cannot wait for %s",
                          redis_client_server(tier->client));
    status = request_possible(cache, result);
    if (status && !have && kind == REDIS_GET && cache->degrade && redis_has_replica(tier->client)) {
        result_clear(result);
        status = TANDEM_OK;
    }
    /* Of what is kept past its TTL, EXISTS does not say whether it is. */
    if (kind == REDIS_EXISTS && cache->rules.stale_ttl_ms)
        kind = REDIS_PTTL;
    if (!status) {
        r = request_create(cache, kind, key, key_length);
        if (r) {
            r->stale = (flags & TANDEM_STALE) != 0;
            r->again = (flags & TANDEM_AGAIN) != 0;
            r->op.by_replica = !r->again;
            r->op.or_stale = r->degrade;
            memory_token_read(tier->memory, key, key_length, &r->token);
        }
        status = request_submit(cache, r, true, flags, result);
    }
    if (status != TANDEM_PENDING)
        memory_count(tier->memory, COUNT_REDIS_UNANSWERED, 1);
    return status;
}

/* Redis is still to be told of a write of this key: what memory has is newer than what Redis has.  True:
 * it is not to be asked, and status says what memory answers. */
static bool answer_alone(tandem_cache *cache, enum redis_kind kind, const char *key,
                         size_t key_length, int flags, bool have, int found,
                         const struct memory_entry *entry, int64_t now_ms, tandem_result *result,
                         int *status)
{
    struct tier *tier = cache->tier;
    enum memory_replay_kind kept = MEMORY_REPLAY_NONE;

    if (cache->degrade && memory_replay_count(tier->memory))
        kept = replay_reads(tier, key, key_length);
    if (kept == MEMORY_REPLAY_NONE)
        return false;
    *status = TANDEM_MISS;
    /* What has tags is to be deleted in Redis, but memory has it. */
    if (have && (kept == MEMORY_REPLAY_SET || (entry->attributes.flags & MEMORY_TAGGED))) {
        *status = answer(tier, kind, flags, found, entry, TANDEM_TIER_STALE, now_ms, 0, 0,
                         freshness_left(&cache->rules, &entry->attributes, now_ms), result);
    } else {
        memory_count(tier->memory, COUNT_MEMORY_MISSES, 1);
        missed(tier, (flags & TANDEM_AGAIN) != 0);
    }
    return true;
}

static int known_absence(struct tier *tier, int flags, tandem_result *result)
{
    result->tier = TANDEM_TIER_NEGATIVE;
    memory_count(tier->memory, COUNT_FETCH_NEGATIVE, 1);
    missed(tier, (flags & TANDEM_AGAIN) != 0);
    return TANDEM_MISS;
}

static inline int look_up(tandem_cache *cache, enum redis_kind kind, const char *key,
                          size_t key_length, int flags, void *buffer, size_t size,
                          tandem_result *result)
{
    struct tier *tier = cache->tier;
    struct memory_entry entry;
    int64_t now_ms = clock_coarse_ms(), lease_ms = memory_lease(tier->memory);
    uint32_t tag_epoch = memory_tag_epoch(tier->memory); /* as the lease: before the entry */
    int found = MEMORY_ABSENT, status;
    int64_t left_ms = 0;
    bool have;

    if (!tier->client || !behind_has(&tier->behind, key, key_length))
        found = memory_get(tier->memory, key, key_length, now_ms, kind != REDIS_GET, buffer, size,
                           &entry);
    have = (found == MEMORY_OK || found == MEMORY_SMALL) && tells(kind, &entry);
    if (have) {
        bool negative = (entry.attributes.flags & MEMORY_NEGATIVE) != 0, fresh, wanted;

        left_ms = freshness_left(&cache->rules, &entry.attributes, now_ms);
        fresh = left_ms > 0 &&
                (!tier->client || freshness_judge(&entry, lease_ms, now_ms) == FRESHNESS_FRESH);
        if (!fresh && __builtin_expect(left_ms > 0 && tier->lanes, false)) /* not in hits' way */
            fresh = lanes_keep_fresh(tier, key, key_length, &entry, now_ms);
        wanted = fresh || (left_ms <= 0 && kind == REDIS_GET && (flags & TANDEM_STALE));
        if (negative && fresh)
            return known_absence(tier, flags, result);
        if (!negative && wanted)
            return answer(tier, kind, flags, found, &entry,
                          fresh ? TANDEM_TIER_MEMORY : TANDEM_TIER_STALE, now_ms, lease_ms,
                          tag_epoch, left_ms, result);
        have = !negative && left_ms > 0;
    }
    if (tier->client && answer_alone(cache, kind, key, key_length, flags, have, found, &entry,
                                     now_ms, result, &status))
        return status;
    status = tier->client ? ask(cache, kind, key, key_length, flags, have, result) : TANDEM_MISS;
    if (status < 0 && have && cache->degrade) {
        result_clear(result);
        return answer(tier, kind, flags, found, &entry, TANDEM_TIER_STALE, now_ms, lease_ms,
                      tag_epoch, left_ms, result);
    }
    memory_count(tier->memory, COUNT_MEMORY_MISSES, 1);
    if (status != TANDEM_PENDING)
        missed(tier, (flags & TANDEM_AGAIN) != 0);
    return status;
}

int tier_get(tandem_cache *cache, const char *key, size_t key_length, int flags, void *buffer,
             size_t size, tandem_result *result)
{
    char nothing;

    /* To memory no buffer means that the value is not wanted. */
    return look_up(cache, REDIS_GET, key, key_length, flags, buffer ? buffer : &nothing,
                   buffer ? size : 0, result);
}

int tier_exists(tandem_cache *cache, const char *key, size_t key_length, int flags,
                tandem_result *result)
{
    return look_up(cache, REDIS_EXISTS, key, key_length, flags, NULL, 0, result);
}

int tier_ttl(tandem_cache *cache, const char *key, size_t key_length, int flags,
             tandem_result *result)
{
    return look_up(cache, REDIS_PTTL, key, key_length, flags, NULL, 0, result);
}

/* -- On the I/O thread --------------------------------------------------------------------------- */

/* Redis has no such key: an entry that memory still has must not be served as stale later, unless it
 * came after the question.  One that came in the last instant may be deleted too: only a loss. */
static void forget(struct tier *tier, const struct request *r)
{
    int64_t now_ms = clock_now_ms();
    struct memory_entry entry;
    struct memory_token now;

    if (memory_get(tier->memory, r->op.key, r->op.key_length, now_ms, true, NULL, 0, &entry) !=
        MEMORY_OK)
        return;
    memory_token_read(tier->memory, r->op.key, r->op.key_length, &now);
    if (now.epoch == r->token.epoch && now.inval == r->token.inval && now.wseq == r->token.wseq)
        memory_delete(tier->memory, r->op.key, r->op.key_length, now_ms, MEMORY_LOCK_IO_US);
}

static void take_value(struct tier *tier, struct request *r, struct outcome *outcome)
{
    struct redis_op *op = &r->op;
    struct memory_attributes a =
        freshness_attributes(&r->rules, op->sent_ms, op->pttl_ms, tracking_covers(tier, op));
    struct tags tags;

    tags_attach(tier, TAGS_LIST, op->list, op->list_length, r->token.tags, &tags, &a);
    /* It was there when GET ran and had gone, or was going, when PTTL did. */
    if (op->pttl_ms == -2 || op->pttl_ms == 0)
        forget(tier, r);
    else if (r->rules.tracking && !tracking_trusts(tier, op))
        memory_count(tier->memory, COUNT_TRACKING_STRANGERS, 1);
    else
        memory_fill(tier->memory, op->key, op->key_length, op->reply ? op->reply : "",
                    op->reply_length, &a, &r->token, MEMORY_LOCK_IO_US);
    outcome->bytes = op->reply;
    outcome->length = op->reply_length;
    op->reply = NULL;
}

/* What is left of its TTL, of a key that Redis has. */
static int64_t left_in_redis(const struct request *r)
{
    const struct redis_op *op = &r->op;

    return op->kind == REDIS_EXISTS || op->pttl_ms < 0 ? INT64_MAX
                                                       : op->pttl_ms - r->rules.stale_ttl_ms;
}

static void answered(struct tier *tier, struct request *r, struct outcome *outcome)
{
    struct redis_op *op = &r->op;
    bool present = op->status == REDIS_DONE, past;
    enum memory_counter row;

    if (op->list_length && (tags_are_awaited(tier, op->list, op->list_length) ||
                            !tags_hold(tier, TAGS_LIST, op->list, op->list_length, r->token.tags)))
        present = false;
    else if (op->status == REDIS_ABSENT && op->time_us)
        memory_tag_see(tier->memory, op->time_us);
    if (present && op->kind == REDIS_EXISTS)
        present = op->integer != 0;
    else if (present && op->kind == REDIS_PTTL)
        present = op->pttl_ms != -2;
    past = present && r->rules.stale_ttl_ms && left_in_redis(r) <= 0;
    row = present && !past ? COUNT_REDIS_HITS : COUNT_REDIS_MISSES;
    if (past && op->kind == REDIS_GET && r->stale)
        row = COUNT_FETCH_STALE;
    if (!r->again)
        memory_count(tier->memory, row, 1);
    if (!present) {
        forget(tier, r);
        outcome->status = TANDEM_MISS;
        return;
    }
    outcome->status = TANDEM_OK;
    outcome->tier = past ? TANDEM_TIER_STALE : TANDEM_TIER_REDIS;
    outcome->ttl = op->kind == REDIS_EXISTS ? 0 : ttl_left(left_in_redis(r));
    if (op->kind == REDIS_GET)
        take_value(tier, r, outcome);
    if (past && !(op->kind == REDIS_GET && r->stale)) {
        outcome_free(outcome);
        outcome->length = 0;
        outcome->tier = TANDEM_TIER_NONE;
        outcome->status = TANDEM_MISS;
    }
}

/* The value that memory has, however old.  False: none, or no memory for the copy. */
static bool copy_value(struct tier *tier, const struct request *r, int64_t now_ms,
                       struct memory_entry *entry, struct outcome *outcome)
{
    size_t size = entry->length;
    int found = MEMORY_SMALL;
    char *bytes = NULL, *larger;

    for (int i = 0; found == MEMORY_SMALL && i < 4; i++) {
        larger = alloc_resize(bytes, size);
        if (!larger)
            break;
        bytes = larger;
        found =
            memory_get(tier->memory, r->op.key, r->op.key_length, now_ms, true, bytes, size, entry);
        size = entry->length;
    }
    if (found != MEMORY_OK) {
        alloc_free(bytes);
        return false;
    }
    outcome->bytes = bytes;
    outcome->length = size;
    return true;
}

/* Does memory have an answer, Redis having failed? */
static bool fall_back(struct tier *tier, const struct request *r, struct outcome *outcome)
{
    int64_t now_ms = clock_now_ms(), lease_ms = memory_lease(tier->memory), left_ms;
    struct memory_entry entry;

    /* With a value of another type there Redis did say that the old value is no more. */
    if (!r->degrade || (r->op.status == REDIS_REFUSED && strstr(r->op.error, "WRONGTYPE")))
        return false;
    if (memory_get(tier->memory, r->op.key, r->op.key_length, now_ms, true, NULL, 0, &entry) !=
            MEMORY_OK ||
        !tells(r->op.kind, &entry) || (entry.attributes.flags & MEMORY_NEGATIVE))
        return false;
    left_ms = freshness_left(&r->rules, &entry.attributes, now_ms);
    if (left_ms <= 0 && !(r->op.kind == REDIS_GET && r->stale))
        return false;
    if (r->op.kind == REDIS_GET && !copy_value(tier, r, now_ms, &entry, outcome))
        return false;
    outcome->status = TANDEM_OK;
    outcome->tier = TANDEM_TIER_STALE;
    if (tier_is_fresh(tier, r->op.key, r->op.key_length, &entry, lease_ms, now_ms))
        outcome->tier = TANDEM_TIER_MEMORY;
    outcome->ttl = ttl_left(left_ms);
    if (!r->again)
        memory_count(tier->memory,
                     outcome->tier == TANDEM_TIER_STALE ? COUNT_MEMORY_STALE : COUNT_MEMORY_HITS,
                     1);
    return true;
}

/* Its master being away, a replica has answered.  That is not kept: of a change that it lacks we may have been told
 * already.  What memory has goes first: it may be what this host has written since. */
static void take_from_replica(struct tier *tier, struct request *r, struct outcome *outcome)
{
    bool past = r->rules.stale_ttl_ms && left_in_redis(r) <= 0;

    if (fall_back(tier, r, outcome))
        return;
    if (past && !r->stale) {
        request_fail(r, NULL, outcome);
        return;
    }
    if (!r->again)
        memory_count(tier->memory, past ? COUNT_FETCH_STALE : COUNT_REDIS_HITS, 1);
    outcome->status = TANDEM_OK;
    outcome->tier = TANDEM_TIER_STALE;
    outcome->ttl = ttl_left(left_in_redis(r));
    outcome->bytes = r->op.reply;
    outcome->length = r->op.reply_length;
    r->op.reply = NULL;
}

void read_done(struct tier *tier, struct request *r)
{
    struct outcome outcome = {0};

    if (r->op.status == REDIS_DONE || r->op.status == REDIS_ABSENT) {
        answered(tier, r, &outcome);
    } else if (r->op.status == REDIS_REPLICA) {
        take_from_replica(tier, r, &outcome);
    } else {
        memory_count(tier->memory, COUNT_REDIS_UNANSWERED, 1);
        if (!fall_back(tier, r, &outcome))
            request_fail(r, NULL, &outcome);
    }
    if (outcome.status != TANDEM_OK)
        missed(tier, r->again);
    request_finish(r, &outcome);
}
