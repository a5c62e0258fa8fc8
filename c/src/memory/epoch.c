/*
 * epoch.c: making everything stale, or gone, at once.
 */
#include "memory/fault.h"
#include "memory/memory.h"
#include "memory/view.h"

void memory_epoch_bump(struct memory *m)
{
    atomic_fetch_add_explicit(&m->header->epoch, 1, memory_order_acq_rel);
    memory_count(m, COUNT_MEMORY_EPOCH_BUMPS, 1);
}

void memory_drop_all(struct memory *m)
{
    uint32_t epoch = atomic_fetch_add_explicit(&m->header->epoch, 1, memory_order_acq_rel) + 1;
    uint32_t floor = atomic_load_explicit(&m->header->floor, memory_order_acquire);

    FAULT_POINT(EPOCH_BUMPED);
    while ((int32_t)(epoch - floor) > 0 &&
           !atomic_compare_exchange_weak_explicit(&m->header->floor, &floor, epoch,
                                                  memory_order_acq_rel, memory_order_acquire))
        ;
    FAULT_POINT(FLOOR_RAISED);
    memory_count(m, COUNT_MEMORY_EPOCH_BUMPS, 1);
}
