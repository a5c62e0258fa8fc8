/*
 * cluster_proof.c: up to when a master's replica has all that the master has.
 *
 * While the replica is read from the master is asked once a second how far its replication is, and then the replica.  What
 * the master had said the replica has, once that has come so far, in the same history.  Since it may be a little behind, the
 * master's last few answers are kept.
 */
#include <string.h>

#include "redis/client.h"

enum {
    EVERY_MS = 1000,
    SHUN_MS = 3000 /* a replica that does not answer is left alone */
};

void cluster_proof_end(struct cluster_node *master)
{
    master->proof.as_of_ms = 0;
}

void cluster_proof_shun(struct cluster_node *master, int64_t now_ms)
{
    cluster_proof_end(master);
    master->proof.next_ms = now_ms + SHUN_MS;
}

/* Asks a node how far its replication is, for the proof of that master. */
static bool ask_how_far(struct cluster_node *node, const struct cluster_node *master,
                        int64_t now_ms)
{
    struct redis_op *op = cluster_op(REDIS_REPLICATION, now_ms + node->client->timeout_ms);

    if (op)
        op->node = (uint16_t)master->number;
    if (op && cluster_give(node, op, now_ms))
        return true;
    redis_op_free(op);
    return false;
}

void cluster_proof_want(struct cluster_node *master, int64_t now_ms)
{
    struct cluster_proof *proof = &master->proof;

    if (proof->under_way || now_ms < proof->next_ms)
        return;
    proof->next_ms = now_ms + EVERY_MS;
    proof->under_way = ask_how_far(master, master, now_ms);
}

/* True: the replica has been asked. */
static bool master_told(struct cluster_node *master, const struct redis_op *op, int64_t now_ms)
{
    struct cluster_proof *proof = &master->proof;
    struct cluster_node *replica;

    if (op->status != REDIS_DONE || !op->well || !master->replica.port) {
        cluster_proof_end(master);
        return false;
    }
    memmove(proof->sample + 1, proof->sample, sizeof(proof->sample) - sizeof(proof->sample[0]));
    proof->sample[0] = (struct cluster_sample){op->sent_ms, op->integer, op->history};
    replica = cluster_replica_at(master->cluster, &master->replica, now_ms);
    return replica && ask_how_far(replica, master, now_ms);
}

static void replica_told(struct cluster_node *master, const struct redis_op *op)
{
    struct cluster_proof *proof = &master->proof;
    int samples = (int)(sizeof(proof->sample) / sizeof(proof->sample[0])), i = 0;

    cluster_proof_end(master);
    if (op->status != REDIS_DONE || op->well || !op->server)
        return;
    while (i < samples &&
           (proof->sample[i].history != op->history || proof->sample[i].offset > op->integer))
        i++;
    if (i == samples)
        return;
    proof->as_of_ms = proof->sample[i].ms;
    proof->offset = proof->sample[i].offset;
    proof->server = op->server;
}

void cluster_proof_told(struct cluster_node *node, const struct redis_op *op, int64_t now_ms)
{
    struct cluster_node *master = node->cluster->node[op->node];

    if (op->status == REDIS_REFUSED)
        cluster_replica_refused(node->cluster, op);
    if (!master || !master->proof.under_way)
        return;
    master->proof.under_way = node == master && master_told(master, op, now_ms);
    if (node->is_replica)
        replica_told(master, op);
}
