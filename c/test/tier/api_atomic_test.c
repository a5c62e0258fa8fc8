/* Changes that depend on what is there, and peek: in memory only, over Redis, and with Redis away. */
#include <math.h>

#include "support/cache.h"
#include "support/server.h"
#include "tandem.h"

static struct server *server;

static tandem_options options_here(const char *name)
{
    tandem_options o;

    if (!server)
        server = server_start(NULL);
    o = options_for(name, server->url);
    o.timeout_ms = 5000; /* the machine may be busy */
    return o;
}

static void end(tandem_cache *c, const tandem_options *o)
{
    close_all(c, o);
    if (server)
        server_stop(server);
}

/* -- What is the same in memory and over Redis ----------------------------------------------------- */

static void check_add_and_replace(tandem_cache *c, const tandem_options *o)
{
    CHECK_INT(TANDEM_MISS, replace(c, o, "key", "none", 0));
    CHECK_INT(TANDEM_MISS, get(c, o, "key"));
    CHECK_INT(TANDEM_OK, add(c, o, "key", "one", 100000));
    CHECK_INT(TANDEM_MISS, add(c, o, "key", "two", 0));
    CHECK_INT(TANDEM_OK, get(c, o, "key"));
    CHECK_STR("one", value);
    CHECK_INT(TANDEM_OK, ttl(c, o, "key"));
    CHECK(said.ttl > 50 && said.ttl <= 100.01);
    CHECK_INT(TANDEM_OK, replace(c, o, "key", "three", 0));
    CHECK_INT(TANDEM_OK, get(c, o, "key"));
    CHECK_STR("three", value);
    CHECK_INT(TANDEM_OK, ttl(c, o, "key"));
    CHECK(said.ttl == 0);
    CHECK_INT(TANDEM_OK, del(c, o, "key"));
    CHECK_INT(TANDEM_OK, add(c, o, "key", "", 0));
    CHECK_INT(TANDEM_MISS, add(c, o, "key", "x", 0));
}

static void check_incr(tandem_cache *c, const tandem_options *o)
{
    CHECK_INT(TANDEM_MISS, incr(c, o, "n", 1));
    CHECK_INT(TANDEM_OK, incr_from(c, o, "n", 1, 10, 100000));
    CHECK(said.count == 11);
    CHECK_INT(TANDEM_OK, incr_from(c, o, "n", -20, 10, 0));
    CHECK(said.count == -9);
    CHECK_INT(TANDEM_OK, get(c, o, "n"));
    CHECK_STR("-9", value);
    CHECK_INT(TANDEM_OK, ttl(c, o, "n"));
    CHECK(said.ttl > 50 && said.ttl <= 100.01); /* the first one's */
    CHECK_INT(TANDEM_OK, incr(c, o, "n", 0.1));
    CHECK_INT(TANDEM_OK, incr(c, o, "n", 0.2));
    CHECK_INT(TANDEM_OK, get(c, o, "n"));
    CHECK_STR("-8.7", value);
    CHECK_INT(TANDEM_OK, incr(c, o, "n", 1)); /* a whole one to a fraction */
    CHECK(said.count == -7.7);
    CHECK_INT(TANDEM_OK, incr_from(c, o, "half", 0.5, 0.25, 0));
    CHECK(said.count == 0.75);
    CHECK_INT(TANDEM_OK, ttl(c, o, "half"));
    CHECK(said.ttl == 0);
    CHECK_INT(TANDEM_OK, set(c, o, "n", "9007199254740991", 0));
    CHECK_INT(TANDEM_OK, incr(c, o, "n", 1));
    CHECK(said.count == 9007199254740992.0);
    CHECK_INT(TANDEM_OK, incr(c, o, "n", -9007199254740992.0));
    CHECK(said.count == 0);
    CHECK_INT(TANDEM_OK, set(c, o, "n", "twelve", 0));
    CHECK_INT(TANDEM_NOT_A_NUMBER, incr(c, o, "n", 1));
    CHECK_INT(TANDEM_NOT_A_NUMBER, incr_from(c, o, "n", 0.5, 1, 0));
    CHECK_STR("", said.error);
    CHECK_INT(TANDEM_OK, get(c, o, "n"));
    CHECK_STR("twelve", value);
}

