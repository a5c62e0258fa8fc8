/*
 * aftermath.h: what must hold while a writer stands still, after it died, and when all is well again.
 */
#ifndef TANDEM_TEST_MEMORY_AFTERMATH_H
#define TANDEM_TEST_MEMORY_AFTERMATH_H

#include "scene.h"

CHECK_UNUSED uint32_t slots(void)
{
    return m->layout.buckets * LAYOUT_SLOTS; /* of the first shard */
}

CHECK_UNUSED uint32_t version_of(uint32_t slot)
{
    return atomic_load(view_bucket(m, slot)->version + slot % LAYOUT_SLOTS);
}

CHECK_UNUSED uint64_t entries_in_slots(uint64_t units[LOGS])
{
    uint64_t entries = 0;

    units[LOG_SMALL] = units[LOG_MAIN] = 0;
    for (uint32_t slot = 0; slot < slots(); slot++) {
        struct index_word w = index_word_load(m, slot);

        entries += !w.empty;
        if (!w.empty)
            units[w.place.log] += w.units;
        CHECK_INT(0, version_of(slot) & 1);
    }
    return entries;
}

/* Each page belongs to one log or to nobody, and each log is a row of records. */
CHECK_UNUSED void check_pages(const struct layout_shard *s)
{
    uint64_t length = UINT64_C(1) << m->layout.page_shift, pages = s->free_pages;
    bool *seen = calloc(m->layout.pages, sizeof(*seen));
    const _Atomic uint16_t *stack = pages_table(m, SHARD) + LOGS * m->layout.table_length;

    for (uint32_t i = 0; i < s->free_pages; i++)
        seen[atomic_load(stack + i)] = true;
    for (uint32_t log = 0; log < LOGS; log++) {
        uint64_t tail = vlog_tail(s, log), head = vlog_head(s, log);

        for (uint64_t at = tail & ~(length - 1); at < head || at == (head & ~(length - 1));
             at += length) {
            struct pages_place place = {SHARD, log, at};

            if (at == head)
                break;
            seen[(size_t)(pages_run_at(m, &place).words - (_Atomic uint64_t *)(void *)m->pages) /
                 length] = true;
            pages++;
        }
        while (tail < head) {
            struct vlog_record found;

            REQUIRE(vlog_look_locked(m, SHARD, log, tail, &found));
            tail += found.record.units;
        }
        CHECK_INT(head, tail);
    }
    CHECK_INT(m->layout.pages, pages);
    for (uint32_t page = 0; page < m->layout.pages; page++)
        CHECK(seen[page]);
    free(seen);
}

CHECK_UNUSED void check_books(void)
{
    const struct layout_shard *s = view_shard(m, SHARD);
    uint64_t units[LOGS];

    CHECK_INT(entries_in_slots(units), s->entries);
    for (uint32_t log = 0; log < LOGS; log++) {
        CHECK_INT(units[log], s->log[log].live);
        CHECK(vlog_used(s, log) >= units[log]);
    }
    CHECK_INT(metric(m, COUNT_MEMORY_CAPACITY), metric(m, COUNT_MEMORY_LIVE) +
                                                    metric(m, COUNT_MEMORY_DEAD) +
                                                    metric(m, COUNT_MEMORY_FREE));
    check_pages(s);
}

CHECK_UNUSED uint64_t words_in_slots(void)
{
    uint64_t count = 0;

    for (uint32_t slot = 0; slot < slots(); slot++)
        count += !index_word_load(m, slot).empty;
    return count;
}

/* What a worker remembers of an entry it has read. */
struct near {
    int64_t serial;
    uint32_t slot, version, epoch;
};

/* It does not come again while either grows. */
CHECK_UNUSED uint32_t near_epoch(void)
{
    return atomic_load(&m->header->epoch) + memory_tag_epoch(m);
}

struct before {
    struct near near[KEYS];
    uint32_t *versions;
    struct memory_token token; /* of the first key */
    double lost;
    uint64_t entries;
};

CHECK_UNUSED void remember(struct before *b)
{
    struct memory_entry entry;
    uint32_t epoch = near_epoch();

    for (uint32_t slot = 0; slot < slots(); slot++)
        b->versions[slot] = version_of(slot);
    memory_token_read(m, keys[0], strlen(keys[0]), &b->token);
    for (uint32_t key = 0; key < KEYS; key++) {
        b->near[key] = (struct near){look(key, &entry), 0, 0, epoch};
        b->near[key].slot = b->near[key].serial > 0 ? entry.slot : 0;
        b->near[key].version = b->near[key].serial > 0 ? entry.version : 0;
    }
}

