/*
 * policy.h: which entries stay.
 *
 * The log is first in, first out with a second chance (CLOCK; Corbato, 1968, on a log):
 *
 *   hit:   mark the slot
 *   room needed:  t = the log's tail
 *                 dead or expired: drop it;  marked: unmark, append anew;  else: evict it
 *   eight slots taken: evict the first of them that is expired, else unmarked, else any
 */
#ifndef TANDEM_MEMORY_POLICY_H
#define TANDEM_MEMORY_POLICY_H

#include "memory/record.h"
#include "memory/view.h"

/* A hit.  Any reader, no lock; writes only when the mark is clear, so that hot lines stay shared. */
void policy_touch(const struct memory *m, uint32_t slot);

/* Does the entry at the log's tail get another round?  Takes its mark. */
bool policy_spares_locked(const struct memory *m, uint32_t slot);

/* The slot to give up when all of a place's are taken. */
uint32_t policy_victim_locked(const struct memory *m, const struct memory_place *place,
                              int64_t now_ms);

#endif
