#include "redis/sentinel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/hash.h"
#include "redis/quote.h"

#define SWITCH "+switch-master"
#define PROMOTION "+promoted-slave"

enum { BEAT_MS = 1000, ASK_MS = 10000 };

enum step {
    STEP_NONE,
    STEP_AUTH,
    STEP_NAME,
    STEP_ADDRESS,
    STEP_MASTER,
    STEP_REPLICAS,
    STEP_SUBSCRIPTION
};

/* -- Ending ---------------------------------------------------------------------------------------- */

void sentinel_close(struct sentinel *s)
{
    conn_close(&s->conn, false);
    dial_end(&s->dial);
    s->phase = SENTINEL_OFF;
    s->give_up_ms = 0;
    s->switched = false;
}

void sentinel_after_fork(struct sentinel *s)
{
    conn_forget(&s->conn);
    s->dial.resolve = NULL; /* its thread is the parent's */
    s->phase = SENTINEL_OFF;
    s->give_up_ms = 0;
    s->switched = false;
}

static bool fail(struct sentinel *s, const char *why)
{
    char node[sizeof(s->node.host) + 10];

    url_node(s->node.host, s->node.port, node, sizeof(node));
    snprintf(s->reason, sizeof(s->reason), "sentinel %.60s: %s", node, why);
    s->met = s->conn.context && s->conn.heard;
    sentinel_close(s);
    return false;
}

/* -- Asking ---------------------------------------------------------------------------------------- */

static bool ask(struct sentinel *s, enum step step, int words, const char **word)
{
    const struct conn_due due = {NULL, 0, (uint8_t)step};

    return redisAppendCommandArgv(s->conn.context, words, word, NULL) == REDIS_OK &&
           conn_expect(&s->conn, due);
}

static bool greet(struct sentinel *s)
{
    const char *auth[3];
    int auth_words = url_auth(s->config->url, auth);
    const char *name[] = {"CLIENT", "SETNAME", s->config->name};

    return (!s->with_password || ask(s, STEP_AUTH, auth_words, auth)) &&
           (!s->config->name || ask(s, STEP_NAME, 3, name));
}

/* The epoch is that of the address: both are asked in one go, and answered in one turn of the sentinel's event
 * loop, as good as always.  Where not, the address is the older of the two, and asked again before long. */
static bool question(struct sentinel *s, bool subscribed)
{
    const char *unsubscribe[] = {"UNSUBSCRIBE", SWITCH},
               *unsubscribe_too[] = {"UNSUBSCRIBE", PROMOTION};
    const char *address[] = {"SENTINEL", "GET-MASTER-ADDR-BY-NAME", s->config->url->master};
    const char *master[] = {"SENTINEL", "MASTER", s->config->url->master};
    const char *replicas[] = {"SENTINEL", "REPLICAS", s->config->url->master};
    const char *subscribe[] = {"SUBSCRIBE", SWITCH}, *subscribe_too[] = {"SUBSCRIBE", PROMOTION};

    return (!subscribed || (ask(s, STEP_SUBSCRIPTION, 2, unsubscribe) &&
                            ask(s, STEP_SUBSCRIPTION, 2, unsubscribe_too))) &&
           ask(s, STEP_ADDRESS, 3, address) && ask(s, STEP_MASTER, 3, master) &&
           (!s->config->choice || ask(s, STEP_REPLICAS, 3, replicas)) &&
           ask(s, STEP_SUBSCRIPTION, 2, subscribe) && ask(s, STEP_SUBSCRIPTION, 2, subscribe_too);
}

static bool flush(struct sentinel *s)
{
    char why[CONN_ERROR_BYTES];

    return conn_write(&s->conn, why, sizeof(why)) == CONN_OK || fail(s, why);
}

static bool begin_to_ask(struct sentinel *s, bool subscribed, int64_t now_ms)
{
    s->phase = SENTINEL_ASKING;
    s->switched = false;
    s->give_up_ms = now_ms + s->config->timeout_ms;
    s->epoch = 0;
    s->master.host[0] = '\0';
    s->replica.port = 0;
    if ((!subscribed && !greet(s)) || !question(s, subscribed))
        return fail(s, "no memory");
    return flush(s);
}

