/* Tags, over two hosts (two segments) and a real Redis. */
#include "support/hosts.h"

enum { MANY = 1000 };

__attribute__((constructor)) static void with_tags(void)
{
    hosts_have_tags = true;
}

/* Names as tandem_set_tagged has them, from a sentence. */
static const char *names(const char *words, size_t *length)
{
    static char bytes[4096];
    size_t n = 0;

    while (*words) {
        size_t word = strcspn(words, " ");

        bytes[n++] = (char)word;
        memcpy(bytes + n, words, word);
        n += word;
        words += word + (words[word] == ' ');
    }
    *length = n;
    return bytes;
}

static int set_with(tandem_cache *c, const tandem_options *o, const char *key, const char *text,
                    int64_t ttl_ms, const char *words)
{
    size_t n;
    const char *tags = names(words, &n);

    return finish(
        o, tandem_set_tagged(c, key, strlen(key), text, strlen(text), ttl_ms, tags, n, 0, &said));
}

static int invalidate(tandem_cache *c, const tandem_options *o, const char *tag)
{
    return finish(o, tandem_invalidate_tag(c, tag, strlen(tag), 0, &said));
}

static bool has(tandem_cache *c, const tandem_options *o, const char *key, const char *text)
{
    return get(c, o, key) == TANDEM_OK && strcmp(value, text) == 0;
}

static bool memory_has(tandem_cache *c, const char *key, const char *text)
{
    return get_now(c, key, TANDEM_NOWAIT) == TANDEM_OK && said.tier == TANDEM_TIER_MEMORY &&
           strcmp(value, text) == 0;
}

static bool memory_lacks(tandem_cache *c, const char *key)
{
    return get_now(c, key, TANDEM_NOWAIT) == TANDEM_ENOWAIT;
}

static bool is_there(const char *key)
{
    return strcmp("1", server_command(server, "EXISTS t:%s", key)) == 0;
}

/* Read until memory keeps it: what was just written may be asked for once more. */
static void promote(tandem_cache *c, const tandem_options *o, const char *key, const char *text)
{
    AWAIT(memory_has(c, key, text) || (get(c, o, key) < 0));
}

TEST(in_memory_alone)
{
    server = NULL;
    open_hosts();
    CHECK_INT(TANDEM_OK, set_with(c1, &o1, "key", "text", 0, "red green"));
    CHECK_INT(TANDEM_OK, set_with(c1, &o1, "other", "text", 0, "blue"));
    CHECK(has(c1, &o1, "key", "text"));
    CHECK_INT(TANDEM_OK, invalidate(c1, &o1, "green"));
    CHECK_INT(TANDEM_MISS, get(c1, &o1, "key"));
    CHECK_INT(TANDEM_MISS, peek(c1, "key", TANDEM_STALE));
    CHECK(has(c1, &o1, "other", "text"));
    close_all(c1, &o1);
    close_all(c2, &o2);
}

TEST(what_is_wrong_is_refused)
{
    tandem_options plain;
    tandem_cache *c;
    char long_tag[202];

    server = NULL;
    open_hosts();
    memset(long_tag, 'x', sizeof(long_tag));
    long_tag[0] = (char)201;
    CHECK_INT(TANDEM_EINVAL, tandem_set_tagged(c1, "k", 1, "v", 1, 0, long_tag, 202, 0, &said));
    long_tag[0] = (char)200;
    CHECK_INT(TANDEM_OK, tandem_set_tagged(c1, "k", 1, "v", 1, 0, long_tag, 201, 0, &said));
    CHECK_INT(TANDEM_EINVAL, tandem_set_tagged(c1, "k", 1, "v", 1, 0, long_tag, 200, 0, &said));
    CHECK_INT(TANDEM_EINVAL, tandem_set_tagged(c1, "k", 1, "v", 1, 0, "", 1, 0, &said));
    CHECK_INT(TANDEM_EINVAL, tandem_invalidate_tag(c1, "", 0, 0, &said));
    CHECK_INT(TANDEM_EINVAL, tandem_invalidate_tag(c1, long_tag, 201, 0, &said));
    CHECK_INT(TANDEM_OK, tandem_invalidate_tag(c1, long_tag + 1, 200, 0, &said));
    CHECK_INT(TANDEM_MISS, get(c1, &o1, "k"));
    plain = host_options("plain");
    plain.tags = 0;
    c = open_with(&plain);
    CHECK_INT(TANDEM_EINVAL, tandem_set_tagged(c, "k", 1, "v", 1, 0, "\1a", 2, 0, &said));
    CHECK_INT(TANDEM_EINVAL, tandem_invalidate_tag(c, "a", 1, 0, &said));
    CHECK_INT(TANDEM_OK, tandem_set_tagged(c, "k", 1, "v", 1, 0, NULL, 0, 0, &said));
    close_all(c, &plain);
    close_all(c1, &o1);
    close_all(c2, &o2);
}

