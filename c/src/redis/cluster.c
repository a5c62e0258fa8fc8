/*
 * cluster.c: the nodes of a cluster, and its rounds.
 */
#include "redis/cluster.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "redis/client.h"
#include "redis/patience.h"
#include "redis/pipeline.h"
#include "redis/random.h"

enum { LINGER_MS = 10000 }; /* a node without slots, which may be about to get some */

/* -- The nodes' hooks ------------------------------------------------------------------------------ */

static void done(void *context, struct redis_op *op)
{
    struct cluster_node *node = context;
    int64_t now_ms = clock_now_ms();

    if (op->kind == REDIS_CLUSTER_MAP) {
        cluster_map_answered(node, op, now_ms);
        redis_op_free(op);
    } else if (op->kind == REDIS_CLUSTER_CHECK || op->kind == REDIS_ROLE) {
        cluster_cover_checked(node, op);
        redis_op_free(op);
    } else if (op->kind == REDIS_REPLICATION) {
        cluster_proof_told(node, op, now_ms);
        redis_op_free(op);
    } else {
        cluster_returned(node, op, now_ms);
    }
}

/* Error replies are counted where they are for a caller: not those that send an operation elsewhere.  Nor has an
 * operation been given up with a replica's answer; and that a replica is there says nothing of Redis. */
static bool counts(const struct cluster_node *node, enum redis_counter counter)
{
    if (node->is_replica && (counter == REDIS_COUNT_TIMEOUTS || counter == REDIS_COUNT_CONNECTS))
        return false;
    return counter != REDIS_COUNT_ERRORS;
}

/* Whoever cannot be called, or has gone, may be the master no longer. */
static void count(void *context, enum redis_counter counter, uint64_t n)
{
    const struct cluster_node *node = context;
    struct cluster *cl = node->cluster;
    const struct redis_hooks *hooks = &cl->client->hooks;

    if (cl->client->topology && !node->is_replica &&
        (counter == REDIS_COUNT_FAILURES || counter == REDIS_COUNT_DISCONNECTS))
        cl->wanted = true;
    if (counts(node, counter))
        hooks->count(hooks->context, counter, n);
}

static void took(void *context, int64_t ns)
{
    const struct redis_hooks *hooks = &((struct cluster_node *)context)->cluster->client->hooks;

    if (hooks->took)
        hooks->took(hooks->context, ns);
}

void cluster_invalidate(struct cluster *cl, const char *key, size_t key_length)
{
    const struct redis_hooks *hooks = &cl->client->hooks;

    if (hooks->changed)
        hooks->changed(hooks->context, key, key_length);
    hooks->invalidate(hooks->context, key, key_length);
}

static void invalidate(void *context, const char *key, size_t key_length)
{
    cluster_invalidate(((struct cluster_node *)context)->cluster, key, key_length);
}

static void linked(void *context, enum redis_link_event event, int64_t at_ms, const char *why)
{
    cluster_cover_link(context, event, at_ms, why);
}

/* Behind sentinels there is one master: what one process finds out is good for all. */
static int64_t may_try(void *context, int64_t since_ms, int64_t now_ms, uint32_t random)
{
    const struct cluster_node *node = context;
    const struct redis_client *all = node->cluster->client;

    if (node->is_replica || !all->topology || !all->hooks.may_try)
        return now_ms;
    return all->hooks.may_try(all->hooks.context, since_ms, now_ms, random);
}

static void gone(void *context)
{
    (void)context;
}

/* -- Nodes ----------------------------------------------------------------------------------------- */

/* What errors call it. */
static void say_master(struct redis_client *client)
{
    char node[sizeof(client->url.host) + 10];

    url_node(client->url.host, client->url.port, node, sizeof(node));
    snprintf(client->server, sizeof(client->server), "master %s", node);
}

