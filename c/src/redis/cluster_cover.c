/*
 * cluster_cover.c: what the tracking links of the masters cover, told upward lane by lane.
 *
 * A lane is covered while each master that has slots of it has its link, as far as the one that has reported least.  And
 * a master's report counts only as far as it has said since that it is one, and most masters that the cluster is of no
 * later epoch than the map: one that has been replaced, or is cut off, may not know that others have its slots now, but
 * those who have elected them do.  Nor does it count of one that says that the cluster is down, where most say that
 * it is not.  Once anybody tells of a later epoch none counts until the map is of that.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "redis/client.h"

/* -- Which servers they are ------------------------------------------------------------------------ */

/* As a connection has said; as the link has, or, in a process without links, the other one; where nothing tells, by
 * its address. */
static uint64_t server_of(const struct cluster_node *node, uint64_t server)
{
    char text[sizeof(node->client->url.host) + 10];

    if (!server)
        server = node->client->link.server;
    if (!server)
        server = node->client->server_id;
    if (server)
        return server;
    url_node(node->client->url.host, node->client->url.port, text, sizeof(text));
    return hash_bytes(text, strlen(text), 0) | 1;
}

/* A lane's slots one by one, or the first of them, which stands for all. */
static unsigned slots_to_look_at(const struct cluster *cl, unsigned lane)
{
    return cl->divided[lane] ? SLOTS_OF_LANE : 1;
}

/* Who has which of a lane's slots: the same whoever adds it up.  Of one master it is known better which server that
 * is. */
static uint64_t servers_of(const struct cluster *cl, unsigned lane, const struct cluster_node *one,
                           uint64_t server)
{
    const uint16_t *mapped = cl->mapped + lane * SLOTS_OF_LANE;
    uint64_t sum = 0;

    for (unsigned i = 0; i < slots_to_look_at(cl, lane); i++) {
        const struct cluster_node *node;
        uint64_t run[2] = {i, 0};

        if (i && mapped[i] == mapped[i - 1])
            continue;
        node = mapped[i] == SLOT_MAP_NOBODY ? NULL : cl->node[mapped[i]];
        if (node)
            run[1] = server_of(node, node == one ? server : 0);
        sum = hash_bytes(run, sizeof(run), sum);
    }
    return sum | 1;
}

uint64_t cluster_cover_server(struct cluster_node *node, unsigned slot, uint64_t server)
{
    const struct cluster *cl = node->cluster;

    if (!server && !atomic_load_explicit(&cl->client->identify, memory_order_relaxed))
        return 0;
    if (cl->mapped[slot] != node->number)
        return server_of(node, server);
    return servers_of(cl, slot_lane(slot), node, server);
}

/* -- The map --------------------------------------------------------------------------------------- */

/* What was read of a slot by another map may be of a node that does not have it any more. */
void cluster_cover_map(struct cluster *cl, const struct slot_map *map, const uint16_t *number)
{
    const struct redis_hooks *hooks = &cl->client->hooks;
    struct lanes moved = {{0}};

    for (unsigned slot = 0; slot < SLOTS; slot++) {
        uint16_t owner = map->owner[slot];
        unsigned lane = slot_lane(slot);

        if (owner != SLOT_MAP_NOBODY)
            owner = number[owner];
        if (cl->known && owner != cl->mapped[slot])
            lanes_add(&moved, lane);
        cl->mapped[slot] = owner;
        cl->divided[lane] =
            slot % SLOTS_OF_LANE && (cl->divided[lane] || owner != cl->mapped[slot - 1]);
    }
    cl->cover_changed = true;
    if (lanes_any(&moved))
        hooks->moved(hooks->context, &moved);
}

/* -- What links report ----------------------------------------------------------------------------- */

static void say(struct cluster *cl, enum redis_link_event event, int64_t at_ms, const char *why)
{
    if (event != REDIS_LINK_PARTLY)
        cl->covering = event == REDIS_LINK_LIVE || event == REDIS_LINK_ALIVE;
    cl->client->hooks.link(cl->client->hooks.context, event, at_ms, why);
}

static const struct cluster_node *any_link(const struct cluster *cl)
{
    for (unsigned i = 0; i < cl->count; i++)
        if (cluster_is_master(cl->node[i]) && cl->node[i]->since_ms)
            return cl->node[i];
    return NULL;
}

void cluster_cover_link(struct cluster_node *node, enum redis_link_event event, int64_t at_ms,
                        const char *why)
{
    struct cluster *cl = node->cluster;

    cl->soon = cl->cover_changed = true;
    switch (event) {
    case REDIS_LINK_LIVE:
        node->since_ms = at_ms;
        node->alive_ms = 0;
        break;
    case REDIS_LINK_ALIVE:
        node->alive_ms = at_ms;
        break;
    case REDIS_LINK_LOST:
        node->since_ms = 0;
        cl->wanted = true;
        say(cl, any_link(cl) ? REDIS_LINK_PARTLY : REDIS_LINK_LOST, at_ms, why);
        break;
    default: /* one that refuses is enough: it is meant so, or a mistake to be mended */
        node->since_ms = 0;
        cl->wanted = true;
        say(cl, event, at_ms, why);
    }
}

/* -- Is each still a master? ----------------------------------------------------------------------- */

