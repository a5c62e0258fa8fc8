#include "tier/tracking.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "tier/office.h"
#include "tier/process.h"
#include "tier/readback.h"
#include "tier/request.h"

#define CANARY RESERVED "canary"

enum {
    PAUSE_MS = 30000, /* after a server has refused to track */
    BEGIN_MS = 5      /* how often a new link looks whether its cover may count */
};

void tracking_init(struct tracking *t)
{
    t->place = -1;
    t->born_ms = clock_now_ms();
    readback_init(&t->readback);
}

void tracking_want(struct tier *tier, int64_t max_stale_ms)
{
    _Atomic int64_t *least = &tier->tracking.max_stale_ms;
    int64_t seen = atomic_load_explicit(least, memory_order_relaxed);

    while (max_stale_ms && (!seen || max_stale_ms < seen) &&
           !atomic_compare_exchange_weak_explicit(least, &seen, max_stale_ms, memory_order_relaxed,
                                                  memory_order_relaxed))
        ;
    if (max_stale_ms && tier->client)
        redis_client_identify(tier->client);
}

void tracking_after_fork(struct tier *tier)
{
    int64_t max_stale_ms = office_max_stale(tier);

    /* What is lost of the parent's readbacks is a few keys' worth of memory. */
    memset(&tier->tracking, 0, sizeof(tier->tracking));
    if (tier->lanes)
        lanes_are_gone(tier);
    tracking_init(&tier->tracking);
    tracking_want(tier, max_stale_ms);
    if (max_stale_ms)
        memory_born(tier->memory, tier->tracking.born_ms);
}

bool tracking_is_live(const struct tier *tier, int64_t now_ms)
{
    return now_ms < memory_lease(tier->memory) && now_ms > memory_lease_since(tier->memory);
}

bool tracking_covers_since(const struct tier *tier, int64_t since_ms)
{
    return tracking_is_live(tier, clock_now_ms()) && since_ms > memory_lease_since(tier->memory);
}

bool tracking_covers(const struct tier *tier, const struct redis_op *op)
{
    return tier->lanes ? lanes_cover(tier, redis_op_lane(op), op->sent_ms)
                       : tracking_covers_since(tier, op->sent_ms);
}

bool tracking_trusts(const struct tier *tier, const struct redis_op *op)
{
    if (tier->lanes)
        return lanes_trust(tier, redis_op_lane(op), op->server);
    return !tracking_is_live(tier, clock_now_ms()) || memory_server_fits(tier->memory, op->server);
}

bool tracking_may_report(const struct tier *tier, const struct redis_op *op)
{
    if (!office_max_stale(tier))
        return false;
    if (atomic_load_explicit(&tier->tracking.trouble_kind, memory_order_relaxed) == TANDEM_OK)
        return true;
    return tier->lanes ? lanes_are_live(tier, redis_op_lane(op), clock_now_ms())
                       : tracking_is_live(tier, clock_now_ms());
}

void tracking_attend(struct tier *tier)
{
    if (!atomic_exchange_explicit(&tier->tracking.attends, true, memory_order_relaxed) &&
        office_max_stale(tier))
        redis_client_attend(tier->client);
}

/* -- Trouble --------------------------------------------------------------------------------------- */

static void note_trouble(struct tracking *t, int kind, const char *why)
{
    process_lock();
    snprintf(t->trouble, sizeof(t->trouble), "%s", why);
    process_unlock();
    atomic_store_explicit(&t->trouble_kind, kind, memory_order_release);
}

int tracking_trouble(struct tier *tier, char *text, size_t size)
{
    struct tracking *t = &tier->tracking;
    int kind = atomic_load_explicit(&t->trouble_kind, memory_order_acquire);

    snprintf(text, size, "%s", "");
    if (kind == TANDEM_OK || tracking_is_live(tier, clock_now_ms()))
        return TANDEM_OK;
    process_lock();
    snprintf(text, size, "%s", t->trouble);
    process_unlock();
    return kind;
}

/* -- The link -------------------------------------------------------------------------------------- */

static void set_begun(struct tier *tier, bool begun)
{
    struct tracking *t = &tier->tracking;

    t->begun = begun;
    if (t->place >= 0)
        memory_place_begun(tier->memory, t->place, t->owner, begun ? t->since_ms : 0);
}

void tracking_link_is_gone(struct tier *tier)
{
    struct tracking *t = &tier->tracking;

    if (t->begun)
        set_begun(tier, false);
    t->since_ms = t->alive_ms = t->canary_since_ms = t->prove_by_ms = 0;
    t->proven = false;
    if (tier->lanes)
        lanes_are_gone(tier);
}

