/*
 * behind.h: writes under way that nobody waits for.
 *
 * Their caller was told "queued" and may read the key at once.  Memory has dropped it, but a reader in
 * another process may have put the older value back before the write reached Redis.  So a key with such
 * a write under way in this process is not read from memory: the read queues behind the write, on the
 * same connection.  Keys are counted by hash, so one may wait for another's write: harmless and rare.
 */
#ifndef TANDEM_TIER_BEHIND_H
#define TANDEM_TIER_BEHIND_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/hash.h"

enum { BEHIND_BUCKETS = 256, BEHIND_NONE = BEHIND_BUCKETS };

struct behind {
    _Atomic unsigned total; /* the one that every read looks at */
    _Atomic unsigned count[BEHIND_BUCKETS];
};

static inline unsigned behind_bucket(const void *key, size_t key_length)
{
    return (unsigned)hash_bytes(key, key_length, 0) % BEHIND_BUCKETS;
}

/* Before the write is submitted.  What it returns goes to behind_end. */
static inline unsigned behind_begin(struct behind *behind, const void *key, size_t key_length)
{
    unsigned bucket = behind_bucket(key, key_length);

    atomic_fetch_add_explicit(behind->count + bucket, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&behind->total, 1, memory_order_relaxed);
    return bucket;
}

/* After memory has what came of the write: whoever sees the count go sees that too. */
static inline void behind_end(struct behind *behind, unsigned bucket)
{
    if (bucket == BEHIND_NONE)
        return;
    atomic_fetch_sub_explicit(behind->count + bucket, 1, memory_order_release);
    atomic_fetch_sub_explicit(&behind->total, 1, memory_order_release);
}

static inline bool behind_has(const struct behind *behind, const void *key, size_t key_length)
{
    if (atomic_load_explicit(&behind->total, memory_order_acquire) == 0)
        return false;
    return atomic_load_explicit(behind->count + behind_bucket(key, key_length),
                                memory_order_acquire) != 0;
}

/* In a child of fork(): the writes are the parent's. */
static inline void behind_forget(struct behind *behind)
{
    atomic_store_explicit(&behind->total, 0, memory_order_relaxed);
    for (int i = 0; i < BEHIND_BUCKETS; i++)
        atomic_store_explicit(behind->count + i, 0, memory_order_relaxed);
}

#endif
