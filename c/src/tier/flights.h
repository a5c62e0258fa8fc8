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

#include "memory/memory.h"
#include "tandem.h"
#include "tier/fleet.h"

struct tier;
struct flights_wait;

/* A flight that this process owns, or what goes on without one. */
struct flights_own {
    struct flights_own *next;
    const tandem_cache *cache; /* who began it */
    struct memory_flight flight;
    bool alone; /* nothing of it is in the segment */
    bool timed; /* how long its loader took has been noted */
    struct memory_token token;
    uint64_t seen_us; /* the server's clock, at the latest when it began */
    int64_t began_ms, began_ns;
    struct fleet fleet;
    size_t key_length;
    char key[];
};

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

/* The tier's last handle is gone: gives up what is owned, and ends the ear.  Answers may still come. */
void flights_stop(struct tier *tier);

/* None come any more. */
void flights_free(struct flights *flights);

/* In a child of fork(): all of it is the parent's. */
void flights_after_fork(struct tier *tier);

/* Gives up what a handle owns. */
void flights_leave(tandem_cache *cache);

/* The one of that number, with the mutex held; NULL: there is none. */
struct flights_own *flights_find_locked(struct flights *flights, double number);

/* Waits for the end of a flight: TANDEM_PENDING, or an error. */
int flights_join(tandem_cache *cache, const struct memory_flight *flight, int64_t deadline_ms,
                 tandem_result *result);

/* These say what the functions of tandem.h say. */
int flights_begin(tandem_cache *cache, const char *key, size_t key_length, int flags,
                  double keep_ms, double wait_ms, tandem_result *result);
int flights_store(tandem_cache *cache, double number, const void *value, size_t value_length,
                  int64_t ttl_ms, const char *tags, size_t tags_length, int flags,
                  tandem_result *result);
int flights_absent(tandem_cache *cache, double number, int64_t ttl_ms, const char *tags,
                   size_t tags_length, tandem_result *result);
void flights_restart(tandem_cache *cache, double number);
void flights_count_refreshes(tandem_cache *cache, double n);
void flights_end(tandem_cache *cache, double number, int outcome, const char *error,
                 size_t error_length);

#endif
