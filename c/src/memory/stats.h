/*
 * stats.h: the table of everything that is counted, one row each; the struct of counters in the
 * segment, stats(), Prometheus and the documentation all come from it.
 *
 *   M(id, tier, name, kind, unit, help)
 *
 * Counters live in the segment, in blocks that processes choose by their pid; they are added to
 * atomically, so that no process has to own a block, and a process that dies takes no count along.
 * Elsewhere are near hits (near.c), and what happens often, and under a shard's lock (layout.h).  Histograms are counters, one for each bucket and one
 * for the sum; how many were observed is the sum of the buckets, and so exact as they are.
 */
#ifndef TANDEM_MEMORY_STATS_H
#define TANDEM_MEMORY_STATS_H

#define MEMORY_COUNTERS(M)                                                                         \
    M(MEMORY_HITS, "memory", "hits", "counter", "", "reads answered by memory as fresh")           \
    M(MEMORY_NEAR_HITS, "memory", "near_hits", "counter", "",                                      \
      "reads answered by a worker from what it kept of an earlier one")                            \
    M(MEMORY_STALE, "memory", "stale", "counter", "", "reads answered by memory past freshness")   \
    M(MEMORY_MISSES, "memory", "misses", "counter", "", "reads that memory could not answer")      \
    M(MEMORY_LOOKUP_MISSES, "memory", "lookup_misses", "counter", "",                              \
      "lookups that neither tier answered with a value")                                           \
    M(MEMORY_SETS, "memory", "sets", "counter", "", "entries stored")                              \
    M(MEMORY_DELETES, "memory", "deletes", "counter", "", "entries removed on request")            \
    M(MEMORY_EVICTIONS, "memory", "evictions", "counter", "", "live entries evicted for room")     \
    M(MEMORY_EXPIRED, "memory", "expired", "counter", "", "expired entries reclaimed")             \
    M(MEMORY_REJECTED, "memory", "rejected_fills", "counter", "",                                  \
      "results from Redis not stored because the key changed meanwhile")                           \
    M(MEMORY_TOO_LARGE, "memory", "too_large", "counter", "", "values too large for memory")       \
    M(MEMORY_RETRIES, "memory", "read_retries", "counter", "", "reads repeated for a writer")      \
    M(MEMORY_LOCK_TIMEOUTS, "memory", "lock_timeouts", "counter", "",                              \
      "lock waits given up at their bound")                                                        \
    M(MEMORY_RESETS, "memory", "resets", "counter", "", "shards emptied after their writer died")  \
    M(MEMORY_LOST, "memory", "lost_entries", "counter", "", "entries dropped by such resets")      \
    M(MEMORY_TAG_INVALIDATIONS, "memory", "tag_invalidations", "counter", "",                      \
      "invalidations of tags that were applied")                                                   \
    M(MEMORY_EPOCH_BUMPS, "memory", "epoch_bumps", "counter", "",                                  \
      "times all entries from Redis stopped being fresh at once")                                  \
    M(REDIS_HITS, "redis", "hits", "counter", "", "reads answered by Redis with a value")          \
    M(REDIS_MISSES, "redis", "misses", "counter", "", "reads answered by Redis with an absence")   \
    M(REDIS_UNANSWERED, "redis", "unanswered", "counter", "", "reads that Redis did not answer")   \
    M(REDIS_DEGRADED, "redis", "degraded_writes", "counter", "", "writes done in memory only")     \
    M(REDIS_COMMANDS, "redis", "commands", "counter", "", "commands sent")                         \
    M(REDIS_BYTES_OUT, "redis", "bytes_out", "counter", "bytes", "bytes sent")                     \
    M(REDIS_BYTES_IN, "redis", "bytes_in", "counter", "bytes", "bytes received")                   \
    M(REDIS_CONNECTS, "redis", "connects", "counter", "", "connections made")                      \
    M(REDIS_FAILURES, "redis", "connect_failures", "counter", "", "connections that failed")       \
    M(REDIS_DISCONNECTS, "redis", "disconnects", "counter", "", "connections lost")                \
    M(REDIS_TIMEOUTS, "redis", "timeouts", "counter", "", "operations given up at their deadline") \
    M(REDIS_ERRORS, "redis", "errors", "counter", "", "error replies")                             \
    M(REDIS_LATE_REPLIES, "redis", "late_replies", "counter", "", "replies that came too late")    \
    M(REDIS_REPLICA_READS, "redis", "replica_reads", "counter", "",                                \
      "reads that a replica has answered")                                                         \
    M(REDIS_REPLAYED, "redis", "replayed", "counter", "",                                          \
      "writes told to Redis after it came back")                                                   \
    M(REDIS_REPLAY_LOST, "redis", "replay_lost", "counter", "",                                    \
      "writes in memory only that there was no place to remember for Redis")                       \
    M(TRACKING_MESSAGES, "tracking", "invalidations", "counter", "",                               \
      "keys that Redis said changed")                                                              \
    M(TRACKING_FLUSHES, "tracking", "flushes", "counter", "", "times Redis said anything changed") \
    M(TRACKING_LINKS, "tracking", "links", "counter", "", "tracking links made")                   \
    M(TRACKING_LOST, "tracking", "losses", "counter", "", "tracking links lost or not had")        \
    M(TRACKING_GAPS, "tracking", "gaps", "counter", "", "gaps between links: all became stale")    \
    M(TRACKING_STRANGERS, "tracking", "strangers", "counter", "",                                  \
      "answers not kept, as they came from another server than is tracked")                        \
    M(TRACKING_VERIFIES, "tracking", "verifies", "counter", "", "own writes read back")            \
    M(TRACKING_UNVERIFIED, "tracking", "unverified", "counter", "",                                \
      "own writes given up after other writes came in between again and again")                    \
    M(FETCH_LOADS, "fetch", "loads", "counter", "", "loaders that returned a value or an absence") \
    M(FETCH_ERRORS, "fetch", "load_errors", "counter", "", "loaders that failed or took too long") \
    M(FETCH_UNKEPT, "fetch", "unkept", "counter", "",                                              \
      "results of loaders that were not kept, as they wished or because they could not be")        \
    M(FETCH_GONE, "fetch", "abandoned", "counter", "",                                             \
      "loaders that never ended, or whose result a change overtook")                               \
    M(FETCH_JOINED, "fetch", "joined", "counter", "", "waits for a loader that ran already")       \
    M(FETCH_LOCK_TIMEOUTS, "fetch", "lock_timeouts", "counter", "",                                \
      "such waits given up at their bound")                                                        \
    M(FETCH_ALONE, "fetch", "alone", "counter", "", "loaders run beside another for the same key") \
    M(FETCH_FLEET_LOCKS, "fetch", "fleet_locks", "counter", "",                                    \
      "times this host was the one of all that was to load")                                       \
    M(FETCH_FLEET_WAITS, "fetch", "fleet_waits", "counter", "",                                    \
      "times another host was found to load already")                                              \
    M(FETCH_FLEET_TAKEN, "fetch", "fleet_taken", "counter", "",                                    \
      "values, absences and errors taken from another host's loader")                              \
    M(FETCH_REFRESHES, "fetch", "refreshes", "counter", "",                                        \
      "values made anew while the old one was answered")                                           \
    M(FETCH_STALE, "fetch", "stale", "counter", "", "reads answered past the time to live")        \
    M(FETCH_NEGATIVE, "fetch", "negative", "counter", "", "reads answered by a known absence")

