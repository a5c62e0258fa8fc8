/* Expired entries go without anybody asking for it. */
#include "memory/view.h"
#include "open.h"

enum { ENTRIES = 2000, OTHERS = 64, TTL_MS = 1000 };

static const char *key_of(const char *kind, int n)
{
    static char key[32];

    snprintf(key, sizeof(key), "%s-%d", kind, n);
    return key;
}

/* So many writes of few keys, which are overwritten in place and need no room. */
static void write_others(struct memory *m, uint32_t writes)
{
    for (uint32_t i = 0; i < writes; i++)
        put(m, key_of("other", (int)(i % OTHERS)), "value");
}

static uint32_t slots_of(struct memory *m)
{
    return view_slot_count(m);
}

TEST(expired_entries_go_while_others_are_written)
{
    struct memory *m = open_small();
    double live;

    write_others(m, OTHERS);
    live = metric(m, COUNT_MEMORY_LIVE);
    for (int i = 0; i < ENTRIES; i++)
        put_for(m, key_of("timed", i), "some value or other", TTL_MS);
    CHECK(2 * metric(m, COUNT_MEMORY_ENTRIES) > ENTRIES);
    clock_shift(TTL_MS + 100);
    write_others(m, 4 * slots_of(m)); /* the keys are not quite evenly spread over the shards */
    CHECK_INT(OTHERS, metric(m, COUNT_MEMORY_ENTRIES));
    CHECK_INT(live, metric(m, COUNT_MEMORY_LIVE));
    CHECK_INT(ENTRIES, metric(m, COUNT_MEMORY_EXPIRED) + metric(m, COUNT_MEMORY_EVICTIONS));
    memory_close(m);
}

TEST(what_lives_stays)
{
    struct memory *m = open_small();
    int found = 0;

    for (int i = 0; i < ENTRIES; i++) {
        if (i % 2)
            put_for(m, key_of("timed", i), "some value or other", 100 * TTL_MS);
        else
            put(m, key_of("kept", i), "some value or other");
    }
    CHECK_INT(ENTRIES, metric(m, COUNT_MEMORY_ENTRIES));
    clock_shift(TTL_MS);
    write_others(m, 4 * slots_of(m));
    for (int i = 0; i < ENTRIES; i++)
        found += get(m, key_of(i % 2 ? "timed" : "kept", i)) != NULL;
    CHECK_INT(ENTRIES, found);
    CHECK_INT(0, metric(m, COUNT_MEMORY_EXPIRED));
    memory_close(m);
}

/* All that memory has is expired or new: nothing that lives has to go for room. */
TEST(what_has_expired_goes_before_what_lives)
{
    struct memory *m = open_small();
    int found = 0;

    for (int i = 0; i < 20 * ENTRIES; i++)
        put_for(m, key_of("timed", i), "some value or other", TTL_MS);
    clock_shift(TTL_MS + 100);
    for (int i = 0; i < ENTRIES; i++)
        put(m, key_of("kept", i), "some value or other");
    for (int i = 0; i < ENTRIES; i++)
        found += get(m, key_of("kept", i)) != NULL;
    CHECK_INT(ENTRIES, found);
    memory_close(m);
}

TEST(what_was_dropped_all_at_once_goes_too)
{
    struct memory *m = open_small();

    for (int i = 0; i < ENTRIES; i++)
        put(m, key_of("dropped", i), "some value or other");
    memory_drop_all(m);
    write_others(m, 4 * slots_of(m));
    CHECK_INT(OTHERS, metric(m, COUNT_MEMORY_ENTRIES));
    memory_close(m);
}

CHECK_MAIN()
