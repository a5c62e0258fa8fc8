/*
 * Kills, and stops, a process at each marked point (memory/fault.h) of each operation.
 *
 * For each operation there is a segment, prepared and remembered byte by byte.  The operation is run
 * once to learn which points it comes by; then, for each of them, the segment is put back, a child runs
 * the operation and is killed or stopped there, and the parent looks whether anybody could see anything
 * wrong and whether service goes on.  A last test fails if there is a point that no operation reached.
 */
#define TANDEM_FAULTS

#include "memory/fault.h"

#include "aftermath.h"

/* Points that some operation came by. */
static _Atomic bool *reached;

/* Tests are processes of their own, and this is to be seen by the last of them. */
__attribute__((constructor)) static void share_reached(void)
{
    reached = shared(FAULT_COUNT * sizeof(*reached));
}

/* -- The operations ------------------------------------------------------------------------------- */

static void nothing(void)
{
}

static void fill_up(void)
{
    for (uint32_t key = 0; key < KEYS - 100; key++) {
        put_usual(key);
        if (key >= 300)
            mark(key - draw(300));
    }
    churn(6000);
}

static void fill_with_tiny_ones(void)
{
    for (uint32_t key = 0; key < KEYS - 100; key++)
        put_sized(key, 0, 0);
}

static void put_some(void)
{
    for (uint32_t key = 0; key < 40; key++)
        put_sized(key, USUAL, key < 20 ? 0 : 10);
}

static void put_some_that_stay(void)
{
    for (uint32_t key = 0; key < 40; key++)
        put_usual(key);
}

static void put_some_that_expire(void)
{
    put_some();
    clock_shift(20);
    for (uint32_t key = 20; key < 40; key++)
        scene->acked[key] = 0;
}

/* Main is so full of what is dead that it needs a sweep. */
static void fill_and_empty_main(void)
{
    fill_up();
    for (uint32_t key = 0; key < KEYS; key++) {
        struct memory_entry entry;

        if (look(key, &entry) > 0 && index_word_load(m, entry.slot).place.log == LOG_MAIN &&
            key % 4)
            delete_key(key);
    }
}

static void put_first(void)
{
    put_usual(0);
}

static void put_enlarged(void)
{
    put_sized(0, USUAL * 4, 0);
}

static void put_last(void)
{
    put_usual(KEYS - 1);
}

static void put_large(void)
{
    put_sized(KEYS - 1, LARGE, 0);
}

static void put_new_ones(void)
{
    for (uint32_t key = KEYS - 60; key < KEYS; key++)
        put_usual(key);
}

/* Those in Small go to Main, in pages of which the first is used again for the last. */
static void put_large_ones(void)
{
    for (uint32_t key = 0; key < 4; key++)
        put_sized(key, LARGE, 0);
}

static void put_returning(void)
{
    for (uint32_t key = 0; key < 200; key++) {
        struct memory_entry entry;

        if (look(key, &entry) == 0)
            put_usual(key);
    }
}

/* Where nothing came by the damage yet, which depends on the keys, more is put. */
static void put_until_found(void)
{
    double resets = metric(m, COUNT_MEMORY_RESETS);

    put_returning();
    for (uint32_t i = 0; i < 10 * KEYS && metric(m, COUNT_MEMORY_RESETS) == resets; i++)
        put_usual(i % KEYS);
}

static void delete_first(void)
{
    delete_key(0);
}

static void churn_on(void)
{
    churn(600);
}

static void mark_last(void)
{
    mark(KEYS - 1);
}

static void commit_first(void)
{
    commit(USUAL, false);
}

static void commit_outdated(void)
{
    commit(USUAL, true);
}

static void commit_too_large(void)
{
    commit(TOO_LARGE, false);
}

static void put_some_and_count(void)
{
    put_some();
    count(8);
}

static void put_some_that_have_a_ttl(void)
{
    struct memory_entry entry;

    put_some();
    put_sized(0, USUAL, 500000);
    look(0, &entry);
    scene->expires_ms[0] = entry.attributes.expires_ms;
}

