/*
 * patience.h: a machine that stands still is no server that does not answer.
 *
 * A deadline is noticed within some milliseconds, unless this thread was not running: swapped out, stopped,
 * on a virtual machine that was not scheduled.  Then the server, if it is on the same machine, was not
 * running either, and the answer may come any moment.  So what is overdue gets a little longer, once.
 */
#ifndef TANDEM_REDIS_PATIENCE_H
#define TANDEM_REDIS_PATIENCE_H

#include <stdbool.h>
#include <stdint.h>

enum { PATIENCE_SLEPT_MS = 20, PATIENCE_GRACE_MS = 100 };

/* Is a time noticed so late that this thread must have slept over it? */
static inline bool patience_slept(int64_t time_ms, int64_t now_ms)
{
    return now_ms - time_ms > PATIENCE_SLEPT_MS;
}

#endif
