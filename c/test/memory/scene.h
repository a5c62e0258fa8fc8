/*
 * scene.h: a shard's worth of keys, values that tell what they are, and writes that tell what they do
 * before they do it, so that others can say what may be found after the writer died.
 */
#ifndef TANDEM_TEST_MEMORY_SCENE_H
#define TANDEM_TEST_MEMORY_SCENE_H

#include "memory/fault.h"
#include "memory/index.h"
#include "memory/shard.h"
#include "memory/vlog.h"
#include "open.h"

enum { KEYS = 2600, SHARD = 0, USUAL = 100, LARGE = 15000, TOO_LARGE = 20000 };

/* What is known of the keys; child and parent both see it. */
struct scene {
    unsigned counts[FAULT_COUNT];
    uint32_t serial;      /* of the latest write */
    uint32_t acked[KEYS]; /* the value that a key has for sure unless it was evicted; 0: none */
    int32_t pending;      /* the key that is being written, or -1 */
    uint32_t pending_serial;
    uint32_t together,
        first_together; /* so many keys, the first ones, are being written with serials from there */
    /* Of the counter: what it is for sure unless it was evicted, and what is being made of it (0: nothing). */
    int64_t counted, counting;
    int64_t expires_ms[2]; /* of the first key: as it was, and as it is to be */
};

static struct memory *m;
static struct scene *scene;
static char keys[KEYS][16]; /* all of one shard */
static uint64_t random_state = 88172645463325252u;

CHECK_UNUSED void *shared(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    REQUIRE(memory != MAP_FAILED);
    return memory;
}

CHECK_UNUSED uint32_t draw(uint32_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 11) % below;
}

CHECK_UNUSED void scene_open(void)
{
    m = open_tagged(1 << 20);
    scene = shared(sizeof(*scene));
    scene->pending = -1;
    for (int key = 0, n = 0; key < KEYS; n++) {
        size_t length = (size_t)snprintf(keys[key], sizeof(keys[key]), "k%d", n);

        key += index_place(m, keys[key], length).shard == SHARD;
    }
}

/* -- Values that tell what they are --------------------------------------------------------------- */

struct value {
    uint32_t key, serial, length;
    unsigned char rest[TOO_LARGE];
};

CHECK_UNUSED size_t value_make(struct value *v, uint32_t key, uint32_t serial, uint32_t length)
{
    v->key = key;
    v->serial = serial;
    v->length = length;
    for (uint32_t i = 0; i < length; i++)
        v->rest[i] = (unsigned char)(key * 31 + serial * 7 + i);
    return offsetof(struct value, rest) + length;
}

CHECK_UNUSED bool value_is_whole(const struct value *v, size_t length, uint32_t key)
{
    struct value right;

    return length >= offsetof(struct value, rest) && v->length <= TOO_LARGE &&
           length == value_make(&right, key, v->serial, v->length) &&
           memcmp(v, &right, length) == 0;
}

/* The serial of a key's value: 0 when there is none, -1 when it is busy. */
CHECK_UNUSED int64_t look(uint32_t key, struct memory_entry *entry)
{
    struct value v;
    int rc =
        memory_get(m, keys[key], strlen(keys[key]), clock_now_ms(), true, &v, sizeof(v), entry);

    if (rc == MEMORY_OK)
        return CHECK(value_is_whole(&v, entry->length, key)) ? v.serial : UINT32_MAX;
    CHECK(rc == MEMORY_ABSENT || rc == MEMORY_BUSY);
    return rc == MEMORY_ABSENT ? 0 : -1;
}

/* -- Writes that tell what they do ---------------------------------------------------------------- */

CHECK_UNUSED void announce(uint32_t key, bool removal)
{
    scene->pending_serial = removal ? 0 : ++scene->serial;
    scene->pending = (int32_t)key;
}

CHECK_UNUSED void acknowledge(int rc)
{
    if (rc == MEMORY_BUSY)
        return; /* the announced write may or may not have happened */
    scene->acked[scene->pending] = rc == MEMORY_OK ? scene->pending_serial : 0;
    scene->pending = -1;
}

CHECK_UNUSED void put_sized(uint32_t key, uint32_t length, int64_t ttl_ms)
{
    struct memory_attributes a = {.expires_ms = ttl_ms ? clock_now_ms() + ttl_ms : 0};
    struct value v;

    announce(key, false);
    acknowledge(memory_put(m, keys[key], strlen(keys[key]), &v,
                           value_make(&v, key, scene->serial, length), &a, MEMORY_LOCK_US));
}

CHECK_UNUSED void put_usual(uint32_t key)
{
    put_sized(key, USUAL, 0);
}

CHECK_UNUSED void delete_key(uint32_t key)
{
    announce(key, true);
    acknowledge(memory_delete(m, keys[key], strlen(keys[key]), clock_now_ms(), MEMORY_LOCK_US));
}