/* Since when its message can come.  0: its lane has no link yet. */
static int64_t canary_since(const struct tier *tier)
{
    if (!tier->lanes)
        return tier->tracking.since_ms;
    return redis_covers(tier->client)[lanes_of(tier, CANARY, sizeof(CANARY) - 1)].since_ms;
}

static void send_canary(struct tier *tier)
{
    struct request *r = request_internal(FOR_CANARY, REDIS_SET, CANARY, sizeof(CANARY) - 1);

    tier->tracking.canary_since_ms = canary_since(tier);
    if (r && !request_set_value(r, "1", 1)) {
        redis_op_free(&r->op);
        r = NULL;
    }
    if (r)
        r->op.ttl_ms = 1; /* a message is all that it is for */
    if (!request_submit_internal(tier, r))
        tier->tracking.proven = true; /* what cannot be proved is believed: the server said so */
}

static void refused(struct tier *tier, const char *why, int64_t now_ms)
{
    struct tracking *t = &tier->tracking;

    note_trouble(t, TANDEM_EREDIS, why);
    t->pause_until_ms = now_ms + PAUSE_MS;
    redis_want_link(tier->client, false, office_beat(tier));
    memory_count(tier->memory, COUNT_TRACKING_LOST, 1);
    tracking_link_is_gone(tier);
}

/* How far this link has reported. */
static void report(struct tier *tier)
{
    struct tracking *t = &tier->tracking;

    if (tier->lanes) {
        lanes_report(tier);
        return;
    }
    if (t->begun && t->alive_ms &&
        !memory_link_covers(tier->memory, t->alive_ms, t->alive_ms + office_max_stale(tier),
                            t->server))
        set_begun(tier, false);
}

void tracking_link(void *context, enum redis_link_event event, int64_t at_ms, const char *why)
{
    struct tier *tier = context;
    struct tracking *t = &tier->tracking;

    switch (event) {
    case REDIS_LINK_LIVE:
        tracking_link_is_gone(tier);
        t->since_ms = at_ms;
        t->server = redis_link_server(tier->client);
        t->server_epoch = redis_link_epoch(tier->client);
        memory_count(tier->memory, COUNT_TRACKING_LINKS, 1);
        if (canary_since(tier))
            send_canary(tier);
        break;
    case REDIS_LINK_ALIVE:
        if (tier->lanes)
            tier->lanes->changed = true;
        else
            t->alive_ms = at_ms;
        report(tier);
        break;
    case REDIS_LINK_PARTLY:
        note_trouble(t, TANDEM_MISS, why);
        memory_count(tier->memory, COUNT_TRACKING_LOST, 1);
        break;
    case REDIS_LINK_LOST:
        note_trouble(t, TANDEM_MISS, why);
        memory_count(tier->memory, COUNT_TRACKING_LOST, 1);
        tracking_link_is_gone(tier);
        break;
    case REDIS_LINK_REFUSED:
        refused(tier, why, clock_now_ms());
        break;
    }
}

void tracking_invalidate(void *context, const char *key, size_t key_length)
{
    struct tier *tier = context;
    struct tracking *t = &tier->tracking;

    /* Not by any key: one that came over the cache's own channel says nothing of tracking. */
    if (!key || (key_length == sizeof(CANARY) - 1 && memcmp(key, CANARY, key_length) == 0))
        t->proven = true;
    if (!key) {
        memory_epoch_bump(tier->memory);
        memory_count(tier->memory, COUNT_TRACKING_FLUSHES, 1);
        return;
    }
    if (tier->tags && tags_hear(tier, key, key_length)) {
        memory_count(tier->memory, COUNT_TRACKING_MESSAGES, 1);
        return;
    }
    if (reserved_is(key, key_length)) {
        fleet_hear(tier, key, key_length);
        return;
    }
    if (key_length > MEMORY_KEY_MAX || key_length == 0)
        return;
    memory_invalidate(tier->memory, key, key_length, MEMORY_LOCK_IO_US);
    memory_count(tier->memory, COUNT_TRACKING_MESSAGES, 1);
}

/* A message that the canary has not brought, though a link was there for it all the time. */
static void found_dead(struct tier *tier, int64_t now_ms)
{
    char why[200];

    snprintf(why, sizeof(why), "%s: tracking was accepted, but no message has come",
             redis_client_server(tier->client));
    refused(tier, why, now_ms);
}

