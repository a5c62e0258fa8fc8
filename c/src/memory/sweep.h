/*
 * sweep.h: expired entries go without anybody asking for it.
 */
#ifndef TANDEM_MEMORY_SWEEP_H
#define TANDEM_MEMORY_SWEEP_H

#include <stdint.h>

struct memory;

/* To be called once in each write: now and then it looks at the next few slots of the shard, one for each
 * write on the average, and frees those of entries that have expired. */
void sweep_with_write_locked(struct memory *m, uint32_t shard, int64_t now_ms);

#endif
