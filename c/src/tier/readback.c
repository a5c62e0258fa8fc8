#include "tier/readback.h"

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tier/request.h"

enum {
    AFTER_MS = 2, /* writes are read back this long after their acknowledgement */
    MOST = 20000, /* at a time; a write beyond that just expires */
    TRIES = 3
};

struct readback_write {
    struct readback_write *next;
    int64_t due_ms;
    struct freshness_rules rules;
    int tries;
    size_t key_length;
    char key[];
};

void readback_init(struct readback *b)
{
    b->end = &b->first;
}

void readback_clear(struct readback *b)
{
    while (b->first) {
        struct readback_write *next = b->first->next;

        alloc_free(b->first);
        b->first = next;
    }
    b->end = &b->first;
    b->count = 0;
}

static void enqueue(struct tier *tier, const char *key, size_t key_length,
                    const struct freshness_rules *rules, int tries)
{
    struct readback *b = &tier->tracking.readback;
    struct readback_write *v;

    if (b->count >= MOST)
        return;
    v = alloc_bytes(sizeof(*v) + key_length);
    if (!v)
        return;
    v->next = NULL;
    v->due_ms = clock_now_ms() + AFTER_MS;
    v->rules = *rules;
    v->tries = tries;
    v->key_length = key_length;
    memcpy(v->key, key, key_length);
    *b->end = v;
    b->end = &v->next;
    b->count++;
}

void readback_later(struct tier *tier, const char *key, size_t key_length,
                    const struct freshness_rules *rules)
{
    enqueue(tier, key, key_length, rules, 0);
}

static void read_back(struct tier *tier, const struct readback_write *v)
{
    struct request *r = request_internal(FOR_VERIFY, REDIS_GET, v->key, v->key_length);

    if (!r)
        return;
    r->rules = v->rules;
    r->tries = v->tries + 1;
    memory_token_read(tier->memory, v->key, v->key_length, &r->token);
    memory_count(tier->memory, COUNT_TRACKING_VERIFIES, 1);
    request_submit_internal(tier, r);
}

int64_t readback_tick(struct tier *tier, int64_t now_ms)
{
    struct readback *b = &tier->tracking.readback;

    while (b->first && b->first->due_ms <= now_ms) {
        struct readback_write *v = b->first;

        b->first = v->next;
        if (!b->first)
            b->end = &b->first;
        b->count--;
        read_back(tier, v);
        alloc_free(v);
    }
    return b->first ? b->first->due_ms : INT64_MAX;
}

/* Redis does not have the key any more: the write that this was to confirm is over, unless another one of
 * this host has come after it.  Its message may have been heard already, which left the entry. */
static void overtaken(struct tier *tier, const struct request *r)
{
    const struct redis_op *op = &r->op;
    struct memory_token now;

    memory_token_read(tier->memory, op->key, op->key_length, &now);
    if (now.epoch == r->token.epoch && now.wseq == r->token.wseq)
        memory_drop(tier->memory, op->key, op->key_length, clock_now_ms(), MEMORY_LOCK_IO_US);
}

void readback_done(struct tier *tier, struct request *r)
{
    struct redis_op *op = &r->op;
    bool live = tracking_covers(tier, op);
    struct memory_attributes a = freshness_attributes(&r->rules, op->sent_ms, op->pttl_ms, live);
    struct tags tags;

    if ((op->status != REDIS_DONE && op->status != REDIS_ABSENT) || !tracking_trusts(tier, op))
        return; /* it expires by itself, very soon */
    if (op->status == REDIS_ABSENT || op->pttl_ms == -2 || op->pttl_ms == 0 ||
        tags_are_awaited(tier, op->list, op->list_length)) {
        overtaken(tier, r);
        return;
    }
    tags_attach(tier, TAGS_LIST, op->list, op->list_length, r->token.tags, &tags, &a);
    if (memory_fill(tier->memory, op->key, op->key_length, op->reply ? op->reply : "",
                    op->reply_length, &a, &r->token, MEMORY_LOCK_IO_US) != MEMORY_REFUSED)
        return;
    if (r->tries < TRIES)
        enqueue(tier, op->key, op->key_length, &r->rules, r->tries);
    else
        memory_count(tier->memory, COUNT_TRACKING_UNVERIFIED, 1);
}
