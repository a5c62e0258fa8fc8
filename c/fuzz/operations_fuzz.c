/* Sequences of operations on a small segment, beside a model that forgets nothing: what is read is what the
 * model has, or a miss, for a cache may forget; and what was deleted, dropped, invalidated or has expired is
 * never read again.  The clock is moved by the input. */
#include "fuzz.h"

#include <string.h>

#include "base/clock.h"
#include "base/glob.h"
#include "memory/memory.h"

enum {
    BYTES = 1 << 20,
    KEYS = 40,
    TAGS = 4,
    TOKENS = 4,
    LARGEST = 16384,
    KEY_ROOM = MEMORY_KEY_MAX
};

/* What a key has, unless it was evicted. */
struct known {
    bool there;
    uint8_t value[LARGEST];
    size_t length;
    int64_t expires_ms; /* 0: never */
    bool from_redis;
    unsigned epoch;          /* it was stored under */
    int tag;                 /* -1: none */
    unsigned tagged_at;      /* how many invalidations of tags there had been */
    unsigned invals, writes; /* of the key, ever */
};

/* A token, and what the model knew when it was taken. */
struct taken {
    struct memory_token token;
    unsigned key, epoch, invals, writes, tagged_at;
};

static struct memory *m;
static struct known known[KEYS];
static struct taken taken[TOKENS];
static unsigned epoch, invalidations, invalidated[TAGS]; /* the number of each tag's latest */
static uint32_t hashes[TAGS];
static char keys[KEYS][KEY_ROOM];
static size_t key_lengths[KEYS];
static uint8_t got[LARGEST];

/* -- Keys and values ------------------------------------------------------------------------------- */

static void name_keys(void)
{
    for (unsigned i = 0; i < KEYS && !key_lengths[KEYS - 1]; i++) {
        size_t longer = i == KEYS - 1 ? KEY_ROOM - 3 : i % 8 == 7 ? 100 + i : 0;

        memset(keys[i], 'x', longer);
        snprintf(keys[i] + longer, 3, "%02u", i);
        key_lengths[i] = longer + 2;
    }
}

/* The next value: so long that some fit in place of others, some take many pages, and some are too large. */
static size_t next_value(struct input *in, uint8_t *value)
{
    unsigned size = input_byte(in), first = input_byte(in);
    size_t length = size < 160 ? size : size < 240 ? (size - 160) * 40 : (size - 239) * 1024;

    for (size_t i = 0; i < length && i < LARGEST; i++)
        value[i] = (uint8_t)(first + i * 7 + i / 256);
    return length;
}

static bool lives(const struct known *k, int64_t now_ms)
{
    return k->there && (k->expires_ms == 0 || now_ms < k->expires_ms) &&
           (k->tag < 0 || invalidated[k->tag] <= k->tagged_at);
}

static void store(unsigned key, const uint8_t *value, size_t length,
                  const struct memory_attributes *attributes, int tag, unsigned tagged_at)
{
    struct known *k = &known[key];

    k->there = true;
    memcpy(k->value, value, length);
    k->length = length;
    k->expires_ms = attributes->expires_ms;
    k->from_redis = attributes->flags & MEMORY_FROM_REDIS;
    k->epoch = epoch;
    k->tag = tag;
    k->tagged_at = tagged_at;
}

/* -- Looking --------------------------------------------------------------------------------------- */

/* Is it there?  Then it is what the model has. */
static bool look(unsigned key, bool peek)
{
    struct memory_entry entry;
    int64_t now_ms = clock_now_ms();
    const struct known *k = &known[key];
    int rc = memory_get(m, keys[key], key_lengths[key], now_ms, peek, got, sizeof(got), &entry);

    HOLDS(rc == MEMORY_OK || rc == MEMORY_ABSENT);
    if (rc == MEMORY_ABSENT)
        return false;
    HOLDS(lives(k, now_ms));
    HOLDS(entry.length == k->length && memcmp(got, k->value, k->length) == 0);
    HOLDS(entry.attributes.expires_ms == k->expires_ms);
    HOLDS(!k->from_redis || entry.epoch_holds == (k->epoch == epoch));
    return true;
}

