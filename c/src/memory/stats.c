/*
 * stats.c: counting, and reading the counts.
 */
#include <math.h>

#include "base/clock.h"
#include "memory/memory.h"
#include "memory/near.h"
#include "memory/vlog.h"

void memory_count(struct memory *m, enum memory_counter counter, uint64_t n)
{
    if (n)
        atomic_fetch_add_explicit(m->counters->count + counter, n, memory_order_relaxed);
}

/* -- Histograms ---------------------------------------------------------------------------------- */

static const int64_t bound_us[HISTOGRAM_BOUNDS] = {MEMORY_BOUNDS};

double memory_bound_seconds(int bucket)
{
    return bucket >= 0 && bucket < HISTOGRAM_BOUNDS ? (double)bound_us[bucket] / 1e6 : INFINITY;
}

/* A bucket has what is at most its bound, as in Prometheus. */
static int bucket_of(int64_t ns)
{
    int low = 0, high = HISTOGRAM_BOUNDS;

    while (low < high) {
        int middle = (low + high) / 2;

        if (ns <= bound_us[middle] * 1000)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Who is killed between the two additions has had its time added and is not counted. */
void memory_observe(struct memory *m, enum memory_histogram which, int64_t ns)
{
    struct layout_histogram *h = m->histograms->of + which;

    if (ns < 0)
        ns = 0;
    atomic_fetch_add_explicit(&h->sum_ns, (uint64_t)ns, memory_order_relaxed);
    atomic_fetch_add_explicit(h->count + bucket_of(ns), 1, memory_order_relaxed);
}

bool memory_histogram(const struct memory *m, int which, double counts[HISTOGRAM_BUCKETS],
                      double *sum_seconds)
{
    const struct layout_histograms *blocks =
        (const void *)((const char *)m->header + m->layout.histograms_at);
    uint64_t sum_ns = 0;

    if (which < 0 || which >= HISTOGRAMS)
        return false;
    for (int bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        uint64_t sum = 0;

        for (int i = 0; i < LAYOUT_HISTOGRAM_BLOCKS; i++)
            sum += atomic_load_explicit(blocks[i].of[which].count + bucket, memory_order_relaxed);
        counts[bucket] = (double)sum;
    }
    for (int i = 0; i < LAYOUT_HISTOGRAM_BLOCKS; i++)
        sum_ns += atomic_load_explicit(&blocks[i].of[which].sum_ns, memory_order_relaxed);
    *sum_seconds = (double)sum_ns / 1e9;
    return true;
}

/* -- Counters and gauges ------------------------------------------------------------------------- */

/* What is counted in shards, under their locks. */
static const int in_shards[SHARD_COUNTS] = {
    [SHARD_SETS] = COUNT_MEMORY_SETS,
    [SHARD_EVICTIONS] = COUNT_MEMORY_EVICTIONS,
    [SHARD_EXPIRED] = COUNT_MEMORY_EXPIRED,
};

static uint64_t sum_of_shards(const struct memory *m, int counter)
{
    uint64_t sum = 0;
    int which = 0;

    while (which < SHARD_COUNTS && in_shards[which] != counter)
        which++;
    for (uint32_t shard = 0; which < SHARD_COUNTS && shard < m->layout.shards; shard++)
        sum += shard_get(view_shard(m, shard)->count + which);
    return sum;
}

static double sum_counter(const struct memory *m, int counter)
{
    const struct layout_counters *blocks =
        (const void *)((const char *)m->header + m->layout.counters_at);
    uint64_t sum = sum_of_shards(m, counter);

    if (counter == COUNT_MEMORY_NEAR_HITS)
        return near_hits(m);
    for (int i = 0; i < LAYOUT_COUNTER_BLOCKS; i++)
        sum += atomic_load_explicit(blocks[i].count + counter, memory_order_relaxed);
    return (double)sum;
}

/* Nobody holds the lock here, so what is read at two moments may not fit together. */
static uint64_t less(uint64_t from, uint64_t what)
{
    return from > what ? from - what : 0;
}

static uint64_t used(const struct layout_shard *s)
{
    uint64_t sum = 0;

    for (uint32_t log = 0; log < LOGS; log++) {
        uint64_t tail = vlog_tail(s, log);

        sum += less(vlog_head(s, log), tail);
    }
    return sum;
}

static uint64_t live(const struct layout_shard *s)
{
    return shard_get(&s->log[LOG_SMALL].live) + shard_get(&s->log[LOG_MAIN].live);
}

static double shard_gauge(const struct memory *m, uint32_t shard, int gauge)
{
    const struct layout_shard *s = view_shard(m, shard);
    uint64_t units;

    switch (gauge) {
    case COUNT_MEMORY_ENTRIES:
        return (double)shard_get(&s->entries);
    case COUNT_MEMORY_OUT_OF_SERVICE:
        return atomic_load_explicit(&s->out_of_service, memory_order_relaxed);
    case COUNT_MEMORY_CAPACITY:
        units = m->layout.capacity;
        break;
    case COUNT_MEMORY_LIVE:
        units = live(s);
        break;
    case COUNT_MEMORY_DEAD:
        units = less(used(s), live(s));
        break;
    case COUNT_MEMORY_FREE:
        units = less(m->layout.capacity, used(s));
        break;
    default:
        return 0;
    }
    return (double)(units * LAYOUT_UNIT);
}

double memory_metric(struct memory *m, int i)
{
    double sum = 0;

    if (i < 0 || i >= COUNT_METRICS)
        return 0;
    if (i < COUNT_COUNTERS)
        return sum_counter(m, i);
    if (i == COUNT_MEMORY_SEGMENT)
        return (double)m->layout.bytes;
    if (i == COUNT_MEMORY_SLOTS)
        return memory_slots(m);
    if (i == COUNT_MEMORY_SHARDS)
        return m->layout.shards;
    if (i == COUNT_TRACKING_COVERING)
        return memory_places_covering(m, clock_now_ms());
    for (uint32_t shard = 0; shard < m->layout.shards; shard++)
        sum += shard_gauge(m, shard, i);
    return sum;
}
