/* Segments in files that something has been done to: whoever opens one is refused with a sentence, or gets
 * answers that are within bounds and end; and what lies in shards that nothing was done to is all there. */
#include "fuzz.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "memory/index.h"
#include "memory/memory.h"
#include "memory/view.h"

enum { BYTES = 1 << 20, KEYS = 64, LOCK_US = 0, STEPS = 100000 };

static char folder[64], path[80];
static uint8_t *whole, *broken; /* the file as it was, and as it is to be */
static struct layout layout;
static uint32_t shard_of[KEYS];
static bool harmed[LAYOUT_SHARDS_MAX], harmed_all;
static int64_t now_ms;

static const struct memory_config config = {.name = "fuzz",
                                            .identity = "fuzz",
                                            .bytes = BYTES,
                                            .with_redis = true,
                                            .with_tags = true,
                                            .path = path};

/* -- A file as it should be ------------------------------------------------------------------------ */

static size_t key_of(int i, char key[16])
{
    return (size_t)snprintf(key, 16, "key %d", i);
}

static size_t value_of(int i, uint8_t value[4096])
{
    size_t length = (size_t)(i * 37 % 700);

    memset(value, i, length);
    return length;
}

static void fill(struct memory *m)
{
    uint8_t value[4096];
    char key[16];

    for (int i = 0; i < KEYS; i++) {
        uint32_t hash = memory_tag_hash(m, "tag", 3);
        struct memory_tags tags = {memory_tag_number(m), 1, &hash};
        struct memory_attributes attributes = {.expires_ms = i % 3 ? 0 : now_ms + 1000000000,
                                               .flags = (i % 2 ? MEMORY_FROM_REDIS : 0) |
                                                        (i % 5 ? 0 : MEMORY_TAGGED),
                                               .tags = i % 5 ? NULL : &tags};
        size_t length = key_of(i, key);

        HOLDS(memory_put(m, key, length, value, value_of(i, value), &attributes, MEMORY_LOCK_US) ==
              MEMORY_OK);
        shard_of[i] = index_place(m, key, length).shard;
    }
    for (int i = 0; i < 8; i++)
        HOLDS(memory_replay_put(m, key, key_of(i, key), MEMORY_REPLAY_SET, 0, now_ms,
                                MEMORY_LOCK_US));
}

static void clean_up(void)
{
    unlink(path);
    rmdir(folder);
}

