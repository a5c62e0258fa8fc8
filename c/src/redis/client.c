#include "redis/client.h"

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/alloc.h"
#include "redis/random.h"

enum {
    SEND_MOST_BYTES = 4 << 20, /* appended before the socket has taken it */
    DEADLINE_STEP_MS = 2,      /* deadlines are looked at no more often than this */
    LASTED_MS = 1000           /* a connection that was up so long is first made anew at once */
};

/* -- Lists ---------------------------------------------------------------------------------------- */

void client_list_init(struct client_list *list)
{
    list->first = NULL;
    list->end = &list->first;
}

void client_list_append(struct client_list *list, struct redis_op *op)
{
    op->next = NULL;
    *list->end = op;
    list->end = &op->next;
}

static struct redis_op *take_first(struct client_list *list)
{
    struct redis_op *op = list->first;

    if (op) {
        list->first = op->next;
        if (!list->first)
            list->end = &list->first;
    }
    return op;
}

static void append_all(struct client_list *to, struct client_list *from)
{
    if (from->first) {
        *to->end = from->first;
        to->end = from->end;
        client_list_init(from);
    }
}

/* -- Operations ------------------------------------------------------------------------------------ */

static size_t op_bytes(const struct redis_op *op)
{
    return op->key_length + op->value_length + 64;
}

static void count(struct redis_client *c, enum redis_counter counter, uint64_t n)
{
    if (n)
        c->hooks.count(c->hooks.context, counter, n);
}

static void finish(struct redis_client *c, struct redis_op *op)
{
    pthread_mutex_lock(&c->lock);
    c->ops--;
    c->bytes -= op_bytes(op);
    pthread_mutex_unlock(&c->lock);
    if (op->status == REDIS_REFUSED)
        count(c, REDIS_COUNT_ERRORS, 1);
    if (op->status == REDIS_TIMEOUT)
        count(c, REDIS_COUNT_TIMEOUTS, 1);
    op->next = NULL;
    c->hooks.done(c->hooks.context, op);
}

static void finish_as(struct redis_client *c, struct redis_op *op, enum redis_status status,
                      const char *reason)
{
    op->status = status;
    snprintf(op->error, sizeof(op->error), "%s: %s", c->server, reason);
    finish(c, op);
}

static void set_state(struct redis_client *c, enum redis_state state, const char *why)
{
    pthread_mutex_lock(&c->lock);
    c->state = state;
    if (why)
        snprintf(c->why, sizeof(c->why), "%s: %s", c->server, why);
    pthread_mutex_unlock(&c->lock);
}

/* Replies to an operation that is over are read and dropped. */
static void disown_replies(struct redis_client *c, const struct redis_op *op)
{
    uint64_t i = op->first_reply > c->conn.due_first ? op->first_reply : c->conn.due_first;

    for (uint32_t left = op->replies_due; left && i < c->conn.due_end; i++) {
        if (conn_due_at(&c->conn, i)->op == op) {
            conn_due_at(&c->conn, i)->op = NULL;
            left--;
        }
    }
}

/* -- Losing the connection ------------------------------------------------------------------------- */

static void fail_sent(struct redis_client *c, bool garbage, const char *reason, int64_t now_ms)
{
    struct client_list over = {NULL, NULL};
    bool head = true;

    client_list_init(&over);
    append_all(&over, &c->sent);
    for (struct redis_op *op = take_first(&over); op; op = take_first(&over)) {
        enum redis_status status = REDIS_UNKNOWN;

        if (garbage && head)
            status = REDIS_GARBAGE;
        else if (op->deadline_ms <= now_ms)
            status = REDIS_TIMEOUT;
        head = false;
        op->may_have_run = true;
        alloc_free(op->reply);
        op->reply = NULL;
        finish_as(c, op, status, reason);
    }
}

