/* The public interface when Redis dies, stalls or refuses, and over fork(). */
#include "base/clock.h"
#include "support/cache.h"
#include "support/server.h"
#include "tandem.h"

enum { PAST_FRESHNESS = 2100 };

static struct server *server;

/* Handles on one segment, the one carrying on when Redis fails, the other failing. */
static tandem_options o, f;
static tandem_cache *degrading, *failing;

static void begin_with(int32_t timeout_ms)
{
    if (!server)
        server = server_start(NULL);
    o = options_for("outage", server->url);
    o.timeout_ms = timeout_ms;
    f = o;
    f.fail = 1;
    degrading = open_with(&o);
    failing = open_with(&f);
    CHECK_INT(TANDEM_MISS, get(degrading, &o, "warm-up"));
}

static void begin(void)
{
    begin_with(300);
}

static void end(void)
{
    tandem_close(failing);
    close_all(degrading, &o);
    server_stop(server);
}

/* Kills Redis and waits until that has been noticed. */
static void kill_redis(void)
{
    server_kill(server);
    for (int i = 0; tandem_redis_up(degrading) && i < 5000; i++)
        server_nap();
    CHECK_INT(0, tandem_redis_up(degrading));
}

static void await_recovery(void)
{
    int status = TANDEM_ECONN;

    for (int i = 0; status < 0 && i < 5000; i++) {
        server_nap();
        status = get(failing, &o, "probe");
    }
    CHECK_INT(TANDEM_MISS, status);
    CHECK_INT(1, tandem_redis_up(degrading));
}

/* -- Dead ---------------------------------------------------------------------------------------- */

TEST(with_redis_dead_reads_serve_what_memory_has_or_fail)
{
    begin();
    set(degrading, &o, "key", "value", 60000);
    kill_redis();
    CHECK_INT(TANDEM_OK, get_now(failing, "key", 0)); /* fresh is fresh */
    CHECK_INT(TANDEM_TIER_MEMORY, said.tier);
    tandem_clock_shift(PAST_FRESHNESS);
    CHECK_INT(TANDEM_OK, get(degrading, &o, "key"));
    CHECK_STR("value", value);
    CHECK_INT(TANDEM_TIER_STALE, said.tier);
    CHECK_STR("", said.error);
    CHECK_INT(TANDEM_OK, exists(degrading, &o, "key"));
    CHECK_INT(TANDEM_TIER_STALE, said.tier);
    CHECK_INT(TANDEM_OK, ttl(degrading, &o, "key"));
    CHECK(said.ttl > 50 && said.ttl < 60);
    CHECK_INT(TANDEM_ECONN, get(failing, &o, "key"));
    CHECK(strstr(said.error, server->socket) != NULL);
    CHECK_INT(TANDEM_ECONN, get(degrading, &o, "other"));
    CHECK_INT(TANDEM_ECONN, exists(failing, &o, "other"));
    CHECK_INT(TANDEM_ECONN, ttl(failing, &o, "key"));
    CHECK(metric(degrading, "memory", "stale") >= 3);
    CHECK(metric(degrading, "redis", "unanswered") >= 5);
    tandem_clock_shift(60000);
    CHECK_INT(TANDEM_ECONN, get(degrading, &o, "key")); /* its TTL is over */
    end();
}

TEST(a_stale_value_larger_than_the_buffer_is_told_the_length)
{
    begin();
    set(degrading, &o, "key", "value", 60000);
    kill_redis();
    tandem_clock_shift(PAST_FRESHNESS);
    CHECK_INT(TANDEM_TOO_SMALL, finish(&o, tandem_get(degrading, "key", 3, 0, value, 2, &said)));
    CHECK_INT(5, said.length);
    end();
}

TEST(with_redis_dead_writes_are_degraded_or_fail)
{
    begin();
    set(degrading, &o, "key", "old", 0);
    kill_redis();
    CHECK_INT(TANDEM_ECONN, set(failing, &o, "key", "new", 0));
    CHECK(said.error_length > 0);
    CHECK_INT(TANDEM_OK, get_now(degrading, "key", 0));
    CHECK_STR("old", value); /* untouched */
    CHECK_INT(TANDEM_DEGRADED, set(degrading, &o, "key", "new", 60000));
    CHECK(strstr(said.error, server->socket) != NULL);
    CHECK_INT(TANDEM_OK, get_now(degrading, "key", 0));
    CHECK_STR("new", value);
    CHECK_INT(TANDEM_TIER_MEMORY, said.tier);
    CHECK_INT(TANDEM_OK, ttl(degrading, &o, "key"));
    CHECK(said.ttl > 50 && said.ttl <= 60.01);
    CHECK_INT(TANDEM_ECONN, del(failing, &o, "key"));
    CHECK_INT(TANDEM_OK, get_now(degrading, "key", 0));
    CHECK_INT(TANDEM_DEGRADED, del(degrading, &o, "key"));
    CHECK_INT(TANDEM_MISS, get_now(degrading, "key", TANDEM_NOWAIT));
    CHECK_INT(TANDEM_DEGRADED, set_now(degrading, "key", "newer", 0, TANDEM_NOWAIT));
    CHECK_INT(TANDEM_OK, get_now(degrading, "key", TANDEM_NOWAIT));
    CHECK_STR("newer", value);
    CHECK_INT(TANDEM_ECONN, set_now(failing, "key", "newest", 0, TANDEM_NOWAIT));
    CHECK_INT(TANDEM_ECONN, finish(&o, tandem_scan(degrading, "0", 1, NULL, 0, 0, &said)));
    CHECK_INT(3, metric(degrading, "redis", "degraded_writes"));
    end();
}