static void list(const char *glob)
{
    static uint8_t page[KEYS * (KEY_ROOM + 4)];
    size_t length, count, at = 0;
    unsigned seen[KEYS] = {0};
    double cursor = 0;
    int rc;

    do {
        int64_t now_ms = clock_now_ms();

        rc = memory_keys(m, &cursor, glob, strlen(glob), now_ms, page, sizeof(page), &length,
                         &count);
        HOLDS(rc == MEMORY_OK || rc == MEMORY_MORE);
        for (at = 0; count > 0; count--) {
            uint32_t n;
            unsigned key = 0;

            memcpy(&n, page + at, 4);
            while (key < KEYS &&
                   (key_lengths[key] != n || memcmp(keys[key], page + at + 4, n) != 0))
                key++;
            HOLDS(key < KEYS && lives(&known[key], now_ms) && ++seen[key] == 1);
            at += 4 + n;
        }
    } while (rc == MEMORY_MORE);
}

static void verify(void)
{
    struct memory_findings findings;

    for (uint32_t shard = 0; memory_verify(m, shard, clock_now_ms(), &findings); shard++)
        HOLDS(findings.damaged == 0);
}

/* -- Changing -------------------------------------------------------------------------------------- */

static struct memory_tags tags;

/* How long it lives, and what it has. */
static int next_attributes(struct input *in, struct memory_attributes *attributes)
{
    unsigned steer = input_byte(in);
    int tag = -1;

    *attributes = (struct memory_attributes){0};
    if (steer & 1)
        attributes->expires_ms = clock_now_ms() + 1 + (steer >> 4) * 500;
    if (steer & 2)
        attributes->flags |= MEMORY_FROM_REDIS;
    if (steer & 4) {
        tag = (int)(steer >> 3) % TAGS;
        tags = (struct memory_tags){memory_tag_number(m), 1, &hashes[tag]};
        attributes->flags |= MEMORY_TAGGED;
        attributes->tags = &tags;
    }
    return tag;
}

/* What has just been stored is there, unless its time is over already. */
static void stored(unsigned key, int rc, const uint8_t *value, size_t length,
                   const struct memory_attributes *attributes, int tag, unsigned tagged_at)
{
    HOLDS((rc == MEMORY_TOO_BIG) == (length > memory_value_limit(m)));
    known[key].there = false;
    if (rc == MEMORY_OK) {
        store(key, value, length, attributes, tag, tagged_at);
        HOLDS(look(key, true) || !lives(&known[key], clock_now_ms()));
    } else {
        HOLDS(!look(key, true));
    }
}

static void put(struct input *in, unsigned key, unsigned how)
{
    static uint8_t value[LARGEST + 4096];
    struct memory_attributes attributes;
    int tag = next_attributes(in, &attributes), rc;
    size_t length = next_value(in, value);
    int64_t now_ms = clock_coarse_ms(); /* which writes go by */

    if (how == 1) {
        rc = memory_add(m, keys[key], key_lengths[key], value, length, &attributes, MEMORY_LOCK_US);
        HOLDS(rc != MEMORY_EXISTS || lives(&known[key], now_ms));
    } else if (how == 2) {
        rc = memory_replace(m, keys[key], key_lengths[key], value, length, &attributes,
                            MEMORY_LOCK_US);
        HOLDS(rc != MEMORY_OK || lives(&known[key], now_ms));
    } else {
        rc = memory_put(m, keys[key], key_lengths[key], value, length, &attributes, MEMORY_LOCK_US);
    }
    if (rc != MEMORY_EXISTS && rc != MEMORY_ABSENT)
        stored(key, rc, value, length, &attributes, tag, invalidations);
}

static void put_many(struct input *in, unsigned key)
{
    static uint8_t values[3][LARGEST + 4096];
    struct memory_item items[3];
    struct memory_attributes attributes;
    int tag = next_attributes(in, &attributes);

    for (unsigned i = 0; i < 3; i++) {
        unsigned which = (key + i) % KEYS;

        items[i] = (struct memory_item){.key = keys[which],
                                        .key_length = key_lengths[which],
                                        .value = values[i],
                                        .value_length = next_value(in, values[i])};
    }
    memory_put_many(m, items, 3, &attributes, MEMORY_LOCK_US);
    for (unsigned i = 0; i < 3; i++) { /* a later one may have evicted an earlier one */
        unsigned which = (key + i) % KEYS;

        HOLDS(items[i].status == MEMORY_OK || items[i].status == MEMORY_TOO_BIG);
        known[which].there = false;
        if (items[i].status == MEMORY_OK)
            store(which, values[i], items[i].value_length, &attributes, tag, invalidations);
        look(which, true);
    }
}

