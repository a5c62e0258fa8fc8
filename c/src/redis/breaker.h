/*
 * breaker.h: when to try again.  Pure: time and chance come from the caller.
 *
 * Closed until something fails; then open until a try succeeds.  It is closed on trial then: what fails
 * again before it has done any work is waited for longer still.  Tries come after 50 ms, then after twice
 * as long each time up to 1.5 s, each cut by chance to between half and the whole of that, so that the
 * workers of many hosts do not come back at the same moment.
 */
#ifndef TANDEM_REDIS_BREAKER_H
#define TANDEM_REDIS_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

struct breaker {
    bool open;
    unsigned failures; /* in a row */
    int64_t retry_at_ms;
};

/* A try has succeeded. */
void breaker_try(struct breaker *breaker);

/* Work was done. */
void breaker_success(struct breaker *breaker);

/* random: any 32 random bits. */
void breaker_failure(struct breaker *breaker, int64_t now_ms, uint32_t random);

#endif
