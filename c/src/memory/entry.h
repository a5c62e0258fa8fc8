/*
 * entry.h: how a single entry is written, for entry.c and the files of this room that write on a
 * condition.
 */
#ifndef TANDEM_MEMORY_ENTRY_H
#define TANDEM_MEMORY_ENTRY_H

#include "memory/record.h"
#include "memory/view.h"

enum write_kind { WRITE_PUT, WRITE_FILL, WRITE_COMMIT };

struct write {
    enum write_kind kind;
    struct memory_place place;
    const void *key, *value;
    size_t key_length, value_length;
    const struct memory_attributes *attributes;
    const struct memory_token *token; /* not of WRITE_PUT */
    /* NULL, or called in each hold of the lock before anything is changed, with the key's slot and the
     * head of its record, if it has one (INDEX_NONE: it has not): it may change value and attributes; any
     * answer but MEMORY_OK is the write's. */
    int (*decide)(struct memory *m, struct write *w, uint32_t slot, const struct record *old);
    int64_t now_ms;
    uint32_t log; /* chosen for the new record, or LOGS */
    int patience; /* what is left of POLICY_PATIENCE */
};

/* Fills in a write, but for attributes, token and decide. */
void entry_begin(struct memory *m, struct write *w, enum write_kind kind, const void *key,
                 size_t key_length, const void *value, size_t value_length);

/* Does it, in as many holds of the lock as it takes. */
int entry_write(struct memory *m, struct write *w, int64_t lock_us);

/* One hold's part of it.  MEMORY_MORE: there is no room yet, it takes another hold. */
int entry_write_locked(struct memory *m, struct write *w);

/* Removes an entry, as memory_delete. */
int entry_delete_locked(struct memory *m, const struct memory_place *place, const void *key,
                        size_t key_length, int64_t now_ms);

/* A key of that place was written: tokens of before no longer hold. */
void entry_count_own_write_locked(struct memory *m, const struct memory_place *place);

#endif
