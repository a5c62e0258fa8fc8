/*
 * cluster_other.c: what to do about nodes that are of another cluster than the one that is known: a URL may name nodes
 * of two, and an address may have got another owner.
 *
 * A map is taken as the same cluster's as long as it has a node, by its id, that the last one had.  Another cluster's is
 * not: what is read and written would be somebody else's.  But the whole of a cluster may have been set up anew, at the
 * same addresses or behind the same names.  So when an attempt has asked all that there are, and none of them knows the
 * cluster any more, another is taken in its place: at once from a node that was one of its masters, which then is gone
 * for certain; from others only when nobody has been heard of for a minute, for ours may just be cut off.
 */
#include <stdio.h>
#include <string.h>

#include "redis/client.h"

enum { GONE_MS = 60000 };

static bool is_in_url(const struct cluster_node *node)
{
    const struct url *all = &node->cluster->client->url, *url = &node->client->url;

    for (int i = 0; i < all->seeds; i++)
        if (all->seed[i].port == url->port && strcmp(all->seed[i].host, url->host) == 0)
            return true;
    return false;
}

/* One of the masters that are known. */
static void name_one(const struct cluster *cl, char *text, size_t size)
{
    unsigned i = 0;

    while (i < cl->count && !cluster_is_master(cl->node[i]))
        i++;
    if (i < cl->count)
        url_node(cl->node[i]->client->url.host, cl->node[i]->client->url.port, text, size);
    else
        snprintf(text, size, "the others");
}

static bool is_gone(const struct cluster_node *node, bool last, int64_t now_ms)
{
    return last && (cluster_is_master(node) || now_ms - node->cluster->heard_ms >= GONE_MS);
}

/* Whatever is known is of no use any more, not even to compare with. */
static void replace(struct cluster *cl, const char *its)
{
    char reason[200];

    snprintf(reason, sizeof(reason),
             "the cluster that was known is gone: %.60s is a node of another, which is used from "
             "now on",
             its);
    client_set_trouble(cl->client, reason);
    cluster_invalidate(cl, NULL, 0);
    cl->epoch = cl->hash = 0;
    cl->others_told = false;
}

bool cluster_is_other(struct cluster_node *node, const struct slot_map *map, bool last,
                      int64_t now_ms, char *reason, size_t size)
{
    struct cluster *cl = node->cluster;
    char its[sizeof(node->client->url.host) + 10], ours[sizeof(its)];
    bool same = !cl->known || slot_members_meet(&cl->members, &map->members);

    url_node(node->client->url.host, node->client->url.port, its, sizeof(its));
    if (same || is_gone(node, last, now_ms)) {
        cl->heard_ms = now_ms;
        if (!same)
            replace(cl, its);
        return false;
    }
    name_one(cl, ours, sizeof(ours));
    cl->behind_other = node->number + 1; /* next time it is asked last */
    snprintf(reason, size, "%.60s is a node of another cluster than %.60s: it is not used", its,
             ours);
    if (is_in_url(node) && !cl->others_told) { /* one is enough */
        client_set_trouble(cl->client, reason);
        cl->others_told = true;
    }
    return true;
}
