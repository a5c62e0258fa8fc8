/*
 * walk.c: walks over all slots, in steps that take a bounded time each.
 */
#include <string.h>

#include "base/clock.h"
#include "base/glob.h"
#include "memory/index.h"
#include "memory/memory.h"
#include "memory/shard.h"

/* Looking at the clock costs as much as looking at a few slots. */
enum {
    STEP_US = 1000,
    CLOCK_EVERY = 64,
    READ_ATTEMPTS = 8,
    AHEAD = 12 /* records lie about: so many slots before its turn comes one is asked for */
};

struct walk {
    struct memory *m;
    uint32_t slot, end;
    int64_t stop_us;
    unsigned until_clock;
};

static struct walk walk_begin(struct memory *m, double cursor)
{
    struct walk w = {m, 0, view_slot_count(m), clock_now_us() + STEP_US, CLOCK_EVERY};

    w.slot = cursor > 0 && cursor < w.end ? (uint32_t)cursor : cursor > 0 ? w.end : 0;
    return w;
}

static bool walk_goes_on(struct walk *w)
{
    if (w->slot >= w->end)
        return false;
    if (w->slot + AHEAD < w->end)
        index_prefetch_record(w->m, w->slot + AHEAD);
    if (w->until_clock--)
        return true;
    w->until_clock = CLOCK_EVERY;
    return clock_now_us() < w->stop_us;
}

static int walk_end(const struct walk *w, double *cursor)
{
    *cursor = w->slot;
    return w->slot >= w->end ? MEMORY_OK : MEMORY_MORE;
}

/* The record of a slot and so much of its key: without a lock, unless writers are in the way again and again, for
 * one may only be moving what is there.  INDEX_DISTURBED: the lock could not be had either. */
static enum index_status read_start(struct walk *w, int64_t lock_us, struct record *record,
                                    char *key, size_t most)
{
    uint32_t shard = view_shard_of(w->m, w->slot);
    enum index_status status = INDEX_DISTURBED;

    for (int i = 0; status == INDEX_DISTURBED && i < READ_ATTEMPTS; i++)
        status = index_read_slot(w->m, w->slot, record, key, most);
    if (status != INDEX_DISTURBED)
        return status;
    w->until_clock = 0;
    if (!shard_hold(w->m, shard, lock_us))
        return INDEX_DISTURBED;
    status = index_read_slot(w->m, w->slot, record, key, most);
    shard_release(w->m, shard);
    return status;
}

static enum index_status read_slot(struct walk *w, int64_t lock_us, struct record *record,
                                   char *key)
{
    return read_start(w, lock_us, record, key, MEMORY_KEY_MAX);
}

/* -- Patterns ------------------------------------------------------------------------------------ */

struct pattern {
    const char *glob; /* NULL: all */
    size_t length, prefix;
    bool is_prefix;
};

static struct pattern pattern_of(const char *glob, size_t length)
{
    struct pattern p = {glob, length, 0, false};

    if (glob)
        p.is_prefix = glob_is_prefix(glob, length, &p.prefix);
    return p;
}

static bool begins_with(const struct pattern *p, const struct record *record, const char *key)
{
    return record->key_length >= p->prefix && memcmp(key, p->glob, p->prefix) == 0;
}

/* As read_slot, but INDEX_ABSENT when the key does not match.  Of most keys a prefix tells that by itself. */
static enum index_status read_matching(struct walk *w, int64_t lock_us, const struct pattern *p,
                                       struct record *record, char *key)
{
    enum index_status status;

    if (p->is_prefix) {
        status = read_start(w, lock_us, record, key, p->prefix);
        if (status != INDEX_FOUND || !begins_with(p, record, key))
            return status == INDEX_FOUND ? INDEX_ABSENT : status;
    }
    status = read_slot(w, lock_us, record, key);
    if (status != INDEX_FOUND || !p->glob)
        return status;
    if (p->is_prefix ? begins_with(p, record, key)
                     : glob_match(p->glob, p->length, key, record->key_length))
        return INDEX_FOUND;
    return INDEX_ABSENT;
}

/* -- Walks --------------------------------------------------------------------------------------- */

