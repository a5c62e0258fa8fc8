/*
 * cluster_replica.c: reading from a master's replica.
 *
 * Where it is preferred: it is known up to when it has all that its master has (cluster_proof.c).  A key of which no change
 * has been told since then is with the replica as it is with the master, and what it answers is as good, of that time.  All
 * others, and what the replica does not have or does not answer, the master is asked.  A replica may lose what it had, if
 * it is to copy its master once more: so it says how far it is in front of each answer.
 *
 * While its master is away: what a replica has is as old as its master's last words to it, and nobody knows how old that
 * is: it may be older than a change that we have been told of.  So its value comes with a status of its own, which is a
 * failure to all who do not know it; and that it has none says nothing: the operation fails then, as it would have
 * without it.
 *
 * Connections to be read from are apart from those to masters, also where a node is both within a short time: a
 * master that has become a replica must not answer as if it were one.
 */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "redis/client.h"

enum { PROVEN_MS = 3000 /* one that has come no further for so long hangs, or is far behind */ };

static void finish_read(struct cluster *cl, struct redis_op *op)
{
    cl->client->hooks.count(cl->client->hooks.context, REDIS_COUNT_REPLICA_READS, 1);
    cluster_finish(cl, op);
}

void cluster_replica_refused(struct cluster *cl, const struct redis_op *op)
{
    char reason[sizeof(op->error) + 40];

    if (!strstr(op->error, ": NOPERM ") && op->kind != REDIS_REPLICATION)
        return;
    if (strstr(op->error, ": LOADING "))
        return;
    snprintf(reason, sizeof(reason), "replicas are not read from: %s", op->error);
    client_set_trouble(cl->client, reason);
}

/* -- Before the master ----------------------------------------------------------------------------- */

/* Is what the replica has of that key as good as what its master has? */
static bool is_as_good(struct cluster_node *master, const struct redis_op *op, int64_t now_ms)
{
    const struct cluster *cl = master->cluster;
    const struct redis_hooks *hooks = &cl->client->hooks;
    int64_t as_of_ms = master->proof.as_of_ms;

    return as_of_ms > cl->changed_ms && now_ms - as_of_ms <= PROVEN_MS &&
           cl->mapped[op->slot] == master->number && hooks->unchanged &&
           hooks->unchanged(hooks->context, op, as_of_ms,
                            cluster_cover_server(master, op->slot, 0));
}

bool cluster_prefer_replica(struct cluster_node *master, struct redis_op *op, int64_t now_ms)
{
    struct cluster *cl = master->cluster;
    struct cluster_node *node;

    if (cl->client->replicas != REDIS_REPLICAS_PREFER || op->kind != REDIS_GET || op->asking ||
        !master->replica.port)
        return false;
    cluster_proof_want(master, now_ms);
    /* Behind a write that is under way the read has to come after it. */
    if (cl->writing[op->slot] || !is_as_good(master, op, now_ms))
        return false;
    node = cluster_replica_at(cl, &master->replica, now_ms);
    op->kind = REDIS_REPLICA_GET;
    op->replica = node && cluster_give(node, op, now_ms) ? CLUSTER_FIRST : CLUSTER_MASTER;
    if (op->replica == CLUSTER_MASTER) {
        op->kind = REDIS_GET;
        return false;
    }
    op->first.as_of_ms = master->proof.as_of_ms;
    op->first.offset = master->proof.offset;
    op->first.server = master->proof.server;
    /* A replica that hangs shall leave its master the time to answer. */
    op->first.deadline_ms = op->deadline_ms;
    op->deadline_ms = now_ms + (op->deadline_ms - now_ms) / 2;
    return true;
}

/* What that says of all other keys. */
static void judge(struct cluster_node *master, const struct redis_op *op, bool has_all,
                  int64_t now_ms)
{
    switch (op->status) {
    case REDIS_DONE:
    case REDIS_ABSENT:
        if (!has_all)
            cluster_proof_end(master);
        break;
    case REDIS_REFUSED:
        cluster_replica_refused(master->cluster, op);
        if (!strstr(op->error, ": WRONGTYPE ") && !strstr(op->error, ": MOVED ") &&
            !strstr(op->error, ": ASK "))
            cluster_proof_end(master);
        break;
    default:
        cluster_proof_shun(master, now_ms);
        break;
    }
}

static void first_answered(struct cluster *cl, struct redis_op *op, int64_t now_ms)
{
    struct cluster_node *master = cluster_owner(cl, op->slot);
    bool has_all = op->server == op->first.server && op->integer >= op->first.offset;

    op->kind = REDIS_GET;
    op->deadline_ms = op->first.deadline_ms;
    if (master)
        judge(master, op, has_all, now_ms);
    if (master && has_all && op->status == REDIS_DONE && op->pttl_ms != -2) {
        if (op->pttl_ms > 0)
            op->pttl_ms += op->sent_ms - op->first.as_of_ms;
        op->sent_ms = op->first.as_of_ms;
        op->server = cluster_cover_server(master, op->slot, 0);
        finish_read(cl, op);
        return;
    }
    alloc_free(op->reply);
    op->reply = NULL;
    op->by_replica = false;
    cluster_arrive(cl, op, now_ms);
}

/* -- In the master's place ------------------------------------------------------------------------- */

bool cluster_ask_replica(struct cluster_node *master, struct redis_op *op, int64_t now_ms)
{
    struct cluster *cl = master->cluster;
    char reason[sizeof(op->error)];
    struct cluster_node *node;

    if (cl->client->replicas == REDIS_REPLICAS_NEVER || op->kind != REDIS_GET || !op->or_stale ||
        op->asking || !master->replica.port)
        return false;
    node = cluster_replica_at(cl, &master->replica, now_ms);
    memcpy(reason, op->error, sizeof(reason));
    op->replica = node && cluster_give(node, op, now_ms) ? CLUSTER_INSTEAD : CLUSTER_MASTER;
    if (op->replica == CLUSTER_MASTER)
        memcpy(op->error, reason, sizeof(reason));
    return op->replica != CLUSTER_MASTER;
}

static void instead_answered(struct cluster *cl, struct redis_op *op)
{
    struct cluster_node *master = cluster_owner(cl, op->slot);
    bool has_value = op->status == REDIS_DONE && op->pttl_ms != -2;

    if (master)
        redis_client_state(master->client, op->error, sizeof(op->error));
    op->status = REDIS_REPLICA;
    if (has_value)
        finish_read(cl, op);
    else
        cluster_finish_as(cl, op, REDIS_UNSENT, op->error[0] ? NULL : "its master was away");
}

void cluster_replica_answered(struct cluster_node *node, struct redis_op *op, int64_t now_ms)
{
    if (op->replica == CLUSTER_INSTEAD)
        instead_answered(node->cluster, op);
    else
        first_answered(node->cluster, op, now_ms);
}
