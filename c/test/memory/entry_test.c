/*
 * Single entries: what a put, get, delete, fill and commit do to them.
 */
#include "memory/index.h"
#include "memory/vlog.h"
#include "open.h"

TEST(a_value_comes_back)
{
    struct memory *m = open_small();

    CHECK_STR(NULL, get(m, "key"));
    CHECK_INT(MEMORY_OK, put(m, "key", "value"));
    CHECK_STR("value", get(m, "key"));
    CHECK_INT(MEMORY_OK, put(m, "key", "another"));
    CHECK_STR("another", get(m, "key"));
    CHECK_INT(MEMORY_OK, put(m, "key", ""));
    CHECK_STR("", get(m, "key"));
    CHECK_INT(1, metric(m, COUNT_MEMORY_ENTRIES));
    CHECK_INT(MEMORY_OK, memory_delete(m, "key", 3, clock_now_ms(), MEMORY_LOCK_US));
    CHECK_INT(MEMORY_ABSENT, memory_delete(m, "key", 3, clock_now_ms(), MEMORY_LOCK_US));
    CHECK_STR(NULL, get(m, "key"));
    CHECK_INT(0, metric(m, COUNT_MEMORY_ENTRIES));
    CHECK_INT(0, metric(m, COUNT_MEMORY_LIVE));
    memory_close(m);
}

TEST(keys_and_values_are_bytes)
{
    struct memory *m = open_small();
    struct memory_entry entry;
    char buffer[8];

    CHECK_INT(MEMORY_OK, memory_put(m, "a\0b", 3, "x\0y", 3, &forever, MEMORY_LOCK_US));
    CHECK_INT(MEMORY_ABSENT, memory_get(m, "a\0c", 3, 0, false, buffer, 8, &entry));
    CHECK_INT(MEMORY_ABSENT, memory_get(m, "a", 1, 0, false, buffer, 8, &entry));
    CHECK_INT(MEMORY_OK, memory_get(m, "a\0b", 3, 0, false, buffer, 8, &entry));
    CHECK_INT(3, entry.length);
    CHECK_MEM("x\0y", buffer, 3);
    memory_close(m);
}

TEST(a_small_buffer_is_told_the_length)
{
    struct memory *m = open_small();
    struct memory_entry entry;
    char buffer[4] = "abc";

    put(m, "key", "value");
    CHECK_INT(MEMORY_SMALL, memory_get(m, "key", 3, 0, false, buffer, 4, &entry));
    CHECK_INT(5, entry.length);
    CHECK_STR("abc", buffer);
    CHECK_INT(MEMORY_OK, memory_get(m, "key", 3, 0, true, NULL, 0, &entry));
    memory_close(m);
}

TEST(entries_expire_by_the_clock)
{
    struct memory *m = open_small();

    put_for(m, "short", "x", 10000);
    put_for(m, "long", "y", 100000);
    clock_shift(9000); /* all this takes less than the second that is left */
    CHECK_STR("x", get(m, "short"));
    clock_shift(1000);
    CHECK_STR(NULL, get(m, "short"));
    CHECK_STR("y", get(m, "long"));
    CHECK_INT(MEMORY_ABSENT, memory_delete(m, "short", 5, clock_now_ms(), MEMORY_LOCK_US));
    clock_shift(200000);
    CHECK_STR(NULL, get(m, "long"));
    memory_close(m);
}

TEST(growing_and_shrinking_values_keep_the_books)
{
    struct memory *m = open_small();
    char value[3001];

    for (int round = 0; round < 20000; round++) {
        char key[16];
        size_t length = (size_t)((unsigned)round * 7919u % 3000u);

        snprintf(key, sizeof(key), "k%d", round * 31 % 50);
        memset(value, 'a' + round % 26, length);
        value[length] = '\0';
        REQUIRE(put(m, key, value) == MEMORY_OK);
        CHECK_STR(value, get(m, key));
        CHECK_INT(metric(m, COUNT_MEMORY_CAPACITY), metric(m, COUNT_MEMORY_LIVE) +
                                                        metric(m, COUNT_MEMORY_DEAD) +
                                                        metric(m, COUNT_MEMORY_FREE));
    }
    CHECK_INT(50, metric(m, COUNT_MEMORY_ENTRIES));
    CHECK_INT(0, metric(m, COUNT_MEMORY_RESETS));
    memory_close(m);
}

