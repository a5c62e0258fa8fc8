#include "redis/client.h"

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "redis/patience.h"
#include "redis/pipeline.h"
#include "redis/quote.h"
#include "redis/random.h"

enum {
    ROUND_BYTES = 1 << 20, /* read before something else gets its turn */
    LASTED_MS = 1000       /* a connection that was up so long is first made anew at once */
};

static void count(struct redis_client *c, enum redis_counter counter, uint64_t n)
{
    if (n)
        c->hooks.count(c->hooks.context, counter, n);
}

void client_set_state(struct redis_client *c, enum redis_state state, const char *why)
{
    pthread_mutex_lock(&c->lock);
    c->state = state;
    if (why)
        quote_sentence(c->server, why, c->why, sizeof(c->why));
    pthread_mutex_unlock(&c->lock);
}

void client_set_replica(struct redis_client *c, bool has_replica)
{
    pthread_mutex_lock(&c->lock);
    c->has_replica = has_replica;
    pthread_mutex_unlock(&c->lock);
}

void client_set_trouble(struct redis_client *c, const char *reason)
{
    pthread_mutex_lock(&c->lock);
    quote_sentence(c->server, reason, c->trouble, sizeof(c->trouble));
    pthread_mutex_unlock(&c->lock);
}

/* -- Losing the connection ------------------------------------------------------------------------- */

static void begin(struct redis_client *c, int64_t now_ms);
static void send_more(struct redis_client *c, int64_t now_ms);

static void drop_connection(struct redis_client *c)
{
    conn_close(&c->conn, conn_due_count(&c->conn) > 0);
    dial_end(&c->dial);
}

/* The connection, or the attempt at one, has failed. */
static void fail(struct redis_client *c, bool garbage, const char *reason, int64_t now_ms)
{
    bool was_up = c->phase == CLIENT_UP;
    bool idle =
        was_up && !garbage && conn_due_count(&c->conn) == 0 && now_ms - c->up_since_ms >= LASTED_MS;

    count(c, was_up ? REDIS_COUNT_DISCONNECTS : REDIS_COUNT_FAILURES, 1);
    drop_connection(c);
    if (idle) {
        begin(c, now_ms);
        return;
    }
    breaker_failure(&c->breaker, now_ms, random_32());
    c->phase = CLIENT_RESTING;
    c->down_since_ms = now_ms;
    client_set_state(c, REDIS_STATE_DOWN, reason);
    pipeline_take_queued(c, now_ms); /* the last: from now on they are refused */
    pipeline_lose(c, garbage, reason, now_ms);
    pipeline_reject(c, reason);
}

/* -- Connecting ------------------------------------------------------------------------------------ */

static void dialled(struct redis_client *c, enum dial_status status, int64_t now_ms);

static void begin(struct redis_client *c, int64_t now_ms)
{
    c->phase = CLIENT_DIALLING;
    if (!c->breaker.open)
        client_set_state(c, REDIS_STATE_CONNECTING, NULL);
    dialled(c, dial_begin(&c->dial, &c->url, c->tls, &c->conn, c->connect_timeout_ms, now_ms),
            now_ms);
}

static bool greet(struct redis_client *c, enum client_greeting greeting, int words,
                  const char **word)
{
    const struct conn_due due = {NULL, 0, (uint8_t)greeting};

    return redisAppendCommandArgv(c->conn.context, words, word, NULL) == REDIS_OK &&
           conn_expect(&c->conn, due);
}

bool client_tell_script(struct redis_client *c)
{
    const char *script[] = {"SCRIPT", "LOAD", tagged_script};

    return greet(c, GREETING_SCRIPT, 3, script);
}

bool client_tell_asking(struct redis_client *c)
{
    const char *asking[] = {"ASKING"};

    return greet(c, GREETING_PROBE, 1, asking);
}

