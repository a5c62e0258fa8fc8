/*
 * metric.h: the table of counters as tandem.h shows it.
 */
#ifndef TANDEM_TIER_METRIC_H
#define TANDEM_TIER_METRIC_H

#include <stdbool.h>

#include "tandem.h"

/* Row i, counters first.  False: there is no such row. */
bool metric_row(int i, tandem_metric *metric);

#endif
