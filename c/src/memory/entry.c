/*
 * entry.c: reads and writes of single entries; the part of memory.h that is called all the time.
 */
#include "memory/entry.h"

#include "base/clock.h"
#include "memory/fault.h"
#include "memory/ghosts.h"
#include "memory/index.h"
#include "memory/memory.h"
#include "memory/policy.h"
#include "memory/seq.h"
#include "memory/sweep.h"
#include "memory/vlog.h"

enum { READ_ATTEMPTS = 8, WRITE_STEPS = 4096 };

/* -- Reading ------------------------------------------------------------------------------------- */

/* A writer was in the way again and again: it may have died or been stopped in its write, or the key
 * may be that busy.  With the lock nothing can be in the way. */
static enum index_status read_holding(struct memory *m, const struct memory_place *place,
                                      const void *key, size_t key_length, void *buffer, size_t size,
                                      struct memory_entry *entry)
{
    enum index_status status;

    if (!shard_hold(m, place->shard, MEMORY_LOCK_US))
        return INDEX_DISTURBED;
    status = index_read(m, place, key, key_length, buffer, size, entry);
    shard_release(m, place->shard);
    return status;
}

int memory_get(struct memory *m, const void *key, size_t key_length, int64_t now_ms, bool peek,
               void *buffer, size_t size, struct memory_entry *entry)
{
    struct memory_place place = index_place(m, key, key_length);
    enum index_status status = index_read(m, &place, key, key_length, buffer, size, entry);

    if (status == INDEX_DISTURBED) {
        for (int i = 1; status == INDEX_DISTURBED && i < READ_ATTEMPTS; i++)
            status = index_read(m, &place, key, key_length, buffer, size, entry);
        memory_count(m, COUNT_MEMORY_RETRIES, 1);
        if (status == INDEX_DISTURBED)
            status = read_holding(m, &place, key, key_length, buffer, size, entry);
        if (status == INDEX_DISTURBED)
            return MEMORY_BUSY;
    }
    if (status == INDEX_ABSENT)
        return MEMORY_ABSENT;
    if (!shard_is_current(m, &entry->attributes, now_ms))
        return MEMORY_ABSENT;
    entry->epoch_holds =
        entry->attributes.epoch == atomic_load_explicit(&m->header->epoch, memory_order_acquire);
    if (!peek)
        policy_touch(m, entry->slot);
    return status == INDEX_SMALL ? MEMORY_SMALL : MEMORY_OK;
}

/* -- Writing ------------------------------------------------------------------------------------- */

static struct layout_bucket *home(const struct memory *m, const struct memory_place *place)
{
    return view_bucket(m, place->slot[0]);
}

void entry_count_own_write_locked(struct memory *m, const struct memory_place *place)
{
    FAULT_POINT(WRITE_DONE);
    _Atomic uint32_t *wseq = &home(m, place)->wseq;

    atomic_store_explicit(wseq, atomic_load_explicit(wseq, memory_order_relaxed) + 1,
                          memory_order_release);
    FAULT_POINT(WRITE_COUNTED);
}

void memory_token_read(struct memory *m, const void *key, size_t key_length,
                       struct memory_token *token)
{
    struct memory_place place = index_place(m, key, key_length);
    struct layout_bucket *bucket = home(m, &place);

    token->epoch = atomic_load_explicit(&m->header->epoch, memory_order_acquire);
    token->inval = atomic_load_explicit(&bucket->inval, memory_order_acquire);
    token->wseq = atomic_load_explicit(&bucket->wseq, memory_order_acquire);
    token->tags = memory_tag_number(m);
}

static bool token_holds_locked(struct memory *m, const struct write *w)
{
    const struct layout_bucket *bucket = home(m, &w->place);

    if (w->kind == WRITE_PUT)
        return true;
    if (w->token->epoch != atomic_load_explicit(&m->header->epoch, memory_order_acquire) ||
        w->token->wseq != atomic_load_explicit(&bucket->wseq, memory_order_relaxed))
        return false;
    return w->kind == WRITE_COMMIT ||
           w->token->inval == atomic_load_explicit(&bucket->inval, memory_order_relaxed);
}

static struct record record_of(struct memory *m, const struct write *w)
{
    struct record record = {.attributes = *w->attributes,
                            .key_length = w->key_length,
                            .value_length = w->value_length,
                            .used = policy_used_now_locked(m, w->place.shard)};
    struct memory_attributes *a = &record.attributes;

    if (a->expires_ms > LAYOUT_EXPIRES_MAX)
        a->expires_ms = LAYOUT_EXPIRES_MAX;
    a->epoch = w->kind == WRITE_PUT ? atomic_load_explicit(&m->header->epoch, memory_order_acquire)
                                    : w->token->epoch;
    if (a->flags & MEMORY_TAGGED) {
        record.tag_count = a->tags->count;
        record.tag_number = a->tags->number;
    }
    record.units = record_units(w->key_length, w->value_length, a->flags, record.tag_count);
    return record;
}

