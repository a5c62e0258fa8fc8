/* Many keys at once: what a put or delete of each would have done, with few holds of the locks. */
#define TANDEM_FAULTS

#include "memory/fault.h"

#include "open.h"

enum { MANY = 1000, LARGE = 16000 };

static struct memory_item items[2 * MANY];
static char keys[2 * MANY][16], values[2 * MANY][16];
static unsigned counts[FAULT_COUNT];

static void prepare(int count, int round)
{
    for (int i = 0; i < count; i++) {
        snprintf(keys[i], sizeof(keys[i]), "key%d", i);
        snprintf(values[i], sizeof(values[i]), "%d of %d", i, round);
        items[i] = (struct memory_item){.key = keys[i],
                                        .value = values[i],
                                        .key_length = strlen(keys[i]),
                                        .value_length = strlen(values[i])};
    }
}

static int put_all(struct memory *m, int count)
{
    memory_put_many(m, items, (size_t)count, &forever, MEMORY_LOCK_US);
    for (int i = 0; i < count; i++)
        if (items[i].status != MEMORY_OK)
            return items[i].status;
    return MEMORY_OK;
}

static void check_all(struct memory *m, int count, int round)
{
    char value[32];

    for (int i = 0; i < count; i++) {
        snprintf(value, sizeof(value), "%d of %d", i, round);
        CHECK_STR(value, get(m, keys[i]));
    }
}

TEST(each_lock_is_held_once)
{
    struct memory *m = open_bytes(64 << 20);
    unsigned shards = (unsigned)metric(m, COUNT_MEMORY_SHARDS);

    CHECK_INT(16, shards);
    fault_count(counts);
    for (int round = 0; round < 3; round++) {
        memset(counts, 0, sizeof(counts));
        prepare(MANY, round);
        CHECK_INT(MEMORY_OK, put_all(m, MANY));
        CHECK_INT(shards, counts[FAULT_LOCK_TAKEN]);
        CHECK_INT(shards, counts[FAULT_LOCK_TO_RELEASE]);
        check_all(m, MANY, round);
    }
    memset(counts, 0, sizeof(counts));
    memory_delete_many(m, items, MANY, clock_now_ms(), MEMORY_LOCK_US);
    CHECK_INT(shards, counts[FAULT_LOCK_TAKEN]);
    for (int i = 0; i < MANY; i++) {
        CHECK_INT(MEMORY_OK, items[i].status);
        CHECK_STR(NULL, get(m, keys[i]));
    }
    CHECK_INT(3 * MANY, metric(m, COUNT_MEMORY_SETS));
    CHECK_INT(MANY, metric(m, COUNT_MEMORY_DELETES));
    memory_delete_many(m, items, MANY, clock_now_ms(), MEMORY_LOCK_US);
    CHECK_INT(MEMORY_ABSENT, items[0].status);
    CHECK_INT(MANY, metric(m, COUNT_MEMORY_DELETES));
    memory_close(m);
}

TEST(of_one_key_the_last_counts)
{
    struct memory *m = open_small();

    prepare(MANY, 1);
    for (int i = 0; i < MANY; i++) {
        items[i].key = "key";
        items[i].key_length = 3;
    }
    CHECK_INT(MEMORY_OK, put_all(m, MANY));
    CHECK_STR("999 of 1", get(m, "key"));
    CHECK_INT(1, metric(m, COUNT_MEMORY_ENTRIES));
    memory_delete_many(m, items, 2, clock_now_ms(), MEMORY_LOCK_US);
    CHECK_INT(MEMORY_OK, items[0].status);
    CHECK_INT(MEMORY_ABSENT, items[1].status);
    memory_put_many(m, items, 0, &forever, MEMORY_LOCK_US);
    memory_close(m);
}

/* A hold is not longer for others than some writes are. */
TEST(a_lock_is_given_back_now_and_then)
{
    static char large[LARGE];
    struct memory *m = open_bytes(16 << 20);
    unsigned shards = (unsigned)metric(m, COUNT_MEMORY_SHARDS);

    fault_count(counts);
    prepare(MANY, 1);
    for (int i = 0; i < MANY; i++) {
        items[i].value = large;
        items[i].value_length = LARGE;
    }
    CHECK_INT(MEMORY_OK, put_all(m, MANY));
    CHECK(counts[FAULT_LOCK_TAKEN] >= MANY * (unsigned)LARGE / (65536 + LARGE));
    CHECK(counts[FAULT_LOCK_TAKEN] > 10 * shards);
    CHECK_INT(MANY, metric(m, COUNT_MEMORY_SETS));
    CHECK(metric(m, COUNT_MEMORY_ENTRIES) > 100);
    CHECK(get(m, keys[MANY - 1]) != NULL);
    memset(counts, 0, sizeof(counts));
    prepare(2 * MANY, 2);
    CHECK_INT(MEMORY_OK, put_all(m, 2 * MANY));
    CHECK(counts[FAULT_LOCK_TAKEN] >= 2 * MANY / 128);
    memory_close(m);
}

TEST(what_is_too_large_is_told_of_that_one)
{
    struct memory *m = open_small();
    size_t limit = memory_value_limit(m);
    char *huge = calloc(1, limit + 1);

    REQUIRE(huge);
    prepare(3, 1);
    items[1].value = huge;
    items[1].value_length = limit + 1;
    put(m, "key1", "old");
    CHECK_INT(MEMORY_TOO_BIG, put_all(m, 3));
    CHECK_INT(MEMORY_OK, items[0].status);
    CHECK_INT(MEMORY_OK, items[2].status);
    CHECK_STR(NULL, get(m, "key1"));
    free(huge);
    memory_close(m);
}

CHECK_MAIN()
