/*
 * command.h: from an operation to the commands that Redis gets, as hiredis formats them.
 */
#ifndef TANDEM_REDIS_COMMAND_H
#define TANDEM_REDIS_COMMAND_H

#include <hiredis/hiredis.h>

#include "redis/redis.h"

enum { COMMAND_SCAN_COUNT = 500 };

/* After the prefix: the channel on which a cache says what tracking does not. */
#define COMMAND_CHANNEL "#tandem:changed"

/* What goes before every key, and the same as a glob that matches just itself. */
struct command_prefix {
    const char *text;
    size_t length;
    const char *glob;
    size_t glob_length;
};

/* Appends the commands of an operation to what the context will send.  Returns how many replies they
 * get, or 0 when there is no memory. */
unsigned command_append(redisContext *context, const struct command_prefix *prefix,
                        const struct redis_op *op);

/* Appends one UNLINK of all the keys in an array reply of a SCAN's second part; only those that begin
 * with the prefix.  1, 0 when there is no such key, -1 when there is no memory. */
int command_append_unlink(redisContext *context, const struct command_prefix *prefix,
                          const redisReply *keys);

/* Does this reply element hold a key of ours? */
int command_is_ours(const struct command_prefix *prefix, const redisReply *key);

#endif
