/*
 * atomic.c: writes that depend on what is there.  The look and the change are in one hold of the shard's
 * lock; dying in it is dying in any write.
 */
#include "base/number.h"
#include "memory/entry.h"
#include "memory/fault.h"
#include "memory/index.h"
#include "memory/policy.h"
#include "memory/seq.h"
#include "memory/shard.h"

enum { NUMBER_MOST = 128 }; /* bytes of a value that is read as a number */

static bool is_entry(const struct memory *m, uint32_t slot, const struct record *record,
                     int64_t now_ms)
{
    return slot != INDEX_NONE && shard_exists(m, record, now_ms) &&
           !(record->attributes.flags & MEMORY_NEGATIVE);
}

/* -- Add and replace ----------------------------------------------------------------------------- */

static int if_absent_locked(struct memory *m, struct write *w, uint32_t slot,
                            const struct record *old)
{
    return is_entry(m, slot, old, w->now_ms) ? MEMORY_EXISTS : MEMORY_OK;
}

static int if_there_locked(struct memory *m, struct write *w, uint32_t slot,
                           const struct record *old)
{
    return is_entry(m, slot, old, w->now_ms) ? MEMORY_OK : MEMORY_ABSENT;
}

int memory_add(struct memory *m, const void *key, size_t key_length, const void *value,
               size_t value_length, const struct memory_attributes *attributes, int64_t lock_us)
{
    struct write w;

    entry_begin(m, &w, WRITE_PUT, key, key_length, value, value_length);
    w.attributes = attributes;
    w.token = NULL;
    w.decide = if_absent_locked;
    return entry_write(m, &w, lock_us);
}

int memory_replace(struct memory *m, const void *key, size_t key_length, const void *value,
                   size_t value_length, const struct memory_attributes *attributes, int64_t lock_us)
{
    struct write w;

    entry_begin(m, &w, WRITE_PUT, key, key_length, value, value_length);
    w.attributes = attributes;
    w.token = NULL;
    w.decide = if_there_locked;
    return entry_write(m, &w, lock_us);
}

/* -- Incr ---------------------------------------------------------------------------------------- */

struct incr {
    struct write w; /* first: decide gets a pointer to it */
    struct memory_addition *addition;
    struct memory_attributes attributes;
    char text[NUMBER_BYTES];
    struct memory_tags tags; /* the entry keeps them */
    uint32_t hashes[MEMORY_TAGS_MAX];
};

static bool read_number_locked(struct memory *m, const struct write *w, const struct record *old,
                               long double *number)
{
    char text[NUMBER_MOST];
    struct record record;

    return record_read(m, &old->at, old->units, w->key, w->key_length, text, sizeof(text),
                       &record) == RECORD_FOUND &&
           number_read(text, record.value_length, number);
}

static void keep_tags_locked(struct memory *m, struct incr *incr, const struct record *old)
{
    record_copy_tags(m, &old->at, old, incr->hashes);
    incr->tags = (struct memory_tags){old->tag_number, old->tag_count, incr->hashes};
    incr->attributes.tags = &incr->tags;
}

static int add_up_locked(struct memory *m, struct write *w, uint32_t slot, const struct record *old)
{
    struct incr *incr = (struct incr *)(void *)w;
    struct memory_addition *a = incr->addition;
    long double number = a->init;

    if (is_entry(m, slot, old, w->now_ms)) {
        if (!read_number_locked(m, w, old, &number))
            return MEMORY_NOT_A_NUMBER;
        incr->attributes = old->attributes;
        if (old->attributes.flags & MEMORY_TAGGED)
            keep_tags_locked(m, incr, old);
    } else if (a->with_init) {
        incr->attributes = a->attributes;
    } else {
        return MEMORY_ABSENT;
    }
    a->sum = number + a->by;
    w->value_length = number_write(a->sum, incr->text);
    return w->value_length ? MEMORY_OK : MEMORY_OUT_OF_RANGE;
}

int memory_incr(struct memory *m, const void *key, size_t key_length,
                struct memory_addition *addition, int64_t lock_us)
{
    struct incr incr;

    entry_begin(m, &incr.w, WRITE_PUT, key, key_length, NULL, 0);
    incr.w.value = incr.text;
    incr.w.attributes = &incr.attributes;
    incr.w.token = NULL;
    incr.w.decide = add_up_locked;
    incr.addition = addition;
    return entry_write(m, &incr.w, lock_us);
}

/* -- Expire -------------------------------------------------------------------------------------- */

/* A reader has the old expiry or the new one, and a near table is told. */
static void set_expiry_locked(struct memory *m, uint32_t slot, struct record *record,
                              int64_t expires_ms)
{
    _Atomic uint32_t *version = view_bucket(m, slot)->version + slot % LAYOUT_SLOTS;

    record->attributes.expires_ms =
        expires_ms < LAYOUT_EXPIRES_MAX ? expires_ms : LAYOUT_EXPIRES_MAX;
    seq_write_begin(version);
    FAULT_POINT(OVERWRITE_ODD);
    record_store_expiry(m, &record->at, record);
    FAULT_POINT(OVERWRITE_WRITTEN);
    seq_write_end(version);
    FAULT_POINT(OVERWRITE_EVEN);
}

int memory_expire(struct memory *m, const void *key, size_t key_length, int64_t expires_ms,
                  int64_t now_ms, int64_t lock_us)
{
    struct memory_place place = index_place(m, key, key_length);
    int status = MEMORY_ABSENT;
    struct record record;
    uint32_t slot;

    if (!shard_hold(m, place.shard, lock_us))
        return MEMORY_BUSY;
    slot = index_find_locked(m, &place, key, key_length, &record);
    if (is_entry(m, slot, &record, now_ms)) {
        set_expiry_locked(m, slot, &record, expires_ms);
        policy_touch(m, slot);
        entry_count_own_write_locked(m, &place);
        status = MEMORY_OK;
    }
    shard_release(m, place.shard);
    return status;
}