static void remove_one(unsigned key)
{
    int64_t now_ms = clock_now_ms();
    int rc = memory_delete(m, keys[key], key_lengths[key], now_ms, MEMORY_LOCK_US);

    HOLDS(rc == MEMORY_ABSENT || (rc == MEMORY_OK && lives(&known[key], now_ms)));
    known[key].there = false;
}

static void add_up(struct input *in, unsigned key)
{
    int by = (int)input_byte(in) - 128;
    struct memory_addition addition = {.by = by, .init = 1000, .with_init = by & 1};
    int64_t now_ms = clock_coarse_ms();
    int rc = memory_incr(m, keys[key], key_lengths[key], &addition, MEMORY_LOCK_US);
    struct known *k = &known[key];
    char text[40] = "", was[LARGEST + 1];
    long long number;
    char *end;

    memcpy(was, k->value, k->length);
    was[k->length] = '\0';
    number = strtoll(was, &end, 10);
    if (rc == MEMORY_NOT_A_NUMBER || rc == MEMORY_OUT_OF_RANGE) {
        HOLDS(lives(k, now_ms));
    } else if (rc == MEMORY_OK && addition.sum == 1000 + by && addition.with_init) {
        /* It was not there; or it is a sum that is the same by chance. */
        if (!lives(k, now_ms) || number + by != 1000 || *end) {
            store(key, (uint8_t *)text, 0, &addition.attributes, -1, 0);
        }
    } else if (rc == MEMORY_OK) {
        HOLDS(lives(k, now_ms) && !*end && addition.sum == number + by);
    } else {
        HOLDS(rc == MEMORY_ABSENT && !addition.with_init);
    }
    if (rc == MEMORY_OK) {
        k->length = (size_t)snprintf(text, sizeof(text), "%.0Lf", addition.sum);
        memcpy(k->value, text, k->length);
        look(key, true);
    }
}

static void set_number(unsigned key, unsigned n)
{
    const struct memory_attributes forever = {0};
    char text[16];
    size_t length = (size_t)snprintf(text, sizeof(text), "%d", (int)n - 100);
    int rc = memory_put(m, keys[key], key_lengths[key], text, length, &forever, MEMORY_LOCK_US);

    stored(key, rc, (uint8_t *)text, length, &forever, -1, 0);
}

static void expire(struct input *in, unsigned key)
{
    int64_t now_ms = clock_now_ms(), expires_ms = input_byte(in) * 100;
    int rc;

    expires_ms = expires_ms ? now_ms + expires_ms : 0;
    rc = memory_expire(m, keys[key], key_lengths[key], expires_ms, now_ms, MEMORY_LOCK_US);
    HOLDS(rc == MEMORY_ABSENT || (rc == MEMORY_OK && lives(&known[key], now_ms)));
    if (rc == MEMORY_OK)
        known[key].expires_ms = expires_ms;
}

/* -- What belongs to Redis ------------------------------------------------------------------------- */

static void take_token(unsigned key, unsigned which)
{
    struct taken *t = &taken[which % TOKENS];

    memory_token_read(m, keys[key], key_lengths[key], &t->token);
    t->key = key;
    t->epoch = epoch;
    t->invals = known[key].invals;
    t->writes = known[key].writes;
    t->tagged_at = invalidations;
}

static void use_token(struct input *in, unsigned which, bool fill)
{
    static uint8_t value[LARGEST + 4096];
    const struct taken *t = &taken[which % TOKENS];
    struct known *k = &known[t->key];
    struct memory_attributes attributes;
    int tag = next_attributes(in, &attributes), rc;
    size_t length = next_value(in, value);

    tags.number = t->token.tags; /* the tags are those of before the question */
    attributes.flags |= MEMORY_FROM_REDIS;
    if (fill)
        rc = memory_fill(m, keys[t->key], key_lengths[t->key], value, length, &attributes,
                         &t->token, MEMORY_LOCK_US);
    else
        rc = memory_commit(m, keys[t->key], key_lengths[t->key], value, length, &attributes,
                           &t->token, MEMORY_LOCK_US);
    if (rc == MEMORY_OK)
        HOLDS(t->epoch == epoch && t->writes == k->writes && (!fill || t->invals == k->invals));
    k->writes += !fill;
    if (rc != MEMORY_REFUSED)
        stored(t->key, rc, value, length, &attributes, tag, t->tagged_at);
    else if (!fill)
        k->there = false;
}

