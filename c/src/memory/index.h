/*
 * index.h: from a key to the slot that stands for it.
 *
 * A key may be in any of the sixteen slots of its two groups and never moves between slots, so that a
 * slot's version word, once found, stays the one to watch.
 */
#ifndef TANDEM_MEMORY_INDEX_H
#define TANDEM_MEMORY_INDEX_H

#include "memory/record.h"
#include "memory/view.h"

#define INDEX_NONE UINT32_MAX

enum index_status { INDEX_FOUND, INDEX_ABSENT, INDEX_SMALL, INDEX_DISTURBED };

struct memory_place index_place(const struct memory *m, const void *key, size_t key_length);
void index_place_to(const struct memory *m, const void *key, size_t key_length,
                    struct memory_place *place);

/* A hint that a key's slots will be looked at soon. */
void index_prefetch(const struct memory *m, const struct memory_place *place);

/* One attempt to read an entry without a lock.  With buffer NULL the value is not copied.
 * INDEX_DISTURBED: a writer was in the way, nothing is known. */
enum index_status index_read(const struct memory *m, const struct memory_place *place,
                             const void *key, size_t key_length, void *buffer, size_t size,
                             struct memory_entry *entry);

/* Reads whatever record a slot stands for, with the first bytes of its key, most at most (MEMORY_KEY_MAX is
 * always enough).
 * INDEX_FOUND, INDEX_ABSENT (the slot is empty), INDEX_DISTURBED. */
enum index_status index_read_slot(const struct memory *m, uint32_t slot, struct record *record,
                                  void *key, size_t most);

/* Which of its key's slots stands for a record; or INDEX_NONE: it is dead.  Without the lock the answer counts as
 * long as that slot's version has not changed. */
uint32_t index_owner(const struct memory *m, const struct memory_place *key,
                     const struct pages_place *at, const struct record *record);

/* For record->bucket: which of its key's buckets a slot is in. */
uint32_t index_bucket(const struct memory_place *key, uint32_t slot);

/* A hint that index_owner will be asked soon. */
void index_prefetch_owner(const struct memory *m, const struct memory_place *key,
                          const struct record *record);

/* A hint that the record of a slot will be looked at soon. */
void index_prefetch_record(const struct memory *m, uint32_t slot);

/* The rest is for the holder of the shard's lock. */

/* The slot that stands for a key, and its record's head; or INDEX_NONE. */
uint32_t index_find_locked(const struct memory *m, const struct memory_place *place,
                           const void *key, size_t key_length, struct record *record);

/* A slot for a new key: an empty one, or INDEX_NONE when all sixteen are taken. */
uint32_t index_empty_locked(const struct memory *m, const struct memory_place *place);

/* What a slot's word says. */
struct index_word {
    struct pages_place place;
    uint64_t units;
    uint16_t tag;
    bool empty;
};
struct index_word index_word_load(const struct memory *m, uint32_t slot);

/* The head of the record that a word stands for.  False when there is none that makes sense. */
bool index_record(const struct memory *m, const struct index_word *w, struct record *record);

/* Makes a slot stand for a record that has been written, or for none. */
void index_publish_locked(struct memory *m, uint32_t slot, const struct pages_place *place,
                          uint64_t units, uint16_t tag);
void index_empty_slot_locked(struct memory *m, uint32_t slot);

#endif
