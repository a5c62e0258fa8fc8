#include "base/glob.h"
#include "memory/index.h"
#include "memory/seq.h"
#include "memory/shard.h"
#include "open.h"

enum { KEYS = 3000 };

static void put_many(struct memory *m)
{
    char key[32];

    for (int i = 0; i < KEYS; i++) {
        snprintf(key, sizeof(key), "%s:%d", i % 3 ? "user" : "page", i);
        REQUIRE(put(m, key, "v") == MEMORY_OK);
    }
}

static int count_keys(struct memory *m, const char *glob, size_t size)
{
    char *buffer = malloc(size);
    double cursor = 0;
    size_t length, count;
    int total = 0, rc;

    do {
        rc = memory_keys(m, &cursor, glob, glob ? strlen(glob) : 0, clock_now_ms(), buffer, size,
                         &length, &count);
        REQUIRE(rc == MEMORY_OK || rc == MEMORY_MORE);
        total += (int)count;
        for (size_t at = 0; at < length;) {
            uint32_t n;

            memcpy(&n, buffer + at, sizeof(n));
            CHECK(!glob || glob_match(glob, strlen(glob), buffer + at + 4, n));
            at += 4 + n;
        }
    } while (rc == MEMORY_MORE);
    free(buffer);
    return total;
}

TEST(keys_are_listed_once_each)
{
    struct memory *m = open_bytes(4 << 20);

    put_many(m);
    CHECK_INT(KEYS, count_keys(m, NULL, 100000));
    CHECK_INT(KEYS, count_keys(m, NULL, 40));
    CHECK_INT(KEYS / 3, count_keys(m, "page:*", 100000));
    put_for(m, "user:1", "v", 10);
    clock_shift(20);
    CHECK_INT(KEYS - 1, count_keys(m, NULL, 100000));
    memory_close(m);
}

TEST(a_key_that_does_not_fit_is_not_skipped)
{
    struct memory *m = open_small();
    char buffer[8];
    double cursor = 0;
    size_t length, count;
    int rc;

    put(m, "a-long-key", "v");
    do
        rc = memory_keys(m, &cursor, NULL, 0, 0, buffer, sizeof(buffer), &length, &count);
    while (rc == MEMORY_MORE); /* a step ends after 1 ms */
    CHECK_INT(MEMORY_SMALL, rc);
    CHECK_INT(14, length);
    CHECK_INT(1, count_keys(m, NULL, 100));
    memory_close(m);
}

static int remove_within(struct memory *m, const char *glob, int64_t lock_us)
{
    double cursor = 0;
    size_t count, total = 0;
    int rc;

    do {
        rc = memory_remove(m, &cursor, glob, glob ? strlen(glob) : 0, clock_now_ms(), lock_us,
                           &count);
        total += count;
    } while (rc == MEMORY_MORE);
    CHECK_INT(MEMORY_OK, rc);
    return (int)total;
}

static int remove_all(struct memory *m, const char *glob)
{
    return remove_within(m, glob, MEMORY_LOCK_US);
}

TEST(removal_by_glob_leaves_the_rest)
{
    struct memory *m = open_bytes(4 << 20);

    put_many(m);
    CHECK_INT(KEYS / 3, remove_all(m, "page:*"));
    CHECK_INT(KEYS - KEYS / 3, count_keys(m, NULL, 100000));
    CHECK_INT(0, remove_all(m, "page:*"));
    memory_close(m);
}

/* A prefix is compared where the key lies: also with keys shorter than it, of its length, and long ones. */
TEST(a_prefix_selects_what_its_glob_would)
{
    static const char *const patterns[] = {"a*", "ab*", "abc*", "abcd*", "*", "b*"};
    static const char *const globs[] = {"[a]*", "[a]b*", "[a]bc*", "[a]bcd*", "*?", "[b]*"};
    struct memory *m = open_bytes(4 << 20);
    char key[1001] = "";

    for (int i = 0; i < 1000; i++) {
        key[i] = (char)('a' + i % 26);
        REQUIRE(put(m, key, "v") == MEMORY_OK);
    }
    for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++)
        CHECK_INT(count_keys(m, globs[i], 100000), count_keys(m, patterns[i], 100000));
    CHECK_INT(998, count_keys(m, "abc*", 100000));
    CHECK_INT(1, count_keys(m, key, 100000));
    CHECK_INT(998, remove_all(m, "abc*"));
    CHECK_INT(2, remove_all(m, "*"));
    CHECK_INT(0, metric(m, COUNT_MEMORY_ENTRIES));
    memory_close(m);
}

