/*
 * Writes that depend on what is there: add, replace, incr, expire; one after the other, and from several
 * processes at once, some of which are killed.
 */
#include <pthread.h>

#include "memory/index.h"
#include "open.h"

static int add_for(struct memory *m, const char *key, const char *value, int64_t ttl_ms)
{
    struct memory_attributes a = {.expires_ms = ttl_ms ? clock_now_ms() + ttl_ms : 0};

    return memory_add(m, key, strlen(key), value, strlen(value), &a, MEMORY_LOCK_US);
}

static int replace(struct memory *m, const char *key, const char *value)
{
    return memory_replace(m, key, strlen(key), value, strlen(value), &forever, MEMORY_LOCK_US);
}

static long double sum; /* of the last incr */

static int incr_with(struct memory *m, const char *key, double by, const double *init,
                     int64_t ttl_ms)
{
    struct memory_addition a = {.by = by, .init = init ? *init : 0, .with_init = init != NULL};
    int status;

    a.attributes.expires_ms = ttl_ms ? clock_now_ms() + ttl_ms : 0;
    status = memory_incr(m, key, strlen(key), &a, MEMORY_LOCK_US);
    sum = a.sum;
    return status;
}

static int incr(struct memory *m, const char *key, double by)
{
    return incr_with(m, key, by, NULL, 0);
}

static int expire(struct memory *m, const char *key, int64_t ttl_ms)
{
    int64_t now_ms = clock_now_ms();

    return memory_expire(m, key, strlen(key), ttl_ms ? now_ms + ttl_ms : 0, now_ms, MEMORY_LOCK_US);
}

static struct memory_entry entry_of(struct memory *m, const char *key)
{
    struct memory_entry entry;

    REQUIRE(memory_get(m, key, strlen(key), clock_now_ms(), true, NULL, 0, &entry) == MEMORY_OK);
    return entry;
}

TEST(add_stores_where_nothing_is)
{
    struct memory *m = open_small();

    CHECK_INT(MEMORY_OK, add_for(m, "key", "one", 1000));
    CHECK_INT(MEMORY_EXISTS, add_for(m, "key", "two", 0));
    CHECK_STR("one", get(m, "key"));
    clock_shift(1020);
    CHECK_INT(MEMORY_OK, add_for(m, "key", "three", 0));
    CHECK_STR("three", get(m, "key"));
    memory_drop_all(m);
    CHECK_INT(MEMORY_OK, add_for(m, "key", "four", 0));
    CHECK_STR("four", get(m, "key"));
    CHECK_INT(MEMORY_OK, memory_delete(m, "key", 3, clock_now_ms(), MEMORY_LOCK_US));
    CHECK_INT(MEMORY_OK, add_for(m, "key", "", 0));
    CHECK_INT(MEMORY_EXISTS, add_for(m, "key", "five", 0)); /* the empty value is one */
    memory_close(m);
}

TEST(replace_stores_where_something_is)
{
    struct memory *m = open_small();

    CHECK_INT(MEMORY_ABSENT, replace(m, "key", "one"));
    CHECK_STR(NULL, get(m, "key"));
    put_for(m, "key", "one", 1000);
    CHECK_INT(MEMORY_OK, replace(m, "key", "two"));
    CHECK_STR("two", get(m, "key"));
    clock_shift(2000);
    CHECK_STR("two", get(m, "key"));
    put_for(m, "key", "one", 1000);
    clock_shift(1020);
    CHECK_INT(MEMORY_ABSENT, replace(m, "key", "two"));
    memory_close(m);
}

TEST(a_remembered_absence_is_no_entry)
{
    const struct memory_attributes negative = {.flags = MEMORY_NEGATIVE};
    struct memory *m = open_small();

    for (int i = 0; i < 4; i++) {
        CHECK_INT(MEMORY_OK, memory_put(m, "key", 3, "", 0, &negative, MEMORY_LOCK_US));
        if (i == 0)
            CHECK_INT(MEMORY_ABSENT, replace(m, "key", "value"));
        else if (i == 1)
            CHECK_INT(MEMORY_ABSENT, incr(m, "key", 1));
        else if (i == 2)
            CHECK_INT(MEMORY_ABSENT, expire(m, "key", 1000));
        else
            CHECK_INT(MEMORY_OK, add_for(m, "key", "value", 0));
    }
    CHECK_INT(0, entry_of(m, "key").attributes.flags);
    memory_close(m);
}

