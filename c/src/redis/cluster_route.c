/*
 * cluster_route.c: which node an operation is for, and what becomes of one that a node sends elsewhere.
 *
 * What a process asks about a key is carried out in the order in which it was asked.  So where one operation of a slot
 * has been sent elsewhere, all that come later are held until those that were with the node have come back too.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "redis/client.h"
#include "redis/pipeline.h"
#include "redis/quote.h"

enum { PAUSE_MS = 10, REDIRECTS = 6 /* so many are followed without a pause */ };

/* -- The end --------------------------------------------------------------------------------------- */

static bool may_change_its_key(const struct redis_op *op)
{
    switch (op->kind) {
    case REDIS_SET:
    case REDIS_ADD:
    case REDIS_REPLACE:
    case REDIS_INCR:
    case REDIS_EXPIRE:
    case REDIS_ASKED_EXPIRE:
    case REDIS_DELETE:
    case REDIS_UNLINK:
        return true;
    default:
        return false;
    }
}

void cluster_finish(struct cluster *cl, struct redis_op *op)
{
    struct redis_client *c = cl->client;

    /* What comes after it, here or in another process, must not be answered with what was there before. */
    if (may_change_its_key(op) && c->hooks.changed)
        c->hooks.changed(c->hooks.context, op->key, op->key_length);
    if (op->kind == REDIS_SCAN_UNLINK && c->topology && c->hooks.changed)
        c->hooks.changed(c->hooks.context, NULL, 0);
    if (op->kind == REDIS_UNLINK) {
        cluster_walk_unlinked(cl, op);
        return;
    }
    pthread_mutex_lock(&c->lock);
    c->ops--;
    c->bytes -= pipeline_op_bytes(op);
    pthread_mutex_unlock(&c->lock);
    if (op->status == REDIS_REFUSED)
        c->hooks.count(c->hooks.context, REDIS_COUNT_ERRORS, 1);
    op->next = NULL;
    c->hooks.done(c->hooks.context, op);
}

void cluster_finish_as(struct cluster *cl, struct redis_op *op, enum redis_status status,
                       const char *reason)
{
    op->status = status;
    op->may_have_run = false;
    op->sent_ms = 0;
    if (reason)
        quote_sentence(cl->client->server, reason, op->error, sizeof(op->error));
    if (status == REDIS_TIMEOUT)
        cl->client->hooks.count(cl->client->hooks.context, REDIS_COUNT_TIMEOUTS, 1);
    cluster_finish(cl, op);
}

/* -- There ----------------------------------------------------------------------------------------- */

/* As one command, which is all that ASKING goes for.  With tags it is one. */
static enum redis_kind asked(const struct cluster *cl, const struct redis_op *op)
{
    if (cl->client->command_prefix.script)
        return op->kind;
    if (op->kind == REDIS_GET)
        return REDIS_ASKED_GET;
    return op->kind == REDIS_EXPIRE && op->ttl_ms <= 0 ? REDIS_ASKED_EXPIRE : op->kind;
}

static enum redis_kind unasked(enum redis_kind kind)
{
    return kind == REDIS_ASKED_GET ? REDIS_GET : kind == REDIS_ASKED_EXPIRE ? REDIS_EXPIRE : kind;
}

/* Where a node has gone its number may be a replica's now. */
static struct cluster_node *to_be_asked(const struct cluster *cl, unsigned number)
{
    struct cluster_node *node = number == SLOT_MAP_NOBODY ? NULL : cl->node[number];

    return node && !node->is_replica ? node : NULL;
}

struct cluster_node *cluster_owner(const struct cluster *cl, unsigned slot)
{
    return to_be_asked(cl, cl->owner[slot]);
}

static struct cluster_node *where(const struct cluster *cl, struct redis_op *op)
{
    op->asking = op->asking && to_be_asked(cl, op->node);
    return op->asking ? cl->node[op->node] : cluster_owner(cl, op->slot);
}

