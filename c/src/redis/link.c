#include "redis/link.h"

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "redis/patience.h"
#include "redis/quote.h"
#include "redis/random.h"
#include "redis/topology.h"

#define INVALIDATE "__redis__:invalidate"

enum step {
    STEP_NONE,
    STEP_AUTH,
    STEP_ROLE,
    STEP_NAME,
    STEP_SERVER,
    STEP_ID,
    STEP_TRACKING,
    STEP_INFO
};

static void say(const struct link *l, enum redis_link_event event, int64_t at_ms, const char *why)
{
    char text[256];

    quote_sentence(l->config->server, why ? why : "", text, sizeof(text));
    l->config->hooks->link(l->config->hooks->context, event, at_ms, why ? text : NULL);
}

/* -- Ending ---------------------------------------------------------------------------------------- */

void link_close(struct link *l)
{
    conn_close(&l->conn, false);
    dial_end(&l->dial);
    alloc_free(l->channel);
    l->channel = NULL;
    l->phase = LINK_OFF;
    l->beat_sent_ms = 0;
}

void link_after_fork(struct link *l)
{
    conn_forget(&l->conn);
    l->dial.resolve = NULL;
    l->channel = NULL;
    l->phase = LINK_OFF;
    l->breaker = (struct breaker){0};
    l->beat_sent_ms = 0;
}

static void fail(struct link *l, enum redis_link_event event, const char *why, int64_t now_ms)
{
    link_close(l);
    breaker_failure(&l->breaker, now_ms, random_32());
    l->phase = LINK_RESTING;
    say(l, event, now_ms, why);
}

void link_leave(struct link *l, const char *why, int64_t now_ms)
{
    if (l->phase == LINK_OFF)
        return;
    link_close(l);
    l->phase = LINK_RESTING;
    l->breaker.retry_at_ms = now_ms;
    say(l, REDIS_LINK_LOST, now_ms, why);
}

/* From now on an answer is listened for, or for the next one. */
static void listen_on(struct link *l, int64_t now_ms)
{
    l->progress_ms = l->whole_ms = now_ms;
    l->dripped = 0;
}

/* -- Asking ---------------------------------------------------------------------------------------- */

static bool ask(struct link *l, enum step step, int words, const char **word, const size_t *length)
{
    const struct conn_due due = {NULL, 0, (uint8_t)step};

    return redisAppendCommandArgv(l->conn.context, words, word, length) == REDIS_OK &&
           (step == STEP_NONE || conn_expect(&l->conn, due));
}

static bool greet(struct link *l)
{
    const char *auth[3];
    int auth_words = url_auth(l->config->url, auth);
    const char *role[] = {"ROLE"};
    const char *name[] = {"CLIENT", "SETNAME", l->config->name};
    const char *info[] = {"INFO", "server"};
    const char *id[] = {"CLIENT", "ID"};

    l->server = 0;
    return (!auth_words || ask(l, STEP_AUTH, auth_words, auth, NULL)) &&
           (!l->config->is_named || ask(l, STEP_ROLE, 1, role, NULL)) &&
           (!l->config->name || ask(l, STEP_NAME, 3, name, NULL)) &&
           ask(l, STEP_SERVER, 2, info, NULL) && ask(l, STEP_ID, 2, id, NULL);
}

static bool make_channel(struct link *l)
{
    const struct command_prefix *prefix = l->config->prefix;

    l->channel = alloc_bytes(prefix->length + sizeof(COMMAND_CHANNEL));
    if (!l->channel)
        return false;
    memcpy(l->channel, prefix->text, prefix->length);
    memcpy(l->channel + prefix->length, COMMAND_CHANNEL, sizeof(COMMAND_CHANNEL));
    return true;
}

static size_t channel_length(const struct link *l)
{
    return l->config->prefix->length + sizeof(COMMAND_CHANNEL) - 1;
}