static bool append_greeting(struct redis_client *c)
{
    const struct url *url = &c->url;
    const char *auth[3];
    int auth_words = url_auth(url, auth);
    const char *role[] = {"ROLE"};
    const char *readonly[] = {"READONLY"};
    const char *name[] = {"CLIENT", "SETNAME", c->name};
    const char *info[] = {"INFO", "server"};
    const char *ping[] = {"PING"};
    char db[16];
    const char *select[] = {"SELECT", db};

    snprintf(db, sizeof(db), "%d", url->db);
    return (!auth_words || greet(c, GREETING_AUTH, auth_words, auth)) &&
           (url->db == 0 || greet(c, GREETING_SELECT, 2, select)) &&
           (!c->is_named || greet(c, GREETING_ROLE, 1, role)) &&
           (!c->is_replica || greet(c, GREETING_READONLY, 1, readonly)) &&
           (!c->name || greet(c, GREETING_NAME, 3, name)) &&
           (!atomic_load_explicit(&c->identify, memory_order_relaxed) ||
            greet(c, GREETING_INFO, 2, info)) &&
           (!c->command_prefix.script || client_tell_script(c)) && greet(c, GREETING_PING, 1, ping);
}

static void dialled(struct redis_client *c, enum dial_status status, int64_t now_ms)
{
    if (status == DIAL_FAILED) {
        fail(c, false, c->dial.reason, now_ms);
    } else if (status == DIAL_CONNECTED) {
        c->phase = CLIENT_GREETING;
        client_listen(c, now_ms);
        c->took_ms = now_ms;
        c->forgiven = false;
        c->unsent = 0;
        c->server_id = 0;
        c->script[0] = '\0';
        c->script_lost = false;
        c->conn.output = true;
        if (append_greeting(c))
            send_more(c, now_ms);
        else
            fail(c, false, "no memory", now_ms);
    }
}

static void is_up(struct redis_client *c, int64_t now_ms)
{
    c->phase = CLIENT_UP;
    c->up_since_ms = now_ms;
    breaker_try(&c->breaker);
    count(c, REDIS_COUNT_CONNECTS, 1);
    client_set_state(c, REDIS_STATE_UP, NULL);
}

/* -- Sending and receiving ------------------------------------------------------------------------ */

static void send_more(struct redis_client *c, int64_t now_ms)
{
    char reason[CONN_ERROR_BYTES];

    if (pipeline_send(c, now_ms, reason, sizeof(reason)) != CONN_OK)
        fail(c, false, reason, now_ms);
}

/* An error reply to PING that shows a server at work.  What it cannot do, the operations will tell. */
static bool is_alive(const redisReply *reply)
{
    return strncmp(reply->str, "NOPERM ", 7) == 0 || strncmp(reply->str, "MISCONF ", 8) == 0;
}

/* A name is a nicety, to those who may not have one and to servers that know of none; and so is to know which
 * server it is. */
static bool is_bearable(enum client_greeting greeting, const redisReply *reply)
{
    if (greeting == GREETING_NAME || greeting == GREETING_INFO)
        return is_alive(reply) || strncmp(reply->str, "ERR unknown", 11) == 0 ||
               strncmp(reply->str, "ERR syntax", 10) == 0;
    return greeting == GREETING_PING && is_alive(reply);
}

/* Without its name the script is sent whole each time. */
static void take_script(struct redis_client *c, const redisReply *reply)
{
    c->script[0] = '\0';
    if (reply->type == REDIS_REPLY_STRING && reply->len == TAGGED_SHA)
        memcpy(c->script, reply->str, TAGGED_SHA + 1);
}

static bool take_greeting(struct redis_client *c, enum client_greeting greeting,
                          const redisReply *reply, char *reason, size_t size)
{
    bool error = reply->type == REDIS_REPLY_ERROR;

    if (greeting == GREETING_INFO)
        c->server_id = reply_server(reply);
    if (error && !is_bearable(greeting, reply)) {
        (greeting == GREETING_AUTH ? quote_auth_error : quote_error)(reply->str, (size_t)reply->len,
                                                                     c->url.password, reason, size);
        return false;
    }
    if (greeting == GREETING_ROLE)
        return topology_is_master(reply, reason, size);
    if (!error && greeting != GREETING_INFO && reply->type != REDIS_REPLY_STATUS) {
        snprintf(reason, size, "the answer makes no sense");
        return false;
    }
    return true;
}