static void check_expire(tandem_cache *c, const tandem_options *o)
{
    CHECK_INT(TANDEM_OK, del(c, o, "key"));
    CHECK_INT(TANDEM_MISS, expire(c, o, "key", 1000));
    CHECK_INT(TANDEM_MISS, expire(c, o, "key", 0));
    CHECK_INT(TANDEM_OK, set(c, o, "key", "value", 0));
    CHECK_INT(TANDEM_OK, expire(c, o, "key", 0)); /* has none as it is */
    CHECK_INT(TANDEM_OK, expire(c, o, "key", 100000));
    CHECK_INT(TANDEM_OK, ttl(c, o, "key"));
    CHECK(said.ttl > 50 && said.ttl <= 100.01);
    CHECK_INT(TANDEM_OK, expire(c, o, "key", 0));
    CHECK_INT(TANDEM_OK, ttl(c, o, "key"));
    CHECK(said.ttl == 0);
    CHECK_INT(TANDEM_OK, get(c, o, "key"));
    CHECK_STR("value", value);
    CHECK_INT(TANDEM_OK, expire(c, o, "key", 1));
    for (int i = 0; i < 10000 && exists(c, o, "key") == TANDEM_OK; i++)
        server_nap();
    CHECK_INT(TANDEM_MISS, get(c, o, "key"));
}

TEST(in_memory_only)
{
    tandem_options o = options_for("only", NULL);
    tandem_cache *c = open_with(&o);

    check_add_and_replace(c, &o);
    check_incr(c, &o);
    CHECK_INT(TANDEM_OK, set(c, &o, "n", "9223372036854775807", 0));
    CHECK_INT(TANDEM_EINVAL, incr(c, &o, "n", 1));
    CHECK_STR("the sum would be out of range", said.error);
    check_expire(c, &o);
    end(c, &o);
}

TEST(over_redis)
{
    tandem_options o = options_here("over");
    tandem_cache *c = open_with(&o);

    check_add_and_replace(c, &o);
    check_incr(c, &o);
    CHECK_STR("twelve", server_command(server, "GET over:n"));
    check_expire(c, &o);
    end(c, &o);
}

TEST(wrong_arguments_are_named)
{
    tandem_options o = options_for("wrong", NULL);
    tandem_cache *c = open_with(&o);

    CHECK_INT(TANDEM_EINVAL, tandem_add(c, "", 0, "x", 1, 0, 0, &said));
    CHECK_STR("the key is empty", said.error);
    CHECK_INT(TANDEM_EINVAL, tandem_replace(c, "#tandem:x", 9, "x", 1, 0, 0, &said));
    CHECK_INT(TANDEM_EINVAL, tandem_add(c, "key", 3, NULL, 1, 0, 0, &said));
    CHECK_INT(TANDEM_EINVAL, tandem_add(c, "key", 3, "x", 1, -1, 0, &said));
    CHECK_INT(TANDEM_EINVAL, tandem_expire(c, "key", 3, -1, 0, &said));
    CHECK_INT(TANDEM_EINVAL, tandem_incr(c, "key", 3, (double)NAN, 0, 0, 0, &said));
    CHECK_STR("by and init must be at most 2^53, either way", said.error);
    CHECK_INT(TANDEM_EINVAL, tandem_incr(c, "key", 3, 1, (double)INFINITY, 0, 0, &said));
    CHECK_INT(TANDEM_EINVAL, tandem_incr(c, "key", 3, 1e16, 0, 0, 0, &said));
    CHECK_INT(TANDEM_EINVAL, tandem_peek(c, "", 0, 0, NULL, 0, &said));
    CHECK_INT(TANDEM_EINVAL, tandem_peek(NULL, "key", 3, 0, NULL, 0, &said));
    end(c, &o);
}

