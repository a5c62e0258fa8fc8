/* Coherence with what others write to Redis: a real server that tracks. */
#include <sys/mman.h>

#include "base/clock.h"
#include "support/cache.h"
#include "support/server.h"

static struct server *server;
static tandem_options o;
static tandem_cache *c;
static char trouble[256];

static void begin(void)
{
    server_refuses_tracking = false;
    server = server_start(NULL);
    o = options_for("tracked", server->url);
    o.timeout_ms = 2000;
    c = open_with(&o);
}

static void end(void)
{
    close_all(c, &o);
    server_stop(server);
}

static bool is_on(void)
{
    return strcmp(tandem_tracking_state(c), "on") == 0;
}

static void await_link(void)
{
    get(c, &o, "anything"); /* somebody has to start the thread */
    AWAIT(is_on());
}

static bool memory_has(const char *key, const char *expected)
{
    return get_now(c, key, TANDEM_NOWAIT) == TANDEM_OK && said.tier == TANDEM_TIER_MEMORY &&
           strcmp(value, expected) == 0;
}

static bool memory_lacks(const char *key)
{
    return get_now(c, key, TANDEM_NOWAIT) == TANDEM_ENOWAIT;
}

static void cached(const char *key, const char *text)
{
    server_command(server, "SET tracked:%s %s", key, text);
    get(c, &o, key);
    AWAIT(memory_has(key, text) || get(c, &o, key) < 0);
}

TEST(a_foreign_write_is_gone_from_memory_at_once)
{
    int64_t start_us, worst_us = 0;

    begin();
    await_link();
    for (int i = 0; i < 50; i++) {
        cached("key", i % 2 ? "old" : "older");
        server_command(server, "SET tracked:key new%d", i);
        start_us = clock_now_us();
        while (!memory_lacks("key") && clock_now_us() - start_us < 2000000)
            continue;
        if (clock_now_us() - start_us > worst_us)
            worst_us = clock_now_us() - start_us;
    }
    CHECK(worst_us < 1500000); /* without messages it would be max_stale */
    CHECK(metric(c, "tracking", "invalidations") >= 50);
    end();
}

TEST(every_kind_of_change_is_heard)
{
    static const char *const change[] = {
        "DEL tracked:key",
        "EXPIRE tracked:key 100",
        "RENAME tracked:key tracked:other",
        "RENAME other tracked:key",
        "FLUSHALL",
        "EVAL redis.call('del','tracked:key') 0",
    };

    begin();
    await_link();
    for (size_t i = 0; i < sizeof(change) / sizeof(*change); i++) {
        server_command(server, "SET other x");
        cached("key", "value");
        if (strncmp(change[i], "EVAL", 4) == 0)
            server_command(server, "EVAL %s 0", "return redis.call('del','tracked:key')");
        else
            server_command(server, change[i]);
        AWAIT(!memory_has("key", "value"));
    }
    CHECK_INT(1, metric(c, "tracking", "flushes"));
    end();
}

TEST(an_entry_stays_fresh_as_long_as_the_link_lives)
{
    int64_t end_ms;

    begin();
    await_link();
    cached("key", "value");
    end_ms = clock_now_ms() + 2 * o.max_stale_ms;
    while (clock_now_ms() < end_ms) {
        REQUIRE(memory_has("key", "value"));
        server_nap();
    }
    end();
}

TEST(an_own_write_stays_in_memory)
{
    char key[16];
    int missed = 0;

    begin();
    await_link();
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        CHECK_INT(TANDEM_OK, set(c, &o, key, "mine", 0));
        missed += !memory_has(key, "mine");
    }
    AWAIT(metric(c, "tracking", "verifies") >= 200);
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        missed += !memory_has(key, "mine");
    }
    CHECK(missed <= 4); /* one in a hundred */
    /* For good, that is, not just until it would have been confirmed. */
    for (int64_t t = clock_now_ms() + o.max_stale_ms + 500; clock_now_ms() < t;)
        server_nap();
    missed = 0;
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        missed += !memory_has(key, "mine");
    }
    CHECK(missed <= 4);
    end();
}

TEST(of_an_own_and_a_foreign_write_at_once_the_later_one_is_seen)
{
    begin();
    await_link();
    for (int i = 0; i < 100; i++) {
        char text[16];

        snprintf(text, sizeof(text), "foreign%d", i);
        CHECK_INT(TANDEM_PENDING, set_now(c, "key", "own", 0, 0));
        server_command(server, "SET tracked:key %s", text);
        finish(&o, TANDEM_PENDING);
        server_command(server, "SET tracked:key %s", text);
        AWAIT(get(c, &o, "key") == TANDEM_OK && strcmp(value, text) == 0);
        AWAIT(memory_has("key", text) || get(c, &o, "key") < 0);
    }
    end();
}

