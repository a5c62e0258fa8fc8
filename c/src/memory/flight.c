/*
 * flight.c: runs of loaders, one at a time for each key on a host.
 *
 * A flight lies in the group that its key's hash chooses, under its number, which is never used again.
 * When it ends it stays for a while with its outcome, for those who waited; a newer one of the same key
 * takes another place meanwhile.
 *
 * Groups share a few locks.  A process that dies while it changes a flight leaves its lock orphaned and
 * says in flight_flux which flight that was: it is freed, as if its owner had died in its loader.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "memory/fault.h"
#include "memory/lock.h"
#include "memory/memory.h"
#include "memory/owner.h"
#include "memory/view.h"

enum flight_state { FLIGHT_NONE, FLIGHT_UNDER_WAY, FLIGHT_ENDED };

enum {
    LINGER_MS = 1000
}; /* an awaited outcome is there to be read this long, unless room is scarce */

_Static_assert((int)MEMORY_FLIGHT_ERROR == (int)LAYOUT_FLIGHT_ERROR, "an error fits");

/* -- Locks --------------------------------------------------------------------------------------- */

static uint32_t lock_of(uint32_t place)
{
    return place / LAYOUT_FLIGHT_GROUP % LAYOUT_FLIGHT_LOCKS;
}

static bool hold(struct memory *m, uint32_t lock, int64_t lock_us)
{
    struct layout_header *h = m->header;
    uint32_t flux;

    switch (view_lock(m, h->flight_mutex + lock, lock_us)) {
    case LOCK_HELD:
        FAULT_POINT(FLIGHT_LOCKED);
        return true;
    case LOCK_ORPHANED:
        flux = h->flight_flux[lock];
        if (flux && flux <= m->layout.flights) {
            atomic_store_explicit(&m->flights[flux - 1].state, FLIGHT_NONE, memory_order_release);
            atomic_store_explicit(&m->flights[flux - 1].number, 0, memory_order_release);
        }
        h->flight_flux[lock] = 0;
        lock_mended(h->flight_mutex + lock);
        memory_flight_ring(m);
        return true;
    default:
        memory_count(m, COUNT_MEMORY_LOCK_TIMEOUTS, 1);
        return false;
    }
}

static void release(struct memory *m, uint32_t lock)
{
    FAULT_POINT(FLIGHT_TO_LEAVE);
    lock_release(m->header->flight_mutex + lock);
}

static void change_begin_locked(struct memory *m, uint32_t place)
{
    m->header->flight_flux[lock_of(place)] = place + 1;
    atomic_signal_fence(memory_order_seq_cst);
    FAULT_POINT(FLIGHT_IN_FLUX);
}

static void change_end_locked(struct memory *m, uint32_t place)
{
    FAULT_POINT(FLIGHT_CHANGED);
    atomic_signal_fence(memory_order_seq_cst);
    m->header->flight_flux[lock_of(place)] = 0;
    FAULT_POINT(FLIGHT_SETTLED);
}

/* -- Looking ------------------------------------------------------------------------------------- */

static uint32_t state_of(const struct layout_flight *f)
{
    return atomic_load_explicit(&f->state, memory_order_acquire);
}

static bool is_over(const struct layout_flight *f, int64_t now_ms, uint64_t self)
{
    return now_ms >= f->until_ms || owner_is_dead(f->owner, self);
}

/* The hash of a key, and the first place of its group. */
static uint32_t group_of(const struct memory *m, const void *key, size_t key_length,
                         uint64_t hash[2])
{
    uint32_t groups = m->layout.flights / LAYOUT_FLIGHT_GROUP;

    hash[0] = hash_bytes(key, key_length, m->seed);
    hash[1] = hash_bytes(key, key_length, ~m->seed);
    return (uint32_t)(hash[0] >> 32) % groups * LAYOUT_FLIGHT_GROUP;
}

/* Is a flight of that key under way there? */
static bool is_of_locked(const struct layout_flight *f, const uint64_t hash[2])
{
    return state_of(f) == FLIGHT_UNDER_WAY && f->hash[0] == hash[0] && f->hash[1] == hash[1];
}

static void end_locked(struct memory *m, uint32_t place, int outcome, const char *error,
                       size_t error_length)
{
    struct layout_flight *f = m->flights + place;

    change_begin_locked(m, place);
    f->outcome = (uint32_t)outcome;
    f->ended_ms = clock_now_ms();
    f->error_length = (uint32_t)(error_length < sizeof(f->error) ? error_length : sizeof(f->error));
    if (f->error_length)
        memcpy(f->error, error, f->error_length);
    atomic_store_explicit(&f->state, FLIGHT_ENDED, memory_order_release);
    change_end_locked(m, place);
}

/* -- Beginning ----------------------------------------------------------------------------------- */

uint64_t memory_flight_number(struct memory *m)
{
    return atomic_fetch_add_explicit(&m->header->flight_number, 1, memory_order_relaxed) + 1;
}

/* How good a place is for a new flight: 0 it is taken; more is better. */
static int worth(const struct layout_flight *f, int64_t now_ms, uint64_t self)
{
    switch (state_of(f)) {
    case FLIGHT_NONE:
        return 4;
    case FLIGHT_ENDED:
        return !f->awaited ? 3 : f->ended_ms + LINGER_MS < now_ms ? 2 : 1;
    default:
        return is_over(f, now_ms, self) ? 1 : 0;
    }
}

