/*
 * replication.h: how far a server's replication has come, as it says itself.  Pure.
 *
 * A history is what a master and those who follow it have in common; how much of it a server has is told by an offset.
 * So of two servers of one history the one with the greater offset has all that the other had when it said so.
 */
#ifndef TANDEM_REDIS_REPLICATION_H
#define TANDEM_REDIS_REPLICATION_H

#include <hiredis/hiredis.h>

#include "redis/redis.h"

/* Takes the reply of a REDIS_REPLICATION: history is never 0, integer the offset (-1: of a replica that does not follow its
 * master now), well: it is a master.  False: it does not say so. */
bool replication_take(struct redis_op *op, const redisReply *reply);

/* Takes what ROLE says: integer is the offset of a replica, or -1.  False: it makes no sense. */
bool replication_take_role(struct redis_op *op, const redisReply *reply);

#endif