CHECK_UNUSED void put_tagged(uint32_t key)
{
    uint32_t hashes[3] = {memory_tag_hash(m, "a", 1), memory_tag_hash(m, "b", 1),
                          memory_tag_hash(m, "c", 1)};
    struct memory_tags tags = {memory_tag_number(m), 3, hashes};
    struct memory_attributes a = {.flags = MEMORY_TAGGED, .tags = &tags};
    struct value v;

    announce(key, false);
    acknowledge(memory_put(m, keys[key], strlen(keys[key]), &v,
                           value_make(&v, key, scene->serial, USUAL), &a, MEMORY_LOCK_US));
}

/* The only key that is tagged. */
CHECK_UNUSED void invalidate_tag_of(uint32_t key)
{
    announce(key, true);
    memory_tag_invalidate(m, memory_tag_hash(m, "b", 1));
    acknowledge(MEMORY_OK);
}

static const struct memory_attributes redis = {.flags = MEMORY_FROM_REDIS};

CHECK_UNUSED void fill_first(void)
{
    struct memory_token token;
    struct value v;

    memory_token_read(m, keys[0], strlen(keys[0]), &token);
    announce(0, false);
    acknowledge(memory_fill(m, keys[0], strlen(keys[0]), &v,
                            value_make(&v, 0, scene->serial, USUAL), &redis, &token,
                            MEMORY_LOCK_US));
}

CHECK_UNUSED void commit(uint32_t length, bool outdated)
{
    struct memory_token token;
    struct value v;

    memory_token_read(m, keys[0], strlen(keys[0]), &token);
    token.wseq -= outdated;
    announce(0, false);
    acknowledge(memory_commit(m, keys[0], strlen(keys[0]), &v,
                              value_make(&v, 0, scene->serial, length), &redis, &token,
                              MEMORY_LOCK_US));
}

CHECK_UNUSED void drop_first(void)
{
    announce(0, true);
    acknowledge(memory_drop(m, keys[0], strlen(keys[0]), clock_now_ms(), MEMORY_LOCK_US));
}

CHECK_UNUSED void add_or_replace(uint32_t key, bool add)
{
    uint32_t acked = scene->acked[key];
    struct value v;
    size_t length;
    int rc;

    announce(key, false);
    length = value_make(&v, key, scene->serial, USUAL);
    rc = (add ? memory_add : memory_replace)(m, keys[key], strlen(keys[key]), &v, length, &forever,
                                             MEMORY_LOCK_US);
    acknowledge(rc);
    if (rc == MEMORY_EXISTS)
        scene->acked[key] = acked;
}

/* A key of the same shard that is none of the others. */
CHECK_UNUSED const char *counter_key(void)
{
    static char key[16];

    for (int n = 0; !key[0] || index_place(m, key, strlen(key)).shard != SHARD; n++)
        snprintf(key, sizeof(key), "n%d", n);
    return key;
}

CHECK_UNUSED void count(long double by)
{
    struct memory_addition a = {.by = by, .with_init = true};
    int rc;

    scene->counting = scene->counted + (int64_t)by;
    rc = memory_incr(m, counter_key(), strlen(counter_key()), &a, MEMORY_LOCK_US);
    if (rc == MEMORY_OK) {
        /* It may have been evicted, or dropped meanwhile. */
        CHECK((int64_t)a.sum == scene->counting || a.sum == by);
        scene->counted = (int64_t)a.sum;
        scene->counting = 0;
    }
}

/* What the counter is, or 0. */
CHECK_UNUSED int64_t look_at_counter(void)
{
    struct memory_entry entry;
    char text[32] = "";
    int rc = memory_get(m, counter_key(), strlen(counter_key()), clock_now_ms(), true, text,
                        sizeof(text) - 1, &entry);

    CHECK(rc == MEMORY_OK || rc == MEMORY_ABSENT || rc == MEMORY_BUSY);
    return rc == MEMORY_OK ? atoll(text) : 0;
}

CHECK_UNUSED void expire_first(void)
{
    int64_t now_ms = clock_now_ms();

    scene->expires_ms[1] = now_ms + 1000000;
    if (memory_expire(m, keys[0], strlen(keys[0]), scene->expires_ms[1], now_ms, MEMORY_LOCK_US) ==
        MEMORY_OK)
        scene->expires_ms[0] = scene->expires_ms[1];
}

CHECK_UNUSED void mark(uint32_t key)
{
    struct memory_entry entry;

    memory_get(m, keys[key], strlen(keys[key]), clock_now_ms(), false, NULL, 0, &entry);
}

CHECK_UNUSED void churn(int operations)
{
    for (int i = 0; i < operations; i++) {
        uint32_t key = draw(draw(KEYS) + 1);

        switch (draw(8)) {
        case 0:
            delete_key(key);
            break;
        case 1:
            put_sized(key, draw(40) ? draw(300) : draw(LARGE), 0);
            break;
        case 2:
        case 3:
            put_usual(key);
            break;
        default:
            mark(key);
        }
    }
}

#endif
