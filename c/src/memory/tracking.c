/*
 * tracking.c: what processes that share a segment tell each other about tracking: who has a link, how far
 * links have reported, and the lease that follows from it.
 *
 * Two links at a time, whoever has them: each applies every message, so either may go and leave no gap.
 * A link covers from its subscription to the send time of its last answered heartbeat.  Covers that
 * overlap make one; where they do not, changes may have been missed, and all entries from Redis stop being
 * fresh (the epoch) before the new cover counts (covered, lease).
 */
#include "base/clock.h"
#include "memory/cover.h"
#include "memory/index.h"
#include "memory/memory.h"
#include "memory/owner.h"
#include "memory/shard.h"

enum { SILENT_MS = 1000 }; /* where nobody says otherwise */

/* -- The lease ------------------------------------------------------------------------------------- */

int64_t memory_lease(const struct memory *m)
{
    return atomic_load_explicit(&m->header->lease_ms, memory_order_acquire);
}

int64_t memory_lease_since(const struct memory *m)
{
    return atomic_load_explicit(&m->header->cover.since_ms, memory_order_acquire);
}

bool memory_server_fits(const struct memory *m, uint64_t server)
{
    return cover_fits(&m->header->cover, server);
}

bool memory_link_reaches(const struct memory *m, int64_t since_ms, uint64_t server)
{
    return cover_reaches(&m->header->cover, since_ms, server);
}

uint64_t memory_server_epoch(const struct memory *m)
{
    return atomic_load_explicit(&m->header->cover.server_epoch, memory_order_acquire);
}

void memory_server_epoch_set(struct memory *m, uint64_t epoch)
{
    atomic_store_explicit(&m->header->cover.server_epoch, epoch, memory_order_release);
}

bool memory_link_begin(struct memory *m, int64_t since_ms, uint64_t server)
{
    bool first = cover_is_new(&m->header->cover);

    if (memory_link_reaches(m, since_ms, server))
        return true;
    /* The epoch first: whoever sees the new cover must not find what was cached before.  Before the first
     * link nothing was cached that would go by one. */
    if (!first)
        memory_epoch_bump(m);
    cover_begin(&m->header->cover, since_ms, server);
    return first;
}

bool memory_link_covers(struct memory *m, int64_t until_ms, int64_t lease_ms, uint64_t server)
{
    return cover_extend(&m->header->cover, &m->header->lease_ms, until_ms, lease_ms, server);
}

void memory_cover_want(struct memory *m, int64_t since_ms)
{
    grow_time(&m->header->wanted_ms, since_ms);
}

bool memory_cover_is_wanted(const struct memory *m)
{
    return atomic_load_explicit(&m->header->wanted_ms, memory_order_acquire) >
           atomic_load_explicit(&m->header->cover.covered_ms, memory_order_acquire);
}

/* -- Messages -------------------------------------------------------------------------------------- */

/* Its own message is among those that come now; what it is worth is about to be found out. */
static bool is_being_confirmed(const struct memory_attributes *a)
{
    return (a->flags & MEMORY_PROVISIONAL) && clock_now_ms() < a->fresh_until_ms;
}

int memory_invalidate(struct memory *m, const void *key, size_t key_length, int64_t lock_us)
{
    struct memory_place place = index_place(m, key, key_length);
    struct record record;
    uint32_t slot;

    if (!shard_hold(m, place.shard, lock_us)) {
        memory_epoch_bump(m);
        return MEMORY_BUSY;
    }
    atomic_fetch_add_explicit(&view_bucket(m, place.slot[0])->inval, 1, memory_order_release);
    slot = index_find_locked(m, &place, key, key_length, &record);
    if (slot != INDEX_NONE && !is_being_confirmed(&record.attributes))
        shard_forget_locked(m, slot);
    shard_release(m, place.shard);
    return slot == INDEX_NONE ? MEMORY_ABSENT : MEMORY_OK;
}

/* -- Places ---------------------------------------------------------------------------------------- */

/* Whoever is silent may be stopped, or in another pid namespace; who is dead is known to be sooner. */
static bool is_gone(const struct layout_place *place, int64_t now_ms, int64_t silent_ms)
{
    return now_ms - atomic_load_explicit(&place->beat_ms, memory_order_acquire) >= silent_ms ||
           owner_is_dead(atomic_load_explicit(&place->process, memory_order_acquire), owner_self());
}

static bool is_there(const struct layout_place *place, int64_t now_ms, int64_t silent_ms)
{
    return atomic_load_explicit(&place->owner, memory_order_acquire) &&
           !is_gone(place, now_ms, silent_ms);
}

static bool hold(struct layout_place *place, uint64_t owner, int64_t now_ms, int64_t silent_ms)
{
    uint64_t seen = atomic_load_explicit(&place->owner, memory_order_acquire);

    if (seen != owner) {
        if (seen && !is_gone(place, now_ms, silent_ms))
            return false;
        if (!atomic_compare_exchange_strong_explicit(&place->owner, &seen, owner,
                                                     memory_order_acq_rel, memory_order_acquire))
            return false;
        atomic_store_explicit(&place->since_ms, 0, memory_order_release);
        atomic_store_explicit(&place->beat_ms, now_ms, memory_order_release);
        atomic_store_explicit(&place->process, owner_self(), memory_order_release);
    }
    atomic_store_explicit(&place->beat_ms, now_ms, memory_order_release);
    return true;
}

