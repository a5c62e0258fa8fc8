/* Lanes stop being fresh alone, and go on alone; what is true of all of them holds for each. */
#include <pthread.h>

#include "open.h"

enum { HERE = 3, ELSEWHERE = 200, SERVER = 7, OTHER = 8, ENOUGH_US = 30000000 };

static struct memory *m;
static struct lanes here;

static void open_lanes(void)
{
    const struct memory_config config = {.name = "test",
                                         .identity = "lanes",
                                         .bytes = 1 << 20,
                                         .with_redis = true,
                                         .with_lanes = true};

    m = open_config(&config);
    lanes_add(&here, HERE);
}

/* As Redis's answer, fresh as long as the lease runs. */
static int fill_by(const char *key, const struct memory_token *token)
{
    const struct memory_attributes a = {.flags = MEMORY_FROM_REDIS | MEMORY_LEASED};

    return memory_fill(m, key, strlen(key), "value", 5, &a, token, ENOUGH_US);
}

static void fill(const char *key)
{
    struct memory_token token;

    memory_token_read(m, key, strlen(key), &token);
    REQUIRE(fill_by(key, &token) == MEMORY_OK);
}

static struct memory_entry entry_of(const char *key)
{
    struct memory_entry entry;

    REQUIRE(memory_get(m, key, strlen(key), clock_now_ms(), true, NULL, 0, &entry) == MEMORY_OK);
    return entry;
}

static bool holds_in(unsigned lane, const char *key)
{
    struct memory_entry entry = entry_of(key);

    memory_lane_look(m, lane, &entry);
    return entry.epoch_holds;
}

TEST(a_segment_has_them_only_if_it_is_wanted)
{
    open_lanes();
}

TEST(a_bump_of_some_is_one_for_their_entries_alone)
{
    open_lanes();
    fill("key");
    CHECK(entry_of("key").epoch_holds);
    memory_lanes_bump(m, &here);
    CHECK(!entry_of("key").epoch_holds);
    CHECK(!holds_in(HERE, "key"));
    CHECK(holds_in(ELSEWHERE, "key"));
    fill("key");
    CHECK(entry_of("key").epoch_holds);
    CHECK(holds_in(HERE, "key"));
}

TEST(a_bump_of_all_is_one_for_each)
{
    open_lanes();
    fill("key");
    memory_epoch_bump(m);
    CHECK(!holds_in(HERE, "key"));
    CHECK(!holds_in(ELSEWHERE, "key"));
    fill("key");
    memory_lanes_bump(m, &here);
    memory_epoch_bump(m);
    CHECK(!holds_in(ELSEWHERE, "key"));
}

TEST(what_is_dropped_is_gone_whatever_its_lane)
{
    struct memory_entry entry;

    open_lanes();
    fill("key");
    memory_lanes_bump(m, &here);
    entry = entry_of("key");
    memory_drop_all(m);
    CHECK_INT(MEMORY_ABSENT, memory_get(m, "key", 3, clock_now_ms(), true, NULL, 0, &entry));
    memory_lane_look(m, ELSEWHERE, &entry);
    CHECK(!entry.epoch_holds);
}

TEST(an_answer_from_before_a_bump_is_not_kept)
{
    struct memory_token token;

    open_lanes();
    memory_token_read(m, "key", 3, &token);
    memory_lanes_bump(m, &here);
    CHECK_INT(MEMORY_REFUSED, fill_by("key", &token));
}

/* The lease may have been renewed by a report that has dropped it. */
TEST(an_entry_that_has_gone_since_it_was_read_does_not_hold)
{
    struct memory_entry entry;

    open_lanes();
    fill("key");
    entry = entry_of("key");
    CHECK_INT(MEMORY_OK, memory_invalidate(m, "key", 3, MEMORY_LOCK_US));
    memory_lane_look(m, ELSEWHERE, &entry);
    CHECK(!entry.epoch_holds);
}

TEST(an_entry_that_holds_is_of_the_present_epoch_from_then_on)
{
    struct memory_entry entry, fresh;

    open_lanes();
    fill("key");
    memory_lanes_bump(m, &here);
    fill("other");
    entry = entry_of("key");
    fresh = entry_of("other");
    CHECK(entry.attributes.epoch != fresh.attributes.epoch);
    memory_lane_look(m, ELSEWHERE, &entry);
    CHECK_INT(fresh.attributes.epoch, entry.attributes.epoch);
    entry = entry_of("key");
    memory_lane_look(m, HERE, &entry);
    CHECK(entry.attributes.epoch != fresh.attributes.epoch);
}

static void begin_all(int64_t since_ms)
{
    for (unsigned lane = 0; lane < LANES; lane++) {
        CHECK(memory_lane_is_new(m, lane));
        CHECK(memory_lane_begin(m, lane, since_ms, SERVER, 1, false));
        CHECK(!memory_lane_is_new(m, lane));
    }
}

