/*
 * tagged.h: what Redis is told where values may have tags.  Pure.
 *
 * Under the prefix, beside the values:
 *
 *   #tandem:tag:TAG    a tag's generation, 17 bytes: 'c' (made for a first value) or 'i' (of an invalidation),
 *                      and the server's time in microseconds.  Where there is none, nothing with this tag holds
 *   #tandem:tags:KEY   a value's tags: for each a byte with its length, its name, and the generation that it
 *                      had then; of one without tags, nothing.  Lives as long as the value, and goes with it
 *
 * A value whose tags do not all have the generation of its list does not exist, nor does one without a list,
 * for Redis may have evicted that; whoever comes by removes it.
 * All of it is done by one script, so that nobody sees a part.
 */
#ifndef TANDEM_REDIS_TAGGED_H
#define TANDEM_REDIS_TAGGED_H

#include <hiredis/hiredis.h>

#include "redis/command.h"

enum { TAGGED_SHA = 40 };

extern const char tagged_script[];

/* Is this operation the script's? */
bool tagged_is(const struct redis_op *op);

/* Its command.  What is large of it stays where it is, as with command_encode. */
void tagged_encode(struct command *command, const struct command_prefix *prefix,
                   const struct redis_op *op);

/* The lists of the keys of a page, to be removed; adds nothing and says false where there are none. */
bool tagged_encode_unlink(struct bytes *to, const struct command_prefix *prefix,
                          const struct redis_op *op);

/* Takes the answer to a read or a write of a value.  False: it makes no sense.  no_memory: for a copy of it. */
bool tagged_take(struct redis_op *op, const redisReply *reply, bool *no_memory);

#endif
