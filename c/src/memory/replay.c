/*
 * replay.c: the table of writes that were done in memory while Redis could not be told.
 *
 * Per key the latest: an entry is replaced by a newer write of its key and forgotten when one is sent.
 * Outside the logs, so that nothing evicts it, and in the segment, so that it outlives the process that
 * made the write.  Guarded by one lock; looking whether there is anything at all takes none.
 *
 * A process that dies in here leaves at most one entry half made.  Its number is 0 then, so it does not
 * exist; that something was lost is remembered, as if the table had been full.
 */
#include <string.h>

#include "base/glob.h"
#include "base/hash.h"
#include "base/reserved.h"
#include "memory/lock.h"
#include "memory/memory.h"
#include "memory/view.h"

static uint32_t count_entries(const struct memory *m)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < m->layout.replays; i++)
        count += atomic_load_explicit(&m->replays[i].number, memory_order_relaxed) != 0;
    return count;
}

static bool hold(struct memory *m, int64_t lock_us)
{
    struct layout_header *h = m->header;

    switch (view_lock(m, &h->replay_mutex, lock_us)) {
    case LOCK_HELD:
        return true;
    case LOCK_ORPHANED:
        atomic_fetch_add_explicit(&h->replay_lost, 1, memory_order_relaxed);
        atomic_store_explicit(&h->replay_count, count_entries(m), memory_order_release);
        lock_mended(&h->replay_mutex);
        return true;
    default:
        memory_count(m, COUNT_MEMORY_LOCK_TIMEOUTS, 1);
        return false;
    }
}

static void release(struct memory *m)
{
    lock_release(&m->header->replay_mutex);
}

static struct layout_replay *find(struct memory *m, const void *key, size_t key_length,
                                  struct layout_replay **vacant)
{
    uint32_t groups = m->layout.replays / LAYOUT_REPLAY_GROUP;
    uint32_t hash = (uint32_t)hash_bytes(key, key_length, m->seed);
    struct layout_replay *group, *last_vacant = NULL;

    *vacant = NULL;
    if (groups == 0 || key_length > LAYOUT_REPLAY_KEY)
        return NULL;
    group = m->replays + hash % groups * LAYOUT_REPLAY_GROUP;
    for (int i = 0; i < LAYOUT_REPLAY_GROUP; i++) {
        struct layout_replay *e = group + i;

        if (atomic_load_explicit(&e->number, memory_order_relaxed) == 0)
            last_vacant = e;
        else if (e->hash == hash && e->key_length == key_length &&
                 memcmp(e->key, key, key_length) == 0)
            return e;
    }
    if (last_vacant)
        last_vacant->hash = hash;
    *vacant = last_vacant;
    return NULL;
}

static void forget(struct memory *m, struct layout_replay *e)
{
    atomic_store_explicit(&e->number, 0, memory_order_relaxed);
    atomic_fetch_sub_explicit(&m->header->replay_count, 1, memory_order_release);
}

static bool lost(struct memory *m)
{
    atomic_fetch_add_explicit(&m->header->replay_lost, 1, memory_order_relaxed);
    memory_count(m, COUNT_REDIS_REPLAY_LOST, 1);
    return false;
}

bool memory_replay_put(struct memory *m, const void *key, size_t key_length,
                       enum memory_replay_kind kind, int64_t expires_ms, int64_t now_ms,
                       int64_t lock_us)
{
    struct layout_replay *vacant, *e;
    uint64_t number;

    if (!hold(m, lock_us))
        return lost(m);
    e = find(m, key, key_length, &vacant);
    if (!e && !vacant) {
        release(m);
        return lost(m);
    }
    number = atomic_fetch_add_explicit(&m->header->replay_number, 1, memory_order_relaxed) + 1;
    if (e) { /* who dies in here leaves it lost, not mixed */
        atomic_store_explicit(&e->number, 0, memory_order_relaxed);
    } else {
        e = vacant;
        e->key_length = (uint16_t)key_length;
        e->in_flight = 0;
        memcpy(e->key, key, key_length);
        atomic_fetch_add_explicit(&m->header->replay_count, 1, memory_order_release);
    }
    e->kind = (uint8_t)kind;
    e->made_ms = now_ms;
    e->expires_ms = expires_ms;
    atomic_store_explicit(&e->number, number, memory_order_release);
    release(m);
    return true;
}

uint32_t memory_replay_count(const struct memory *m)
{
    return atomic_load_explicit(&m->header->replay_count, memory_order_acquire);
}

