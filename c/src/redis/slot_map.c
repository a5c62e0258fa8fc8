#include "redis/slot_map.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"

/* -- Who they are ---------------------------------------------------------------------------------- */

bool slot_members_meet(const struct slot_members *a, const struct slot_members *b)
{
    for (unsigned i = 0; i < a->count; i++)
        for (unsigned j = 0; j < b->count; j++)
            if (a->id[i] == b->id[j])
                return true;
    return a->count == 0 || b->count == 0;
}

/* A range's master, and its replicas: host, port, id. */
static void take_members(struct slot_members *members, const redisReply *range)
{
    for (size_t i = 2; i < range->elements && members->count < SLOT_MAP_MEMBERS; i++) {
        const redisReply *node = range->element[i];
        const redisReply *id =
            node->type == REDIS_REPLY_ARRAY && node->elements > 2 ? node->element[2] : NULL;

        if (id && id->type == REDIS_REPLY_STRING && id->len > 0)
            members->id[members->count++] = hash_bytes(id->str, (size_t)id->len, 0);
    }
}

/* -- Who is where ---------------------------------------------------------------------------------- */

static bool in_bounds(const redisReply *reply, long long least, long long most)
{
    return reply->type == REDIS_REPLY_INTEGER && reply->integer >= least && reply->integer <= most;
}

/* Host and port.  A host may be left out (nil, nothing), or not known ("?"), which nobody can call. */
static bool take_node(const redisReply *reply, struct url_seed *node)
{
    const redisReply *host;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 2 ||
        !in_bounds(reply->element[1], 1, 65535))
        return false;
    host = reply->element[0];
    node->host[0] = '\0';
    node->port = (int)reply->element[1]->integer;
    if (host->type == REDIS_REPLY_NIL || (host->type == REDIS_REPLY_STRING && host->len == 0))
        return true;
    return host->type == REDIS_REPLY_STRING &&
           url_take_host(host->str, (size_t)host->len, node->host, sizeof(node->host));
}

/* Its number; SLOT_MAP_NODES: there are too many. */
static unsigned number_of(struct slot_map *map, const struct url_seed *node)
{
    unsigned i = 0;

    while (i < map->nodes &&
           (map->node[i].port != node->port || strcmp(map->node[i].host, node->host) != 0))
        i++;
    if (i == map->nodes && i < SLOT_MAP_NODES)
        map->node[map->nodes++] = *node;
    return i;
}

/* One of those that make sense (what has failed is not told): whichever node tells of them, in whatever order, the same,
 * and with another choice another one. */
static void take_replica(struct url_seed *replica, const redisReply *range, uint64_t choice)
{
    uint64_t best = 0;

    replica->port = 0;
    for (size_t i = 3; i < range->elements; i++) {
        struct url_seed node;
        uint64_t hash;

        if (!take_node(range->element[i], &node))
            continue;
        hash = hash_bytes(node.host, strlen(node.host), choice + (uint64_t)node.port);
        if (replica->port && hash <= best)
            continue;
        *replica = node;
        best = hash;
    }
}

static bool take_range(struct slot_map *map, const redisReply *range, uint64_t choice)
{
    struct url_seed node;
    unsigned number, known;

    if (range->type != REDIS_REPLY_ARRAY || range->elements < 3 ||
        !in_bounds(range->element[0], 0, SLOTS - 1) ||
        !in_bounds(range->element[1], range->element[0]->integer, SLOTS - 1) ||
        !take_node(range->element[2], &node))
        return false;
    known = map->nodes;
    number = number_of(map, &node);
    if (number == SLOT_MAP_NODES)
        return false;
    if (number == known) { /* its replicas are the same in all ranges */
        take_members(&map->members, range);
        take_replica(map->replica + number, range, choice);
    }
    for (long long slot = range->element[0]->integer; slot <= range->element[1]->integer; slot++)
        map->owner[slot] = (uint16_t)number;
    return true;
}

static bool take_slots(struct redis_op *op, const redisReply *reply, bool *no_memory)
{
    struct slot_map *map;

    alloc_free(op->reply);
    op->reply = alloc_bytes(sizeof(*map));
    map = (struct slot_map *)(void *)op->reply;
    *no_memory = !map;
    if (!map)
        return true;
    op->reply_length = sizeof(*map);
    map->nodes = map->members.count = 0;
    memset(map->owner, 0xff, sizeof(map->owner));
    for (size_t i = 0; i < reply->elements; i++)
        if (!take_range(map, reply->element[i], op->choice))
            return false;
    return true;
}

/* -- How it is ------------------------------------------------------------------------------------- */

/* What stands behind a name in CLUSTER INFO, or NULL. */
static const char *find(const redisReply *info, const char *name)
{
    const char *at = strstr(info->str, name); /* hiredis ends it with a NUL */

    return at && (at == info->str || at[-1] == '\n') ? at + strlen(name) : NULL;
}

static bool take_info(struct redis_op *op, const redisReply *info)
{
    const char *state = find(info, "cluster_state:");
    const char *epoch = find(info, "cluster_current_epoch:");

    if (!state || !epoch)
        return false;
    op->well = strncmp(state, "ok", 2) == 0;
    op->integer = (int64_t)(strtoull(epoch, NULL, 10) & INT64_MAX);
    return true;
}

static bool take_role(struct redis_op *op, const redisReply *role)
{
    if (role->elements == 0 || role->element[0]->type != REDIS_REPLY_STRING)
        return false;
    if (strcmp(role->element[0]->str, "master") != 0)
        op->number = 0;
    return true;
}

bool slot_map_take(struct redis_op *op, const redisReply *reply, bool *no_memory)
{
    *no_memory = false;
    if (reply->type == REDIS_REPLY_STRING)
        return take_info(op, reply);
    if (reply->type != REDIS_REPLY_ARRAY)
        return false;
    return op->kind == REDIS_CLUSTER_MAP ? take_slots(op, reply, no_memory) : take_role(op, reply);
}
