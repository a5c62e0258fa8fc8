#include "base/clock.h"

#include <stdatomic.h>
#include <time.h>

_Atomic int64_t clock_shifted_ms;

static int64_t read_ms(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000 +
           atomic_load_explicit(&clock_shifted_ms, memory_order_relaxed);
}

int64_t clock_now_ms(void)
{
    return read_ms(CLOCK_MONOTONIC);
}

int64_t clock_now_us(void)
{
    return clock_now_ns() / 1000;
}

int64_t clock_now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void clock_shift(int64_t ms)
{
    atomic_fetch_add_explicit(&clock_shifted_ms, ms, memory_order_relaxed);
}