TEST(the_lease_of_all_is_the_least)
{
    open_lanes();
    begin_all(1000);
    CHECK_INT(1000, memory_lease_since(m));
    for (unsigned lane = 0; lane < LANES; lane++)
        if (lane != HERE)
            CHECK(memory_lane_covers(m, lane, 2000 + lane, 4000 + lane, SERVER));
    memory_lanes_sum(m, 2000);
    CHECK_INT(0, memory_lease(m));
    CHECK_INT(0, memory_lane_lease(m, HERE));
    CHECK_INT(4000 + ELSEWHERE, memory_lane_lease(m, ELSEWHERE));
    CHECK(memory_lane_covers(m, HERE, 2500, 3500, SERVER));
    memory_lanes_sum(m, 2500);
    CHECK_INT(3500, memory_lease(m));
    CHECK(memory_lane_covers(m, HERE, 1500, 2500, SERVER)); /* late */
    CHECK_INT(3500, memory_lane_lease(m, HERE));
}

TEST(covers_that_overlap_make_one_and_others_do_not)
{
    open_lanes();
    begin_all(1000);
    CHECK(memory_lane_covers(m, HERE, 2000, 4000, SERVER));
    CHECK(memory_lane_reaches(m, HERE, 2000, SERVER));
    CHECK(!memory_lane_reaches(m, HERE, 2001, SERVER));
    CHECK(!memory_lane_reaches(m, ELSEWHERE, 2000, SERVER));
    CHECK(memory_lane_begin(m, HERE, 1500, SERVER, 1, false));
    CHECK_INT(1000, memory_lane_since(m, HERE));
    CHECK(!memory_lane_begin(m, HERE, 2500, SERVER, 1, false));
    CHECK_INT(1000, memory_lane_since(m, HERE));
    CHECK(memory_lane_begin(m, HERE, 2500, SERVER, 1, true));
    CHECK_INT(2500, memory_lane_since(m, HERE));
    CHECK_INT(1000, memory_lane_since(m, ELSEWHERE));
    CHECK_INT(2500, memory_lease_since(m));
}

TEST(what_other_servers_say_of_a_lane_counts_once_they_have_it)
{
    open_lanes();
    begin_all(1000);
    CHECK(!memory_lane_fits(m, HERE, OTHER));
    CHECK(!memory_lane_covers(m, HERE, 2000, 4000, OTHER));
    CHECK(!memory_lane_reaches(m, HERE, 1000, OTHER));
    CHECK_INT(0, memory_lane_lease(m, HERE));
    CHECK(!memory_lane_begin(m, HERE, 1100, OTHER, 2, false));
    CHECK_INT(1, memory_lane_server_epoch(m, HERE));
    CHECK(memory_lane_begin(m, HERE, 1100, OTHER, 2, true));
    CHECK_INT(2, memory_lane_server_epoch(m, HERE));
    CHECK(memory_lane_covers(m, HERE, 2000, 4000, OTHER));
    CHECK(!memory_lane_covers(m, HERE, 2000, 4000, SERVER));
    CHECK(memory_lane_covers(m, ELSEWHERE, 2000, 4000, SERVER));
}

/* -- Several at a time ----------------------------------------------------------------------------- */

enum { THREADS = 4, TIMES = 20000 };

/* Bumps lanes of its own; what it has stored there before does not hold afterwards, and what it stores after that does,
 * whatever the others do. */
static void *bump_and_look(void *number)
{
    const unsigned lane = 10 + *(const unsigned *)number;
    struct lanes ours = {{0}};
    char key[16];

    lanes_add(&ours, lane);
    snprintf(key, sizeof(key), "key%u", lane);
    for (int i = 0; i < TIMES; i++) {
        struct memory_token token;

        memory_token_read(m, key, strlen(key), &token);
        if (fill_by(key, &token) != MEMORY_OK)
            continue; /* another's bump */
        if (!holds_in(lane, key) || !holds_in(ELSEWHERE, key)) {
            CHECK(false);
            return NULL;
        }
        memory_lanes_bump(m, &ours);
        if (holds_in(lane, key)) {
            CHECK(false);
            return NULL;
        }
        CHECK_INT(MEMORY_REFUSED, fill_by(key, &token));
    }
    return NULL;
}

TEST(threads_that_bump_lanes_of_their_own_are_in_nobodys_way)
{
    pthread_t threads[THREADS];
    unsigned numbers[THREADS];

    open_lanes();
    for (unsigned i = 0; i < THREADS; i++) {
        numbers[i] = i;
        REQUIRE(pthread_create(threads + i, NULL, bump_and_look, numbers + i) == 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

CHECK_MAIN()
