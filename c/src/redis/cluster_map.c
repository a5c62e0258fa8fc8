/*
 * cluster_map.c: which node has which slot, as the nodes tell it.
 *
 * Nodes are asked one after the other, those that are known before those of the URL, each at most once in an attempt.
 * One that is cut off, or behind, is passed over, unless all are, or are silent; what another cluster's says is
 * cluster_other.c's business.  Attempts come after pauses, which grow while nothing new is heard: however many operations
 * are sent elsewhere at once, the map is asked for once.
 */
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "redis/client.h"
#include "redis/random.h"

enum {
    AGAIN_MS = 10000, /* on average, where nothing has happened */
    CALM_MS =
        3000 /* changes that come faster, of slots that are moved one by one, are waited for */
};

/* -- Asking ---------------------------------------------------------------------------------------- */

static unsigned count_of(const struct cluster *cl)
{
    unsigned n = 0;

    for (unsigned i = 0; i < cl->count; i++)
        n += cl->node[i] && !cl->node[i]->is_replica;
    return n;
}

static void add_seeds(struct cluster *cl, int64_t now_ms)
{
    const struct url *url = &cl->client->url;

    for (int i = 0; i < url->seeds; i++) {
        unsigned before = count_of(cl);
        struct cluster_node *node =
            cluster_node_at(cl, url->seed[i].host, url->seed[i].port, now_ms);

        if (node && count_of(cl) > before)
            node->unheard = true;
    }
}

/* Of those of the URL one that has not said yet what it knows: it may be another cluster's, which the user is to be
 * told. */
static struct cluster_node *unheard(const struct cluster *cl)
{
    unsigned i = 0;

    while (i < cl->count && !(cl->node[i] && cl->node[i]->unheard))
        i++;
    return i < cl->count ? cl->node[i] : NULL;
}

static struct cluster_node *next_node(struct cluster *cl)
{
    struct cluster_node *node = cl->known && cl->passed == 0 ? unheard(cl) : NULL;

    if (cl->passed == 0 && cl->behind_other) {
        cl->at = cl->behind_other;
        cl->behind_other = 0;
    }
    for (unsigned i = 0; !node && i < cl->count; i++) {
        node = cl->node[(cl->at + i) % cl->count];
        if (node && node->is_replica) /* it is there as a node, too, if it is to be asked */
            node = NULL;
    }
    if (node)
        cl->at = node->number + 1;
    return node;
}

/* Have all been asked, and those of the URL too? */
static bool is_last(struct cluster *cl, int64_t now_ms)
{
    if (cl->passed + 1 >= count_of(cl))
        add_seeds(cl, now_ms);
    return cl->passed + 1 >= count_of(cl);
}

/* Of a first connection each node of the URL gets its share: one that swallows everything shall not keep us from the
 * next. */
static int64_t deadline(const struct cluster *cl, int64_t now_ms)
{
    const struct redis_client *c = cl->client;

    return now_ms + c->timeout_ms + c->connect_timeout_ms / c->url.seeds;
}

/* None is left to be asked. */
static void rest(struct cluster *cl, int64_t now_ms)
{
    cl->passed = 0;
    cl->failed = cl->lenient = true;
    breaker_failure(&cl->breaker, now_ms, random_32());
    cl->ask_ms = cl->breaker.retry_at_ms;
    if (cl->known)
        return;
    client_set_state(cl->client, REDIS_STATE_DOWN, cl->reason); /* from now on they are refused */
    cluster_reject(cl, cl->reason);
}

static void pass_over(struct cluster *cl, const char *reason)
{
    cl->passed++;
    snprintf(cl->reason, sizeof(cl->reason), "%s", reason);
}

void cluster_map_fail(struct cluster *cl, const char *reason, int64_t now_ms)
{
    pass_over(cl, reason);
    rest(cl, now_ms);
}

static void ask(struct cluster *cl, int64_t now_ms)
{
    while (!cl->asked) {
        struct cluster_node *node;
        struct redis_op *op;

        if (cl->passed >= count_of(cl))
            add_seeds(cl, now_ms);
        if (cl->passed >= count_of(cl)) {
            rest(cl, now_ms);
            return;
        }
        node = next_node(cl);
        op = cluster_op(REDIS_CLUSTER_MAP, deadline(cl, now_ms));
        if (op)
            op->choice = cl->choice;
        cl->asked = op && cluster_give(node, op, now_ms);
        if (!cl->asked) {
            node->unheard = false;
            pass_over(cl, op ? op->error : "no memory");
            redis_op_free(op);
        }
    }
}

