/*
 * office.h: which two of the processes that share a segment have a tracking link, and how one that goes
 * hands over to one that comes.  The I/O thread's alone.
 */
#ifndef TANDEM_TIER_OFFICE_H
#define TANDEM_TIER_OFFICE_H

#include <stdbool.h>
#include <stdint.h>

struct tier;

/* 0: no handle wants tracking. */
int64_t office_max_stale(const struct tier *tier);

/* How long after one heartbeat of the link the next is sent. */
int64_t office_beat(const struct tier *tier);

/* Has another process a link that has begun? */
bool office_others_cover(const struct tier *tier, int64_t now_ms);

/* Takes, keeps or gives up a place, and has the link follow.  When it wants to be called again. */
int64_t office_tick(struct tier *tier, int64_t now_ms);

/* The process exits: may this link go now?  It may when another covers for it, when nobody would, or after
 * a second. */
bool office_may_stop(struct tier *tier, int64_t now_ms);

#endif
