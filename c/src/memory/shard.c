#include "memory/shard.h"

#include "memory/fault.h"
#include "memory/index.h"
#include "memory/lock.h"
#include "memory/policy.h"
#include "memory/vlog.h"

bool shard_hold(struct memory *m, uint32_t shard, int64_t wait_us)
{
    struct layout_shard *s = view_shard(m, shard);

    if (m->read_only)
        return false;
    switch (view_lock(m, &s->mutex, wait_us)) {
    case LOCK_HELD:
        FAULT_POINT(LOCK_TAKEN);
        return true;
    case LOCK_ORPHANED:
        memory_count(m, COUNT_MEMORY_RESETS, 1);
        FAULT_POINT(RESET_BEGUN);
        shard_reset_locked(m, shard);
        FAULT_POINT(RESET_DONE);
        lock_mended(&s->mutex);
        FAULT_POINT(RESET_MENDED);
        return true;
    case LOCK_BEYOND_REPAIR:
        atomic_store_explicit(&s->out_of_service, 1, memory_order_relaxed);
        break;
    case LOCK_BUSY:
        break;
    }
    memory_count(m, COUNT_MEMORY_LOCK_TIMEOUTS, 1);
    return false;
}

void shard_release(struct memory *m, uint32_t shard)
{
    FAULT_POINT(LOCK_TO_RELEASE);
    lock_release(&view_shard(m, shard)->mutex);
}

/* Losses are counted one by one, and first, so that dying in here hides none; and no token from before
 * may hold, for the dead holder may have applied a write that it did not live to count. */
void shard_reset_locked(struct memory *m, uint32_t shard)
{
    struct layout_shard *s = view_shard(m, shard);
    uint32_t first = shard * m->layout.buckets * LAYOUT_SLOTS;

    for (uint32_t slot = first; slot < first + m->layout.buckets * LAYOUT_SLOTS; slot++) {
        if (slot % LAYOUT_SLOTS == 0)
            atomic_fetch_add_explicit(&view_bucket(m, slot)->wseq, 1, memory_order_relaxed);
        memory_count(m, COUNT_MEMORY_LOST, !index_word_load(m, slot).empty);
        index_empty_slot_locked(m, slot);
        FAULT_POINT(RESET_SLOT);
    }
    FAULT_POINT(RESET_SLOTS);
    vlog_reset_locked(m, shard);
    FAULT_POINT(RESET_LOGS);
    policy_reset_locked(m, shard);
    shard_set(&s->entries, 0);
}

bool shard_record_locked(const struct memory *m, uint32_t slot, struct record *record)
{
    struct index_word w = index_word_load(m, slot);

    return index_record(m, &w, record);
}

void shard_forget_locked(struct memory *m, uint32_t slot)
{
    struct layout_shard *s = view_shard(m, view_shard_of(m, slot));
    struct index_word w = index_word_load(m, slot);

    index_empty_slot_locked(m, slot);
    FAULT_POINT(SLOT_EMPTIED);
    vlog_count_live_locked(s, w.place.log, 0, w.units);
    shard_set(&s->entries, shard_get(&s->entries) - 1);
    FAULT_POINT(ENTRY_DISCOUNTED);
}
