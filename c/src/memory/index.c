#include "memory/index.h"

#include "base/hash.h"
#include "memory/fault.h"
#include "memory/seq.h"

enum { BUCKETS = 2 * LAYOUT_GROUP }; /* that a key may be in */

static uint32_t scale(uint32_t random, uint32_t n)
{
    return (uint32_t)((uint64_t)random * n >> 32);
}

void index_place_to(const struct memory *m, const void *key, size_t key_length,
                    struct memory_place *place)
{
    uint64_t hash = hash_bytes(key, key_length, m->seed);
    uint64_t other = hash * UINT64_C(0x9e3779b97f4a7c15); /* 2^64 over the golden ratio */
    uint32_t groups = m->layout.buckets / LAYOUT_GROUP;
    uint32_t shard = (uint32_t)hash & (m->layout.shards - 1);

    place->shard = shard;
    place->tag = (uint16_t)(hash >> 8);
    place->slot[0] = (shard * groups + scale((uint32_t)(hash >> 32), groups)) * VIEW_GROUP_SLOTS;
    place->slot[1] = (shard * groups + scale((uint32_t)(other >> 32), groups)) * VIEW_GROUP_SLOTS;
    place->fingerprint = (uint16_t)(other >> 16);
    place->ghosts =
        scale((uint32_t)(hash >> 32), m->layout.ghosts / LAYOUT_GHOST_GROUP) * LAYOUT_GHOST_GROUP;
}

struct memory_place index_place(const struct memory *m, const void *key, size_t key_length)
{
    struct memory_place place;

    index_place_to(m, key, key_length, &place);
    return place;
}

/* Only the first group: most keys that are there are in it, and another page costs a walk of the tables. */
void index_prefetch(const struct memory *m, const struct memory_place *place)
{
    const struct layout_bucket *bucket = view_bucket(m, place->slot[0]);

    for (int i = 0; i < LAYOUT_GROUP; i++)
        __builtin_prefetch(bucket + i, 1);
}

/* Of one of the key's buckets. */
static inline uint32_t first_slot(const struct memory_place *key, uint32_t bucket)
{
    return key->slot[bucket / LAYOUT_GROUP] + bucket % LAYOUT_GROUP * LAYOUT_SLOTS;
}

/* Has any slot of a bucket a tag?  Without a branch for each. */
static inline bool is_tag_in(const struct memory *m, uint32_t first, uint16_t tag)
{
    const struct layout_bucket *bucket = view_bucket(m, first);
    bool found = false;

#pragma GCC unroll 4
    for (unsigned i = 0; i < LAYOUT_SLOTS; i++)
        found |= (uint16_t)atomic_load_explicit(bucket->word + i, memory_order_relaxed) == tag;
    return found;
}

static inline bool has_tag(const struct memory *m, uint32_t slot, uint16_t tag)
{
    uint64_t word = atomic_load_explicit(view_bucket(m, slot)->word + slot % LAYOUT_SLOTS,
                                         memory_order_relaxed);

    return word != 0 && (uint16_t)word == tag;
}

static inline struct index_word load_word(const struct memory *m, uint32_t shard, uint32_t slot)
{
    uint64_t word = atomic_load_explicit(view_bucket(m, slot)->word + slot % LAYOUT_SLOTS,
                                         memory_order_relaxed);
    struct index_word w;

    w.place.shard = shard;
    w.place.log = (uint32_t)(word >> 63);
    w.place.offset = word >> 36 & (LAYOUT_OFFSET_UNITS - 1);
    w.units = word >> 16 & (LAYOUT_LENGTH_UNITS - 1);
    w.tag = (uint16_t)word;
    w.empty = word == 0;
    return w;
}

struct index_word index_word_load(const struct memory *m, uint32_t slot)
{
    return load_word(m, view_shard_of(m, slot), slot);
}

bool index_record(const struct memory *m, const struct index_word *w, struct record *record)
{
    return !w->empty && record_load(m, &w->place, record) && record->units == w->units;
}

static inline enum index_status read_candidate(const struct memory *m, uint32_t shard,
                                               uint32_t slot, const void *key, size_t key_length,
                                               void *buffer, size_t size,
                                               struct memory_entry *entry)
{
    struct layout_bucket *bucket = view_bucket(m, slot);
    const _Atomic uint32_t *version = bucket->version + slot % LAYOUT_SLOTS;
    enum record_status status;
    struct index_word w;
    struct record record;
    uint32_t seen;

    if (!seq_read_begin(version, &seen))
        return INDEX_DISTURBED;
    w = load_word(m, shard, slot);
    status = w.empty ? RECORD_OTHER
                     : record_read(m, &w.place, w.units, key, key_length, buffer, size, &record);
    if (!seq_read_holds(version, seen))
        return INDEX_DISTURBED;
    if (status <= RECORD_VOID)
        return INDEX_ABSENT;
    entry->attributes = record.attributes;
    entry->length = record.value_length;
    entry->slot = slot;
    entry->version = seen;
    return status == RECORD_SMALL ? INDEX_SMALL : INDEX_FOUND;
}