int memory_keys(struct memory *m, double *cursor, const char *glob, size_t glob_length,
                int64_t now_ms, void *buffer, size_t size, size_t *length, size_t *count)
{
    const struct pattern pattern = pattern_of(glob, glob_length);
    struct walk w = walk_begin(m, *cursor);
    char key[MEMORY_KEY_MAX];
    char *out = buffer;
    struct record record;
    uint32_t n;

    *length = *count = 0;
    for (; walk_goes_on(&w); w.slot++) {
        if (read_matching(&w, MEMORY_LOCK_US, &pattern, &record, key) != INDEX_FOUND ||
            !shard_exists(m, &record, now_ms) || (record.attributes.flags & MEMORY_NEGATIVE))
            continue;
        n = (uint32_t)record.key_length;
        if (size - *length < sizeof(n) + n) {
            if (*count == 0) {
                *length = sizeof(n) + n;
                *cursor = w.slot;
                return MEMORY_SMALL;
            }
            break;
        }
        memcpy(out + *length, &n, sizeof(n));
        memcpy(out + *length + sizeof(n), key, n);
        *length += sizeof(n) + n;
        (*count)++;
    }
    return walk_end(&w, cursor);
}

/* Removes what the slot stands for if it still stands for that key. */
static int remove_slot(const struct walk *w, const struct record *seen, const char *key,
                       int64_t now_ms, int64_t lock_us, size_t *count)
{
    struct memory_place place = index_place(w->m, key, seen->key_length);
    struct record record;
    bool existed = false;

    if (!shard_hold(w->m, place.shard, lock_us))
        return MEMORY_BUSY;
    if (index_find_locked(w->m, &place, key, seen->key_length, &record) == w->slot) {
        existed =
            shard_exists(w->m, &record, now_ms) && !(record.attributes.flags & MEMORY_NEGATIVE);
        shard_forget_locked(w->m, w->slot);
        atomic_fetch_add_explicit(&view_bucket(w->m, place.slot[0])->wseq, 1, memory_order_release);
    }
    shard_release(w->m, place.shard);
    if (existed) {
        memory_count(w->m, COUNT_MEMORY_DELETES, 1);
        (*count)++;
    }
    return MEMORY_OK;
}

/* Removes what the slot stands for if that does not exist any more. */
static int reclaim_slot(const struct walk *w, int64_t now_ms, int64_t lock_us, size_t *count)
{
    uint32_t shard = view_shard_of(w->m, w->slot);
    struct record record;

    if (!shard_hold(w->m, shard, lock_us))
        return MEMORY_BUSY;
    if (shard_record_locked(w->m, w->slot, &record) && !shard_exists(w->m, &record, now_ms)) {
        shard_forget_locked(w->m, w->slot);
        shard_count_locked(w->m, shard, SHARD_EXPIRED);
        (*count)++;
    }
    shard_release(w->m, shard);
    return MEMORY_OK;
}

int memory_remove(struct memory *m, double *cursor, const char *glob, size_t glob_length,
                  int64_t now_ms, int64_t lock_us, size_t *count)
{
    const struct pattern pattern = pattern_of(glob, glob_length);
    struct walk w;
    char key[MEMORY_KEY_MAX];
    struct record record;

    *count = 0;
    if (!glob && *cursor == 0)
        memory_drop_all(m);
    w = walk_begin(m, *cursor);
    for (; walk_goes_on(&w); w.slot++) {
        enum index_status found = read_matching(&w, lock_us, &pattern, &record, key);
        int status = found == INDEX_DISTURBED && glob ? MEMORY_BUSY : MEMORY_OK;

        if (found == INDEX_ABSENT)
            continue;
        if (found == INDEX_FOUND && !glob && !shard_exists(m, &record, now_ms))
            status = reclaim_slot(&w, now_ms, lock_us, count);
        else if (found == INDEX_FOUND && glob)
            status = remove_slot(&w, &record, key, now_ms, lock_us, count);
        if (status != MEMORY_OK) {
            *cursor = w.slot;
            return status;
        }
    }
    return walk_end(&w, cursor);
}

int memory_cleanup(struct memory *m, double *cursor, size_t max, int64_t now_ms, int64_t lock_us,
                   size_t *count)
{
    struct walk w = walk_begin(m, *cursor);
    char key[MEMORY_KEY_MAX];
    struct record record;

    *count = 0;
    for (; walk_goes_on(&w) && (max == 0 || *count < max); w.slot++) {
        if (read_slot(&w, lock_us, &record, key) == INDEX_FOUND &&
            !shard_exists(m, &record, now_ms) &&
            reclaim_slot(&w, now_ms, lock_us, count) != MEMORY_OK) {
            *cursor = w.slot;
            return MEMORY_BUSY;
        }
    }
    return walk_end(&w, cursor);
}
