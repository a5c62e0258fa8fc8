/*
 * cluster_cover.c: the tracking links of all masters, told upward as one link.
 *
 * It is live while all of them are; it has reported as far as the one that has reported least.  And a master's report
 * counts only as far as it has said since that it is one, in a cluster that is well, of no later epoch than the map's:
 * one that has been replaced, or is cut off, may not know that others have its slots now.
 */
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "redis/client.h"

/* -- Which servers they are ------------------------------------------------------------------------ */

/* Where nothing else tells: by its address. */
static uint64_t server_of(const struct cluster_node *node, uint64_t server)
{
    char text[sizeof(node->client->url.host) + 10];

    if (server)
        return server;
    url_node(node->client->url.host, node->client->url.port, text, sizeof(text));
    return hash_bytes(text, strlen(text), 0) | 1;
}

/* All masters together, by one of their servers each: the same whoever adds them up. */
static uint64_t sum_of(const struct cluster *cl, bool links)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < cl->count; i++)
        if (cluster_is_master(cl->node[i]))
            sum += links ? server_of(cl->node[i], cl->node[i]->client->link.server)
                         : cl->node[i]->server;
    return sum | 1;
}

uint64_t cluster_cover_server(struct cluster_node *node, uint64_t server)
{
    if (!server && !atomic_load_explicit(&node->client->identify, memory_order_relaxed))
        return 0;
    node->server = server_of(node, server);
    return cluster_is_master(node) ? node->cluster->server : node->server;
}

static void identify(struct cluster *cl)
{
    for (unsigned i = 0; i < cl->count; i++)
        if (cl->node[i] && cl->node[i]->client->phase == CLIENT_UP)
            cl->node[i]->server = server_of(cl->node[i], cl->node[i]->client->server_id);
    cl->server = sum_of(cl, false);
}

/* -- What links report ----------------------------------------------------------------------------- */

static void say(struct cluster *cl, enum redis_link_event event, int64_t at_ms, const char *why)
{
    cl->covering = event == REDIS_LINK_LIVE || event == REDIS_LINK_ALIVE;
    cl->client->hooks.link(cl->client->hooks.context, event, at_ms, why);
}

void cluster_cover_link(struct cluster_node *node, enum redis_link_event event, int64_t at_ms,
                        const char *why)
{
    node->cluster->soon = true;
    switch (event) {
    case REDIS_LINK_LIVE:
        node->since_ms = at_ms;
        node->alive_ms = 0;
        break;
    case REDIS_LINK_ALIVE:
        node->alive_ms = at_ms;
        break;
    case REDIS_LINK_LOST:
    case REDIS_LINK_REFUSED:
        node->since_ms = 0;
        node->cluster->wanted = true;
        say(node->cluster, event, at_ms, why);
        break;
    }
}

/* -- Is each still a master? ----------------------------------------------------------------------- */

void cluster_cover_checked(struct cluster_node *node, const struct redis_op *op)
{
    struct cluster *cl = node->cluster;

    node->checking = false;
    if (op->status == REDIS_DONE && op->number != 0 && (uint64_t)op->integer <= cl->epoch)
        node->checked_ms = op->sent_ms;
    else
        cl->wanted = true;
    cl->soon = true;
}

/* Behind each heartbeat of its link. */
static void check(struct cluster_node *node, int64_t now_ms)
{
    const struct link *link = &node->client->link;
    struct redis_op *op;

    if (node->checking || link->beat_sent_ms <= node->check_sent_ms)
        return;
    op = cluster_op(REDIS_CLUSTER_CHECK, now_ms + node->client->timeout_ms);
    node->checking = op && cluster_give(node, op, now_ms);
    if (node->checking)
        node->check_sent_ms = now_ms;
    else
        redis_op_free(op);
}

/* -- All as one ------------------------------------------------------------------------------------ */

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Has each master its link?  From when on all have reported, and up to when. */
static bool is_whole(const struct cluster *cl, int64_t *since_ms, int64_t *alive_ms)
{
    bool whole = cl->known;

    *since_ms = 0;
    *alive_ms = INT64_MAX;
    for (unsigned i = 0; i < cl->count && whole; i++) {
        const struct cluster_node *node = cl->node[i];

        if (!cluster_is_master(node))
            continue;
        whole = node->since_ms != 0;
        *since_ms = node->since_ms > *since_ms ? node->since_ms : *since_ms;
        *alive_ms = least(*alive_ms, least(node->alive_ms, node->checked_ms));
    }
    return whole && *since_ms;
}

static void want_links(struct cluster *cl, int64_t now_ms)
{
    const struct redis_client *c = cl->client;

    for (unsigned i = 0; i < cl->count; i++) {
        struct cluster_node *node = cl->node[i];
        bool wanted;

        if (!node)
            continue;
        wanted = c->link_wanted && cluster_is_master(node);
        cl->soon = cl->soon || wanted != node->client->link_wanted ||
                   node->client->link_config.beat_ms != c->link_config.beat_ms;
        redis_want_link(node->client, wanted, c->link_config.beat_ms);
        if (wanted)
            check(node, now_ms);
        else
            node->since_ms = 0;
    }
}

void cluster_cover_round(struct cluster *cl, int64_t now_ms)
{
    int64_t since_ms, alive_ms;
    bool whole;

    identify(cl);
    want_links(cl, now_ms);
    whole = is_whole(cl, &since_ms, &alive_ms);
    if (!cl->client->link_wanted) {
        cl->covering = false;
    } else if (whole && !cl->covering) {
        cl->alive_ms = 0;
        cl->client->link.server = sum_of(cl, true);
        say(cl, REDIS_LINK_LIVE, since_ms, NULL);
    } else if (!whole && cl->covering) {
        say(cl, REDIS_LINK_LOST, now_ms, "a node of the cluster has no tracking link yet");
    }
    if (cl->covering && alive_ms > cl->alive_ms && alive_ms >= since_ms) {
        cl->alive_ms = alive_ms;
        say(cl, REDIS_LINK_ALIVE, alive_ms, NULL);
    }
}
