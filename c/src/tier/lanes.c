#include "tier/lanes.h"

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tier/office.h"
#include "tier/tier.h"

bool lanes_create(const struct tier *tier, struct tier_lanes **lanes)
{
    *lanes = NULL;
    if (!tier->client || !redis_has_lanes(tier->client))
        return true;
    *lanes = alloc_zeroed(sizeof(**lanes));
    return *lanes != NULL;
}

/* -- On any thread --------------------------------------------------------------------------------- */

unsigned lanes_of(const struct tier *tier, const char *key, size_t key_length)
{
    return redis_lane(tier->client, key, key_length);
}

bool lanes_are_live(const struct tier *tier, unsigned lane, int64_t now_ms)
{
    return now_ms < memory_lane_lease(tier->memory, lane) &&
           now_ms > memory_lane_since(tier->memory, lane);
}

bool lanes_cover(const struct tier *tier, unsigned lane, int64_t sent_ms)
{
    return lanes_are_live(tier, lane, clock_now_ms()) &&
           sent_ms > memory_lane_since(tier->memory, lane);
}

bool lanes_trust(const struct tier *tier, unsigned lane, uint64_t server)
{
    return !lanes_are_live(tier, lane, clock_now_ms()) ||
           memory_lane_fits(tier->memory, lane, server);
}

/* A remembered absence is fresh while all lanes are, or not at all: while a slot is on the move, a new key of it is
 * made where the slot will be, and is reported from there, by a link that may be away. */
bool lanes_keep_fresh(struct tier *tier, const char *key, size_t key_length,
                      struct memory_entry *entry, int64_t now_ms)
{
    struct memory_attributes *a = &entry->attributes;
    int64_t lease_ms;

    if (a->flags & MEMORY_NEGATIVE)
        return false;
    lease_ms = memory_lane_look(tier->memory, lanes_of(tier, key, key_length), entry);
    if (freshness_judge(entry, lease_ms, now_ms) != FRESHNESS_FRESH)
        return false;
    if (a->flags & MEMORY_LEASED) {
        if (!atomic_load_explicit(&tier->tracking.attends, memory_order_relaxed))
            tracking_attend(tier);
        a->flags &= ~(uint32_t)MEMORY_LEASED;
        if (!a->fresh_until_ms || lease_ms < a->fresh_until_ms)
            a->fresh_until_ms = lease_ms;
    }
    return true;
}

/* -- On the I/O thread ----------------------------------------------------------------------------- */

void lanes_moved(void *context, const struct lanes *lanes)
{
    const struct tier *tier = context;

    memory_lanes_bump(tier->memory, lanes);
}

void lanes_changed(void *context, const char *key, size_t key_length)
{
    const struct tier *tier = context;

    memory_changed(tier->memory, key, key_length, clock_now_ms());
}

/* What has been changed before since_ms was so then; what has been changed later has been told, if links have covered
 * the time between.  A change that is told only after the operation's token was read makes that one no good. */
bool lanes_unchanged(void *context, const struct redis_op *op, int64_t since_ms, uint64_t server)
{
    const struct tier *tier = context;
    unsigned lane = redis_op_lane(op);

    return lanes_cover(tier, lane, since_ms) && memory_lane_fits(tier->memory, lane, server) &&
           memory_unchanged_since(tier->memory, op->key, op->key_length) < since_ms;
}

void lanes_are_gone(struct tier *tier)
{
    memset(tier->lanes, 0, sizeof(*tier->lanes));
}

/* Lanes whose cover is not what was begun any more have not begun. */
static void compare(struct tier *tier, const struct redis_cover *covers)
{
    for (unsigned lane = 0; lane < LANES; lane++)
        tier->lanes->of[lane].begun = tier->lanes->of[lane].begun &&
                                      tier->lanes->of[lane].since_ms == covers[lane].since_ms &&
                                      tier->lanes->of[lane].server == covers[lane].server;
}