static void send(struct cluster *cl, struct redis_op *op, int64_t now_ms)
{
    struct cluster_node *node = where(cl, op);
    char reason[64];

    if (!node) {
        snprintf(reason, sizeof(reason), "no node has slot %u", op->slot);
        cl->wanted = true;
        cluster_finish_as(cl, op, REDIS_UNSENT, reason);
        return;
    }
    if (op->by_replica && cluster_prefer_replica(node, op, now_ms))
        return;
    if (op->asking) {
        op->kind = asked(cl, op);
        node->client->preface = true;
    }
    if (cluster_give(node, op, now_ms)) {
        cl->busy[op->slot]++;
        cl->writing[op->slot] += may_change_its_key(op);
        cl->with[op->slot] = (uint16_t)node->number;
        return;
    }
    op->kind = unasked(op->kind);
    cl->wanted = true;
    if (!cluster_ask_replica(node, op, now_ms))
        cluster_finish_as(cl, op, REDIS_UNSENT, NULL);
}

static void hold(struct cluster *cl, struct op_list *list, struct redis_op *op)
{
    cl->held[op->slot]++;
    if (op->deadline_ms < cl->held_ms)
        cl->held_ms = op->deadline_ms;
    op_list_append(list, op);
}

/* Would it overtake one that is with another node, which may yet send that elsewhere?  Behind sentinels whatever is
 * asked is carried out in that order: there a script may look at keys of any slots. */
static bool overtakes(const struct cluster *cl, unsigned slot)
{
    if (cl->client->topology)
        return cl->returned.first || cl->arrived.first;
    return cl->held[slot] || (cl->busy[slot] && cl->with[slot] != cl->owner[slot]);
}

void cluster_arrive(struct cluster *cl, struct redis_op *op, int64_t now_ms)
{
    const struct command_prefix *prefix = &cl->client->command_prefix;
    bool page = op->kind == REDIS_SCAN || op->kind == REDIS_SCAN_UNLINK;

    op->redirects = 0;
    op->asking = false;
    op->replica = CLUSTER_MASTER;
    op->slot =
        page ? SLOTS : (uint16_t)slot_of(prefix->text, prefix->length, op->key, op->key_length);
    if (!cl->known || ((!page || cl->client->topology) && overtakes(cl, op->slot))) {
        cl->wanted = cl->wanted || !cl->known;
        hold(cl, &cl->arrived, op);
    } else if (page) {
        cluster_walk(cl, op, now_ms);
    } else {
        send(cl, op, now_ms);
    }
}

/* -- And back -------------------------------------------------------------------------------------- */

/* "... 1234 host:port", without a host that of the node that says it.  NULL: it cannot be read, or used. */
static struct cluster_node *target(struct cluster_node *node, const char *text, unsigned slot,
                                   int64_t now_ms)
{
    struct url_seed address = {.host = ""};
    const char *colon = strrchr(text, ':');
    long port = colon ? strtol(colon + 1, NULL, 10) : 0;
    char *end;

    if (strtoul(text, &end, 10) != slot || *end != ' ' || !colon || colon < end + 1 || port < 1 ||
        port > 65535)
        return NULL;
    address.port = (int)port;
    return colon == end + 1 || url_take_host(end + 1, (size_t)(colon - end - 1), address.host,
                                             sizeof(address.host))
               ? cluster_node_told(node, &address, now_ms)
               : NULL;
}

/* Where the text of an error reply begins, if it is such a one. */
static const char *error_of(const struct redis_op *op, const char *what)
{
    const char *at = strstr(op->error, what);

    return at ? at + strlen(what) : NULL;
}

/* Sent elsewhere?  What it says is not believed more than once without the map, which is asked for. */
static bool is_redirected(struct cluster_node *node, struct redis_op *op, int64_t now_ms)
{
    struct cluster *cl = node->cluster;
    const char *moved = error_of(op, ": MOVED "), *ask = error_of(op, ": ASK ");
    struct cluster_node *there = NULL;

    if (cl->client->topology) /* none but sentinels may name servers */
        return false;
    if (!moved && !ask && !error_of(op, ": TRYAGAIN "))
        return false;
    if (moved || ask)
        there = target(node, moved ? moved : ask, op->slot, now_ms);
    if (there && moved)
        cl->owner[op->slot] = (uint16_t)there->number;
    if (there && ask) {
        op->asking = true;
        op->node = (uint16_t)there->number;
    }
    cl->wanted = cl->wanted || !ask;
    if (!there || ++op->redirects > REDIRECTS)
        cl->pause_ms = now_ms + PAUSE_MS;
    hold(cl, &cl->returned, op);
    return true;
}

