#include "redis/topology.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "redis/random.h"

struct topology *topology_create(const struct url *url, const struct address_map *addresses,
                                 const char *name, int64_t connect_timeout_ms, int64_t timeout_ms)
{
    struct topology *t = alloc_zeroed(sizeof(*t));

    if (!t)
        return NULL;
    t->config = (struct sentinel_config){.url = url,
                                         .addresses = addresses,
                                         .name = name,
                                         .connect_timeout_ms = connect_timeout_ms,
                                         .timeout_ms = timeout_ms};
    t->sentinel.config = &t->config;
    /* Not all clients of a host have the same sentinel. */
    t->at = (int)(random_32() % (uint32_t)url->seeds);
    return t;
}

void topology_free(struct topology *t)
{
    if (t)
        sentinel_close(&t->sentinel);
    alloc_free(t);
}

void topology_after_fork(struct topology *t)
{
    sentinel_after_fork(&t->sentinel);
    t->active = t->resting = false;
}

/* -- Asking ---------------------------------------------------------------------------------------- */

static void note(struct topology *t, const char *reason, bool met)
{
    if (t->met && !met)
        return;
    t->met = met;
    snprintf(t->reason, sizeof(t->reason), "%s", reason);
}

static void rest(struct topology *t, int64_t now_ms)
{
    /* All have answered, and what we know is newer than what any of them does: they were set up anew. */
    if (t->behind == t->config.url->seeds)
        t->epoch = 0;
    t->passed = t->behind = 0;
    t->failures++;
    t->resting = true;
    breaker_failure(&t->breaker, now_ms, random_32());
}

/* Not this one: the next, or all have been asked. */
static void pass_over(struct topology *t, const char *reason, bool met, int64_t now_ms)
{
    int seeds = t->config.url->seeds;

    do {
        note(t, reason, met);
        t->at = (t->at + 1) % seeds;
        if (++t->passed >= seeds) {
            rest(t, now_ms);
            return;
        }
        reason = t->sentinel.reason;
        met = t->sentinel.met;
    } while (!sentinel_begin(&t->sentinel, t->config.url->seed + t->at, now_ms));
}

static void begin(struct topology *t, int64_t now_ms)
{
    t->resting = t->met = false;
    t->passed = t->behind = 0;
    if (!sentinel_begin(&t->sentinel, t->config.url->seed + t->at, now_ms))
        pass_over(t, t->sentinel.reason, t->sentinel.met, now_ms);
}

void topology_ask(struct topology *t, int64_t now_ms)
{
    t->active = true;
    if (t->sentinel.phase == SENTINEL_OFF)
        begin(t, now_ms);
    else
        sentinel_ask(&t->sentinel, now_ms);
}

/* -- Answers --------------------------------------------------------------------------------------- */

static bool is_same(const struct url *a, const struct url *b)
{
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

static void say_behind(struct topology *t, int64_t now_ms)
{
    char node[sizeof(t->master.host) + 10], reason[200];

    url_node(t->sentinel.node.host, t->sentinel.node.port, node, sizeof(node));
    snprintf(reason, sizeof(reason),
             "sentinel %.60s: it is behind: its configuration is of epoch %llu, and there was %llu",
             node, (unsigned long long)t->sentinel.epoch, (unsigned long long)t->epoch);
    t->behind++;
    sentinel_close(&t->sentinel);
    pass_over(t, reason, true, now_ms);
}

static void take_answer(struct topology *t, int64_t now_ms)
{
    const struct sentinel *s = &t->sentinel;

    if (t->master.host[0] && !is_same(&t->master, &s->master) && s->epoch < t->epoch) {
        say_behind(t, now_ms);
        return;
    }
    if (s->epoch > t->epoch)
        t->epoch = s->epoch;
    memcpy(t->master.host, s->master.host, sizeof(t->master.host));
    t->master.port = s->master.port;
    t->replica = s->replica;
    t->met = false;
    t->passed = t->behind = 0;
    t->answers++;
    breaker_success(&t->breaker);
}

void topology_round(struct topology *t, uint32_t events, int64_t now_ms)
{
    if (!t->active)
        return;
    if (t->resting && now_ms >= t->breaker.retry_at_ms)
        begin(t, now_ms);
    switch (sentinel_round(&t->sentinel, events, now_ms)) {
    case SENTINEL_ANSWERED:
        take_answer(t, now_ms);
        break;
    case SENTINEL_FAILED:
        pass_over(t, t->sentinel.reason, t->sentinel.met, now_ms);
        break;
    case SENTINEL_NOTHING:
        break;
    }
}

int64_t topology_next(const struct topology *t)
{
    return t->resting ? t->breaker.retry_at_ms : sentinel_next(&t->sentinel);
}

/* -- What the master says -------------------------------------------------------------------------- */

bool topology_is_master(const redisReply *reply, char *why, size_t size)
{
    const redisReply *role =
        reply->type == REDIS_REPLY_ARRAY && reply->elements ? reply->element[0] : NULL;

    if (role && role->type == REDIS_REPLY_STRING && strcmp(role->str, "master") == 0)
        return true;
    snprintf(why, size, "%s",
             role && role->type == REDIS_REPLY_STRING && strcmp(role->str, "slave") == 0
                 ? "the sentinels name it as the master, and it is a replica"
                 : "the sentinels name it as the master, and it is none");
    return false;
}
