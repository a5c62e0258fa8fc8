#include "tier/flights.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tier/ear.h"
#include "tier/request.h"
#include "tier/result.h"

/* -- What is owned ------------------------------------------------------------------------------- */

void flights_init(struct flights *flights)
{
    pthread_mutex_init(&flights->mutex, NULL);
    pthread_cond_init(&flights->changed, NULL);
}

/* 0, which no number is, for anything that cannot be one. */
static uint64_t number_of(double number)
{
    return number >= 1 && number < 9007199254740992.0 && floor(number) == number ? (uint64_t)number
                                                                                 : 0;
}

static struct flights_own **find_locked(struct flights *f, uint64_t number)
{
    struct flights_own **link = f->own + number % FLIGHTS_CHAINS;

    while (*link && (*link)->flight.number != number)
        link = &(*link)->next;
    return link;
}

struct flights_own *flights_find_locked(struct flights *f, double number)
{
    return *find_locked(f, number_of(number));
}

/* The clock and the token that what is made must hold to: those of now. */
static void reset(struct tier *tier, struct flights_own *own)
{
    own->began_ms = clock_now_ms();
    own->began_ns = clock_now_ns();
    memory_token_read(tier->memory, own->key, own->key_length, &own->token);
    own->seen_us = memory_tag_seen(tier->memory);
}

/* With a copy of the key, and the token of this moment.  NULL: no memory. */
static struct flights_own *make(tandem_cache *cache, const char *key, size_t key_length)
{
    struct flights_own *own = alloc_zeroed(sizeof(*own) + key_length);

    if (!own)
        return NULL;
    own->cache = cache;
    own->key_length = key_length;
    memcpy(own->key, key, key_length);
    reset(cache->tier, own);
    return own;
}

static int enter(tandem_cache *cache, struct flights_own *own, int status, tandem_result *result)
{
    struct flights *f = &cache->tier->flights;
    struct flights_own **chain;

    pthread_mutex_lock(&f->mutex);
    chain = f->own + own->flight.number % FLIGHTS_CHAINS;
    own->next = *chain;
    *chain = own;
    pthread_mutex_unlock(&f->mutex);
    result->ticket = (double)own->flight.number;
    return status;
}

/* Its loader has returned, or failed. */
static void time_loader(struct tier *tier, struct flights_own *own)
{
    if (!own->timed && !own->fleet.answered)
        memory_observe(tier->memory, HISTOGRAM_FETCH_LOAD, clock_now_ns() - own->began_ns);
    own->timed = true;
}

static void end(struct tier *tier, struct flights_own *own, int outcome, const char *error,
                size_t error_length)
{
    static const enum memory_counter row[] = {
        [TANDEM_FLIGHT_GONE] = COUNT_FETCH_GONE,     [TANDEM_FLIGHT_STORED] = COUNT_FETCH_LOADS,
        [TANDEM_FLIGHT_ABSENT] = COUNT_FETCH_LOADS,  [TANDEM_FLIGHT_UNKEPT] = COUNT_FETCH_UNKEPT,
        [TANDEM_FLIGHT_FAILED] = COUNT_FETCH_ERRORS,
    };

    if (outcome != TANDEM_FLIGHT_GONE)
        time_loader(tier, own);
    fleet_end(tier, own, outcome, error, error_length);
    if (own->fleet.answered && outcome != TANDEM_FLIGHT_GONE)
        memory_count(tier->memory, COUNT_FETCH_FLEET_TAKEN, 1);
    else
        memory_count(tier->memory, row[outcome], 1);
    if (outcome == TANDEM_FLIGHT_UNKEPT)
        memory_count(tier->memory, COUNT_FETCH_LOADS, 1);
    if (!own->alone && memory_flight_end(tier->memory, &own->flight, outcome, error, error_length))
        ear_look(tier, false);
    alloc_free(own);
}

/* Moves what a handle owns (NULL: any) from one chain to another. */
static void move_owned(struct flights_own **from, struct flights_own **to,
                       const tandem_cache *cache)
{
    struct flights_own *own;

    while ((own = *from) != NULL) {
        if (cache && own->cache != cache) {
            from = &own->next;
            continue;
        }
        *from = own->next;
        own->next = *to;
        *to = own;
    }
}

/* Gives up what a handle owns; NULL: all. */
static void give_up(struct tier *tier, const tandem_cache *cache)
{
    struct flights *f = &tier->flights;

    for (int i = 0; i < FLIGHTS_CHAINS; i++) {
        struct flights_own *mine = NULL, *own;

        pthread_mutex_lock(&f->mutex);
        move_owned(f->own + i, &mine, cache);
        pthread_mutex_unlock(&f->mutex);
        while ((own = mine) != NULL) {
            mine = own->next;
            end(tier, own, TANDEM_FLIGHT_GONE, NULL, 0);
        }
    }
}

