/* When keys were last said to have changed. */
#include "open.h"

static struct memory *m;

static void open_lanes(uint64_t bytes)
{
    const struct memory_config config = {.name = "test",
                                         .identity = "changes",
                                         .bytes = bytes,
                                         .with_redis = true,
                                         .with_lanes = true};

    m = open_config(&config);
}

static int64_t since(const char *key)
{
    return memory_unchanged_since(m, key, strlen(key));
}

TEST(a_change_is_known_by_its_key)
{
    open_lanes(1 << 20);
    CHECK_INT(0, since("key"));
    memory_changed(m, "key", 3, 1000);
    CHECK_INT(1000, since("key"));
    CHECK_INT(0, since("other"));
    memory_changed(m, "key", 3, 900); /* told later, by another process */
    CHECK_INT(1000, since("key"));
    memory_changed(m, "key", 3, 1100);
    CHECK_INT(1100, since("key"));
}

TEST(a_change_of_all_is_one_of_each)
{
    open_lanes(1 << 20);
    memory_changed(m, "key", 3, 1000);
    memory_changed(m, NULL, 0, 900);
    CHECK_INT(1000, since("key"));
    CHECK_INT(900, since("other"));
    memory_changed(m, NULL, 0, 1100);
    CHECK_INT(1100, since("key"));
}

/* Of so many as change in a while few others are taken for changed. */
TEST(few_keys_share_a_time)
{
    enum { CHANGED = 1000, OTHERS = 10000 };
    char key[16];
    int taken = 0;

    open_lanes(64 << 20);
    for (int i = 0; i < CHANGED; i++)
        memory_changed(m, key, (size_t)snprintf(key, sizeof(key), "c%d", i), 1000);
    for (int i = 0; i < OTHERS; i++)
        taken += memory_unchanged_since(m, key, (size_t)snprintf(key, sizeof(key), "o%d", i)) != 0;
    CHECK(taken < OTHERS / 20);
    for (int i = 0; i < CHANGED; i++)
        CHECK_INT(1000,
                  memory_unchanged_since(m, key, (size_t)snprintf(key, sizeof(key), "c%d", i)));
}

CHECK_MAIN()
