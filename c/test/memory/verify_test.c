/* Segments looked at from outside: whole ones, damaged ones, and ones that are in use meanwhile. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "memory/index.h"
#include "memory/lock.h"
#include "memory/shard.h"
#include "open.h"

static char directory[] = "/tmp/tandem-verify-test-XXXXXX";
static char path[128];
static char why[512];

enum { BYTES = 1 << 20, KEYS = 3000 };

static struct memory *open_there(void)
{
    struct memory_config config = {
        .name = "test", .identity = "test", .bytes = BYTES, .path = path};
    struct memory *m = NULL;

    if (!path[0])
        REQUIRE(mkdtemp(directory) != NULL);
    REQUIRE(mkdir(directory, 0700) == 0 || errno == EEXIST);
    snprintf(path, sizeof(path), "%s/segment", directory);
    REQUIRE(memory_open(&config, &m, why, sizeof(why)) == MEMORY_OK);
    return m;
}

static void clean_up(void)
{
    unlink(path);
    CHECK_INT(0, rmdir(directory));
}

static void fill(struct memory *m, uint32_t keys)
{
    char key[32], value[400];

    memset(value, 'v', sizeof(value));
    for (uint32_t i = 0; i < keys; i++) {
        struct memory_attributes a = {.expires_ms = i % 7 ? 0 : 1,
                                      .flags = i % 11 ? 0 : MEMORY_NEGATIVE};

        snprintf(key, sizeof(key), "key:%u", i);
        CHECK_INT(MEMORY_OK, memory_put(m, key, strlen(key), value, i * 37 % sizeof(value), &a,
                                        MEMORY_LOCK_US));
    }
}

static struct memory *look(void)
{
    struct memory_description d;
    struct memory *m = NULL;

    why[0] = '\0';
    if (memory_attach(path, true, &m, &d, why, sizeof(why)) != MEMORY_OK)
        return NULL;
    return m;
}

/* Of all shards together, the first damage being that of the first that has one. */
static struct memory_findings verify(const struct memory *m)
{
    struct memory_findings all = {0}, f;

    for (uint32_t shard = 0; memory_verify(m, shard, clock_now_ms(), &f); shard++) {
        if (!all.first[0])
            memcpy(all.first, f.first, sizeof(all.first));
        all.slots += f.slots;
        all.entries += f.entries;
        all.expired += f.expired;
        all.absences += f.absences;
        all.damaged += f.damaged;
        all.unsettled += f.unsettled;
        all.busy_shards += f.busy_shards;
        all.orphaned_shards += f.orphaned_shards;
    }
    return all;
}

TEST(a_whole_segment_is_found_whole)
{
    struct memory *m = open_there(), *seen;
    struct memory_findings f;

    for (int i = 0; i < 4; i++)
        fill(m, KEYS * 3);
    seen = look();
    REQUIRE(seen != NULL);
    f = verify(seen);
    CHECK_STR("", f.first);
    CHECK_INT(0, f.damaged);
    CHECK_INT(0, f.unsettled);
    CHECK_INT(0, f.busy_shards);
    CHECK_INT(metric(m, COUNT_MEMORY_ENTRIES), f.entries);
    CHECK_INT(memory_slots(m), f.slots);
    CHECK(f.entries > 1000 && f.absences > 10);
    memory_close(seen);
    memory_close(m);
    clean_up();
}

static uint64_t checksum(void)
{
    static unsigned char bytes[BYTES];
    int fd = open(path, O_RDONLY);
    uint64_t sum = 0;

    REQUIRE(fd >= 0 && read(fd, bytes, BYTES) == BYTES);
    close(fd);
    for (size_t i = 0; i < BYTES; i++)
        sum = sum * 31 + bytes[i];
    return sum;
}

