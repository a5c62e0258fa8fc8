#include "tier/replay.h"

#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tier/request.h"

enum {
    AT_ONCE = 200,    /* writes under way */
    LOOK_MS = 200,    /* how often one looks whether there is something to do */
    REST_MS = 500,    /* after Redis has refused */
    SILENT_MS = 1000, /* another process takes over from one not heard of for so long */
    OLD_MS = 30000,   /* an older set may have been overtaken: the key is deleted instead */
    DEADLINE_MS = 2000
};

bool replay_remember(struct tier *tier, const char *key, size_t key_length, bool deletes,
                     int64_t ttl_ms, int64_t lock_us)
{
    int64_t now_ms = clock_now_ms();

    return memory_replay_put(tier->memory, key, key_length,
                             deletes ? MEMORY_REPLAY_DELETE : MEMORY_REPLAY_SET,
                             ttl_ms > 0 ? now_ms + ttl_ms : 0, now_ms, lock_us);
}

bool replay_allows(struct tier *tier, const char *key, size_t key_length)
{
    return memory_replay_forget(tier->memory, key, key_length, MEMORY_LOCK_US);
}

enum memory_replay_kind replay_reads(struct tier *tier, const char *key, size_t key_length)
{
    return memory_replay_peek(tier->memory, key, key_length, MEMORY_LOCK_US);
}

void replay_after_fork(struct tier *tier)
{
    memset(&tier->replay, 0, sizeof(tier->replay));
}

/* -- On the I/O thread ----------------------------------------------------------------------------- */

/* Gives the request the value that memory has.  False: it has none any more. */
static bool take_value(struct tier *tier, struct request *r)
{
    struct memory_entry entry;
    size_t size = 0;
    int found = memory_get(tier->memory, r->op.key, r->op.key_length, clock_now_ms(), true, NULL, 0,
                           &entry);

    for (int i = 0; found == MEMORY_OK && i < 4; i++) {
        alloc_free(r->op.value);
        size = entry.length;
        r->op.value = alloc_bytes(size);
        if (!r->op.value)
            return false;
        found = memory_get(tier->memory, r->op.key, r->op.key_length, clock_now_ms(), true,
                           r->op.value, size, &entry);
        if (found == MEMORY_OK) {
            r->op.value_length = entry.length;
            return !(entry.attributes.flags & MEMORY_TAGGED); /* whose names are not known */
        }
        if (found == MEMORY_SMALL)
            found = MEMORY_OK; /* it has just grown: once more */
    }
    return false;
}

static bool is_set(struct tier *tier, struct request *r, int64_t now_ms)
{
    const struct memory_replay *w = &r->replay;

    if (w->kind != MEMORY_REPLAY_SET || now_ms - w->made_ms >= OLD_MS ||
        (w->expires_ms && now_ms >= w->expires_ms))
        return false;
    r->op.ttl_ms = w->expires_ms ? w->expires_ms - now_ms : 0;
    return take_value(tier, r);
}

static bool tell(struct tier *tier, const struct memory_replay *w, int64_t now_ms)
{
    size_t length;
    const char *tag = tags_of_key(w->key, w->key_length, &length);
    struct request *r = tag ? request_internal(FOR_REPLAY, REDIS_INVALIDATE_TAG, tag, length)
                            : request_internal(FOR_REPLAY, REDIS_DELETE, w->key, w->key_length);

    if (r) {
        r->replay = *w;
        if (is_set(tier, r, now_ms))
            r->op.kind = REDIS_SET;
        r->op.deadline_ms = now_ms + DEADLINE_MS;
        if (redis_submit(tier->client, &r->op, false) == REDIS_ACCEPTED) {
            tier->replay.flights++;
            tier->replay.deletes += w->kind == MEMORY_REPLAY_DELETE;
            return true;
        }
        redis_op_free(&r->op);
    }
    memory_replay_over(tier->memory, w, false, MEMORY_LOCK_IO_US);
    return false;
}

/* Tells what there is of a kind.  False: enough is under way, or it does not go. */
static bool tell_all(struct tier *tier, enum memory_replay_kind kind, int64_t now_ms)
{
    struct replay *replay = &tier->replay;
    struct memory_replay w;

    while (replay->flights < AT_ONCE) {
        if (!memory_replay_next(tier->memory, kind, replay->at + kind, &w, MEMORY_LOCK_IO_US))
            return true;
        if (!tell(tier, &w, now_ms))
            return false;
    }
    return false;
}

int64_t replay_tick(struct tier *tier, int64_t now_ms)
{
    struct replay *replay = &tier->replay;
    uint32_t count = memory_replay_count(tier->memory);

    if (redis_client_state(tier->client, NULL, 0) != REDIS_STATE_UP)
        return INT64_MAX; /* coming up is a round of its own */
    if (memory_replay_take_lost(tier->memory))
        memory_epoch_bump(tier->memory);
    if (count == 0)
        return INT64_MAX;
    if (!replay->owner)
        replay->owner = request_draw_owner();
    if (now_ms < replay->rest_until_ms)
        return replay->rest_until_ms;
    if (!memory_replay_hold(tier->memory, replay->owner, now_ms, SILENT_MS))
        return now_ms + LOOK_MS;
    if (replay->flights == 0) {
        memory_replay_ground(tier->memory);
        memset(replay->at, 0, sizeof(replay->at));
    }
    if (tell_all(tier, MEMORY_REPLAY_DELETE, now_ms) && replay->deletes == 0)
        tell_all(tier, MEMORY_REPLAY_SET, now_ms);
    return now_ms + LOOK_MS;
}

void replay_done(struct tier *tier, struct request *r)
{
    struct replay *replay = &tier->replay;
    bool told = r->op.status == REDIS_DONE || r->op.status == REDIS_ABSENT;

    replay->flights--;
    replay->deletes -= r->replay.kind == MEMORY_REPLAY_DELETE;
    if (told && r->op.kind == REDIS_INVALIDATE_TAG)
        tags_apply(tier, r->op.key,
                   r->op.key_length); /* what was asked before it, and is not handled yet */
    memory_replay_over(tier->memory, &r->replay, told, MEMORY_LOCK_IO_US);
    if (told)
        memory_count(tier->memory, COUNT_REDIS_REPLAYED, 1);
    else
        replay->rest_until_ms = clock_now_ms() + REST_MS;
    redis_op_free(&r->op);
}
