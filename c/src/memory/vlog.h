/*
 * vlog.h: a shard's two logs of records, first in, first out.
 *
 * Records are appended at a log's head and leave at its tail.  Pages go to a log as its head needs them
 * and return when its tail has passed, so that the logs share the shard in whatever proportion the
 * policy likes, and no space is lost to fragments.  All functions are for the holder of the lock.
 */
#ifndef TANDEM_MEMORY_VLOG_H
#define TANDEM_MEMORY_VLOG_H

#include "memory/record.h"
#include "memory/shard.h"

static inline uint64_t vlog_head(const struct layout_shard *s, uint32_t log)
{
    return shard_get(&s->log[log].head);
}

static inline uint64_t vlog_tail(const struct layout_shard *s, uint32_t log)
{
    return shard_get(&s->log[log].tail);
}

static inline uint64_t vlog_used(const struct layout_shard *s, uint32_t log)
{
    return vlog_head(s, log) - vlog_tail(s, log);
}

static inline uint64_t vlog_dead(const struct layout_shard *s, uint32_t log)
{
    return vlog_used(s, log) - shard_get(&s->log[log].live);
}

/* Slots stand for so many units more, and so many fewer, of a log. */
static inline void vlog_count_live_locked(struct layout_shard *s, uint32_t log, uint64_t more,
                                          uint64_t fewer)
{
    shard_set(&s->log[log].live, shard_get(&s->log[log].live) + more - fewer);
}

/* Is there room for so many units more? */
bool vlog_has_room_locked(const struct memory *m, uint32_t shard, uint64_t units);

/* Lengthens a log by so many units, for which there is room.  False when there is none after all, which
 * only a damaged shard can be the cause of. */
bool vlog_append_locked(struct memory *m, uint32_t shard, uint32_t log, uint64_t units,
                        struct pages_place *place);

/* The record at a place, where its key belongs, and the slot that stands for it if it is live. */
struct vlog_record {
    struct pages_place place;
    struct record record;
    struct memory_place key;
    uint32_t slot;
    bool live;
};

/* Looks at the record at an offset between tail and head.  False when there is none or it makes no
 * sense. */
bool vlog_look_locked(const struct memory *m, uint32_t shard, uint32_t log, uint64_t offset,
                      struct vlog_record *found);

/* A hint that the record at an offset will be looked at soon, and then the next one.  Where that lies, and which
 * slot stands for this one, this one says. */
void vlog_prefetch(const struct memory *m, uint32_t shard, uint32_t log, uint64_t offset);

/* Drops the record at a log's tail, which no slot stands for any more. */
void vlog_drop_locked(struct memory *m, uint32_t shard, const struct vlog_record *tail);

/* Moves the live record at a log's tail to the head of either log.  False as vlog_append_locked. */
bool vlog_move_locked(struct memory *m, uint32_t shard, const struct vlog_record *tail,
                      uint32_t to_log);

/* Both logs empty, all pages free. */
void vlog_reset_locked(struct memory *m, uint32_t shard);

#endif
