#include "tier/flights.h"

#include <signal.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tier/request.h"
#include "tier/result.h"

enum { LOOK_AROUND_MS = 50, ERROR_BYTES = 256 };

#define NUMBER_LIMIT 9007199254740992.0 /* 2^53 */
#define OVERDUE "the loader that is running for this key did not end in time"

/* A flight that this process has begun, and the token of before its loader ran. */
struct flights_own {
    struct flights_own *next;
    uint64_t number; /* what the caller calls it */
    const tandem_cache *cache;
    bool in_table; /* others can join it */
    struct memory_flight flight;
    struct memory_token token;
    int64_t begun_ms;
    size_t key_length;
    char key[];
};

struct wait {
    struct wait *next;
    struct mailbox_slip slip;
    int64_t deadline_ms;
    struct outcome outcome;
};

/* A flight, and those of this process who wait for it. */
struct flights_awaited {
    struct flights_awaited *next;
    struct memory_flight flight;
    struct wait *waits;
};

/* -- Who waits for what ---------------------------------------------------------------------------- */

static void append_locked(struct flights *f, struct flights_awaited *a)
{
    a->next = NULL;
    if (f->first)
        f->last_awaited->next = a;
    else
        f->first = a;
    f->last_awaited = a;
    f->awaited++;
}

static void remove_locked(struct flights *f, struct flights_awaited *a)
{
    struct flights_awaited *before = NULL;

    for (struct flights_awaited *at = f->first; at != a; at = at->next)
        before = at;
    if (before)
        before->next = a->next;
    else
        f->first = a->next;
    if (f->last_awaited == a)
        f->last_awaited = before;
    f->awaited--;
}

static struct flights_awaited *find_locked(struct flights *f, const struct memory_flight *flight)
{
    for (struct flights_awaited *a = f->first; a; a = a->next)
        if (a->flight.number == flight->number && a->flight.at == flight->at)
            return a;
    return NULL;
}

/* -- The thread ------------------------------------------------------------------------------------ */

static void complete(struct wait *waits)
{
    while (waits) {
        struct wait *w = waits;

        waits = w->next;
        mailbox_complete(&w->slip, &w->outcome);
        alloc_free(w);
    }
}

/* A flight has ended: all who wait for it here, those included who came while it was looked at, are told.
 * (Once looked at, its end is not there to be looked at again.) */
static void tell(struct flights *f, const struct memory_flight *flight,
                 enum memory_flight_outcome outcome, const char *error, size_t error_length)
{
    struct flights_awaited *a;

    pthread_mutex_lock(&f->mutex);
    a = find_locked(f, flight);
    if (a)
        remove_locked(f, a);
    pthread_mutex_unlock(&f->mutex);
    if (!a)
        return;
    for (struct wait *w = a->waits; w; w = w->next) {
        w->outcome.status = TANDEM_OK;
        w->outcome.count = outcome;
        if (outcome == MEMORY_FLIGHT_FAILED)
            w->outcome.error = alloc_copy(error, error_length);
    }
    complete(a->waits);
    alloc_free(a);
}

/* Those who have waited long enough are told so.  When the next one will have, at most until_ms. */
static int64_t tell_overdue(struct tier *tier, int64_t now_ms, int64_t until_ms)
{
    struct flights *f = &tier->flights;
    struct wait *overdue = NULL;

    pthread_mutex_lock(&f->mutex);
    for (struct flights_awaited *a = f->first; a; a = a->next) {
        for (struct wait **link = &a->waits, *w; (w = *link) != NULL;) {
            if (w->deadline_ms > now_ms) {
                until_ms = w->deadline_ms < until_ms ? w->deadline_ms : until_ms;
                link = &w->next;
                continue;
            }
            *link = w->next;
            w->next = overdue;
            overdue = w;
        }
    }
    pthread_mutex_unlock(&f->mutex);
    for (struct wait *w = overdue; w; w = w->next) {
        w->outcome.status = TANDEM_ETIMEOUT;
        w->outcome.error = alloc_copy(OVERDUE, sizeof(OVERDUE) - 1);
        memory_count(tier->memory, COUNT_FETCH_LOCK_TIMEOUTS, 1);
    }
    complete(overdue);
    return until_ms;
}