uint32_t memory_replay_take_lost(struct memory *m)
{
    return atomic_exchange_explicit(&m->header->replay_lost, 0, memory_order_acq_rel);
}

enum memory_replay_kind memory_replay_peek(struct memory *m, const void *key, size_t key_length,
                                           int64_t lock_us)
{
    enum memory_replay_kind kind = MEMORY_REPLAY_NONE;
    struct layout_replay *vacant, *e;

    if (memory_replay_count(m) == 0 || !hold(m, lock_us))
        return kind;
    e = find(m, key, key_length, &vacant);
    if (e)
        kind = (enum memory_replay_kind)e->kind;
    release(m);
    return kind;
}

bool memory_replay_forget(struct memory *m, const void *key, size_t key_length, int64_t lock_us)
{
    struct layout_replay *vacant, *e;
    bool free_to_send = true;

    if (memory_replay_count(m) == 0)
        return true;
    if (!hold(m, lock_us))
        return false; /* what is remembered might be told after the new write */
    e = find(m, key, key_length, &vacant);
    if (e && e->in_flight)
        free_to_send = false;
    else if (e)
        forget(m, e);
    release(m);
    return free_to_send;
}

/* -- Telling Redis --------------------------------------------------------------------------------- */

void memory_replay_ground(struct memory *m)
{
    if (!hold(m, MEMORY_LOCK_IO_US))
        return;
    for (uint32_t i = 0; i < m->layout.replays; i++)
        m->replays[i].in_flight = 0;
    release(m);
}

bool memory_replay_hold(struct memory *m, uint64_t owner, int64_t now_ms, int64_t silent_ms)
{
    struct layout_place *place = &m->header->replayer;
    uint64_t seen = atomic_load_explicit(&place->owner, memory_order_acquire);

    if (seen != owner) {
        int64_t beat = atomic_load_explicit(&place->beat_ms, memory_order_acquire);

        if (seen && now_ms - beat < silent_ms)
            return false;
        if (!atomic_compare_exchange_strong_explicit(&place->owner, &seen, owner,
                                                     memory_order_acq_rel, memory_order_acquire))
            return false;
        atomic_store_explicit(&place->beat_ms, now_ms, memory_order_release);
        memory_replay_ground(m);
    }
    atomic_store_explicit(&place->beat_ms, now_ms, memory_order_release);
    return true;
}

static void copy(const struct layout_replay *e, struct memory_replay *replay)
{
    replay->kind = (enum memory_replay_kind)e->kind;
    replay->number = atomic_load_explicit(&e->number, memory_order_relaxed);
    replay->made_ms = e->made_ms;
    replay->expires_ms = e->expires_ms;
    replay->key_length = e->key_length <= LAYOUT_REPLAY_KEY ? e->key_length : LAYOUT_REPLAY_KEY;
    memcpy(replay->key, e->key, replay->key_length);
}

bool memory_replay_next(struct memory *m, enum memory_replay_kind kind, uint32_t *at,
                        struct memory_replay *replay, int64_t lock_us)
{
    bool found = false;

    if (memory_replay_count(m) == 0 || !hold(m, lock_us))
        return false;
    for (; !found && *at < m->layout.replays; (*at)++) {
        struct layout_replay *e = m->replays + *at;

        if (atomic_load_explicit(&e->number, memory_order_relaxed) == 0 || e->in_flight ||
            e->kind != kind)
            continue;
        e->in_flight = 1;
        copy(e, replay);
        found = true;
    }
    release(m);
    return found;
}

/* Not invalidations of tags: those are of other keys, too. */
void memory_replay_remove(struct memory *m, const char *glob, size_t glob_length)
{
    if (memory_replay_count(m) == 0 || !hold(m, MEMORY_LOCK_US))
        return;
    for (uint32_t i = 0; i < m->layout.replays; i++) {
        struct layout_replay *e = m->replays + i;

        if (atomic_load_explicit(&e->number, memory_order_relaxed) &&
            !reserved_is(e->key, e->key_length) &&
            (!glob || glob_match(glob, glob_length, e->key, e->key_length)))
            forget(m, e);
    }
    release(m);
}

void memory_replay_over(struct memory *m, const struct memory_replay *replay, bool told,
                        int64_t lock_us)
{
    struct layout_replay *vacant, *e;

    if (!hold(m, lock_us))
        return; /* it stays in flight until somebody else takes over */
    e = find(m, replay->key, replay->key_length, &vacant);
    if (e) {
        e->in_flight = 0;
        if (told && atomic_load_explicit(&e->number, memory_order_relaxed) == replay->number)
            forget(m, e);
    }
    release(m);
}