TEST(a_full_segment_evicts_what_is_not_read)
{
    struct memory *m = open_small();
    char key[16], value[101];
    int held = 0;

    memset(value, 'v', 100);
    value[100] = '\0';
    for (int i = 0; i < 50000; i++) {
        snprintf(key, sizeof(key), "key-%d", i);
        REQUIRE(put(m, key, value) == MEMORY_OK);
        CHECK_STR(value, get(m, i > 7 && i % 2 ? "key-7" : key));
    }
    CHECK_STR(value, get(m, "key-7"));
    for (int i = 0; i < 50000; i++) {
        snprintf(key, sizeof(key), "key-%d", i);
        held += get(m, key) != NULL;
    }
    CHECK_INT(metric(m, COUNT_MEMORY_ENTRIES), held);
    CHECK(held > 5500); /* 1 MiB, a sixteenth of it for header and counters */
    CHECK_INT(50000 - held, metric(m, COUNT_MEMORY_EVICTIONS));
    CHECK_INT(0, metric(m, COUNT_MEMORY_RESETS));
    memory_close(m);
}

/* How many values of that length there is room for, and that the largest is one of them. */
static double room_for(uint32_t entry_size, size_t length)
{
    struct memory_config config = {
        .name = "test", .identity = "test", .bytes = 2 << 20, .entry_size = entry_size};
    struct memory *m = open_config(&config);
    size_t limit = memory_value_limit(m);
    char key[16], *value = calloc(1, limit + 1);
    double entries;

    memset(value, 'v', length);
    for (unsigned i = 0; i < (4u << 20) / (unsigned)(length + 20); i++) {
        snprintf(key, sizeof(key), "key-%08u", i);
        REQUIRE(put(m, key, value) == MEMORY_OK);
    }
    entries = metric(m, COUNT_MEMORY_ENTRIES);
    CHECK(entries <= metric(m, COUNT_MEMORY_SLOTS));
    memset(value, 'v', limit);
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof(key), "large-%02d", i);
        REQUIRE(memory_put(m, key, strlen(key), value, limit, &forever, MEMORY_LOCK_US) ==
                MEMORY_OK);
        CHECK_STR(value, get(m, key));
    }
    CHECK_INT(0, metric(m, COUNT_MEMORY_RESETS));
    memory_close(m);
    free(value);
    return entries;
}

/* Each segment has another seed, and keys find their slots taken sooner or later. */
static bool alike(double a, double b)
{
    return a < 1.02 * b && b < 1.02 * a;
}

TEST(more_fit_if_their_size_is_said)
{
    CHECK(room_for(22, 10) > 1.6 * room_for(0, 10));
    CHECK(room_for(1012, 1000) > 1.1 * room_for(0, 1000));
    CHECK(alike(room_for(0, 100), room_for(116, 100)));
    CHECK(alike(room_for(1, 10), room_for(16, 10)));
    CHECK(alike(room_for(4096, 8000), room_for(UINT32_MAX, 8000)));
}

