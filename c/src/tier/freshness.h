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
    int64_t memory_ttl_ms;  /* no entry is served longer without asking Redis again */
    int64_t stale_ttl_ms;   /* what was stored is kept this long past its TTL */
    int64_t max_stale_ms;   /* with tracking asked for, but no link: an entry is fresh this long */
    int64_t provisional_ms; /* a write that is not confirmed yet is served this long */
    bool tracking;
};

/* How long to keep what is to live for ttl_ms; 0: for ever. */
int64_t freshness_kept_ms(const struct freshness_rules *rules, int64_t ttl_ms);

/* What is left of an entry's TTL, in ms; <= 0: it is past it.  INT64_MAX: for ever, or as long as this entry
 * is kept, whose own TTL is longer. */
int64_t freshness_left(const struct freshness_rules *rules,
                       const struct memory_attributes *attributes, int64_t now_ms);

/* The attributes of an entry that was read from Redis, or written to it, by a command sent at sent_ms.
 * ttl_ms is what the key had left then (PTTL's answer, what it is kept past its TTL included): < 0 none.  Of the exact expiry memory may cut
 * something off, never add.  leased: a tracking link is live, so that the entry is fresh as long as the
 * lease runs. */
struct memory_attributes freshness_attributes(const struct freshness_rules *rules, int64_t sent_ms,
                                              int64_t ttl_ms, bool leased);

/* The same of a write that is to be confirmed: it is fresh for provisional_ms after it was sent. */
struct memory_attributes freshness_provisional(const struct freshness_rules *rules, int64_t sent_ms,
                                               int64_t ttl_ms, bool leased, int64_t provisional_ms);

/* The attributes of an entry of a cache in memory only.  ttl_ms 0: for ever. */
struct memory_attributes freshness_memory_only(int64_t now_ms, int64_t ttl_ms);

enum freshness {
    FRESHNESS_FRESH, /* memory may answer */
    FRESHNESS_STALE, /* Redis is to be asked; memory may answer where it cannot be */
    FRESHNESS_GONE   /* there is no such entry */
};

/* lease_ms: the lease as it was read before the entry. */
enum freshness freshness_judge(const struct memory_entry *entry, int64_t lease_ms, int64_t now_ms);

#endif
