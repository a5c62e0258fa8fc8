#include "redis/command.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/number.h"
#include "redis/fleet.h"
#include "redis/page.h"
#include "redis/tagged.h"
#include "redis/words.h"

/* -- Encoding ------------------------------------------------------------------------------------ */

static void add_key_command(struct bytes *to, const char *name, const struct command_prefix *prefix,
                            const struct redis_op *op)
{
    words_count(to, '*', 2);
    words_text(to, name);
    words_joined(to, prefix->text, prefix->length, op->key, op->key_length);
}

/* The word of a SET on a condition, or NULL. */
static const char *condition_of(const struct redis_op *op)
{
    if (op->kind == REDIS_SET)
        return NULL;
    return op->kind == REDIS_ADD ? "NX" : "XX";
}

/* What follows a SET's value. */
static void add_set_options(struct bytes *to, const struct redis_op *op)
{
    if (op->ttl_ms > 0) {
        words_text(to, "PX");
        words_integer(to, op->ttl_ms);
    }
    if (condition_of(op))
        words_text(to, condition_of(op));
}

void command_add_reserved(struct bytes *to, const struct command_prefix *prefix, const char *name,
                          const char *rest, size_t length)
{
    size_t n = strlen(name);

    words_count(to, '$', prefix->length + n + length);
    bytes_add(to, prefix->text, prefix->length);
    bytes_add(to, name, n);
    bytes_add(to, rest, length);
    bytes_add(to, "\r\n", 2);
}

struct bytes *command_add_value(struct command *c, const struct redis_op *op)
{
    if (op->value_length < COMMAND_BODY_BYTES) {
        words_word(&c->head, op->value, op->value_length);
        return &c->head;
    }
    words_count(&c->head, '$', op->value_length);
    c->body = op->value;
    c->body_length = op->value_length;
    bytes_add(&c->tail, "\r\n", 2);
    return &c->tail;
}

static void encode_set(struct command *c, const struct command_prefix *prefix,
                       const struct redis_op *op)
{
    words_count(&c->head, '*', (op->ttl_ms > 0 ? 5u : 3u) + (condition_of(op) ? 1u : 0u));
    words_text(&c->head, "SET");
    words_joined(&c->head, prefix->text, prefix->length, op->key, op->key_length);
    add_set_options(command_add_value(c, op), op);
}

/* A script, because a key that is about to expire may do so between two commands.  Its arguments: the command,
 * by, and if there are any, init and its TTL.  What is a whole number stays one of INCRBY's. */
static const char incr_script[] =
    "local k,a,c=KEYS[1],ARGV,redis.pcall\n"
    "if redis.call('EXISTS',k)==0 then\n"
    "if not a[3] then return false end\n"
    "local s=a[4] and c('SET',k,a[3],'PX',a[4]) or c('SET',k,a[3])\n"
    "if s.err then return s end\n"
    "end\n"
    "local n=c(a[1],k,a[2])\n"
    "if a[1]=='INCRBY' and type(n)=='table' then n=c('INCRBYFLOAT',k,a[2]) end\n"
    "return n";

static void encode_incr(struct bytes *to, const struct command_prefix *prefix,
                        const struct redis_op *op)
{
    char text[NUMBER_BYTES];
    size_t length = number_write_double(op->by, text);
    bool whole = !memchr(text, '.', length);

    words_count(to, '*', 6u + (op->with_init ? (op->ttl_ms > 0 ? 2u : 1u) : 0u));
    words_text(to, "EVAL");
    words_word(to, incr_script, sizeof(incr_script) - 1);
    words_text(to, "1");
    words_joined(to, prefix->text, prefix->length, op->key, op->key_length);
    words_text(to, whole ? "INCRBY" : "INCRBYFLOAT");
    words_word(to, text, length);
    if (!op->with_init)
        return;
    words_word(to, text, number_write_double(op->init, text));
    if (op->ttl_ms > 0)
        words_integer(to, op->ttl_ms);
}

/* PERSIST says nothing of a key that does not expire. */
static void encode_expire(struct command *c, const struct command_prefix *prefix,
                          const struct redis_op *op)
{
    if (op->ttl_ms <= 0) {
        add_key_command(&c->head, "PERSIST", prefix, op);
        add_key_command(&c->head, "EXISTS", prefix, op);
        c->replies = 2;
        return;
    }
    words_count(&c->head, '*', 3);
    words_text(&c->head, "PEXPIRE");
    words_joined(&c->head, prefix->text, prefix->length, op->key, op->key_length);
    words_integer(&c->head, op->ttl_ms);
}

