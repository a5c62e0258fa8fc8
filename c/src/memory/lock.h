/*
 * lock.h: the lock of a shard: a robust mutex shared by processes, waited for within a bound.
 *
 * The only file that touches such a mutex.  A lock is never waited for without end: its owner may have
 * been stopped, and then no robustness helps.
 */
#ifndef TANDEM_MEMORY_LOCK_H
#define TANDEM_MEMORY_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum lock_status {
    LOCK_HELD = 0,
    LOCK_ORPHANED, /* held, but its owner died with it: mend what it guards, then lock_mended() */
    LOCK_BUSY,     /* not had within the bound */
    LOCK_BEYOND_REPAIR
};

/* 0, or an errno. */
int lock_init(pthread_mutex_t *mutex);

/* Could these bytes, from a file, be such a lock?  The C library aborts when it is given others. */
bool lock_is_sound(const pthread_mutex_t *mutex);

/* What can be seen of a lock without taking it. */
enum lock_sight {
    LOCK_SEEN_FREE,
    LOCK_SEEN_HELD,    /* or it cannot be seen, under what is not quite a kernel (qemu-user) */
    LOCK_SEEN_ORPHANED /* its owner died with it, and nobody has had it since */
};
enum lock_sight lock_look(const pthread_mutex_t *mutex);

/* Tries for wait_us microseconds at most, plus what the scheduler adds.  waited_ns: how long that took; 0
 * if the first try told. */
enum lock_status lock_acquire(pthread_mutex_t *mutex, int64_t wait_us, int64_t *waited_ns);

/* After LOCK_ORPHANED: what the lock guards is whole again.  Dying before this call leaves the lock
 * orphaned for the next one. */
void lock_mended(pthread_mutex_t *mutex);

void lock_release(pthread_mutex_t *mutex);

#endif