TEST(a_value_too_large_is_refused_after_the_look)
{
    struct memory *m = open_small();
    size_t large = memory_value_limit(m) + 1;
    char *value = calloc(1, large);

    put(m, "key", "value");
    CHECK_INT(MEMORY_EXISTS, memory_add(m, "key", 3, value, large, &forever, MEMORY_LOCK_US));
    CHECK_STR("value", get(m, "key"));
    CHECK_INT(MEMORY_TOO_BIG, memory_replace(m, "key", 3, value, large, &forever, MEMORY_LOCK_US));
    CHECK_STR(NULL, get(m, "key"));
    CHECK_INT(MEMORY_ABSENT, memory_replace(m, "key", 3, value, large, &forever, MEMORY_LOCK_US));
    CHECK_INT(MEMORY_TOO_BIG, memory_add(m, "key", 3, value, large, &forever, MEMORY_LOCK_US));
    free(value);
    memory_close(m);
}

TEST(incr_adds_to_what_is_there)
{
    struct memory *m = open_small();
    const double ten = 10, half = 0.5;

    CHECK_INT(MEMORY_ABSENT, incr(m, "key", 1));
    CHECK_INT(MEMORY_OK, incr_with(m, "key", 1, &ten, 0));
    CHECK_STR("11", get(m, "key"));
    CHECK(sum == 11);
    CHECK_INT(MEMORY_OK, incr_with(m, "key", -21, &ten, 0));
    CHECK_STR("-10", get(m, "key"));
    CHECK_INT(MEMORY_OK, incr(m, "key", 0.25));
    CHECK_STR("-9.75", get(m, "key"));
    CHECK_INT(MEMORY_OK, incr_with(m, "other", 0, &half, 0));
    CHECK_STR("0.5", get(m, "other"));
    put(m, "key", "1e3");
    CHECK_INT(MEMORY_OK, incr(m, "key", 1));
    CHECK_STR("1001", get(m, "key"));
    memory_close(m);
}

TEST(incr_is_exact_for_large_whole_numbers)
{
    struct memory *m = open_small();

    put(m, "key", "9007199254740992");
    CHECK_INT(MEMORY_OK, incr(m, "key", 1));
    CHECK_STR("9007199254740993", get(m, "key"));
    put(m, "key", "9223372036854775806");
    CHECK_INT(MEMORY_OK, incr(m, "key", 1));
    CHECK_STR("9223372036854775807", get(m, "key"));
    CHECK_INT(MEMORY_OUT_OF_RANGE, incr(m, "key", 1));
    CHECK_STR("9223372036854775807", get(m, "key"));
    memory_close(m);
}

TEST(incr_leaves_alone_what_is_no_number)
{
    static char digits[200];
    struct memory *m = open_small();

    put(m, "key", "12 apples");
    CHECK_INT(MEMORY_NOT_A_NUMBER, incr(m, "key", 1));
    CHECK_STR("12 apples", get(m, "key"));
    put(m, "key", "");
    CHECK_INT(MEMORY_NOT_A_NUMBER, incr(m, "key", 1));
    memset(digits, '0', sizeof(digits) - 1);
    put(m, "key", digits);
    CHECK_INT(MEMORY_NOT_A_NUMBER, incr(m, "key", 1));
    CHECK_STR(digits, get(m, "key"));
    memory_close(m);
}

