/*
 * clock.h: the one clock of the library, CLOCK_MONOTONIC in milliseconds.
 *
 * All expiry goes by it, so steps of the wall clock change nothing.  Tests move it with
 * clock_shift().  Any thread may call any of these; none waits.
 */
#ifndef TANDEM_BASE_CLOCK_H
#define TANDEM_BASE_CLOCK_H

#include <stdint.h>

/* Exact to the millisecond; about 25 ns. */
int64_t clock_now_ms(void);

/* The kernel's tick, up to 4 ms behind clock_now_ms(); about 5 ns.  For the hit path. */
int64_t clock_coarse_ms(void);

/* Microseconds of the same clock, for measuring how long something took.  Not shifted. */
int64_t clock_now_us(void);

/* For tests: adds to what both clocks of this process say. */
void clock_shift(int64_t ms);

#endif
