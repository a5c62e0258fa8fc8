/*
 * record.h: records of the logs, as words (drawn in layout.h).
 *
 * Readers look at records that a writer may be changing under them: every access is an atomic load or
 * store of a whole word, no length is believed before it has been held against the slot word, and what
 * was read counts only after the version has been checked.
 */
#ifndef TANDEM_MEMORY_RECORD_H
#define TANDEM_MEMORY_RECORD_H

#include "memory/pages.h"

struct record {
    struct memory_attributes attributes;
    size_t key_length, value_length;
    uint32_t bucket;       /* which of its key's four has the slot that stands for it */
    uint32_t beginning;    /* of its value: what the head has of it */
    uint32_t used;         /* the policy's: when it was last useful, 24 bits */
    uint64_t units;        /* its length in the log, slack included */
    struct pages_place at; /* where it is: of index_find_locked alone */

    /* With MEMORY_TAGGED. */
    uint32_t tag_count;
    uint64_t tag_number;
    bool is_void; /* one of its tags does not hold any more */
};

/* Units that such a record needs: tag_count tags, of which there are some with MEMORY_TAGGED. */
uint64_t record_units(size_t key_length, size_t value_length, uint32_t flags, uint32_t tag_count);

/* A hint that its head and the beginning of its key will be looked at soon. */
void record_prefetch(const struct memory *m, const struct pages_place *place);

/* Reads a record's head.  False when it makes no sense, which a torn read can look like. */
bool record_load(const struct memory *m, const struct pages_place *place, struct record *record);

/* Not to be reordered: for a reader there is nothing up to RECORD_VOID, for a writer up to RECORD_OTHER. */
enum record_status { RECORD_OTHER, RECORD_VOID, RECORD_FOUND, RECORD_SMALL };

/* Is this a whole record of so many units and this key?  Then its head goes to record, and its value to
 * buffer unless that is NULL.  RECORD_SMALL: the value is longer than size.  RECORD_VOID: it is, and does not
 * exist any more, because of a tag.  One pass over the words. */
enum record_status record_read(const struct memory *m, const struct pages_place *place,
                               uint64_t units, const void *key, size_t key_length, void *buffer,
                               size_t size, struct record *record);

/* The hashes of its tags, record->tag_count of them. */
void record_copy_tags(const struct memory *m, const struct pages_place *place,
                      const struct record *record, uint32_t *hashes);

/* The first bytes of its key, record->key_length of them at most. */
void record_copy_key(const struct memory *m, const struct pages_place *place,
                     const struct record *record, void *key, size_t length);

/* Writes a whole record. */
void record_store(struct memory *m, const struct pages_place *place, const struct record *record,
                  const void *key, const void *value);

/* Writes its expiry alone. */
void record_store_expiry(struct memory *m, const struct pages_place *place,
                         const struct record *record);

/* Writes its policy field alone, for the holder of the shard's lock. */
void record_store_used(struct memory *m, const struct pages_place *place,
                       const struct record *record);

#endif
