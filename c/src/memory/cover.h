/*
 * cover.h: up to when links have reported changes, and from when on without a gap: of all keys, or of those of a lane.
 */
#ifndef TANDEM_MEMORY_COVER_H
#define TANDEM_MEMORY_COVER_H

#include "memory/grow.h"
#include "memory/layout.h"

/* May it be the server that is tracked? */
static inline bool cover_fits(const struct layout_cover *cover, uint64_t server)
{
    uint64_t tracked = atomic_load_explicit(&cover->server, memory_order_acquire);

    return !tracked || !server || tracked == server;
}

static inline bool cover_is_new(const struct layout_cover *cover)
{
    return atomic_load_explicit(&cover->covered_ms, memory_order_acquire) == 0;
}

/* Does what a link covers from since_ms on go on where this ends, without a gap? */
static inline bool cover_reaches(const struct layout_cover *cover, int64_t since_ms,
                                 uint64_t server)
{
    int64_t covered = atomic_load_explicit(&cover->covered_ms, memory_order_acquire);

    return covered && since_ms <= covered && cover_fits(cover, server);
}

/* Another begins, which does not. */
static inline void cover_begin(struct layout_cover *cover, int64_t since_ms, uint64_t server)
{
    atomic_store_explicit(&cover->server, server, memory_order_release);
    grow_time(&cover->since_ms, since_ms);
    grow_time(&cover->covered_ms, since_ms);
}

/* A link to that server has reported up to until_ms, which is worth that lease.  False: it is not tracked. */
static inline bool cover_extend(struct layout_cover *cover, _Atomic int64_t *lease,
                                int64_t until_ms, int64_t lease_ms, uint64_t server)
{
    if (!cover_fits(cover, server))
        return false;
    grow_time(&cover->covered_ms, until_ms);
    grow_time(lease, lease_ms);
    return true;
}

#endif