TEST(incr_keeps_the_expiry_and_gives_a_new_entry_its_own)
{
    struct memory *m = open_small();
    const double zero = 0;

    CHECK_INT(MEMORY_OK, incr_with(m, "key", 1, &zero, 1000));
    clock_shift(900);
    CHECK_INT(MEMORY_OK, incr_with(m, "key", 1, &zero, 1000));
    CHECK_STR("2", get(m, "key"));
    clock_shift(120);
    CHECK_STR(NULL, get(m, "key"));
    CHECK_INT(MEMORY_ABSENT, incr(m, "key", 1));
    CHECK_INT(MEMORY_OK, incr_with(m, "key", 1, &zero, 1000));
    CHECK_STR("1", get(m, "key"));
    CHECK_INT(1, metric(m, COUNT_MEMORY_ENTRIES));
    memory_close(m);
}

/* Digits come and go: in place where they fit, appended where they do not. */
TEST(incr_keeps_the_books_as_numbers_grow_and_shrink)
{
    struct memory *m = open_small();
    const double one = 1;
    double expected = 1;

    CHECK_INT(MEMORY_OK, incr_with(m, "key", 0, &one, 0));
    for (int i = 0; i < 2000; i++) {
        double by = i % 2 ? expected * 9 : -(expected - 1) / 10;
        char text[32];

        by = by < 1e14 ? (double)(int64_t)by : -expected + 1;
        expected += by;
        REQUIRE(incr(m, "key", by) == MEMORY_OK);
        snprintf(text, sizeof(text), "%.0f", expected);
        CHECK_STR(text, get(m, "key"));
        CHECK_INT(metric(m, COUNT_MEMORY_CAPACITY), metric(m, COUNT_MEMORY_LIVE) +
                                                        metric(m, COUNT_MEMORY_DEAD) +
                                                        metric(m, COUNT_MEMORY_FREE));
    }
    CHECK_INT(1, metric(m, COUNT_MEMORY_ENTRIES));
    CHECK_INT(0, metric(m, COUNT_MEMORY_RESETS));
    memory_close(m);
}

TEST(expire_changes_when_an_entry_goes_and_nothing_else)
{
    struct memory *m = open_small();
    uint32_t version;

    CHECK_INT(MEMORY_ABSENT, expire(m, "key", 1000));
    put(m, "key", "value");
    version = entry_of(m, "key").version;
    CHECK_INT(MEMORY_OK, expire(m, "key", 1000));
    CHECK(entry_of(m, "key").version != version); /* near tables look again */
    CHECK_STR("value", get(m, "key"));
    clock_shift(900);
    CHECK_INT(MEMORY_OK, expire(m, "key", 1000));
    clock_shift(900);
    CHECK_STR("value", get(m, "key"));
    CHECK_INT(MEMORY_OK, expire(m, "key", 0));
    clock_shift(1000000);
    CHECK_STR("value", get(m, "key"));
    CHECK_INT(0, entry_of(m, "key").attributes.expires_ms);
    CHECK_INT(MEMORY_OK, expire(m, "key", INT64_MAX / 2));
    CHECK_STR("value", get(m, "key"));
    CHECK_INT(MEMORY_OK, expire(m, "key", 1));
    clock_shift(1);
    CHECK_STR(NULL, get(m, "key"));
    CHECK_INT(MEMORY_ABSENT, expire(m, "key", 1000));
    memory_close(m);
}

TEST(they_make_tokens_of_before_void_if_they_changed_something)
{
    struct memory *m = open_small();
    struct memory_token before, after;
    const double zero = 0;

    for (int i = 0; i < 8; i++) {
        bool changes = i % 2 == 0;
        int status = MEMORY_OK;

        memory_delete(m, "key", 3, 0, MEMORY_LOCK_US);
        if (changes == (i / 2 != 0))
            put(m, "key", "1");
        memory_token_read(m, "key", 3, &before);
        if (i / 2 == 0)
            status = add_for(m, "key", "1", 0);
        else if (i / 2 == 1)
            status = replace(m, "key", "1");
        else if (i / 2 == 2)
            status = incr_with(m, "key", 1, changes ? &zero : NULL, 0);
        else
            status = expire(m, "key", 1000);
        memory_token_read(m, "key", 3, &after);
        CHECK_INT(changes, status == MEMORY_OK);
        CHECK_INT(changes, after.wseq != before.wseq);
    }
    memory_close(m);
}

