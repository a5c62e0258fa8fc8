/*
 * clock.h: the one clock of the library, CLOCK_MONOTONIC in milliseconds.
 *
 * All expiry goes by it, so steps of the wall clock change nothing.  Tests move it with
 * clock_shift().  Any thread may call any of these; none waits.
 */
#ifndef TANDEM_BASE_CLOCK_H
#define TANDEM_BASE_CLOCK_H

#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

/* By how much tests have moved the clock; clock.c's. */
extern _Atomic int64_t clock_shifted_ms __attribute__((visibility("hidden")));

/* Exact to the millisecond; about 25 ns. */
int64_t clock_now_ms(void);

/* The kernel's tick, up to 4 ms behind clock_now_ms(); about 5 ns.  For the hit path. */
static inline int64_t clock_coarse_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000 +
           atomic_load_explicit(&clock_shifted_ms, memory_order_relaxed);
}

/* Microseconds of the same clock, for measuring how long something took.  Not shifted. */
int64_t clock_now_us(void);

/* Nanoseconds of it, likewise. */
int64_t clock_now_ns(void);

/* For tests: adds to what both clocks of this process say. */
void clock_shift(int64_t ms);

#endif
