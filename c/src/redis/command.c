#include "redis/command.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

static bool append(redisContext *context, int count, const char **words, const size_t *lengths)
{
    return redisAppendCommandArgv(context, count, words, lengths) == REDIS_OK;
}

/* Prefix and key, or prefix and glob, in one piece. */
static char *join(const char *prefix, size_t prefix_length, const struct redis_op *op,
                  size_t *length)
{
    bool all = op->key == NULL;
    const char *rest = all ? "*" : op->key;
    size_t rest_length = all ? 1 : op->key_length;
    char *text = alloc_bytes(prefix_length + rest_length);

    if (text) {
        memcpy(text, prefix, prefix_length);
        memcpy(text + prefix_length, rest, rest_length);
        *length = prefix_length + rest_length;
    }
    return text;
}

static bool one(redisContext *context, const char *name, const char *key, size_t key_length)
{
    const char *words[] = {name, key};
    const size_t lengths[] = {strlen(name), key_length};

    return append(context, 2, words, lengths);
}

static bool set(redisContext *context, const char *key, size_t key_length,
                const struct redis_op *op)
{
    char ttl[24];
    const char *words[] = {"SET", key, op->value ? op->value : "", "PX", ttl};
    size_t lengths[] = {3, key_length, op->value_length, 2, 0};

    lengths[4] = (size_t)snprintf(ttl, sizeof(ttl), "%lld", (long long)op->ttl_ms);
    return append(context, op->ttl_ms > 0 ? 5 : 3, words, lengths);
}

static bool scan(redisContext *context, const char *glob, size_t glob_length,
                 const struct redis_op *op)
{
    char count[16];
    const char *words[] = {"SCAN", op->value, "MATCH", glob, "COUNT", count};
    size_t lengths[] = {4, op->value_length, 5, glob_length, 5, 0};

    lengths[5] = (size_t)snprintf(count, sizeof(count), "%d", COMMAND_SCAN_COUNT);
    return append(context, 6, words, lengths);
}

static bool publish(redisContext *context, const struct command_prefix *prefix,
                    const struct redis_op *op)
{
    size_t length = prefix->length + sizeof(COMMAND_CHANNEL) - 1;
    char *channel = alloc_bytes(length);
    const char *words[] = {"PUBLISH", channel, op->key};
    const size_t lengths[] = {7, length, op->key_length};
    bool good = false;

    if (channel) {
        memcpy(channel, prefix->text, prefix->length);
        memcpy(channel + prefix->length, COMMAND_CHANNEL, sizeof(COMMAND_CHANNEL) - 1);
        good = append(context, 3, words, lengths);
    }
    alloc_free(channel);
    return good;
}

unsigned command_append(redisContext *context, const struct command_prefix *prefix,
                        const struct redis_op *op)
{
    bool scans = op->kind == REDIS_SCAN || op->kind == REDIS_SCAN_UNLINK, good = false;
    size_t length;
    char *key = scans ? join(prefix->glob, prefix->glob_length, op, &length)
                      : join(prefix->text, prefix->length, op, &length);

    if (!key)
        return 0;
    switch (op->kind) {
    case REDIS_GET:
        good = one(context, "GET", key, length) && one(context, "PTTL", key, length);
        break;
    case REDIS_EXISTS:
        good = one(context, "EXISTS", key, length);
        break;
    case REDIS_PTTL:
        good = one(context, "PTTL", key, length);
        break;
    case REDIS_SET:
        good = set(context, key, length, op);
        break;
    case REDIS_DELETE:
        good = one(context, "DEL", key, length);
        break;
    case REDIS_PUBLISH:
        good = publish(context, prefix, op);
        break;
    case REDIS_SCAN:
    case REDIS_SCAN_UNLINK:
        good = scan(context, key, length, op);
        break;
    }
    alloc_free(key);
    return !good ? 0 : op->kind == REDIS_GET ? 2 : 1;
}

int command_is_ours(const struct command_prefix *prefix, const redisReply *key)
{
    return key->type == REDIS_REPLY_STRING && (size_t)key->len >= prefix->length &&
           (prefix->length == 0 || memcmp(key->str, prefix->text, prefix->length) == 0);
}

int command_append_unlink(redisContext *context, const struct command_prefix *prefix,
                          const redisReply *keys)
{
    const char **words = alloc_bytes((keys->elements + 1) * sizeof(*words));
    size_t *lengths = alloc_bytes((keys->elements + 1) * sizeof(*lengths));
    int count = 1, rc = -1;

    if (words && lengths) {
        words[0] = "UNLINK";
        lengths[0] = 6;
        for (size_t i = 0; i < keys->elements; i++) {
            if (!command_is_ours(prefix, keys->element[i]))
                continue;
            words[count] = keys->element[i]->str;
            lengths[count++] = (size_t)keys->element[i]->len;
        }
        rc = count == 1 ? 0 : append(context, count, words, lengths) ? 1 : -1;
    }
    alloc_free(words);
    alloc_free(lengths);
    return rc;
}
