#include "tier/fleet.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tier/request.h"
#include "tier/result.h"

enum {
    WATCH_MS = 1000,  /* after so long without a word Redis is asked again */
    POLL_MS = 100,    /* the same, without a link */
    SLACK_MS = 500,   /* a watch is found to be over so much later, at most */
    MESSAGE_MS = 5000 /* a message is there to be read so long */
};

/* -- Watching ------------------------------------------------------------------------------------ */

static void watch(struct tier *tier, struct flights_own *own)
{
    static const char name[] = REDIS_LOCK_KEY;
    size_t length = sizeof(name) - 1 + own->key_length;
    char *key = alloc_bytes(length);
    int64_t now_ms = clock_now_ms();
    int64_t until_ms = now_ms + (tracking_is_live(tier, now_ms) ? WATCH_MS : POLL_MS);
    int status = MEMORY_BUSY;

    if (key) {
        memcpy(key, name, sizeof(name) - 1);
        memcpy(key + sizeof(name) - 1, own->key, own->key_length);
        status = memory_flight_begin(tier->memory, key, length, false, now_ms, until_ms,
                                     &own->fleet.watch);
    }
    alloc_free(key);
    /* Somebody else may watch already: that is as good. */
    own->fleet.watching = status == MEMORY_OK || status == MEMORY_MORE;
}

static void stop_watching(struct tier *tier, struct fleet *fleet)
{
    if (fleet->watching)
        memory_flight_end(tier->memory, &fleet->watch, TANDEM_FLIGHT_GONE, NULL, 0);
    fleet->watching = false;
}

void fleet_hear(struct tier *tier, const char *key, size_t key_length)
{
    if (reserved_begins(key, key_length, REDIS_LOCK_KEY))
        memory_flight_end_of(tier->memory, key, key_length, TANDEM_FLIGHT_GONE);
}

/* -- On the handle's thread ---------------------------------------------------------------------- */

static void draw_token(char token[REDIS_TOKEN])
{
    char text[REDIS_TOKEN + 1];

    snprintf(text, sizeof(text), "%016" PRIx64, request_draw_owner());
    memcpy(token, text, REDIS_TOKEN);
}

/* The request for an owned flight's lock, which is watched from now on.  NULL: no memory. */
static struct request *prepare_locked(tandem_cache *cache, struct flights_own *own)
{
    struct fleet *fleet = &own->fleet;
    struct request *r = request_create(cache, REDIS_LOCK, own->key, own->key_length);

    if (!r)
        return NULL;
    if (!fleet->token[0])
        draw_token(fleet->token);
    memcpy(r->op.token, fleet->token, REDIS_TOKEN);
    memcpy(r->op.holder, fleet->holder, REDIS_TOKEN);
    fleet->asked = true;
    fleet->answered = false;
    fleet->timeout_ms = cache->timeout_ms;
    watch(cache->tier, own);
    return r;
}

static int no_flight(tandem_result *result)
{
    return result_say(result, TANDEM_ELOST, "this process has no such flight");
}

int fleet_lock(tandem_cache *cache, double flight, double keep_ms, double enough_ms, int flags,
               tandem_result *result)
{
    struct flights *f = &cache->tier->flights;
    struct flights_own *own;
    struct request *r = NULL;
    int status;

    if (!cache->tier->client)
        return result_say(result, TANDEM_EINVAL, "there is no Redis to have a lock of");
    status = request_possible(cache, result);
    if (status)
        return status;
    pthread_mutex_lock(&f->mutex);
    own = flights_find_locked(f, flight);
    if (own)
        r = prepare_locked(cache, own);
    pthread_mutex_unlock(&f->mutex);
    if (!own)
        return no_flight(result);
    if (r) {
        r->flight = flight;
        r->op.ttl_ms = (int64_t)keep_ms;
        r->op.enough_ms = (int64_t)enough_ms;
    }
    return request_submit(cache, r, true, flags, result);
}

int fleet_wait(tandem_cache *cache, double flight, double wait_ms, tandem_result *result)
{
    struct flights *f = &cache->tier->flights;
    struct flights_own *own;
    struct memory_flight watched;
    bool watching;
    int64_t most_ms = WATCH_MS + SLACK_MS;

    pthread_mutex_lock(&f->mutex);
    own = flights_find_locked(f, flight);
    watching = own && own->fleet.watching;
    if (watching)
        watched = own->fleet.watch;
    pthread_mutex_unlock(&f->mutex);
    if (!own)
        return no_flight(result);
    if (!watching)
        return result_say(result, TANDEM_EBUSY, "there is no place to wait for another host");
    if (wait_ms < (double)most_ms)
        most_ms = (int64_t)wait_ms;
    return flights_join(cache, &watched, clock_now_ms() + most_ms, result);
}