/* Was it never sent, and has its slot another master by now?  Then it goes to that one. */
static bool is_anothers(struct cluster_node *node, struct redis_op *op)
{
    struct cluster *cl = node->cluster;
    const struct cluster_node *owner = cluster_owner(cl, op->slot);

    if (op->status != REDIS_UNSENT || !owner || owner == node || ++op->redirects > REDIRECTS)
        return false;
    hold(cl, &cl->returned, op);
    cl->soon = true;
    return true;
}

void cluster_returned(struct cluster_node *node, struct redis_op *op, int64_t now_ms)
{
    struct cluster *cl = node->cluster;

    if (op->replica != CLUSTER_MASTER) {
        cluster_replica_answered(node, op, now_ms);
        return;
    }
    cl->busy[op->slot]--;
    cl->writing[op->slot] -= may_change_its_key(op);
    if (op->slot == SLOTS) {
        cluster_walk_page(node, op, now_ms);
        return;
    }
    op->kind = unasked(op->kind);
    op->asking = false;
    op->server = cluster_cover_server(node, op->slot, op->server);
    if (op->status == REDIS_REFUSED && is_redirected(node, op, now_ms))
        return;
    if (op->status != REDIS_DONE && op->status != REDIS_ABSENT)
        cl->wanted = cl->wanted || op->status != REDIS_REFUSED || error_of(op, ": CLUSTERDOWN ");
    if (is_anothers(node, op))
        return;
    if ((op->status == REDIS_UNSENT || op->status == REDIS_UNKNOWN) &&
        cluster_ask_replica(node, op, now_ms))
        return;
    cluster_finish(cl, op);
}

/* -- What is held ---------------------------------------------------------------------------------- */

static const char *why_held(const struct cluster *cl)
{
    if (cl->client->topology)
        return cl->known ? "the master was being replaced" : "no sentinel has named the master";
    return cl->known ? "its slot was on the move" : "no node has told the map";
}

/* Ready are those with whose slot no node is busy: all of a slot or none, so that they stay in order. */
static void release(struct cluster *cl, struct op_list *list, int64_t now_ms)
{
    struct op_list all;
    struct redis_op *op;

    for (op = list->first; op; op = op->next)
        op->ready = cl->known && now_ms >= cl->pause_ms && cl->busy[op->slot] == 0;
    op_list_init(&all);
    op_list_append_all(&all, list);
    while ((op = op_list_take(&all))) {
        cl->held[op->slot]--;
        if (op->deadline_ms <= now_ms)
            cluster_finish_as(cl, op, REDIS_TIMEOUT, why_held(cl));
        else if (!op->ready)
            hold(cl, list, op);
        else if (op->slot == SLOTS)
            cluster_walk(cl, op, now_ms);
        else
            send(cl, op, now_ms);
    }
}

void cluster_release(struct cluster *cl, int64_t now_ms)
{
    cl->held_ms = INT64_MAX;
    release(cl, &cl->returned, now_ms);
    release(cl, &cl->arrived, now_ms);
    if ((cl->returned.first || cl->arrived.first) && now_ms < cl->pause_ms &&
        cl->pause_ms < cl->held_ms)
        cl->held_ms = cl->pause_ms;
}

void cluster_reject(struct cluster *cl, const char *reason)
{
    struct op_list *const lists[] = {&cl->returned, &cl->arrived};
    struct redis_op *op;

    for (int i = 0; i < 2; i++)
        while ((op = op_list_take(lists[i]))) {
            cl->held[op->slot]--;
            cluster_finish_as(cl, op, REDIS_UNSENT, reason);
        }
}