TEST(it_goes_from_every_host_and_from_redis)
{
    begin(true);
    CHECK_INT(TANDEM_OK, set_with(c1, &o1, "key", "text", 60000, "red"));
    CHECK_INT(TANDEM_OK, set_with(c1, &o1, "other", "text", 0, "blue"));
    CHECK_INT(TANDEM_OK, set(c1, &o1, "plain", "text", 0));
    CHECK_STR("text", server_command(server, "GET t:key"));
    promote(c1, &o1, "key", "text");
    promote(c2, &o2, "key", "text");
    promote(c2, &o2, "other", "text");
    promote(c2, &o2, "plain", "text");
    CHECK_INT(TANDEM_OK, invalidate(c1, &o1, "red"));
    CHECK(memory_lacks(c1, "key"));
    AWAIT(memory_lacks(c2, "key"));
    CHECK(memory_has(c2, "other", "text"));
    CHECK(memory_has(c2, "plain", "text"));
    CHECK_INT(TANDEM_MISS, get(c2, &o2, "key"));
    CHECK_INT(TANDEM_MISS, get(c1, &o1, "key"));
    CHECK(!is_there("key"));
    CHECK(!is_there("#tandem:tags:key"));

    /* A value that another host has promoted keeps its tags. */
    CHECK_INT(TANDEM_OK, invalidate(c2, &o2, "blue"));
    CHECK(memory_lacks(c2, "other"));
    CHECK_INT(TANDEM_MISS, get(c2, &o2, "other"));
    AWAIT(memory_lacks(c1, "other"));
    CHECK_INT(TANDEM_OK, set_with(c2, &o2, "key", "anew", 60000, "red"));
    promote(c1, &o1, "key", "anew");
    promote(c2, &o2, "key", "anew");
    end();
}

TEST(near_tables_are_told)
{
    tandem_near near = {0};
    tandem_near_entry entries[3] = {{0}};

    begin(true);
    CHECK_INT(TANDEM_OK, set_with(c1, &o1, "key", "text", 0, "red"));
    CHECK_INT(TANDEM_OK, set(c1, &o1, "plain", "text", 0));
    promote(c2, &o2, "key", "text");
    promote(c2, &o2, "plain", "text");
    REQUIRE(tandem_near_attach(c2, &near) == TANDEM_OK);
    CHECK_INT(1, tandem_near_attached(&near));
    near.entries = entries;
    for (int i = 1; i <= 2; i++) {
        CHECK(memory_has(c2, i == 1 ? "key" : "plain", "text"));
        entries[i] = (tandem_near_entry){said.fresh_until, said.slot, said.version, said.epoch, 0};
        CHECK(said.fresh_until > 0);
        CHECK_INT(1, tandem_near_hit(&near, (uint32_t)i));
    }
    CHECK_INT(TANDEM_OK, invalidate(c1, &o1, "red"));
    AWAIT(tandem_near_hit(&near, 1) == 0);
    /* What is not tagged is to be looked at once more, and then it is kept again. */
    CHECK(memory_has(c2, "plain", "text"));
    entries[2] = (tandem_near_entry){said.fresh_until, said.slot, said.version, said.epoch, 0};
    CHECK_INT(1, tandem_near_hit(&near, 2));
    end();
}