TEST(the_largest_value_fits_and_one_more_byte_does_not)
{
    struct memory *m = open_small();
    size_t limit = memory_value_limit(m);
    char *value = malloc(limit + 1), *buffer = malloc(limit + 1);
    char key[MEMORY_KEY_MAX];
    struct memory_entry entry;

    memset(key, 'k', sizeof(key));
    memset(value, 'v', limit + 1);
    for (int i = 0; i < 200; i++) {
        key[0] = (char)i;
        REQUIRE(memory_put(m, key, sizeof(key), value, limit, &forever, MEMORY_LOCK_US) ==
                MEMORY_OK);
        REQUIRE(memory_get(m, key, sizeof(key), 0, false, buffer, limit, &entry) == MEMORY_OK);
        CHECK_MEM(value, buffer, limit);
    }
    CHECK_INT(MEMORY_TOO_BIG,
              memory_put(m, key, sizeof(key), value, limit + 1, &forever, MEMORY_LOCK_US));
    CHECK_INT(MEMORY_ABSENT, memory_get(m, key, sizeof(key), 0, false, buffer, limit, &entry));
    CHECK_INT(1, metric(m, COUNT_MEMORY_TOO_LARGE));
    CHECK_INT(0, metric(m, COUNT_MEMORY_RESETS));
    free(value);
    free(buffer);
    memory_close(m);
}

/* One and a half times what a dictionary of nginx's holds in as many bytes. */
TEST(a_segment_holds_what_it_should)
{
    struct memory *m = open_bytes(64 << 20);
    char key[32], value[101];

    memset(value, 'v', 100);
    value[100] = '\0';
    for (int i = 0; i < 420000; i++) {
        snprintf(key, sizeof(key), "key:%012d", i);
        put(m, key, value);
    }
    CHECK(metric(m, COUNT_MEMORY_ENTRIES) >= 390864);
    memory_close(m);
}

TEST(more_keys_than_slots_evict_each_other)
{
    struct memory *m = open_small();
    char key[16];

    for (int i = 0; i < 100000; i++) {
        snprintf(key, sizeof(key), "%d", i);
        REQUIRE(put(m, key, "") == MEMORY_OK);
        CHECK_STR("", get(m, key));
    }
    CHECK(metric(m, COUNT_MEMORY_ENTRIES) > 6000);
    memory_close(m);
}

/* What was found out to collide in one segment says nothing of the next. */
TEST(keys_that_share_a_place_do_not_in_another_segment)
{
    struct memory_config other = {.name = "test", .identity = "another", .bytes = 1 << 20};
    struct memory *m = open_small(), *another = open_config(&other);
    uint32_t place = index_place(m, "0", 1).slot[0], apart = 0;
    int together = 0;
    char key[16];

    for (int i = 0; together < 100; i++) {
        struct memory_place there;
        size_t length = (size_t)snprintf(key, sizeof(key), "%d", i);

        if (index_place(m, key, length).slot[0] != place)
            continue;
        there = index_place(another, key, length);
        apart += there.slot[0] != index_place(another, "0", 1).slot[0];
        together++;
    }
    CHECK(apart >= 80);
    memory_close(another);
    memory_close(m);
}

TEST(all_is_dropped_at_once)
{
    struct memory *m = open_small();

    put(m, "a", "1");
    memory_drop_all(m);
    CHECK_STR(NULL, get(m, "a"));
    put(m, "a", "2");
    CHECK_STR("2", get(m, "a"));
    memory_close(m);
}

/* -- What belongs to Redis ------------------------------------------------------------------------ */

static struct memory_attributes from_redis(void)
{
    struct memory_attributes a = {.expires_ms = clock_now_ms() + 60000,
                                  .fresh_until_ms = clock_now_ms() + 2000,
                                  .flags = MEMORY_FROM_REDIS};

    return a;
}

static int fill(struct memory *m, const char *value, const struct memory_token *token)
{
    struct memory_attributes a = from_redis();

    return memory_fill(m, "key", 3, value, strlen(value), &a, token, MEMORY_LOCK_IO_US);
}

static int commit(struct memory *m, const char *value, const struct memory_token *token)
{
    struct memory_attributes a = from_redis();

    return memory_commit(m, "key", 3, value, strlen(value), &a, token, MEMORY_LOCK_IO_US);
}