void flights_leave(tandem_cache *cache)
{
    give_up(cache->tier, cache);
}

void flights_stop(struct tier *tier)
{
    struct flights *f = &tier->flights;
    bool listening;

    give_up(tier, NULL);
    pthread_mutex_lock(&f->mutex);
    f->stop = true;
    listening = f->listening;
    pthread_cond_signal(&f->changed);
    pthread_mutex_unlock(&f->mutex);
    if (listening) {
        memory_flight_ring(tier->memory);
        pthread_join(f->ear, NULL);
    }
    ear_drop_all(tier);
}

void flights_free(struct flights *flights)
{
    pthread_cond_destroy(&flights->changed);
    pthread_mutex_destroy(&flights->mutex);
}

void flights_after_fork(struct tier *tier)
{
    struct flights fresh = {.listening = false};

    tier->flights = fresh;
    flights_init(&tier->flights);
}

/* -- Beginning ----------------------------------------------------------------------------------- */

/* Does memory have an answer that is no reason to load? */
static bool is_answered(tandem_cache *cache, const char *key, size_t key_length)
{
    struct tier *tier = cache->tier;
    int64_t now_ms = clock_now_ms(), lease_ms = memory_lease(tier->memory);
    struct memory_entry entry;

    return memory_get(tier->memory, key, key_length, now_ms, true, NULL, 0, &entry) == MEMORY_OK &&
           tier_is_fresh(tier, key, key_length, &entry, lease_ms, now_ms) &&
           freshness_left(&cache->rules, &entry.attributes, now_ms) > 0;
}

int flights_join(tandem_cache *cache, const struct memory_flight *flight, int64_t deadline_ms,
                 tandem_result *result)
{
    struct mailbox_slip slip = {NULL, 0};
    int status = mailbox_open(cache->mailbox, cache, deadline_ms, &slip);

    if (status == TANDEM_EFULL)
        return result_say(result, status, "%d operations wait to be taken already",
                          MAILBOX_TICKETS);
    if (status)
        return result_say(result, status, "no memory");
    result->ticket = (double)slip.ticket;
    if (!ear_wait(cache->tier, flight, deadline_ms, &slip)) {
        mailbox_cancel(&slip);
        return result_say(result, TANDEM_ESYS, "no memory to wait for a loader");
    }
    return TANDEM_PENDING;
}

/* Another's flight is under way. */
static int join(tandem_cache *cache, const struct memory_flight *flight, double wait_ms,
                tandem_result *result)
{
    int status = flights_join(cache, flight, clock_now_ms() + (int64_t)wait_ms, result);

    if (status == TANDEM_PENDING)
        memory_count(cache->tier->memory, COUNT_FETCH_JOINED, 1);
    return status;
}

static int go_alone(tandem_cache *cache, struct flights_own *own, int status, tandem_result *result)
{
    own->alone = true;
    own->flight.number = memory_flight_number(cache->tier->memory);
    memory_count(cache->tier->memory, COUNT_FETCH_ALONE, 1);
    return enter(cache, own, status, result);
}

int flights_begin(tandem_cache *cache, const char *key, size_t key_length, int flags,
                  double keep_ms, double wait_ms, tandem_result *result)
{
    struct memory *memory = cache->tier->memory;
    bool refresh = (flags & TANDEM_NOWAIT) != 0;
    struct flights_own *own = make(cache, key, key_length);
    int64_t now_ms = clock_now_ms();

    if (!own)
        return result_say(result, TANDEM_ESYS, "no memory");
    if (flags & TANDEM_ALONE)
        return go_alone(cache, own, TANDEM_OK, result);
    switch (memory_flight_begin(memory, key, key_length, !refresh, now_ms,
                                now_ms + (int64_t)keep_ms, &own->flight)) {
    case MEMORY_OK:
        break;
    case MEMORY_MORE: {
        struct memory_flight flight = own->flight;

        alloc_free(own);
        return refresh ? TANDEM_MISS : join(cache, &flight, wait_ms, result);
    }
    case MEMORY_REFUSED:
        result_say(result, TANDEM_EFULL, "there are too many loaders");
        return go_alone(cache, own, TANDEM_EFULL, result);
    default:
        return go_alone(cache, own, result_busy(result), result);
    }
    /* Between the caller's look and now another flight may have begun and ended. */
    if ((!refresh || (flags & TANDEM_STALE)) && is_answered(cache, key, key_length)) {
        if (memory_flight_end(memory, &own->flight, TANDEM_FLIGHT_GONE, NULL, 0))
            ear_look(cache->tier, false);
        alloc_free(own);
        return TANDEM_MORE;
    }
    return enter(cache, own, TANDEM_OK, result);
}