TEST(a_void_value_is_none_to_any_operation)
{
    begin(false);
    for (int i = 0; i < 8; i++) {
        CHECK_INT(TANDEM_OK, set_with(c1, &o1, "key", "1", 60000, "red"));
        CHECK_INT(TANDEM_OK, invalidate(c1, &o1, "red"));
        if (i == 0)
            CHECK_INT(TANDEM_MISS, exists(c2, &o2, "key"));
        else if (i == 1)
            CHECK_INT(TANDEM_MISS, ttl(c2, &o2, "key"));
        else if (i == 2)
            CHECK_INT(TANDEM_MISS, del(c2, &o2, "key"));
        else if (i == 3)
            CHECK_INT(TANDEM_MISS, replace(c2, &o2, "key", "2", 0));
        else if (i == 4)
            CHECK_INT(TANDEM_MISS, incr(c2, &o2, "key", 1));
        else if (i == 5)
            CHECK_INT(TANDEM_MISS, expire(c2, &o2, "key", 1000));
        else if (i == 6)
            CHECK_INT(TANDEM_MISS, get(c2, &o2, "key"));
        else
            CHECK_INT(TANDEM_OK, add(c2, &o2, "key", "3", 0));
        CHECK_INT(i == 7, is_there("key"));
        CHECK_INT(i == 7, is_there("#tandem:tags:key"));
    }
    CHECK_INT(TANDEM_MISS, add(c1, &o1, "key", "4", 0));
    CHECK_INT(TANDEM_OK, replace(c1, &o1, "key", "5", 0));
    CHECK_INT(TANDEM_OK, incr(c1, &o1, "key", 1.5));
    CHECK(said.count == 6.5);
    CHECK_INT(TANDEM_OK, incr_from(c1, &o1, "counter", 1, 7, 60000));
    CHECK(said.count == 8);
    CHECK_INT(TANDEM_OK, ttl(c1, &o1, "counter"));
    CHECK(said.ttl > 30);
    end();
}

TEST(a_tag_and_its_list_live_as_long_as_the_value)
{
    begin(false);
    CHECK_INT(TANDEM_OK, set_with(c1, &o1, "key", "1", 60000, "red"));
    CHECK(atoll(server_command(server, "PTTL t:#tandem:tag:red")) > 80000000);
    CHECK(atoll(server_command(server, "PTTL t:#tandem:tags:key")) <= 60000);
    CHECK_INT(TANDEM_OK, expire(c1, &o1, "key", 100000000));
    CHECK(atoll(server_command(server, "PTTL t:#tandem:tag:red")) > 100000000);
    CHECK(atoll(server_command(server, "PTTL t:#tandem:tags:key")) > 90000000);
    CHECK_INT(TANDEM_OK, incr(c1, &o1, "key", 1)); /* which keeps its tags */
    CHECK_INT(TANDEM_OK, expire(c1, &o1, "key", 0));
    CHECK_STR("-1", server_command(server, "PTTL t:#tandem:tag:red"));
    CHECK_STR("-1", server_command(server, "PTTL t:#tandem:tags:key"));
    CHECK(has(c2, &o2, "key", "2"));
    CHECK_INT(TANDEM_OK, invalidate(c2, &o2, "red"));
    CHECK(atoll(server_command(server, "PTTL t:#tandem:tag:red")) > 3500000); /* nothing has it */
    CHECK_INT(TANDEM_MISS, exists(c2, &o2, "key"));
    CHECK_INT(TANDEM_MISS, get(c2, &o2, "key"));
    CHECK_INT(TANDEM_OK, set_with(c1, &o1, "key", "1", 60000, "red"));
    CHECK_INT(TANDEM_OK, set(c1, &o1, "key", "2", 60000));
    CHECK_STR("", server_command(server, "GET t:#tandem:tags:key"));
    CHECK_INT(TANDEM_OK, invalidate(c1, &o1, "red"));
    CHECK(has(c2, &o2, "key", "2"));
    CHECK_INT(TANDEM_OK, invalidate(c1, &o1, "new"));
    CHECK(atoll(server_command(server, "PTTL t:#tandem:tag:new")) > 3500000);
    CHECK_INT(TANDEM_OK, set_with(c1, &o1, "key", "1", 60000, "red"));
    CHECK_INT(TANDEM_OK, del(c1, &o1, "key"));
    CHECK(!is_there("#tandem:tags:key"));
    /* A tag about to end lives on for a day, not for a little longer again and again. */
    server_command(server, "PEXPIRE t:#tandem:tag:red 500");
    CHECK_INT(TANDEM_OK, set_with(c1, &o1, "key", "1", 1000, "red"));
    CHECK(atoll(server_command(server, "PTTL t:#tandem:tag:red")) > 80000000);
    /* A list whose value another program has removed goes with the next read. */
    CHECK_INT(TANDEM_OK, set_with(c1, &o1, "gone", "1", 0, "red"));
    server_command(server, "DEL t:gone");
    CHECK_INT(TANDEM_MISS, get(c2, &o2, "gone"));
    CHECK(!is_there("#tandem:tags:gone"));
    end();
}

