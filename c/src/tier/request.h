/*
 * request.h: one operation on its way to Redis and back.  Private to the tier room.
 *
 * Made on the handle's thread; from an accepted request_submit() on it is the I/O thread's, which frees
 * it when it is done.
 */
#ifndef TANDEM_TIER_REQUEST_H
#define TANDEM_TIER_REQUEST_H

#include <stddef.h>

#include "tier/tier.h"

/* Who wants it: a caller, tracking.c, or replay.c. */
enum request_purpose { FOR_CALLER, FOR_CANARY, FOR_VERIFY, FOR_NOBODY, FOR_REPLAY };

struct request {
    struct redis_op op; /* first, so that redis_op_free frees the whole */
    enum request_purpose purpose;
    int tries;                   /* FOR_VERIFY */
    struct memory_replay replay; /* FOR_REPLAY */
    struct mailbox_slip slip;
    struct memory_token token; /* of before it was queued */
    struct freshness_rules rules;
    bool degrade, replay_deletes;
    bool stale;      /* a read that also wants what is past its TTL */
    bool again;      /* a read that is part of a lookup that was counted */
    bool loaded;     /* a write of what a loader made */
    double flight;   /* whose lock is asked for */
    unsigned behind; /* what behind_begin said, or BEHIND_NONE */
};

_Static_assert(offsetof(struct request, op) == 0, "redis_op_free frees a request");

/* With a copy of the key (NULL: none).  NULL: no memory. */
struct request *request_create(const tandem_cache *cache, enum redis_kind kind, const char *key,
                               size_t key_length);

/* One that no caller asked for.  NULL: no memory. */
struct request *request_internal(enum request_purpose purpose, enum redis_kind kind,
                                 const char *key, size_t key_length);

/* A number that nobody else has, never 0. */
uint64_t request_draw_owner(void);

/* Gives it a copy of a value.  False: no memory. */
bool request_set_value(struct request *request, const void *value, size_t value_length);

/* And of what it is tagged with.  False: no memory. */
bool request_set_tags(struct request *request, const char *names, size_t length);

/* Submits it, with a ticket unless nobody is to wait for it.  TANDEM_PENDING: accepted, and
 * result.ticket says its ticket; an error: it was freed, result.error says why.  request NULL: the
 * error is that there was no memory for it. */
int request_submit(tandem_cache *cache, struct request *request, bool ticket, int flags,
                   tandem_result *result);

/* Submits one that no caller asked for, or frees it.  NULL is refused, too. */
bool request_submit_internal(struct tier *tier, struct request *request);

/* TANDEM_ECONN with the reason in result.error when the breaker is open; else TANDEM_OK. */
int request_possible(tandem_cache *cache, tandem_result *result);

/* Hands the outcome over and frees the request.  I/O thread. */
void request_finish(struct request *request, struct outcome *outcome);

/* What tandem_take answers for an operation that failed, its sentence with an addition (NULL: none)
 * put into the outcome.  I/O thread. */
int request_fail(const struct request *request, const char *addition, struct outcome *outcome);

/* As request_fail, of a write that was done in memory alone: what became of it goes before the sentence. */
void request_degrade(const struct request *request, const char *what, struct outcome *outcome);

/* -- Writes, for write.c and atomic.c ------------------------------------------------------------ */

/* Queues a write with nobody to wait: TANDEM_OK, or as request_submit. */
int write_submit_behind(tandem_cache *cache, struct request *request, const char *key,
                        size_t key_length, int flags, tandem_result *result);

/* What a loader made its value from. */
struct loaded {
    struct memory_token token;
    uint64_t seen_us; /* the server's clock, at the latest */
    bool first;       /* Redis had none: only if it has none yet */
};

/* As tier_set, of what a loader made: if the key and its tags are still as they were.  TANDEM_MISS, with
 * TANDEM_TIER_REDIS: Redis has got one. */
int write_loaded(tandem_cache *cache, const char *key, size_t key_length, const void *value,
                 size_t value_length, int64_t ttl_ms, const char *tags, size_t tags_length,
                 const struct loaded *loaded, int flags, tandem_result *result);

/* Has Redis done it?  I/O thread. */
enum write_verdict { WRITE_APPLIED, WRITE_NOT_APPLIED, WRITE_UNCERTAIN };
enum write_verdict write_judge(const struct redis_op *op);

/* The completions, one for each file that submits.  I/O thread. */
void read_done(struct tier *tier, struct request *request);
void write_done(struct tier *tier, struct request *request);
void atomic_done(struct tier *tier, struct request *request);
void scan_done(struct tier *tier, struct request *request);

#endif
