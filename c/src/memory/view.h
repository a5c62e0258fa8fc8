/*
 * view.h: a process's view of a segment, shared by the files of this room.
 */
#ifndef TANDEM_MEMORY_VIEW_H
#define TANDEM_MEMORY_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memory/layout.h"
#include "memory/memory.h"

struct memory {
    struct layout_header *header;
    struct layout_shard *shards;
    struct layout_bucket *buckets;
    unsigned char *logs;
    struct layout layout;
    uint64_t seed;
    struct layout_counters *counters; /* the block of the process that opened the view */

    struct memory *next; /* the registry's, in memory.c */
    unsigned references;
    char *identity; /* the configuration's, with its path or rendezvous */
    int meeting_fd; /* holds a shared lock on the rendezvous's file, or -1 */
    char *meeting_path;
};

/* Where a key belongs. */
struct memory_place {
    uint32_t shard;
    uint32_t bucket[2]; /* numbers over all shards */
    uint16_t tag;
};

static inline struct layout_shard *view_shard(const struct memory *m, uint32_t shard)
{
    return m->shards + shard;
}

static inline _Atomic uint64_t *view_log(const struct memory *m, uint32_t shard)
{
    return (_Atomic uint64_t *)(void *)(m->logs + (uint64_t)shard * m->layout.units * LAYOUT_UNIT);
}

static inline struct layout_bucket *view_bucket(const struct memory *m, uint32_t slot)
{
    return m->buckets + slot / LAYOUT_SLOTS;
}

static inline uint32_t view_slot_count(const struct memory *m)
{
    return m->layout.shards * m->layout.buckets * LAYOUT_SLOTS;
}

#endif