/* -- What is Redis's ------------------------------------------------------------------------------- */

TEST(memory_drops_what_redis_has_changed_and_keeps_what_it_has_not)
{
    tandem_options o = options_here("drops");
    tandem_cache *c;

    o.tracking = 0; /* no write is read back: what memory drops, the answers have told it to */
    c = open_with(&o);

    CHECK_INT(TANDEM_OK, set(c, &o, "key", "5", 0));
    CHECK_INT(TANDEM_MISS, add(c, &o, "key", "x", 0));
    CHECK_INT(TANDEM_OK, get_now(c, "key", TANDEM_NOWAIT)); /* nothing has happened */
    server_command(server, "SET drops:key 7");
    CHECK_INT(TANDEM_OK, incr(c, &o, "key", 1));
    CHECK(said.count == 8); /* Redis's value counts */
    CHECK_INT(TANDEM_ENOWAIT, get_now(c, "key", TANDEM_NOWAIT));
    CHECK_INT(TANDEM_OK, get(c, &o, "key"));
    CHECK_STR("8", value);
    CHECK_INT(TANDEM_OK, replace(c, &o, "key", "9", 0));
    CHECK_INT(TANDEM_ENOWAIT, get_now(c, "key", TANDEM_NOWAIT));
    CHECK_INT(TANDEM_OK, get(c, &o, "key"));
    CHECK_STR("9", value);
    CHECK_INT(TANDEM_OK, expire(c, &o, "key", 100000));
    CHECK_INT(TANDEM_ENOWAIT, get_now(c, "key", TANDEM_NOWAIT));
    get(c, &o, "key");
    server_command(server, "DEL drops:key");
    CHECK_INT(TANDEM_MISS, incr(c, &o, "key", 1));
    CHECK_INT(TANDEM_ENOWAIT, get_now(c, "key", TANDEM_NOWAIT)); /* not even stale */
    set(c, &o, "key", "twelve", 0);
    CHECK_INT(TANDEM_NOT_A_NUMBER, incr(c, &o, "key", 1));
    CHECK_INT(TANDEM_OK, get_now(c, "key", TANDEM_NOWAIT));
    server_command(server, "DEL drops:key");
    server_command(server, "HSET drops:key field value");
    CHECK_INT(TANDEM_EREDIS, incr(c, &o, "key", 1));
    CHECK(strstr(said.error, "WRONGTYPE") != NULL);
    CHECK_INT(TANDEM_ENOWAIT, get_now(c, "key", TANDEM_NOWAIT));
    end(c, &o);
}

/* A fill whose question is older than the change must not bring the old value back. */
TEST(a_get_that_was_under_way_does_not_bring_the_old_value_back)
{
    tandem_options o = options_here("under"), b;
    tandem_cache *c = open_with(&o), *other;
    double ticket;

    b = o;
    b.tracking = 0;
    other = open_with(&b);
    server_command(server, "SET under:n 1");
    CHECK_INT(TANDEM_PENDING, get_now(other, "n", TANDEM_CORK));
    ticket = said.ticket;
    CHECK_INT(TANDEM_OK, incr(c, &o, "n", 1)); /* behind it, on the same connection */
    CHECK_INT(TANDEM_OK, tandem_wait(o.mailbox, ticket, 30000));
    CHECK_INT(TANDEM_OK, tandem_take(o.mailbox, ticket, value, sizeof(value), &said));
    CHECK_INT(TANDEM_OK, get(c, &o, "n"));
    CHECK_STR("2", value);
    tandem_close(other);
    end(c, &o);
}

TEST(a_large_value_can_be_added)
{
    static char large[100000];
    tandem_options o = options_here("large");
    tandem_cache *c = open_with(&o);

    memset(large, 'x', sizeof(large));
    CHECK_INT(TANDEM_OK,
              finish(&o, tandem_add(c, "key", 3, large, sizeof(large), 100000, 0, &said)));
    CHECK_INT(TANDEM_MISS, finish(&o, tandem_add(c, "key", 3, large, sizeof(large), 0, 0, &said)));
    CHECK_INT(TANDEM_OK, finish(&o, tandem_replace(c, "key", 3, large, 20000, 0, 0, &said)));
    CHECK_STR("20000", server_command(server, "STRLEN large:key"));
    end(c, &o);
}

