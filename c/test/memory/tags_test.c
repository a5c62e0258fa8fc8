/* Entries go with their tags: at once, all of them, and hardly any other. */
#include <pthread.h>
#include <sys/wait.h>

#include "memory/tags.h"

#include "open.h"

static struct memory *m;

struct tagging {
    struct memory_tags tags;
    uint32_t hashes[MEMORY_TAGS_MAX];
    struct memory_attributes attributes;
};

static struct tagging *tag(struct tagging *t, const char *const *names, uint32_t count)
{
    t->tags = (struct memory_tags){memory_tag_number(m), count, t->hashes};
    for (uint32_t i = 0; i < count; i++)
        t->hashes[i] = memory_tag_hash(m, names[i], strlen(names[i]));
    t->attributes = (struct memory_attributes){.flags = MEMORY_TAGGED, .tags = &t->tags};
    return t;
}

static int store(const char *key, const char *value, const struct tagging *t)
{
    return memory_put(m, key, strlen(key), value, strlen(value), &t->attributes, MEMORY_LOCK_US);
}

static int put_with(const char *key, const char *value, const char *name)
{
    struct tagging t;

    return store(key, value, tag(&t, &name, 1));
}

static void invalidate(const char *name)
{
    memory_tag_invalidate(m, memory_tag_hash(m, name, strlen(name)));
}

TEST(what_is_tagged_goes_and_what_is_not_stays)
{
    m = open_tagged(1 << 20);
    put(m, "plain", "1");
    CHECK_INT(MEMORY_OK, put_with("one", "2", "red"));
    CHECK_INT(MEMORY_OK, put_with("other", "3", "blue"));
    CHECK_STR("2", get(m, "one"));
    invalidate("red");
    CHECK_STR(NULL, get(m, "one"));
    CHECK_STR("3", get(m, "other"));
    CHECK_STR("1", get(m, "plain"));
    CHECK_INT(MEMORY_OK, put_with("one", "again", "red"));
    CHECK_STR("again", get(m, "one"));
    put(m, "one", "without");
    invalidate("red");
    CHECK_STR("without", get(m, "one"));
}

TEST(any_of_many_tags_is_enough)
{
    static char words[MEMORY_TAGS_MAX][8];
    static const char *names[MEMORY_TAGS_MAX];
    static const uint32_t counts[] = {1, 2, 3, 4, 7, 100, MEMORY_TAGS_MAX};
    static struct tagging t;

    m = open_tagged(4 << 20);
    for (uint32_t i = 0; i < MEMORY_TAGS_MAX; i++) {
        snprintf(words[i], sizeof(words[i]), "t%u", i);
        names[i] = words[i];
    }
    for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
        uint32_t which[] = {0, counts[i] / 2, counts[i] - 1};

        for (int j = 0; j < 3; j++) {
            CHECK_INT(MEMORY_OK, store("key", "a value of some length", tag(&t, names, counts[i])));
            CHECK_STR("a value of some length", get(m, "key"));
            invalidate(names[which[j]]);
            CHECK_STR(NULL, get(m, "key"));
        }
    }
}

TEST(what_was_asked_for_before_does_not_come_in_after)
{
    static const char *const names[] = {"red"};
    struct tagging t;

    m = open_tagged(1 << 20);
    tag(&t, names, 1);
    invalidate("red");
    CHECK_INT(MEMORY_OK, store("key", "of before", &t));
    CHECK_STR(NULL, get(m, "key"));
    CHECK(!memory_tags_hold(m, &t.tags));
}

/* A walk's steps, of which each has its time. */
static size_t count_keys(void)
{
    char buffer[256];
    double cursor = 0;
    size_t length, count, sum = 0;
    int rc;

    do {
        rc = memory_keys(m, &cursor, NULL, 0, clock_now_ms(), buffer, sizeof(buffer), &length,
                         &count);
        sum += count;
    } while (rc == MEMORY_MORE);
    CHECK_INT(MEMORY_OK, rc);
    return sum;
}

static size_t clean_up(void)
{
    double cursor = 0;
    size_t count, sum = 0;
    int rc;

    do {
        rc = memory_cleanup(m, &cursor, 0, clock_now_ms(), MEMORY_LOCK_US, &count);
        sum += count;
    } while (rc == MEMORY_MORE);
    CHECK_INT(MEMORY_OK, rc);
    return sum;
}

