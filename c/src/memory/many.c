/*
 * many.c: writes of many keys, with one hold of a lock for all keys of its shard; or for as many as others may
 * have to wait for.
 */
#include "memory/entry.h"
#include "memory/index.h"
#include "memory/memory.h"
#include "memory/shard.h"

enum {
    NONE = -1,
    HOLD_KEYS = 128,
    HOLD_BYTES = 65536 /* of values */
};

/* What is to be done, and to which. */
struct batch {
    struct memory *m;
    struct memory_item *items;
    const struct memory_attributes *attributes; /* NULL: they are deleted */
    int64_t now_ms, lock_us;
};

/* The items of each shard become a list.  Where each list begins. */
static void sort_out(const struct batch *b, size_t count, int32_t first[])
{
    int32_t last[LAYOUT_SHARDS_MAX];

    for (uint32_t shard = 0; shard < LAYOUT_SHARDS_MAX; shard++)
        first[shard] = NONE;
    for (size_t i = 0; i < count; i++) {
        struct memory_item *item = b->items + i;
        uint32_t shard = index_place(b->m, item->key, item->key_length).shard;

        item->next = NONE;
        item->status = MEMORY_BUSY;
        if (first[shard] == NONE)
            first[shard] = (int32_t)i;
        else
            b->items[last[shard]].next = (int32_t)i;
        last[shard] = (int32_t)i;
    }
}

/* In one hold, as far as it goes.  A write that needs others is left in w.  The item that comes next. */
static int32_t do_locked(const struct batch *b, int32_t at, struct write *w)
{
    size_t bytes = 0;

    for (int n = 0; at != NONE && n < HOLD_KEYS && bytes < HOLD_BYTES; n++) {
        struct memory_item *item = b->items + at;

        at = item->next;
        entry_begin(b->m, w, WRITE_PUT, item->key, item->key_length, item->value,
                    item->value_length);
        if (!b->attributes) {
            item->status =
                entry_delete_locked(b->m, &w->place, item->key, item->key_length, b->now_ms);
            continue;
        }
        w->attributes = b->attributes;
        w->token = NULL;
        w->decide = NULL;
        item->status = entry_write_locked(b->m, w);
        if (item->status == MEMORY_MORE)
            break;
        bytes += item->value_length;
    }
    return at;
}

static void do_shard(const struct batch *b, uint32_t shard, int32_t at)
{
    while (at != NONE && shard_hold(b->m, shard, b->lock_us)) {
        struct memory_item *item;
        struct write w;
        int32_t next = do_locked(b, at, &w);

        shard_release(b->m, shard);
        for (; at != next; at = item->next) {
            item = b->items + at;
            if (item->status == MEMORY_MORE)
                item->status = entry_write(b->m, &w, b->lock_us);
        }
    }
}

static void do_all(const struct batch *b, size_t count)
{
    int32_t first[LAYOUT_SHARDS_MAX];

    sort_out(b, count, first);
    for (uint32_t shard = 0; shard < b->m->layout.shards; shard++)
        do_shard(b, shard, first[shard]);
}

void memory_put_many(struct memory *m, struct memory_item *items, size_t count,
                     const struct memory_attributes *attributes, int64_t lock_us)
{
    const struct batch b = {m, items, attributes, 0, lock_us};

    do_all(&b, count);
}

void memory_delete_many(struct memory *m, struct memory_item *items, size_t count, int64_t now_ms,
                        int64_t lock_us)
{
    const struct batch b = {m, items, NULL, now_ms, lock_us};
    uint64_t gone = 0;

    do_all(&b, count);
    for (size_t i = 0; i < count; i++)
        gone += items[i].status == MEMORY_OK;
    memory_count(m, COUNT_MEMORY_DELETES, gone);
}
