#include "redis/reply.h"

#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/number.h"
#include "redis/fleet.h"
#include "redis/page.h"
#include "redis/quote.h"
#include "redis/replication.h"
#include "redis/slot_map.h"
#include "redis/tagged.h"

enum { CURSOR_DIGITS = 20 }; /* of an unsigned 64-bit number */

static bool garbage(struct redis_op *op, const struct reply_source *source)
{
    op->status = REDIS_GARBAGE;
    quote_sentence(source->server, "the answer makes no sense", op->error, sizeof(op->error));
    return false;
}

static bool refused(struct redis_op *op, const redisReply *reply, const struct reply_source *source)
{
    char reason[QUOTE_BYTES + 1];

    quote_error(reply->str, (size_t)reply->len, source->secret, reason, sizeof(reason));
    quote_sentence(source->server, reason, op->error, sizeof(op->error));
    op->status = REDIS_REFUSED;
    return true;
}

/* It can do without. */
static bool untold(struct redis_op *op, const struct reply_source *source)
{
    op->status = REDIS_REFUSED;
    quote_sentence(source->server, "INFO replication does not say how far it is", op->error,
                   sizeof(op->error));
    return true;
}

/* What it did in Redis, it did: only nobody can be told. */
static bool no_memory(struct redis_op *op, const struct reply_source *source)
{
    op->status = REDIS_UNKNOWN;
    quote_sentence(source->server, "no memory for the answer", op->error, sizeof(op->error));
    return true;
}

static bool take_value(struct redis_op *op, const redisReply *reply,
                       const struct reply_source *source)
{
    if (reply->type == REDIS_REPLY_NIL) {
        op->status = REDIS_ABSENT;
        return true;
    }
    if (reply->type != REDIS_REPLY_STRING)
        return garbage(op, source);
    op->reply_length = (size_t)reply->len;
    op->reply = alloc_copy(reply->str, op->reply_length);
    return op->reply ? true : no_memory(op, source);
}

static bool take_integer(struct redis_op *op, const redisReply *reply, int64_t *to, int64_t least,
                         int64_t most, const struct reply_source *source)
{
    if (reply->type != REDIS_REPLY_INTEGER || reply->integer < least || reply->integer > most)
        return garbage(op, source);
    *to = reply->integer;
    return true;
}

static bool take_ok(struct redis_op *op, const redisReply *reply, const struct reply_source *source)
{
    if (reply->type != REDIS_REPLY_STATUS || strcmp(reply->str, "OK") != 0)
        return garbage(op, source);
    return true;
}

/* OK, or nil: the condition did not hold. */
static bool take_done(struct redis_op *op, const redisReply *reply,
                      const struct reply_source *source)
{
    if (reply->type != REDIS_REPLY_NIL)
        return take_ok(op, reply, source);
    op->status = REDIS_ABSENT;
    return true;
}

static bool take_number(struct redis_op *op, const redisReply *reply,
                        const struct reply_source *source)
{
    long double number = (long double)reply->integer;

    if (reply->type == REDIS_REPLY_NIL) {
        op->status = REDIS_ABSENT;
        return true;
    }
    if (reply->type != REDIS_REPLY_INTEGER &&
        (reply->type != REDIS_REPLY_STRING ||
         !number_read(reply->str, (size_t)reply->len, &number)))
        return garbage(op, source);
    op->number = (double)number;
    return true;
}

/* What a script answers, which its own file knows how to take. */
static bool take_script(struct redis_op *op, const redisReply *reply,
                        const struct reply_source *source,
                        bool (*take)(struct redis_op *, const redisReply *, bool *))
{
    bool without_memory;

    if (!take(op, reply, &without_memory))
        return garbage(op, source);
    return without_memory ? no_memory(op, source) : true;
}

/* The value and its PTTL, of one command. */
static bool take_asked(struct redis_op *op, const redisReply *reply,
                       const struct reply_source *source)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2)
        return garbage(op, source);
    return take_value(op, reply->element[0], source) &&
           take_integer(op, reply->element[1], &op->pttl_ms, -2, INT64_MAX, source);
}

/* -- Pages --------------------------------------------------------------------------------------- */

bool reply_is_key(const redisReply *key, const struct command_prefix *prefix)
{
    return key->type == REDIS_REPLY_STRING && (size_t)key->len >= prefix->length &&
           (prefix->length == 0 || memcmp(key->str, prefix->text, prefix->length) == 0);
}

/* Of the reserved names all go with clear, and a glob is none of their business. */
static bool is_listed(const struct redis_op *op, const struct command_prefix *prefix,
                      const redisReply *key)
{
    return reply_is_key(key, prefix) &&
           (((op->kind == REDIS_SCAN_UNLINK || op->kind == REDIS_SCAN_ALL) && !op->key) ||
            !reserved_is(key->str + prefix->length, (size_t)key->len - prefix->length));
}

