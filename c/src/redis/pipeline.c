#include "redis/pipeline.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "redis/patience.h"
#include "redis/quote.h"

enum {
    CHUNK_BYTES =
        128 << 10,         /* appended before the socket has taken it: hiredis moves what is left */
    ROUND_BYTES = 4 << 20, /* sent before something else gets its turn */
    LONG_BYTES = 64 << 10, /* may be longer on their way than anybody may be silent */
    DEADLINE_STEP_MS = 2,  /* deadlines are looked at no more often than this */
    OP_BYTES = 64          /* what an operation counts for beside its key and its value */
};

static void count(struct redis_client *c, enum redis_counter counter, uint64_t n)
{
    if (n)
        c->hooks.count(c->hooks.context, counter, n);
}

void pipeline_init(struct redis_client *c)
{
    op_list_init(&c->waiting);
    op_list_init(&c->sent);
    c->command = (struct command){0};
    c->writing = NULL;
    c->next_deadline_ms = 0;
}

size_t pipeline_op_bytes(const struct redis_op *op)
{
    return op->key_length + op->value_length + op->tags_length + OP_BYTES;
}

/* -- The end of an operation --------------------------------------------------------------------- */

static void finish(struct redis_client *c, struct redis_op *op)
{
    pthread_mutex_lock(&c->lock);
    c->ops--;
    c->bytes -= pipeline_op_bytes(op);
    pthread_mutex_unlock(&c->lock);
    if (op->status == REDIS_REFUSED) {
        count(c, REDIS_COUNT_ERRORS, 1);
        c->demoted = c->demoted || strstr(op->error, ": READONLY ");
    }
    if (op->status == REDIS_TIMEOUT)
        count(c, REDIS_COUNT_TIMEOUTS, 1);
    if (!op->may_have_run)
        op->sent_ms = 0; /* of its submission, so far */
    if (op->status != REDIS_DONE) {
        alloc_free(op->reply);
        alloc_free(op->list);
        op->reply = op->list = NULL;
        op->reply_length = op->reply_count = op->list_length = 0;
    }
    op->next = NULL;
    op->server = c->server_id;
    c->hooks.done(c->hooks.context, op);
}