/* Waits for the canary.  Where there are lanes its own may have no link for long, and the others need not wait for
 * that: what cannot be proved is believed. */
static void prove(struct tier *tier, int64_t now_ms)
{
    struct tracking *t = &tier->tracking;
    int64_t since_ms = canary_since(tier);

    if (!t->canary_since_ms && since_ms)
        send_canary(tier);
    else if (since_ms != t->canary_since_ms ||
             (!since_ms && now_ms - t->since_ms > office_beat(tier)))
        t->proven = true;
    else if (t->prove_by_ms && now_ms >= t->prove_by_ms)
        found_dead(tier, now_ms);
}

/* Is it to a server that has taken the place of the tracked one? */
static bool replaces(const struct tier *tier)
{
    const struct tracking *t = &tier->tracking;

    return t->server_epoch > memory_server_epoch(tier->memory) &&
           !memory_server_fits(tier->memory, t->server);
}

static bool has_to_begin(const struct tier *tier)
{
    return !tier->tracking.begun || (tier->lanes && tier->lanes->changed);
}

/* Each lane in its turn, as follows for one link. */
static void begin_lanes(struct tier *tier, int64_t now_ms)
{
    tier->lanes->changed = false;
    set_begun(tier, lanes_begin(tier, now_ms));
    if (lanes_have_all_begun(tier))
        atomic_store_explicit(&tier->tracking.trouble_kind, TANDEM_OK, memory_order_release);
    report(tier);
}

/* A link's cover counts from when it overlaps what was covered before.  Another link that has begun will
 * have covered our beginning by its next heartbeat; where none has, there was a gap.  So there was if the
 * other one reports of another server: then it is waited for until it has gone, unless that server has been
 * replaced by ours, of which the other process has not heard yet. */
static void begin_cover(struct tier *tier, int64_t now_ms)
{
    struct tracking *t = &tier->tracking;

    if (!t->since_ms || !has_to_begin(tier) || (t->place < 0 && !t->leaving_since_ms))
        return;
    if (!t->proven)
        prove(tier, now_ms);
    if (!t->proven)
        return;
    if (tier->lanes) {
        begin_lanes(tier, now_ms);
        return;
    }
    if (!memory_link_reaches(tier->memory, t->since_ms, t->server) && !replaces(tier) &&
        memory_lease(tier->memory) > now_ms && office_others_cover(tier, now_ms)) {
        memory_cover_want(tier->memory, t->since_ms);
        return;
    }
    if (!memory_link_begin(tier->memory, t->since_ms, t->server))
        memory_count(tier->memory, COUNT_TRACKING_GAPS, 1);
    memory_server_epoch_set(tier->memory, t->server_epoch);
    set_begun(tier, true);
    atomic_store_explicit(&t->trouble_kind, TANDEM_OK, memory_order_release);
    report(tier);
}

/* -- Requests of our own --------------------------------------------------------------------------- */

void tracking_tell_absent(struct tier *tier, const char *key, size_t key_length)
{
    if (office_max_stale(tier))
        request_submit_internal(tier, request_internal(FOR_NOBODY, REDIS_PUBLISH, key, key_length));
}

void tracking_done(struct tier *tier, struct request *r)
{
    struct tracking *t = &tier->tracking;

    if (r->purpose == FOR_VERIFY)
        readback_done(tier, r);
    if (r->purpose == FOR_CANARY) {
        if (r->op.status == REDIS_DONE)
            t->prove_by_ms = clock_now_ms() + 2 * office_beat(tier);
        else
            t->proven = true;
    }
    redis_op_free(&r->op);
}

/* -- Time ------------------------------------------------------------------------------------------ */

int64_t tracking_tick(void *context, int64_t now_ms)
{
    struct tier *tier = context;
    struct tracking *t = &tier->tracking;
    int64_t next_ms, readback_ms;

    if (!office_max_stale(tier))
        return INT64_MAX;
    if (t->leaving_since_ms) {
        begin_cover(tier, now_ms); /* somebody may wait for it */
        return INT64_MAX;
    }
    readback_ms = readback_tick(tier, now_ms);
    begin_cover(tier, now_ms);
    next_ms = office_tick(tier, now_ms);
    if (readback_ms < next_ms)
        next_ms = readback_ms;
    if (t->since_ms && !t->begun && now_ms + BEGIN_MS < next_ms)
        next_ms = now_ms + BEGIN_MS;
    return next_ms;
}

bool tracking_may_stop(void *context, int64_t now_ms)
{
    return office_may_stop(context, now_ms);
}