static bool is_cursor(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING && reply->len > 0 && reply->len <= CURSOR_DIGITS &&
           strspn(reply->str, "0123456789") == (size_t)reply->len;
}

static bool is_page(const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || !is_cursor(reply->element[0]) ||
        reply->element[1]->type != REDIS_REPLY_ARRAY)
        return false;
    for (size_t i = 0; i < reply->element[1]->elements; i++) {
        if (reply->element[1]->element[i]->type != REDIS_REPLY_STRING)
            return false;
    }
    return true;
}

static bool take_page(struct redis_op *op, const redisReply *reply,
                      const struct command_prefix *prefix, const struct reply_source *source)
{
    const redisReply *cursor, *keys;
    size_t size;
    char *to;

    if (!is_page(reply))
        return garbage(op, source);
    cursor = reply->element[0];
    keys = reply->element[1];
    size = PAGE_LENGTH_BYTES + (size_t)cursor->len;
    for (size_t i = 0; i < keys->elements; i++) {
        if (is_listed(op, prefix, keys->element[i]))
            size += PAGE_LENGTH_BYTES + (size_t)keys->element[i]->len - prefix->length;
    }
    op->reply = alloc_bytes(size);
    if (!op->reply)
        return no_memory(op, source);
    op->reply_length = size;
    to = page_put(op->reply, cursor->str, (size_t)cursor->len);
    op->reply_count = 1;
    for (size_t i = 0; i < keys->elements; i++) {
        const redisReply *key = keys->element[i];

        if (!is_listed(op, prefix, key))
            continue;
        to = page_put(to, key->str + prefix->length, (size_t)key->len - prefix->length);
        op->reply_count++;
    }
    return true;
}

/* -- All of them --------------------------------------------------------------------------------- */

bool reply_take(struct redis_op *op, enum reply_part part, const redisReply *reply,
                const struct command_prefix *prefix, const struct reply_source *source)
{
    /* Of two replies the first that says no has the last word. */
    if (op->status == REDIS_REFUSED || part == REPLY_IGNORED)
        return true;
    if (reply->type == REDIS_REPLY_ERROR)
        return refused(op, reply, source);
    if (part == REPLY_ROLE)
        return replication_take_role(op, reply) ? true : garbage(op, source);
    if (part == REPLY_TAGGED)
        return take_script(op, reply, source, tagged_take);
    if (part == REPLY_UNLINK)
        return take_integer(op, reply, &op->integer, 0, INT64_MAX, source);
    if (part == REPLY_PTTL)
        return take_integer(op, reply, &op->pttl_ms, -2, INT64_MAX, source);
    switch (op->kind) {
    case REDIS_GET:
    case REDIS_REPLICA_GET:
        return take_value(op, reply, source);
    case REDIS_EXISTS:
    case REDIS_DELETE:
    case REDIS_EXPIRE:
    case REDIS_UNLOCK:
        return take_integer(op, reply, &op->integer, 0, 1, source);
    case REDIS_LOCK:
        return take_script(op, reply, source, fleet_take);
    case REDIS_PTTL:
        return take_integer(op, reply, &op->pttl_ms, -2, INT64_MAX, source);
    case REDIS_INVALIDATE_TAG:
    case REDIS_PUBLISH:
        return take_integer(op, reply, &op->integer, 0, INT64_MAX, source);
    case REDIS_SET:
        return take_ok(op, reply, source);
    case REDIS_ADD:
    case REDIS_REPLACE:
        return take_done(op, reply, source);
    case REDIS_INCR:
        return take_number(op, reply, source);
    case REDIS_SCAN:
    case REDIS_SCAN_UNLINK:
    case REDIS_SCAN_ALL:
        return take_page(op, reply, prefix, source);
    case REDIS_UNLINK:
        return take_integer(op, reply, &op->integer, 0, 2, source);
    case REDIS_ASKED_GET:
        return take_asked(op, reply, source);
    case REDIS_ASKED_EXPIRE:
        return take_integer(op, reply, &op->integer, 0, 1, source);
    case REDIS_CLUSTER_MAP:
    case REDIS_CLUSTER_CHECK:
    case REDIS_ROLE:
        return take_script(op, reply, source, slot_map_take);
    case REDIS_REPLICATION:
        return replication_take(op, reply) ? true : untold(op, source);
    }
    return garbage(op, source);
}

uint64_t reply_server(const redisReply *reply)
{
    static const char name[] = "\nrun_id:";
    const char *at;
    size_t length;

    if (reply->type != REDIS_REPLY_STRING)
        return 0;
    at = memmem(reply->str, (size_t)reply->len, name, sizeof(name) - 1);
    if (!at)
        return 0;
    at += sizeof(name) - 1;
    length = strcspn(at, "\r\n"); /* hiredis ends it with a NUL */
    return length ? hash_bytes(at, length, 0) | 1 : 0;
}
