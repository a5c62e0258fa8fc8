/*
 * patience.h: a machine that stands still is no server that does not answer.
 *
 * A deadline is noticed within some milliseconds, unless this thread was not running: swapped out, stopped,
 * on a virtual machine that was not scheduled.  Then the server, if it is on the same machine, was not
 * running either, and the answer may come any moment.  So what is overdue gets a little longer, once.
 *
 * An answer that comes bit by bit is an answer, as long as it gets on: what has come of it buys time, but
 * a server that drips a byte now and then is not waited for for ever.
 */
#ifndef TANDEM_REDIS_PATIENCE_H
#define TANDEM_REDIS_PATIENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PATIENCE_SLEPT_MS = 20,
    PATIENCE_GRACE_MS = 100,
    PATIENCE_BYTES_PER_MS =
        4 /* what drips more slowly than this gets a second time-out, and no more */
};

/* Is a time noticed so late that this thread must have slept over it? */
static inline bool patience_slept(int64_t time_ms, int64_t now_ms)
{
    return now_ms - time_ms > PATIENCE_SLEPT_MS;
}

/* The time that counts as that of the last sign of life, when bytes have come, but nothing whole since
 * whole_ms. */
static inline int64_t patience_heard(int64_t whole_ms, size_t bytes, int64_t timeout_ms,
                                     int64_t now_ms)
{
    int64_t most_ms = whole_ms + timeout_ms + (int64_t)(bytes / PATIENCE_BYTES_PER_MS);

    return now_ms < most_ms ? now_ms : most_ms;
}

#endif