/* Overwrites in place what is not much larger than what comes. */
static bool overwrite_locked(struct memory *m, const struct write *w, uint32_t slot,
                             const struct record *old, struct record *record)
{
    struct layout_bucket *bucket = view_bucket(m, slot);
    _Atomic uint32_t *version = bucket->version + slot % LAYOUT_SLOTS;
    uint64_t slack = old->units - record->units;

    if (old->units < record->units || slack > record->units / 4 + 1 || slack > LAYOUT_SLACK_UNITS)
        return false;
    record->units = old->units;
    record->bucket = old->bucket;
    seq_write_begin(version);
    FAULT_POINT(OVERWRITE_ODD);
    record_store(m, &old->at, record, w->key, w->value);
    FAULT_POINT(OVERWRITE_WRITTEN);
    seq_write_end(version);
    FAULT_POINT(OVERWRITE_EVEN);
    return true;
}

static uint32_t slot_for_new_locked(struct memory *m, const struct write *w)
{
    uint32_t slot = index_empty_locked(m, &w->place);
    struct record victim;
    bool existed;

    if (slot != INDEX_NONE)
        return slot;
    slot = policy_victim_locked(m, &w->place, w->now_ms);
    existed = shard_record_locked(m, slot, &victim) && shard_exists(m, &victim, w->now_ms);
    shard_forget_locked(m, slot);
    FAULT_POINT(VICTIM_FORGOTTEN);
    shard_count_locked(m, w->place.shard, existed ? SHARD_EVICTIONS : SHARD_EXPIRED);
    return slot;
}

/* Writes a new record and lets the key's slot stand for it; the old one, if any, is dead then. */
static void append_locked(struct memory *m, const struct write *w, struct record *record,
                          const struct pages_place *at)
{
    struct layout_shard *s = view_shard(m, w->place.shard);
    struct record old;
    uint32_t slot = index_find_locked(m, &w->place, w->key, w->key_length, &old);

    if (slot != INDEX_NONE) {
        vlog_count_live_locked(s, old.at.log, 0, old.units);
        FAULT_POINT(OLD_DISCOUNTED);
    } else {
        slot = slot_for_new_locked(m, w);
        policy_new_slot_locked(m, slot);
        shard_set(&s->entries, shard_get(&s->entries) + 1);
        FAULT_POINT(ENTRY_COUNTED);
    }
    record->bucket = index_bucket(&w->place, slot);
    record_store(m, at, record, w->key, w->value);
    FAULT_POINT(RECORD_WRITTEN);
    index_publish_locked(m, slot, at, record->units, w->place.tag);
    FAULT_POINT(RECORD_PUBLISHED);
    vlog_count_live_locked(s, at->log, record->units, 0);
    FAULT_POINT(RECORD_LIVE);
}

static int store_locked(struct memory *m, struct write *w, uint32_t slot, const struct record *old)
{
    struct record record = record_of(m, w);
    struct pages_place at;

    if (slot == INDEX_NONE || !overwrite_locked(m, w, slot, old, &record)) {
        if (w->log == LOGS)
            w->log = slot == INDEX_NONE
                         ? policy_choose_locked(m, &w->place, record.units, w->now_ms)
                         : old->at.log;
        switch (policy_make_room_locked(m, w->place.shard, w->log, record.units, w->now_ms,
                                        &w->patience, &at)) {
        case POLICY_MORE:
            return MEMORY_MORE;
        case POLICY_DAMAGED:
            memory_count(m, COUNT_MEMORY_RESETS, 1);
            shard_reset_locked(m, w->place.shard);
            return MEMORY_MORE;
        case POLICY_ROOM:
            append_locked(m, w, &record, &at);
        }
    } else {
        policy_touch(m, slot);
    }
    shard_count_locked(m, w->place.shard, SHARD_SETS);
    return MEMORY_OK;
}

/* Removes the entry of a key if there is one.  MEMORY_OK: it existed. */
static int forget_locked(struct memory *m, const struct memory_place *place, const void *key,
                         size_t key_length, int64_t now_ms)
{
    struct record record;
    uint32_t slot = index_find_locked(m, place, key, key_length, &record);

    if (slot == INDEX_NONE)
        return MEMORY_ABSENT;
    shard_forget_locked(m, slot);
    return shard_exists(m, &record, now_ms) && !(record.attributes.flags & MEMORY_NEGATIVE)
               ? MEMORY_OK
               : MEMORY_ABSENT;
}

