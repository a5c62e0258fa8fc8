/*
 * reply.h: from what Redis answered to an operation's outcome.  Believes no type, length or count.
 */
#ifndef TANDEM_REDIS_REPLY_H
#define TANDEM_REDIS_REPLY_H

#include "redis/command.h"

/* Which of an operation's replies this is. */
enum reply_part { REPLY_FIRST, REPLY_PTTL, REPLY_UNLINK };

/* Takes one reply into the operation.  False when its type makes no sense; then the operation's status is
 * REDIS_GARBAGE.  server goes into error sentences. */
bool reply_take(struct redis_op *op, enum reply_part part, const redisReply *reply,
                const struct command_prefix *prefix, const char *server);

#endif