/* The first of the queue, which then is the last.  False: it is empty. */
static bool next_to_look_at(struct flights *f, struct memory_flight *flight, unsigned *count)
{
    struct flights_awaited *a;

    pthread_mutex_lock(&f->mutex);
    a = f->first;
    if (a) {
        *count = f->awaited;
        *flight = a->flight;
        remove_locked(f, a);
        append_locked(f, a);
    }
    pthread_mutex_unlock(&f->mutex);
    return a != NULL;
}

/* Looks at each awaited flight once.  How long the thread may sleep then: -1 without end. */
static int64_t look_around(struct tier *tier)
{
    struct flights *f = &tier->flights;
    int64_t now_ms = clock_now_ms();
    struct memory_flight flight;
    char error[ERROR_BYTES];
    unsigned count = 0;
    size_t length;

    for (unsigned i = 0; next_to_look_at(f, &flight, &count) && i < count; i++) {
        enum memory_flight_outcome outcome =
            memory_flight_look(tier->memory, &flight, f->ear, now_ms, error, sizeof(error), &length,
                               MEMORY_LOCK_IO_US);

        if (outcome != MEMORY_FLIGHT_UNDER_WAY)
            tell(f, &flight, outcome, error, length);
    }
    if (count == 0)
        return -1;
    return tell_overdue(tier, now_ms, now_ms + LOOK_AROUND_MS) - now_ms;
}

static void *run(void *context)
{
    struct tier *tier = context;
    struct flights *f = &tier->flights;
    _Atomic uint32_t *word = atomic_load_explicit(&f->word, memory_order_acquire);

    for (;;) {
        uint32_t rings = atomic_load_explicit(word, memory_order_acquire);

        if (atomic_load_explicit(&f->stopping, memory_order_acquire))
            return NULL;
        memory_ear_listen(word, rings, look_around(tier));
    }
}

static bool start_locked(struct tier *tier)
{
    struct flights *f = &tier->flights;
    sigset_t all, before;

    if (f->running)
        return true;
    f->ear = memory_ear_claim(tier->memory);
    atomic_store_explicit(&f->word,
                          f->ear >= 0 ? memory_ear_word(tier->memory, f->ear) : &f->own_rings,
                          memory_order_release);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    f->running = pthread_create(&f->thread, NULL, run, tier) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!f->running)
        memory_ear_release(tier->memory, f->ear);
    return f->running;
}

static void wake(struct flights *f)
{
    _Atomic uint32_t *word = atomic_load_explicit(&f->word, memory_order_acquire);

    if (word)
        memory_ear_ring_word(word);
}

/* -- The life of it -------------------------------------------------------------------------------- */

static void clear(struct flights *f)
{
    memset(f->own, 0, sizeof(f->own));
    f->first = f->last_awaited = NULL;
    f->awaited = 0;
    f->ear = -1;
    f->running = false;
    atomic_store_explicit(&f->stopping, false, memory_order_relaxed);
    atomic_store_explicit(&f->word, NULL, memory_order_relaxed);
}

bool flights_init(struct flights *f)
{
    clear(f);
    return pthread_mutex_init(&f->mutex, NULL) == 0;
}

void flights_close(struct tier *tier)
{
    struct flights *f = &tier->flights;
    struct flights_awaited *a;

    if (f->running) {
        atomic_store_explicit(&f->stopping, true, memory_order_release);
        wake(f);
        pthread_join(f->thread, NULL);
        memory_ear_release(tier->memory, f->ear);
    }
    while ((a = f->first) != NULL) {
        struct memory_flight flight = a->flight;

        tell(f, &flight, MEMORY_FLIGHT_GONE, NULL, 0);
    }
    pthread_mutex_destroy(&f->mutex);
}

/* What is lost of the parent's lists is a few flights' worth of memory. */
void flights_after_fork(struct tier *tier)
{
    flights_init(&tier->flights);
}

/* -- Flights of our own ---------------------------------------------------------------------------- */

static struct flights_own *own_create(tandem_cache *cache, const char *key, size_t key_length)
{
    struct flights_own *own = alloc_bytes(sizeof(*own) + key_length);

    if (!own)
        return NULL;
    memset(own, 0, sizeof(*own));
    own->cache = cache;
    own->key_length = key_length;
    memcpy(own->key, key, key_length);
    own->begun_ms = clock_now_ms();
    memory_token_read(cache->tier->memory, key, key_length, &own->token);
    return own;
}