static enum conn_status take_reply(struct redis_client *c, const redisReply *reply, int64_t now_ms,
                                   char *reason, size_t size)
{
    struct conn_due due;

    if (conn_due_count(&c->conn) == 0) {
        if (reply->type == REDIS_REPLY_ERROR)
            quote_error(reply->str, (size_t)reply->len, c->url.password, reason, size);
        else
            snprintf(reason, size, "an answer to nothing");
        return CONN_LOST;
    }
    due = *conn_due_at(&c->conn, c->conn.due_first++);
    if (!due.handshake)
        return pipeline_take(c, &due, reply, reason, size);
    if (due.handshake == GREETING_SCRIPT)
        take_script(c, reply);
    if (due.handshake == GREETING_PROBE || due.handshake == GREETING_SCRIPT)
        return CONN_OK; /* whatever it says, it is there */
    if (!take_greeting(c, (enum client_greeting)due.handshake, reply, reason, size))
        return CONN_LOST;
    if (due.handshake == GREETING_PING)
        is_up(c, now_ms);
    return CONN_OK;
}

static enum conn_status take_replies(struct redis_client *c, int64_t now_ms, char *reason,
                                     size_t size)
{
    for (;;) {
        redisReply *reply;
        enum conn_status status = conn_next(&c->conn, &reply, reason, size);

        if (status != CONN_OK || !reply)
            return status;
        client_listen(c, now_ms);
        status = take_reply(c, reply, now_ms, reason, size);
        freeReplyObject(reply);
        if (status != CONN_OK)
            return status;
    }
}

static void receive(struct redis_client *c, int64_t now_ms)
{
    char reason[CONN_ERROR_BYTES];
    enum conn_status status = CONN_OK;
    size_t total = 0, bytes = CONN_READ_BYTES;

    while (status == CONN_OK && bytes == CONN_READ_BYTES && total < ROUND_BYTES) {
        bytes = 0;
        status = conn_read(&c->conn, &bytes, reason, sizeof(reason));
        if (bytes) {
            c->read_ns = clock_now_ns();
            c->dripped += bytes;
            c->heard_ms = patience_heard(c->whole_ms, c->dripped, c->timeout_ms, now_ms);
            c->forgiven = false;
        }
        if (bytes && c->unsent)
            c->unsent = conn_unsent(&c->conn);
        count(c, REDIS_COUNT_BYTES_IN, bytes);
        total += bytes;
        if (status == CONN_OK)
            status = take_replies(c, now_ms, reason, sizeof(reason));
    }
    if (status != CONN_OK)
        fail(c, status == CONN_GARBAGE, reason, now_ms);
}

/* -- Time ------------------------------------------------------------------------------------------ */

static bool is_talking(const struct redis_client *c)
{
    return c->phase == CLIENT_GREETING || c->phase == CLIENT_UP;
}

/* When patience ends, if nothing happens before; INT64_MAX: nobody waits for anything. */
static int64_t stalled_at(const struct redis_client *c)
{
    int64_t at_ms = INT64_MAX;

    if (is_talking(c) && pipeline_due(c))
        at_ms = c->heard_ms + c->timeout_ms;
    if (is_talking(c) && c->conn.output && c->took_ms + c->timeout_ms < at_ms)
        at_ms = c->took_ms + c->timeout_ms;
    return at_ms;
}

/* The server is silent, but is what we send still on its way to it? */
static bool is_getting_on(struct redis_client *c, int64_t now_ms)
{
    size_t unsent = conn_unsent(&c->conn);

    if (unsent >= c->unsent)
        return false;
    c->unsent = unsent;
    client_listen(c, now_ms);
    c->took_ms = now_ms;
    return true;
}

/* Was it us who slept?  Once between two signs of life. */
static bool is_forgiven(struct redis_client *c, int64_t now_ms)
{
    if (c->forgiven || !patience_slept(stalled_at(c), now_ms))
        return false;
    client_listen(c, now_ms - c->timeout_ms + PATIENCE_GRACE_MS);
    c->took_ms = c->heard_ms;
    c->forgiven = true;
    return true;
}

/* Has patience with anything that was sent ended? */
static bool is_late(const struct redis_client *c, int64_t now_ms)
{
    return now_ms >= stalled_at(c) || (c->next_deadline_ms && now_ms >= c->next_deadline_ms);
}

