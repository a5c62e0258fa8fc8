/*
 * lanes.h: keeping memory coherent where several servers, each with a link of its own, have parts of the keys.
 *
 * What tracking.h says of the link, its cover and the lease is said here of each lane.  Nothing in here knows of servers:
 * the redis room says how far each lane is covered, and by whom, and which of them have moved.
 */
#ifndef TANDEM_TIER_LANES_H
#define TANDEM_TIER_LANES_H

#include "redis/redis.h"
#include "tier/freshness.h"

struct tier;

/* What this process's links have begun to cover: the I/O thread's. */
struct tier_lanes {
    struct {
        bool begun;
        int64_t since_ms; /* with what, if so */
        uint64_t server;
    } of[LANES];
    bool changed; /* the redis room says so */
};

/* For a tier that has memory, and a client.  NULL in *lanes if there are none.  False: no memory. */
bool lanes_create(const struct tier *tier, struct tier_lanes **lanes);

/* The lane of a key. */
unsigned lanes_of(const struct tier *tier, const char *key, size_t key_length);

/* As tracking_is_live, tracking_covers and tracking_trusts. */
bool lanes_are_live(const struct tier *tier, unsigned lane, int64_t now_ms);
bool lanes_cover(const struct tier *tier, unsigned lane, int64_t sent_ms);
bool lanes_trust(const struct tier *tier, unsigned lane, uint64_t server);

/* An entry is stale by what is known of all lanes together.  True: but fresh by its own.  Then it is of the present epoch
 * from now on, and if it goes by a lease, by what is known of its lane's now. */
bool lanes_keep_fresh(struct tier *tier, const char *key, size_t key_length,
                      struct memory_entry *entry, int64_t now_ms);

/* -- For the I/O thread ---------------------------------------------------------------------------- */

/* The hooks. */
void lanes_moved(void *context, const struct lanes *lanes);
void lanes_changed(void *context, const char *key, size_t key_length);
bool lanes_unchanged(void *context, const struct redis_op *op, int64_t since_ms, uint64_t server);

/* There is no link any more. */
void lanes_are_gone(struct tier *tier);

/* Begins what can be begun.  True: nothing waits. */
bool lanes_begin(struct tier *tier, int64_t now_ms);

/* Have all begun? */
bool lanes_have_all_begun(const struct tier *tier);

/* Reports how far lanes that have begun are covered. */
void lanes_report(struct tier *tier);

#endif
