/*
 * flight.c: the table of loaders' runs, so that of all processes of the host one loads a key and the
 * others wait for what comes of it.
 *
 * Outside the logs, so that nothing evicts it, and guarded by one lock, which is held for a look at the
 * sixteen places that a key may have.  A place is taken and given up by one store, of its number, after
 * all else has been written: whoever dies in here leaves nothing to be mended.  A key is known by two
 * hashes of 64 bits.
 *
 * A flight that has ended stays until all who wait for it have been told, or for KEPT_MS.
 */
#include <string.h>

#include "base/hash.h"
#include "memory/fault.h"
#include "memory/lock.h"
#include "memory/memory.h"
#include "memory/owner.h"
#include "memory/view.h"

enum { KEPT_MS = 1000 };

#define OTHER_SEED UINT64_C(0x9e3779b97f4a7c15)

static bool hold(struct memory *m, int64_t lock_us)
{
    enum lock_status status = lock_acquire(&m->header->flight_mutex, lock_us);

    if (status == LOCK_ORPHANED)
        lock_mended(&m->header->flight_mutex);
    if (status == LOCK_HELD || status == LOCK_ORPHANED) {
        FAULT_POINT(FLIGHT_LOCKED);
        return true;
    }
    memory_count(m, COUNT_MEMORY_LOCK_TIMEOUTS, 1);
    return false;
}

static void release(struct memory *m)
{
    FAULT_POINT(FLIGHT_TO_LEAVE);
    lock_release(&m->header->flight_mutex);
}

static uint64_t number_of(const struct layout_flight *f)
{
    return atomic_load_explicit(&f->number, memory_order_acquire);
}

/* -- Ending ---------------------------------------------------------------------------------------- */

static void ring(struct memory *m, uint64_t ears)
{
    for (int i = 0; i < LAYOUT_EARS; i++)
        if (ears >> i & 1)
            memory_ear_ring(m, i);
}

/* Whoever it is that is to be told, of a flight that is under way.  With nobody the place is free at
 * once. */
static uint64_t end_locked(struct layout_flight *f, enum memory_flight_outcome outcome,
                           const char *error, size_t error_length, int64_t now_ms)
{
    uint64_t ears = atomic_load_explicit(&f->waiters, memory_order_acquire);

    if (ears == 0) {
        atomic_store_explicit(&f->number, 0, memory_order_release);
        return 0;
    }
    if (error_length > sizeof(f->error))
        error_length = sizeof(f->error);
    if (error_length)
        memcpy(f->error, error, error_length);
    f->error_length = (uint32_t)error_length;
    f->deadline_ms = now_ms;
    FAULT_POINT(FLIGHT_TO_END);
    f->outcome = outcome;
    FAULT_POINT(FLIGHT_ENDED);
    return ears;
}

/* Nobody will end it: its owner is dead, or as good as that. */
static bool is_given_up(const struct layout_flight *f, int64_t now_ms)
{
    return now_ms >= f->deadline_ms || owner_is_dead(f->owner, owner_self());
}

bool memory_flight_end(struct memory *m, const struct memory_flight *flight,
                       enum memory_flight_outcome outcome, const char *error, size_t error_length,
                       int64_t now_ms, int64_t lock_us)
{
    struct layout_flight *f = m->flights + flight->at;
    uint64_t ears = 0;
    bool ours;

    if (number_of(f) != flight->number || !hold(m, lock_us))
        return false;
    ours = number_of(f) == flight->number && f->outcome == MEMORY_FLIGHT_UNDER_WAY;
    if (ours)
        ears = end_locked(f, outcome, error, error_length, now_ms);
    release(m);
    ring(m, ears);
    return ours;
}

/* -- Beginning and joining ------------------------------------------------------------------------- */

static bool is_free(const struct layout_flight *f, int64_t now_ms)
{
    return number_of(f) == 0 ||
           (f->outcome != MEMORY_FLIGHT_UNDER_WAY && now_ms - f->deadline_ms >= KEPT_MS);
}

/* The flight of a key that is under way, or NULL; and a place where there is none. */
static struct layout_flight *find_locked(struct memory *m, const uint64_t key[2], int64_t now_ms,
                                         struct layout_flight **vacant)
{
    uint32_t groups = m->layout.flights / LAYOUT_FLIGHT_GROUP;
    struct layout_flight *group = m->flights + key[0] % groups * LAYOUT_FLIGHT_GROUP;

