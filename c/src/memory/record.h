/*
 * record.h: records of the log, as words (drawn in layout.h).
 *
 * Readers look at records that a writer may be changing under them: every access is an atomic load or
 * store of a whole word, no length is believed before it has been held against the slot word, and what
 * was read counts only after the version has been checked.
 */
#ifndef TANDEM_MEMORY_RECORD_H
#define TANDEM_MEMORY_RECORD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memory/memory.h"

struct record {
    struct memory_attributes attributes;
    size_t key_length, value_length;
    uint32_t slot;
    uint64_t units; /* its length in the log, slack included */
};

/* Units that such a record needs. */
uint64_t record_units(size_t key_length, size_t value_length, uint32_t flags);

/* Reads a record's head.  False when it does not fit into units, which a torn read can look like. */
bool record_load(const _Atomic uint64_t *words, uint64_t units, struct record *record);

/* Are these the key's bytes? */
bool record_has_key(const _Atomic uint64_t *words, const struct record *record, const void *key,
                    size_t key_length);

void record_copy_key(const _Atomic uint64_t *words, const struct record *record, void *key);
void record_copy_value(const _Atomic uint64_t *words, const struct record *record, void *value);

/* Writes a whole record. */
void record_store(_Atomic uint64_t *words, const struct record *record, const void *key,
                  const void *value);

/* Moves a record down within a log (to < from), or to a place that does not overlap. */
void record_move(_Atomic uint64_t *to, const _Atomic uint64_t *from, uint64_t units);

#endif
