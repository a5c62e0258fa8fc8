/*
 * slot_map.h: what nodes of a cluster say of it, made into something that can be believed: no type, number or name is
 * taken without a look.  Pure.
 */
#ifndef TANDEM_REDIS_SLOT_MAP_H
#define TANDEM_REDIS_SLOT_MAP_H

#include <hiredis/hiredis.h>

#include "redis/redis.h"
#include "redis/slot.h"
#include "redis/url.h"

enum { SLOT_MAP_NODES = 256, SLOT_MAP_MEMBERS = 1024, SLOT_MAP_NOBODY = 0xffff };

/* Which nodes a cluster has, its replicas too: of so many at most, hashes of the ids that are theirs alone. */
struct slot_members {
    unsigned count;
    uint64_t id[SLOT_MAP_MEMBERS];
};

struct slot_map {
    unsigned nodes;
    struct url_seed
        node[SLOT_MAP_NODES]; /* masters; without a host: that of the node that was asked */
    struct url_seed
        replica[SLOT_MAP_NODES]; /* one of each master's; port 0: it has none that is well */
    uint16_t owner[SLOTS];       /* of a slot: which of them, or SLOT_MAP_NOBODY */
    struct slot_members members;
};

/* May both be of one cluster?  No two clusters have a node in common; where ids are not told, nobody can know. */
bool slot_members_meet(const struct slot_members *a, const struct slot_members *b);

/* Takes one of the two replies of a REDIS_CLUSTER_MAP (its reply becomes a struct slot_map, with replicas by its choice) or REDIS_CLUSTER_CHECK;
 * of both integer is the epoch that the node knows, and well what it says of the cluster; of the latter number is made 0
 * unless it is a master.  False: it makes no sense. */
bool slot_map_take(struct redis_op *op, const redisReply *reply, bool *no_memory);

#endif
