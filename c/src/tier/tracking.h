/*
 * tracking.h: keeping memory coherent with what other hosts write to Redis.
 *
 * The processes that share a segment share two places for tracking links; whoever holds a place keeps a
 * link, and every message is applied to the segment by the I/O thread that receives it.  How far the links
 * have reported is the lease of the segment: entries from Redis are fresh as long as it runs.
 *
 * An own write comes back as a message too, mostly before its acknowledgement has been handled.  So it is
 * stored provisionally, for a short time, and read back on the same connection: what the answer says, if
 * nothing happened meanwhile, is stored for good.
 *
 * The hooks and what comes after them are for the I/O thread.
 */
#ifndef TANDEM_TIER_TRACKING_H
#define TANDEM_TIER_TRACKING_H

#include "redis/redis.h"
#include "tier/freshness.h"
#include "tier/readback.h"

struct tier;
struct request;

struct tracking {
    _Atomic int64_t max_stale_ms; /* 0: no handle wants tracking */

    uint64_t owner;  /* this process with this tier; 0: does not attend yet */
    int64_t born_ms; /* when this process got it */
    int64_t attending_since_ms, next_ms;
    int place;              /* -1: none */
    int64_t pause_until_ms; /* after a refusal */

    int64_t since_ms, alive_ms; /* what the link covers; since 0: there is no link */
    uint64_t server;            /* which one the link is to; 0: it cannot be told */
    uint64_t server_epoch;      /* as redis_link_epoch */
    bool proven;                /* a message has come over it */
    int64_t canary_since_ms;    /* the cover under which the canary was sent; 0: it was not yet */
    int64_t prove_by_ms;        /* 0: it has not been answered yet */
    bool begun;                 /* its cover counts */
    _Atomic int trouble_kind;   /* what tracking_trouble answers: TANDEM_OK, _MISS, _EREDIS */
    char trouble[200];          /* process lock: the last loss or refusal */
    _Atomic bool attends;       /* the I/O thread was asked to look after this */

    struct readback readback;
    int64_t leaving_since_ms;
};

void tracking_init(struct tracking *tracking);

/* A handle wants tracking with this max_stale: the least of those that do holds. */
void tracking_want(struct tier *tier, int64_t max_stale_ms);

/* In a child: links, places and verifies are the parent's. */
void tracking_after_fork(struct tier *tier);

/* Does the lease run?  (Where there are lanes: those of all.) */
bool tracking_is_live(const struct tier *tier, int64_t now_ms);

/* This process answers from memory under the lease: so it does its part for that, even if it never asks
 * Redis itself. */
void tracking_attend(struct tier *tier);

/* As tandem_tracking_trouble. */
int tracking_trouble(struct tier *tier, char *text, size_t size);

/* Is what Redis answered to this operation fresh as long as the lease runs? */
bool tracking_covers(const struct tier *tier, const struct redis_op *op);

/* The same of what was made from what there was then, whatever lane it is in: of an absence, which may end in
 * another one's. */
bool tracking_covers_since(const struct tier *tier, int64_t since_ms);

/* Is the server that answered, as far as that can be told, the one whose changes are reported?  What another one
 * answers is not to be kept: nobody would tell when it changes. */
bool tracking_trusts(const struct tier *tier, const struct redis_op *op);

/* May a write of ours come back as a message?  So it does already while a link is being made that does not
 * cover anything yet. */
bool tracking_may_report(const struct tier *tier, const struct redis_op *op);

/* The hooks of the redis room. */
void tracking_invalidate(void *context, const char *key, size_t key_length);
void tracking_link(void *context, enum redis_link_event event, int64_t at_ms, const char *why);
int64_t tracking_tick(void *context, int64_t now_ms);
bool tracking_may_stop(void *context, int64_t now_ms);

/* There is no link any more. */
void tracking_link_is_gone(struct tier *tier);

/* Redis had no such key to delete: then tracking says nothing, and whoever is about to store it elsewhere
 * has to be told otherwise. */
void tracking_tell_absent(struct tier *tier, const char *key, size_t key_length);

/* The completion of the requests made here. */
void tracking_done(struct tier *tier, struct request *request);

#endif
