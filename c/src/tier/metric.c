#include "tier/metric.h"

#define ROW(id, tier, name, kind, unit, help) {tier, name, kind, unit, help},
static const tandem_metric rows[METRIC_ROWS] = {MEMORY_COUNTERS(ROW) MEMORY_GAUGES(ROW)
                                                    MEMORY_HISTOGRAMS(ROW)};
#undef ROW

bool metric_row(int i, tandem_metric *metric)
{
    if (i < 0 || i >= METRIC_ROWS)
        return false;
    *metric = rows[i];
    return true;
}

double metric_value(struct memory *memory, int i)
{
    double counts[HISTOGRAM_BUCKETS], sum, n = 0;

    if (!memory_histogram(memory, i - COUNT_METRICS, counts, &sum))
        return memory_metric(memory, i);
    for (int bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++)
        n += counts[bucket];
    return n;
}

bool metric_buckets(const struct memory *memory, int i, double *counts, int room, double *sum)
{
    return room >= HISTOGRAM_BUCKETS && memory_histogram(memory, i - COUNT_METRICS, counts, sum);
}

double metric_bound(int bucket)
{
    return bucket >= 0 && bucket < HISTOGRAM_BUCKETS ? memory_bound_seconds(bucket) : 0;
}
