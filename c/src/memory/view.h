/*
 * view.h: a process's view of a segment, shared by the files of this room.
 */
#ifndef TANDEM_MEMORY_VIEW_H
#define TANDEM_MEMORY_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memory/layout.h"
#include "memory/lock.h"
#include "memory/memory.h"

struct memory {
    struct layout_header *header;
    struct layout_shard *shards;
    struct layout_bucket *buckets;
    _Atomic uint32_t *ghosts;
    _Atomic uint16_t *tables;
    struct layout_replay *replays;
    struct layout_flight *flights;
    _Atomic uint64_t *tags;
    struct layout_lanes *lanes; /* NULL: none */
    unsigned char *pages;
    struct layout layout;
    uint64_t bytes; /* of the mapping */
    uint64_t seed;
    bool read_only; /* mapped so: no locks, no marks, and what is counted goes nowhere */
    struct layout_counters *counters;     /* this process's block */
    struct layout_histograms *histograms; /* and this */

    struct memory *next; /* the registry's, in memory.c */
    unsigned references;
    char *identity; /* the configuration's, with its path or rendezvous */
    int meeting_fd; /* holds a shared lock on the rendezvous's file, or -1 */
    char *meeting_path;
};

/* Fills in where everything is in a mapping of that size. */
void view_init(struct memory *m, struct layout_header *header, uint64_t bytes,
               const struct layout_wants *wants);

/* Are the locks in there locks?  What else is wrong in a file is found out shard by shard; a lock has to be
 * one before that. */
bool view_is_sound(const struct memory *m);

/* This process's blocks of counters; again after a fork. */
void view_choose_counters(struct memory *m);

/* lock_acquire of a lock of the segment, whose wait, if there was one, is counted. */
enum lock_status view_lock(struct memory *m, pthread_mutex_t *mutex, int64_t wait_us);

/* Where a key belongs. */
struct memory_place {
    uint32_t shard;
    uint32_t slot[2]; /* the first slots of its two groups, over all shards */
    uint16_t tag;
    uint16_t fingerprint; /* 16 other bits of the hash */
    uint32_t ghosts;      /* the group of ghosts it may be among, within the shard */
};

static inline struct layout_shard *view_shard(const struct memory *m, uint32_t shard)
{
    return m->shards + shard;
}

enum { VIEW_GROUP_SLOTS = LAYOUT_SLOTS * LAYOUT_GROUP };

static inline struct layout_bucket *view_bucket(const struct memory *m, uint32_t slot)
{
    return m->buckets + slot / LAYOUT_SLOTS;
}

static inline uint32_t view_shard_of(const struct memory *m, uint32_t slot)
{
    return slot / LAYOUT_SLOTS / m->layout.buckets;
}

static inline uint32_t view_slot_count(const struct memory *m)
{
    return m->layout.shards * m->layout.buckets * LAYOUT_SLOTS;
}

#endif