static struct redis_client *client_of(struct cluster_node *node, const char *host, int port)
{
    const struct redis_client *all = node->cluster->client;
    const struct redis_hooks hooks = {.context = node,
                                      .done = done,
                                      .count = count,
                                      .took = took,
                                      .invalidate = invalidate,
                                      .link = linked,
                                      .may_try = may_try,
                                      .gone = gone};
    struct redis_config config = {.url = "redis://node",
                                  .username = all->url.username,
                                  .password = all->url.password,
                                  .client_name = all->name,
                                  .prefix = all->prefix,
                                  .prefix_length = all->command_prefix.length,
                                  .connect_timeout_ms = all->connect_timeout_ms,
                                  .timeout_ms = all->timeout_ms,
                                  .tags = all->command_prefix.script != NULL,
                                  .max_ops = all->max_ops,
                                  .max_bytes = all->max_bytes};
    char error[200];
    struct redis_client *client = redis_client_create(&config, &hooks, error, sizeof(error));

    if (!client)
        return NULL;
    snprintf(client->url.host, sizeof(client->url.host), "%s", host);
    client->url.port = port;
    client->url.is_secure = all->url.is_secure;
    client->url.db = all->url.db;
    client->tls = all->tls;
    client->link_config.tls = all->tls;
    if (all->topology)
        say_master(client);
    else
        url_server(&client->url, client->server, sizeof(client->server));
    if (atomic_load_explicit(&all->identify, memory_order_relaxed))
        redis_client_identify(client);
    return client;
}

static struct cluster_node *make(struct cluster *cl, unsigned number, const char *host, int port)
{
    struct cluster_node *node = alloc_zeroed(sizeof(*node));

    if (!node)
        return NULL;
    node->cluster = cl;
    node->number = number;
    node->client = client_of(node, host, port);
    if (!node->client) {
        alloc_free(node);
        return NULL;
    }
    cl->node[number] = node;
    if (number >= cl->count)
        cl->count = number + 1;
    return node;
}

/* How its connection begins.  Only a cluster's replica has to be told that it is to be read from. */
static void set_role(struct cluster_node *node)
{
    bool named = node->cluster->client->topology != NULL;

    node->client->is_replica = node->is_replica && !named;
    node->client->is_named = node->client->link_config.is_named = !node->is_replica && named;
}

static struct cluster_node *at(struct cluster *cl, const char *host, int port, bool is_replica,
                               int64_t now_ms)
{
    unsigned vacant = CLUSTER_NODES;
    struct cluster_node *node;

    for (unsigned i = CLUSTER_NODES; i-- > 0;) {
        node = cl->node[i];
        if (!node)
            vacant = i;
        else if (node->is_replica == is_replica && node->client->url.port == port &&
                 strcmp(node->client->url.host, host) == 0)
            return node;
    }
    node = vacant < CLUSTER_NODES ? make(cl, vacant, host, port) : NULL;
    if (node) {
        node->used_ms = now_ms;
        node->is_replica = is_replica;
        set_role(node);
    }
    return node;
}

struct cluster_node *cluster_node_at(struct cluster *cl, const char *host, int port, int64_t now_ms)
{
    return at(cl, host, port, false, now_ms);
}

struct cluster_node *cluster_replica_at(struct cluster *cl, const struct url_seed *address,
                                        int64_t now_ms)
{
    return at(cl, address->host, address->port, true, now_ms);
}

struct url_seed cluster_address(const struct cluster_node *by, const struct url_seed *told)
{
    struct url_seed whole = *told;

    if (!whole.host[0])
        memcpy(whole.host, by->client->url.host, sizeof(whole.host));
    return *address_map_find(by->cluster->client->addresses, &whole);
}

struct cluster_node *cluster_node_told(struct cluster_node *by, const struct url_seed *address,
                                       int64_t now_ms)
{
    const struct url_seed there = cluster_address(by, address);

    return cluster_node_at(by->cluster, there.host, there.port, now_ms);
}

/* What is under way there ends, and the node. */
static void discard(struct cluster_node *node, int64_t now_ms)
{
    node->cluster->node[node->number] = NULL;
    pipeline_take_queued(node->client, now_ms);
    pipeline_lose(node->client, false, "the client ends", now_ms);
    pipeline_reject(node->client, "the client ends");
    node->client->tls = NULL; /* not its own */
    redis_client_over(node->client);
    alloc_free(node);
}

static bool is_of_no_use(struct cluster_node *node, int64_t now_ms)
{
    return node->slots == 0 && !node->unheard && now_ms - node->used_ms >= LINGER_MS &&
           client_is_quiet(node->client, false, now_ms);
}