/* Gauges are computed when asked for. */
#define MEMORY_GAUGES(M)                                                                           \
    M(MEMORY_ENTRIES, "memory", "entries", "gauge", "", "entries held, expired ones included")     \
    M(MEMORY_CAPACITY, "memory", "capacity_bytes", "gauge", "bytes", "bytes that entries can use") \
    M(MEMORY_LIVE, "memory", "live_bytes", "gauge", "bytes", "bytes of entries held")              \
    M(MEMORY_DEAD, "memory", "dead_bytes", "gauge", "bytes", "bytes of replaced entries")          \
    M(MEMORY_FREE, "memory", "free_bytes", "gauge", "bytes", "bytes never used or reclaimed")      \
    M(MEMORY_SEGMENT, "memory", "segment_bytes", "gauge", "bytes", "size of the segment")          \
    M(MEMORY_SLOTS, "memory", "slots", "gauge", "", "entries that the index has places for")       \
    M(MEMORY_SHARDS, "memory", "shards", "gauge", "", "shards, each with a lock of its own")       \
    M(MEMORY_OUT_OF_SERVICE, "memory", "shards_out_of_service", "gauge", "",                       \
      "shards whose lock is beyond repair")                                                        \
    M(TRACKING_COVERING, "tracking", "covering", "gauge", "",                                      \
      "links that report without a gap, two at most")

/* How often something took how long. */
#define MEMORY_HISTOGRAMS(M)                                           \
    M(MEMORY_LOCK_WAIT, "memory", "lock_wait", "histogram", "seconds", \
      "waits for a lock of the shared memory that somebody else held") \
    M(REDIS_ROUND_TRIP, "redis", "round_trip", "histogram", "seconds", \
      "from handing a command to the socket to its answer")            \
    M(FETCH_LOAD, "fetch", "load", "histogram", "seconds",             \
      "from the beginning of a loader's flight to its result or its failure")

/* The bounds of their buckets, in microseconds, and above the last one another bucket. */
#define MEMORY_BOUNDS                                                                          \
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000, 200000, \
        500000, 1000000, 2000000, 5000000, 10000000, 20000000, 50000000

#define MEMORY_ID(id, tier, name, kind, unit, help) COUNT_##id,
enum memory_counter { MEMORY_COUNTERS(MEMORY_ID) COUNT_COUNTERS };
enum { GAUGE_FIRST = COUNT_COUNTERS - 1, MEMORY_GAUGES(MEMORY_ID) COUNT_METRICS };
#undef MEMORY_ID

#define MEMORY_ID(id, tier, name, kind, unit, help) HISTOGRAM_##id,
enum memory_histogram { MEMORY_HISTOGRAMS(MEMORY_ID) HISTOGRAMS };
#undef MEMORY_ID

enum {
    HISTOGRAM_BOUNDS = sizeof((int[]){MEMORY_BOUNDS}) / sizeof(int),
    HISTOGRAM_BUCKETS = HISTOGRAM_BOUNDS + 1
};

#endif