CHECK_UNUSED bool may_be(uint32_t key, int64_t serial)
{
    return serial == 0 || serial == scene->acked[key] ||
           ((int32_t)key == scene->pending && serial == scene->pending_serial) ||
           (key < scene->together && serial == scene->first_together + key);
}

/* The same for what workers remember.  An operation on many keys is not announced key by key. */
CHECK_UNUSED void check_near(const struct before *b)
{
    for (uint32_t key = 0; key < KEYS; key++) {
        const struct near *n = b->near + key;

        if (n->serial > 0 && n->epoch == near_epoch() && version_of(n->slot) == n->version)
            CHECK(may_be(key, n->serial));
    }
}

/* The counter is as it was or as it was to be, and so is the first key's expiry. */
CHECK_UNUSED void check_sums(void)
{
    int64_t counted = look_at_counter();
    struct memory_entry entry;

    CHECK(counted == 0 || counted == scene->counted || counted == scene->counting);
    if (scene->expires_ms[1] && look(0, &entry) > 0 && scene->acked[0])
        CHECK(entry.attributes.expires_ms == scene->expires_ms[0] ||
              entry.attributes.expires_ms == scene->expires_ms[1]);
}

CHECK_UNUSED int check_values(void)
{
    struct memory_entry entry;
    int busy = 0;

    check_sums();
    for (uint32_t key = 0; key < KEYS; key++) {
        int64_t serial = look(key, &entry);

        busy += serial < 0;
        if (serial >= 0 && !CHECK(may_be(key, serial)))
            printf("key %u: %lld instead of %u\n", key, (long long)serial, scene->acked[key]);
    }
    return busy;
}

CHECK_UNUSED void check_service(void)
{
    struct memory_entry entry;

    scene->pending = -1;
    scene->together = 0;
    scene->expires_ms[1] = 0;
    for (uint32_t key = 0; key < 20; key++) {
        put_usual(key);
        CHECK_INT(scene->acked[key], look(key, &entry));
        CHECK_INT(scene->serial, scene->acked[key]);
    }
    delete_key(0);
    CHECK_INT(0, look(0, &entry));
    scene->counted = look_at_counter();
    count(5);
    CHECK(look_at_counter() >= 5);
    CHECK_INT(0, check_values());
    check_books();
}

/* After its holder's death, the first who wants the lock empties the shard. */
CHECK_UNUSED void check_recovery(const struct before *b, bool locked)
{
    double resets = metric(m, COUNT_MEMORY_RESETS), lost = metric(m, COUNT_MEMORY_LOST);
    uint64_t there = words_in_slots(), unmoved = 0;
    struct memory_token token;

    check_near(b);
    CHECK_INT(0, check_values());
    CHECK(shard_hold(m, SHARD, MEMORY_LOCK_US));
    shard_release(m, SHARD);
    CHECK_INT(locked, metric(m, COUNT_MEMORY_RESETS) - resets);
    if (!locked)
        return;
    CHECK_INT(there, metric(m, COUNT_MEMORY_LOST) - lost);
    CHECK_INT(0, words_in_slots());
    for (uint32_t slot = 0; slot < slots(); slot++)
        unmoved += version_of(slot) == b->versions[slot];
    CHECK_INT(0, unmoved);
    memory_token_read(m, keys[0], strlen(keys[0]), &token);
    CHECK(token.wseq != b->token.wseq);
    check_books();
}

/* While the holder stands still, nobody waits beyond his bound, and nobody sees what is half done. */
CHECK_UNUSED void check_bounds(const struct before *b, bool locked, bool drop)
{
    int64_t start_us = clock_now_us();
    struct memory_entry entry;
    int busy;

    check_near(b);
    busy = check_values();
    CHECK(locked ? busy < 3 : busy == 0);
    if (!locked)
        return;
    CHECK_INT(MEMORY_BUSY, put(m, keys[1], "new"));
    CHECK_INT(MEMORY_BUSY, memory_delete(m, keys[1], strlen(keys[1]), 0, MEMORY_LOCK_US));
    if (drop) {
        CHECK_INT(MEMORY_BUSY, memory_drop(m, keys[1], strlen(keys[1]), 0, MEMORY_LOCK_US));
        memset(scene->acked, 0, sizeof(scene->acked));
        CHECK(look(1, &entry) <= 0);
    }
    CHECK(clock_now_us() - start_us < 5000000);
}

#endif
