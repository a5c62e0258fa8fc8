/*
 * grow.h: words that only grow, whoever raises them.
 */
#ifndef TANDEM_MEMORY_GROW_H
#define TANDEM_MEMORY_GROW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

static inline void grow_time(_Atomic int64_t *time, int64_t value)
{
    int64_t seen = atomic_load_explicit(time, memory_order_acquire);

    while (seen < value && !atomic_compare_exchange_weak_explicit(
                               time, &seen, value, memory_order_acq_rel, memory_order_acquire))
        ;
}

/* Of numbers that go round. */
static inline bool grow_is_before(uint32_t number, uint32_t other)
{
    return (int32_t)(number - other) < 0;
}

static inline void grow_number(_Atomic uint32_t *number, uint32_t value)
{
    uint32_t seen = atomic_load_explicit(number, memory_order_acquire);

    while (grow_is_before(seen, value) &&
           !atomic_compare_exchange_weak_explicit(number, &seen, value, memory_order_acq_rel,
                                                  memory_order_acquire))
        ;
}

#endif