TEST(a_fill_holds_if_nothing_happened)
{
    struct memory *m = open_small();
    struct memory_token token;
    struct memory_entry entry;

    memory_token_read(m, "key", 3, &token);
    CHECK_INT(MEMORY_OK, fill(m, "value", &token));
    CHECK_STR("value", get(m, "key"));
    CHECK_INT(MEMORY_OK, memory_get(m, "key", 3, clock_now_ms(), false, NULL, 0, &entry));
    CHECK(entry.epoch_holds);
    CHECK(entry.attributes.fresh_until_ms > clock_now_ms());
    memory_epoch_bump(m);
    CHECK_INT(MEMORY_OK, memory_get(m, "key", 3, clock_now_ms(), false, NULL, 0, &entry));
    CHECK(!entry.epoch_holds);
    memory_close(m);
}

TEST(a_fill_is_refused_after_a_write_or_a_gap)
{
    struct memory *m = open_small();
    struct memory_token token, later;

    memory_token_read(m, "key", 3, &token);
    memory_token_read(m, "key", 3, &later);
    CHECK_INT(MEMORY_OK, commit(m, "written", &later));
    CHECK_INT(MEMORY_REFUSED, fill(m, "older", &token));
    CHECK_STR("written", get(m, "key"));

    memory_token_read(m, "key", 3, &token);
    memory_epoch_bump(m);
    CHECK_INT(MEMORY_REFUSED, fill(m, "older", &token));

    memory_token_read(m, "key", 3, &token);
    memory_drop(m, "key", 3, clock_now_ms(), MEMORY_LOCK_US);
    CHECK_INT(MEMORY_REFUSED, fill(m, "older", &token));
    CHECK_STR(NULL, get(m, "key"));

    memory_token_read(m, "key", 3, &token);
    put(m, "key", "degraded");
    CHECK_INT(MEMORY_REFUSED, fill(m, "older", &token));
    CHECK_STR("degraded", get(m, "key"));
    memory_close(m);
}

TEST(a_fill_is_refused_after_a_message_though_there_was_nothing_to_drop)
{
    struct memory *m = open_small();
    struct memory_token token;

    memory_token_read(m, "key", 3, &token);
    CHECK_INT(MEMORY_ABSENT, memory_invalidate(m, "key", 3, MEMORY_LOCK_US));
    CHECK_INT(MEMORY_REFUSED, fill(m, "older", &token));
    CHECK_STR(NULL, get(m, "key"));
    memory_close(m);
}

TEST(of_two_writes_under_way_neither_is_kept)
{
    struct memory *m = open_small();
    struct memory_token first, second;

    memory_token_read(m, "key", 3, &first);
    memory_token_read(m, "key", 3, &second);
    CHECK_INT(MEMORY_OK, commit(m, "first", &first));
    CHECK_INT(MEMORY_REFUSED, commit(m, "second", &second));
    CHECK_STR(NULL, get(m, "key"));
    memory_close(m);
}

/* A head or a tail that makes no sense: the next writes find out, instead of dropping without end. */
TEST(a_log_longer_than_its_shard_is_emptied)
{
    static const int64_t harms[] = {INT64_C(1) << 40, -(INT64_C(1) << 40), 1 << 24};

    for (uint32_t log = 0; log < LOGS; log++) {
        for (size_t i = 0; i < sizeof(harms) / sizeof(*harms); i++) {
            struct memory *m = open_small();
            char key[16];

            for (int n = 0; n < 100; n++) {
                snprintf(key, sizeof(key), "k%d", n);
                CHECK_INT(MEMORY_OK, put(m, key, "value"));
            }
            for (uint32_t shard = 0; shard < m->layout.shards; shard++)
                atomic_fetch_add(&view_shard(m, shard)->log[log].head, (uint64_t)harms[i]);
            for (int n = 0; n < 100; n++) {
                snprintf(key, sizeof(key), "k%d", n);
                CHECK_INT(MEMORY_OK, put(m, key, "another value, for which there is no room"));
                CHECK_STR("another value, for which there is no room", get(m, key));
            }
            CHECK_INT(m->layout.shards, metric(m, COUNT_MEMORY_RESETS));
            memory_close(m);
        }
    }
}

CHECK_MAIN()
