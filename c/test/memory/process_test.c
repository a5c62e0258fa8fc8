/*
 * Several processes, and several threads, on one segment; some are killed, some are stopped.
 *
 * Values check themselves: each begins with its key's number and the number of the write, and the rest
 * follows from those.  A reader that ever sees a mixture, another key's value, or a value older than
 * one it has seen, has found a bug.
 */
#include <pthread.h>

#include "base/hash.h"
#include "open.h"

enum { KEYS = 400, VALUE_MAX = 6000, AHEAD = 50 };

struct value {
    uint32_t key, serial;
    uint64_t checksum; /* of the rest */
    unsigned char rest[VALUE_MAX];
};

static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static size_t value_make(struct value *v, uint32_t key, uint32_t serial, uint64_t *state)
{
    size_t rest =
        random_next(state) % 8 ? random_next(state) % 300 : random_next(state) % VALUE_MAX;

    v->key = key;
    v->serial = serial;
    for (size_t i = 0; i < rest; i++)
        v->rest[i] = (unsigned char)(key * 31 + serial * 7 + i);
    v->checksum = hash_bytes(v->rest, rest, serial);
    return offsetof(struct value, rest) + rest;
}

static bool value_is_whole(const struct value *v, size_t length, uint32_t key)
{
    return length >= offsetof(struct value, rest) && v->key == key &&
           v->checksum == hash_bytes(v->rest, length - offsetof(struct value, rest), v->serial);
}

static size_t key_make(char *text, uint32_t key)
{
    return (size_t)sprintf(text, "key-%u-%.*s", key, (int)(key % 20), "xxxxxxxxxxxxxxxxxxxx");
}

/* One random operation.  The serials of a key only grow, for all writers take them from one counter
 * while... each writer owns the keys of its remainder, so that what it reads back is its own. */
static void operate(struct memory *m, uint32_t writer, uint32_t writers, uint32_t *serials,
                    uint64_t *state)
{
    uint32_t key = (uint32_t)(random_next(state) % KEYS);
    struct value v;
    struct memory_entry entry;
    char text[64];
    size_t key_length = key_make(text, key), length;
    unsigned choice = (unsigned)(random_next(state) % 100);
    int rc;

    if (choice < 20) {
        key = key / writers * writers + writer;
        key_length = key_make(text, key);
        length = value_make(&v, key, ++serials[key], state);
        rc = memory_put(m, text, key_length, &v, length, &forever, MEMORY_LOCK_US);
        CHECK(rc == MEMORY_OK || rc == MEMORY_BUSY);
        return;
    }
    if (choice < 22) {
        memory_delete(m, text, key_length, clock_now_ms(), MEMORY_LOCK_US);
        return;
    }
    rc = memory_get(m, text, key_length, clock_coarse_ms(), false, &v, sizeof(v), &entry);
    CHECK(rc == MEMORY_OK || rc == MEMORY_ABSENT || rc == MEMORY_BUSY);
    if (rc == MEMORY_OK) {
        REQUIRE(value_is_whole(&v, entry.length, key));
        if (key % writers == writer)
            CHECK(v.serial <= serials[key]);
        else
            CHECK(v.serial >= serials[key]);
        serials[key] = v.serial > serials[key] ? v.serial : serials[key];
    }
}

static unsigned seconds(const char *name, unsigned otherwise)
{
    return getenv(name) ? (unsigned)atoi(getenv(name)) : otherwise;
}

/* -- Threads ------------------------------------------------------------------------------------- */

struct worker {
    struct memory *m;
    uint32_t number, count;
};

static void *thread_main(void *context)
{
    struct worker *w = context;
    uint32_t serials[KEYS + 8] = {0};
    uint64_t state = w->number + 12345;

    for (int i = 0; i < 60000; i++)
        operate(w->m, w->number, w->count, serials, &state);
    return NULL;
}