TEST(those_that_are_never_queued_say_so_and_expire_is)
{
    tandem_options o = options_here("queued");
    tandem_cache *c;

    o.write_behind = 1;
    c = open_with(&o);
    CHECK_INT(TANDEM_ENOWAIT, tandem_add(c, "key", 3, "x", 1, 0, TANDEM_NOWAIT, &said));
    CHECK(strstr(said.error, "cannot wait") != NULL);
    CHECK_INT(TANDEM_ENOWAIT, tandem_replace(c, "key", 3, "x", 1, 0, TANDEM_NOWAIT, &said));
    CHECK_INT(TANDEM_ENOWAIT, tandem_incr(c, "key", 3, 1, 0, 0, TANDEM_NOWAIT, &said));
    CHECK_STR("0", server_command(server, "EXISTS queued:key"));
    /* write_behind is about set and delete, and expire. */
    CHECK_INT(TANDEM_PENDING, tandem_incr(c, "key", 3, 1, 5, 0, TANDEM_INIT, &said));
    CHECK_INT(TANDEM_OK, finish(&o, TANDEM_PENDING));
    CHECK(said.count == 6);
    get(c, &o, "key");
    CHECK_INT(TANDEM_OK, tandem_expire(c, "key", 3, 100000, 0, &said));
    CHECK_INT(TANDEM_OK, ttl(c, &o, "key")); /* behind it */
    CHECK(said.ttl > 50 && said.ttl <= 100.01);
    CHECK_INT(TANDEM_OK, tandem_expire(c, "key", 3, 0, TANDEM_NOWAIT, &said));
    CHECK_INT(TANDEM_ENOWAIT, get_now(c, "key", TANDEM_NOWAIT));
    CHECK_INT(TANDEM_OK, ttl(c, &o, "key"));
    CHECK(said.ttl == 0);
    CHECK_INT(0, tandem_pending(o.mailbox));
    end(c, &o);
}

TEST(with_redis_away_nothing_is_done)
{
    tandem_options o = options_here("away");
    tandem_cache *c = open_with(&o);

    CHECK_INT(TANDEM_OK, set(c, &o, "key", "5", 100000));
    server_kill(server);
    for (int i = 0; i < 2; i++) {
        CHECK(add(c, &o, "other", "x", 0) < 0);
        CHECK(replace(c, &o, "key", "x", 0) < 0);
        CHECK(incr(c, &o, "key", 1) < 0);
        CHECK(strstr(said.error, server->socket) != NULL);
        CHECK(expire(c, &o, "key", 0) < 0);
        CHECK(tandem_expire(c, "key", 3, 0, TANDEM_NOWAIT, &said) <= TANDEM_OK);
    }
    CHECK_INT(0, metric(c, "redis", "degraded_writes"));
    end(c, &o);
}

/* A write that Redis is still to be told of would come after what was built on what it replaces. */
TEST(a_write_that_is_to_be_replayed_goes_first)
{
    tandem_options o = options_here("first");
    tandem_cache *c = open_with(&o);
    int status = TANDEM_ECONN;

    CHECK_INT(TANDEM_OK, set(c, &o, "n", "1", 0));
    server_kill(server);
    while (set(c, &o, "n", "10", 0) != TANDEM_DEGRADED)
        server_nap();
    server_run(server);
    for (int i = 0; status < 0 && i < 10000; i++) {
        status = incr_from(c, &o, "n", 1, 0, 0);
        if (status < 0)
            server_nap();
    }
    CHECK_INT(TANDEM_OK, status);
    CHECK(said.count == 11);
    CHECK_STR("11", server_command(server, "GET first:n"));
    end(c, &o);
}