/* Tracking first: once subscribed, the connection takes no other command. */
static bool track(struct link *l, long long own_id)
{
    const struct command_prefix *prefix = l->config->prefix;
    char id[24];
    const char *tracking[] = {"CLIENT", "TRACKING", "ON",     "REDIRECT",
                              id,       "BCAST",    "PREFIX", prefix->text};
    size_t lengths[] = {6, 8, 2, 8, 0, 5, 6, prefix->length};
    const char *info[] = {"CLIENT", "TRACKINGINFO"};
    const char *subscribe[] = {"SUBSCRIBE", INVALIDATE};
    const char *own[] = {"SUBSCRIBE", NULL};
    size_t own_lengths[] = {9, channel_length(l)};

    lengths[4] = (size_t)snprintf(id, sizeof(id), "%lld", own_id);
    if (!make_channel(l))
        return false;
    own[1] = l->channel;
    return ask(l, STEP_TRACKING, prefix->length ? 8 : 6, tracking, lengths) &&
           ask(l, STEP_INFO, 2, info, NULL) && ask(l, STEP_NONE, 2, subscribe, NULL) &&
           ask(l, STEP_NONE, 2, own, own_lengths);
}

static bool beat(struct link *l, int64_t now_ms)
{
    const char *subscribe[] = {"SUBSCRIBE", INVALIDATE};

    l->beat_sent_ms = now_ms;
    listen_on(l, now_ms);
    return ask(l, STEP_NONE, 2, subscribe, NULL);
}

static void flush(struct link *l, int64_t now_ms)
{
    char why[160];

    if (conn_write(&l->conn, why, sizeof(why)) != CONN_OK)
        fail(l, REDIS_LINK_LOST, why, now_ms);
}

/* Errors of a server that has no time or no room for us at present, or another password than ours. */
static bool will_pass(const redisReply *reply)
{
    static const char *const passing[] = {"BUSY ", "LOADING ", "MASTERDOWN ", "NOAUTH ",
                                          "ERR max number of clients"};

    for (size_t i = 0; i < sizeof(passing) / sizeof(*passing); i++)
        if (strncmp(reply->str, passing[i], strlen(passing[i])) == 0)
            return true;
    return false;
}

static enum redis_link_event event_of(const redisReply *error)
{
    return will_pass(error) ? REDIS_LINK_LOST : REDIS_LINK_REFUSED;
}

/* -- Answers of the greeting ----------------------------------------------------------------------- */

/* Does the server say that it will redirect to us?  Old servers do not know the question. */
static bool info_fits(const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 2 ||
        reply->element[1]->type != REDIS_REPLY_ARRAY)
        return reply->type == REDIS_REPLY_ERROR;
    for (size_t i = 0; i < reply->element[1]->elements; i++) {
        const redisReply *flag = reply->element[1]->element[i];

        if (flag->type == REDIS_REPLY_STRING && strcmp(flag->str, "bcast") == 0)
            return true;
    }
    return false;
}

/* Tells the server from others. */
static void take_server(struct link *l, const redisReply *reply)
{
    l->server = reply_server(reply);
}

/* False: the link has failed, and it has been said. */
static bool take_step(struct link *l, enum step step, const redisReply *reply, int64_t now_ms)
{
    bool error = reply->type == REDIS_REPLY_ERROR;
    char why[160];

    if (step == STEP_SERVER)
        take_server(l, reply);
    if (step == STEP_NAME || (step == STEP_SERVER && !(error && will_pass(reply))) ||
        (step == STEP_INFO && info_fits(reply)))
        return true;
    if (error) {
        (step == STEP_AUTH ? quote_auth_error : quote_error)(
            reply->str, (size_t)reply->len, l->config->url->password, why, sizeof(why));
        fail(l, step == STEP_AUTH ? REDIS_LINK_LOST : event_of(reply), why, now_ms);
        return false;
    }
    if (step == STEP_ROLE) {
        bool is_master = topology_is_master(reply, why, sizeof(why));

        if (!is_master)
            fail(l, REDIS_LINK_LOST, why, now_ms);
        return is_master;
    }
    if (step == STEP_ID && reply->type == REDIS_REPLY_INTEGER) {
        if (track(l, reply->integer)) {
            l->phase = LINK_SUBSCRIBING;
            l->acknowledged = 0;
            listen_on(l, now_ms);
            flush(l, now_ms);
            return l->conn.context != NULL;
        }
        fail(l, REDIS_LINK_LOST, "no memory", now_ms);
        return false;
    }
    if (step == STEP_INFO || step == STEP_ID || reply->type != REDIS_REPLY_STATUS) {
        fail(l, REDIS_LINK_REFUSED, "tracking was accepted, but is not in force", now_ms);
        return false;
    }
    return true;
}