static void leave(struct layout_place *place, uint64_t owner)
{
    atomic_compare_exchange_strong_explicit(&place->owner, &owner, 0, memory_order_acq_rel,
                                            memory_order_relaxed);
}

/* owner's, or else one that can be had; NULL: all are taken. */
static struct layout_place *hold_any(struct layout_place *places, int count, uint64_t owner,
                                     int64_t now_ms, int64_t silent_ms)
{
    for (int i = 0; i < count; i++)
        if (atomic_load_explicit(&places[i].owner, memory_order_acquire) == owner)
            return hold(places + i, owner, now_ms, silent_ms) ? places + i : NULL;
    for (int i = 0; i < count; i++)
        if (hold(places + i, owner, now_ms, silent_ms))
            return places + i;
    return NULL;
}

bool memory_place_hold(struct memory *m, int place, uint64_t owner, int64_t now_ms,
                       int64_t silent_ms)
{
    return hold(m->header->places + place, owner, now_ms, silent_ms);
}

bool memory_place_taken(const struct memory *m, int place, int64_t now_ms, int64_t silent_ms)
{
    return is_there(m->header->places + place, now_ms, silent_ms);
}

void memory_place_leave(struct memory *m, int place, uint64_t owner)
{
    leave(m->header->places + place, owner);
}

void memory_place_begun(struct memory *m, int place, uint64_t owner, int64_t since_ms)
{
    struct layout_place *p = m->header->places + place;

    if (atomic_load_explicit(&p->owner, memory_order_acquire) == owner)
        atomic_store_explicit(&p->since_ms, since_ms, memory_order_release);
}

/* Another's than owner's, whose link has begun, and no later than by_ms. */
static bool covers(const struct layout_place *p, uint64_t owner, int64_t by_ms, int64_t now_ms,
                   int64_t silent_ms)
{
    int64_t since_ms = atomic_load_explicit(&p->since_ms, memory_order_acquire);

    return since_ms && since_ms <= by_ms &&
           atomic_load_explicit(&p->owner, memory_order_acquire) != owner &&
           is_there(p, now_ms, silent_ms);
}

bool memory_place_covers(const struct memory *m, uint64_t owner, int64_t by_ms, int64_t now_ms,
                         int64_t silent_ms)
{
    for (int i = 0; i < LAYOUT_PLACES; i++)
        if (covers(m->header->places + i, owner, by_ms, now_ms, silent_ms))
            return true;
    return false;
}

int memory_places_covering(const struct memory *m, int64_t now_ms)
{
    int n = 0;

    for (int i = 0; i < LAYOUT_PLACES; i++)
        n += covers(m->header->places + i, 0, INT64_MAX, now_ms, SILENT_MS);
    return n;
}

/* -- Leaving --------------------------------------------------------------------------------------- */

void memory_leaving(struct memory *m, uint64_t owner, int64_t since_ms, int64_t now_ms,
                    int64_t silent_ms)
{
    struct layout_place *p = hold_any(m->header->leaving, LAYOUT_LEAVING, owner, now_ms, silent_ms);

    if (p)
        atomic_store_explicit(&p->since_ms, since_ms, memory_order_release);
}

void memory_left(struct memory *m, uint64_t owner)
{
    for (int i = 0; i < LAYOUT_LEAVING; i++)
        leave(m->header->leaving + i, owner);
}

bool memory_others_cover(const struct memory *m, uint64_t owner, int64_t now_ms, int64_t silent_ms)
{
    if (memory_place_covers(m, owner, INT64_MAX, now_ms, silent_ms))
        return true;
    for (int i = 0; i < LAYOUT_LEAVING; i++)
        if (covers(m->header->leaving + i, owner, INT64_MAX, now_ms, silent_ms))
            return true;
    return false;
}

/* -- Who would have a link ------------------------------------------------------------------------- */

void memory_born(struct memory *m, int64_t now_ms)
{
    atomic_store_explicit(&m->header->born_ms, now_ms, memory_order_release);
}

int64_t memory_last_born(const struct memory *m)
{
    return atomic_load_explicit(&m->header->born_ms, memory_order_acquire);
}

void memory_attend(struct memory *m, uint64_t owner, int64_t now_ms, int64_t silent_ms)
{
    hold_any(m->header->attending, LAYOUT_ATTENDING, owner, now_ms, silent_ms);
}

void memory_attend_no_more(struct memory *m, uint64_t owner)
{
    for (int i = 0; i < LAYOUT_ATTENDING; i++)
        leave(m->header->attending + i, owner);
}

bool memory_others_attend(const struct memory *m, uint64_t owner, int64_t now_ms, int64_t silent_ms)
{
    for (int i = 0; i < LAYOUT_ATTENDING; i++) {
        const struct layout_place *p = m->header->attending + i;

        if (atomic_load_explicit(&p->owner, memory_order_acquire) != owner &&
            is_there(p, now_ms, silent_ms))
            return true;
    }
    return false;
}