static void encode_scan(struct bytes *to, const struct command_prefix *prefix,
                        const struct redis_op *op)
{
    char count[16];

    snprintf(count, sizeof(count), "%d", COMMAND_SCAN_COUNT);
    words_count(to, '*', 6);
    words_text(to, "SCAN");
    if (op->value_length)
        words_word(to, op->value, op->value_length);
    else
        words_text(to, "0");
    words_text(to, "MATCH");
    if (op->key)
        words_joined(to, prefix->glob, prefix->glob_length, op->key, op->key_length);
    else
        words_joined(to, prefix->glob, prefix->glob_length, "*", 1);
    words_text(to, "COUNT");
    words_text(to, count);
}

static void encode_unlink(struct bytes *to, const struct command_prefix *prefix,
                          const struct redis_op *op)
{
    struct page_item item;
    size_t at = page_next(op->reply, op->reply_length, 0, &item); /* behind the cursor */

    words_count(to, '*', op->reply_count);
    words_text(to, "UNLINK");
    while ((at = page_next(op->reply, op->reply_length, at, &item)))
        words_joined(to, prefix->text, prefix->length, item.bytes, item.length);
}

static void encode_publish(struct bytes *to, const struct command_prefix *prefix,
                           const struct redis_op *op)
{
    words_count(to, '*', 3);
    words_text(to, "PUBLISH");
    words_joined(to, prefix->text, prefix->length, COMMAND_CHANNEL, sizeof(COMMAND_CHANNEL) - 1);
    words_word(to, op->key, op->key_length);
}

/* ASKING goes for one command only. */
static const char asked_get_script[] =
    "return {redis.call('GET',KEYS[1]),redis.call('PTTL',KEYS[1])}";
static const char asked_expire_script[] =
    "redis.call('PERSIST',KEYS[1]) return redis.call('EXISTS',KEYS[1])";

static void encode_asked(struct bytes *to, const struct command_prefix *prefix,
                         const struct redis_op *op)
{
    words_count(to, '*', 4);
    words_text(to, "EVAL");
    words_text(to, op->kind == REDIS_ASKED_GET ? asked_get_script : asked_expire_script);
    words_text(to, "1");
    words_joined(to, prefix->text, prefix->length, op->key, op->key_length);
}

/* Where there are tags, its list goes with it: then all are in one slot. */
static void encode_unlink_one(struct bytes *to, const struct command_prefix *prefix,
                              const struct redis_op *op)
{
    bool list = prefix->script && !reserved_is(op->key, op->key_length);

    words_count(to, '*', list ? 3 : 2);
    words_text(to, "UNLINK");
    words_joined(to, prefix->text, prefix->length, op->key, op->key_length);
    if (list)
        command_add_reserved(to, prefix, REDIS_TAGS_KEY, op->key, op->key_length);
}

static void encode_role(struct command *c)
{
    words_count(&c->head, '*', 1);
    words_text(&c->head, "ROLE");
}

static void encode_cluster(struct command *c, const struct redis_op *op)
{
    bool check = op->kind == REDIS_CLUSTER_CHECK;

    if (check)
        encode_role(c);
    words_count(&c->head, '*', 2);
    words_text(&c->head, "CLUSTER");
    words_text(&c->head, "INFO");
    if (!check) {
        words_count(&c->head, '*', 2);
        words_text(&c->head, "CLUSTER");
        words_text(&c->head, "SLOTS");
    }
    c->replies = 2;
}

static void encode_replication(struct bytes *to)
{
    words_count(to, '*', 2);
    words_text(to, "INFO");
    words_text(to, "replication");
}

static void clear(struct command *c)
{
    bytes_clear(&c->head);
    bytes_clear(&c->tail);
    alloc_free(c->kept);
    c->kept = NULL;
    c->body_length = c->taken = 0;
}

/* Was there memory for all of it? */
static bool finish(struct command *c)
{
    if (!c->head.failed && !c->tail.failed)
        return true;
    clear(c);
    return false;
}