TEST(removal_of_everything_frees_everything)
{
    struct memory *m = open_bytes(4 << 20);

    put_many(m);
    remove_all(m, NULL);
    CHECK_INT(0, count_keys(m, NULL, 100000));
    CHECK_INT(0, metric(m, COUNT_MEMORY_ENTRIES));
    CHECK_INT(0, metric(m, COUNT_MEMORY_LIVE));
    CHECK_INT(MEMORY_OK, put(m, "user:1", "again"));
    CHECK_STR("again", get(m, "user:1"));
    memory_close(m);
}

TEST(expired_entries_are_cleaned_up_within_max)
{
    struct memory *m = open_bytes(4 << 20);
    char key[32];
    double cursor = 0;
    size_t count, total = 0;
    int rc;

    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof(key), "%d", i);
        put_for(m, key, "v", i < 60 ? 1000 : 100000);
    }
    clock_shift(2000);
    CHECK_INT(100, metric(m, COUNT_MEMORY_ENTRIES));
    do { /* a step ends early where its time is up */
        rc = memory_cleanup(m, &cursor, 10 - total, clock_now_ms(), MEMORY_LOCK_US, &count);
        total += count;
    } while (rc == MEMORY_MORE && total < 10);
    CHECK_INT(MEMORY_MORE, rc);
    CHECK_INT(10, total);
    cursor = 0;
    while (memory_cleanup(m, &cursor, 0, clock_now_ms(), MEMORY_LOCK_US, &count) == MEMORY_MORE)
        continue;
    CHECK_INT(40, metric(m, COUNT_MEMORY_ENTRIES));
    CHECK_INT(60, metric(m, COUNT_MEMORY_EXPIRED));
    memory_close(m);
}

/* A child that is stopped, or waits a while, with the lock and the version of a key's slot odd: its
 * entry is on the move, say, and is there as before when the child goes on. */
static pid_t hold_odd(struct memory *m, const char *key, long ms)
{
    int ready[2];
    char byte;
    pid_t pid;

    REQUIRE(pipe(ready) == 0);
    pid = fork();
    if (pid == 0) {
        struct memory_place place = index_place(m, key, strlen(key));
        struct record record;
        _Atomic uint32_t *version;
        uint32_t slot;

        shard_hold(m, place.shard, MEMORY_LOCK_US);
        slot = index_find_locked(m, &place, key, strlen(key), &record);
        version = view_bucket(m, slot)->version + slot % LAYOUT_SLOTS;
        seq_write_begin(version);
        (void)!write(ready[1], "x", 1);
        if (ms == 0)
            raise(SIGSTOP);
        nanosleep(&(struct timespec){0, ms * 1000000}, NULL);
        seq_write_end(version);
        shard_release(m, place.shard);
        _exit(0);
    }
    REQUIRE(read(ready[0], &byte, 1) == 1);
    return pid;
}

TEST(an_entry_on_the_move_is_removed)
{
    struct memory *m = open_small();
    pid_t pid;

    put(m, "page:1", "v");
    pid = hold_odd(m, "page:1", 10);
    CHECK_INT(1, remove_within(m, "page:*", 5000000));
    waitpid(pid, NULL, 0);
    CHECK_STR(NULL, get(m, "page:1"));
    memory_close(m);
}

TEST(a_stopped_writer_is_not_passed_over_by_a_removal)
{
    struct memory *m = open_small();
    double cursor = 0;
    size_t count;
    pid_t pid;
    int rc;

    put(m, "page:1", "v");
    pid = hold_odd(m, "page:1", 0);
    waitpid(pid, NULL, WUNTRACED);
    CHECK_INT(0, count_keys(m, NULL, 100)); /* as a read, which is told busy */
    do
        rc = memory_remove(m, &cursor, "page:*", 6, clock_now_ms(), MEMORY_LOCK_US, &count);
    while (rc == MEMORY_MORE);
    CHECK_INT(MEMORY_BUSY, rc);
    kill(pid, SIGCONT);
    waitpid(pid, NULL, 0);
    CHECK_INT(1, remove_all(m, "page:*"));
    CHECK_STR(NULL, get(m, "page:1"));
    memory_close(m);
}

CHECK_MAIN()
