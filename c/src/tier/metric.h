/*
 * metric.h: the table of counters as tandem.h shows it.
 */
#ifndef TANDEM_TIER_METRIC_H
#define TANDEM_TIER_METRIC_H

#include <stdbool.h>

#include "memory/memory.h"
#include "tandem.h"

enum { METRIC_ROWS = COUNT_METRICS + HISTOGRAMS };

/* Row i: counters, gauges, histograms.  False: there is no such row. */
bool metric_row(int i, tandem_metric *metric);

/* These say what tandem_metric_value, _metric_buckets and _bucket_bound say. */
double metric_value(struct memory *memory, int i);
bool metric_buckets(const struct memory *memory, int i, double *counts, int room, double *sum);
double metric_bound(int bucket);

#endif
