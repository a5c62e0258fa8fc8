/*
 * fleet.h: what Redis is told where one host of many is to make a value.  Pure.
 *
 * Under the prefix, beside the values:
 *
 *   #tandem:lock:KEY   'h' and the token of who holds the lock, for as long as it may; or, for a moment after
 *                      it was given up with a message, 'e', that token and the message
 *
 * A message is only for those who found that very holder and have waited since.  Tokens are drawn at random
 * and never used again, so nobody gives up what another has got meanwhile.  The idea of it is that of "SET key
 * token NX PX" and of a script which deletes what has that token (Redis's documentation of SET, "Patterns");
 * it is one script because taking it looks at the value, too.
 */
#ifndef TANDEM_REDIS_FLEET_H
#define TANDEM_REDIS_FLEET_H

#include <hiredis/hiredis.h>

#include "redis/command.h"

/* The command of a REDIS_LOCK or REDIS_UNLOCK. */
void fleet_encode(struct bytes *to, const struct command_prefix *prefix, const struct redis_op *op);

/* Takes the answer to a REDIS_LOCK.  False: it makes no sense.  no_memory: for a copy of it. */
bool fleet_take(struct redis_op *op, const redisReply *reply, bool *no_memory);

#endif
