/* What is written while Redis is away, told to it when it is back. */
#include "base/clock.h"
#include "support/cache.h"
#include "support/server.h"

enum { NOISE_MS = 2000 /* a busy machine's */ };

static struct server *server;
static tandem_options o;
static tandem_cache *c;

static void begin_without_thread(bool deletes)
{
    server = server_start(NULL);
    o = options_for("replayed", server->url);
    o.memory_bytes = 64 << 20; /* 4096 writes */
    o.replay_delete = deletes;
    o.timeout_ms = 10000; /* nothing here is to be late because the machine is busy */
    c = open_with(&o);
}

static void begin(bool deletes)
{
    begin_without_thread(deletes);
    get(c, &o, "anything");
}

static void lose_redis(void)
{
    server_kill(server);
    AWAIT(tandem_redis_up(c) == 0);
}

/* Another process starts where the old one was, empty. */
static void redis_returns(void)
{
    server_run(server);
    AWAIT(tandem_redis_up(c) == 1);
}

static bool redis_has(const char *key, const char *expected)
{
    const char *reply = server_command(server, "GET replayed:%s", key);

    return expected ? strcmp(reply, expected) == 0 : strcmp(reply, "(nil)") == 0;
}

static void end(void)
{
    close_all(c, &o);
    server_stop(server);
}

TEST(a_set_and_a_delete_reach_redis_when_it_is_back)
{
    int64_t back_ms;

    begin(false);
    lose_redis();
    CHECK_INT(TANDEM_DEGRADED, set_now(c, "key", "first", 0, 0));
    CHECK(strncmp(said.error, "queued: ", 8) == 0);
    CHECK_INT(TANDEM_DEGRADED, set_now(c, "key", "last", 0, 0));
    CHECK_INT(TANDEM_DEGRADED, set_now(c, "timed", "x", 60000, 0));
    CHECK_INT(TANDEM_DEGRADED, delete_now(c, "gone", 0));
    CHECK_INT(TANDEM_OK, get_now(c, "key", 0));
    CHECK_STR("last", value);
    CHECK_INT(TANDEM_MISS, get_now(c, "gone", 0));
    redis_returns();
    server_command(server, "SET replayed:gone back");
    back_ms = clock_now_ms();
    AWAIT(redis_has("key", "last") && redis_has("timed", "x"));
    CHECK(clock_now_ms() - back_ms < 3000 + NOISE_MS);
    CHECK(atoi(server_command(server, "PTTL replayed:timed")) > 50000);
    CHECK(atoi(server_command(server, "PTTL replayed:key")) == -1);
    AWAIT(metric(c, "redis", "replayed") == 3);
    AWAIT(get(c, &o, "key") == TANDEM_OK && said.tier != TANDEM_TIER_STALE);
    CHECK_STR("last", value);
    end();
}

TEST(with_replay_delete_the_keys_are_only_deleted)
{
    begin(true);
    lose_redis();
    CHECK_INT(TANDEM_DEGRADED, set_now(c, "key", "mine", 0, 0));
    redis_returns();
    AWAIT(metric(c, "redis", "replayed") == 1);
    CHECK(redis_has("key", NULL));
    end();
}

TEST(a_newer_write_is_not_overwritten_by_an_older_one)
{
    begin(false);
    for (int i = 0; i < 10; i++) {
        char text[16];

        lose_redis();
        for (int k = 0; k < 300; k++) {
            char key[16];

            snprintf(key, sizeof(key), "k%d", k);
            CHECK_INT(TANDEM_DEGRADED, set_now(c, key, "old", 0, 0));
        }
        server_run(server);
        snprintf(text, sizeof(text), "new%d", i);
        /* As soon as it goes, while the others are being told. */
        AWAIT(tandem_redis_up(c) == 1);
        for (int k = 0; k < 300; k += 7) {
            char key[16];
            int status;

            snprintf(key, sizeof(key), "k%d", k);
            status = set(c, &o, key, text, 0);
            CHECK(status == TANDEM_OK || status == TANDEM_DEGRADED);
        }
        AWAIT(redis_has("k1", "old") && redis_has("k299", "old"));
        for (int k = 0; k < 300; k += 7) {
            char key[16];

            snprintf(key, sizeof(key), "k%d", k);
            AWAIT(redis_has(key, text));
        }
    }
    end();
}

TEST(another_process_tells_what_a_dead_one_wrote)
{
    pid_t pid;

    begin_without_thread(false);
    pid = fork();
    if (pid == 0) {
        raise(SIGSTOP);
        while (set_now(c, "key", "legacy", 0, 0) == TANDEM_PENDING)
            finish(&o, TANDEM_PENDING);
        while (set(c, &o, "key", "legacy", 0) != TANDEM_DEGRADED)
            server_nap();
        kill(getpid(), SIGKILL);
    }
    REQUIRE(waitpid(pid, NULL, WUNTRACED) == pid); /* it has stopped */
    get(c, &o, "anything");
    lose_redis();
    kill(pid, SIGCONT);
    waitpid(pid, NULL, 0);
    CHECK_INT(TANDEM_OK, get_now(c, "key", 0));
    redis_returns();
    AWAIT(redis_has("key", "legacy"));
    end();
}

TEST(too_many_are_counted_and_nothing_from_before_is_fresh)
{
    char key[24];
    double lost = 0, bumps;

    begin(false);
    lose_redis();
    for (int i = 0; lost == 0 && i < 20000; i++) {
        snprintf(key, sizeof(key), "many%d", i);
        CHECK_INT(TANDEM_DEGRADED, set_now(c, key, "x", 0, 0));
        lost = metric(c, "redis", "replay_lost");
    }
    CHECK_INT(1, lost);
    CHECK(strncmp(said.error, "not in Redis: ", 14) == 0);
    bumps = metric(c, "memory", "epoch_bumps");
    redis_returns();
    AWAIT(metric(c, "memory", "epoch_bumps") > bumps);
    AWAIT(redis_has("many0", "x"));
    end();
}

TEST(an_old_set_becomes_a_delete)
{
    begin(false);
    lose_redis();
    CHECK_INT(TANDEM_DEGRADED, set_now(c, "key", "old", 0, 0));
    CHECK_INT(TANDEM_DEGRADED, set_now(c, "short", "x", 5000, 0));
    tandem_clock_shift(6000);
    CHECK_INT(TANDEM_MISS, get_now(c, "short", 0));
    tandem_clock_shift(30000);
    server_run(server);
    AWAIT(metric(c, "redis", "replayed") == 2);
    CHECK(redis_has("key", NULL) && redis_has("short", NULL));
    end();
}

TEST(clear_forgets_what_was_to_be_told)
{
    double cursor = 0;

    begin(false);
    lose_redis();
    CHECK_INT(TANDEM_DEGRADED, set_now(c, "key", "x", 0, 0));
    while (tandem_remove(c, &cursor, NULL, 0, &said) == TANDEM_MORE)
        continue;
    redis_returns();
    CHECK_INT(TANDEM_OK, set(c, &o, "other", "y", 0));
    AWAIT(redis_has("other", "y"));
    CHECK(redis_has("key", NULL));
    CHECK_INT(0, metric(c, "redis", "replayed"));
    end();
}

CHECK_MAIN()