TEST(a_value_too_large_for_memory_cannot_be_degraded)
{
    static char large[1 << 18];

    begin();
    kill_redis();
    REQUIRE(tandem_value_limit(degrading) < sizeof(large));
    CHECK_INT(TANDEM_ECONN,
              finish(&o, tandem_set(degrading, "key", 3, large, sizeof(large), 0, 0, &said)));
    CHECK(strstr(said.error, "too large") != NULL);
    end();
}

TEST(redis_that_comes_back_is_used_again)
{
    begin();
    kill_redis();
    CHECK_INT(TANDEM_DEGRADED, set(degrading, &o, "key", "value", 0));
    server_run(server);
    await_recovery();
    /* "key" may be refused: Redis is being told of the write before. */
    CHECK_INT(TANDEM_OK, set(failing, &o, "other", "value", 0));
    CHECK_STR("value", server_command(server, "GET outage:other"));
    end();
}

TEST(a_cache_opened_while_redis_is_away_works_once_it_is_there)
{
    server = server_start(NULL);
    server_kill(server);
    o = options_for("outage", server->url);
    degrading = open_with(&o);
    f = o;
    f.fail = 1;
    failing = open_with(&f);
    CHECK_INT(TANDEM_ECONN, get(degrading, &o, "key"));
    CHECK(said.error_length > 0);
    server_run(server);
    await_recovery();
    end();
}

/* -- Stalled ------------------------------------------------------------------------------------- */

TEST(a_stalled_redis_costs_a_timeout_and_leaves_writes_unknown)
{
    int64_t start;

    begin();
    set(degrading, &o, "key", "old", 60000);
    server_freeze(server);
    start = clock_now_ms();
    CHECK_INT(TANDEM_PENDING, set_now(degrading, "key", "new", 60000, 0));
    CHECK_INT(TANDEM_ETIMEOUT, finish(&o, TANDEM_PENDING));
    CHECK(clock_now_ms() - start < 5000);
    CHECK(strstr(said.error, "unknown") != NULL);
    CHECK_INT(TANDEM_ENOWAIT, get_now(degrading, "key", TANDEM_NOWAIT)); /* dropped */
    server_thaw(server);
    end();
}

TEST(a_read_that_times_out_falls_back_on_what_memory_has)
{
    int status;

    begin();
    set(degrading, &o, "key", "value", 60000);
    tandem_clock_shift(PAST_FRESHNESS);
    server_freeze(server);
    status = get_now(degrading, "key", 0);
    CHECK_INT(TANDEM_PENDING, status);
    CHECK_INT(TANDEM_OK, finish(&o, status));
    CHECK_STR("value", value);
    CHECK_INT(TANDEM_TIER_STALE, said.tier);
    status = get(failing, &o, "key");
    CHECK(status == TANDEM_ETIMEOUT || status == TANDEM_ECONN);
    CHECK(said.error_length > 0);
    server_thaw(server);
    await_recovery();
    end();
}

TEST(operations_beyond_the_bounds_are_refused_at_once)
{
    int status = TANDEM_PENDING, n = 0;

    begin_with(60000);
    server_freeze(server);
    for (; status == TANDEM_PENDING && n < 200000; n++)
        status = get_now(degrading, "key", 0);
    CHECK_INT(TANDEM_EFULL, status);
    CHECK(said.error_length > 0);
    CHECK_INT(n - 1, tandem_pending(o.mailbox));
    server_thaw(server);
    end();
}

TEST(a_write_behind_into_an_outage_stays_in_memory)
{
    begin();
    server_freeze(server);
    /* The first one is sent, and its outcome nobody knows; what is still queued behind a connection
     * that has been given up certainly did not run. */
    CHECK_INT(TANDEM_OK, set_now(degrading, "key", "value", 0, TANDEM_NOWAIT));
    CHECK_INT(TANDEM_ENOWAIT, get_now(degrading, "key", TANDEM_NOWAIT));
    for (int i = 0; tandem_redis_up(degrading) && i < 5000; i++)
        server_nap();
    CHECK_INT(TANDEM_DEGRADED, set_now(degrading, "key", "later", 0, TANDEM_NOWAIT));
    CHECK_INT(TANDEM_OK, get_now(degrading, "key", TANDEM_NOWAIT));
    CHECK_STR("later", value);
    server_thaw(server);
    end();
}