/* Tries the server that is away, unless others do. */
static void try_again(struct redis_client *c, int64_t now_ms)
{
    int64_t at_ms = now_ms;

    if (c->hooks.may_try)
        at_ms = c->hooks.may_try(c->hooks.context, c->down_since_ms, now_ms, random_32());
    if (at_ms > now_ms)
        c->breaker.retry_at_ms = at_ms;
    else
        begin(c, now_ms);
}

static void keep_time(struct redis_client *c, int64_t now_ms)
{
    char reason[64];

    if (!pipeline_expire(c, now_ms))
        fail(c, false, "no memory", now_ms);
    if (c->phase == CLIENT_RESTING && now_ms >= c->breaker.retry_at_ms)
        try_again(c, now_ms);
    if (now_ms >= stalled_at(c) && !is_getting_on(c, now_ms) && !is_forgiven(c, now_ms)) {
        snprintf(reason, sizeof(reason), "no answer in %lld ms", (long long)c->timeout_ms);
        fail(c, false, reason, now_ms);
    }
}

static void sooner(int64_t *at, int64_t other)
{
    if (other && other < *at)
        *at = other;
}

static struct client_watch watch_of(const struct conn *conn, uint32_t events)
{
    struct client_watch watch = {-1, 0, 0};

    if (conn->context) {
        watch.fd = conn_fd(conn);
        watch.events = events;
        watch.serial = conn->serial;
    }
    return watch;
}

static struct client_wish wish_of(const struct redis_client *c, const struct link_wish *link)
{
    struct client_wish wish = {link->at_ms, {{-1, 0, 0}, {-1, 0, 0}}};
    bool has_output =
        (c->phase == CLIENT_DIALLING && dial_has_output(&c->dial)) || pipeline_has_more(c);

    sooner(&wish.at_ms, c->next_deadline_ms);
    sooner(&wish.at_ms, c->next_tick_ms);
    if (c->probe_wanted || conn_has_pending(&c->conn))
        sooner(&wish.at_ms, 1); /* at once */
    if (c->phase == CLIENT_RESTING)
        sooner(&wish.at_ms, c->breaker.retry_at_ms);
    if (c->phase == CLIENT_DIALLING)
        sooner(&wish.at_ms, c->dial.next_ms);
    sooner(&wish.at_ms, stalled_at(c));
    wish.watch[CLIENT_DATA] = watch_of(&c->conn, conn_watch(&c->conn, has_output));
    wish.watch[CLIENT_LINK] = watch_of(&c->link.conn, link->events);
    return wish;
}

/* Nothing is due, or it would tell. */
static void probe(struct redis_client *c, int64_t now_ms)
{
    const char *ping[] = {"PING"};

    c->probe_wanted = false;
    if (c->phase == CLIENT_IDLE) {
        begin(c, now_ms);
    } else if (c->phase == CLIENT_UP && !pipeline_has_more(c) && conn_due_count(&c->conn) == 0) {
        client_listen(c, now_ms);
        c->took_ms = now_ms;
        c->conn.output = true;
        if (greet(c, GREETING_PROBE, 1, ping))
            send_more(c, now_ms);
        else
            fail(c, false, "no memory", now_ms);
    }
}

/* -- Rounds ---------------------------------------------------------------------------------------- */

static void serve_data(struct redis_client *c, uint32_t events, int64_t now_ms)
{
    pipeline_take_queued(c, now_ms);
    if ((events & EPOLLOUT) && c->conn.output) { /* the peer's system has made room */
        client_listen(c, now_ms);
        c->took_ms = now_ms;
    }
    if (c->phase == CLIENT_IDLE && c->waiting.first)
        begin(c, now_ms);
    if (c->phase == CLIENT_DIALLING)
        dialled(c, dial_continue(&c->dial, events, now_ms), now_ms);
    else if (is_talking(c) && ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) || is_late(c, now_ms)))
        receive(c, now_ms); /* late: it may be us who slept, and the answer is there */
    if (is_talking(c))
        send_more(c, now_ms);
    if (c->probe_wanted)
        probe(c, now_ms);
    keep_time(c, now_ms);
}