TEST(what_others_do_to_side_keys_never_makes_a_value_come_back)
{
    static const char *const others[] = {
        "DEL t:#tandem:tag:red",          "SET t:#tandem:tag:red nonsense",
        "SET t:#tandem:tags:key garbage", "SET t:#tandem:tag:red i9999999999999999",
        "APPEND t:#tandem:tags:key x",    "SETRANGE t:#tandem:tags:key 1 X",
    };

    begin(false);
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
        CHECK_INT(TANDEM_OK, set_with(c1, &o1, "key", "text", 60000, "red blue"));
        server_command(server, others[i]);
        CHECK_INT(TANDEM_MISS, get(c2, &o2, "key"));
        CHECK(!is_there("key"));
        CHECK_INT(TANDEM_OK, set_with(c1, &o1, "key", "anew", 60000, "red blue"));
        CHECK(has(c2, &o2, "key", "anew"));
        CHECK_INT(TANDEM_OK, invalidate(c2, &o2, "red"));
        CHECK_INT(TANDEM_MISS, get(c2, &o2, "key"));
    }
    CHECK_INT(TANDEM_OK, set_with(c1, &o1, "key", "text", 60000, "red"));
    server_command(server, "DEL t:#tandem:tags:key t:#tandem:tag:red");
    server_command(server, "RPUSH t:#tandem:tags:key 1");
    server_command(server, "RPUSH t:#tandem:tag:red 1");
    CHECK_INT(TANDEM_MISS, get(c2, &o2, "key"));
    CHECK_INT(TANDEM_OK, set_with(c1, &o1, "key", "text", 60000, "red"));
    CHECK(has(c2, &o2, "key", "text"));
    /* Redis may evict a list, and leave its value: that is none any more. */
    server_command(server, "DEL t:#tandem:tags:key");
    CHECK_INT(TANDEM_OK, invalidate(c2, &o2, "red"));
    CHECK_INT(TANDEM_MISS, get(c2, &o2, "key"));
    CHECK(!is_there("key"));
    /* What another program stores has the tags of the list that is there. */
    CHECK_INT(TANDEM_OK, set(c1, &o1, "other", "ours", 60000));
    server_command(server, "SET t:other theirs");
    CHECK(has(c2, &o2, "other", "theirs"));
    server_command(server, "RPUSH t:list 1");
    CHECK_INT(TANDEM_EREDIS, get(c1, &o1, "list"));
    CHECK(strstr(said.error, "WRONGTYPE") != NULL);
    end();
}

TEST(another_program_may_invalidate_by_deleting_a_tag)
{
    begin(true);
    CHECK_INT(TANDEM_OK, set_with(c1, &o1, "key", "text", 0, "red"));
    promote(c1, &o1, "key", "text");
    promote(c2, &o2, "key", "text");
    server_command(server, "DEL t:#tandem:tag:red");
    AWAIT(memory_lacks(c1, "key") && memory_lacks(c2, "key"));
    CHECK_INT(TANDEM_MISS, get(c1, &o1, "key"));
    end();
}