enum index_status index_read(const struct memory *m, const struct memory_place *place,
                             const void *key, size_t key_length, void *buffer, size_t size,
                             struct memory_entry *entry)
{
    for (uint32_t bucket = 0; bucket < BUCKETS; bucket++) {
        uint32_t first = first_slot(place, bucket);

        if (!is_tag_in(m, first, place->tag))
            continue;
        for (uint32_t slot = first; slot < first + LAYOUT_SLOTS; slot++) {
            enum index_status status;

            if (!has_tag(m, slot, place->tag))
                continue;
            status = read_candidate(m, place->shard, slot, key, key_length, buffer, size, entry);
            if (status != INDEX_ABSENT)
                return status;
        }
    }
    return INDEX_ABSENT;
}

void index_prefetch_record(const struct memory *m, uint32_t slot)
{
    struct index_word w = index_word_load(m, slot);

    if (!w.empty)
        record_prefetch(m, &w.place);
}

enum index_status index_read_slot(const struct memory *m, uint32_t slot, struct record *record,
                                  void *key, size_t most)
{
    const _Atomic uint32_t *version = view_bucket(m, slot)->version + slot % LAYOUT_SLOTS;
    struct index_word w;
    bool found;
    uint32_t seen;

    if (!seq_read_begin(version, &seen))
        return INDEX_DISTURBED;
    w = index_word_load(m, slot);
    if (w.empty)
        return INDEX_ABSENT;
    found = index_record(m, &w, record) && record->key_length <= MEMORY_KEY_MAX;
    if (found)
        record_copy_key(m, &w.place, record, key,
                        record->key_length < most ? record->key_length : most);
    if (!seq_read_holds(version, seen))
        return INDEX_DISTURBED;
    return found ? INDEX_FOUND : INDEX_ABSENT;
}

uint32_t index_find_locked(const struct memory *m, const struct memory_place *place,
                           const void *key, size_t key_length, struct record *record)
{
    for (uint32_t bucket = 0; bucket < BUCKETS; bucket++) {
        uint32_t first = first_slot(place, bucket);

        if (!is_tag_in(m, first, place->tag))
            continue;
        for (uint32_t slot = first; slot < first + LAYOUT_SLOTS; slot++) {
            struct index_word w;

            if (!has_tag(m, slot, place->tag))
                continue;
            w = load_word(m, place->shard, slot);
            if (!record_read(m, &w.place, w.units, key, key_length, NULL, 0, record))
                continue;
            record->at = w.place;
            return slot;
        }
    }
    return INDEX_NONE;
}

static uint64_t word_of(const struct pages_place *place, uint64_t units, uint16_t tag)
{
    return (uint64_t)place->log << 63 | (place->offset & (LAYOUT_OFFSET_UNITS - 1)) << 36 |
           units << 16 | tag;
}

uint32_t index_bucket(const struct memory_place *key, uint32_t slot)
{
    uint32_t bucket = 0;

    while (slot - first_slot(key, bucket) >= LAYOUT_SLOTS)
        bucket++;
    return bucket;
}

uint32_t index_owner(const struct memory *m, const struct memory_place *key,
                     const struct pages_place *at, const struct record *record)
{
    uint32_t first = first_slot(key, record->bucket);
    uint64_t word = word_of(at, record->units, key->tag);

    for (uint32_t i = 0; i < LAYOUT_SLOTS; i++) {
        if (atomic_load_explicit(view_bucket(m, first)->word + i, memory_order_relaxed) == word)
            return first + i;
    }
    return INDEX_NONE;
}

void index_prefetch_owner(const struct memory *m, const struct memory_place *key,
                          const struct record *record)
{
    __builtin_prefetch(view_bucket(m, first_slot(key, record->bucket)), 1);
}

static uint32_t empty_slots(const struct memory *m, uint32_t slot, uint32_t *first)
{
    uint32_t count = 0;

    for (uint32_t i = VIEW_GROUP_SLOTS; i-- > 0;) {
        if (load_word(m, 0, slot + i).empty) {
            *first = slot + i;
            count++;
        }
    }
    return count;
}

/* The first group while it is not nearly full, so that most reads end there; else the emptier of the two
 * (the power of two choices: Azar, Broder, Karlin, Upfal, 1994). */
uint32_t index_empty_locked(const struct memory *m, const struct memory_place *place)
{
    uint32_t first[2] = {0, 0};
    uint32_t count[2];

    count[0] = empty_slots(m, place->slot[0], first);
    if (count[0] > VIEW_GROUP_SLOTS / 2)
        return first[0];
    count[1] = empty_slots(m, place->slot[1], first + 1);
    if (count[0] + count[1] == 0)
        return INDEX_NONE;
    return first[count[1] > count[0]];
}

static void set_word(struct memory *m, uint32_t slot, uint64_t word)
{
    struct layout_bucket *bucket = view_bucket(m, slot);
    uint32_t i = slot % LAYOUT_SLOTS;

    seq_write_begin(bucket->version + i);
    FAULT_POINT(SLOT_ODD);
    atomic_store_explicit(bucket->word + i, word, memory_order_relaxed);
    FAULT_POINT(SLOT_WORD);
    seq_write_end(bucket->version + i);
    FAULT_POINT(SLOT_EVEN);
}

void index_publish_locked(struct memory *m, uint32_t slot, const struct pages_place *place,
                          uint64_t units, uint16_t tag)
{
    set_word(m, slot, word_of(place, units, tag));
}

void index_empty_slot_locked(struct memory *m, uint32_t slot)
{
    struct layout_bucket *bucket = view_bucket(m, slot);

    set_word(m, slot, 0);
    atomic_store_explicit(bucket->mark + slot % LAYOUT_SLOTS, 0, memory_order_relaxed);
}