static void fail_waiting(struct redis_client *c, const char *reason)
{
    struct client_list over;

    client_list_init(&over);
    append_all(&over, &c->waiting);
    for (struct redis_op *op = take_first(&over); op; op = take_first(&over))
        finish_as(c, op, REDIS_UNSENT, reason);
}

static void begin(struct redis_client *c, int64_t now_ms);
static void send_more(struct redis_client *c, int64_t now_ms);

static void drop_connection(struct redis_client *c)
{
    conn_close(&c->conn, c->sent.first != NULL);
    dial_end(&c->dial);
}

/* The connection, or the attempt at one, has failed. */
static void fail(struct redis_client *c, bool garbage, const char *reason, int64_t now_ms)
{
    bool was_up = c->phase == CLIENT_UP;
    bool idle = was_up && !garbage && !c->sent.first && now_ms - c->up_since_ms >= LASTED_MS;

    count(c, was_up ? REDIS_COUNT_DISCONNECTS : REDIS_COUNT_FAILURES, 1);
    drop_connection(c);
    if (idle) {
        begin(c, now_ms);
        return;
    }
    breaker_failure(&c->breaker, now_ms, random_32());
    c->phase = CLIENT_RESTING;
    set_state(c, REDIS_STATE_DOWN, reason);
    fail_sent(c, garbage, reason, now_ms);
    fail_waiting(c, reason);
}

/* -- Connecting ------------------------------------------------------------------------------------ */

static void dialled(struct redis_client *c, enum dial_status status, int64_t now_ms);

static void begin(struct redis_client *c, int64_t now_ms)
{
    c->phase = CLIENT_DIALLING;
    if (!c->breaker.open)
        set_state(c, REDIS_STATE_CONNECTING, NULL);
    dialled(c, dial_begin(&c->dial, &c->url, &c->conn, c->connect_timeout_ms, now_ms), now_ms);
}

static bool greet(struct redis_client *c, enum client_greeting greeting, int words,
                  const char **word)
{
    const struct conn_due due = {NULL, 0, (uint8_t)greeting};

    return redisAppendCommandArgv(c->conn.context, words, word, NULL) == REDIS_OK &&
           conn_expect(&c->conn, due);
}

static bool append_greeting(struct redis_client *c)
{
    const struct url *url = &c->url;
    const char *auth[] = {"AUTH", url->username[0] ? url->username : url->password, url->password};
    const char *name[] = {"CLIENT", "SETNAME", c->name};
    const char *ping[] = {"PING"};
    char db[16];
    const char *select[] = {"SELECT", db};

    snprintf(db, sizeof(db), "%d", url->db);
    return (!url->password[0] || greet(c, GREETING_AUTH, url->username[0] ? 3 : 2, auth)) &&
           (url->db == 0 || greet(c, GREETING_SELECT, 2, select)) &&
           (!c->name || greet(c, GREETING_NAME, 3, name)) && greet(c, GREETING_PING, 1, ping);
}