/* -- Several threads ------------------------------------------------------------------------------- */

enum { THREADS = 4, TURNS = 20000 };

struct worker {
    struct memory *m;
    int number;
    int64_t firsts;
};

/* Sums only grow, for this thread's reads as well as for its own additions; whatever happens to the expiry. */
static void *count_and_look(void *context)
{
    struct worker *w = context;
    int64_t seen = 0;
    char text[32], key[16];

    for (int i = 0; i < TURNS; i++) {
        struct memory_addition a = {.by = 1, .with_init = true};
        struct memory_entry entry;
        int rc;

        REQUIRE(memory_incr(w->m, "sum", 3, &a, 1000000) == MEMORY_OK);
        REQUIRE((int64_t)a.sum > seen);
        seen = (int64_t)a.sum;
        do /* a read waits no longer than MEMORY_LOCK_US for who has the lock and does not run */
            rc = memory_get(w->m, "sum", 3, clock_coarse_ms(), false, text, sizeof(text) - 1,
                            &entry);
        while (rc == MEMORY_BUSY);
        REQUIRE(rc == MEMORY_OK);
        text[entry.length] = '\0';
        REQUIRE(atoll(text) >= seen);
        seen = atoll(text);
        if (i % 8 == w->number)
            REQUIRE(memory_expire(w->m, "sum", 3, i % 16 < 8 ? clock_now_ms() + 1000000 : 0,
                                  clock_now_ms(), 1000000) == MEMORY_OK);
        snprintf(key, sizeof(key), "name%d", i);
        w->firsts += memory_add(w->m, key, strlen(key), "x", 1, &forever, 1000000) == MEMORY_OK;
    }
    return NULL;
}

TEST(threads_add_up)
{
    struct memory *m = open_bytes(64 << 20);
    struct worker workers[THREADS];
    pthread_t threads[THREADS];
    char expected[32];
    int64_t firsts = 0;

    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){m, i, 0};
        REQUIRE(pthread_create(threads + i, NULL, count_and_look, workers + i) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        firsts += workers[i].firsts;
    }
    snprintf(expected, sizeof(expected), "%d", THREADS * TURNS);
    CHECK_STR(expected, get(m, "sum"));
    CHECK_INT(TURNS, firsts);
    memory_close(m);
}

/* -- Several processes ----------------------------------------------------------------------------- */

enum { PROCESSES = 4, OPERATIONS = 100000, ROUNDS = 50, COUNTERS = 8, NAMES = 1000 };

/* What a process says of what it does, before and after. */
struct account {
    int64_t begun[COUNTERS], done[COUNTERS];
    int64_t first[NAMES]; /* names that it was the first to add, in this round */
};

static char counters[COUNTERS][32]; /* each in a shard of its own */

static void choose_counters(struct memory *m)
{
    uint64_t taken = 0;
    int n = 0;

    for (int i = 0; n < COUNTERS; i++) {
        size_t length = (size_t)snprintf(counters[n], sizeof(counters[n]), "counter-%d", i);
        uint32_t shard = index_place(m, counters[n], length).shard % 64;

        if (taken & UINT64_C(1) << shard)
            continue;
        taken |= UINT64_C(1) << shard;
        n++;
    }
}

static void *shared_zeroes(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    REQUIRE(memory != MAP_FAILED);
    return memory;
}

static void work(struct memory *m, struct account *a, int round, int process)
{
    const double zero = 0;
    char key[32];

    for (int i = 0; i < OPERATIONS / ROUNDS; i++) {
        int counter = (i + process) % COUNTERS, name = i % NAMES;
        int rc;

        a->begun[counter]++;
        rc = incr_with(m, counters[counter], 1, &zero, 0);
        REQUIRE(rc == MEMORY_OK || rc == MEMORY_BUSY);
        if (rc == MEMORY_OK)
            a->done[counter]++;
        else
            a->begun[counter]--;
        if (i % 4)
            continue;
        snprintf(key, sizeof(key), "name-%d-%d", round, name);
        rc = add_for(m, key, "x", 0);
        REQUIRE(rc == MEMORY_OK || rc == MEMORY_EXISTS || rc == MEMORY_BUSY);
        a->first[name] += rc == MEMORY_OK;
    }
}

