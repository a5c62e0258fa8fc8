#include "tier/metric.h"

#include "memory/stats.h"

#define ROW(id, tier, name, kind, unit, help) {tier, name, kind, unit, help},
static const tandem_metric rows[COUNT_METRICS] = {MEMORY_COUNTERS(ROW) MEMORY_GAUGES(ROW)};
#undef ROW

bool metric_row(int i, tandem_metric *metric)
{
    if (i < 0 || i >= COUNT_METRICS)
        return false;
    *metric = rows[i];
    return true;
}
