#include "memory/vlog.h"

#include "memory/index.h"
#include "memory/policy.h"
#include "memory/record.h"
#include "memory/seq.h"
#include "memory/shard.h"

/* What one hold of the lock may do: about 50 us of work. */
enum { STEP_DROPS = 256, STEP_MOVES = 16, STEP_MOVED_UNITS = 4096 };

struct budget {
    int drops, moves;
    uint64_t moved_units;
};

/* Is there a run of so many units at the head?  Wraps the head when the run is at the log's start. */
static bool find_run(struct memory *m, uint32_t shard, uint64_t units, uint64_t *offset)
{
    struct layout_shard *s = view_shard(m, shard);
    uint64_t head = shard_get(&s->head), tail = shard_get(&s->tail), used = shard_get(&s->used);
    uint64_t end = m->layout.units;

    if (used == 0) {
        shard_set(&s->head, 0);
        shard_set(&s->tail, 0);
        head = tail = 0;
    }
    if (used && head <= tail) { /* wrapped: what is free lies between */
        *offset = head;
        return tail - head >= units;
    }
    if (end - head >= units) {
        *offset = head;
        return true;
    }
    if (tail < units)
        return false;
    if (head < end)
        atomic_store_explicit(view_log(m, shard) + head, LAYOUT_FILLER, memory_order_relaxed);
    shard_set(&s->used, used + (end - head));
    shard_set(&s->head, 0);
    *offset = 0;
    return true;
}

/* Takes a run that find_run has found. */
static void take_run(struct memory *m, uint32_t shard, uint64_t units)
{
    struct layout_shard *s = view_shard(m, shard);
    uint64_t head = shard_get(&s->head) + units;

    shard_set(&s->head, head == m->layout.units ? 0 : head);
    shard_set(&s->used, shard_get(&s->used) + units);
}

static void pop_tail(struct memory *m, uint32_t shard, uint64_t units)
{
    struct layout_shard *s = view_shard(m, shard);
    uint64_t tail = shard_get(&s->tail) + units;

    shard_set(&s->tail, tail == m->layout.units ? 0 : tail);
    shard_set(&s->used, shard_get(&s->used) - units);
}

/* Appends the record anew that has just left the tail.  False when there is no run for it; then it has
 * to go.  The run may overlap where the record was, but only from below. */
static bool append_again(struct memory *m, uint32_t shard, uint32_t slot, uint64_t from,
                         const struct record *record)
{
    struct layout_bucket *bucket = view_bucket(m, slot);
    _Atomic uint32_t *version = bucket->version + slot % LAYOUT_SLOTS;
    uint16_t tag = index_word_load(m, slot).tag;
    uint64_t to;

    if (!find_run(m, shard, record->units, &to))
        return false;
    seq_write_begin(version);
    if (to != from)
        record_move(view_log(m, shard) + to, view_log(m, shard) + from, record->units);
    take_run(m, shard, record->units);
    index_publish_locked(m, slot, to, record->units, tag);
    return true;
}

static void give_up(struct memory *m, uint32_t slot, bool existed)
{
    shard_forget_locked(m, slot);
    memory_count(m, existed ? COUNT_MEMORY_EVICTIONS : COUNT_MEMORY_EXPIRED, 1);
}

static bool spares(struct memory *m, uint32_t slot, const struct record *record,
                   struct budget *budget)
{
    if (budget->moves == 0 || (budget->moved_units && budget->moved_units + record->units >
                                                          STEP_MOVED_UNITS))
        return false;
    if (!policy_spares_locked(m, slot))
        return false;
    budget->moves--;
    budget->moved_units += record->units;
    return true;
}

/* Takes one record from the tail.  False when the log is damaged. */
static bool drop_tail(struct memory *m, uint32_t shard, int64_t now_ms, struct budget *budget)
{
    struct layout_shard *s = view_shard(m, shard);
    uint64_t tail = shard_get(&s->tail), used = shard_get(&s->used), end = m->layout.units;
    const _Atomic uint64_t *words = view_log(m, shard) + tail;
    struct index_word w;
    struct record record;
    uint64_t units;

    if (used == 0 || tail >= end)
        return false;
    if (atomic_load_explicit(words, memory_order_relaxed) == LAYOUT_FILLER) {
        if (used < end - tail)
            return false;
        pop_tail(m, shard, end - tail);
        return true;
    }
    if (end - tail < LAYOUT_HEAD_WORDS)
        return false;
    units = atomic_load_explicit(words + 2, memory_order_relaxed) & UINT32_MAX;
    if (units > end - tail || units > used || !record_load(words, units, &record) ||
        record.slot / LAYOUT_SLOTS / m->layout.buckets != shard)
        return false;
    w = index_word_load(m, record.slot);
    pop_tail(m, shard, units);
    if (!w.empty && w.offset == tail) {
        bool exists = shard_exists(m, &record, now_ms);

        if (!exists || !spares(m, record.slot, &record, budget) ||
            !append_again(m, shard, record.slot, tail, &record))
            give_up(m, record.slot, exists);
    }
    return true;
}

enum vlog_status vlog_reserve_locked(struct memory *m, uint32_t shard, uint64_t units,
                                     int64_t now_ms, uint64_t *offset)
{
    struct budget budget = {STEP_DROPS, STEP_MOVES, 0};

    while (!find_run(m, shard, units, offset)) {
        if (budget.drops-- == 0)
            return VLOG_MORE;
        if (!drop_tail(m, shard, now_ms, &budget))
            return VLOG_DAMAGED;
    }
    take_run(m, shard, units);
    seq_write_fence();
    return VLOG_ROOM;
}
