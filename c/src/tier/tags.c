#include "tier/tags.h"

#include <string.h>

#include "base/clock.h"
#include "tier/request.h"
#include "tier/result.h"

enum { KEY_BYTES = sizeof(REDIS_TAG_KEY) - 1 + REDIS_TAG_MAX };

/* -- Names and lists ------------------------------------------------------------------------------- */

/* The tag at a place, and where the next one is; 0: there is none, or it makes no sense. */
static size_t next(enum tags_shape shape, const char *bytes, size_t length, size_t at,
                   const char **tag, size_t *tag_length)
{
    size_t rest = shape == TAGS_LIST ? REDIS_TAG_GENERATION : 0;

    if (at >= length)
        return 0;
    *tag_length = (unsigned char)bytes[at];
    *tag = bytes + at + 1;
    at += 1 + *tag_length + rest;
    return at <= length ? at : 0;
}

bool tags_are_names(const char *names, size_t length)
{
    const char *tag;
    size_t at = 0, n, count = 0;

    while (at < length) {
        at = next(TAGS_NAMES, names, length, at, &tag, &n);
        if (!at || n == 0 || n > REDIS_TAG_MAX || ++count > MEMORY_TAGS_MAX)
            return false;
    }
    return count > 0;
}

static void read_tags(struct tier *tier, enum tags_shape shape, const char *bytes, size_t length,
                      uint64_t number, struct tags *to)
{
    const char *tag;
    size_t at = 0, n;

    to->tags = (struct memory_tags){.number = number, .hashes = to->hashes};
    while (to->tags.count < MEMORY_TAGS_MAX && (at = next(shape, bytes, length, at, &tag, &n)))
        to->hashes[to->tags.count++] = memory_tag_hash(tier->memory, tag, n);
}

void tags_attach(struct tier *tier, enum tags_shape shape, const char *bytes, size_t length,
                 uint64_t number, struct tags *tags, struct memory_attributes *a)
{
    if (!length)
        return;
    read_tags(tier, shape, bytes, length, number, tags);
    if (!tags->tags.count)
        return;
    a->flags |= MEMORY_TAGGED;
    a->tags = &tags->tags;
}

bool tags_hold(struct tier *tier, enum tags_shape shape, const char *bytes, size_t length,
               uint64_t number)
{
    struct tags tags;

    if (!length)
        return true;
    read_tags(tier, shape, bytes, length, number, &tags);
    return memory_tags_hold(tier->memory, &tags.tags);
}

/* -- Keys of tags ---------------------------------------------------------------------------------- */

/* Under such a key the replay's table has an invalidation, too: no other can have it. */
static size_t key_of(const char *tag, size_t length, char key[KEY_BYTES])
{
    memcpy(key, REDIS_TAG_KEY, sizeof(REDIS_TAG_KEY) - 1);
    memcpy(key + sizeof(REDIS_TAG_KEY) - 1, tag, length);
    return sizeof(REDIS_TAG_KEY) - 1 + length;
}

const char *tags_of_key(const char *key, size_t key_length, size_t *length)
{
    size_t n = sizeof(REDIS_TAG_KEY) - 1;

    if (!reserved_begins(key, key_length, REDIS_TAG_KEY))
        return NULL;
    *length = key_length - n;
    return key + n;
}

bool tags_are_awaited(struct tier *tier, const char *list, size_t length)
{
    char key[KEY_BYTES];
    const char *tag;
    size_t at = 0, n;

    if (!memory_replay_count(tier->memory))
        return false;
    while ((at = next(TAGS_LIST, list, length, at, &tag, &n)))
        if (n <= REDIS_TAG_MAX && memory_replay_peek(tier->memory, key, key_of(tag, n, key),
                                                     MEMORY_LOCK_IO_US) != MEMORY_REPLAY_NONE)
            return true;
    return false;
}

bool tags_hear(struct tier *tier, const char *key, size_t key_length)
{
    size_t list = sizeof(REDIS_TAGS_KEY) - 1, n;
    const char *tag = tags_of_key(key, key_length, &n);

    if (tag) {
        memory_tag_invalidate(tier->memory, memory_tag_hash(tier->memory, tag, n));
        return true;
    }
    if (!reserved_begins(key, key_length, REDIS_TAGS_KEY))
        return false;
    if (key_length - list <= MEMORY_KEY_MAX)
        memory_invalidate(tier->memory, key + list, key_length - list, MEMORY_LOCK_IO_US);
    return true;
}

/* -- Invalidating ---------------------------------------------------------------------------------- */

void tags_apply(struct tier *tier, const char *tag, size_t length)
{
    memory_tag_invalidate(tier->memory, memory_tag_hash(tier->memory, tag, length));
}

/* To do it twice does no harm, so it is also told later if it may have been done. */
static bool remember(struct tier *tier, const char *tag, size_t length, int64_t lock_us)
{
    char key[KEY_BYTES];

    memory_count(tier->memory, COUNT_REDIS_DEGRADED, 1);
    return replay_remember(tier, key, key_of(tag, length, key), true, 0, lock_us);
}

/* Redis could not even be told, status and result saying why. */
static int not_queued(tandem_cache *cache, const char *tag, size_t length, int status,
                      tandem_result *result)
{
    char why[sizeof(result->error)];

    tags_apply(cache->tier, tag, length);
    if (!cache->degrade || !remember(cache->tier, tag, length, MEMORY_LOCK_US))
        return status;
    memcpy(why, result->error, sizeof(why));
    return result_say(result, TANDEM_DEGRADED, "queued: %.*s", (int)sizeof(why) - 16, why);
}

int tags_invalidate(tandem_cache *cache, const char *tag, size_t length, int flags,
                    tandem_result *result)
{
    struct tier *tier = cache->tier;
    struct request *r;
    bool behind;
    int status;

    if (!tier->client) {
        tags_apply(tier, tag, length);
        return TANDEM_OK;
    }
    /* One that Redis is still to be told stays so: to tell it twice does no harm. */
    status = request_possible(cache, result);
    if (status)
        return not_queued(cache, tag, length, status, result);
    behind = cache->write_behind || (flags & TANDEM_NOWAIT);
    if (behind)
        tags_apply(tier, tag, length);
    r = request_create(cache, REDIS_INVALIDATE_TAG, tag, length);
    status = request_submit(cache, r, !behind, flags, result);
    if (status < 0)
        return not_queued(cache, tag, length, status, result);
    return behind ? TANDEM_OK : status;
}

void tags_done(struct tier *tier, struct request *r)
{
    struct outcome outcome = {.status = TANDEM_OK};
    const struct redis_op *op = &r->op;

    tags_apply(tier, op->key, op->key_length);
    if (write_judge(op) != WRITE_APPLIED) {
        if (r->degrade && remember(tier, op->key, op->key_length, MEMORY_LOCK_IO_US))
            request_degrade(r, "queued", &outcome);
        else
            request_fail(r,
                         write_judge(op) == WRITE_UNCERTAIN
                             ? "; whether it was done in Redis is unknown"
                             : NULL,
                         &outcome);
    }
    request_finish(r, &outcome);
}
