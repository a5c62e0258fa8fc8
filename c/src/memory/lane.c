/*
 * lane.c: the leases of lanes, and entries that go by one.
 *
 * What tracking.c says of all keys is said here of those of a lane.  Readers look here only where the words for all keys
 * do not hold; so in a segment without lanes, and as long as all lanes are well, this costs nothing.
 */
#include "memory/cover.h"
#include "memory/memory.h"
#include "memory/view.h"

static struct layout_lane *of(const struct memory *m, unsigned lane)
{
    return m->lanes->of + lane;
}

int64_t memory_lane_lease(const struct memory *m, unsigned lane)
{
    return atomic_load_explicit(&of(m, lane)->lease_ms, memory_order_acquire);
}

int64_t memory_lane_since(const struct memory *m, unsigned lane)
{
    return atomic_load_explicit(&of(m, lane)->cover.since_ms, memory_order_acquire);
}

uint64_t memory_lane_server_epoch(const struct memory *m, unsigned lane)
{
    return atomic_load_explicit(&of(m, lane)->cover.server_epoch, memory_order_acquire);
}

bool memory_lane_fits(const struct memory *m, unsigned lane, uint64_t server)
{
    return cover_fits(&of(m, lane)->cover, server);
}

bool memory_lane_is_new(const struct memory *m, unsigned lane)
{
    return cover_is_new(&of(m, lane)->cover);
}

bool memory_lane_reaches(const struct memory *m, unsigned lane, int64_t since_ms, uint64_t server)
{
    return cover_reaches(&of(m, lane)->cover, since_ms, server);
}

void memory_lane_break(struct memory *m, unsigned lane, int64_t since_ms)
{
    grow_time(&of(m, lane)->cover.since_ms, since_ms);
}

bool memory_lane_begin(struct memory *m, unsigned lane, int64_t since_ms, uint64_t server,
                       uint64_t server_epoch, bool bumped)
{
    struct layout_cover *cover = &of(m, lane)->cover;
    bool reaches = cover_reaches(cover, since_ms, server);

    if (!reaches && !bumped && !cover_is_new(cover))
        return false;
    atomic_store_explicit(&cover->server_epoch, server_epoch, memory_order_release);
    if (reaches)
        return true;
    grow_time(&m->header->cover.since_ms, since_ms);
    cover_begin(cover, since_ms, server);
    return true;
}

bool memory_lane_covers(struct memory *m, unsigned lane, int64_t until_ms, int64_t lease_ms,
                        uint64_t server)
{
    return cover_extend(&of(m, lane)->cover, &of(m, lane)->lease_ms, until_ms, lease_ms, server);
}

/* Leases only grow, so one that was the least a moment ago is no more than the least. */
void memory_lanes_sum(struct memory *m, int64_t least_ms)
{
    int64_t least = INT64_MAX;

    for (unsigned lane = 0; lane < LANES; lane++) {
        int64_t lease_ms = memory_lane_lease(m, lane);

        least = lease_ms < least ? lease_ms : least;
    }
    grow_time(&m->header->cover.covered_ms, least_ms);
    grow_time(&m->header->lease_ms, least);
}

/* In this order.  The epoch first, so that whatever is bumped later makes it another one.  The lease before the entry's
 * version: what reports have dropped before they renewed it has a new version by then.  The lane's epoch last: whoever
 * renews a lease after a gap has raised that before. */
int64_t memory_lane_look(const struct memory *m, unsigned lane, struct memory_entry *entry)
{
    const struct layout_bucket *bucket = view_bucket(m, entry->slot);
    uint32_t epoch = atomic_load_explicit(&m->header->epoch, memory_order_acquire), version;
    uint32_t ours = entry->attributes.epoch;
    int64_t lease_ms = memory_lane_lease(m, lane);

    version =
        atomic_load_explicit(bucket->version + entry->slot % LAYOUT_SLOTS, memory_order_acquire);
    entry->epoch_holds =
        version == entry->version &&
        !grow_is_before(ours, atomic_load_explicit(&of(m, lane)->epoch, memory_order_acquire)) &&
        !grow_is_before(ours, atomic_load_explicit(&m->lanes->epoch, memory_order_acquire));
    if (entry->epoch_holds)
        entry->attributes.epoch = epoch;
    return lease_ms;
}
