#include "redis/reply.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

static bool garbage(struct redis_op *op, const char *server)
{
    op->status = REDIS_GARBAGE;
    snprintf(op->error, sizeof(op->error), "%s: the answer makes no sense", server);
    return false;
}

static bool refused(struct redis_op *op, const redisReply *reply, const char *server)
{
    int length = reply->len > 120 ? 120 : (int)reply->len;

    op->status = REDIS_REFUSED;
    snprintf(op->error, sizeof(op->error), "%s: %.*s", server, length, reply->str);
    return true;
}

static bool no_memory(struct redis_op *op)
{
    op->status = REDIS_REFUSED;
    snprintf(op->error, sizeof(op->error), "no memory for the answer");
    return true;
}

static bool take_value(struct redis_op *op, const redisReply *reply, const char *server)
{
    if (reply->type == REDIS_REPLY_NIL) {
        op->status = REDIS_ABSENT;
        return true;
    }
    if (reply->type != REDIS_REPLY_STRING)
        return garbage(op, server);
    op->reply_length = (size_t)reply->len;
    op->reply = alloc_copy(reply->str, op->reply_length);
    return op->reply ? true : no_memory(op);
}

static bool take_integer(struct redis_op *op, const redisReply *reply, int64_t *to, int64_t least,
                         const char *server)
{
    if (reply->type != REDIS_REPLY_INTEGER || reply->integer < least)
        return garbage(op, server);
    *to = reply->integer;
    return true;
}

static char *put_item(char *to, const char *text, size_t length)
{
    uint32_t n = (uint32_t)length;

    memcpy(to, &n, sizeof(n));
    memcpy(to + sizeof(n), text, length);
    return to + sizeof(n) + length;
}

/* The reserved names hold what the library keeps beside the values; they go with clear, and are nobody's
 * business else. */
static bool is_reserved(const char *key, size_t length)
{
    return length >= 8 && memcmp(key, "#tandem:", 8) == 0;
}

static bool is_listed(const struct redis_op *op, const struct command_prefix *prefix,
                      const redisReply *key)
{
    return command_is_ours(prefix, key) &&
           (op->kind == REDIS_SCAN_UNLINK ||
            !is_reserved(key->str + prefix->length, (size_t)key->len - prefix->length));
}

static bool is_page(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
           reply->element[0]->type == REDIS_REPLY_STRING &&
           reply->element[1]->type == REDIS_REPLY_ARRAY;
}

static bool take_page(struct redis_op *op, const redisReply *reply,
                      const struct command_prefix *prefix, const char *server)
{
    const redisReply *cursor, *keys;
    size_t size;
    char *to;

    if (!is_page(reply))
        return garbage(op, server);
    cursor = reply->element[0];
    keys = reply->element[1];
    size = 4 + (size_t)cursor->len;
    for (size_t i = 0; i < keys->elements; i++)
        if (is_listed(op, prefix, keys->element[i]))
            size += 4 + (size_t)keys->element[i]->len - prefix->length;
    op->reply = alloc_bytes(size);
    if (!op->reply)
        return no_memory(op);
    op->reply_length = size;
    to = put_item(op->reply, cursor->str, (size_t)cursor->len);
    op->reply_count = 1;
    for (size_t i = 0; i < keys->elements; i++) {
        const redisReply *key = keys->element[i];

        if (!is_listed(op, prefix, key))
            continue;
        to = put_item(to, key->str + prefix->length, (size_t)key->len - prefix->length);
        op->reply_count++;
    }
    return true;
}

static bool take_ok(struct redis_op *op, const redisReply *reply, const char *server)
{
    if (reply->type != REDIS_REPLY_STATUS || strcmp(reply->str, "OK") != 0)
        return garbage(op, server);
    return true;
}

bool reply_take(struct redis_op *op, enum reply_part part, const redisReply *reply,
                const struct command_prefix *prefix, const char *server)
{
    /* Of two replies the first that says no has the last word. */
    if (op->status == REDIS_REFUSED)
        return true;
    if (reply->type == REDIS_REPLY_ERROR)
        return refused(op, reply, server);
    if (part == REPLY_PTTL)
        return op->status == REDIS_ABSENT || take_integer(op, reply, &op->pttl_ms, -2, server);
    if (part == REPLY_UNLINK)
        return take_integer(op, reply, &op->integer, 0, server);
    switch (op->kind) {
    case REDIS_GET:
        return take_value(op, reply, server);
    case REDIS_EXISTS:
    case REDIS_DELETE:
    case REDIS_PUBLISH:
        return take_integer(op, reply, &op->integer, 0, server);
    case REDIS_PTTL:
        return take_integer(op, reply, &op->pttl_ms, -2, server);
    case REDIS_SET:
        return take_ok(op, reply, server);
    case REDIS_SCAN:
    case REDIS_SCAN_UNLINK:
        return take_page(op, reply, prefix, server);
    }
    return garbage(op, server);
}
