/*
 * epoch.c: making everything, or all of some lanes, stale or gone at once.
 */
#include "memory/fault.h"
#include "memory/grow.h"
#include "memory/memory.h"
#include "memory/view.h"

static void raise(struct layout_lanes *all, const struct lanes *lanes, uint32_t epoch)
{
    if (!lanes) {
        grow_number(&all->epoch, epoch);
        return;
    }
    for (unsigned lane = 0; lane < LANES; lane++)
        if (lanes_has(lanes, lane))
            grow_number(&all->of[lane].epoch, epoch);
}

/* The next epoch begins; what is older in these lanes (NULL: in all) is not fresh from then on.  Theirs are raised
 * first: whoever knows that the epoch is another looks there, and must not find what was true before.  As long as it is
 * not another they say nothing new. */
static uint32_t bump(struct memory *m, const struct lanes *lanes)
{
    uint32_t epoch = atomic_load_explicit(&m->header->epoch, memory_order_acquire);

    do {
        if (m->lanes)
            raise(m->lanes, lanes, epoch + 1);
        FAULT_POINT(LANES_RAISED);
    } while (!atomic_compare_exchange_weak_explicit(&m->header->epoch, &epoch, epoch + 1,
                                                    memory_order_acq_rel, memory_order_acquire));
    memory_count(m, COUNT_MEMORY_EPOCH_BUMPS, 1);
    return epoch + 1;
}

void memory_epoch_bump(struct memory *m)
{
    bump(m, NULL);
}

void memory_lanes_bump(struct memory *m, const struct lanes *lanes)
{
    bump(m, lanes);
}

void memory_drop_all(struct memory *m)
{
    uint32_t epoch = bump(m, NULL);

    FAULT_POINT(EPOCH_BUMPED);
    grow_number(&m->header->floor, epoch);
    FAULT_POINT(FLOOR_RAISED);
}