TEST(names_and_values_of_any_bytes_and_sizes)
{
    static char tags[MANY * 8], large[40000];
    size_t n = 0;

    begin(false);
    for (int i = 0; i < MANY; i++) {
        char name[8];
        int length = snprintf(name, sizeof(name), "%c\r\n%d", i % 256, i);

        tags[n++] = (char)length;
        memcpy(tags + n, name, (size_t)length);
        n += (size_t)length;
    }
    memset(large, 'L', sizeof(large));
    CHECK_INT(TANDEM_OK, finish(&o1, tandem_set_tagged(c1, "key", 3, large, sizeof(large), 60000,
                                                       tags, n, 0, &said)));
    CHECK_INT(TANDEM_OK, get(c2, &o2, "key"));
    CHECK_INT(sizeof(large), said.length);
    CHECK(memory_has(c2, "key", value));
    CHECK_INT(TANDEM_OK, finish(&o2, tandem_invalidate_tag(c2, "\0\r\n512", 6, 0, &said)));
    CHECK_INT(TANDEM_MISS, get(c2, &o2, "key"));
    CHECK_INT(TANDEM_EINVAL, tandem_set_tagged(c1, "key", 3, "v", 1, 0, tags, n - 1, 0, &said));
    end();
}

static double begun(tandem_cache *c, const char *key)
{
    REQUIRE(tandem_flight_begin(c, key, strlen(key), 0, 60000, 30000, &said) == TANDEM_OK);
    return said.ticket;
}

static int store(tandem_cache *c, const tandem_options *o, double flight, const char *text,
                 const char *words)
{
    size_t n;
    const char *tags = names(words, &n);

    return finish(
        o, tandem_flight_store(c, flight, text, strlen(text), 60000, tags, n, TANDEM_FIRST, &said));
}

TEST(a_loaders_value_of_before_an_invalidation_is_not_stored)
{
    double flight;

    begin(false); /* so that the first host hears nothing: Redis knows */
    CHECK_INT(TANDEM_OK, set_with(c2, &o2, "other", "text", 60000, "red"));
    CHECK_INT(TANDEM_MISS, get(c1, &o1, "key"));
    flight = begun(c1, "key");
    CHECK_INT(TANDEM_OK, invalidate(c2, &o2, "red"));
    CHECK_INT(TANDEM_MISS, store(c1, &o1, flight, "of before", "blue red"));
    CHECK_INT(TANDEM_TIER_NONE, said.tier);
    tandem_flight_end(c1, flight, TANDEM_FLIGHT_GONE, NULL, 0);
    CHECK(!is_there("key"));

    CHECK_INT(TANDEM_MISS, get(c1, &o1, "key"));
    flight = begun(c1, "key");
    CHECK_INT(TANDEM_OK, store(c1, &o1, flight, "of after", "blue red"));
    tandem_flight_end(c1, flight, TANDEM_FLIGHT_STORED, NULL, 0);
    CHECK(has(c2, &o2, "key", "of after"));

    /* And where this host has heard of it, it is not even sent. */
    flight = begun(c1, "another");
    CHECK_INT(TANDEM_OK, invalidate(c1, &o1, "red"));
    CHECK_INT(TANDEM_MISS, store(c1, &o1, flight, "of before", "red"));
    tandem_flight_end(c1, flight, TANDEM_FLIGHT_GONE, NULL, 0);

    /* What was not there is forgotten with its tags, too. */
    flight = begun(c1, "absent");
    CHECK_INT(TANDEM_OK, tandem_flight_absent(c1, flight, 60000, "\3red", 4, &said));
    tandem_flight_end(c1, flight, TANDEM_FLIGHT_ABSENT, NULL, 0);
    CHECK_INT(TANDEM_MISS, get_now(c1, "absent", TANDEM_NOWAIT));
    CHECK_INT(TANDEM_TIER_NEGATIVE, said.tier);
    CHECK_INT(TANDEM_OK, invalidate(c1, &o1, "red"));
    CHECK(memory_lacks(c1, "absent"));
    end();
}