static void make_whole(void)
{
    struct memory *m;
    char error[256];
    int fd;

    snprintf(folder, sizeof(folder), "%s/tandem-fuzz-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    HOLDS(mkdtemp(folder));
    now_ms = clock_now_ms();
    atexit(clean_up);
    snprintf(path, sizeof(path), "%s/segment", folder);
    HOLDS(memory_open(&config, &m, error, sizeof(error)) == MEMORY_OK);
    layout = m->layout;
    fill(m);
    memory_close(m);
    whole = malloc(BYTES);
    broken = malloc(BYTES);
    fd = open(path, O_RDONLY);
    HOLDS(whole && broken && fd >= 0 && read(fd, whole, BYTES) == BYTES);
    close(fd);
}

/* -- What is done to it ---------------------------------------------------------------------------- */

static bool within(uint64_t at, uint64_t from, uint64_t each)
{
    if (at < from || at >= from + each * layout.shards)
        return false;
    harmed[(at - from) / each] = true;
    return true;
}

static void note_harm(uint64_t at)
{
    uint64_t page = UINT64_C(8) << layout.page_shift;

    if (!within(at, layout.shards_at, sizeof(struct layout_shard)) &&
        !within(at, layout.buckets_at, (uint64_t)layout.buckets * sizeof(struct layout_bucket)) &&
        !within(at, layout.ghosts_at, (uint64_t)layout.ghosts * 4) &&
        !within(at, layout.tables_at, layout_table_words(&layout) * 2) &&
        !within(at, layout.pages_at, layout.pages * page))
        harmed_all = true;
}

/* Where a change begins: a part of the segment is chosen first, for most of its bytes are of pages. */
static uint64_t choose_place(struct input *in)
{
    const uint64_t parts[] = {0,
                              layout.counters_at,
                              layout.near_at,
                              layout.flights_at,
                              layout.tags_at,
                              layout.shards_at,
                              layout.buckets_at,
                              layout.ghosts_at,
                              layout.tables_at,
                              layout.replays_at,
                              layout.pages_at,
                              BYTES};
    unsigned part = input_byte(in) % (sizeof(parts) / sizeof(*parts) - 1);
    uint64_t offset = input_byte(in);

    offset = offset << 8 | input_byte(in);
    offset = offset << 4 | input_byte(in) % 16;
    return parts[part] < parts[part + 1] ? parts[part] + offset % (parts[part + 1] - parts[part])
                                         : offset % BYTES;
}

static void break_it(struct input *in)
{
    uint64_t at = choose_place(in);
    unsigned how = input_byte(in), n = 1 + how % 16;

    for (unsigned i = 0; i < n && at < BYTES; i++, at++) {
        switch (how / 16 % 4) {
        case 0:
            broken[at] = (uint8_t)input_byte(in);
            break;
        case 1:
            broken[at] ^= (uint8_t)(1 << input_byte(in) % 8);
            break;
        case 2:
            broken[at] = how & 64 ? 255 : 0;
            break;
        default:
            broken[at] = broken[(at + 4096) % BYTES];
        }
        note_harm(at);
    }
}

static size_t make_broken(struct input *in)
{
    unsigned changes = input_byte(in);

    memcpy(broken, whole, BYTES);
    memset(harmed, false, sizeof(harmed));
    harmed_all = false;
    if (changes >= 250) { /* cut short */
        harmed_all = true;
        return ((size_t)input_byte(in) << 12) + input_byte(in);
    }
    while (in->left > 16 && changes--)
        break_it(in);
    return BYTES;
}

static void write_broken(size_t size)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

    HOLDS(fd >= 0 && write(fd, broken, size) == (ssize_t)size);
    close(fd);
}

/* -- What it answers ------------------------------------------------------------------------------- */

static void look_at(struct memory *m, bool peek)
{
    static uint8_t got[1 << 17];
    uint8_t value[4096];
    char key[16];

    for (int i = 0; i < KEYS; i++) {
        struct memory_entry entry;
        int rc = memory_get(m, key, key_of(i, key), now_ms, peek, got, sizeof(got), &entry);

        HOLDS(rc == MEMORY_OK || rc == MEMORY_ABSENT || rc == MEMORY_SMALL || rc == MEMORY_BUSY);
        HOLDS(rc != MEMORY_OK || entry.length <= sizeof(got));
        if (harmed_all || harmed[shard_of[i]])
            continue;
        HOLDS(rc == MEMORY_OK && entry.length == value_of(i, value) &&
              memcmp(got, value, entry.length) == 0);
    }
}

static void walk(struct memory *m, const char *glob)
{
    static uint8_t page[1 << 14];
    size_t length, count, at;
    double cursor = 0;
    int rc, steps = 0;

    do {
        rc = memory_keys(m, &cursor, glob, glob ? strlen(glob) : 0, now_ms, page, sizeof(page),
                         &length, &count);
        HOLDS(length <= sizeof(page) && ++steps < STEPS);
        for (at = 0; rc != MEMORY_BUSY && count > 0; count--) {
            uint32_t n;

            HOLDS(at + 4 <= length);
            memcpy(&n, page + at, 4);
            HOLDS(n <= MEMORY_KEY_MAX && at + 4 + n <= length);
            at += 4 + n;
        }
    } while (rc == MEMORY_MORE);
}