static void dialled(struct redis_client *c, enum dial_status status, int64_t now_ms)
{
    if (status == DIAL_FAILED) {
        fail(c, false, c->dial.reason, now_ms);
    } else if (status == DIAL_CONNECTED) {
        c->phase = CLIENT_GREETING;
        c->progress_ms = now_ms;
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
    breaker_success(&c->breaker);
    count(c, REDIS_COUNT_CONNECTS, 1);
    set_state(c, REDIS_STATE_UP, NULL);
}

/* -- Sending --------------------------------------------------------------------------------------- */

static bool append_op(struct redis_client *c, struct redis_op *op, int64_t now_ms)
{
    unsigned replies = command_append(c->conn.context, &c->command_prefix, op);

    if (replies == 0)
        return false;
    if (conn_due_count(&c->conn) == 0)
        c->progress_ms = now_ms;
    op->first_reply = c->conn.due_end;
    op->replies_due = replies;
    op->sent_ms = now_ms;
    op->may_have_run = true;
    client_list_append(&c->sent, op);
    count(c, REDIS_COUNT_COMMANDS, replies);
    count(c, REDIS_COUNT_BYTES_OUT, op_bytes(op));
    for (unsigned i = 0; i < replies; i++)
        if (!conn_expect(&c->conn, (struct conn_due){op, i ? REPLY_PTTL : REPLY_FIRST, 0}))
            return false;
    return true;
}

/* Appends what waits, a few megabytes at a time, and sends what the socket takes. */
static void send_more(struct redis_client *c, int64_t now_ms)
{
    char reason[160];

    for (;;) {
        size_t appended = 0;
        enum conn_status status;

        while (c->phase == CLIENT_UP && !c->conn.output && c->waiting.first &&
               appended < SEND_MOST_BYTES) {
            struct redis_op *op = take_first(&c->waiting);

            appended += op_bytes(op);
            if (!append_op(c, op, now_ms)) {
                if (op->replies_due == 0)
                    finish_as(c, op, REDIS_UNSENT, "no memory");
                fail(c, false, "no memory", now_ms);
                return;
            }
        }
        if (!appended && !c->conn.output && c->phase == CLIENT_UP)
            return;
        status = conn_write(&c->conn, reason, sizeof(reason));
        if (status != CONN_OK) {
            fail(c, status == CONN_GARBAGE, reason, now_ms);
            return;
        }
        if (c->conn.output || !appended)
            return;
    }
}

/* -- Receiving ------------------------------------------------------------------------------------- */

static void unlink_sent(struct redis_client *c, struct redis_op *op)
{
    for (struct redis_op **link = &c->sent.first; *link; link = &(*link)->next) {
        if (*link == op) {
            *link = op->next;
            if (!*link)
                c->sent.end = link;
            return;
        }
    }
}

/* A page of a SCAN_UNLINK has come: its keys are to go. */
static bool unlink_page(struct redis_client *c, struct redis_op *op, const redisReply *reply)
{
    int rc;

    if (op->kind != REDIS_SCAN_UNLINK || op->status != REDIS_DONE)
        return true;
    rc = command_append_unlink(c->conn.context, &c->command_prefix, reply->element[1]);
    if (rc < 0 || (rc > 0 && !conn_expect(&c->conn, (struct conn_due){op, REPLY_UNLINK, 0})))
        return false;
    op->replies_due += (uint32_t)rc;
    count(c, REDIS_COUNT_COMMANDS, (uint64_t)rc);
    c->conn.output = c->conn.output || rc > 0;
    return true;
}

/* False when the connection cannot be trusted any more; then reason says why. */
static bool take_op_reply(struct redis_client *c, const struct conn_due *due,
                          const redisReply *reply, char *reason, size_t size)
{
    struct redis_op *op = due->op;
    bool sane;

    if (!op) {
        count(c, REDIS_COUNT_LATE_REPLIES, 1);
        return true;
    }
    op->replies_due--;
    sane = reply_take(op, (enum reply_part)due->part, reply, &c->command_prefix, c->server);
    if (sane && due->part == REPLY_FIRST && !unlink_page(c, op, reply)) {
        snprintf(reason, size, "no memory");
        return false;
    }
    if (sane && op->replies_due)
        return true;
    unlink_sent(c, op);
    if (!sane) {
        disown_replies(c, op);
        snprintf(reason, size, "the answer makes no sense");
    }
    finish(c, op);
    return sane;
}

static bool take_greeting(struct redis_client *c, enum client_greeting greeting,
                          const redisReply *reply, int64_t now_ms, char *reason, size_t size)
{
    bool error = reply->type == REDIS_REPLY_ERROR;

    if (error && greeting != GREETING_NAME) { /* a name is a nicety */
        snprintf(reason, size, "%.*s", 120, reply->str);
        return false;
    }
    if (!error && reply->type != REDIS_REPLY_STATUS) {
        snprintf(reason, size, "the answer makes no sense");
        return false;
    }
    if (greeting == GREETING_PING)
        is_up(c, now_ms);
    return true;
}

static void take_replies(struct redis_client *c, int64_t now_ms)
{
    char reason[160] = "";
    bool good = true, garbage = false;

    while (good) {
        struct conn_due due;
        redisReply *reply;

        garbage = conn_next(&c->conn, &reply, reason, sizeof(reason)) != CONN_OK;
        good = !garbage;
        if (garbage || !reply)
            break;
        if (conn_due_count(&c->conn) == 0) {
            snprintf(reason, sizeof(reason), "an answer to nothing");
            good = false;
        } else {
            due = *conn_due_at(&c->conn, c->conn.due_first++);
            good = due.handshake ? take_greeting(c, (enum client_greeting)due.handshake, reply,
                                                 now_ms, reason, sizeof(reason))
                                 : take_op_reply(c, &due, reply, reason, sizeof(reason));
        }
        freeReplyObject(reply);
    }
    if (!good)
        fail(c, garbage, reason, now_ms);
}

static void receive(struct redis_client *c, int64_t now_ms)
{
    char reason[160];
    size_t bytes = 0;
    enum conn_status status = conn_read(&c->conn, &bytes, reason, sizeof(reason));

    count(c, REDIS_COUNT_BYTES_IN, bytes);
    if (bytes)
        c->progress_ms = now_ms;
    if (status != CONN_OK) {
        /* What came before the end still counts. */
        enum client_phase before = c->phase;

        if (bytes)
            take_replies(c, now_ms);
        if (c->phase == before && c->conn.context)
            fail(c, status == CONN_GARBAGE, reason, now_ms);
        return;
    }
    take_replies(c, now_ms);
}

/* -- Time ------------------------------------------------------------------------------------------ */

static void expire_list(struct redis_client *c, struct client_list *list, bool sent, int64_t now_ms)
{
    struct client_list kept;
    struct redis_op *op;
    char reason[64];

    snprintf(reason, sizeof(reason), "no answer in %lld ms", (long long)c->timeout_ms);
    client_list_init(&kept);
    while ((op = take_first(list))) {
        if (op->deadline_ms > now_ms) {
            if (!c->next_deadline_ms || op->deadline_ms < c->next_deadline_ms)
                c->next_deadline_ms = op->deadline_ms;
            client_list_append(&kept, op);
            continue;
        }
        if (sent)
            disown_replies(c, op);
        alloc_free(op->reply);
        op->reply = NULL;
        finish_as(c, op, REDIS_TIMEOUT, reason);
    }
    append_all(list, &kept);
}

static void keep_deadlines(struct redis_client *c, int64_t now_ms)
{
    if (!c->next_deadline_ms || c->next_deadline_ms > now_ms)
        return;
    c->next_deadline_ms = 0;
    expire_list(c, &c->waiting, false, now_ms);
    expire_list(c, &c->sent, true, now_ms);
    if (c->next_deadline_ms && c->next_deadline_ms < now_ms + DEADLINE_STEP_MS)
        c->next_deadline_ms = now_ms + DEADLINE_STEP_MS;
}

static bool is_stalled(const struct redis_client *c, int64_t now_ms)
{
    return (c->phase == CLIENT_UP || c->phase == CLIENT_GREETING) && conn_due_count(&c->conn) &&
           now_ms - c->progress_ms >= c->timeout_ms;
}

static void keep_time(struct redis_client *c, int64_t now_ms)
{
    char reason[64];

    if (c->phase == CLIENT_RESTING && now_ms >= c->breaker.retry_at_ms)
        begin(c, now_ms);
    if (is_stalled(c, now_ms)) {
        snprintf(reason, sizeof(reason), "no answer in %lld ms", (long long)c->timeout_ms);
        fail(c, false, reason, now_ms);
    }
    keep_deadlines(c, now_ms);
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
    uint32_t events = EPOLLIN;

    sooner(&wish.at_ms, c->next_deadline_ms);
    sooner(&wish.at_ms, c->next_tick_ms);
    if (c->phase == CLIENT_RESTING)
        sooner(&wish.at_ms, c->breaker.retry_at_ms);
    if (c->phase == CLIENT_DIALLING)
        sooner(&wish.at_ms, c->dial.give_up_ms);
    else if (c->conn.context && conn_due_count(&c->conn))
        sooner(&wish.at_ms, c->progress_ms + c->timeout_ms);
    if (c->phase == CLIENT_DIALLING || c->conn.output)
        events |= EPOLLOUT;
    wish.watch[CLIENT_DATA] = watch_of(&c->conn, events);
    wish.watch[CLIENT_LINK] = watch_of(&c->link.conn, link->events);
    return wish;
}

/* -- Rounds ---------------------------------------------------------------------------------------- */

static void take_queued(struct redis_client *c)
{
    struct client_list taken;

    client_list_init(&taken);
    pthread_mutex_lock(&c->lock);
    append_all(&taken, &c->queued);
    pthread_mutex_unlock(&c->lock);
    for (struct redis_op *op = taken.first; op; op = op->next)
        if (!c->next_deadline_ms || op->deadline_ms < c->next_deadline_ms)
            c->next_deadline_ms = op->deadline_ms;
    append_all(&c->waiting, &taken);
}

static void serve_data(struct redis_client *c, uint32_t events, int64_t now_ms)
{
    take_queued(c);
    if (c->phase == CLIENT_IDLE && c->waiting.first)
        begin(c, now_ms);
    if (c->phase == CLIENT_DIALLING)
        dialled(c, dial_continue(&c->dial, events & (EPOLLOUT | EPOLLERR | EPOLLHUP), now_ms),
                now_ms);
    else if (c->phase >= CLIENT_GREETING && c->phase <= CLIENT_UP &&
             (events & (EPOLLIN | EPOLLERR | EPOLLHUP)))
        receive(c, now_ms);
    if (c->phase != CLIENT_UP && c->breaker.open) /* they came just before it opened */
        fail_waiting(c, c->why + strlen(c->server) + 2);
    if (c->phase == CLIENT_UP || (c->phase == CLIENT_GREETING && c->conn.output))
        send_more(c, now_ms);
    keep_time(c, now_ms);
}

struct client_wish client_round(struct redis_client *c, const uint32_t events[CLIENT_WATCHES],
                                int64_t now_ms)
{
    struct link_wish link;

    /* What is known of changes comes before answers that are older or newer than them: either order is
     * right, since tokens are compared, but this one rejects less. */
    link = link_round(&c->link, c->link_wanted, events[CLIENT_LINK], now_ms);
    serve_data(c, events[CLIENT_DATA], now_ms);
    if (c->hooks.tick)
        c->next_tick_ms = c->hooks.tick(c->hooks.context, now_ms);
    return wish_of(c, &link);
}

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

void client_destroy(struct redis_client *c)
{
    struct redis_hooks hooks = c->hooks;

    drop_connection(c);
    link_close(&c->link);
    pthread_mutex_destroy(&c->lock);
    alloc_free(c->name);
    alloc_free(c->prefix);
    alloc_free(c->prefix_glob);
    alloc_free(c);
    hooks.gone(hooks.context);
}

void client_after_fork(struct redis_client *c)
{
    pthread_mutex_init(&c->lock, NULL);
    client_list_init(&c->queued);
    client_list_init(&c->waiting);
    client_list_init(&c->sent);
    conn_forget(&c->conn);
    c->dial.resolve = NULL; /* its thread is the parent's */
    c->ops = c->bytes = 0;
    c->phase = CLIENT_IDLE;
    c->state = REDIS_STATE_IDLE;
    c->breaker = (struct breaker){0};
    c->next_deadline_ms = 0;
    c->in_loop = false;
    c->link_wanted = false;
    link_after_fork(&c->link);
    c->watch[CLIENT_DATA].fd = c->watch[CLIENT_LINK].fd = -1;
}
