/*
 * freshness.h: how long memory may answer for an entry that Redis knows better.
 *
 * Pure: times come in as numbers of clock_now_ms(), nothing is looked up.
 */
#ifndef TANDEM_TIER_FRESHNESS_H
#define TANDEM_TIER_FRESHNESS_H

#include <stdbool.h>
#include <stdint.h>

#include "memory/memory.h"

/* What a handle promises about entries from Redis. */
struct freshness_rules {
    int64_t memory_ttl_ms; /* no entry is served longer without asking Redis again */
    int64_t max_stale_ms;  /* with tracking asked for, but no link: an entry is fresh this long */
    bool tracking;
};

/* The attributes of an entry that was read from Redis, or written to it, by a command sent at sent_ms.
 * ttl_ms is what the key had left then (PTTL's answer): < 0 none.  Of the exact expiry memory may cut
 * something off, never add. */
struct memory_attributes freshness_attributes(const struct freshness_rules *rules, int64_t sent_ms,
                                              int64_t ttl_ms);

/* The attributes of an entry of a cache in memory only.  ttl_ms 0: for ever. */
struct memory_attributes freshness_memory_only(int64_t now_ms, int64_t ttl_ms);

enum freshness {
    FRESHNESS_FRESH, /* memory may answer */
    FRESHNESS_STALE, /* Redis is to be asked; memory may answer where it cannot be */
    FRESHNESS_GONE   /* there is no such entry */
};

enum freshness freshness_judge(const struct memory_entry *entry, int64_t now_ms);

#endif
