/*
 * cluster_replica.c: reading from a master's replica while the master is away.
 *
 * What a replica has is as old as its master's last words to it, and nobody knows how old that is: it may be older than a
 * change that we have been told of.  So its value comes with a status of its own, which is a failure to all who do
 * not know it; and that it has none says nothing: the operation fails then, as it would have without it.
 *
 * Connections to be read from are apart from those to masters, also where a node is both within a short time: a
 * master that has become a replica must not answer as if it were one.
 */
#include <stdio.h>
#include <string.h>

#include "redis/client.h"

static struct cluster_node *master_of(const struct cluster *cl, unsigned slot)
{
    return cl->owner[slot] == SLOT_MAP_NOBODY ? NULL : cl->node[cl->owner[slot]];
}

bool cluster_ask_replica(struct cluster_node *master, struct redis_op *op, int64_t now_ms)
{
    struct cluster *cl = master->cluster;
    char reason[sizeof(op->error)];
    struct cluster_node *node;

    if (!cl->client->replicas || op->kind != REDIS_GET || op->asking || !master->replica.port)
        return false;
    node = cluster_replica_at(cl, &master->replica, now_ms);
    memcpy(reason, op->error, sizeof(reason));
    op->replica = node && cluster_give(node, op, now_ms);
    if (!op->replica)
        memcpy(op->error, reason, sizeof(reason));
    return op->replica;
}

void cluster_replica_answered(struct cluster_node *node, struct redis_op *op)
{
    struct cluster *cl = node->cluster;
    struct cluster_node *master = master_of(cl, op->slot);
    bool has_value = op->status == REDIS_DONE && op->pttl_ms != -2;

    if (master)
        redis_client_state(master->client, op->error, sizeof(op->error));
    op->status = REDIS_REPLICA;
    if (has_value)
        cluster_finish(cl, op);
    else
        cluster_finish_as(cl, op, REDIS_UNSENT, op->error[0] ? NULL : "its master was away");
}