static void begin_locked(struct memory *m, uint32_t place, const uint64_t hash[2], uint64_t self,
                         int64_t until_ms, uint64_t number)
{
    struct layout_flight *f = m->flights + place;

    change_begin_locked(m, place);
    atomic_store_explicit(&f->state, FLIGHT_NONE, memory_order_release);
    atomic_store_explicit(&f->number, number, memory_order_release);
    memcpy(f->hash, hash, sizeof(f->hash));
    f->owner = self;
    f->until_ms = until_ms;
    f->outcome = f->error_length = f->awaited = 0;
    atomic_store_explicit(&f->state, FLIGHT_UNDER_WAY, memory_order_release);
    change_end_locked(m, place);
}

int memory_flight_begin(struct memory *m, const void *key, size_t key_length, bool wait,
                        int64_t now_ms, int64_t until_ms, struct memory_flight *flight)
{
    uint64_t self = owner_self(), hash[2];
    uint32_t first = group_of(m, key, key_length, hash), best = first;
    int best_worth = 0, status = MEMORY_REFUSED;

    if (!hold(m, lock_of(first), MEMORY_LOCK_US))
        return MEMORY_BUSY;
    for (uint32_t i = first; i < first + LAYOUT_FLIGHT_GROUP; i++) {
        struct layout_flight *f = m->flights + i;
        int w;

        if (is_of_locked(f, hash) && !is_over(f, now_ms, self)) {
            if (wait)
                f->awaited = 1;
            flight->place = i;
            flight->number = atomic_load_explicit(&f->number, memory_order_relaxed);
            status = MEMORY_MORE;
            break;
        }
        w = worth(f, now_ms, self);
        if (w > best_worth) {
            best = i;
            best_worth = w;
        }
    }
    if (status != MEMORY_MORE && best_worth > 0) {
        flight->place = best;
        flight->number = memory_flight_number(m);
        begin_locked(m, best, hash, self, until_ms, flight->number);
        status = MEMORY_OK;
    }
    release(m, lock_of(first));
    return status;
}

/* -- Waiting ------------------------------------------------------------------------------------- */

bool memory_flight_is_under_way(const struct memory *m, const struct memory_flight *flight)
{
    const struct layout_flight *f = m->flights + flight->place;

    return atomic_load_explicit(&f->number, memory_order_acquire) == flight->number &&
           state_of(f) == FLIGHT_UNDER_WAY;
}

int memory_flight_look(struct memory *m, const struct memory_flight *flight, int64_t now_ms,
                       bool is_alive, struct memory_flight_outcome *outcome)
{
    struct layout_flight *f = m->flights + flight->place;
    uint32_t lock = lock_of(flight->place);
    int status = MEMORY_ABSENT;

    if (!is_alive && memory_flight_is_under_way(m, flight))
        return MEMORY_MORE;
    if (!hold(m, lock, MEMORY_LOCK_US))
        return MEMORY_BUSY;
    if (atomic_load_explicit(&f->number, memory_order_relaxed) == flight->number) {
        if (state_of(f) == FLIGHT_ENDED) {
            outcome->outcome = (int)f->outcome;
            outcome->error_length = f->error_length;
            if (outcome->error_length > sizeof(f->error))
                outcome->error_length = sizeof(f->error);
            memcpy(outcome->error, f->error, outcome->error_length);
            status = MEMORY_OK;
        } else if (state_of(f) == FLIGHT_UNDER_WAY && !is_over(f, now_ms, owner_self())) {
            status = MEMORY_MORE;
        }
    }
    release(m, lock);
    return status;
}

bool memory_flight_end(struct memory *m, const struct memory_flight *flight, int outcome,
                       const char *error, size_t error_length)
{
    struct layout_flight *f = m->flights + flight->place;
    uint32_t lock = lock_of(flight->place);
    bool awaited = false;

    if (!hold(m, lock, MEMORY_LOCK_IO_US))
        return false;
    if (atomic_load_explicit(&f->number, memory_order_relaxed) == flight->number &&
        state_of(f) == FLIGHT_UNDER_WAY) {
        awaited = f->awaited != 0;
        end_locked(m, flight->place, outcome, error, error_length);
    }
    release(m, lock);
    if (awaited)
        memory_flight_ring(m);
    return awaited;
}

void memory_flight_end_of(struct memory *m, const void *key, size_t key_length, int outcome)
{
    uint64_t hash[2];
    uint32_t first = group_of(m, key, key_length, hash);
    bool ended = false;

    if (!hold(m, lock_of(first), MEMORY_LOCK_IO_US))
        return;
    for (uint32_t i = first; i < first + LAYOUT_FLIGHT_GROUP; i++)
        if (is_of_locked(m->flights + i, hash)) {
            end_locked(m, i, outcome, NULL, 0);
            ended = true;
        }
    release(m, lock_of(first));
    if (ended)
        memory_flight_ring(m);
}

/* -- The bell of all processes ------------------------------------------------------------------- */

uint32_t memory_flight_word(const struct memory *m)
{
    return atomic_load_explicit(&m->header->flight_word, memory_order_acquire);
}

static void futex(const struct memory *m, int what, uint32_t value, const struct timespec *time)
{
    syscall(SYS_futex, &m->header->flight_word, what, value, time, NULL, 0);
}

void memory_flight_ring(struct memory *m)
{
    atomic_fetch_add_explicit(&m->header->flight_word, 1, memory_order_release);
    futex(m, FUTEX_WAKE, INT_MAX, NULL);
}

void memory_flight_sleep(const struct memory *m, uint32_t word, int64_t ms)
{
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};

    if (ms > 0)
        futex(m, FUTEX_WAIT, word, &time);
}