/* -- Handles and processes ----------------------------------------------------------------------- */

TEST(closing_with_operations_pending_drops_their_outcomes)
{
    double ticket;

    begin();
    CHECK_INT(TANDEM_PENDING, set_now(degrading, "key", "value", 0, 0));
    ticket = said.ticket;
    tandem_close(degrading);
    CHECK_INT(TANDEM_ELOST, tandem_take(o.mailbox, ticket, NULL, 0, &said));
    CHECK_INT(0, tandem_pending(o.mailbox));
    degrading = open_with(&o);
    CHECK_INT(TANDEM_OK, get(degrading, &o, "key")); /* it took place */
    end();
}

TEST(a_handle_with_other_settings_shares_the_segment)
{
    tandem_options slow;
    tandem_cache *c;

    begin();
    slow = o;
    slow.timeout_ms = 999;
    slow.redis_client_name = "slow";
    c = open_with(&slow);
    CHECK_STR(tandem_identity(degrading), tandem_identity(c));
    CHECK_INT(TANDEM_OK, set(c, &slow, "key", "value", 0));
    CHECK_INT(TANDEM_OK, get_now(degrading, "key", 0));
    CHECK_INT(TANDEM_TIER_MEMORY, said.tier);
    CHECK(strstr(server_command(server, "CLIENT LIST"), "name=slow") != NULL);
    tandem_close(c);
    CHECK_INT(TANDEM_OK, get_now(degrading, "key", 0));
    end();
}

TEST(a_child_of_fork_starts_anew_and_leaves_the_parent_alone)
{
    double ticket;
    int status = 0;
    pid_t child;

    begin_with(30000);
    CHECK_INT(TANDEM_OK, set_now(degrading, "behind", "value", 0, TANDEM_NOWAIT | TANDEM_CORK));
    CHECK_INT(TANDEM_PENDING, set_now(degrading, "key", "parent", 0, TANDEM_CORK));
    ticket = said.ticket;
    child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        CHECK_INT(TANDEM_ELOST, tandem_take(o.mailbox, ticket, NULL, 0, &said));
        CHECK_INT(TANDEM_ELOST, tandem_wait(o.mailbox, ticket, 1000));
        CHECK_INT(TANDEM_MISS, get(degrading, &o, "nothing"));
        CHECK_INT(TANDEM_OK, set(degrading, &o, "child", "value", 0));
        CHECK_INT(TANDEM_OK, get_now(degrading, "child", 0));
        CHECK_INT(0, tandem_pending(o.mailbox));
        tandem_close(failing);
        close_all(degrading, &o);
        _exit(0); /* what it had of the parent's operations is a leak, in the sanitizers' eyes */
    }
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK_INT(0, status);
    CHECK_INT(TANDEM_OK, get_now(degrading, "child", 0)); /* and wakes for the corked ones */
    said.ticket = ticket;
    CHECK_INT(TANDEM_OK, finish(&o, TANDEM_PENDING));
    CHECK_INT(TANDEM_OK, get(degrading, &o, "behind"));
    CHECK_STR("parent", server_command(server, "GET outage:key"));
    end();
}

/* What a child has of its parent's connections and operations is never freed, by design: the leak
 * sanitizer asks this, and then looks for none. */
static bool is_child;

int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return is_child;
}

TEST(a_child_may_exit_in_peace)
{
    int status = 0;
    pid_t child;

    begin();
    child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        CHECK_INT(TANDEM_OK, set(degrading, &o, "key", "child", 0));
        CHECK_INT(TANDEM_OK, set_now(degrading, "last", "child", 0, TANDEM_NOWAIT));
        is_child = true;
        exit(0);
    }
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK_INT(0, status);
    CHECK_INT(TANDEM_OK, get(degrading, &o, "key"));
    CHECK_STR("child", server_command(server, "GET outage:last")); /* sent before it went */
    end();
}

TEST(outcomes_nobody_takes_go_by_themselves)
{
    begin();
    for (int i = 0; i < 10; i++)
        CHECK_INT(TANDEM_PENDING, get_now(degrading, "key", 0));
    CHECK_INT(10, tandem_pending(o.mailbox));
    CHECK_INT(TANDEM_OK, tandem_wait(o.mailbox, said.ticket, 20000));
    tandem_clock_shift(2000);
    for (int i = 0; tandem_pending(o.mailbox) && i < 5000; i++)
        server_nap();
    CHECK_INT(0, tandem_pending(o.mailbox));
    end();
}

CHECK_MAIN()