TEST(a_server_that_forgets_the_script_is_told_again)
{
    begin(false);
    CHECK_INT(TANDEM_OK, set_with(c1, &o1, "key", "text", 60000, "red"));
    server_command(server, "SCRIPT FLUSH");
    CHECK(has(c2, &o2, "key", "text"));
    server_command(server, "SCRIPT FLUSH");
    /* A write may have to be told later, lest it be overtaken. */
    AWAIT(set_with(c1, &o1, "key", "anew", 60000, "red") == TANDEM_OK);
    CHECK(has(c1, &o1, "key", "anew"));
    CHECK_INT(TANDEM_OK, invalidate(c1, &o1, "red"));
    CHECK_INT(TANDEM_MISS, get(c1, &o1, "key"));
    end();
}

/* Nobody finds it any more, until it is moved back; to server_command it is where it is. */
static void move_away(void)
{
    static char old[sizeof(server->socket)];

    snprintf(old, sizeof(old), "%s", server->socket);
    snprintf(server->socket, sizeof(server->socket), "%.*s.moved", (int)sizeof(old) - 7, old);
    REQUIRE(rename(old, server->socket) == 0);
    server_command(server, "CLIENT KILL TYPE normal SKIPME yes");
    AWAIT(tandem_redis_up(c1) == 0);
}

static void move_back(void)
{
    char moved[sizeof(server->socket)];

    snprintf(moved, sizeof(moved), "%s", server->socket);
    *strrchr(server->socket, '.') = '\0';
    REQUIRE(rename(moved, server->socket) == 0);
    AWAIT(tandem_redis_up(c1) == 1);
}

TEST(with_redis_away_an_invalidation_is_told_later)
{
    begin(false);
    CHECK_INT(TANDEM_OK, set_with(c1, &o1, "key", "text", 0, "red"));
    CHECK_INT(TANDEM_OK, set_with(c1, &o1, "other", "text", 0, "blue"));
    move_away();
    CHECK_INT(TANDEM_DEGRADED, invalidate(c1, &o1, "red"));
    CHECK(strncmp(said.error, "queued: ", 8) == 0);
    CHECK_INT(TANDEM_DEGRADED, invalidate(c1, &o1, "red"));
    CHECK_INT(TANDEM_ECONN, get(c1, &o1, "key"));
    CHECK(get(c1, &o1, "other") == TANDEM_OK);
    /* Its names are not known to memory: in Redis it is only deleted. */
    CHECK_INT(TANDEM_DEGRADED, set_with(c1, &o1, "other", "in memory", 0, "blue"));
    CHECK_INT(TANDEM_OK, get(c1, &o1, "other"));
    CHECK_STR("in memory", value);
    move_back();
    AWAIT(metric(c1, "redis", "replayed") == 2);
    CHECK_INT(TANDEM_MISS, get(c2, &o2, "key"));
    CHECK_INT(TANDEM_MISS, get(c2, &o2, "other"));
    CHECK(!is_there("key"));
    end();
}

TEST(with_fail_it_is_an_error_and_memory_lacks_it_all_the_same)
{
    server_refuses_tracking = true;
    server = server_start(NULL);
    o1 = host_options("host1");
    o1.fail = 1;
    c1 = open_with(&o1);
    CHECK_INT(TANDEM_OK, set_with(c1, &o1, "key", "text", 0, "red"));
    CHECK(memory_has(c1, "key", "text"));
    server_kill(server);
    AWAIT(tandem_redis_up(c1) == 0);
    CHECK_INT(TANDEM_ECONN, invalidate(c1, &o1, "red"));
    CHECK(memory_lacks(c1, "key") || get(c1, &o1, "key") < 0);
    close_all(c1, &o1);
    server_stop(server);
}

CHECK_MAIN()