static void fill_and_delete_first(void)
{
    fill_up();
    delete_key(0);
}

static void add_first(void)
{
    add_or_replace(0, true);
}

static void replace_first(void)
{
    add_or_replace(0, false);
}

static void count_one(void)
{
    count(1);
}

/* Eight bytes more than it had. */
static void count_many(void)
{
    count(1e17L);
}

/* Several keys at once: none of them is known to have anything from when this begins. */
static void remove_by(const char *glob)
{
    double cursor = 0;
    size_t count;
    int rc;

    do {
        rc = memory_remove(m, &cursor, glob, glob ? strlen(glob) : 0, clock_now_ms(),
                           MEMORY_LOCK_US, &count);
    } while (rc == MEMORY_MORE || rc == MEMORY_BUSY);
    for (uint32_t key = 0; key < KEYS; key++)
        if (!glob || strncmp(keys[key], glob, strlen(glob) - 1) == 0)
            scene->acked[key] = 0;
}

static void remove_some(void)
{
    remove_by("k1*");
}

static void remove_all(void)
{
    remove_by(NULL);
}

static void clean_up(void)
{
    double cursor = 0;
    size_t count;

    while (memory_cleanup(m, &cursor, 0, clock_now_ms(), MEMORY_LOCK_US, &count) != MEMORY_OK)
        continue;
}

static void bump_all(void)
{
    memory_drop_all(m);
    memset(scene->acked, 0, sizeof(scene->acked));
}

/* Some keys at once, with values of that length, or to be deleted. */
static void change_together(uint32_t count, uint32_t length, bool removal)
{
    static struct value values[40];
    struct memory_item items[40];

    scene->first_together = scene->serial + 1;
    scene->together = removal ? 0 : count;
    for (uint32_t key = 0; key < count; key++)
        items[key] = (struct memory_item){
            .key = keys[key],
            .key_length = strlen(keys[key]),
            .value = values + key,
            .value_length = value_make(values + key, key, ++scene->serial, length),
        };
    if (removal)
        memory_delete_many(m, items, count, clock_now_ms(), MEMORY_LOCK_US);
    else
        memory_put_many(m, items, count, &forever, MEMORY_LOCK_US);
    for (uint32_t key = 0; key < count; key++)
        if (items[key].status != MEMORY_BUSY)
            scene->acked[key] = removal ? 0 : scene->first_together + key;
    scene->together = 0;
}

static void put_together(void)
{
    change_together(40, USUAL, false);
}

static void put_large_together(void)
{
    change_together(4, LARGE, false);
}

static void delete_together(void)
{
    change_together(40, USUAL, true);
}

/* As the owner, and as one who waits for another's. */
static void fly(void)
{
    struct memory_flight flight = {0, 0};
    struct memory_flight_outcome outcome;

    for (int i = 0; i < 3; i++) {
        int64_t now_ms = clock_now_ms();

        memory_flight_begin(m, "key", 3, true, now_ms, now_ms + 60000, &flight);
        memory_flight_begin(m, "key", 3, true, now_ms, now_ms + 60000, &flight);
        memory_flight_end(m, &flight, 4, "why", 3);
        memory_flight_look(m, &flight, now_ms, true, &outcome);
    }
}

static void put_first_tagged(void)
{
    put_tagged(0);
}

static void put_some_and_tag_first(void)
{
    put_some();
    put_tagged(0);
}

static void invalidate_tag_of_first(void)
{
    invalidate_tag_of(0);
}

/* A child dies with the lock, in a record. */
static void orphan(void)
{
    pid_t pid;

    fill_up();
    put_last();
    pid = fork();
    if (pid == 0) {
        fault_arm(FAULT_RECORD_KEY, 1, SIGKILL);
        put_last();
        _exit(1);
    }
    waitpid(pid, NULL, 0);
    scene->pending = -1;
    scene->acked[KEYS - 1] = 0; /* its version is odd */
}