void sentinel_ask(struct sentinel *s, int64_t now_ms)
{
    /* What fails here is found in the next round. */
    if (s->phase == SENTINEL_WATCHING)
        s->next_ask_ms = now_ms;
}

static bool beat(struct sentinel *s, int64_t now_ms)
{
    const char *subscribe[] = {"SUBSCRIBE", SWITCH};

    s->next_beat_ms = now_ms + BEAT_MS;
    s->give_up_ms = now_ms + s->config->timeout_ms;
    return (ask(s, STEP_SUBSCRIPTION, 2, subscribe) || fail(s, "no memory")) && flush(s);
}

/* -- Answers --------------------------------------------------------------------------------------- */

static bool is_text(const redisReply *reply, const char *text)
{
    return reply->type == REDIS_REPLY_STRING && (size_t)reply->len == strlen(text) &&
           memcmp(reply->str, text, (size_t)reply->len) == 0;
}

static bool is_message(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ARRAY && reply->elements == 3 &&
           is_text(reply->element[0], "message");
}

/* "name old-host old-port new-host new-port" or "slave its-name host port @ name host port", of any master that
 * this sentinel watches. */
static bool is_about_us(const struct sentinel *s, const redisReply *message)
{
    const redisReply *text = message->element[2];
    const char *name = s->config->url->master;
    size_t n = strlen(name);

    for (const char *at = text->type == REDIS_REPLY_STRING ? text->str : "";
         (at = strstr(at, name)); at++)
        if ((at == text->str || at[-1] == ' ') && at[n] == ' ')
            return true;
    return false;
}

/* Where the master is called, which the sentinel may know by another address. */
static void map_address(const struct sentinel *s, struct url *master)
{
    struct url_seed told = {.port = master->port};
    const struct url_seed *there;

    memcpy(told.host, master->host, sizeof(told.host));
    there = address_map_find(s->config->addresses, &told);
    memcpy(master->host, there->host, sizeof(there->host));
    master->port = there->port;
}

static bool take_address(struct sentinel *s, const redisReply *reply)
{
    char why[200];

    if (reply->type == REDIS_REPLY_NIL) {
        snprintf(why, sizeof(why), "it knows no master named %s", s->config->url->master);
        return fail(s, why);
    }
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[1]->type != REDIS_REPLY_STRING ||
        !url_set_node(&s->master, reply->element[0]->str, (size_t)reply->element[0]->len,
                      reply->element[1]->str, (size_t)reply->element[1]->len))
        return fail(s, "what it says of the master is no address");
    map_address(s, &s->master);
    return true;
}

/* What stands behind a name in a list of names and values, as text.  "": nothing. */
static const char *field(const redisReply *list, const char *name)
{
    for (size_t i = 0; list->type == REDIS_REPLY_ARRAY && i + 1 < list->elements; i += 2)
        if (is_text(list->element[i], name) && list->element[i + 1]->type == REDIS_REPLY_STRING)
            return list->element[i + 1]->str; /* hiredis ends it with a NUL */
    return "";
}

static void take_epoch(struct sentinel *s, const redisReply *reply)
{
    s->epoch = strtoull(field(reply, "config-epoch"), NULL, 10);
}

/* Where a replica is that is there.  False: it is not, or is none, or makes no sense. */
static bool take_replica(const struct sentinel *s, const redisReply *list, struct url *node)
{
    const char *host = field(list, "ip"), *port = field(list, "port");
    const char *flags = field(list, "flags");

    if (strstr(flags, "down") || strstr(flags, "disconnected") ||
        strcmp(field(list, "role-reported"), "slave") != 0 ||
        !url_set_node(node, host, strlen(host), port, strlen(port)))
        return false;
    map_address(s, node);
    return node->port != s->master.port || strcmp(node->host, s->master.host) != 0;
}

