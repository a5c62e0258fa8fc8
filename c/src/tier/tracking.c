#include "tier/tracking.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tier/process.h"
#include "tier/request.h"

#define CANARY TIER_RESERVED "canary"

enum {
    SILENT_MS =
        1000,       /* whoever is not heard of so long loses its place; less if max_stale is less */
    BEAT_MS = 1000, /* heartbeat of a link; less if a quarter of max_stale is less */
    PROCESS_MS = 250, /* how often places are looked at */
    YOUNG_MS = 1000,  /* younger processes take only what nobody else has */
    PAUSE_MS = 30000, /* after a server has refused to track */
    LEAVE_MS = 1000,  /* how long one waits for a successor */
    VERIFY_MS = 2,    /* writes are read back this long after their acknowledgement */
    VERIFIES = 20000, /* at a time; a write beyond that just expires */
    VERIFY_TRIES = 3,
    BEGIN_MS = 5 /* how often a new link looks whether its cover may count */
};

struct tracking_verify {
    struct tracking_verify *next;
    int64_t due_ms;
    struct freshness_rules rules;
    int tries;
    size_t key_length;
    char key[];
};

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t max_stale_of(const struct tier *tier)
{
    return atomic_load_explicit(&tier->tracking.max_stale_ms, memory_order_relaxed);
}

static int64_t silent_ms(const struct tier *tier)
{
    return least(SILENT_MS, max_stale_of(tier));
}

static int64_t beat_ms(const struct tier *tier)
{
    int64_t beat = least(BEAT_MS, max_stale_of(tier) / 4);

    return beat > 1 ? beat : 1;
}

void tracking_init(struct tracking *t)
{
    t->place = -1;
    t->end = &t->first;
}

void tracking_want(struct tier *tier, int64_t max_stale_ms)
{
    atomic_store_explicit(&tier->tracking.max_stale_ms, max_stale_ms, memory_order_relaxed);
}

void tracking_after_fork(struct tier *tier)
{
    int64_t max_stale_ms = max_stale_of(tier);

    /* What is lost of the parent's verifies is a few keys' worth of memory. */
    memset(&tier->tracking, 0, sizeof(tier->tracking));
    tracking_init(&tier->tracking);
    tracking_want(tier, max_stale_ms);
}

bool tracking_is_live(const struct tier *tier, int64_t now_ms)
{
    return now_ms < memory_lease(tier->memory) && now_ms > memory_lease_since(tier->memory);
}

bool tracking_covers(const struct tier *tier, int64_t sent_ms)
{
    return tracking_is_live(tier, clock_now_ms()) && sent_ms > memory_lease_since(tier->memory);
}

bool tracking_may_report(const struct tier *tier)
{
    return max_stale_of(tier) &&
           (atomic_load_explicit(&tier->tracking.trouble_kind, memory_order_relaxed) == TANDEM_OK ||
            tracking_is_live(tier, clock_now_ms()));
}