static int enter(tandem_cache *cache, struct flights_own *own, int flags, int status,
                 tandem_result *result)
{
    struct flights *f = &cache->tier->flights;
    struct flights_own **chain;

    pthread_mutex_lock(&f->mutex);
    own->number = ++f->last;
    chain = f->own + own->number % FLIGHTS_CHAINS;
    own->next = *chain;
    *chain = own;
    pthread_mutex_unlock(&f->mutex);
    memory_count(cache->tier->memory, COUNT_FETCH_LOADS, 1);
    if (flags & TANDEM_NOWAIT)
        memory_count(cache->tier->memory, COUNT_FETCH_REFRESHES, 1);
    result->ticket = (double)own->number;
    return status;
}

/* A handle's flight, which only that handle's thread takes out of the list.  NULL: there is none. */
static struct flights_own *find_own(const tandem_cache *cache, double number, bool take)
{
    struct flights *f = &cache->tier->flights;
    struct flights_own **link, *own;

    if (!(number >= 1 && number < NUMBER_LIMIT))
        return NULL;
    pthread_mutex_lock(&f->mutex);
    link = f->own + (uint64_t)number % FLIGHTS_CHAINS;
    while ((own = *link) != NULL && !((double)own->number == number && own->cache == cache))
        link = &own->next;
    if (own && take)
        *link = own->next;
    pthread_mutex_unlock(&f->mutex);
    return own;
}

static void end_own(struct tier *tier, struct flights_own *own, int outcome, const char *error,
                    size_t error_length)
{
    if (own->in_table)
        memory_flight_end(tier->memory, &own->flight, (enum memory_flight_outcome)outcome, error,
                          error_length, clock_now_ms(), MEMORY_LOCK_US);
    alloc_free(own);
    wake(&tier->flights);
}

/* -- Joining --------------------------------------------------------------------------------------- */

static bool add_locked(struct flights *f, const struct memory_flight *flight, struct wait *wait)
{
    struct flights_awaited *a = find_locked(f, flight);

    if (!a) {
        a = alloc_zeroed(sizeof(*a));
        if (!a)
            return false;
        a->flight = *flight;
        append_locked(f, a);
    }
    wait->next = a->waits;
    a->waits = wait;
    return true;
}

/* Begins the flight or, in the same hold of the lock, joins it: so that its end cannot be looked at before
 * this wait is in the list. */
static int begin_or_join(tandem_cache *cache, struct flights_own *own, struct wait *wait,
                         int64_t keep_ms)
{
    struct tier *tier = cache->tier;
    struct flights *f = &tier->flights;
    int status;

    pthread_mutex_lock(&f->mutex);
    if (wait && !start_locked(tier))
        wait = NULL;
    status = memory_flight_begin(tier->memory, own->key, own->key_length, wait ? f->ear : -1,
                                 own->begun_ms, keep_ms, &own->flight, MEMORY_LOCK_US);
    if (status == MEMORY_MORE && (!wait || !add_locked(f, &own->flight, wait)))
        status = MEMORY_REFUSED;
    pthread_mutex_unlock(&f->mutex);
    if (status == MEMORY_MORE)
        wake(f);
    return status;
}

/* Does memory have an answer by now, as a flight before this one has left it? */
static bool memory_answers(tandem_cache *cache, const struct flights_own *own)
{
    struct tier *tier = cache->tier;
    int64_t lease_ms = memory_lease(tier->memory), now_ms = clock_now_ms();
    struct memory_entry entry;

    return !behind_has(&tier->behind, own->key, own->key_length) &&
           memory_get(tier->memory, own->key, own->key_length, now_ms, true, NULL, 0, &entry) ==
               MEMORY_OK &&
           freshness_judge(&entry, lease_ms, now_ms) == FRESHNESS_FRESH;
}

static struct wait *wait_create(tandem_cache *cache, double wait_ms)
{
    struct wait *wait = alloc_zeroed(sizeof(*wait));

    if (!wait)
        return NULL;
    wait->deadline_ms = clock_now_ms() + (int64_t)wait_ms;
    if (mailbox_open(cache->mailbox, cache, wait->deadline_ms, &wait->slip) == TANDEM_OK)
        return wait;
    alloc_free(wait);
    return NULL;
}

static void wait_cancel(struct wait *wait)
{
    if (wait)
        mailbox_cancel(&wait->slip);
    alloc_free(wait);
}