/* All of a round's processes at work; one of them is killed at some time.  Was it still at work? */
static bool run_round(struct memory *m, struct account *accounts, int round, unsigned *seed)
{
    const struct timespec moment = {0, 20000};
    int victim = round % PROCESSES, status = 0;
    pid_t pids[PROCESSES];
    bool killed = false;
    int64_t at;

    for (int i = 0; i < PROCESSES; i++) {
        pids[i] = fork();
        REQUIRE(pids[i] >= 0);
        if (pids[i] == 0) {
            work(m, accounts + i, round, i);
            _exit(0);
        }
    }
    /* Somewhere within its work, however fast it goes. */
    *seed = *seed * 1103515245u + 12345u;
    at = *seed / 65536u % (OPERATIONS / ROUNDS / COUNTERS);
    while (__atomic_load_n(&accounts[victim].done[0], __ATOMIC_RELAXED) < at)
        nanosleep(&moment, NULL);
    kill(pids[victim], SIGKILL);
    for (int i = 0; i < PROCESSES; i++) {
        REQUIRE(waitpid(pids[i], &status, 0) == pids[i]);
        if (i == victim)
            killed = WIFSIGNALED(status);
        else
            CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    return killed;
}

/* What the counter must be at least, and what it may be at most: what was begun and not done may have been. */
static void check_counter(struct memory *m, int counter, const struct account *accounts,
                          int64_t *value, int *below)
{
    int64_t least = *value, most = *value;
    const double zero = 0;

    for (int i = 0; i < PROCESSES; i++) {
        least += accounts[i].done[counter];
        most += accounts[i].begun[counter];
    }
    REQUIRE(incr_with(m, counters[counter], 0, &zero, 0) == MEMORY_OK);
    *value = (int64_t)sum;
    CHECK(*value <= most);
    *below += *value < least;
}

/* Nobody has been told that he was the first if somebody else was. */
static void check_names(const struct account *accounts, bool reset)
{
    for (int name = 0; name < NAMES; name++) {
        int64_t firsts = 0;

        for (int i = 0; i < PROCESSES; i++)
            firsts += accounts[i].first[name];
        CHECK(firsts <= 1 || reset);
    }
}

/* Each shard that was emptied, since somebody died with its lock, has lost a counter at most; in all others
 * not one addition that was acknowledged is missing, and none is there twice. */
TEST(additions_of_processes_that_are_killed_add_up)
{
    struct account *accounts = shared_zeroes(PROCESSES * sizeof(*accounts));
    struct memory *m = open_bytes(64 << 20);
    int64_t values[COUNTERS] = {0};
    int without_reset = 0, kills = 0, round = 0;
    unsigned seed = (unsigned)getpid();

    check_timeout(300);
    choose_counters(m);
    for (; round < ROUNDS || (kills < ROUNDS / 4 && round < 20 * ROUNDS); round++) {
        double resets = metric(m, COUNT_MEMORY_RESETS);
        int below = 0;

        memset(accounts, 0, PROCESSES * sizeof(*accounts));
        kills += run_round(m, accounts, round, &seed);
        for (int counter = 0; counter < COUNTERS; counter++)
            check_counter(m, counter, accounts, values + counter, &below);
        resets = metric(m, COUNT_MEMORY_RESETS) - resets;
        CHECK(below <= resets); /* of those, one may have been left over from the round before */
        check_names(accounts, resets > 0);
        without_reset += resets == 0;
    }
    CHECK_INT(0, metric(m, COUNT_MEMORY_EVICTIONS));
    CHECK(without_reset > 0 && kills >= ROUNDS / 4);
    printf("%d kills, %d resets\n", kills, round - without_reset);
    memory_close(m);
}

CHECK_MAIN()
