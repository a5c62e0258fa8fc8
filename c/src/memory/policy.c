#include "memory/policy.h"

#include "memory/index.h"
#include "memory/shard.h"

static _Atomic uint8_t *mark_of(const struct memory *m, uint32_t slot)
{
    return view_bucket(m, slot)->mark + slot % LAYOUT_SLOTS;
}

void policy_touch(const struct memory *m, uint32_t slot)
{
    _Atomic uint8_t *mark = mark_of(m, slot);

    if (!atomic_load_explicit(mark, memory_order_relaxed))
        atomic_store_explicit(mark, 1, memory_order_relaxed);
}

bool policy_spares_locked(const struct memory *m, uint32_t slot)
{
    _Atomic uint8_t *mark = mark_of(m, slot);

    if (!atomic_load_explicit(mark, memory_order_relaxed))
        return false;
    atomic_store_explicit(mark, 0, memory_order_relaxed);
    return true;
}

uint32_t policy_victim_locked(const struct memory *m, const struct memory_place *place,
                              int64_t now_ms)
{
    uint32_t unmarked = INDEX_NONE;

    for (int b = 0; b < 2; b++) {
        for (uint32_t i = 0; i < LAYOUT_SLOTS; i++) {
            uint32_t slot = place->bucket[b] * LAYOUT_SLOTS + i;
            struct record record;

            if (!shard_record_locked(m, slot, &record) || !shard_exists(m, &record, now_ms))
                return slot;
            if (unmarked == INDEX_NONE && !atomic_load_explicit(mark_of(m, slot),
                                                                memory_order_relaxed))
                unmarked = slot;
        }
    }
    return unmarked == INDEX_NONE ? place->bucket[0] * LAYOUT_SLOTS : unmarked;
}
