/*
 * vlog.h: a shard's log of records, a ring.
 *
 * Records are appended at the head.  Room is made at the tail: what is dead or expired there is
 * dropped, what the policy spares is appended anew, the rest is evicted.  So there is no
 * fragmentation, and making room never looks anywhere but at the tail.
 */
#ifndef TANDEM_MEMORY_VLOG_H
#define TANDEM_MEMORY_VLOG_H

#include "memory/view.h"

enum vlog_status {
    VLOG_ROOM,
    VLOG_MORE,   /* a bounded step is done, and there is not room enough yet */
    VLOG_DAMAGED /* the log makes no sense: the shard is to be reset */
};

/* Makes room for a record of so many units, which then begin at offset.  Entries may have gone: slots
 * found before must be looked up again. */
enum vlog_status vlog_reserve_locked(struct memory *m, uint32_t shard, uint64_t units,
                                     int64_t now_ms, uint64_t *offset);

#endif