/* As for one link: does it have to wait until another process's has reported so far, or is gone? */
static bool must_wait(const struct tier *tier, unsigned lane, const struct redis_cover *cover,
                      bool others, int64_t now_ms)
{
    const struct memory *m = tier->memory;

    if (!others || memory_lane_lease(m, lane) <= now_ms ||
        memory_lane_reaches(m, lane, cover->since_ms, cover->server))
        return false;
    return memory_lane_fits(m, lane, cover->server) ||
           memory_lane_server_epoch(m, lane) >= redis_link_epoch(tier->client);
}

/* Those that can begin, and those of them before which there is a gap.  False: some have to wait. */
static bool choose(struct tier *tier, const struct redis_cover *covers, int64_t now_ms,
                   struct lanes *ready, struct lanes *gaps)
{
    bool others = office_others_cover(tier, now_ms), all = true;

    for (unsigned lane = 0; lane < LANES; lane++) {
        const struct redis_cover *cover = covers + lane;

        if (tier->lanes->of[lane].begun || !cover->since_ms)
            continue;
        if (must_wait(tier, lane, cover, others, now_ms)) {
            memory_cover_want(tier->memory, cover->since_ms);
            all = false;
            continue;
        }
        lanes_add(ready, lane);
        if (!memory_lane_is_new(tier->memory, lane) &&
            !memory_lane_reaches(tier->memory, lane, cover->since_ms, cover->server))
            lanes_add(gaps, lane);
    }
    return all;
}

/* The epoch first: whoever sees the new cover must not find what was cached before.  And before that the end of the old
 * cover: whoever sees the new epoch must not go by what was covered then, as replicas' answers do. */
bool lanes_begin(struct tier *tier, int64_t now_ms)
{
    const struct redis_cover *covers = redis_covers(tier->client);
    struct tracking *t = &tier->tracking;
    struct lanes ready = {{0}}, gaps = {{0}};
    bool all;

    compare(tier, covers);
    all = choose(tier, covers, now_ms, &ready, &gaps);
    if (lanes_any(&gaps)) {
        for (unsigned lane = 0; lane < LANES; lane++)
            if (lanes_has(&gaps, lane))
                memory_lane_break(tier->memory, lane, covers[lane].since_ms);
        memory_lanes_bump(tier->memory, &gaps);
        memory_count(tier->memory, COUNT_TRACKING_GAPS, 1);
    }
    for (unsigned lane = 0; lane < LANES; lane++) {
        if (!lanes_has(&ready, lane))
            continue;
        if (!memory_lane_begin(tier->memory, lane, covers[lane].since_ms, covers[lane].server,
                               redis_link_epoch(tier->client), lanes_has(&gaps, lane))) {
            all = false;
            continue;
        }
        tier->lanes->of[lane].begun = true;
        tier->lanes->of[lane].since_ms = covers[lane].since_ms;
        tier->lanes->of[lane].server = covers[lane].server;
        if (covers[lane].since_ms > t->since_ms)
            t->since_ms = covers[lane].since_ms;
    }
    return all;
}

bool lanes_have_all_begun(const struct tier *tier)
{
    for (unsigned lane = 0; lane < LANES; lane++)
        if (!tier->lanes->of[lane].begun)
            return false;
    return true;
}

void lanes_report(struct tier *tier)
{
    const struct redis_cover *covers = redis_covers(tier->client);
    struct tracking *t = &tier->tracking;
    int64_t least_ms = INT64_MAX;

    compare(tier, covers);
    for (unsigned lane = 0; lane < LANES; lane++) {
        const struct redis_cover *cover = covers + lane;

        if (!tier->lanes->of[lane].begun || cover->alive_ms < cover->since_ms)
            continue;
        tier->lanes->of[lane].begun =
            memory_lane_covers(tier->memory, lane, cover->alive_ms,
                               cover->alive_ms + office_max_stale(tier), cover->server);
        if (cover->alive_ms < least_ms)
            least_ms = cover->alive_ms;
    }
    if (least_ms == INT64_MAX)
        return;
    t->alive_ms = least_ms;
    memory_lanes_sum(tier->memory, least_ms);
}