static void finish_as(struct redis_client *c, struct redis_op *op, enum redis_status status,
                      const char *reason)
{
    op->status = status;
    quote_sentence(c->server, reason, op->error, sizeof(op->error));
    finish(c, op);
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

/* -- Sending ------------------------------------------------------------------------------------- */

void pipeline_take_queued(struct redis_client *c, int64_t now_ms)
{
    struct op_list taken;

    op_list_init(&taken);
    pthread_mutex_lock(&c->lock);
    op_list_append_all(&taken, &c->queued);
    pthread_mutex_unlock(&c->lock);
    for (struct redis_op *op = taken.first; op; op = op->next) {
        if (patience_slept(op->sent_ms, now_ms)) /* of its submission, so far */
            op->deadline_ms += now_ms - op->sent_ms;
        if (!c->next_deadline_ms || op->deadline_ms < c->next_deadline_ms)
            c->next_deadline_ms = op->deadline_ms;
    }
    op_list_append_all(&c->waiting, &taken);
}

/* What goes before a command: the script, once more, which the server has forgotten; ASKING. */
__attribute__((noinline, cold)) static void tell_first(struct redis_client *c,
                                                       const struct redis_op *op, int64_t now_ms)
{
    if (!c->script_lost && !op->asking)
        return;
    if (pipeline_due(c) == 0)
        client_listen(c, now_ms);
    if (conn_reserve(&c->conn, 2)) {
        if (c->script_lost)
            client_tell_script(c);
        if (op->asking)
            client_tell_asking(c);
    }
    c->script_lost = false;
}

/* Begins with the next operation that waits.  False: there is none. */
static bool start_next(struct redis_client *c, int64_t now_ms, int64_t now_ns)
{
    struct redis_op *op;

    while (c->phase == CLIENT_UP && (op = op_list_take(&c->waiting))) {
        if (c->preface)
            tell_first(c, op, now_ms);
        if (!conn_reserve(&c->conn, 2) || !command_encode(&c->command, &c->command_prefix, op)) {
            finish_as(c, op, REDIS_UNSENT, "no memory");
            continue;
        }
        op->first_reply = c->conn.due_end;
        op->replies_due = c->command.replies;
        for (unsigned i = 0; i < c->command.replies; i++)
            conn_expect(&c->conn,
                        (struct conn_due){op, (uint8_t)command_part(&c->command_prefix, op, i), 0});
        op->sent_ms = now_ms;
        op->sent_ns = now_ns;
        op->may_have_run = true;
        op_list_append(&c->sent, op);
        c->writing = op;
        count(c, REDIS_COUNT_COMMANDS, c->command.replies);
        return true;
    }
    return false;
}

/* Appends a chunk of what waits; sets how many bytes.  False: no memory. */
static bool append_chunk(struct redis_client *c, int64_t now_ms, size_t *appended)
{
    int64_t now_ns = c->waiting.first ? clock_now_ns() : 0;

    *appended = 0;
    while (*appended < CHUNK_BYTES &&
           (command_left(&c->command) || start_next(c, now_ms, now_ns))) {
        size_t due = pipeline_due(c);
        const char *piece;
        size_t n = command_take(&c->command, CHUNK_BYTES - *appended, &piece);

        if (!conn_append(&c->conn, piece, n))
            return false;
        *appended += n;
        if (command_left(&c->command))
            continue;
        c->writing = NULL;
        if (due == 0)
            client_listen(c, now_ms);
    }
    count(c, REDIS_COUNT_BYTES_OUT, *appended);
    return true;
}

/* Sends what it can of what is appended, and appends more, until the socket takes no more. */
static enum conn_status send_round(struct redis_client *c, int64_t now_ms, size_t *sent,
                                   char *reason, size_t size)
{
    size_t appended;

    for (*sent = 0; *sent < ROUND_BYTES; *sent += appended) {
        enum conn_status status;

        appended = 0;
        if (!c->conn.output && !append_chunk(c, now_ms, &appended)) {
            snprintf(reason, size, "no memory");
            return CONN_LOST;
        }
        if (!c->conn.output)
            break;
        if (appended)
            c->took_ms = now_ms;
        status = conn_write(&c->conn, reason, size);
        if (status != CONN_OK || c->conn.output)
            return status;
    }
    return CONN_OK;
}

enum conn_status pipeline_send(struct redis_client *c, int64_t now_ms, char *reason, size_t size)
{
    size_t sent, unsent;
    enum conn_status status = send_round(c, now_ms, &sent, reason, size);

    if (status == CONN_OK && (c->conn.output || sent >= LONG_BYTES)) {
        unsent = conn_unsent(&c->conn);
        c->unsent = unsent > c->unsent ? unsent : c->unsent;
    }
    return status;
}

bool pipeline_has_more(const struct redis_client *c)
{
    return c->conn.output ||
           (c->phase == CLIENT_UP && (command_left(&c->command) || c->waiting.first));
}

size_t pipeline_due(const struct redis_client *c)
{
    return conn_due_count(&c->conn) - (command_left(&c->command) ? c->command.replies : 0);
}

/* -- Receiving ----------------------------------------------------------------------------------- */

/* All replies of an operation's first command are in: it is over, or goes on with its second. */
static void answered(struct redis_client *c, struct redis_op *op, enum reply_part part)
{
    op_list_remove(&c->sent, op);
    if (c->hooks.took)
        c->hooks.took(c->hooks.context, c->read_ns - op->sent_ns);
    if (op->kind == REDIS_SCAN_UNLINK && op->status == REDIS_DONE && part == REPLY_FIRST &&
        op->reply_count > 1) {
        op->may_have_run = false; /* of what changes something */
        op_list_prepend(&c->waiting, op);
    } else {
        finish(c, op);
    }
}

static bool is_read(const struct redis_op *op)
{
    return op->kind == REDIS_GET || op->kind == REDIS_REPLICA_GET || op->kind == REDIS_EXISTS ||
           op->kind == REDIS_PTTL || op->kind == REDIS_SCAN;
}

/* The script is not there: nothing was done.  What was to be read is asked anew, with the whole script, and so is
 * an invalidation; another write would come after those that were sent behind it, and ends so. */
static bool is_to_be_asked_anew(struct redis_client *c, struct redis_op *op,
                                const redisReply *reply)
{
    if (!c->command_prefix.script || reply->type != REDIS_REPLY_ERROR ||
        strncmp(reply->str, "NOSCRIPT ", 9) != 0)
        return false;
    c->script_lost = c->preface = c->script[0] != '\0';
    c->script[0] = '\0';
    if (!(is_read(op) || op->kind == REDIS_INVALIDATE_TAG) || op == c->writing)
        return false;
    op_list_remove(&c->sent, op);
    op_list_prepend(&c->waiting, op);
    return true;
}

enum conn_status pipeline_take(struct redis_client *c, const struct conn_due *due,
                               const redisReply *reply, char *reason, size_t size)
{
    const struct reply_source source = {c->server, c->url.password};
    struct redis_op *op = due->op;
    bool early = op && op == c->writing, sane;

    if (!op) {
        count(c, REDIS_COUNT_LATE_REPLIES, 1);
        return CONN_OK;
    }
    op->replies_due--;
    if (is_to_be_asked_anew(c, op, reply))
        return CONN_OK;
    sane = reply_take(op, (enum reply_part)due->part, reply, &c->command_prefix, &source);
    if (sane && !early) {
        breaker_success(&c->breaker);
        if (op->replies_due == 0)
            answered(c, op, (enum reply_part)due->part);
        return CONN_OK;
    }
    /* It has an answer before it has the command: it will not take the rest. */
    snprintf(reason, size, "%s",
             sane ? "an answer before its command was sent" : "the answer makes no sense");
    op_list_remove(&c->sent, op);
    disown_replies(c, op);
    if (early)
        c->writing = NULL;
    if (early && op->status == REDIS_DONE)
        finish_as(c, op, REDIS_GARBAGE, reason);
    else
        finish(c, op);
    return CONN_LOST;
}

/* -- Ending -------------------------------------------------------------------------------------- */

/* False: the rest of its command is needed and could not be copied. */
static bool let_go(struct redis_client *c, const struct redis_op *op)
{
    if (op != c->writing)
        return true;
    c->writing = NULL;
    return command_keep(&c->command);
}

static bool expire_list(struct redis_client *c, struct op_list *list, bool sent, int64_t now_ms)
{
    struct op_list kept;
    struct redis_op *op;
    bool good = true;
    char reason[64];

    op_list_init(&kept);
    while ((op = op_list_take(list))) {
        if (op->deadline_ms > now_ms) {
            if (!c->next_deadline_ms || op->deadline_ms < c->next_deadline_ms)
                c->next_deadline_ms = op->deadline_ms;
            op_list_append(&kept, op);
            continue;
        }
        if (sent) {
            good = let_go(c, op) && good;
            disown_replies(c, op);
        }
        snprintf(reason, sizeof(reason), "no %s in %lld ms",
                 sent || c->phase == CLIENT_UP ? "answer" : "connection",
                 (long long)(now_ms - op->sent_ms));
        finish_as(c, op, REDIS_TIMEOUT, reason);
    }
    op_list_append_all(list, &kept);
    return good;
}

/* Gives those that are overdue a little longer, if it was us who slept. */
static void forgive(struct redis_client *c, int64_t now_ms)
{
    struct op_list *const lists[] = {&c->waiting, &c->sent};

    for (int i = 0; i < 2; i++)
        for (struct redis_op *op = lists[i]->first; op; op = op->next)
            if (!op->forgiven && patience_slept(op->deadline_ms, now_ms)) {
                op->deadline_ms = now_ms + PATIENCE_GRACE_MS;
                op->forgiven = true;
            }
}

void pipeline_forsake_reads(struct redis_client *c, int64_t now_ms)
{
    struct op_list *const lists[] = {&c->waiting, &c->sent};

    for (int i = 0; i < 2; i++)
        for (struct redis_op *op = lists[i]->first; op; op = op->next)
            if (is_read(op) && op->deadline_ms > now_ms) {
                op->deadline_ms = c->next_deadline_ms = now_ms;
                op->forgiven = true;
            }
}

bool pipeline_expire(struct redis_client *c, int64_t now_ms)
{
    bool good;

    if (!c->next_deadline_ms || c->next_deadline_ms > now_ms)
        return true;
    if (patience_slept(c->next_deadline_ms, now_ms))
        forgive(c, now_ms);
    c->next_deadline_ms = 0;
    expire_list(c, &c->waiting, false, now_ms);
    good = expire_list(c, &c->sent, true, now_ms);
    if (c->next_deadline_ms && c->next_deadline_ms < now_ms + DEADLINE_STEP_MS)
        c->next_deadline_ms = now_ms + DEADLINE_STEP_MS;
    return good;
}

void pipeline_lose(struct redis_client *c, bool garbage, const char *reason, int64_t now_ms)
{
    struct op_list over;
    struct redis_op *op;

    command_free(&c->command);
    c->writing = NULL;
    op_list_init(&over);
    op_list_append_all(&over, &c->sent);
    while ((op = op_list_take(&over))) {
        enum redis_status status = REDIS_UNKNOWN;

        if (garbage)
            status = REDIS_GARBAGE;
        else if (op->deadline_ms <= now_ms)
            status = REDIS_TIMEOUT;
        garbage = false;
        finish_as(c, op, status, reason);
    }
}

void pipeline_reject(struct redis_client *c, const char *reason)
{
    struct op_list over;
    struct redis_op *op;

    op_list_init(&over);
    op_list_append_all(&over, &c->waiting);
    while ((op = op_list_take(&over)))
        finish_as(c, op, REDIS_UNSENT, reason);
}