TEST(what_was_cached_before_a_gap_is_not_fresh_after_it)
{
    double links;

    begin();
    await_link();
    cached("key", "value");
    links = metric(c, "tracking", "links");
    server_command(server, "CLIENT KILL TYPE pubsub");
    server_command(server, "SET tracked:key changed");
    AWAIT(metric(c, "tracking", "links") > links && metric(c, "tracking", "gaps") >= 1);
    AWAIT(is_on());
    CHECK(!memory_has("key", "value"));
    CHECK_INT(TANDEM_OK, get(c, &o, "key"));
    CHECK_STR("changed", value);
    end();
}

TEST(without_a_sign_of_life_nothing_is_fresh_after_max_stale)
{
    int64_t start_ms, looked_ms = 0, fresh_ms = 0;

    begin();
    await_link();
    cached("key", "value");
    server_freeze(server);
    start_ms = clock_now_ms();
    for (bool stale = false; !stale && looked_ms - start_ms < AWAIT_MS; server_nap()) {
        looked_ms = clock_now_ms();
        REQUIRE(get_now(c, "key", TANDEM_NOWAIT) == TANDEM_OK);
        stale = said.tier == TANDEM_TIER_STALE;
        if (!stale)
            fresh_ms = looked_ms; /* whatever the time by now */
    }
    CHECK(fresh_ms > start_ms && fresh_ms - start_ms <= o.max_stale_ms + 20);
    server_thaw(server);
    AWAIT(is_on());
    AWAIT(get(c, &o, "key") == TANDEM_OK && said.tier != TANDEM_TIER_STALE);
    end();
}

/* As after a long stop of the machine: until the link has been heard again nothing goes by the lease; then
 * what was in memory is as fresh as before, for all changes have been heard. */
TEST(a_clock_that_jumps_costs_a_heartbeat_and_no_more)
{
    double gaps;

    begin();
    await_link();
    cached("key", "value");
    gaps = metric(c, "tracking", "gaps");
    for (int i = 0; i < 3; i++) {
        clock_shift(3 * o.max_stale_ms);
        AWAIT(is_on() && memory_has("key", "value"));
    }
    CHECK_INT(gaps, metric(c, "tracking", "gaps"));
    server_freeze(server);
    clock_shift(3 * o.max_stale_ms);
    CHECK(!is_on());
    CHECK(!memory_has("key", "value"));
    server_thaw(server);
    AWAIT(is_on());
    server_command(server, "SET tracked:key changed");
    AWAIT(get(c, &o, "key") == TANDEM_OK && strcmp(value, "changed") == 0);
    end();
}

TEST(of_several_handles_the_least_max_stale_holds)
{
    tandem_options other;
    tandem_cache *two;
    int64_t start_ms;

    begin();
    other = o;
    other.max_stale_ms = 20 * o.max_stale_ms;
    two = open_with(&other);
    await_link();
    cached("key", "value");
    server_freeze(server);
    start_ms = clock_now_ms();
    AWAIT(!is_on());
    CHECK(clock_now_ms() - start_ms < 5 * o.max_stale_ms);
    server_thaw(server);
    tandem_close(two);
    end();
}

TEST(a_server_that_refuses_is_believed)
{
    server_refuses_tracking = true;
    server = server_start(NULL);
    o = options_for("tracked", server->url);
    c = open_with(&o);
    server_command(server, "SET tracked:key one");
    get(c, &o, "key");
    AWAIT(metric(c, "tracking", "losses") == 1);
    CHECK_STR("unavailable", tandem_tracking_state(c));
    CHECK_INT(TANDEM_EREDIS, tandem_tracking_trouble(c, trouble, sizeof(trouble)));
    CHECK(strncmp(trouble, "redis unix:", 11) == 0 && strstr(trouble, "NOPERM"));
    get(c, &o, "key");
    CHECK(memory_has("key", "one"));
    server_command(server, "SET tracked:key two");
    AWAIT(!memory_has("key", "one"));
    AWAIT(get(c, &o, "key") == TANDEM_OK && strcmp(value, "two") == 0);
    end();
}