void cluster_cover_checked(struct cluster_node *node, const struct redis_op *op)
{
    struct cluster *cl = node->cluster;

    node->checking = false;
    node->well = op->status == REDIS_DONE && (op->well || op->kind == REDIS_ROLE);
    if (op->status == REDIS_DONE)
        node->told = (uint64_t)op->integer;
    if (op->status == REDIS_DONE && op->number != 0 && node->told <= cl->epoch)
        node->checked_ms = op->sent_ms;
    else
        cl->wanted = true;
    if (op->kind == REDIS_ROLE && op->status == REDIS_DONE && op->number == 0)
        node->client->demoted = true;
    cl->soon = cl->cover_changed = true;
}

/* Behind each heartbeat of its link. */
static void check(struct cluster_node *node, int64_t now_ms)
{
    const struct link *link = &node->client->link;
    struct redis_op *op;

    if (node->checking || link->beat_sent_ms <= node->check_sent_ms)
        return;
    op = cluster_op(node->cluster->client->topology ? REDIS_ROLE : REDIS_CLUSTER_CHECK,
                    now_ms + node->client->timeout_ms);
    node->checking = op && cluster_give(node, op, now_ms);
    if (node->checking)
        node->check_sent_ms = now_ms;
    else
        redis_op_free(op);
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
        if (wanted) {
            check(node, now_ms);
        } else if (node->since_ms) {
            node->since_ms = 0;
            cl->cover_changed = true;
        }
    }
}

/* -- What that covers ------------------------------------------------------------------------------ */

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int later_first(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x < y) - (x > y);
}

/* Up to when most masters have said that the map is of no older epoch than the cluster.  0: somebody has said that it
 * is. */
static int64_t agreed(const struct cluster *cl)
{
    int64_t checked_ms[CLUSTER_NODES];
    unsigned masters = 0;

    for (unsigned i = 0; i < cl->count; i++) {
        const struct cluster_node *node = cl->node[i];

        if (!cluster_is_master(node))
            continue;
        if (node->told > cl->epoch)
            return 0;
        checked_ms[masters++] = node->checked_ms;
    }
    if (!masters)
        return 0;
    qsort(checked_ms, masters, sizeof(*checked_ms), later_first);
    return checked_ms[masters / 2];
}

/* One that says that the cluster is down, where most say that it is not, is cut off from them: they may elect another,
 * or have done so.  (Where a slot has no node all say so, and that changes nothing of the others' slots.) */
static void find_cut_off(struct cluster *cl)
{
    unsigned masters = 0, well = 0;

    for (unsigned i = 0; i < cl->count; i++) {
        const struct cluster_node *node = cl->node[i];

        masters += cluster_is_master(node);
        well += cluster_is_master(node) && node->well && node->since_ms; /* asked while it lives */
    }
    for (unsigned i = 0; i < cl->count; i++)
        if (cl->node[i])
            cl->node[i]->cut_off = !cl->node[i]->well && 2 * well > masters;
}

/* Adds what a master's link covers. */
static void join(struct redis_cover *cover, const struct cluster_node *node)
{
    if (node->cut_off)
        cover->alive_ms = 0;
    if (!node->since_ms || !cover->since_ms)
        cover->since_ms = 0;
    else if (node->since_ms > cover->since_ms)
        cover->since_ms = node->since_ms;
    cover->alive_ms = least(cover->alive_ms, least(node->alive_ms, node->checked_ms));
}

/* Of slots that nobody has: what all cover. */
static struct redis_cover cover_of_all(const struct cluster *cl, int64_t agreed_ms)
{
    struct redis_cover cover = {1, agreed_ms, 0};

    for (unsigned i = 0; i < cl->count; i++)
        if (cluster_is_master(cl->node[i]))
            join(&cover, cl->node[i]);
    return cover;
}

static struct redis_cover cover_of(const struct cluster *cl, unsigned lane,
                                   const struct redis_cover *of_all, int64_t agreed_ms)
{
    const uint16_t *mapped = cl->mapped + lane * SLOTS_OF_LANE;
    struct redis_cover cover = {1, agreed_ms, 0};
    bool any = false;

    for (unsigned i = 0; i < slots_to_look_at(cl, lane); i++) {
        if (mapped[i] == SLOT_MAP_NOBODY)
            continue;
        join(&cover, cl->node[mapped[i]]);
        any = true;
    }
    if (!any)
        cover = *of_all;
    cover.server = servers_of(cl, lane, NULL, 0);
    return cover;
}

static void count(struct cluster *cl)
{
    int64_t agreed_ms = agreed(cl);
    struct redis_cover of_all;

    find_cut_off(cl);
    of_all = cover_of_all(cl, agreed_ms);
    for (unsigned lane = 0; lane < LANES; lane++)
        cl->cover[lane] = cover_of(cl, lane, &of_all, agreed_ms);
}

void cluster_cover_round(struct cluster *cl, int64_t now_ms)
{
    const struct cluster_node *live;

    want_links(cl, now_ms);
    live = cl->known ? any_link(cl) : NULL;
    if (cl->cover_changed && cl->known)
        count(cl);
    if (!cl->client->link_wanted)
        cl->covering = false;
    else if (live && !cl->covering)
        say(cl, REDIS_LINK_LIVE, live->since_ms, NULL);
    else if (!live && cl->covering)
        say(cl, REDIS_LINK_LOST, now_ms, "no node of the cluster has a tracking link yet");
    if (cl->covering && cl->cover_changed)
        say(cl, REDIS_LINK_ALIVE, now_ms, NULL);
    cl->cover_changed = false;
}