/* The next who looks at the record at a log's tail finds nonsense. */
static void damage(uint32_t log)
{
    struct pages_place tail = {SHARD, log, 0};

    fill_up();
    CHECK(vlog_head(view_shard(m, SHARD), log) > vlog_tail(view_shard(m, SHARD), log));
    tail.offset = vlog_tail(view_shard(m, SHARD), log) + 1; /* that may be in another page */
    atomic_store(pages_run_at(m, &tail).words, UINT64_MAX);
}

static void damage_small(void)
{
    damage(LOG_SMALL);
}

static void damage_main(void)
{
    damage(LOG_MAIN);
}

/* X(test, prepare, run) */
#define OPERATIONS(X)                                                          \
    X(put_into_an_empty_shard, nothing, put_first)                             \
    X(overwrite_in_place, put_some, put_first)                                 \
    X(put_a_larger_value, put_some, put_enlarged)                              \
    X(put_when_full, fill_up, put_last)                                        \
    X(put_many_when_full, fill_up, put_new_ones)                               \
    X(put_a_large_value_when_full, fill_up, put_large)                         \
    X(put_what_was_evicted, fill_up, put_returning)                            \
    X(put_what_moves_large_ones, put_large_ones, put_new_ones)                 \
    X(put_when_all_slots_are_taken, fill_with_tiny_ones, put_new_ones)         \
    X(put_when_much_is_dead, fill_and_empty_main, put_new_ones)                \
    X(put_into_a_damaged_shard, damage_small, put_until_found)                 \
    X(put_what_was_evicted_from_a_damaged_shard, damage_main, put_until_found) \
    X(put_together_what_is_there, put_some_that_stay, put_together)            \
    X(put_together_when_full, fill_up, put_together)                           \
    X(put_large_ones_together, put_large_ones, put_large_together)             \
    X(delete_together_some, put_some_that_stay, delete_together)               \
    X(delete_an_entry, put_some, delete_first)                                 \
    X(delete_nothing, nothing, delete_first)                                   \
    X(add_an_entry, nothing, add_first)                                        \
    X(add_what_is_there, put_some, add_first)                                  \
    X(add_when_full, fill_and_delete_first, add_first)                         \
    X(replace_an_entry, put_some, replace_first)                               \
    X(replace_what_is_not_there, nothing, replace_first)                       \
    X(count_for_the_first_time, put_some, count_one)                           \
    X(count_in_place, put_some_and_count, count_one)                           \
    X(count_to_a_longer_number, put_some_and_count, count_many)                \
    X(count_when_full, fill_up, count_one)                                     \
    X(expire_an_entry, put_some_that_have_a_ttl, expire_first)                 \
    X(expire_nothing, nothing, expire_first)                                   \
    X(fill_from_redis, put_some, fill_first)                                   \
    X(commit_an_answer, put_some, commit_first)                                \
    X(commit_what_is_outdated, put_some, commit_outdated)                      \
    X(commit_what_is_too_large, put_some, commit_too_large)                    \
    X(drop_an_entry, put_some, drop_first)                                     \
    X(drop_everything, put_some, bump_all)                                     \
    X(remove_by_glob, put_some, remove_some)                                   \
    X(fly_for_a_key, put_some, fly)                                            \
    X(clear, put_some, remove_all)                                             \
    X(tag_an_entry, put_some, put_first_tagged)                                \
    X(overwrite_what_is_tagged, put_some_and_tag_first, put_first)             \
    X(invalidate_a_tag, put_some_and_tag_first, invalidate_tag_of_first)       \
    X(clean_up_what_expired, put_some_that_expire, clean_up)                   \
    X(all_sorts, fill_up, churn_on)                                            \
    X(put_after_a_death, orphan, put_last)                                     \
    X(read_after_a_death, orphan, mark_last)

struct operation {
    void (*prepare)(void), (*run)(void);
    void *segment; /* as prepared */
    struct scene scene;
    struct before before;
};

/* Killing one reset after the other hides no loss: every entry there was is counted, once. */
static void check_losses(const struct operation *o)
{
    double lost = metric(m, COUNT_MEMORY_LOST) - o->before.lost;

    if (o->prepare == orphan) /* the entry that its own put has made may be among them */
        CHECK(lost == (double)o->before.entries || lost == (double)o->before.entries + 1);
}