TEST(when_nobody_knows_whether_it_was_done_memory_drops_it)
{
    tandem_options o = options_here("unknown");
    tandem_cache *c;

    o.timeout_ms = 1500;
    o.tracking = 0; /* no write is read back, whose time-out would come first */
    c = open_with(&o);
    CHECK_INT(TANDEM_OK, set(c, &o, "n", "1", 0));
    server_freeze(server);
    CHECK_INT(TANDEM_ETIMEOUT, incr(c, &o, "n", 1));
    CHECK(strstr(said.error, "whether the write took place is unknown") != NULL);
    CHECK_INT(TANDEM_ENOWAIT, get_now(c, "n", TANDEM_NOWAIT));
    server_thaw(server);
    end(c, &o);
}

/* -- Peek ------------------------------------------------------------------------------------------ */

TEST(peek_tells_what_memory_has_and_changes_nothing)
{
    tandem_options o = options_for("peek", NULL);
    tandem_cache *c = open_with(&o);

    CHECK_INT(TANDEM_MISS, peek(c, "key", TANDEM_STALE));
    CHECK_INT(TANDEM_OK, set(c, &o, "key", "value", 0));
    CHECK_INT(TANDEM_OK, peek(c, "key", 0));
    CHECK_STR("value", value);
    CHECK(said.ttl == 0);
    CHECK_INT(TANDEM_TIER_MEMORY, said.tier);
    CHECK_INT(TANDEM_TOO_SMALL, tandem_peek(c, "key", 3, 0, value, 2, &said));
    CHECK_INT(5, said.length);
    CHECK_INT(TANDEM_OK, set(c, &o, "key", "value", 20000));
    CHECK_INT(TANDEM_OK, peek(c, "key", 0));
    CHECK(said.ttl > 0 && said.ttl <= 20.01);
    tandem_clock_shift(21000);
    CHECK_INT(TANDEM_MISS, peek(c, "key", 0));
    CHECK_INT(TANDEM_TIER_NONE, said.tier);
    CHECK_INT(TANDEM_OK, peek(c, "key", TANDEM_STALE));
    CHECK_STR("value", value);
    CHECK(said.ttl < -0.9 && said.ttl > -60);
    CHECK_INT(TANDEM_TIER_STALE, said.tier);
    CHECK_INT(TANDEM_MISS, get_now(c, "key", 0));
    CHECK_INT(0, metric(c, "memory", "hits"));
    CHECK_INT(1, metric(c, "memory", "misses")); /* get's */
    end(c, &o);
}

TEST(peek_never_asks_redis)
{
    tandem_options o = options_here("lying");
    tandem_cache *c = open_with(&o);
    double commands;

    server_command(server, "SET lying:key one PX 100000");
    CHECK_INT(TANDEM_MISS, peek(c, "key", 0));
    CHECK_INT(TANDEM_OK, get(c, &o, "key"));
    commands = metric(c, "redis", "commands");
    CHECK_INT(TANDEM_OK, peek(c, "key", 0));
    CHECK_STR("one", value);
    CHECK(said.ttl > 50 && said.ttl <= 100.01);
    tandem_clock_shift(2100); /* past max_stale */
    CHECK_INT(TANDEM_MISS, peek(c, "key", 0));
    CHECK_INT(TANDEM_OK, peek(c, "key", TANDEM_STALE));
    CHECK_INT(TANDEM_TIER_STALE, said.tier);
    CHECK(said.ttl > 0);
    CHECK_INT(commands, metric(c, "redis", "commands"));
    CHECK_INT(0, tandem_pending(o.mailbox));
    end(c, &o);
}

TEST(hashes_tell_keys_apart)
{
    uint32_t a[2], b[2];

    tandem_hash("a", 1, 7, a);
    tandem_hash("b", 1, 7, b);
    CHECK(a[0] != b[0] && a[1] != b[1]);
    tandem_hash("a", 1, 7, b);
    CHECK(a[0] == b[0] && a[1] == b[1]);
    tandem_hash("a", 1, 8, b);
    CHECK(a[0] != b[0] && a[1] != b[1]);
}

CHECK_MAIN()