/* -- Giving it up -------------------------------------------------------------------------------- */

static bool is_message(int outcome)
{
    return outcome == TANDEM_FLIGHT_ABSENT || outcome == TANDEM_FLIGHT_UNKEPT ||
           outcome == TANDEM_FLIGHT_FAILED;
}

/* A digit, and the beginning of the error. */
static bool set_message(struct request *r, int outcome, const char *error, size_t error_length)
{
    char text[1 + MEMORY_FLIGHT_ERROR];

    if (!is_message(outcome))
        return true;
    if (error_length > MEMORY_FLIGHT_ERROR)
        error_length = MEMORY_FLIGHT_ERROR;
    text[0] = (char)('0' + outcome);
    if (error_length)
        memcpy(text + 1, error, error_length);
    return request_set_value(r, text, 1 + error_length);
}

void fleet_end(struct tier *tier, struct flights_own *own, int outcome, const char *error,
               size_t error_length)
{
    struct fleet *fleet = &own->fleet;
    struct request *r;

    stop_watching(tier, fleet);
    if (!fleet->asked)
        return;
    r = request_internal(FOR_NOBODY, REDIS_UNLOCK, own->key, own->key_length);
    if (!r)
        return; /* it expires */
    memcpy(r->op.token, fleet->token, REDIS_TOKEN);
    r->op.ttl_ms = MESSAGE_MS;
    r->op.deadline_ms = clock_now_ms() + fleet->timeout_ms;
    if (!set_message(r, outcome, error, error_length) ||
        redis_submit(tier->client, &r->op, false) != REDIS_ACCEPTED)
        redis_op_free(&r->op);
}

/* -- On the I/O thread --------------------------------------------------------------------------- */

static void learn_locked(struct tier *tier, struct fleet *fleet, const struct redis_op *op)
{
    fleet->asked = op->integer == REDIS_LOCK_TAKEN;
    fleet->answered = op->integer == REDIS_LOCK_LEFT || op->integer == REDIS_LOCK_ANSWERED;
    if (op->integer != REDIS_LOCK_HELD)
        stop_watching(tier, fleet);
    else if (memcmp(fleet->holder, op->holder, REDIS_TOKEN) != 0)
        memory_count(tier->memory, COUNT_FETCH_FLEET_WAITS, 1);
    if (op->integer == REDIS_LOCK_HELD)
        memcpy(fleet->holder, op->holder, REDIS_TOKEN);
}

static bool makes_sense(const struct redis_op *op)
{
    return op->integer != REDIS_LOCK_LEFT ||
           (op->reply_length > 0 && is_message(op->reply[0] - '0'));
}

static void say(struct tier *tier, struct redis_op *op, struct outcome *outcome)
{
    if (op->integer == REDIS_LOCK_TAKEN)
        memory_count(tier->memory, COUNT_FETCH_FLEET_LOCKS, 1);
    outcome->count = (double)op->integer;
    outcome->ttl = (double)op->pttl_ms / 1000;
    outcome->bytes = op->reply;
    outcome->length = op->reply_length;
    op->reply = NULL;
}

void fleet_done(struct tier *tier, struct request *r)
{
    struct flights *f = &tier->flights;
    struct outcome outcome = {.status = TANDEM_OK};
    struct flights_own *own;

    if (r->op.status == REDIS_DONE && !makes_sense(&r->op)) {
        r->op.status = REDIS_GARBAGE;
        snprintf(r->op.error, sizeof(r->op.error), "%s: a lock has a message that makes no sense",
                 redis_client_server(tier->client));
    }
    if (r->op.status != REDIS_DONE) {
        request_fail(r, NULL, &outcome);
        request_finish(r, &outcome);
        return;
    }
    pthread_mutex_lock(&f->mutex);
    own = flights_find_locked(f, r->flight);
    if (own)
        learn_locked(tier, &own->fleet, &r->op);
    pthread_mutex_unlock(&f->mutex);
    say(tier, &r->op, &outcome);
    request_finish(r, &outcome);
}