/* One of those, of those that follow if one does (none follows a master that has died): of each sentinel the same, and
 * with another choice another one. */
static void take_replicas(struct sentinel *s, const redisReply *reply)
{
    uint64_t best = 0;

    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++) {
        const redisReply *list = reply->element[i];
        struct url node;
        uint64_t rank;

        if (!take_replica(s, list, &node))
            continue;
        rank =
            hash_bytes(node.host, strlen(node.host), s->config->choice + (uint64_t)node.port) / 2;
        if (strcmp(field(list, "master-link-status"), "ok") == 0)
            rank |= UINT64_C(1) << 63;
        if (s->replica.port && rank <= best)
            continue;
        memcpy(s->replica.host, node.host, sizeof(s->replica.host));
        s->replica.port = node.port;
        best = rank;
    }
}

static bool take_error(struct sentinel *s, enum step step, const redisReply *reply)
{
    const struct url *url = s->config->url;
    char quoted[QUOTE_BYTES + 1] = "", why[200];

    if (strncmp(reply->str, "NOAUTH", 6) == 0 && !s->with_password && url->password[0]) {
        s->with_password = true; /* it is called once more, with it */
        return false;
    }
    (step == STEP_AUTH ? quote_auth_error : quote_error)(reply->str, (size_t)reply->len,
                                                         url->password, quoted, sizeof(quoted));
    snprintf(why, sizeof(why), "%s%s", quoted,
             strncmp(reply->str, "ERR unknown command", 19) == 0 ? ": is this a sentinel?" : "");
    return fail(s, why);
}

/* False: it has failed; or else, with the connection there still, it is to be called once more. */
static bool take_step(struct sentinel *s, enum step step, const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_ERROR && step != STEP_NAME && step != STEP_MASTER &&
        step != STEP_REPLICAS)
        return take_error(s, step, reply);
    if (step == STEP_ADDRESS)
        return take_address(s, reply);
    if (step == STEP_MASTER)
        take_epoch(s, reply);
    if (step == STEP_REPLICAS)
        take_replicas(s, reply);
    return true;
}

static enum sentinel_event all_answered(struct sentinel *s, int64_t now_ms)
{
    s->give_up_ms = 0;
    s->next_beat_ms = now_ms + BEAT_MS;
    if (s->phase == SENTINEL_WATCHING)
        return SENTINEL_NOTHING;
    s->phase = SENTINEL_WATCHING;
    s->next_ask_ms = now_ms + ASK_MS;
    return SENTINEL_ANSWERED;
}

/* False: it has failed, or is to be called once more. */
static bool take_reply(struct sentinel *s, const redisReply *reply)
{
    if (is_message(reply)) {
        s->switched = s->switched || is_about_us(s, reply);
        return true;
    }
    if (conn_due_count(&s->conn) == 0)
        return fail(s, "a message makes no sense");
    return take_step(s, (enum step)conn_due_at(&s->conn, s->conn.due_first++)->handshake, reply);
}

static bool call(struct sentinel *s, int64_t now_ms);

static enum sentinel_event take_replies(struct sentinel *s, int64_t now_ms)
{
    enum sentinel_event event = SENTINEL_NOTHING;
    char why[CONN_ERROR_BYTES];
    redisReply *reply;
    bool good = true;

    while (good) {
        if (conn_next(&s->conn, &reply, why, sizeof(why)) != CONN_OK) {
            fail(s, why);
            return SENTINEL_FAILED;
        }
        if (!reply)
            break;
        good = take_reply(s, reply);
        freeReplyObject(reply);
        if (good && s->give_up_ms && conn_due_count(&s->conn) == 0 &&
            all_answered(s, now_ms) == SENTINEL_ANSWERED)
            event = SENTINEL_ANSWERED;
    }
    if (good)
        return event;
    if (!s->conn.context)
        return SENTINEL_FAILED;
    conn_close(&s->conn, false);
    return call(s, now_ms) ? SENTINEL_NOTHING : SENTINEL_FAILED;
}