int tier_flight_begin(tandem_cache *cache, const char *key, size_t key_length, int flags,
                      double keep_ms, double wait_ms, tandem_result *result)
{
    struct flights_own *own = own_create(cache, key, key_length);
    struct wait *wait = NULL;
    double ticket = 0;

    if (!own)
        return result_say(result, TANDEM_ESYS, "no memory");
    if (flags & TANDEM_ALONE)
        return enter(cache, own, flags, TANDEM_OK, result);
    if (!(flags & TANDEM_NOWAIT))
        wait = wait_create(cache, wait_ms);
    if (wait)
        ticket = (double)wait->slip.ticket; /* once in the list, it may be gone at once */
    switch (begin_or_join(cache, own, wait, (int64_t)keep_ms)) {
    case MEMORY_OK:
        wait_cancel(wait);
        own->in_table = true;
        if (!(flags & TANDEM_EARLY) && memory_answers(cache, own)) {
            end_own(cache->tier, own, MEMORY_FLIGHT_STORED, NULL, 0);
            return TANDEM_MORE;
        }
        return enter(cache, own, flags, TANDEM_OK, result);
    case MEMORY_MORE:
        alloc_free(own);
        memory_count(cache->tier->memory, COUNT_FETCH_JOINED, 1);
        result->ticket = ticket;
        return TANDEM_PENDING;
    case MEMORY_BUSY:
        wait_cancel(wait);
        return enter(cache, own, flags, TANDEM_EBUSY, result);
    default:
        wait_cancel(wait);
        if (flags & TANDEM_NOWAIT) {
            alloc_free(own);
            return TANDEM_MISS;
        }
        return enter(cache, own, flags, TANDEM_EFULL, result);
    }
}

/* -- What came of it ------------------------------------------------------------------------------- */

static bool token_holds(struct tier *tier, const struct flights_own *own)
{
    struct memory_token now;

    memory_token_read(tier->memory, own->key, own->key_length, &now);
    return now.epoch == own->token.epoch && now.inval == own->token.inval &&
           now.wseq == own->token.wseq;
}

int tier_flight_store(tandem_cache *cache, double flight, const void *value, size_t value_length,
                      int64_t ttl_ms, int flags, tandem_result *result)
{
    struct flights_own *own = find_own(cache, flight, false);
    int status;

    if (!own)
        return TANDEM_MISS;
    status = token_holds(cache->tier, own)
                 ? write_loaded(cache, own->key, own->key_length, value, value_length, ttl_ms,
                                &own->token, flags, result)
                 : TANDEM_MISS;
    if (status == TANDEM_OK)
        result->tier = TANDEM_TIER_LOADER;
    return status;
}

int tier_flight_absent(tandem_cache *cache, double flight, int64_t ttl_ms, tandem_result *result)
{
    struct flights_own *own = find_own(cache, flight, false);
    struct tier *tier = cache->tier;
    struct memory_attributes a;
    int status;

    if (!own)
        return TANDEM_MISS;
    a = tier->client ? freshness_attributes(&cache->rules, clock_now_ms(), ttl_ms,
                                            tracking_covers(tier, own->begun_ms))
                     : freshness_memory_only(clock_now_ms(), ttl_ms);
    a.flags |= MEMORY_NEGATIVE;
    status = memory_fill(tier->memory, own->key, own->key_length, "", 0, &a, &own->token,
                         MEMORY_LOCK_US);
    if (status == MEMORY_BUSY)
        return result_busy(result);
    return status == MEMORY_OK ? TANDEM_OK : TANDEM_MISS;
}

void tier_flight_end(tandem_cache *cache, double flight, int outcome, const char *error,
                     size_t error_length)
{
    struct flights_own *own = find_own(cache, flight, true);

    if (!own)
        return;
    if (outcome == MEMORY_FLIGHT_FAILED)
        memory_count(cache->tier->memory, COUNT_FETCH_ERRORS, 1);
    end_own(cache->tier, own, outcome, error, error_length);
}

/* A handle is closed while its loaders run: nobody will end their flights. */
void flights_abandon_of(tandem_cache *cache)
{
    struct flights *f = &cache->tier->flights;
    double number;

    do {
        number = 0;
        pthread_mutex_lock(&f->mutex);
        for (int i = 0; i < FLIGHTS_CHAINS && number == 0; i++)
            for (struct flights_own *own = f->own[i]; own && number == 0; own = own->next)
                if (own->cache == cache)
                    number = (double)own->number;
        pthread_mutex_unlock(&f->mutex);
        tier_flight_end(cache, number, MEMORY_FLIGHT_GONE, NULL, 0);
    } while (number != 0);
}
