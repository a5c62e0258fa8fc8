/*
 * seq.h: version words, and every memory order of the read path.
 *
 * A slot's version is odd while its holder changes what the slot stands for.  A reader takes the
 * version, reads with relaxed atomic loads, and believes what it read if the version is still the
 * same.  Why that is enough: whoever overwrites bytes that a slot stood for has first changed that
 * slot's version, then passed a release fence; a reader that saw one of the new bytes passes an acquire
 * fence before it looks at the version again, and so sees the change.
 */
#ifndef TANDEM_MEMORY_SEQ_H
#define TANDEM_MEMORY_SEQ_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The thread sanitizer does not know fences; the data they order is atomic anyway. */
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wtsan"
#endif

/* The version to read under; false while a writer is at it. */
static inline bool seq_read_begin(const _Atomic uint32_t *version, uint32_t *seen)
{
    *seen = atomic_load_explicit(version, memory_order_acquire);
    return (*seen & 1) == 0;
}

/* Did nothing change since? */
static inline bool seq_read_holds(const _Atomic uint32_t *version, uint32_t seen)
{
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(version, memory_order_relaxed) == seen;
}

/* Before pages get a new place and bytes of the log are written: what was taken from slots so far, by
 * whichever process, is seen first.  The shard's lock is held. */
static inline void seq_write_fence(void)
{
    atomic_thread_fence(memory_order_release);
}

/* From here on readers of this slot try again.  The shard's lock is held. */
static inline void seq_write_begin(_Atomic uint32_t *version)
{
    uint32_t now = atomic_load_explicit(version, memory_order_relaxed);

    atomic_store_explicit(version, now | 1, memory_order_relaxed);
    seq_write_fence();
}

/* Readers see what was written since.  A version that a dead writer left odd is mended by the pair. */
static inline void seq_write_end(_Atomic uint32_t *version)
{
    uint32_t now = atomic_load_explicit(version, memory_order_relaxed);

    atomic_store_explicit(version, (now | 1) + 1, memory_order_release);
}

#endif
