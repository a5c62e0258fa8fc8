#include "tier/tier.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "tier/request.h"

enum {
    LOOK_MS = 50
}; /* how often one that waits for others to reach Redis looks whether they have */

void tier_uncork(tandem_cache *cache)
{
    if (!cache->corked)
        return;
    cache->corked = false;
    redis_uncork(cache->tier->client);
}

void tier_free(struct tier *tier)
{
    readback_clear(&tier->tracking.readback);
    flights_free(&tier->flights);
    alloc_free(tier->lanes);
    memory_close(tier->memory);
    alloc_free(tier->identity);
    alloc_free(tier);
}

/* -- The redis room's hooks ---------------------------------------------------------------------- */

void tier_done(void *context, struct redis_op *op)
{
    struct tier *tier = context;
    struct request *r = op->owner;

    if (r->purpose != FOR_CALLER) {
        if (r->purpose == FOR_REPLAY)
            replay_done(tier, r);
        else
            tracking_done(tier, r);
        return;
    }
    if (r->loaded) {
        write_done(tier, r);
        return;
    }
    switch (op->kind) {
    case REDIS_INVALIDATE_TAG:
        tags_done(tier, r);
        break;
    case REDIS_LOCK:
        fleet_done(tier, r);
        break;
    case REDIS_SET:
    case REDIS_DELETE:
        write_done(tier, r);
        break;
    case REDIS_ADD:
    case REDIS_REPLACE:
    case REDIS_INCR:
    case REDIS_EXPIRE:
        atomic_done(tier, r);
        break;
    case REDIS_SCAN:
    case REDIS_SCAN_UNLINK:
        scan_done(tier, r);
        break;
    default:
        read_done(tier, r);
        break;
    }
}

void tier_count(void *context, enum redis_counter counter, uint64_t n)
{
    static const enum memory_counter row[REDIS_COUNTERS] = {
        [REDIS_COUNT_COMMANDS] = COUNT_REDIS_COMMANDS,
        [REDIS_COUNT_BYTES_OUT] = COUNT_REDIS_BYTES_OUT,
        [REDIS_COUNT_BYTES_IN] = COUNT_REDIS_BYTES_IN,
        [REDIS_COUNT_CONNECTS] = COUNT_REDIS_CONNECTS,
        [REDIS_COUNT_FAILURES] = COUNT_REDIS_FAILURES,
        [REDIS_COUNT_DISCONNECTS] = COUNT_REDIS_DISCONNECTS,
        [REDIS_COUNT_TIMEOUTS] = COUNT_REDIS_TIMEOUTS,
        [REDIS_COUNT_ERRORS] = COUNT_REDIS_ERRORS,
        [REDIS_COUNT_LATE_REPLIES] = COUNT_REDIS_LATE_REPLIES,
        [REDIS_COUNT_REPLICA_READS] = COUNT_REDIS_REPLICA_READS,
    };
    struct tier *tier = context;

    if (counter < REDIS_COUNTERS)
        memory_count(tier->memory, row[counter], n);
    if (counter == REDIS_COUNT_CONNECTS)
        memory_probe_reach(tier->memory, clock_now_ms());
}

void tier_took(void *context, int64_t ns)
{
    struct tier *tier = context;

    memory_observe(tier->memory, HISTOGRAM_REDIS_ROUND_TRIP, ns);
}

/* What one process finds out is good for all that share the segment. */
int64_t tier_may_try(void *context, int64_t since_ms, int64_t now_ms, uint32_t random)
{
    struct tier *tier = context;
    int64_t at_ms = now_ms;

    if (!memory_probe_reached(tier->memory, since_ms))
        at_ms = memory_probe_try(tier->memory, now_ms, random);
    return at_ms <= now_ms + LOOK_MS ? at_ms : now_ms + LOOK_MS;
}

int64_t tier_tick(void *context, int64_t now_ms)
{
    int64_t tracking = tracking_tick(context, now_ms), replay = replay_tick(context, now_ms);

    return tracking < replay ? tracking : replay;
}

void tier_gone(void *context)
{
    tier_free(context);
}