bool cluster_give(struct cluster_node *node, struct redis_op *op, int64_t now_ms)
{
    struct redis_client *c = node->client;
    bool down;

    redis_op_begin(op);
    node->used_ms = now_ms;
    pthread_mutex_lock(&c->lock);
    down = c->state == REDIS_STATE_DOWN;
    if (down) {
        snprintf(op->error, sizeof(op->error), "%s", c->why);
    } else {
        c->ops++;
        c->bytes += pipeline_op_bytes(op);
        op_list_append(&c->queued, op);
    }
    pthread_mutex_unlock(&c->lock);
    node->cluster->soon = true;
    return !down;
}

struct redis_op *cluster_op(enum redis_kind kind, int64_t deadline_ms)
{
    struct redis_op *op = alloc_zeroed(sizeof(*op));

    if (!op)
        return NULL;
    op->kind = kind;
    op->slot = SLOTS;
    op->deadline_ms = deadline_ms;
    op->number = 1;
    return op;
}

/* -- Beginning and ending -------------------------------------------------------------------------- */

static void init(struct cluster *cl)
{
    op_list_init(&cl->returned);
    op_list_init(&cl->arrived);
    memset(cl->owner, 0xff, sizeof(cl->owner));
    memset(cl->mapped, 0xff, sizeof(cl->mapped));
    memset(cl->cover, 0, sizeof(cl->cover));
    memset(cl->busy, 0, sizeof(cl->busy));
    memset(cl->writing, 0, sizeof(cl->writing));
    memset(cl->held, 0, sizeof(cl->held));
    cl->held_ms = INT64_MAX;
    cl->choice = random_32();
    if (cl->client->topology) {
        cl->answers = cl->client->topology->answers;
        cl->failures = cl->client->topology->failures;
    }
}

struct cluster *cluster_create(struct redis_client *client)
{
    struct cluster *cl = alloc_zeroed(sizeof(*cl));

    if (!cl)
        return NULL;
    cl->client = client;
    init(cl);
    return cl;
}

/* The nodes are kept: they have been told themselves.  What was known may be half of what was being learned. */
void cluster_after_fork(struct cluster *cl)
{
    init(cl);
    if (cl->client->topology && cl->client->topology->config.choice)
        cl->client->topology->config.choice = cl->choice | 1;
    cl->known = cl->wanted = cl->asked = cl->failed = cl->lenient = cl->covering = false;
    cl->pause_ms = cl->ask_ms = cl->again_ms = 0;
    cl->epoch = cl->hash = cl->passed = 0;
    cl->breaker = (struct breaker){0};
    for (unsigned i = 0; i < cl->count; i++)
        if (cl->node[i]) {
            cl->node[i]->slots = 0;
            cl->node[i]->since_ms = cl->node[i]->alive_ms = 0;
            cl->node[i]->checked_ms = cl->node[i]->check_sent_ms = 0;
            cl->node[i]->checking = false;
            cl->node[i]->told = 0;
            cl->node[i]->proof = (struct cluster_proof){0};
            set_role(cl->node[i]);
        }
}

void cluster_end(struct cluster *cl)
{
    int64_t now_ms = clock_now_ms();

    for (unsigned i = 0; i < cl->count; i++)
        if (cl->node[i])
            discard(cl->node[i], now_ms);
}

void cluster_free(struct cluster *cl)
{
    alloc_free(cl);
}

/* -- Rounds ---------------------------------------------------------------------------------------- */

void cluster_begin_round(struct cluster *cl, int64_t now_ms)
{
    struct op_list taken;
    struct redis_op *op;

    cl->soon = false;
    op_list_init(&taken);
    pthread_mutex_lock(&cl->client->lock);
    op_list_append_all(&taken, &cl->client->queued);
    pthread_mutex_unlock(&cl->client->lock);
    while ((op = op_list_take(&taken))) {
        if (patience_slept(op->sent_ms, now_ms)) /* of its submission, so far */
            op->deadline_ms += now_ms - op->sent_ms;
        cluster_arrive(cl, op, now_ms);
    }
}

