/*
 * tier.h: the face of the tier room: decisions that need both memory and Redis.
 *
 * A tier is one segment together with one Redis client (or none); the process has one for each identity
 * and connection.  A handle (tandem_cache) is one caller's way in, with that caller's rules.
 *
 * Who runs what: the functions below run on the handle's thread.  tier_done, tier_count, tier_took and tier_gone
 * are the redis room's hooks and run on the I/O thread; they touch the tier, its segment, and the core
 * of the mailbox that the operation came through, never a handle.  So a request carries a copy of its
 * handle's rules.
 */
#ifndef TANDEM_TIER_TIER_H
#define TANDEM_TIER_TIER_H

#include "base/reserved.h"
#include "memory/memory.h"
#include "redis/redis.h"
#include "tandem.h"
#include "tier/behind.h"
#include "tier/flights.h"
#include "tier/freshness.h"
#include "tier/lanes.h"
#include "tier/mailbox.h"
#include "tier/replay.h"
#include "tier/tags.h"
#include "tier/tracking.h"

struct tier {
    struct tier *next; /* the registry's; process lock */
    unsigned handles;  /* process lock */
    bool attached;     /* to a segment that was found by its file: nobody joins this one */
    struct memory *memory;
    struct redis_client *client; /* NULL: memory only */
    bool tags;                   /* values may have some */
    char *identity;
    uint64_t connection[2]; /* what hash the connection's settings have, secrets included */
    struct behind behind;
    struct tracking tracking;
    struct tier_lanes *lanes; /* NULL: one server at a time, and none */
    struct replay replay;
    struct flights flights;
};

struct tandem_cache {
    struct tier *tier;
    tandem_mailbox *mailbox;
    struct freshness_rules rules;
    int64_t timeout_ms, connect_timeout_ms;
    bool degrade;        /* on a Redis error: carry on in memory */
    bool replay_deletes; /* what was written meanwhile is only deleted in Redis when it is back */
    bool write_behind;   /* nobody waits for writes */
    struct memory_near near; /* claimed by the process of near_generation, if that is not 0 */
    unsigned near_generation;
    int64_t near_retry_ms; /* not before that: all were claimed */
    bool corked;           /* something was queued that the I/O thread was not woken for */
};

/* These say what the functions of the same name in tandem.h say, whose arguments were checked before. */
int tier_get(tandem_cache *cache, const char *key, size_t key_length, int flags, void *buffer,
             size_t size, tandem_result *result);
int tier_exists(tandem_cache *cache, const char *key, size_t key_length, int flags,
                tandem_result *result);
int tier_ttl(tandem_cache *cache, const char *key, size_t key_length, int flags,
             tandem_result *result);
int tier_set(tandem_cache *cache, const char *key, size_t key_length, const void *value,
             size_t value_length, int64_t ttl_ms, int flags, tandem_result *result);
int tier_set_tagged(tandem_cache *cache, const char *key, size_t key_length, const void *value,
                    size_t value_length, int64_t ttl_ms, const char *tags, size_t tags_length,
                    int flags, tandem_result *result);
int tier_delete(tandem_cache *cache, const char *key, size_t key_length, int flags,
                tandem_result *result);
int tier_set_many(tandem_cache *cache, tandem_item *items, size_t count, int64_t ttl_ms,
                  tandem_result *result);
int tier_delete_many(tandem_cache *cache, tandem_item *items, size_t count, tandem_result *result);
int tier_add(tandem_cache *cache, const char *key, size_t key_length, const void *value,
             size_t value_length, int64_t ttl_ms, int flags, tandem_result *result);
int tier_replace(tandem_cache *cache, const char *key, size_t key_length, const void *value,
                 size_t value_length, int64_t ttl_ms, int flags, tandem_result *result);
int tier_incr(tandem_cache *cache, const char *key, size_t key_length, double by, double init,
              int64_t ttl_ms, int flags, tandem_result *result);
int tier_expire(tandem_cache *cache, const char *key, size_t key_length, int64_t ttl_ms, int flags,
                tandem_result *result);
int tier_peek(tandem_cache *cache, const char *key, size_t key_length, int flags, void *buffer,
              size_t size, tandem_result *result);
/* kind: REDIS_SCAN or REDIS_SCAN_UNLINK. */
int tier_scan(tandem_cache *cache, enum redis_kind kind, const char *cursor, size_t cursor_length,
              const char *glob, size_t glob_length, int flags, tandem_result *result);

/* Wakes the I/O thread if something that this handle queued still waits for that. */
void tier_uncork(tandem_cache *cache);

/* Is an entry fresh?  lease_ms: the lease as it was read before the entry. */
static inline bool tier_is_fresh(struct tier *tier, const char *key, size_t key_length,
                                 struct memory_entry *entry, int64_t lease_ms, int64_t now_ms)
{
    return freshness_judge(entry, lease_ms, now_ms) == FRESHNESS_FRESH ||
           (tier->lanes && lanes_keep_fresh(tier, key, key_length, entry, now_ms));
}

/* Frees a tier without client. */
void tier_free(struct tier *tier);

/* The hooks; context is the tier.  Those of the link are in tracking.h. */
void tier_done(void *context, struct redis_op *op);
int64_t tier_tick(void *context, int64_t now_ms);
void tier_count(void *context, enum redis_counter counter, uint64_t n);
void tier_took(void *context, int64_t ns);
int64_t tier_may_try(void *context, int64_t since_ms, int64_t now_ms, uint32_t random);
void tier_gone(void *context);

#endif
