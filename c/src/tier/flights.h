/*
 * flights.h: loaders' runs of this process, and its waits for those of others.
 *
 * A flight is begun by one caller of the host and joined by the others, who are told what came of it.
 * The table that all processes share is the memory room's.  What only this process needs is here: for
 * each flight of its own the token that was read before the loader ran, and who waits for which flight.
 *
 * Waits are ended by a thread of the tier's own, the ear, which sleeps on a futex that whoever ends a
 * flight rings.  It is started by the first wait, works without a Redis, and with nobody waiting it is
 * never woken.  While somebody waits it looks around now and then, for owners that died or were stopped.
 */
#ifndef TANDEM_TIER_FLIGHTS_H
#define TANDEM_TIER_FLIGHTS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memory/memory.h"
#include "tandem.h"

struct tier;
struct flights_own;     /* a flight of this process */
struct flights_awaited; /* any flight that somebody here waits for */

enum { FLIGHTS_CHAINS = 64 };

struct flights {
    pthread_mutex_t
        mutex; /* of all below but the atomics; nothing but a core's is taken under it */
    struct flights_own *own[FLIGHTS_CHAINS];
    uint64_t last; /* number given to a flight */
    struct flights_awaited *first,
        *last_awaited; /* a queue: the next to be looked at is the first */
    unsigned awaited;
    int ear; /* which of the segment's this process has, or -1 */
    bool ear_was_sought;
    bool running;
    pthread_t thread;
    _Atomic bool stopping;
    _Atomic uint32_t own_rings; /* instead of an ear's word where there is none */
    _Atomic(_Atomic uint32_t *) word;
};

/* False: no memory. */
bool flights_init(struct flights *flights);

/* Ends and joins the thread; who still waits is told that the flight is gone. */
void flights_close(struct tier *tier);

/* In a child: flights, waits and the thread are the parent's. */
void flights_after_fork(struct tier *tier);

/* A handle is closed while its loaders run: nobody will end their flights. */
void flights_abandon_of(tandem_cache *cache);

#endif