TEST(whoever_looks_changes_nothing)
{
    struct memory *m = open_there(), *seen;
    char buffer[4096 + 4], key[MEMORY_KEY_MAX];
    size_t length, count, keys = 0, found = 0;
    struct memory_entry entry;
    double cursor = 0;
    uint64_t before;
    int status;

    fill(m, KEYS);
    before = checksum();
    seen = look();
    REQUIRE(seen != NULL);
    do {
        status = memory_keys(seen, &cursor, NULL, 0, clock_now_ms(), buffer, sizeof(buffer),
                             &length, &count);
        keys += count;
    } while (status == MEMORY_MORE);
    for (uint32_t slot = 0; slot < memory_slots(seen); slot++)
        found += memory_slot(seen, slot, clock_now_ms(), key, &length, &count);
    CHECK(keys > 1000 && found >= keys);
    CHECK_INT(MEMORY_OK,
              memory_get(seen, "key:1", 5, clock_now_ms(), true, buffer, sizeof(buffer), &entry));
    CHECK_INT(37, entry.length);
    verify(seen);
    CHECK_INT(metric(m, COUNT_MEMORY_SETS), metric(seen, COUNT_MEMORY_SETS));
    CHECK(before == checksum());
    memory_close(seen);
    memory_close(m);
    clean_up();
}

/* -- While others write -------------------------------------------------------------------------------- */

static void write_for_ever(struct memory *m)
{
    char key[32], value[3000] = "";

    for (unsigned i = 0, n = 1;; i++, n = n * 1664525 + 1013904223) {
        snprintf(key, sizeof(key), "key:%u", n >> 20);
        if (i % 5)
            memory_put(m, key, strlen(key), value, n >> 8 & 1023, &forever, MEMORY_LOCK_US);
        else
            memory_delete(m, key, strlen(key), 1, MEMORY_LOCK_US);
        if (i % 1000 == 0)
            memory_put(m, "large", 5, value, sizeof(value), &forever, MEMORY_LOCK_US);
    }
}

TEST(what_is_written_meanwhile_is_not_damage)
{
    struct memory *m = open_there(), *seen = look();
    double entries = 0, writes;
    pid_t pid[2];

    REQUIRE(seen != NULL);
    for (int i = 0; i < 2; i++) {
        pid[i] = fork();
        if (pid[i] == 0)
            write_for_ever(m);
    }
    writes = metric(m, COUNT_MEMORY_SETS);
    for (int i = 0; i < 30 || metric(m, COUNT_MEMORY_SETS) < writes + 100000; i++) {
        struct memory_findings f = verify(seen);

        CHECK_STR("", f.first);
        CHECK_INT(0, f.damaged);
        entries += f.entries;
    }
    CHECK(entries > 1000);
    for (int i = 0; i < 2; i++) {
        kill(pid[i], SIGKILL);
        waitpid(pid[i], NULL, 0);
    }
    memory_close(seen);
    memory_close(m);
    clean_up();
}

/* Takes a shard's lock and leaves its count of entries wrong. */
static pid_t in_the_middle(struct memory *m)
{
    struct layout_shard *s = view_shard(m, 0);
    pid_t pid = fork();
    int64_t waited_ns;
    int status;

    if (pid == 0) {
        lock_acquire(&s->mutex, 1000000, &waited_ns);
        shard_set(&s->entries, shard_get(&s->entries) + 1);
        raise(SIGSTOP);
        _exit(0);
    }
    CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
    return pid;
}

TEST(a_writer_that_stands_still_or_died_is_not_damage_either)
{
    struct memory *m = open_there(), *seen = look();
    struct memory_findings f;
    pid_t pid;

    REQUIRE(seen != NULL);
    fill(m, KEYS);
    pid = in_the_middle(m);
    f = verify(seen);
    CHECK_INT(0, f.damaged);
    CHECK_INT(1, f.busy_shards);
    CHECK_INT(0, f.orphaned_shards);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    f = verify(seen);
    CHECK_INT(0, f.damaged);
    CHECK_INT(0, f.busy_shards);
    CHECK_INT(1, f.orphaned_shards);
    fill(m, KEYS);
    f = verify(seen);
    CHECK_INT(0, f.damaged);
    CHECK_INT(0, f.orphaned_shards);
    memory_close(seen);
    memory_close(m);
    clean_up();
}