void cluster_map_round(struct cluster *cl, int64_t now_ms)
{
    const struct redis_client *c = cl->client;

    if (!cl->known)
        cl->wanted = cl->wanted || cl->arrived.first || c->link_wanted || c->probe_wanted;
    if (cl->known && (now_ms >= cl->again_ms || unheard(cl)))
        cl->wanted = true;
    if (!cl->wanted || cl->asked || now_ms < cl->ask_ms)
        return;
    if (c->topology)
        cluster_sentinel_ask(cl, now_ms);
    else
        ask(cl, now_ms);
}

/* -- The answer ------------------------------------------------------------------------------------ */

static uint64_t hash_of(const struct slot_map *map)
{
    uint64_t hash = hash_bytes(map->owner, sizeof(map->owner), map->nodes);

    for (unsigned i = 0; i < map->nodes; i++) {
        hash = hash_bytes(map->node[i].host, strlen(map->node[i].host), hash);
        hash = hash_bytes(&map->node[i].port, sizeof(map->node[i].port), hash);
    }
    return hash;
}

/* What is known of one says nothing of another. */
void cluster_map_replica(struct cluster_node *master, const struct url_seed *replica)
{
    if (replica->port != master->replica.port || strcmp(replica->host, master->replica.host) != 0)
        cluster_proof_end(master);
    master->replica = *replica;
}

/* Each node of the map as one of ours.  False: there is no memory for one, or no room. */
static bool find_nodes(struct cluster_node *from, const struct slot_map *map, uint16_t *number,
                       int64_t now_ms)
{
    for (unsigned i = 0; i < map->nodes; i++) {
        struct cluster_node *node = cluster_node_told(from, map->node + i, now_ms);
        struct url_seed replica;

        if (!node)
            return false;
        number[i] = (uint16_t)node->number;
        replica = map->replica[i];
        if (replica.port)
            replica = cluster_address(from, &replica);
        cluster_map_replica(node, &replica);
    }
    return true;
}

static void apply(struct cluster *cl)
{
    for (unsigned i = 0; i < cl->count; i++)
        if (cl->node[i])
            cl->node[i]->slots = 0;
    memcpy(cl->owner, cl->mapped, sizeof(cl->owner));
    for (unsigned slot = 0; slot < SLOTS; slot++)
        if (cl->owner[slot] != SLOT_MAP_NOBODY)
            cl->node[cl->owner[slot]]->slots++;
    /* They are called before somebody waits for them. */
    for (unsigned i = 0; i < cl->count; i++)
        if (cluster_is_master(cl->node[i]))
            redis_want_probe(cl->node[i]->client);
}

void cluster_map_take(struct cluster *cl, const struct slot_map *map, const uint16_t *number,
                      int64_t now_ms)
{
    uint64_t hash = hash_of(map);
    bool changed = !cl->known || hash != cl->hash;

    cluster_cover_map(cl, map, number);
    apply(cl);
    if (changed && now_ms - cl->changed_ms >= CALM_MS)
        breaker_success(&cl->breaker);
    if (changed)
        cl->changed_ms = now_ms;
    cl->hash = hash;
    cl->members = map->members;
    cl->known = true;
    cl->failed = cl->wanted = cl->lenient = false;
    cl->passed = 0;
    breaker_failure(&cl->breaker, now_ms, random_32());
    cl->ask_ms = cl->breaker.retry_at_ms;
    cl->again_ms = now_ms + AGAIN_MS / 2 + random_32() % AGAIN_MS;
    cl->soon = true;
}

/* That any node has told. */
static uint64_t latest_epoch(const struct cluster *cl)
{
    uint64_t latest = cl->epoch;

    for (unsigned i = 0; i < cl->count; i++)
        if (cluster_is_master(cl->node[i]) && cl->node[i]->told > latest)
            latest = cl->node[i]->told;
    return latest;
}

void cluster_map_answered(struct cluster_node *node, struct redis_op *op, int64_t now_ms)
{
    struct cluster *cl = node->cluster;
    const struct slot_map *map = (const struct slot_map *)(const void *)op->reply;
    uint16_t number[SLOT_MAP_NODES];
    char reason[200];

    cl->asked = node->unheard = false;
    cl->soon = true;
    if (op->status != REDIS_DONE || !map) {
        pass_over(cl, op->status != REDIS_DONE ? op->error : "no memory");
        return;
    }
    if (cluster_is_other(node, map, is_last(cl, now_ms), now_ms, reason, sizeof(reason))) {
        pass_over(cl, reason);
        return;
    }
    if (((uint64_t)op->integer < latest_epoch(cl) || !op->well) && !cl->lenient &&
        !is_last(cl, now_ms)) {
        pass_over(cl, "the cluster is down, as its nodes say");
        return;
    }
    if (map->nodes == 0 || !find_nodes(node, map, number, now_ms)) {
        pass_over(cl, map->nodes ? "there are too many nodes" : "no node has any slots");
        return;
    }
    cl->epoch = (uint64_t)op->integer;
    cluster_map_take(cl, map, number, now_ms);
}