static void inspect(struct memory *m)
{
    char key[MEMORY_KEY_MAX];
    size_t key_length, value_length;
    struct memory_findings findings;

    for (uint32_t slot = 0; slot < memory_slots(m); slot++)
        if (memory_slot(m, slot, now_ms, key, &key_length, &value_length))
            HOLDS(key_length <= MEMORY_KEY_MAX && value_length < 1 << 24);
    for (uint32_t shard = 0; memory_verify(m, shard, now_ms, &findings); shard++)
        HOLDS(harmed_all || harmed[shard] || findings.damaged == 0);
}

static void change(struct memory *m)
{
    const struct memory_attributes forever = {0};
    static uint8_t value[16000];
    struct memory_flight flight;
    struct memory_replay replay;
    struct memory_token token;
    size_t count;
    double cursor = 0;
    uint32_t at = 0;
    char key[16];
    int steps = 0;

    for (int i = 0; i < 3 * KEYS; i++) {
        size_t length = key_of(i, key);

        memory_token_read(m, key, length, &token);
        if (i % 4 == 0)
            memory_delete(m, key, length, now_ms, LOCK_US);
        else if (i % 4 == 1)
            memory_commit(m, key, length, value, (size_t)i, &forever, &token, LOCK_US);
        else
            memory_put(m, key, length, value,
                       i % 16 ? (size_t)i * 61 % 500 : 500u * (unsigned)i % sizeof(value), &forever,
                       LOCK_US);
        memory_invalidate(m, key, length / 2, LOCK_US);
        if (i < 20 &&
            memory_flight_begin(m, key, length, true, now_ms, now_ms + 10, &flight) == MEMORY_OK)
            memory_flight_end(m, &flight, 1, "error", 5);
    }
    while (memory_replay_next(m, MEMORY_REPLAY_SET, &at, &replay, LOCK_US)) {
        HOLDS(replay.key_length <= sizeof(replay.key) && ++steps < STEPS);
        memory_replay_over(m, &replay, true, LOCK_US);
    }
    memory_tag_invalidate(m, memory_tag_hash(m, "tag", 3));
    while (memory_cleanup(m, &cursor, 0, now_ms, LOCK_US, &count) == MEMORY_MORE)
        HOLDS(++steps < STEPS);
    cursor = 0;
    while (memory_remove(m, &cursor, "key 1*", 6, now_ms, LOCK_US, &count) == MEMORY_MORE)
        HOLDS(++steps < STEPS);
}

static void count_all(struct memory *m)
{
    double counts[HISTOGRAM_BUCKETS], sum;

    for (int i = 0; i < COUNT_METRICS; i++)
        memory_metric(m, i);
    for (int i = 0; memory_histogram(m, i, counts, &sum); i++)
        continue;
}

/* -- One input ------------------------------------------------------------------------------------- */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    unsigned first = input_byte(&in), mode = first % 3, jobs = first / 3;
    struct memory_description description;
    char error[512] = "";
    struct memory *m = NULL;
    int rc;

    if (!whole)
        make_whole();
    write_broken(make_broken(&in));
    rc = mode ? memory_attach(path, mode == 1, &m, &description, error, sizeof(error))
              : memory_open(&config, &m, error, sizeof(error));
    HOLDS(rc == MEMORY_OK || rc == MEMORY_SYSTEM);
    HOLDS((rc == MEMORY_OK) == (m != NULL) && (rc == MEMORY_OK || strstr(error, path)));
    if (rc != MEMORY_OK) {
        HOLDS(harmed_all || strstr(error, "is damaged"));
        return 0;
    }
    look_at(m, mode == 1);
    if (jobs & 1)
        walk(m, jobs & 8 ? "key 1*" : NULL);
    if (jobs & 2)
        inspect(m);
    if (jobs & 4 && mode != 1) {
        change(m);
        if (jobs & 16)
            inspect(m);
    }
    count_all(m);
    memory_close(m);
    return 0;
}