/* -- Damage -------------------------------------------------------------------------------------------- */

static uint32_t occupied(const struct memory *m)
{
    uint32_t slot = 0;

    while (index_word_load(m, slot).empty)
        slot++;
    return slot;
}

static void find_damage(struct memory *m, const char *what)
{
    struct memory *seen = look();
    struct memory_findings f;

    REQUIRE(seen != NULL);
    f = verify(seen);
    CHECK(f.damaged >= 1);
    if (!CHECK(strstr(f.first, what) != NULL))
        printf("expected: %s; got: %s\n", what, f.first);
    memory_close(seen);
    memory_close(m);
    clean_up();
}

static struct memory *filled(void)
{
    struct memory *m = open_there();

    fill(m, KEYS);
    return m;
}

static _Atomic uint64_t *word_of(struct memory *m, uint32_t slot)
{
    return view_bucket(m, slot)->word + slot % LAYOUT_SLOTS;
}

TEST(a_wrong_length_is_found)
{
    struct memory *m = filled();

    atomic_fetch_add(word_of(m, occupied(m)), 1 << 16);
    find_damage(m, "stands for no record");
}

TEST(a_wrong_tag_is_found)
{
    struct memory *m = filled();

    atomic_fetch_xor(word_of(m, occupied(m)), 1);
    find_damage(m, "belongs elsewhere");
}

TEST(a_slot_that_points_to_anothers_record_is_found)
{
    struct memory *m = filled();
    uint32_t slot = occupied(m), other = slot + 1;

    while (index_word_load(m, other).empty)
        other++;
    atomic_store(word_of(m, other), atomic_load(word_of(m, slot)));
    find_damage(m, "its record is slot");
}

TEST(wrong_sums_are_found)
{
    struct memory *m = filled();
    struct layout_shard *s = view_shard(m, 1);

    shard_set(&s->entries, shard_get(&s->entries) + 1);
    find_damage(m, "shard 1: it is said to have");
    m = filled();
    s = view_shard(m, 1);
    shard_set(&s->log[LOG_SMALL].live, shard_get(&s->log[LOG_SMALL].live) + 1);
    find_damage(m, "shard 1: ");
}

TEST(a_log_that_has_lost_its_end_is_found)
{
    struct memory *m = filled();
    struct layout_shard *s = view_shard(m, 0);

    shard_set(&s->log[LOG_SMALL].head, 1);
    shard_set(&s->log[LOG_MAIN].head, 1);
    find_damage(m, "lies outside its log");
}

TEST(a_shard_out_of_service_is_told)
{
    struct memory *m = filled();

    atomic_store(&view_shard(m, 2)->out_of_service, 1);
    find_damage(m, "shard 2: it is out of service");
}

/* Anything may be in a file: nobody who looks may come to harm, or find out nothing about much damage. */
TEST(any_bytes_can_be_looked_at)
{
    unsigned random = 12345, refused = 0, told = 0;

    check_timeout(120);
    for (int round = 0; round < 60; round++) {
        struct memory *m = filled(), *seen;
        unsigned char *bytes = (void *)m->header;
        char buffer[8192], key[MEMORY_KEY_MAX];
        int changes = 1 << round % 16;
        double cursor = 0;
        size_t length, count;

        for (int i = 0; i < changes; i++) {
            random = random * 1664525 + 1013904223;
            bytes[random % BYTES] ^= (unsigned char)(random >> 24 | 1);
        }
        seen = look();
        refused += !seen;
        if (seen) {
            struct memory_findings f = verify(seen);

            told += f.damaged + f.unsettled + f.orphaned_shards + f.busy_shards > 0;
            while (memory_keys(seen, &cursor, "*1*", 3, clock_now_ms(), buffer, sizeof(buffer),
                               &length, &count) == MEMORY_MORE)
                continue;
            for (uint32_t slot = 0; slot < memory_slots(seen); slot++)
                memory_slot(seen, slot, clock_now_ms(), key, &length, &count);
            for (int i = 0; i < COUNT_METRICS; i++)
                metric(seen, i);
            memory_close(seen);
        }
        memory_close(m);
        clean_up();
    }
    CHECK(refused > 0 && told > 10);
}

