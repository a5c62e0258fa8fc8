#include "memory/index.h"

#include "base/hash.h"
#include "memory/seq.h"

static uint32_t scale(uint32_t random, uint32_t n)
{
    return (uint32_t)((uint64_t)random * n >> 32);
}

struct memory_place index_place(const struct memory *m, const void *key, size_t key_length)
{
    uint64_t hash = hash_bytes(key, key_length, m->seed);
    uint64_t other = hash * UINT64_C(0x9e3779b97f4a7c15); /* 2^64 over the golden ratio */
    uint32_t buckets = m->layout.buckets;
    struct memory_place place;

    place.shard = (uint32_t)hash & (m->layout.shards - 1);
    place.tag = (uint16_t)(hash >> 8);
    place.bucket[0] = place.shard * buckets + scale((uint32_t)(hash >> 32), buckets);
    place.bucket[1] = place.shard * buckets + scale((uint32_t)(other >> 32), buckets);
    return place;
}

static struct index_word unpack(uint64_t word)
{
    struct index_word w = {word >> 36, word >> 16 & (LAYOUT_LENGTH_UNITS - 1), (uint16_t)word,
                           word == 0};

    return w;
}

struct index_word index_word_load(const struct memory *m, uint32_t slot)
{
    return unpack(atomic_load_explicit(view_bucket(m, slot)->word + slot % LAYOUT_SLOTS,
                                       memory_order_relaxed));
}

/* The record that a word points at, or NULL when the word makes no sense. */
static const _Atomic uint64_t *record_at(const struct memory *m, uint32_t shard,
                                         const struct index_word *w)
{
    if (w->empty || w->offset >= m->layout.units || w->units > m->layout.units - w->offset)
        return NULL;
    return view_log(m, shard) + w->offset;
}

static enum index_status read_candidate(const struct memory *m, uint32_t shard, uint32_t slot,
                                        const void *key, size_t key_length, void *buffer,
                                        size_t size, struct memory_entry *entry)
{
    struct layout_bucket *bucket = view_bucket(m, slot);
    const _Atomic uint32_t *version = bucket->version + slot % LAYOUT_SLOTS;
    const _Atomic uint64_t *words;
    enum index_status status = INDEX_ABSENT;
    struct index_word w;
    struct record record;
    uint32_t seen;

    if (!seq_read_begin(version, &seen))
        return INDEX_DISTURBED;
    w = index_word_load(m, slot);
    words = record_at(m, shard, &w);
    if (words && record_load(words, w.units, &record) &&
        record_has_key(words, &record, key, key_length)) {
        status = INDEX_FOUND;
        if (buffer && record.value_length > size)
            status = INDEX_SMALL;
        else if (buffer)
            record_copy_value(words, &record, buffer);
    }
    if (!seq_read_holds(version, seen))
        return INDEX_DISTURBED;
    if (status != INDEX_ABSENT) {
        entry->attributes = record.attributes;
        entry->length = record.value_length;
        entry->slot = slot;
        entry->version = seen;
    }
    return status;
}

enum index_status index_read(const struct memory *m, const struct memory_place *place,
                             const void *key, size_t key_length, void *buffer, size_t size,
                             struct memory_entry *entry)
{
    for (int b = 0; b < 2; b++) {
        const struct layout_bucket *bucket = m->buckets + place->bucket[b];

        for (uint32_t i = 0; i < LAYOUT_SLOTS; i++) {
            uint64_t word = atomic_load_explicit(bucket->word + i, memory_order_relaxed);
            enum index_status status;

            if (word == 0 || (uint16_t)word != place->tag)
                continue;
            status = read_candidate(m, place->shard, place->bucket[b] * LAYOUT_SLOTS + i, key,
                                    key_length, buffer, size, entry);
            if (status != INDEX_ABSENT)
                return status;
        }
    }
    return INDEX_ABSENT;
}

enum index_status index_read_slot(const struct memory *m, uint32_t slot, struct record *record,
                                  void *key)
{
    const _Atomic uint32_t *version = view_bucket(m, slot)->version + slot % LAYOUT_SLOTS;
    const _Atomic uint64_t *words;
    struct index_word w;
    bool found;
    uint32_t seen;

    if (!seq_read_begin(version, &seen))
        return INDEX_DISTURBED;
    w = index_word_load(m, slot);
    if (w.empty)
        return INDEX_ABSENT;
    words = record_at(m, slot / LAYOUT_SLOTS / m->layout.buckets, &w);
    found = words && record_load(words, w.units, record) && record->key_length <= MEMORY_KEY_MAX;
    if (found)
        record_copy_key(words, record, key);
    if (!seq_read_holds(version, seen))
        return INDEX_DISTURBED;
    return found ? INDEX_FOUND : INDEX_ABSENT;
}

uint32_t index_find_locked(const struct memory *m, const struct memory_place *place,
                           const void *key, size_t key_length, struct record *record)
{
    for (int b = 0; b < 2; b++) {
        for (uint32_t i = 0; i < LAYOUT_SLOTS; i++) {
            uint32_t slot = place->bucket[b] * LAYOUT_SLOTS + i;
            struct index_word w = index_word_load(m, slot);
            const _Atomic uint64_t *words = record_at(m, place->shard, &w);

            if (words && w.tag == place->tag && record_load(words, w.units, record) &&
                record_has_key(words, record, key, key_length))
                return slot;
        }
    }
    return INDEX_NONE;
}

static uint32_t empty_slots(const struct layout_bucket *bucket, uint32_t *first)
{
    uint32_t count = 0;

    for (uint32_t i = LAYOUT_SLOTS; i-- > 0;) {
        if (atomic_load_explicit(bucket->word + i, memory_order_relaxed) == 0) {
            *first = i;
            count++;
        }
    }
    return count;
}

/* The emptier of the two buckets (the power of two choices: Azar, Broder, Karlin, Upfal, 1994). */
uint32_t index_empty_locked(const struct memory *m, const struct memory_place *place)
{
    uint32_t first[2] = {0, 0};
    uint32_t count[2];
    int b;

    for (b = 0; b < 2; b++)
        count[b] = empty_slots(m->buckets + place->bucket[b], first + b);
    b = count[1] > count[0];
    return count[b] ? place->bucket[b] * LAYOUT_SLOTS + first[b] : INDEX_NONE;
}

static void set_word(const struct memory *m, uint32_t slot, uint64_t word)
{
    struct layout_bucket *bucket = view_bucket(m, slot);
    uint32_t i = slot % LAYOUT_SLOTS;

    seq_write_begin(bucket->version + i);
    atomic_store_explicit(bucket->word + i, word, memory_order_relaxed);
    seq_write_end(bucket->version + i);
}

void index_publish_locked(const struct memory *m, uint32_t slot, uint64_t offset, uint64_t units,
                          uint16_t tag)
{
    set_word(m, slot, offset << 36 | units << 16 | tag);
}

void index_empty_slot_locked(const struct memory *m, uint32_t slot)
{
    struct layout_bucket *bucket = view_bucket(m, slot);

    set_word(m, slot, 0);
    atomic_store_explicit(bucket->mark + slot % LAYOUT_SLOTS, 0, memory_order_relaxed);
}
