#include "redis/replication.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

/* What stands behind a name at the beginning of a line, and how long that is.  NULL: there is no such line. */
static const char *find(const redisReply *info, const char *name, size_t *length)
{
    const char *at = info->str; /* hiredis ends it with a NUL */

    while ((at = strstr(at, name)) && at != info->str && at[-1] != '\n')
        at++;
    if (!at)
        return NULL;
    at += strlen(name);
    *length = strcspn(at, "\r\n");
    return at;
}

/* A number that is all that stands there. */
static bool find_offset(const redisReply *info, const char *name, int64_t *offset)
{
    size_t length;
    const char *at = find(info, name, &length);
    char *end;

    if (!at || *at < '0' || *at > '9')
        return false;
    errno = 0;
    *offset = strtoll(at, &end, 10);
    return errno == 0 && end == at + length;
}

/* A replica, its master: does it at this moment? */
static bool follows(const redisReply *info)
{
    size_t length;
    const char *at = find(info, "master_link_status:", &length);

    return at && length == 2 && memcmp(at, "up", 2) == 0;
}

bool replication_take(struct redis_op *op, const redisReply *reply)
{
    size_t role_length, history_length;
    const char *role, *history;

    if (reply->type != REDIS_REPLY_STRING)
        return false;
    role = find(reply, "role:", &role_length);
    history = find(reply, "master_replid:", &history_length);
    if (!role || !history || history_length == 0)
        return false;
    op->well = role_length == 6 && memcmp(role, "master", 6) == 0;
    op->history = hash_bytes(history, history_length, 0) | 1;
    op->integer = -1;
    if (!op->well && !follows(reply))
        return true;
    return find_offset(reply,
                       op->well ? "master_repl_offset:" : "slave_repl_offset:", &op->integer);
}

bool replication_take_role(struct redis_op *op, const redisReply *reply)
{
    op->integer = -1;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 3 ||
        reply->element[0]->type != REDIS_REPLY_STRING)
        return false;
    if (strcmp(reply->element[0]->str, "slave") != 0)
        return true;
    if (reply->elements != 5 || reply->element[4]->type != REDIS_REPLY_INTEGER)
        return false;
    op->integer = reply->element[4]->integer;
    return true;
}