/* -- Messages -------------------------------------------------------------------------------------- */

static bool is_text(const redisReply *reply, const char *text, size_t length)
{
    return reply->type == REDIS_REPLY_STRING && (size_t)reply->len == length &&
           memcmp(reply->str, text, length) == 0;
}

static void drop_everything(struct link *l)
{
    l->config->hooks->invalidate(l->config->hooks->context, NULL, 0);
}

static void drop_keys(struct link *l, const redisReply *keys)
{
    const struct command_prefix *prefix = l->config->prefix;

    /* Nil after FLUSHALL and FLUSHDB; what else it may be, it means that something happened. */
    if (keys->type != REDIS_REPLY_ARRAY) {
        drop_everything(l);
        return;
    }
    for (size_t i = 0; i < keys->elements; i++) {
        const redisReply *key = keys->element[i];

        if (key->type != REDIS_REPLY_STRING)
            drop_everything(l);
        else if (reply_is_key(key, prefix))
            l->config->hooks->invalidate(l->config->hooks->context, key->str + prefix->length,
                                         (size_t)key->len - prefix->length);
    }
}

static void acknowledged(struct link *l, bool invalidations, int64_t now_ms)
{
    if (l->phase == LINK_LIVE) {
        int64_t sent_ms = l->beat_sent_ms;

        if (!invalidations || !sent_ms)
            return;
        l->beat_sent_ms = 0;
        l->next_beat_ms = sent_ms + l->config->beat_ms;
        say(l, REDIS_LINK_ALIVE, sent_ms, NULL);
        return;
    }
    if (++l->acknowledged < 2)
        return;
    l->phase = LINK_LIVE;
    l->next_beat_ms = now_ms;
    breaker_success(&l->breaker);
    /* now_ms is of before this was read: changes of since then may have gone to nobody. */
    say(l, REDIS_LINK_LIVE, clock_now_ms(), NULL);
}

/* False: this is not what a subscriber is sent. */
static bool take_message(struct link *l, const redisReply *reply, int64_t now_ms)
{
    const redisReply *kind, *channel;
    bool invalidations;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3)
        return false;
    kind = reply->element[0];
    channel = reply->element[1];
    invalidations = is_text(channel, INVALIDATE, sizeof(INVALIDATE) - 1);
    if (!invalidations && !is_text(channel, l->channel, channel_length(l)))
        return false;
    if (is_text(kind, "subscribe", 9)) {
        acknowledged(l, invalidations, now_ms);
        return true;
    }
    if (!is_text(kind, "message", 7))
        return false;
    if (invalidations)
        drop_keys(l, reply->element[2]);
    else if (reply->element[2]->type == REDIS_REPLY_STRING)
        l->config->hooks->invalidate(l->config->hooks->context, reply->element[2]->str,
                                     (size_t)reply->element[2]->len);
    return true;
}

static void take_replies(struct link *l, int64_t now_ms)
{
    char why[160];
    redisReply *reply;
    bool good = true;

    while (good && l->conn.context) {
        if (conn_next(&l->conn, &reply, why, sizeof(why)) != CONN_OK) {
            fail(l, REDIS_LINK_LOST, why, now_ms);
            return;
        }
        if (!reply)
            return;
        listen_on(l, now_ms);
        if (conn_due_count(&l->conn)) {
            enum step step = (enum step)conn_due_at(&l->conn, l->conn.due_first++)->handshake;

            good = take_step(l, step, reply, now_ms);
        } else if (reply->type == REDIS_REPLY_ERROR) {
            quote_error(reply->str, (size_t)reply->len, l->config->url->password, why, sizeof(why));
            /* One that lived was not refused; if it is now, the next one will be. */
            fail(l, l->phase == LINK_LIVE ? REDIS_LINK_LOST : event_of(reply), why, now_ms);
        } else if (!l->channel || !take_message(l, reply, now_ms)) {
            fail(l, REDIS_LINK_LOST, "a message makes no sense", now_ms);
        }
        freeReplyObject(reply);
    }
}

static void receive(struct link *l, int64_t now_ms)
{
    char why[160];
    size_t bytes = 0;
    enum conn_status status = conn_read(&l->conn, &bytes, why, sizeof(why));

    if (bytes) {
        l->dripped += bytes;
        l->progress_ms = patience_heard(l->whole_ms, l->dripped, l->config->timeout_ms, now_ms);
        l->forgiven = false;
    }
    take_replies(l, now_ms);
    if (status != CONN_OK && l->conn.context)
        fail(l, REDIS_LINK_LOST, why, now_ms);
}

