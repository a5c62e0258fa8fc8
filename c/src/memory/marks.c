/*
 * marks.c: slots as a tool looks at them: what is in one, and which are read.
 *
 * Whoever reads an entry sets its mark, and the policy clears it when it comes by.  To find out how often
 * entries are read, marks are taken again and again, which leaves them clear, and given back at the end: as
 * anybody may write a mark at any time, this can hurt nobody, and an entry that is evicted meanwhile
 * although it was read is the worst that comes of it.
 */
#include "memory/index.h"
#include "memory/memory.h"
#include "memory/shard.h"

enum { READ_ATTEMPTS = 8 };

uint32_t memory_slots(const struct memory *m)
{
    return view_slot_count(m);
}

static _Atomic uint8_t *mark_of(const struct memory *m, uint32_t slot)
{
    return view_bucket(m, slot)->mark + slot % LAYOUT_SLOTS;
}

void memory_marks_take(struct memory *m, uint32_t from, uint32_t n, uint8_t *times)
{
    for (uint32_t i = 0; i < n && from + i < view_slot_count(m); i++) {
        _Atomic uint8_t *mark = mark_of(m, from + i);

        if (!atomic_load_explicit(mark, memory_order_relaxed))
            continue;
        atomic_store_explicit(mark, 0, memory_order_relaxed);
        times[i] = (uint8_t)(times[i] + (times[i] < UINT8_MAX));
    }
}

void memory_marks_give(struct memory *m, uint32_t from, uint32_t n, const uint8_t *times)
{
    for (uint32_t i = 0; i < n && from + i < view_slot_count(m); i++)
        if (times[i])
            atomic_store_explicit(mark_of(m, from + i), 1, memory_order_relaxed);
}

bool memory_slot(const struct memory *m, uint32_t slot, int64_t now_ms, void *key,
                 size_t *key_length, size_t *value_length)
{
    enum index_status status = INDEX_DISTURBED;
    struct record record;

    for (int i = 0; slot < view_slot_count(m) && status == INDEX_DISTURBED && i < READ_ATTEMPTS;
         i++)
        status = index_read_slot(m, slot, &record, key, MEMORY_KEY_MAX);
    if (status != INDEX_FOUND || !shard_exists(m, &record, now_ms))
        return false;
    *key_length = record.key_length;
    *value_length = record.value_length;
    return true;
}