int entry_write_locked(struct memory *m, struct write *w)
{
    int status = MEMORY_REFUSED;
    struct record old;

    if (token_holds_locked(m, w)) {
        uint32_t slot = index_find_locked(m, &w->place, w->key, w->key_length, &old);

        status = w->decide ? w->decide(m, w, slot, &old) : MEMORY_OK;
        if (status != MEMORY_OK)
            return status;
        status = MEMORY_TOO_BIG;
        if (w->value_length <= m->layout.value_limit)
            status = store_locked(m, w, slot, &old);
        else
            memory_count(m, COUNT_MEMORY_TOO_LARGE, 1);
    }
    if (status == MEMORY_MORE)
        return status;
    if (status == MEMORY_REFUSED)
        memory_count(m, COUNT_MEMORY_REJECTED, 1);
    if (status == MEMORY_TOO_BIG || (status == MEMORY_REFUSED && w->kind == WRITE_COMMIT))
        forget_locked(m, &w->place, w->key, w->key_length, w->now_ms);
    if (w->kind != WRITE_FILL)
        entry_count_own_write_locked(m, &w->place);
    sweep_with_write_locked(m, w->place.shard, w->now_ms);
    return status;
}

/* Room for a large value is made in several holds of the lock, each of them short. */
int entry_write(struct memory *m, struct write *w, int64_t lock_us)
{
    for (int i = 0; i < WRITE_STEPS; i++) {
        int status;

        if (!shard_hold(m, w->place.shard, lock_us))
            return MEMORY_BUSY;
        status = entry_write_locked(m, w);
        shard_release(m, w->place.shard);
        if (status != MEMORY_MORE)
            return status;
    }
    return MEMORY_BUSY;
}

/* Filled in place: a struct put together in one place and copied to another stalls the processor. */
void entry_begin(struct memory *m, struct write *w, enum write_kind kind, const void *key,
                 size_t key_length, const void *value, size_t value_length)
{
    index_place_to(m, key, key_length, &w->place);
    index_prefetch(m, &w->place);
    ghosts_prefetch(m, &w->place);
    w->kind = kind;
    w->key = key;
    w->value = value;
    w->key_length = key_length;
    w->value_length = value_length;
    w->now_ms = clock_coarse_ms();
    w->log = LOGS;
    w->patience = POLICY_PATIENCE;
}

int memory_put(struct memory *m, const void *key, size_t key_length, const void *value,
               size_t value_length, const struct memory_attributes *attributes, int64_t lock_us)
{
    struct write w;

    entry_begin(m, &w, WRITE_PUT, key, key_length, value, value_length);
    w.attributes = attributes;
    w.token = NULL;
    w.decide = NULL;
    return entry_write(m, &w, lock_us);
}

int memory_fill(struct memory *m, const void *key, size_t key_length, const void *value,
                size_t value_length, const struct memory_attributes *attributes,
                const struct memory_token *token, int64_t lock_us)
{
    struct write w;

    entry_begin(m, &w, WRITE_FILL, key, key_length, value, value_length);
    w.attributes = attributes;
    w.token = token;
    w.decide = NULL;
    return entry_write(m, &w, lock_us);
}

int memory_commit(struct memory *m, const void *key, size_t key_length, const void *value,
                  size_t value_length, const struct memory_attributes *attributes,
                  const struct memory_token *token, int64_t lock_us)
{
    struct write w;
    int status;

    entry_begin(m, &w, WRITE_COMMIT, key, key_length, value, value_length);
    w.attributes = attributes;
    w.token = token;
    w.decide = NULL;
    status = entry_write(m, &w, lock_us);
    if (status == MEMORY_BUSY)
        memory_drop_all(m);
    return status;
}

int entry_delete_locked(struct memory *m, const struct memory_place *place, const void *key,
                        size_t key_length, int64_t now_ms)
{
    int status = forget_locked(m, place, key, key_length, now_ms);

    entry_count_own_write_locked(m, place);
    return status;
}

int memory_delete(struct memory *m, const void *key, size_t key_length, int64_t now_ms,
                  int64_t lock_us)
{
    struct memory_place place = index_place(m, key, key_length);
    int status;

    if (!shard_hold(m, place.shard, lock_us))
        return MEMORY_BUSY;
    status = entry_delete_locked(m, &place, key, key_length, now_ms);
    shard_release(m, place.shard);
    if (status == MEMORY_OK)
        memory_count(m, COUNT_MEMORY_DELETES, 1);
    return status;
}

int memory_drop(struct memory *m, const void *key, size_t key_length, int64_t now_ms,
                int64_t lock_us)
{
    int status = memory_delete(m, key, key_length, now_ms, lock_us);

    if (status == MEMORY_BUSY)
        memory_drop_all(m);
    return status;
}
