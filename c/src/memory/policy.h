/*
 * policy.h: which entries stay.  S3-FIFO's two logs (Yang, Zhang, Qiu, Yue, Rashmi: "FIFO queues are
 * all you need for cache eviction", SOSP 2023) with the reuse-distance test of LIRS (Jiang, Zhang,
 * SIGMETRICS 2002) on ghost hits, a split that adapts, and everything counted in bytes:
 *
 *   clock   units ever appended to Small.  C: the shard's units; S: Small's share, Main's is C - S
 *   hit x:  mark x; marks set before x was S/4 behind Small's head do not count
 *   miss x: g = its ghost, taken;  reuse = g.age + how long what Small last evicted had been in it
 *           if g left Small and (g.age < C/8, or useless > 256 and reuse < C):   S += x    Small is too short
 *           if g left Main  and  g.age < C/10:                                   S -= x    Main is too short
 *           if g left Small and (Main has room or reuse < idle(Main's tail)): x goes to Main, else to Small
 *           while Small is over S and Main has room: move Small's tail to Main
 *           while there is no room:
 *               if a tail does not exist any more: drop it
 *               else if Main is over its share: drop Main's tail, leaving a ghost
 *               else t = Small's tail: if marked, or Main has room: move it to Main; else drop it, leaving a ghost
 *   Main's tail t, before it is tested or dropped: if marked: unmark, credit = min(credit + 1, 2), used = clock,
 *           append anew;  else if credit > 0: credit -= 1, append anew;  else it is the one, idle = clock - used
 *
 * useless: how many entries in a row came to Main's tail for the first time without a mark.  What is set
 * again stays in its log.
 */
#ifndef TANDEM_MEMORY_POLICY_H
#define TANDEM_MEMORY_POLICY_H

#include "memory/pages.h"

enum policy_status {
    POLICY_ROOM,
    POLICY_MORE,   /* a bounded step is done, and there is not room enough yet */
    POLICY_DAMAGED /* the shard makes no sense: it is to be reset */
};

/* A hit.  Any reader, no lock; writes only when the mark is clear, so that hot lines stay shared. */
void policy_touch(const struct memory *m, uint32_t slot);

/* The rest is for the holder of the shard's lock. */

/* The log for a key that has no entry.  LOGS: as POLICY_DAMAGED. */
uint32_t policy_choose_locked(struct memory *m, const struct memory_place *place, uint64_t units,
                              int64_t now_ms);

/* How many entries that were read are given another round in one write, over all its holds of the lock,
 * before one is dropped all the same. More would be kinder to keys that are in use and harder on loops that are
 * a little too long: docs/memory.md. */
enum { POLICY_PATIENCE = 64 };

/* Makes room for so many units at the head of the log that was chosen and takes them.  Entries may go: slots
 * found before must be looked up again.  patience: POLICY_PATIENCE in a write's first hold. */
enum policy_status policy_make_room_locked(struct memory *m, uint32_t shard, uint32_t log,
                                           uint64_t units, int64_t now_ms, int *patience,
                                           struct pages_place *place);

/* What a new record's policy field says. */
uint32_t policy_used_now_locked(const struct memory *m, uint32_t shard);

/* A slot has got another key. */
void policy_new_slot_locked(struct memory *m, uint32_t slot);

/* The slot to give up when all of a key's are taken. */
uint32_t policy_victim_locked(const struct memory *m, const struct memory_place *place,
                              int64_t now_ms);

void policy_reset_locked(struct memory *m, uint32_t shard);

#endif