TEST(threads_see_whole_values)
{
    struct worker workers[4];
    pthread_t threads[4];
    struct memory *m = open_small();

    for (uint32_t i = 0; i < 4; i++) {
        workers[i] = (struct worker){m, i, 4};
        REQUIRE(pthread_create(threads + i, NULL, thread_main, workers + i) == 0);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(0, metric(m, COUNT_MEMORY_RESETS));
    memory_close(m);
}

static _Atomic bool enough;

static void *write_on(void *m)
{
    char key[32];

    for (unsigned i = 0; !atomic_load(&enough); i++) {
        snprintf(key, sizeof(key), "%u", i % 7);
        put(m, key, i % 2 ? "a short value" : "and one that is quite a lot longer than the other");
    }
    return NULL;
}

TEST(numbers_read_while_others_write_are_possible_ones)
{
    struct memory *m = open_small();
    double capacity = metric(m, COUNT_MEMORY_CAPACITY);
    int64_t end = clock_now_ms() + 300;
    pthread_t thread;

    REQUIRE(pthread_create(&thread, NULL, write_on, m) == 0);
    while (clock_now_ms() < end) {
        REQUIRE(metric(m, COUNT_MEMORY_LIVE) <= capacity);
        REQUIRE(metric(m, COUNT_MEMORY_DEAD) <= capacity);
        REQUIRE(metric(m, COUNT_MEMORY_FREE) <= capacity);
    }
    atomic_store(&enough, true);
    pthread_join(thread, NULL);
    CHECK_INT(capacity, metric(m, COUNT_MEMORY_LIVE) + metric(m, COUNT_MEMORY_DEAD) +
                            metric(m, COUNT_MEMORY_FREE));
    memory_close(m);
}

/* -- Processes ----------------------------------------------------------------------------------- */

struct scene {
    _Atomic uint64_t operations;
    _Atomic uint32_t serials[KEYS + 8];
};

static struct scene *scene_make(void)
{
    struct scene *scene =
        mmap(NULL, sizeof(*scene), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    REQUIRE(scene != MAP_FAILED);
    return scene;
}

/* A writer's serials outlive it: it says beforehand how far it may come, and its successor begins there. */
static _Noreturn void process_main(struct memory *m, uint32_t number, uint32_t count,
                                   struct scene *scene)
{
    uint32_t serials[KEYS + 8] = {0};
    uint64_t state = (uint64_t)getpid() * 2654435761u + 1;

    for (uint32_t key = number; key < KEYS; key += count)
        serials[key] = atomic_load(scene->serials + key);
    for (;;) {
        for (uint32_t key = number; key < KEYS; key += count)
            atomic_store(scene->serials + key, serials[key] + AHEAD);
        for (int i = 0; i < AHEAD; i++) {
            operate(m, number, count, serials, &state);
            atomic_fetch_add(&scene->operations, 1);
        }
    }
}

static pid_t start(struct memory *m, uint32_t number, uint32_t count, struct scene *scene)
{
    pid_t pid = fork();

    if (pid == 0)
        process_main(m, number, count, scene);
    return pid;
}

static void nap(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};

    nanosleep(&t, NULL);
}

TEST(killed_and_stopped_processes_hurt_nobody)
{
    enum { PROCESSES = 4 };
    unsigned duration = seconds("TANDEM_KILL_SECONDS", 5);
    struct memory *m = open_small();
    struct scene *scene = scene_make();
    int64_t end = clock_now_ms() + duration * 1000;
    uint64_t state = (uint64_t)getpid(), before;
    pid_t pids[PROCESSES], stopped = 0;
    int kills = 0, status;

    check_timeout(duration + 60);
    for (uint32_t i = 0; i < PROCESSES; i++)
        pids[i] = start(m, i, PROCESSES, scene);
    while (clock_now_ms() < end) {
        uint32_t victim = (uint32_t)(random_next(&state) % PROCESSES);

        nap(50);
        before = atomic_load(&scene->operations);
        if (stopped)
            kill(stopped, SIGCONT);
        stopped = 0;
        if (random_next(&state) % 4 == 0) {
            stopped = pids[victim];
            kill(stopped, SIGSTOP);
            continue;
        }
        kill(pids[victim], SIGKILL);
        waitpid(pids[victim], &status, 0);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        pids[victim] = start(m, victim, PROCESSES, scene);
        kills++;
        /* However busy the machine is, somebody goes on. */
        for (int i = 0; atomic_load(&scene->operations) <= before && i < 5000; i++)
            nap(1);
        CHECK(atomic_load(&scene->operations) > before);
    }
    for (uint32_t i = 0; i < PROCESSES; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
    }
    CHECK_INT(MEMORY_OK, put(m, "still", "in service"));
    CHECK_STR("in service", get(m, "still"));
    CHECK_INT(0, metric(m, COUNT_MEMORY_OUT_OF_SERVICE));
    printf("%d kills, %.0f resets, %.0f lock time-outs, %.0f lost entries, %llu operations\n",
           kills, metric(m, COUNT_MEMORY_RESETS), metric(m, COUNT_MEMORY_LOCK_TIMEOUTS),
           metric(m, COUNT_MEMORY_LOST), (unsigned long long)atomic_load(&scene->operations));
}

/* -- A holder that died at the worst moment -------------------------------------------------------- */

#include "memory/index.h"
#include "memory/lock.h"
#include "memory/seq.h"
#include "memory/shard.h"

/* Dies with the lock of the key's shard, its version odd and its record half written. */
static void die_writing(struct memory *m, const char *key, int signal_number)
{
    pid_t pid = fork();

    if (pid == 0) {
        struct memory_place place = index_place(m, key, strlen(key));
        struct index_word word;
        struct record record;
        uint32_t slot;

        shard_hold(m, place.shard, MEMORY_LOCK_US);
        slot = index_find_locked(m, &place, key, strlen(key), &record);
        seq_write_begin(view_bucket(m, slot)->version + slot % LAYOUT_SLOTS);
        word = index_word_load(m, slot);
        *pages_run_at(m, &word.place).words = 0x1234567;
        kill(getpid(), signal_number);
    }
    waitpid(pid, NULL, WUNTRACED);
}

TEST(a_writer_that_dies_in_a_record_costs_its_shard)
{
    struct memory *m = open_small();

    put(m, "key", "value");
    die_writing(m, "key", SIGKILL);
    CHECK_STR(NULL, get(m, "key"));
    CHECK_INT(1, metric(m, COUNT_MEMORY_RESETS));
    CHECK_INT(1, metric(m, COUNT_MEMORY_LOST));
    CHECK_INT(MEMORY_OK, put(m, "key", "new"));
    CHECK_STR("new", get(m, "key"));
    memory_close(m);
}

TEST(a_shard_whose_lock_nobody_mended_is_out_of_service)
{
    struct memory *m = open_small();
    struct memory_place place = index_place(m, "key", 3);
    int64_t waited;

    put(m, "key", "value");
    die_writing(m, "key", SIGKILL);
    CHECK_INT(LOCK_ORPHANED, lock_acquire(&view_shard(m, place.shard)->mutex, 1000, &waited));
    lock_release(&view_shard(m, place.shard)->mutex);
    CHECK_INT(MEMORY_BUSY, put(m, "key", "new"));
    CHECK_STR(NULL, get(m, "key"));
    CHECK_INT(1, metric(m, COUNT_MEMORY_OUT_OF_SERVICE));
    memory_close(m);
}

TEST(a_writer_that_is_stopped_delays_within_bounds)
{
    struct memory *m = open_small();
    struct memory_entry entry;
    int64_t start_us;

    put(m, "key", "value");
    die_writing(m, "key", SIGSTOP);
    start_us = clock_now_us();
    CHECK_INT(MEMORY_BUSY, memory_get(m, "key", 3, 0, false, NULL, 0, &entry));
    CHECK_INT(MEMORY_BUSY, put(m, "key", "new"));
    CHECK_INT(MEMORY_BUSY, memory_delete(m, "key", 3, 0, MEMORY_LOCK_US));
    CHECK(clock_now_us() - start_us < 5000000);
    CHECK_INT(3, metric(m, COUNT_MEMORY_LOCK_TIMEOUTS));
    memory_close(m);
}

/* Stops with the lock of the key's shard in its hand, and nothing begun. */
static void stop_holding(struct memory *m, const char *key)
{
    pid_t pid = fork();

    if (pid == 0) {
        shard_hold(m, index_place(m, key, strlen(key)).shard, MEMORY_LOCK_US);
        kill(getpid(), SIGSTOP);
    }
    waitpid(pid, NULL, WUNTRACED);
}

/* A key of another shard than this one's. */
static const char *key_elsewhere(struct memory *m, const char *key)
{
    static char other[16];
    uint32_t shard = index_place(m, key, strlen(key)).shard;

    for (int i = 0; i == 0 || index_place(m, other, strlen(other)).shard == shard; i++)
        snprintf(other, sizeof(other), "other%d", i);
    return other;
}

TEST(a_lock_that_is_held_keeps_neither_readers_nor_other_shards_waiting)
{
    struct memory *m = open_small();
    const char *other = key_elsewhere(m, "key");

    put(m, "key", "value");
    stop_holding(m, "key");
    CHECK_INT(MEMORY_BUSY, put(m, "key", "new"));
    CHECK_INT(1, metric(m, COUNT_MEMORY_LOCK_TIMEOUTS));
    for (int i = 0; i < 1000; i++) {
        CHECK_STR("value", get(m, "key"));
        CHECK_INT(MEMORY_OK, put(m, other, "value"));
    }
    CHECK_INT(1, metric(m, COUNT_MEMORY_LOCK_TIMEOUTS));
    memory_close(m);
}

/* What Redis has acknowledged or reported, and memory cannot apply, makes everything go. */
TEST(a_change_that_finds_the_lock_taken_drops_everything)
{
    struct memory *m = open_small();
    struct memory_attributes a = {.flags = MEMORY_FROM_REDIS};
    struct memory_token token, then;
    struct memory_entry entry;
    const char *other = key_elsewhere(m, "key");
    size_t length = strlen(other);

    memory_token_read(m, "key", 3, &token);
    put(m, "key", "value");
    put(m, other, "value");
    die_writing(m, "key", SIGSTOP);
    CHECK_INT(MEMORY_BUSY, memory_commit(m, "key", 3, "new", 3, &a, &token, MEMORY_LOCK_US));
    CHECK_STR(NULL, get(m, other));
    put(m, other, "value");
    CHECK_INT(MEMORY_BUSY, memory_drop(m, "key", 3, 0, MEMORY_LOCK_US));
    CHECK_STR(NULL, get(m, other));

    memory_token_read(m, other, length, &then);
    CHECK_INT(MEMORY_OK, memory_fill(m, other, length, "value", 5, &a, &then, MEMORY_LOCK_US));
    CHECK_INT(MEMORY_BUSY, memory_invalidate(m, "key", 3, MEMORY_LOCK_US));
    CHECK_INT(MEMORY_OK, memory_get(m, other, length, 0, false, NULL, 0, &entry));
    CHECK(!entry.epoch_holds);
    memory_close(m);
}

CHECK_MAIN()
