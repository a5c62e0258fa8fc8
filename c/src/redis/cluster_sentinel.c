/*
 * cluster_sentinel.c: a cluster of one master, the one that sentinels name: it has all slots.  So where a master's
 * replicas are read from it is done as in a cluster, whoever tells of them.
 */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "redis/client.h"

void cluster_sentinel_ask(struct cluster *cl, int64_t now_ms)
{
    cl->asked = true;
    cl->give_up_ms = now_ms + cl->client->connect_timeout_ms;
    topology_ask(cl->client->topology, now_ms);
}

/* Those that have been replaced end what they were doing: what they say does not count any more, and what they were
 * to be told goes to the new one. */
static void leave_others(struct cluster *cl, int64_t now_ms)
{
    for (unsigned i = 0; i < cl->count; i++)
        if (cl->node[i] && cl->node[i]->slots == 0 && !cl->node[i]->is_replica)
            client_leave(cl->node[i]->client, "the sentinels name another master", now_ms);
}

static bool take_answer(struct cluster *cl, int64_t now_ms)
{
    const struct topology *t = cl->client->topology;
    struct cluster_node *master = cluster_node_at(cl, t->master.host, t->master.port, now_ms);
    struct slot_map *map = alloc_zeroed(sizeof(*map));
    uint16_t number;

    if (!master || !map) {
        alloc_free(map);
        return false;
    }
    map->nodes = 1;
    memcpy(map->node[0].host, t->master.host, sizeof(map->node[0].host));
    map->node[0].port = t->master.port;
    cluster_map_replica(master, &t->replica);
    cl->epoch = t->epoch;
    number = (uint16_t)master->number;
    cluster_map_take(cl, map, &number, now_ms);
    alloc_free(map);
    return true;
}

/* An answer that there is no memory for is as none. */
void cluster_sentinel_round(struct cluster *cl, uint32_t events, int64_t now_ms)
{
    struct topology *t = cl->client->topology;
    char reason[64];

    topology_round(t, events, now_ms);
    if (t->failures != cl->failures) {
        cl->failures = t->failures;
        cl->asked = false;
        cluster_map_fail(cl, t->reason, now_ms);
    }
    if (cl->asked && !cl->known && t->answers == cl->answers && now_ms >= cl->give_up_ms) {
        cl->asked = false;
        snprintf(reason, sizeof(reason), "no answer of a sentinel in %lld ms",
                 (long long)cl->client->connect_timeout_ms);
        cluster_map_fail(cl, reason, now_ms);
    }
    if (t->answers != cl->answers) {
        cl->answers = t->answers;
        cl->asked = false;
        if (take_answer(cl, now_ms))
            leave_others(cl, now_ms);
        else
            cluster_map_fail(cl, "no memory", now_ms);
    }
}