void cluster_forsake_reads(struct cluster *cl, int64_t now_ms)
{
    for (unsigned i = 0; i < cl->count; i++)
        if (cl->node[i])
            pipeline_forsake_reads(cl->node[i]->client, now_ms);
}

/* What is wanted of the client is wanted of each master. */
static void pass_on(struct cluster *cl)
{
    struct redis_client *c = cl->client;

    for (unsigned i = 0; i < cl->count; i++) {
        if (!cl->node[i])
            continue;
        if (atomic_load_explicit(&c->identify, memory_order_relaxed))
            redis_client_identify(cl->node[i]->client);
        if (c->probe_wanted && cluster_is_master(cl->node[i])) {
            redis_want_probe(cl->node[i]->client);
            cl->soon = true;
        }
    }
    c->probe_wanted = c->probe_wanted && !cl->known && !cl->failed;
}

static bool has_replica(const struct cluster *cl)
{
    for (unsigned i = 0; i < cl->count; i++)
        if (cluster_is_master(cl->node[i]) && cl->node[i]->replica.port)
            return cl->client->replicas != REDIS_REPLICAS_NEVER;
    return false;
}

/* Of the one that sentinels name. */
static enum redis_state state_of_named(const struct cluster *cl)
{
    const struct cluster_node *master = cluster_owner(cl, 0);

    return master && redis_client_state(master->client, NULL, 0) == REDIS_STATE_UP
               ? REDIS_STATE_UP
               : REDIS_STATE_CONNECTING;
}

/* Up, with one master that is: what is for the others is answered for them, one by one. */
static void judge(struct cluster *cl)
{
    enum redis_state state = REDIS_STATE_IDLE;
    char why[256];

    snprintf(why, sizeof(why), "%s", cl->reason);
    if (!cl->known && cl->failed)
        state = REDIS_STATE_DOWN;
    else if (!cl->known && (cl->asked || cl->wanted))
        state = REDIS_STATE_CONNECTING;
    for (unsigned i = 0; cl->known && state != REDIS_STATE_UP && i < cl->count; i++)
        if (cluster_is_master(cl->node[i]))
            state = redis_client_state(cl->node[i]->client, why, sizeof(why)) == REDIS_STATE_DOWN
                        ? REDIS_STATE_DOWN
                        : REDIS_STATE_UP;
    if (cl->known && cl->client->topology && state == REDIS_STATE_UP)
        state = state_of_named(cl);
    client_set_replica(cl->client, cl->known && has_replica(cl));
    if (state != redis_client_state(cl->client, NULL, 0))
        client_set_state(cl->client, state, state == REDIS_STATE_DOWN ? why : NULL);
}

static void sooner(int64_t *at, int64_t other)
{
    if (other < *at)
        *at = other;
}

/* A master that sentinels have named, and that says that it is a replica now. */
static void heed_demotions(struct cluster *cl, int64_t now_ms)
{
    for (unsigned i = 0; i < cl->count; i++)
        if (cl->node[i] && !cl->node[i]->is_replica &&
            client_heed_demotion(cl->node[i]->client, now_ms))
            cl->wanted = cl->soon = true;
}

int64_t cluster_end_round(struct cluster *cl, int64_t now_ms)
{
    struct redis_client *c = cl->client;
    int64_t at_ms = INT64_MAX;

    pass_on(cl);
    if (c->topology)
        heed_demotions(cl, now_ms);
    cluster_map_round(cl, now_ms);
    cluster_release(cl, now_ms);
    cluster_cover_round(cl, now_ms);
    judge(cl);
    for (unsigned i = 0; i < cl->count; i++)
        if (cl->node[i] && is_of_no_use(cl->node[i], now_ms))
            discard(cl->node[i], now_ms);
    if (c->hooks.tick)
        sooner(&at_ms, c->hooks.tick(c->hooks.context, now_ms));
    sooner(&at_ms, cl->held_ms);
    if (c->topology && cl->asked && !cl->known)
        sooner(&at_ms, cl->give_up_ms);
    if (!cl->asked && (cl->wanted || cl->known))
        sooner(&at_ms, cl->wanted ? cl->ask_ms : cl->again_ms);
    return cl->soon ? 1 : at_ms;
}
