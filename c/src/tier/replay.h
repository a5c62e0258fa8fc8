/*
 * replay.h: telling Redis, when it is back, what was written while it was away.
 *
 * A write that Redis certainly has not got, done in memory under on_redis_error = "degrade", is remembered
 * in the segment (memory/replay.c).  One process at a time tells Redis, deletes first.  Until it has, reads
 * of such a key do not ask Redis, which knows better than nobody.  All but replay_remember, replay_allows
 * and replay_reads is for the I/O thread.
 */
#ifndef TANDEM_TIER_REPLAY_H
#define TANDEM_TIER_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memory/memory.h"

struct tier;
struct request;

struct replay {
    uint64_t owner;
    int64_t rest_until_ms; /* after a failure */
    int flights, deletes;  /* under way: all, and those that delete */
    uint32_t at[3];        /* where in the table the search of each kind goes on */
};

/* Remembers a write that was just done in memory alone.  False: there was no place. */
bool replay_remember(struct tier *tier, const char *key, size_t key_length, bool deletes,
                     int64_t ttl_ms, int64_t lock_us);

/* A new write of this key is to be sent.  False: it may not be now, but is to be remembered as well. */
bool replay_allows(struct tier *tier, const char *key, size_t key_length);

/* What a read of this key has to go by instead of Redis. */
enum memory_replay_kind replay_reads(struct tier *tier, const char *key, size_t key_length);

/* In a child: what is under way is the parent's. */
void replay_after_fork(struct tier *tier);

int64_t replay_tick(struct tier *tier, int64_t now_ms);
void replay_done(struct tier *tier, struct request *request);

#endif
