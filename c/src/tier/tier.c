#include "tier/tier.h"

#include "base/alloc.h"
#include "tier/request.h"

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
    };
    struct tier *tier = context;

    if (counter < REDIS_COUNTERS)
        memory_count(tier->memory, row[counter], n);
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
