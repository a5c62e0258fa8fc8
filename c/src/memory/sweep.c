/*
 * sweep.c: a hand that goes round the slots of each shard, moved on by the writes of that shard.
 *
 * An expired entry takes nobody's way: it is not found, and the tail of its log drops it before anything
 * that lives.  But until then it takes room that its log could otherwise give to others, and counts as an
 * entry.  So writers, who hold the lock anyway and are why room is needed, look at a few slots each; a
 * cache that is not written to needs no room.  What costs is to wait for memory: the records of a whole
 * stretch are fetched at once.
 */
#include "memory/sweep.h"

#include "memory/index.h"
#include "memory/pages.h"
#include "memory/shard.h"

enum { WRITES = 16, STRETCH = 16 }; /* slots looked at in every sixteenth write */

static void fetch(struct memory *m, uint32_t first)
{
    for (uint32_t slot = first; slot < first + STRETCH; slot++) {
        struct index_word w = index_word_load(m, slot);

        if (!w.empty)
            __builtin_prefetch((const void *)pages_run_at(m, &w.place).words);
    }
}

static void sweep(struct memory *m, uint32_t shard, uint32_t first, int64_t now_ms)
{
    struct record record;

    fetch(m, first);
    for (uint32_t slot = first; slot < first + STRETCH; slot++) {
        if (shard_record_locked(m, slot, &record) && !shard_exists(m, &record, now_ms)) {
            shard_forget_locked(m, slot);
            shard_count_locked(m, shard, SHARD_EXPIRED);
        }
    }
}

void sweep_with_write_locked(struct memory *m, uint32_t shard, int64_t now_ms)
{
    struct layout_shard *s = view_shard(m, shard);
    uint32_t slots = m->layout.buckets * LAYOUT_SLOTS;

    if (++s->writes % WRITES != 0)
        return;
    if (s->hand > slots - STRETCH) /* the last stretch overlaps */
        s->hand = slots - STRETCH;
    sweep(m, shard, shard * slots + s->hand, now_ms);
    s->hand = s->hand == slots - STRETCH ? 0 : s->hand + STRETCH;
}
