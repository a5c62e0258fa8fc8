/*
 * ghosts.h: which keys have lately been evicted, and when: 4 bytes each, in groups of eight of which
 * the oldest gives way.  A ghost may be another key's with the same fingerprint (1 in 8,000); that
 * costs a wrong guess and nothing else.
 *
 * Times are units of log, kept in steps of a 4,096th of a shard.  Beyond an age of three shards a ghost
 * does not count, and a sweep that comes by every two shards removes it before its age, which has no more
 * bits, looks young again: large values leave room for many more ghosts than there are entries.  For the
 * holder of the shard's lock.
 */
#ifndef TANDEM_MEMORY_GHOSTS_H
#define TANDEM_MEMORY_GHOSTS_H

#include "memory/view.h"

/* Remembers that a key left a log at a time. */
void ghosts_put_locked(struct memory *m, const struct memory_place *place, uint32_t log,
                       const uint64_t now[LOGS]);

/* Is the key remembered?  Then it is forgotten, and its log and age are said. */
bool ghosts_take_locked(struct memory *m, const struct memory_place *place,
                        const uint64_t now[LOGS], uint32_t *log, uint64_t *age);

/* A hint that they will be asked for a key soon. */
void ghosts_prefetch(const struct memory *m, const struct memory_place *place);

/* To be called for what is appended to a log: units, after so many that both ever took. */
void ghosts_sweep_locked(struct memory *m, uint32_t shard, uint64_t appended, uint64_t units,
                         const uint64_t now[LOGS]);

#endif
