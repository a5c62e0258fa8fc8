/*
 * flights.h: the flights that this process owns or waits for.  Private to the tier room.
 *
 * What is shared of a flight lies in the segment (memory_flight_*).  Here is, of each that this process
 * owns, its key and the token read when it began; and of each call that waits for one, where its outcome
 * goes.  The ends of other processes' flights are heard by a thread, the ear, which each tier starts when a
 * call first waits, and which sleeps for good while none does.  It needs no Redis.
 *
 * Lock order of the room: the process lock, then this mutex, then a mailbox core's.
 */
#ifndef TANDEM_TIER_FLIGHTS_H
#define TANDEM_TIER_FLIGHTS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tandem.h"

struct tier;
struct flights_own;
struct flights_wait;

enum { FLIGHTS_CHAINS = 64 };

struct flights {
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* there is something to wait for, or the ear is to end */
    pthread_t ear;
    bool listening, stop;
    struct flights_own *own[FLIGHTS_CHAINS]; /* by number */
    struct flights_wait *waits;
    int64_t sweep_ms; /* when outcomes that nobody took are to be dropped next */
};

void flights_init(struct flights *flights);

/* The tier's last handle is gone: gives up what is owned, and ends the ear. */
void flights_stop(struct tier *tier);

/* In a child of fork(): all of it is the parent's. */
void flights_after_fork(struct tier *tier);

/* Gives up what a handle owns. */
void flights_leave(tandem_cache *cache);

/* These say what the functions of tandem.h say. */
int flights_begin(tandem_cache *cache, const char *key, size_t key_length, int flags,
                  double keep_ms, double wait_ms, tandem_result *result);
int flights_store(tandem_cache *cache, double number, const void *value, size_t value_length,
                  int64_t ttl_ms, const char *tags, size_t tags_length, int flags,
                  tandem_result *result);
int flights_absent(tandem_cache *cache, double number, int64_t ttl_ms, const char *tags,
                   size_t tags_length, tandem_result *result);
void flights_end(tandem_cache *cache, double number, int outcome, const char *error,
                 size_t error_length);

#endif