/* -- Results ------------------------------------------------------------------------------------- */

/* The loader has a result.  A copy of what is owned by that number, to be freed, if it still is and nothing
 * has changed its key or invalidated one of these tags since it began; else NULL. */
static struct flights_own *still_holds(tandem_cache *cache, double number, const char *tags,
                                       size_t tags_length)
{
    struct flights *f = &cache->tier->flights;
    struct memory_token now;
    struct flights_own *own, *copy = NULL;

    pthread_mutex_lock(&f->mutex);
    own = *find_locked(f, number_of(number));
    if (own)
        time_loader(cache->tier, own);
    if (own)
        copy = alloc_bytes(sizeof(*own) + own->key_length);
    if (copy)
        memcpy(copy, own, sizeof(*own) + own->key_length);
    pthread_mutex_unlock(&f->mutex);
    if (!copy)
        return NULL;
    memory_token_read(cache->tier->memory, copy->key, copy->key_length, &now);
    if (now.epoch == copy->token.epoch && now.inval == copy->token.inval &&
        now.wseq == copy->token.wseq &&
        tags_hold(cache->tier, TAGS_NAMES, tags, tags_length, copy->token.tags) &&
        (copy->alone || memory_flight_is_under_way(cache->tier->memory, &copy->flight)))
        return copy;
    alloc_free(copy);
    return NULL;
}

void flights_count_refreshes(tandem_cache *cache, double n)
{
    if (n > 0)
        memory_count(cache->tier->memory, COUNT_FETCH_REFRESHES, (uint64_t)n);
}

void flights_restart(tandem_cache *cache, double number)
{
    struct flights *f = &cache->tier->flights;
    struct flights_own *own;

    pthread_mutex_lock(&f->mutex);
    own = flights_find_locked(f, number);
    if (own) {
        reset(cache->tier, own);
        own->fleet.answered = false;
    }
    pthread_mutex_unlock(&f->mutex);
}

int flights_store(tandem_cache *cache, double number, const void *value, size_t value_length,
                  int64_t ttl_ms, const char *tags, size_t tags_length, int flags,
                  tandem_result *result)
{
    struct flights_own *own = still_holds(cache, number, tags, tags_length);
    struct loaded loaded;
    int status;

    if (!own)
        return TANDEM_MISS;
    loaded =
        (struct loaded){own->token, own->seen_us, (flags & TANDEM_FIRST) && cache->tier->client};
    status = write_loaded(cache, own->key, own->key_length, value, value_length, ttl_ms, tags,
                          tags_length, &loaded, flags, result);
    alloc_free(own);
    return status;
}

int flights_absent(tandem_cache *cache, double number, int64_t ttl_ms, const char *tags,
                   size_t tags_length, tandem_result *result)
{
    struct flights_own *own = still_holds(cache, number, tags, tags_length);
    struct tier *tier = cache->tier;
    int64_t now_ms = clock_now_ms();
    struct memory_attributes a;
    struct tags marks;
    int status;

    if (!own)
        return TANDEM_MISS;
    if (tier->client)
        a = freshness_attributes(&cache->rules, now_ms, ttl_ms + cache->rules.stale_ttl_ms,
                                 tracking_covers_since(tier, own->began_ms));
    else
        a = freshness_memory_only(now_ms, ttl_ms);
    if (a.expires_ms > now_ms + ttl_ms)
        a.expires_ms = now_ms + ttl_ms;
    a.flags |= MEMORY_NEGATIVE;
    tags_attach(tier, TAGS_NAMES, tags, tags_length, own->token.tags, &marks, &a);
    status = memory_fill(tier->memory, own->key, own->key_length, "", 0, &a, &own->token,
                         MEMORY_LOCK_US);
    alloc_free(own);
    if (status == MEMORY_BUSY)
        return result_busy(result);
    return status == MEMORY_OK ? TANDEM_OK : TANDEM_MISS;
}

void flights_end(tandem_cache *cache, double number, int outcome, const char *error,
                 size_t error_length)
{
    struct flights *f = &cache->tier->flights;
    struct flights_own **link, *own;

    pthread_mutex_lock(&f->mutex);
    link = find_locked(f, number_of(number));
    own = *link;
    if (own)
        *link = own->next;
    pthread_mutex_unlock(&f->mutex);
    if (own)
        end(cache->tier, own, outcome, error, error_length);
}