/* -- What is not a segment of ours -------------------------------------------------------------------------- */

static void refuse(const char *reason)
{
    CHECK(look() == NULL);
    if (!CHECK(strstr(why, reason) != NULL))
        printf("expected: %s; got: %s\n", reason, why);
}

static void patch(off_t at, const void *bytes, size_t length)
{
    int fd = open(path, O_WRONLY);

    REQUIRE(fd >= 0 && pwrite(fd, bytes, length, at) == (ssize_t)length);
    close(fd);
}

TEST(what_is_no_segment_is_refused_with_a_reason)
{
    struct memory *m = open_there();
    uint64_t huge = UINT64_MAX;

    memory_close(m);
    patch(offsetof(struct layout_header, fingerprint), "0:other\033[31m", 12);
    refuse("another build");
    refuse("0:other?[31m");
    unlink(path);
    memory_close(open_there());
    patch(offsetof(struct layout_header, bytes), &huge, sizeof(huge));
    refuse("damaged: it has 1048576 of");
    unlink(path);
    memory_close(open_there());
    patch(offsetof(struct layout_header, identity), "x", 1);
    refuse("its header makes no sense");
    CHECK_INT(0, truncate(path, BYTES / 2));
    refuse("damaged: it has 524288 of 1048576");
    CHECK_INT(0, truncate(path, 100));
    refuse("is not a tandem segment");
    unlink(path);
    refuse(strerror(ENOENT));
    CHECK_INT(0, mkfifo(path, 0600));
    refuse("is not a regular file");
    clean_up();
}

/* -- Marks ----------------------------------------------------------------------------------------------------- */

TEST(marks_are_counted_and_given_back)
{
    struct memory *m = open_there(), *seen = NULL;
    struct memory_description d;
    static uint8_t times[1 << 16];
    char key[MEMORY_KEY_MAX];
    size_t length, value_length;
    unsigned marked = 0;

    fill(m, 200);
    REQUIRE(memory_attach(path, false, &seen, &d, why, sizeof(why)) == MEMORY_OK);
    CHECK_STR("test", d.name);
    CHECK(!d.with_redis);
    REQUIRE(memory_slots(seen) <= sizeof(times));
    memory_marks_take(seen, 0, memory_slots(seen), times);
    memset(times, 0, sizeof(times));
    for (int i = 0; i < 5; i++) {
        get(m, "key:3");
        if (i < 2)
            get(m, "key:5");
        memory_marks_take(seen, 0, UINT32_MAX, times);
    }
    for (uint32_t slot = 0; slot < memory_slots(seen); slot++) {
        if (!times[slot])
            continue;
        REQUIRE(memory_slot(seen, slot, clock_now_ms(), key, &length, &value_length));
        CHECK_INT(5, length);
        CHECK_INT(key[4] == '3' ? 5 : 2, times[slot]);
        marked++;
    }
    CHECK_INT(2, marked);
    memory_marks_give(seen, 0, UINT32_MAX, times);
    memset(times, 0, sizeof(times));
    memory_marks_take(m, 0, UINT32_MAX, times);
    for (uint32_t slot = 0; slot < memory_slots(m); slot++)
        marked -= times[slot];
    CHECK_INT(0, marked);
    memory_close(seen);
    memory_close(m);
    clean_up();
}

CHECK_MAIN()