TEST(all_that_looks_at_entries_agrees)
{
    struct memory_addition addition = {.by = 2};
    struct memory_entry entry;

    m = open_tagged(1 << 20);
    put_with("key", "40", "red");
    CHECK_INT(MEMORY_OK, memory_incr(m, "key", 3, &addition, MEMORY_LOCK_US));
    CHECK_STR("42", get(m, "key"));
    CHECK_INT(MEMORY_OK,
              memory_expire(m, "key", 3, clock_now_ms() + 60000, clock_now_ms(), MEMORY_LOCK_US));
    invalidate("red"); /* which it has kept */
    CHECK_INT(MEMORY_ABSENT, memory_get(m, "key", 3, clock_now_ms(), true, NULL, 0, &entry));
    CHECK_INT(0, count_keys());
    CHECK_INT(MEMORY_ABSENT, memory_incr(m, "key", 3, &addition, MEMORY_LOCK_US));
    CHECK_INT(MEMORY_ABSENT, memory_replace(m, "key", 3, "x", 1, &forever, MEMORY_LOCK_US));
    CHECK_INT(MEMORY_ABSENT, memory_expire(m, "key", 3, 0, clock_now_ms(), MEMORY_LOCK_US));
    CHECK_INT(1, clean_up());
    put_with("key", "1", "red");
    invalidate("red");
    CHECK_INT(MEMORY_OK, memory_add(m, "key", 3, "added", 5, &forever, MEMORY_LOCK_US));
    CHECK_STR("added", get(m, "key"));
    CHECK_INT(1, memory_metric(m, GAUGE_FIRST + 1)); /* there is one entry of it, not two */
    put_with("key", "1", "red");
    invalidate("red");
    CHECK_INT(MEMORY_ABSENT, memory_delete(m, "key", 3, clock_now_ms(), MEMORY_LOCK_US));
}

TEST(entries_move_and_are_evicted_with_their_tags)
{
    char key[16], value[200];
    int there = 0, gone = 0;

    m = open_tagged(1 << 20);
    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    for (int i = 0; i < 40000; i++) {
        snprintf(key, sizeof(key), "key%d", i % 5000);
        if (i % 7)
            get(m, key);
        put_with(key, value, i % 2 ? "odd" : "even");
    }
    for (int i = 0; i < 5000; i++) {
        snprintf(key, sizeof(key), "key%d", i);
        there += get(m, key) != NULL;
    }
    CHECK(there > 1000);
    invalidate("odd");
    for (int i = 0; i < 5000; i++) {
        snprintf(key, sizeof(key), "key%d", i);
        if (get(m, key)) {
            CHECK_INT(0, i % 2);
            gone--;
        }
    }
    CHECK(there + gone > there / 3 && gone < -there / 3);
}

/* Ten thousand tags, of which a thousand go: of the others' entries hardly any go with them. */
TEST(others_hardly_ever_go_too)
{
    char key[16], name[16];
    int lost = 0;

    m = open_tagged(8 << 20); /* 8192 places */
    CHECK_INT(8192, m->layout.tags);
    for (int i = 0; i < 10000; i++) {
        snprintf(key, sizeof(key), "key%d", i);
        snprintf(name, sizeof(name), "tag%d", i);
        put_with(key, "value", name);
    }
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof(name), "tag%d", i);
        invalidate(name);
    }
    for (int i = 0; i < 10000; i++) {
        snprintf(key, sizeof(key), "key%d", i);
        if (i < 1000)
            CHECK_STR(NULL, get(m, key));
        else
            lost += get(m, key) == NULL;
    }
    /* One in 22 of 9000 is expected: (2000 / 8192)^2, less what was raised twice. */
    CHECK(lost < 700);
}

TEST(a_segment_without_tags_is_as_it_was)
{
    struct memory_near near;

    m = open_small();
    CHECK_INT(0, m->layout.tags);
    CHECK_INT(m->layout.tags_at, m->layout.shards_at);
    memory_tag_invalidate(m, 1);
    CHECK_INT(0, memory_tag_epoch(m));
    REQUIRE(memory_near_claim(m, &near) == MEMORY_OK);
    CHECK(near.tag_epoch == NULL);
}

/* -- Together -------------------------------------------------------------------------------------- */

enum { INVALIDATORS = 3, ROUNDS = 3000, SHARED_KEYS = 64 };

static _Atomic uint64_t
    source;                   /* what values are made from; changed before the tag is invalidated */
static _Atomic uint64_t done; /* the source at the latest invalidation that has returned */

/* A value that is of an older source than was invalidated before the read began must not be there. */
static void *set_and_get(void *argument)
{
    unsigned seed = *(unsigned *)argument;
    static const char *const names[] = {"red", "blue"};

    while (atomic_load(&done) < ROUNDS) {
        struct memory_entry entry;
        struct tagging t;
        uint64_t value, since = atomic_load(&done);
        char key[16];

        snprintf(key, sizeof(key), "key%d", rand_r(&seed) % SHARED_KEYS);
        if (memory_get(m, key, strlen(key), clock_now_ms(), false, &value, sizeof(value), &entry) ==
            MEMORY_OK)
            CHECK(value >= since);
        tag(&t, names, 2);
        value = atomic_load(&source);
        memory_put(m, key, strlen(key), &value, sizeof(value), &t.attributes, MEMORY_LOCK_US);
    }
    return NULL;
}

TEST(no_reader_gets_what_was_invalidated_before_it_began)
{
    pthread_t threads[INVALIDATORS];
    unsigned seeds[INVALIDATORS];

    m = open_tagged(1 << 20);
    for (unsigned i = 0; i < INVALIDATORS; i++) {
        seeds[i] = i + 1;
        REQUIRE(pthread_create(threads + i, NULL, set_and_get, seeds + i) == 0);
    }
    for (uint64_t n = 1; n <= ROUNDS; n++) {
        atomic_store(&source, n);
        invalidate(n % 2 ? "red" : "blue");
        atomic_store(&done, n);
    }
    for (int i = 0; i < INVALIDATORS; i++)
        pthread_join(threads[i], NULL);
}

CHECK_MAIN()