bool command_encode(struct command *c, const struct command_prefix *prefix,
                    const struct redis_op *op)
{
    clear(c);
    c->replies = 1;
    if (prefix->script && tagged_is(op)) {
        tagged_encode(c, prefix, op);
        return finish(c);
    }
    switch (op->kind) {
    case REDIS_GET:
        add_key_command(&c->head, "GET", prefix, op);
        add_key_command(&c->head, "PTTL", prefix, op);
        c->replies = 2;
        break;
    case REDIS_REPLICA_GET:
        encode_role(c);
        add_key_command(&c->head, "GET", prefix, op);
        add_key_command(&c->head, "PTTL", prefix, op);
        c->replies = 3;
        break;
    case REDIS_EXISTS:
        add_key_command(&c->head, "EXISTS", prefix, op);
        break;
    case REDIS_PTTL:
        add_key_command(&c->head, "PTTL", prefix, op);
        break;
    case REDIS_SET:
    case REDIS_ADD:
    case REDIS_REPLACE:
        encode_set(c, prefix, op);
        break;
    case REDIS_INCR:
        encode_incr(&c->head, prefix, op);
        break;
    case REDIS_EXPIRE:
        encode_expire(c, prefix, op);
        break;
    case REDIS_DELETE:
        add_key_command(&c->head, "DEL", prefix, op);
        break;
    case REDIS_PUBLISH:
        encode_publish(&c->head, prefix, op);
        break;
    case REDIS_LOCK:
    case REDIS_UNLOCK:
        fleet_encode(&c->head, prefix, op);
        break;
    case REDIS_INVALIDATE_TAG:
        clear(c);
        return false; /* there are no tags */
    case REDIS_SCAN_UNLINK:
        if (op->reply) {
            encode_unlink(&c->head, prefix, op);
            c->replies += prefix->script && tagged_encode_unlink(&c->head, prefix, op);
            break;
        }
        encode_scan(&c->head, prefix, op);
        break;
    case REDIS_SCAN:
    case REDIS_SCAN_ALL:
        encode_scan(&c->head, prefix, op);
        break;
    case REDIS_UNLINK:
        encode_unlink_one(&c->head, prefix, op);
        break;
    case REDIS_ASKED_GET:
    case REDIS_ASKED_EXPIRE:
        encode_asked(&c->head, prefix, op);
        break;
    case REDIS_CLUSTER_MAP:
    case REDIS_CLUSTER_CHECK:
        encode_cluster(c, op);
        break;
    case REDIS_ROLE:
        encode_role(c);
        break;
    case REDIS_REPLICATION:
        encode_replication(&c->head);
        break;
    }
    return finish(c);
}

enum reply_part command_part(const struct command_prefix *prefix, const struct redis_op *op,
                             unsigned reply)
{
    switch (op->kind) {
    case REDIS_SCAN_UNLINK:
        return !op->reply ? REPLY_FIRST : reply ? REPLY_IGNORED : REPLY_UNLINK;
    case REDIS_GET:
        return prefix->script ? REPLY_TAGGED : reply ? REPLY_PTTL : REPLY_FIRST;
    case REDIS_REPLICA_GET:
        return reply == 0 ? REPLY_ROLE : reply == 1 ? REPLY_FIRST : REPLY_PTTL;
    case REDIS_SET:
    case REDIS_ADD:
    case REDIS_REPLACE:
        return prefix->script ? REPLY_TAGGED : REPLY_FIRST;
    default:
        return REPLY_FIRST;
    }
}

/* -- Taking -------------------------------------------------------------------------------------- */

static size_t length_of(const struct command *c)
{
    return c->head.length + c->body_length + c->tail.length;
}

size_t command_left(const struct command *c)
{
    return length_of(c) - c->taken;
}

size_t command_take(struct command *c, size_t most, const char **piece)
{
    size_t head = c->head.length, body_end = head + c->body_length, end;

    if (command_left(c) == 0)
        return 0;
    if (c->taken < head) {
        *piece = c->head.data + c->taken;
        end = head;
    } else if (c->taken < body_end) {
        *piece = c->body + (c->taken - head);
        end = body_end;
    } else {
        *piece = c->tail.data + (c->taken - body_end);
        end = length_of(c);
    }
    most = most < end - c->taken ? most : end - c->taken;
    c->taken += most;
    return most;
}

bool command_keep(struct command *c)
{
    size_t head = c->head.length;
    size_t passed = c->taken > head ? c->taken - head : 0;

    if (c->kept || passed >= c->body_length)
        return true;
    c->kept = alloc_copy(c->body + passed, c->body_length - passed);
    if (!c->kept)
        return false;
    c->body = c->kept;
    c->body_length -= passed;
    c->taken -= passed;
    return true;
}

void command_free(struct command *c)
{
    bytes_free(&c->head);
    bytes_free(&c->tail);
    alloc_free(c->kept);
    *c = (struct command){0};
}
