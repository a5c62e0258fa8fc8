/*
 * shard.h: holding a shard, and mending one whose holder died.
 */
#ifndef TANDEM_MEMORY_SHARD_H
#define TANDEM_MEMORY_SHARD_H

#include "memory/record.h"
#include "memory/view.h"

/* Gets the lock of a shard.  When its last holder died with it, the shard is emptied first.  False when
 * the lock could not be had within wait_us, or never again. */
bool shard_hold(struct memory *m, uint32_t shard, int64_t wait_us);
void shard_release(struct memory *m, uint32_t shard);

/* Empties a shard, whatever state it is in.  Every step may be repeated from the start, so dying in
 * here is as harmless as dying in any writer. */
void shard_reset_locked(struct memory *m, uint32_t shard);

/* The record that a slot stands for.  False when there is none that makes sense. */
bool shard_record_locked(const struct memory *m, uint32_t slot, struct record *record);

/* Is this entry there at all, at that time, if its tags hold?  Any thread. */
static inline bool shard_is_current(const struct memory *m, const struct memory_attributes *a,
                                    int64_t now_ms)
{
    uint32_t floor = atomic_load_explicit(&m->header->floor, memory_order_acquire);

    return (a->expires_ms == 0 || now_ms < a->expires_ms) && (int32_t)(a->epoch - floor) >= 0;
}

/* And with its tags, as they were when the record was loaded. */
static inline bool shard_exists(const struct memory *m, const struct record *record, int64_t now_ms)
{
    return shard_is_current(m, &record->attributes, now_ms) &&
           !((record->attributes.flags & MEMORY_TAGGED) && record->is_void);
}

/* Removes the entry of a slot; its bytes become dead. */
void shard_forget_locked(struct memory *m, uint32_t slot);

/* A shard's counts change under its lock only, but are read by anybody. */
static inline uint64_t shard_get(const _Atomic uint64_t *count)
{
    return atomic_load_explicit(count, memory_order_relaxed);
}

static inline void shard_set(_Atomic uint64_t *count, uint64_t value)
{
    atomic_store_explicit(count, value, memory_order_relaxed);
}

/* One more of what is counted in shards. */
static inline void shard_count_locked(struct memory *m, uint32_t shard, int which)
{
    _Atomic uint64_t *count = view_shard(m, shard)->count + which;

    shard_set(count, shard_get(count) + 1);
}

#endif
