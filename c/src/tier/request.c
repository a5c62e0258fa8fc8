#include "tier/request.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/hash.h"
#include "tier/office.h"
#include "tier/result.h"

struct request *request_create(const tandem_cache *cache, enum redis_kind kind, const char *key,
                               size_t key_length)
{
    struct request *r = alloc_zeroed(sizeof(*r));

    if (!r)
        return NULL;
    if (key) {
        r->op.key = alloc_copy(key, key_length);
        r->op.key_length = key_length;
    }
    if (key && !r->op.key) {
        redis_op_free(&r->op);
        return NULL;
    }
    r->op.kind = kind;
    r->op.owner = r;
    r->rules = cache->rules;
    r->degrade = cache->degrade;
    r->replay_deletes = cache->replay_deletes;
    r->behind = BEHIND_NONE;
    return r;
}

struct request *request_internal(enum request_purpose purpose, enum redis_kind kind,
                                 const char *key, size_t key_length)
{
    struct request *r = alloc_zeroed(sizeof(*r));

    if (!r)
        return NULL;
    r->purpose = purpose;
    r->behind = BEHIND_NONE;
    r->op.owner = r;
    r->op.kind = kind;
    r->op.key = alloc_copy(key, key_length);
    r->op.key_length = key_length;
    if (r->op.key)
        return r;
    redis_op_free(&r->op);
    return NULL;
}

uint64_t request_draw_owner(void)
{
    uint64_t n = 0;

    if (getrandom(&n, sizeof(n), GRND_NONBLOCK) != sizeof(n)) {
        int64_t now = clock_now_us();

        n = hash_bytes(&now, sizeof(now), (uint64_t)getpid());
    }
    return n | 1;
}

bool request_set_value(struct request *r, const void *value, size_t value_length)
{
    r->op.value = alloc_copy(value, value_length);
    r->op.value_length = value_length;
    return r->op.value != NULL;
}

bool request_set_tags(struct request *r, const char *names, size_t length)
{
    if (!length)
        return true;
    r->op.tags = alloc_copy(names, length);
    r->op.tags_length = length;
    return r->op.tags != NULL;
}

int request_possible(tandem_cache *cache, tandem_result *result)
{
    char why[200];

    if (redis_client_state(cache->tier->client, NULL, 0) != REDIS_STATE_DOWN)
        return TANDEM_OK;
    /* Asked again for the reason: it may just have come up, and then the next call will see it. */
    why[0] = '\0';
    redis_client_state(cache->tier->client, why, sizeof(why));
    if (!why[0])
        snprintf(why, sizeof(why), "%s cannot be reached",
                 redis_client_server(cache->tier->client));
    return result_say(result, TANDEM_ECONN, "%s", why);
}

static int refused(struct request *r, enum redis_submit how, tandem_result *result)
{
    int status = how == REDIS_QUEUE_FULL ? TANDEM_EFULL : TANDEM_ECONN;

    return result_say(result, status, "%s", r->op.error);
}

int request_submit(tandem_cache *cache, struct request *r, bool ticket, int flags,
                   tandem_result *result)
{
    struct redis_client *client = cache->tier->client;
    bool cork = (flags & TANDEM_CORK) != 0;
    enum redis_submit how;
    double number;
    int status = TANDEM_OK;

    if (!r)
        return result_say(result, TANDEM_ESYS, "no memory");
    r->op.deadline_ms = clock_now_ms() + cache->timeout_ms;
    if (redis_client_state(client, NULL, 0) != REDIS_STATE_UP)
        r->op.deadline_ms += cache->connect_timeout_ms;
    if (ticket)
        status = mailbox_open(cache->mailbox, cache, r->op.deadline_ms, &r->slip);
    if (status == TANDEM_EFULL)
        result_say(result, status, "%d operations wait to be taken already", MAILBOX_TICKETS);
    else if (status)
        result_say(result, status, "no memory");
    if (status) {
        redis_op_free(&r->op);
        return status;
    }
    number = (double)r->slip.ticket; /* once submitted, it may be gone before the call returns */
    how = redis_submit(client, &r->op, cork);
    if (how == REDIS_ACCEPTED) {
        cache->corked = cork;
        result->ticket = number;
        return TANDEM_PENDING;
    }
    mailbox_cancel(&r->slip);
    status = refused(r, how, result);
    redis_op_free(&r->op);
    return status;
}

bool request_submit_internal(struct tier *tier, struct request *r)
{
    if (!r)
        return false;
    r->op.deadline_ms = clock_now_ms() + office_max_stale(tier);
    if (redis_submit(tier->client, &r->op, false) == REDIS_ACCEPTED)
        return true;
    redis_op_free(&r->op);
    return false;
}

void request_finish(struct request *r, struct outcome *outcome)
{
    mailbox_complete(&r->slip, outcome);
    redis_op_free(&r->op);
}

static int status_of(enum redis_status status)
{
    switch (status) {
    case REDIS_TIMEOUT:
        return TANDEM_ETIMEOUT;
    case REDIS_REFUSED:
        return TANDEM_EREDIS;
    case REDIS_GARBAGE:
        return TANDEM_EPROTO;
    default:
        return TANDEM_ECONN;
    }
}

int request_fail(const struct request *r, const char *addition, struct outcome *outcome)
{
    char sentence[sizeof(((tandem_result *)0)->error)];
    int n;

    if (!addition)
        addition = "";
    /* It is the first part that gets cut. */
    n = snprintf(sentence, sizeof(sentence), "%.*s%s",
                 (int)(sizeof(sentence) - 1 - strlen(addition)), r->op.error, addition);
    outcome->error = alloc_copy(sentence, n > 0 ? strlen(sentence) : 0);
    return outcome->status = status_of(r->op.status);
}

void request_degrade(const struct request *r, const char *what, struct outcome *outcome)
{
    char sentence[sizeof(((tandem_result *)0)->error)];

    snprintf(sentence, sizeof(sentence), "%s: %s", what, r->op.error);
    outcome->error = alloc_copy(sentence, strlen(sentence));
    outcome->status = TANDEM_DEGRADED;
}
