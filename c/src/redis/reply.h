/*
 * reply.h: from what Redis answered to an operation's outcome.  Believes no type, length or count.
 */
#ifndef TANDEM_REDIS_REPLY_H
#define TANDEM_REDIS_REPLY_H

#include <hiredis/hiredis.h>

#include "redis/command.h"

/* Whom the reply is from, for sentences: the server's name, and what must not be repeated. */
struct reply_source {
    const char *server, *secret;
};

/* Takes one reply into the operation.  False when its type makes no sense; then the operation's status is
 * REDIS_GARBAGE. */
bool reply_take(struct redis_op *op, enum reply_part part, const redisReply *reply,
                const struct command_prefix *prefix, const struct reply_source *source);

/* What tells the server that answered INFO from others, until it is restarted; 0: it cannot be told. */
uint64_t reply_server(const redisReply *reply);

/* Does this reply element hold a key of ours? */
bool reply_is_key(const redisReply *key, const struct command_prefix *prefix);

#endif
