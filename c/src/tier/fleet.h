/*
 * fleet.h: one loader for all hosts.  Private to the tier room.
 *
 * Of a host the owner of a key's flight asks Redis for the key's lock (redis/fleet.h).  Who does not get it
 * watches: a flight of the segment that bears the lock's name, which the process with the tracking link ends
 * when it hears that the lock has changed.  It is begun before Redis is asked, so that nothing is missed, and
 * ends by itself after a while, for there may be no link.
 *
 * With the flight the lock is given up.  What other hosts cannot find in Redis then, an error or an absence, is
 * left for those that have waited.
 */
#ifndef TANDEM_TIER_FLEET_H
#define TANDEM_TIER_FLEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memory/memory.h"
#include "redis/redis.h"
#include "tandem.h"

struct tier;
struct request;
struct flights_own;

/* Of a flight that this process owns; the flights' mutex. */
struct fleet {
    char token[REDIS_TOKEN];  /* zeroes: none was drawn yet */
    char holder[REDIS_TOKEN]; /* whom the lock was lost to; zeroes: nobody yet */
    bool asked;    /* Redis may have given it to us, and is to be told when we are done */
    bool answered; /* what another host made is the answer */
    bool watching;
    struct memory_flight watch;
    int64_t timeout_ms;
};

/* These say what the functions of tandem.h say. */
int fleet_lock(tandem_cache *cache, double flight, double keep_ms, double enough_ms, int flags,
               tandem_result *result);
int fleet_wait(tandem_cache *cache, double flight, double wait_ms, tandem_result *result);

/* A flight is over.  Without the mutex: nobody else knows it any more. */
void fleet_end(struct tier *tier, struct flights_own *own, int outcome, const char *error,
               size_t error_length);

/* Redis has answered.  I/O thread. */
void fleet_done(struct tier *tier, struct request *request);

/* Redis says that a key with a reserved name has changed.  I/O thread. */
void fleet_hear(struct tier *tier, const char *key, size_t key_length);

#endif