/* -- One case, and all of them -------------------------------------------------------------------- */

enum mode { KILLED, STOPPED, STOPPED_THEN_KILLED, STOPPED_THEN_DROPPED, MODES };

static void put_back(const struct operation *o)
{
    memcpy(m->header, o->segment, m->layout.bytes);
    *scene = o->scene;
}

static pid_t start(const struct operation *o, enum fault_point point, unsigned n, int signal_number)
{
    pid_t pid;

    put_back(o);
    pid = fork();
    if (pid == 0) {
        if (point < FAULT_COUNT)
            fault_arm(point, n, signal_number);
        else
            fault_count(scene->counts);
        o->run();
        _exit(0);
    }
    return pid;
}

static const struct {
    const char *name;
    bool locked;
} points[] = {
#define ROW(name, locked) {#name, locked},
    FAULT_POINTS(ROW)
#undef ROW
};

static void run_case(const struct operation *o, enum fault_point point, unsigned n, enum mode mode)
{
    bool locked = points[point].locked;
    pid_t pid = start(o, point, n, mode == KILLED ? SIGKILL : SIGSTOP);
    int status = 0;

    REQUIRE(waitpid(pid, &status, WUNTRACED) == pid);
    if (!CHECK(mode == KILLED ? WIFSIGNALED(status) : WIFSTOPPED(status)))
        return;
    atomic_store(reached + point, true);
    if (mode != KILLED) {
        check_bounds(&o->before, locked, mode == STOPPED_THEN_DROPPED);
        kill(pid, mode == STOPPED_THEN_KILLED ? SIGKILL : SIGCONT);
        waitpid(pid, &status, 0);
    }
    if (mode == KILLED || mode == STOPPED_THEN_KILLED) {
        check_recovery(&o->before, locked);
        check_losses(o);
    } else {
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        check_near(&o->before);
        CHECK_INT(0, check_values());
    }
    check_service();
}

static void prepare(struct operation *o)
{
    scene_open();
    o->prepare();
    o->scene = *scene;
    o->segment = malloc(m->layout.bytes);
    o->before.versions = calloc(slots(), sizeof(uint32_t));
    REQUIRE(o->segment && o->before.versions);
    memcpy(o->segment, m->header, m->layout.bytes);
    o->before.entries = words_in_slots();
    o->before.lost = metric(m, COUNT_MEMORY_LOST);
    remember(&o->before);
}

/* At each point that the operation comes by: the first, the middle and the last time. */
static void run_cases(struct operation *o)
{
    unsigned counts[FAULT_COUNT];
    pid_t pid;
    int status;

    check_timeout(300);
    prepare(o);
    pid = start(o, FAULT_COUNT, 0, 0);
    REQUIRE(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    memcpy(counts, scene->counts, sizeof(counts));
    check_service();
    for (unsigned point = 0; point < FAULT_COUNT; point++) {
        unsigned last = counts[point], middle = last / 2;

        for (int mode = KILLED; last > 0 && mode < MODES; mode++)
            run_case(o, (enum fault_point)point, 1, (enum mode)mode);
        for (int mode = KILLED; last > 1 && mode < MODES; mode++)
            run_case(o, (enum fault_point)point, last, (enum mode)mode);
        if (middle > 1)
            run_case(o, (enum fault_point)point, middle, KILLED);
    }
}

#define OPERATION(name, prepare, run)                                                       \
    TEST(name)                                                                              \
    {                                                                                       \
        static struct operation operation = {prepare, run, NULL, .scene = {.pending = -1}}; \
                                                                                            \
        run_cases(&operation);                                                              \
    }
OPERATIONS(OPERATION)

TEST(every_point_was_reached)
{
    for (int point = 0; point < FAULT_COUNT; point++)
        if (!CHECK(atomic_load(reached + point)))
            printf("nothing comes by %s\n", points[point].name);
}

CHECK_MAIN()