struct client_wish client_round(struct redis_client *c, const uint32_t events[CLIENT_WATCHES],
                                int64_t now_ms)
{
    struct link_wish link;

    /* What is known of changes comes before answers that are older or newer than them: either order is
     * right, since tokens are compared, but this one rejects less. */
    link = link_round(&c->link, c->link_wanted, events[CLIENT_LINK], now_ms);
    serve_data(c, conn_events(&c->conn, events[CLIENT_DATA]), now_ms);
    if (c->hooks.tick)
        c->next_tick_ms = c->hooks.tick(c->hooks.context, now_ms);
    return wish_of(c, &link);
}

/* -- Of a cluster, or behind sentinels ------------------------------------------------------------- */

void client_leave(struct redis_client *c, const char *reason, int64_t now_ms)
{
    c->link_wanted = c->probe_wanted = false;
    link_leave(&c->link, reason, now_ms);
    if (c->phase == CLIENT_IDLE)
        return;
    if (c->phase == CLIENT_UP)
        count(c, REDIS_COUNT_DISCONNECTS, 1);
    drop_connection(c);
    c->phase = CLIENT_IDLE;
    client_set_state(c, REDIS_STATE_IDLE, NULL);
    pipeline_take_queued(c, now_ms);
    pipeline_lose(c, false, reason, now_ms);
    pipeline_reject(c, reason);
}

bool client_heed_demotion(struct redis_client *c, int64_t now_ms)
{
    bool demoted = c->demoted;

    c->demoted = false;
    if (demoted && c->phase == CLIENT_UP)
        fail(c, false, "it is a replica now", now_ms);
    return demoted;
}

struct client_watch client_topology_watch(const struct redis_client *c)
{
    const struct sentinel *sentinel = &c->topology->sentinel;

    return watch_of(&sentinel->conn, sentinel_events(sentinel));
}

/* -- The end --------------------------------------------------------------------------------------- */

bool client_is_quiet(struct redis_client *c, bool stopping, int64_t now_ms)
{
    bool quiet;

    pthread_mutex_lock(&c->lock);
    quiet = c->ops == 0;
    pthread_mutex_unlock(&c->lock);
    if (quiet && stopping && c->hooks.may_stop)
        quiet = c->hooks.may_stop(c->hooks.context, now_ms);
    return quiet;
}

bool client_is_over(struct redis_client *c, int64_t now_ms)
{
    bool released;

    pthread_mutex_lock(&c->lock);
    released = c->released;
    pthread_mutex_unlock(&c->lock);
    return released && client_is_quiet(c, true, now_ms);
}

void client_free(struct redis_client *c)
{
    alloc_free(c->name);
    alloc_free(c->prefix);
    alloc_free(c->prefix_glob);
    command_free(&c->command);
    url_wipe(&c->url);
    secure_discard(c->tls);
    topology_free(c->topology);
    address_map_free(c->addresses);
    cluster_free(c->cluster);
    alloc_free(c);
}

void client_destroy(struct redis_client *c)
{
    struct redis_hooks hooks = c->hooks;

    drop_connection(c);
    link_close(&c->link);
    if (c->cluster)
        cluster_end(c->cluster);
    pthread_mutex_destroy(&c->lock);
    client_free(c);
    hooks.gone(hooks.context);
}

void client_watch_nothing(struct redis_client *c)
{
    for (int which = 0; which < CLIENT_WATCHES; which++)
        c->watch[which].fd = -1;
    c->topology_watch.fd = -1;
}

void client_after_fork(struct redis_client *c)
{
    op_list_init(&c->queued);
    pipeline_init(c);
    conn_forget(&c->conn);
    c->dial.resolve = NULL; /* its thread is the parent's */
    c->ops = c->bytes = 0;
    c->phase = CLIENT_IDLE;
    c->state = REDIS_STATE_IDLE;
    c->breaker = (struct breaker){0};
    c->in_loop = false;
    c->link_wanted = c->probe_wanted = false;
    link_after_fork(&c->link);
    if (c->topology)
        topology_after_fork(c->topology);
    if (c->cluster)
        cluster_after_fork(c->cluster);
    client_watch_nothing(c);
}