TEST(a_server_that_has_no_room_at_present_is_tried_again_soon)
{
    redisContext *admin;

    server_refuses_tracking = false;
    server = server_start(NULL);
    o = options_for("tracked", server->url);
    c = open_with(&o);
    admin = server_connect(server);
    REQUIRE(admin != NULL);
    freeReplyObject(redisCommand(admin, "CONFIG SET maxclients 1"));
    get(c, &o, "key");
    AWAIT(metric(c, "tracking", "losses") >= 6); /* some with the error, some with a broken pipe */
    CHECK_INT(TANDEM_MISS, tandem_tracking_trouble(c, trouble, sizeof(trouble)));
    CHECK(strncmp(trouble, "redis unix:", 11) == 0);
    freeReplyObject(redisCommand(admin, "CONFIG SET maxclients 100"));
    AWAIT(is_on());
    CHECK_INT(TANDEM_OK, tandem_tracking_trouble(c, trouble, sizeof(trouble)));
    CHECK_STR("", trouble);
    redisFree(admin);
    end();
}

/* -- Several processes ---------------------------------------------------------------------------- */

/* One that waits to be continued is made before this process has a thread: what a thread of the parent
 * did, the thread sanitizer takes for a race in a child. */
static pid_t attendant(bool waits)
{
    pid_t pid = fork();

    if (pid == 0) {
        if (waits)
            raise(SIGSTOP);
        for (;;) {
            get(c, &o, "anything");
            server_nap();
        }
    }
    return pid;
}

TEST(a_killed_holder_leaves_no_gap)
{
    pid_t pids[5];
    double gaps;

    begin();
    for (int i = 0; i < 5; i++)
        pids[i] = attendant(i >= 3);
    AWAIT(is_on());
    /* The third takes the second place when it is old enough; then both links are there. */
    AWAIT(metric(c, "tracking", "links") >= 2);
    for (int64_t t = clock_now_ms() + 1500; clock_now_ms() < t;)
        server_nap();
    cached("key", "value");
    gaps = metric(c, "tracking", "gaps");
    for (int i = 0; i < 3; i++) {
        kill(pids[i], i == 1 ? SIGSTOP : SIGKILL);
        for (int64_t t = clock_now_ms() + 2500; clock_now_ms() < t;)
            server_nap();
        CHECK(is_on());
        CHECK(memory_has("key", "value"));
        if (i < 2)
            kill(pids[3 + i], SIGCONT);
        for (int64_t t = clock_now_ms() + 1500; clock_now_ms() < t;)
            server_nap();
    }
    CHECK_INT(gaps, metric(c, "tracking", "gaps"));
    server_command(server, "SET tracked:key changed");
    AWAIT(!memory_has("key", "value"));
    end();
}

/* As after a reload: what the new workers are asked for is all in memory. */
TEST(who_only_reads_from_memory_does_its_part_for_the_lease)
{
    double gaps;
    pid_t pid;

    begin();
    pid = attendant(false);
    AWAIT(is_on());
    server_command(server, "SET tracked:anything value");
    AWAIT(memory_has("anything", "value"));
    AWAIT(memory_has("anything", "value") && metric(c, "tracking", "links") >= 2);
    gaps = metric(c, "tracking", "gaps");
    for (int64_t t = clock_now_ms() + o.max_stale_ms; clock_now_ms() < t;)
        server_nap();
    kill(pid, SIGKILL);
    for (int64_t t = clock_now_ms() + 2 * o.max_stale_ms; clock_now_ms() < t; server_nap())
        REQUIRE(memory_has("anything", "value"));
    CHECK_INT(gaps, metric(c, "tracking", "gaps"));
    server_command(server, "SET tracked:anything changed");
    AWAIT(memory_lacks("anything"));
    end();
}

/* The message of a write may come from a link that does not cover anything yet. */
TEST(own_writes_stay_in_memory_while_the_first_link_is_made)
{
    char name[32], key[32];
    int lost = 0, writes = 0, first;
    tandem_options options;

    begin();
    o.timeout_ms = 10000;
    for (int round = 0; round < 150; round++) {
        snprintf(name, sizeof(name), "first-%d", round);
        options = o;
        options.name = name;
        tandem_cache *cache = open_with(&options);

        first = writes;
        for (int64_t end_ms = clock_now_ms() + 10; clock_now_ms() < end_ms; writes++) {
            snprintf(key, sizeof(key), "key-%d", writes);
            REQUIRE(set(cache, &o, key, "value", 0) == TANDEM_OK);
        }
        for (int i = first; i < writes; i++) {
            snprintf(key, sizeof(key), "key-%d", i);
            if (get_now(cache, key, TANDEM_NOWAIT) != TANDEM_OK || said.tier != TANDEM_TIER_MEMORY)
                lost++;
        }
        tandem_close(cache);
    }
    CHECK(writes > 100);
    CHECK_INT(0, lost);
    end();
}

CHECK_MAIN()
