/*
 * process.h: what the tier room keeps once per process, over fork().
 *
 * One lock guards the lists of the room: tiers, mailbox cores, bells.  It is taken for a few
 * instructions at a time, never while calling into memory/ or redis/.  A fork waits for it, so a child
 * finds the lists whole; what is in them is then the parent's or shared, and each list's owner says
 * which in its *_after_fork(), called in the child while it has one thread only.
 *
 * Lock order of the room: process lock, then a mailbox core's mutex.
 */
#ifndef TANDEM_TIER_PROCESS_H
#define TANDEM_TIER_PROCESS_H

#include <stdatomic.h>
#include <stdbool.h>

/* Before anything of the room is made; any number of times.  False: the system has no memory for it. */
bool process_watch_forks(void);

void process_lock(void);
bool process_try_lock(void);
void process_unlock(void);

/* How many there were; process.c's. */
extern _Atomic unsigned process_forks __attribute__((visibility("hidden")));

/* Grows with each fork between the first process and this one.  Whoever remembers another number than
 * this was made in an ancestor. */
static inline unsigned process_generation(void)
{
    return atomic_load_explicit(&process_forks, memory_order_relaxed);
}

#endif