static enum sentinel_event receive(struct sentinel *s, int64_t now_ms)
{
    char why[CONN_ERROR_BYTES];
    size_t bytes = 0;
    enum conn_status status = conn_read(&s->conn, &bytes, why, sizeof(why));
    enum sentinel_event event = take_replies(s, now_ms);

    if (status == CONN_OK || !s->conn.context)
        return event;
    fail(s, why);
    return SENTINEL_FAILED;
}

/* -- Rounds ---------------------------------------------------------------------------------------- */

static bool dialled(struct sentinel *s, enum dial_status status, int64_t now_ms)
{
    if (status == DIAL_FAILED)
        return fail(s, s->dial.reason);
    return status == DIAL_WAITING || begin_to_ask(s, false, now_ms);
}

/* Each sentinel gets its share of the time that a connection may take: one that swallows everything shall not
 * keep us from the next. */
static bool call(struct sentinel *s, int64_t now_ms)
{
    int64_t share_ms = s->config->connect_timeout_ms / s->config->url->seeds;

    s->phase = SENTINEL_DIALLING;
    s->switched = false;
    s->give_up_ms = 0;
    return dialled(
        s, dial_begin(&s->dial, &s->node, NULL, &s->conn, share_ms > 0 ? share_ms : 1, now_ms),
        now_ms);
}

bool sentinel_begin(struct sentinel *s, const struct url_seed *seed, int64_t now_ms)
{
    sentinel_close(s);
    memcpy(s->node.host, seed->host, sizeof(seed->host));
    s->node.port = seed->port;
    s->with_password = false;
    return call(s, now_ms);
}

/* What is due by the clock.  False: it has failed. */
static bool keep_time(struct sentinel *s, int64_t now_ms)
{
    char why[64];

    if (s->give_up_ms && now_ms >= s->give_up_ms) {
        snprintf(why, sizeof(why), "no answer in %lld ms", (long long)s->config->timeout_ms);
        return fail(s, why);
    }
    if (s->phase != SENTINEL_WATCHING || s->give_up_ms)
        return true;
    if (s->switched || now_ms >= s->next_ask_ms)
        return begin_to_ask(s, true, now_ms);
    return now_ms < s->next_beat_ms || beat(s, now_ms);
}

enum sentinel_event sentinel_round(struct sentinel *s, uint32_t events, int64_t now_ms)
{
    enum sentinel_event event = SENTINEL_NOTHING;
    bool late = s->give_up_ms && now_ms >= s->give_up_ms; /* it may be us who slept */

    if (s->phase == SENTINEL_OFF)
        return SENTINEL_NOTHING;
    if (s->phase == SENTINEL_DIALLING)
        return dialled(s, dial_continue(&s->dial, events, now_ms), now_ms) ? SENTINEL_NOTHING
                                                                           : SENTINEL_FAILED;
    if (late || (events & (EPOLLIN | EPOLLERR | EPOLLHUP)))
        event = receive(s, now_ms);
    if (event != SENTINEL_NOTHING || s->phase == SENTINEL_DIALLING)
        return event;
    if (s->conn.output && !flush(s))
        return SENTINEL_FAILED;
    return keep_time(s, now_ms) ? SENTINEL_NOTHING : SENTINEL_FAILED;
}

int64_t sentinel_next(const struct sentinel *s)
{
    if (s->phase == SENTINEL_OFF)
        return INT64_MAX;
    if (s->phase == SENTINEL_DIALLING)
        return s->dial.next_ms;
    if (s->give_up_ms)
        return s->give_up_ms;
    if (s->switched)
        return 1; /* at once */
    return s->next_ask_ms < s->next_beat_ms ? s->next_ask_ms : s->next_beat_ms;
}

uint32_t sentinel_events(const struct sentinel *s)
{
    bool has_output = s->phase == SENTINEL_DIALLING ? dial_has_output(&s->dial) : s->conn.output;

    return conn_watch(&s->conn, has_output);
}