    *vacant = NULL;
    for (int i = 0; i < LAYOUT_FLIGHT_GROUP; i++) {
        struct layout_flight *f = group + i;

        if (is_free(f, now_ms))
            *vacant = f;
        else if (f->key[0] == key[0] && f->key[1] == key[1] &&
                 f->outcome == MEMORY_FLIGHT_UNDER_WAY)
            return f;
    }
    return NULL;
}

static void take_locked(struct memory *m, struct layout_flight *f, const uint64_t key[2],
                        int64_t deadline_ms)
{
    uint64_t number =
        atomic_fetch_add_explicit(&m->header->flight_number, 1, memory_order_relaxed) + 1;

    atomic_store_explicit(&f->number, 0, memory_order_relaxed);
    f->key[0] = key[0];
    f->key[1] = key[1];
    f->owner = owner_self();
    f->deadline_ms = deadline_ms;
    f->outcome = MEMORY_FLIGHT_UNDER_WAY;
    f->error_length = 0;
    atomic_store_explicit(&f->waiters, 0, memory_order_relaxed);
    FAULT_POINT(FLIGHT_TO_BEGIN);
    atomic_store_explicit(&f->number, number, memory_order_release);
    FAULT_POINT(FLIGHT_BEGUN);
}

int memory_flight_begin(struct memory *m, const void *key, size_t key_length, int ear,
                        int64_t now_ms, int64_t keep_ms, struct memory_flight *flight,
                        int64_t lock_us)
{
    const uint64_t hash[2] = {hash_bytes(key, key_length, m->seed),
                              hash_bytes(key, key_length, m->seed ^ OTHER_SEED)};
    struct layout_flight *f, *vacant;
    uint64_t ears = 0;
    int status = MEMORY_OK;

    if (!hold(m, lock_us))
        return MEMORY_BUSY;
    f = find_locked(m, hash, now_ms, &vacant);
    if (f && is_given_up(f, now_ms)) {
        ears = end_locked(f, MEMORY_FLIGHT_GONE, NULL, 0, now_ms);
        vacant = ears ? vacant : f;
        f = NULL;
    }
    if (f) {
        status = MEMORY_MORE;
        if (ear >= 0)
            atomic_fetch_or_explicit(&f->waiters, UINT64_C(1) << ear, memory_order_acq_rel);
    } else if (vacant) {
        f = vacant;
        take_locked(m, f, hash, now_ms + keep_ms);
    } else {
        status = MEMORY_REFUSED;
    }
    if (f)
        *flight = (struct memory_flight){number_of(f), (uint32_t)(f - m->flights)};
    release(m);
    ring(m, ears);
    return status;
}

/* -- Waiting --------------------------------------------------------------------------------------- */

/* This ear has been told; the last one frees the place. */
static void told_locked(struct layout_flight *f, int ear)
{
    uint64_t bit = ear >= 0 ? UINT64_C(1) << ear : 0;

    if ((atomic_fetch_and_explicit(&f->waiters, ~bit, memory_order_acq_rel) & ~bit) == 0)
        atomic_store_explicit(&f->number, 0, memory_order_release);
}

enum memory_flight_outcome memory_flight_look(struct memory *m, const struct memory_flight *flight,
                                              int ear, int64_t now_ms, char *error, size_t size,
                                              size_t *error_length, int64_t lock_us)
{
    struct layout_flight *f = m->flights + flight->at;
    enum memory_flight_outcome outcome = MEMORY_FLIGHT_GONE;
    uint64_t ears = 0;

    *error_length = 0;
    if (number_of(f) != flight->number)
        return outcome;
    if (!hold(m, lock_us))
        return MEMORY_FLIGHT_UNDER_WAY;
    if (number_of(f) == flight->number) {
        if (f->outcome == MEMORY_FLIGHT_UNDER_WAY && is_given_up(f, now_ms))
            ears = end_locked(f, MEMORY_FLIGHT_GONE, NULL, 0, now_ms);
        /* With nobody to be told, not even this ear, it has just been freed. */
        if (number_of(f) == flight->number)
            outcome = f->outcome <= MEMORY_FLIGHT_GONE ? (enum memory_flight_outcome)f->outcome
                                                       : MEMORY_FLIGHT_GONE;
        if (outcome == MEMORY_FLIGHT_FAILED) {
            *error_length = f->error_length < size ? f->error_length : size;
            if (*error_length > sizeof(f->error))
                *error_length = sizeof(f->error);
            memcpy(error, f->error, *error_length);
        }
        if (outcome != MEMORY_FLIGHT_UNDER_WAY)
            told_locked(f, ear);
    }
    release(m);
    ring(m, ear >= 0 ? ears & ~(UINT64_C(1) << ear) : ears);
    return outcome;
}
