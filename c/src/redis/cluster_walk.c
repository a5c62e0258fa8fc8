/*
 * cluster_walk.c: pages of keys, of one master after the other.  Where the keys of a page are to go, each is unlinked
 * on its own, as an operation like any: they are in as many slots, as good as always.  (Behind sentinels there are no
 * slots.)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "redis/client.h"
#include "redis/page.h"
#include "redis/quote.h"

enum { DIGITS = 3 }; /* of a node's number */

/* -- Cursors --------------------------------------------------------------------------------------- */

static struct cluster_node *master_from(const struct cluster *cl, unsigned number)
{
    while (number < cl->count && !cluster_is_master(cl->node[number]))
        number++;
    return number < cl->count ? cl->node[number] : NULL;
}

/* Takes the node's number off a cursor, which is digits, but for "0". */
static unsigned number_of(struct redis_op *op)
{
    char text[DIGITS + 1] = "0";

    if (op->value_length <= DIGITS)
        return 0;
    op->value_length -= DIGITS;
    memcpy(text, op->value + op->value_length, DIGITS);
    return (unsigned)strtoul(text, NULL, 10);
}

/* Another item in place of the first of a page.  False: no memory. */
static bool set_cursor(struct redis_op *op, const char *cursor)
{
    struct page_item item;
    size_t rest = op->reply ? page_next(op->reply, op->reply_length, 0, &item) : 0;
    size_t length = PAGE_LENGTH_BYTES + strlen(cursor) + op->reply_length - rest;
    char *page = alloc_bytes(length), *to;

    if (!page)
        return false;
    to = page_put(page, cursor, strlen(cursor));
    if (op->reply && op->reply_length > rest)
        memcpy(to, op->reply + rest, op->reply_length - rest);
    alloc_free(op->reply);
    op->reply = page;
    op->reply_length = length;
    return true;
}

/* Where the walk goes on: with this node, with the next one, or it is over. */
static bool go_on(const struct cluster *cl, struct redis_op *op, unsigned number)
{
    const struct cluster_node *next;
    struct page_item item = {"", 0};
    char cursor[32] = "0";

    page_next(op->reply, op->reply_length, 0, &item);
    if (item.length == 1 && item.bytes[0] == '0') {
        next = master_from(cl, number + 1);
        if (next)
            snprintf(cursor, sizeof(cursor), "0%0*u", DIGITS, next->number);
    } else {
        snprintf(cursor, sizeof(cursor), "%.*s%0*u", (int)item.length, item.bytes, DIGITS, number);
    }
    return set_cursor(op, cursor);
}

/* -- Pages ----------------------------------------------------------------------------------------- */

void cluster_walk(struct cluster *cl, struct redis_op *op, int64_t now_ms)
{
    unsigned number = number_of(op);
    struct cluster_node *node = master_from(cl, number);

    if (!node && cl->client->topology) /* there is one, and its number may be lower */
        node = master_from(cl, 0);
    if (!node) { /* those that were left have gone */
        redis_op_begin(op);
        op->reply_count = 1;
        cluster_finish_as(cl, op, set_cursor(op, "0") ? REDIS_DONE : REDIS_UNSENT, "no memory");
        return;
    }
    if (node->number != number)
        op->value_length = 0; /* from the beginning */
    if (op->kind == REDIS_SCAN_UNLINK && !cl->client->topology)
        op->kind = REDIS_SCAN_ALL;
    if (cluster_give(node, op, now_ms)) {
        cl->busy[SLOTS]++;
        return;
    }
    if (op->kind == REDIS_SCAN_ALL)
        op->kind = REDIS_SCAN_UNLINK;
    cl->wanted = true;
    cluster_finish_as(cl, op, REDIS_UNSENT, NULL);
}

/* The page's operation waits until each of its keys has been unlinked. */
static bool unlink_key(struct cluster *cl, struct redis_op *page, const struct page_item *key,
                       int64_t now_ms)
{
    struct redis_op *op = cluster_op(REDIS_UNLINK, page->deadline_ms);

    if (op)
        op->key = alloc_copy(key->bytes, key->length);
    if (!op || !op->key) {
        redis_op_free(op);
        return false;
    }
    op->key_length = key->length;
    op->owner = page;
    page->replies_due++;
    cluster_arrive(cl, op, now_ms);
    return true;
}

static void fail(struct redis_op *page, enum redis_status status, const char *error)
{
    if (page->status != REDIS_DONE)
        return;
    page->status = status;
    snprintf(page->error, sizeof(page->error), "%s", error);
}

static void finish_page(struct cluster *cl, struct redis_op *page)
{
    page->kind = REDIS_SCAN_UNLINK;
    if (page->status != REDIS_DONE) {
        alloc_free(page->reply);
        page->reply = NULL;
        page->reply_length = page->reply_count = 0;
    }
    cluster_finish(cl, page);
}

static void unlink_all(struct cluster *cl, struct redis_op *page, int64_t now_ms)
{
    struct page_item key;
    size_t at = page_next(page->reply, page->reply_length, 0, &key); /* behind the cursor */

    page->integer = 0;
    page->replies_due = 1; /* until all are on their way */
    while ((at = page_next(page->reply, page->reply_length, at, &key)))
        if (!unlink_key(cl, page, &key, now_ms))
            fail(page, REDIS_UNKNOWN, "no memory");
    if (--page->replies_due == 0)
        finish_page(cl, page);
}

void cluster_walk_unlinked(struct cluster *cl, struct redis_op *op)
{
    struct redis_op *page = op->owner;

    if (op->status == REDIS_DONE)
        page->integer += op->integer > 0;
    else
        fail(page, op->status, op->error);
    redis_op_free(op);
    if (--page->replies_due == 0)
        finish_page(cl, page);
}

void cluster_walk_page(struct cluster_node *node, struct redis_op *op, int64_t now_ms)
{
    struct cluster *cl = node->cluster;
    bool unlinks = op->kind == REDIS_SCAN_ALL;

    if (op->status == REDIS_DONE && !go_on(cl, op, node->number))
        fail(op, REDIS_UNKNOWN, "no memory");
    if (op->status == REDIS_DONE && unlinks) {
        unlink_all(cl, op, now_ms);
        return;
    }
    if (unlinks)
        finish_page(cl, op);
    else
        cluster_finish(cl, op);
}
