/*
 * scan.c: pages of keys from Redis, as they are or unlinked.
 */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tier/request.h"
#include "tier/result.h"

int tier_scan(tandem_cache *cache, enum redis_kind kind, const char *cursor, size_t cursor_length,
              const char *glob, size_t glob_length, int flags, tandem_result *result)
{
    struct request *r;
    int status;

    if (flags & TANDEM_NOWAIT)
        return result_say(result, TANDEM_ENOWAIT, "the caller cannot wait for %s",
                          redis_client_server(cache->tier->client));
    status = request_possible(cache, result);
    if (status)
        return status;
    r = request_create(cache, kind, glob, glob_length);
    if (r && !request_set_value(r, cursor, cursor_length)) {
        redis_op_free(&r->op);
        r = NULL;
    }
    return request_submit(cache, r, true, flags, result);
}

/* -- On the I/O thread --------------------------------------------------------------------------- */

/* One item of a page: its bytes, and where the next one begins. */
struct item {
    const char *bytes;
    size_t length, end;
};

/* False at the end of the page. */
static bool item_at(const char *page, size_t page_length, size_t at, struct item *item)
{
    uint32_t n;

    if (page_length - at < sizeof(n))
        return false;
    memcpy(&n, page + at, sizeof(n));
    if (page_length - at - sizeof(n) < n)
        return false;
    item->bytes = page + at + sizeof(n);
    item->length = n;
    item->end = at + sizeof(n) + n;
    return true;
}

/* Takes the library's own keys out of a page, in place.  Says how many keys are left. */
static size_t leave_out_reserved(char *page, size_t *page_length, size_t first)
{
    size_t kept = first, count = 0;
    struct item item;

    for (size_t at = first; item_at(page, *page_length, at, &item); at = item.end) {
        if (reserved_is(item.bytes, item.length))
            continue;
        memmove(page + kept, page + at, item.end - at);
        kept += item.end - at;
        count++;
    }
    *page_length = kept;
    return count;
}

static void drop_keys(struct tier *tier, const char *page, size_t page_length, size_t first)
{
    int64_t now_ms = clock_now_ms();
    struct item item;

    for (size_t at = first; item_at(page, page_length, at, &item); at = item.end)
        memory_drop(tier->memory, item.bytes, item.length, now_ms, MEMORY_LOCK_IO_US);
}

static void page_done(struct tier *tier, struct request *r, struct outcome *outcome)
{
    struct redis_op *op = &r->op;
    struct item cursor = {NULL, 0, 0};

    if (!op->reply || !item_at(op->reply, op->reply_length, 0, &cursor)) {
        op->status = REDIS_GARBAGE;
        snprintf(op->error, sizeof(op->error), "%s: a page of keys without its cursor",
                 redis_client_server(tier->client));
        request_fail(r, NULL, outcome);
        return;
    }
    outcome->status = TANDEM_OK;
    outcome->tier = TANDEM_TIER_REDIS;
    if (op->kind == REDIS_SCAN) {
        outcome->count = (double)leave_out_reserved(op->reply, &op->reply_length, cursor.end);
    } else {
        drop_keys(tier, op->reply, op->reply_length, cursor.end);
        op->reply_length = cursor.end;
        outcome->count = (double)op->integer;
    }
    outcome->bytes = op->reply;
    outcome->length = op->reply_length;
    op->reply = NULL;
}

void scan_done(struct tier *tier, struct request *r)
{
    struct outcome outcome = {0};

    if (r->op.status == REDIS_DONE) {
        page_done(tier, r, &outcome);
    } else {
        request_fail(r, NULL, &outcome);
        /* Keys that nobody can name may have gone. */
        if (r->op.kind == REDIS_SCAN_UNLINK && r->op.may_have_run)
            memory_epoch_bump(tier->memory);
    }
    request_finish(r, &outcome);
}