/* -- Rounds ---------------------------------------------------------------------------------------- */

static void dialled(struct link *l, enum dial_status status, int64_t now_ms)
{
    if (status == DIAL_FAILED) {
        fail(l, REDIS_LINK_LOST, l->dial.reason, now_ms);
    } else if (status == DIAL_CONNECTED) {
        l->phase = LINK_GREETING;
        listen_on(l, now_ms);
        if (greet(l))
            flush(l, now_ms);
        else
            fail(l, REDIS_LINK_LOST, "no memory", now_ms);
    }
}

static void dial(struct link *l, int64_t now_ms)
{
    const struct link_config *config = l->config;

    dialled(l,
            dial_begin(&l->dial, config->url, config->tls, &l->conn, config->connect_timeout_ms,
                       now_ms),
            now_ms);
}

static bool answer_is_due(const struct link *l)
{
    return l->phase == LINK_GREETING || l->phase == LINK_SUBSCRIBING || l->beat_sent_ms;
}

static void keep_time(struct link *l, int64_t now_ms)
{
    char why[64];

    if (l->next_beat_ms > now_ms + l->config->beat_ms)
        l->next_beat_ms = now_ms + l->config->beat_ms; /* it may be hurried */
    if (l->phase == LINK_LIVE && !l->beat_sent_ms && now_ms >= l->next_beat_ms) {
        if (beat(l, now_ms))
            flush(l, now_ms);
        else
            fail(l, REDIS_LINK_LOST, "no memory", now_ms);
    }
    if (!answer_is_due(l) || now_ms - l->progress_ms < l->config->timeout_ms)
        return;
    if (!l->forgiven && patience_slept(l->progress_ms + l->config->timeout_ms, now_ms)) {
        listen_on(l, now_ms - l->config->timeout_ms + PATIENCE_GRACE_MS);
        l->forgiven = true;
    } else {
        snprintf(why, sizeof(why), "no answer in %lld ms", (long long)l->config->timeout_ms);
        fail(l, REDIS_LINK_LOST, why, now_ms);
    }
}

static void sooner(int64_t *at, int64_t other)
{
    if (other < *at)
        *at = other;
}

static struct link_wish wish_of(const struct link *l)
{
    struct link_wish wish = {INT64_MAX, 0};
    bool has_output = l->phase == LINK_DIALLING ? dial_has_output(&l->dial) : l->conn.output;

    if (l->phase == LINK_RESTING)
        sooner(&wish.at_ms, l->breaker.retry_at_ms);
    if (l->phase == LINK_DIALLING)
        sooner(&wish.at_ms, l->dial.next_ms);
    if (l->phase == LINK_LIVE && !l->beat_sent_ms)
        sooner(&wish.at_ms, l->next_beat_ms);
    if (answer_is_due(l))
        sooner(&wish.at_ms, l->progress_ms + l->config->timeout_ms);
    if (conn_has_pending(&l->conn))
        sooner(&wish.at_ms, 1); /* at once */
    wish.events = conn_watch(&l->conn, has_output);
    return wish;
}

struct link_wish link_round(struct link *l, bool wanted, uint32_t events, int64_t now_ms)
{
    bool ready, writable;

    events = conn_events(&l->conn, events);
    ready = events & (EPOLLIN | EPOLLERR | EPOLLHUP);
    writable = events & (EPOLLOUT | EPOLLERR | EPOLLHUP);
    if (!wanted && l->phase != LINK_OFF) {
        link_close(l);
    } else if (wanted && (l->phase == LINK_OFF ||
                          (l->phase == LINK_RESTING && now_ms >= l->breaker.retry_at_ms))) {
        l->phase = LINK_DIALLING;
        dial(l, now_ms);
    } else if (l->phase == LINK_DIALLING) {
        dialled(l, dial_continue(&l->dial, events, now_ms), now_ms);
    } else if (l->conn.context) {
        if (ready)
            receive(l, now_ms);
        if (l->conn.context && l->conn.output && writable)
            flush(l, now_ms);
    }
    if (l->conn.context)
        keep_time(l, now_ms);
    return wish_of(l);
}