static void drop(unsigned key, bool own)
{
    if (own) {
        int64_t now_ms = clock_now_ms();
        int rc = memory_drop(m, keys[key], key_lengths[key], now_ms, MEMORY_LOCK_US);

        HOLDS(rc == MEMORY_ABSENT || (rc == MEMORY_OK && lives(&known[key], now_ms)));
        known[key].writes++;
    } else {
        HOLDS(memory_invalidate(m, keys[key], key_lengths[key], MEMORY_LOCK_US) != MEMORY_BUSY);
        known[key].invals++;
    }
    known[key].there = false;
}

static void drop_tag(unsigned tag)
{
    invalidated[tag] = ++invalidations;
    memory_tag_invalidate(m, hashes[tag]);
}

/* -- Everything at once ---------------------------------------------------------------------------- */

static void remove_all(const char *glob)
{
    double cursor = 0;
    size_t count;
    int rc;

    do {
        rc = memory_remove(m, &cursor, glob, glob ? strlen(glob) : 0, clock_now_ms(),
                           MEMORY_LOCK_US, &count);
        HOLDS(rc == MEMORY_OK || rc == MEMORY_MORE);
    } while (rc == MEMORY_MORE);
    for (unsigned key = 0; key < KEYS; key++)
        if (!glob || glob_match(glob, strlen(glob), keys[key], key_lengths[key]))
            known[key].there = false;
    epoch += !glob;
}

static void clean(void)
{
    double cursor = 0;
    size_t count;

    while (memory_cleanup(m, &cursor, 0, clock_now_ms(), MEMORY_LOCK_US, &count) == MEMORY_MORE)
        continue;
}

static const char *const globs[] = {"*", "1*", "x*", "?[0-4]", "*x3?", ""};

static void act(struct input *in, unsigned what, unsigned key)
{
    switch (what) {
    case 0:
    case 1:
    case 2:
    case 3:
        look(key, what == 3);
        break;
    case 4:
    case 5:
    case 6:
    case 7:
    case 8:
        put(in, key, 0);
        break;
    case 9:
    case 10:
        put(in, key, what - 8);
        break;
    case 11:
        put_many(in, key);
        break;
    case 12:
    case 13:
        remove_one(key);
        break;
    case 14:
        add_up(in, key);
        break;
    case 15:
        set_number(key, input_byte(in));
        break;
    case 16:
        expire(in, key);
        break;
    case 17:
        clock_shift(1 + input_byte(in) * 20);
        break;
    case 18:
    case 19:
        take_token(key, input_byte(in));
        break;
    case 20:
    case 21:
        use_token(in, input_byte(in), what == 20);
        break;
    case 22:
    case 23:
        drop(key, what == 22);
        break;
    case 24:
        drop_tag(key % TAGS);
        break;
    case 25:
        if (key < 6)
            list(globs[key]);
        break;
    case 26:
        if (key < 6)
            remove_all(key ? globs[key] : NULL);
        break;
    case 27:
        if (key < 6) {
            memory_epoch_bump(m);
            epoch++;
        } else if (key < 9) {
            memory_drop_all(m);
            epoch++;
            for (unsigned i = 0; i < KEYS; i++)
                known[i].there = false;
        }
        break;
    case 28:
        if (key < 6)
            clean();
        break;
    default:
        for (unsigned i = 0; i < KEYS; i++)
            look(i, true);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct memory_config config = {
        .name = "fuzz", .identity = "fuzz", .bytes = BYTES, .with_redis = true, .with_tags = true};
    struct input in = {data, size};
    char error[256];

    name_keys();
    HOLDS(memory_open(&config, &m, error, sizeof(error)) == MEMORY_OK);
    for (unsigned i = 0; i < KEYS; i++)
        known[i].there = false;
    for (unsigned i = 0; i < TAGS; i++) {
        hashes[i] = memory_tag_hash(m, &"tags"[i], 4 - i);
        invalidated[i] = 0;
    }
    invalidations = 0;
    for (unsigned i = 0; i < TOKENS; i++)
        take_token(i, i);
    while (in.left) {
        unsigned what = input_byte(&in) % 30;

        act(&in, what, input_byte(&in) % KEYS);
    }
    for (unsigned i = 0; i < KEYS; i++)
        look(i, false);
    verify();
    memory_close(m);
    return 0;
}