void tracking_attend(struct tier *tier)
{
    if (!atomic_exchange_explicit(&tier->tracking.attends, true, memory_order_relaxed) &&
        max_stale_of(tier))
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

/* -- Requests of our own --------------------------------------------------------------------------- */

static bool submit(struct tier *tier, struct request *r)
{
    if (!r)
        return false;
    r->op.deadline_ms = clock_now_ms() + max_stale_of(tier);
    if (redis_submit(tier->client, &r->op, false) == REDIS_ACCEPTED)
        return true;
    redis_op_free(&r->op);
    return false;
}

/* -- Places ---------------------------------------------------------------------------------------- */

static bool other_is_taken(const struct tier *tier, int64_t now_ms)
{
    int place = tier->tracking.place;

    for (int i = 0; i < 2; i++)
        if (i != place && memory_place_taken(tier->memory, i, now_ms, silent_ms(tier)))
            return true;
    return false;
}

static void seek_place(struct tier *tier, int64_t now_ms)
{
    struct tracking *t = &tier->tracking;
    bool young = now_ms - t->attending_since_ms < YOUNG_MS;

    if (t->place >= 0 &&
        !memory_place_hold(tier->memory, t->place, t->owner, now_ms, silent_ms(tier)))
        t->place = -1;
    if (t->place >= 0 || (young && other_is_taken(tier, now_ms)))
        return;
    for (int i = 0; i < 2 && t->place < 0; i++)
        if (memory_place_hold(tier->memory, i, t->owner, now_ms, silent_ms(tier)))
            t->place = i;
}

/* -- The link -------------------------------------------------------------------------------------- */

static void link_is_gone(struct tier *tier)
{
    struct tracking *t = &tier->tracking;

    if (t->begun && t->place >= 0)
        memory_place_begun(tier->memory, t->place, t->owner, 0);
    t->since_ms = t->alive_ms = t->prove_by_ms = 0;
    t->proven = t->begun = false;
}

static void send_canary(struct tier *tier)
{
    struct request *r = request_internal(FOR_CANARY, REDIS_SET, CANARY, sizeof(CANARY) - 1);

    if (r && !request_set_value(r, "1", 1)) {
        redis_op_free(&r->op);
        r = NULL;
    }
    if (r)
        r->op.ttl_ms = 1; /* a message is all that it is for */
    if (!submit(tier, r))
        tier->tracking.proven = true; /* what cannot be proved is believed: the server said so */
}

static void refused(struct tier *tier, const char *why, int64_t now_ms)
{
    struct tracking *t = &tier->tracking;

    note_trouble(t, TANDEM_EREDIS, why);
    t->pause_until_ms = now_ms + PAUSE_MS;
    memory_count(tier->memory, COUNT_TRACKING_LOST, 1);
    link_is_gone(tier);
}

void tracking_link(void *context, enum redis_link_event event, int64_t at_ms, const char *why)
{
    struct tier *tier = context;
    struct tracking *t = &tier->tracking;

    switch (event) {
    case REDIS_LINK_LIVE:
        link_is_gone(tier);
        t->since_ms = at_ms;
        memory_count(tier->memory, COUNT_TRACKING_LINKS, 1);
        send_canary(tier);
        break;
    case REDIS_LINK_ALIVE:
        t->alive_ms = at_ms;
        if (t->begun)
            memory_link_covers(tier->memory, at_ms, at_ms + max_stale_of(tier));
        break;
    case REDIS_LINK_LOST:
        note_trouble(t, TANDEM_MISS, why);
        memory_count(tier->memory, COUNT_TRACKING_LOST, 1);
        link_is_gone(tier);
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

    t->proven = true;
    if (!key) {
        memory_epoch_bump(tier->memory);
        memory_count(tier->memory, COUNT_TRACKING_FLUSHES, 1);
        return;
    }
    if (key_length > MEMORY_KEY_MAX || key_length == 0 ||
        (key_length >= sizeof(TIER_RESERVED) - 1 &&
         memcmp(key, TIER_RESERVED, sizeof(TIER_RESERVED) - 1) == 0))
        return;
    memory_invalidate(tier->memory, key, key_length, MEMORY_LOCK_IO_US);
    memory_count(tier->memory, COUNT_TRACKING_MESSAGES, 1);
}

static void found_dead(struct tier *tier, int64_t now_ms)
{
    char why[200];

    snprintf(why, sizeof(why), "%s: tracking was accepted, but no message has come",
             redis_client_server(tier->client));
    refused(tier, why, now_ms);
}

/* A link's cover counts from when it overlaps what was covered before.  Another link that is live will
 * have covered our beginning by its next heartbeat; where none is, there was a gap. */
static void begin_cover(struct tier *tier, int64_t now_ms)
{
    struct tracking *t = &tier->tracking;
    int64_t patience = 2 * beat_ms(tier);

    if (!t->since_ms || t->begun || t->place < 0)
        return;
    if (!t->proven) {
        if (t->prove_by_ms && now_ms >= t->prove_by_ms)
            found_dead(tier, now_ms);
        return;
    }
    if (!memory_link_reaches(tier->memory, t->since_ms) && other_is_taken(tier, now_ms) &&
        now_ms - t->since_ms < patience && memory_lease(tier->memory) > now_ms)
        return;
    if (!memory_link_begin(tier->memory, t->since_ms))
        memory_count(tier->memory, COUNT_TRACKING_GAPS, 1);
    t->begun = true;
    atomic_store_explicit(&t->trouble_kind, TANDEM_OK, memory_order_release);
    memory_place_begun(tier->memory, t->place, t->owner, t->since_ms);
    if (t->alive_ms)
        memory_link_covers(tier->memory, t->alive_ms, t->alive_ms + max_stale_of(tier));
}

/* -- Own writes, read back ------------------------------------------------------------------------- */

static void verify_later(struct tier *tier, const char *key, size_t key_length,
                         const struct freshness_rules *rules, int tries)
{
    struct tracking *t = &tier->tracking;
    struct tracking_verify *v;

    if (t->verifies >= VERIFIES)
        return;
    v = alloc_bytes(sizeof(*v) + key_length);
    if (!v)
        return;
    v->next = NULL;
    v->due_ms = clock_now_ms() + VERIFY_MS;
    v->rules = *rules;
    v->tries = tries;
    v->key_length = key_length;
    memcpy(v->key, key, key_length);
    *t->end = v;
    t->end = &v->next;
    t->verifies++;
}

void tracking_verify(struct tier *tier, const char *key, size_t key_length,
                     const struct freshness_rules *rules)
{
    verify_later(tier, key, key_length, rules, 0);
}

static void read_back(struct tier *tier, const struct tracking_verify *v)
{
    struct request *r = request_internal(FOR_VERIFY, REDIS_GET, v->key, v->key_length);

    if (!r)
        return;
    r->rules = v->rules;
    r->tries = v->tries + 1;
    memory_token_read(tier->memory, v->key, v->key_length, &r->token);
    memory_count(tier->memory, COUNT_TRACKING_VERIFIES, 1);
    submit(tier, r);
}

static void read_back_what_is_due(struct tier *tier, int64_t now_ms)
{
    struct tracking *t = &tier->tracking;

    while (t->first && t->first->due_ms <= now_ms) {
        struct tracking_verify *v = t->first;

        t->first = v->next;
        if (!t->first)
            t->end = &t->first;
        t->verifies--;
        read_back(tier, v);
        alloc_free(v);
    }
}

static void verified(struct tier *tier, struct request *r)
{
    struct redis_op *op = &r->op;
    bool live = tracking_covers(tier, op->sent_ms);
    struct memory_attributes a = freshness_attributes(&r->rules, op->sent_ms, op->pttl_ms, live);

    if (op->status != REDIS_DONE || op->pttl_ms == -2 || op->pttl_ms == 0)
        return; /* it expires by itself, very soon */
    if (memory_fill(tier->memory, op->key, op->key_length, op->reply ? op->reply : "",
                    op->reply_length, &a, &r->token, MEMORY_LOCK_IO_US) != MEMORY_REFUSED)
        return;
    if (r->tries < VERIFY_TRIES)
        verify_later(tier, op->key, op->key_length, &r->rules, r->tries);
    else
        memory_count(tier->memory, COUNT_TRACKING_UNVERIFIED, 1);
}

void tracking_tell_absent(struct tier *tier, const char *key, size_t key_length)
{
    if (max_stale_of(tier))
        submit(tier, request_internal(FOR_NOBODY, REDIS_PUBLISH, key, key_length));
}

void tracking_done(struct tier *tier, struct request *r)
{
    struct tracking *t = &tier->tracking;

    if (r->purpose == FOR_VERIFY)
        verified(tier, r);
    if (r->purpose == FOR_CANARY) {
        if (r->op.status == REDIS_DONE)
            t->prove_by_ms = clock_now_ms() + 2 * beat_ms(tier);
        else
            t->proven = true;
    }
    redis_op_free(&r->op);
}

/* -- Time ------------------------------------------------------------------------------------------ */

/* No link has been heard for a heartbeat too long.  Whether the server is still there shall be known
 * before the lease is over: then what memory has is served as stale without anybody waiting. */
static void look_after_lease(struct tier *tier, int64_t now_ms)
{
    int64_t lease_ms = memory_lease(tier->memory);

    if (now_ms < lease_ms && now_ms >= lease_ms - max_stale_of(tier) + 2 * beat_ms(tier))
        redis_want_probe(tier->client);
}

static void look_after_place(struct tier *tier, int64_t now_ms)
{
    struct tracking *t = &tier->tracking;
    bool wanted;

    if (now_ms < t->next_ms)
        return;
    t->others = memory_attend(tier->memory, t->owner, now_ms, silent_ms(tier));
    seek_place(tier, now_ms);
    wanted = t->place >= 0 && now_ms >= t->pause_until_ms;
    if (!wanted && t->since_ms)
        link_is_gone(tier);
    redis_want_link(tier->client, wanted, beat_ms(tier));
    look_after_lease(tier, now_ms);
    t->next_ms = now_ms + least(PROCESS_MS, silent_ms(tier) / 4 + 1);
}

int64_t tracking_tick(void *context, int64_t now_ms)
{
    struct tier *tier = context;
    struct tracking *t = &tier->tracking;
    int64_t next_ms;

    if (!max_stale_of(tier) || t->leaving_since_ms)
        return INT64_MAX;
    if (!t->owner) {
        t->owner = request_draw_owner();
        t->attending_since_ms = t->next_ms = now_ms;
    }
    read_back_what_is_due(tier, now_ms);
    begin_cover(tier, now_ms);
    look_after_place(tier, now_ms);
    next_ms = t->next_ms;
    if (t->first)
        next_ms = least(next_ms, t->first->due_ms);
    if (t->since_ms && !t->begun)
        next_ms = least(next_ms, now_ms + BEGIN_MS);
    return next_ms;
}

/* Whoever leaves keeps its link until another one covers, if there is somebody to have one. */
bool tracking_may_stop(void *context, int64_t now_ms)
{
    struct tier *tier = context;
    struct tracking *t = &tier->tracking;

    if (!t->owner)
        return true;
    if (!t->leaving_since_ms) {
        t->others = memory_attend(tier->memory, t->owner, now_ms, silent_ms(tier));
        memory_attend_no_more(tier->memory, t->owner);
        if (t->place >= 0)
            memory_place_leave(tier->memory, t->place, t->owner);
        t->leaving_since_ms = now_ms;
    }
    return t->place < 0 || !t->begun || t->others == 0 ||
           now_ms - t->leaving_since_ms >= LEAVE_MS ||
           memory_place_covers(tier->memory, t->owner, t->alive_ms, now_ms, silent_ms(tier));
}
