/* What the operations do, on a real Redis. */
#include "redis/real.h"

static char *filled(size_t length)
{
    char *bytes = malloc(length);

    REQUIRE(bytes != NULL);
    for (size_t i = 0; i < length; i++)
        bytes[i] = (char)(i * 2654435761u >> 13);
    return bytes;
}

/* -- One at a time ------------------------------------------------------------------------------- */

TEST(sets_gets_and_deletes_under_the_prefix)
{
    struct redis_op *op;

    begin();
    CHECK_STR("(absent)", get_text(&w, "key"));
    CHECK_INT(REDIS_DONE, set_text(&w, "key", "value"));
    CHECK_STR("value", get_text(&w, "key"));
    CHECK_STR("value", server_command(server, "GET t:key"));
    op = carry_out(&w, op_text(REDIS_DELETE, "key", NULL));
    CHECK_INT(REDIS_DONE, op->status);
    CHECK_INT(1, op->integer);
    op_free(op);
    op = carry_out(&w, op_text(REDIS_DELETE, "key", NULL));
    CHECK_INT(REDIS_DONE, op->status);
    CHECK_INT(0, op->integer);
    CHECK(op->may_have_run);
    CHECK_STR("", op->error);
    op_free(op);
    CHECK_STR("0", server_command(server, "DBSIZE"));
    end();
}

TEST(tells_ttl_and_existence)
{
    struct redis_op *op;

    begin();
    op = op_text(REDIS_SET, "short", "x");
    op->ttl_ms = 50000;
    CHECK_INT(REDIS_DONE, status_of(&w, op));
    CHECK_INT(REDIS_DONE, set_text(&w, "long", "x"));
    op = carry_out(&w, op_text(REDIS_GET, "short", NULL));
    CHECK(op->pttl_ms > 40000 && op->pttl_ms <= 50000);
    CHECK(op->sent_ms > 0 && op->sent_ms <= clock_now_ms());
    op_free(op);
    op = carry_out(&w, op_text(REDIS_GET, "long", NULL));
    CHECK_INT(-1, op->pttl_ms);
    op_free(op);
    op = carry_out(&w, op_text(REDIS_PTTL, "short", NULL));
    CHECK(op->pttl_ms > 40000 && op->pttl_ms <= 50000);
    op_free(op);
    op = carry_out(&w, op_text(REDIS_PTTL, "none", NULL));
    CHECK_INT(REDIS_DONE, op->status);
    CHECK_INT(-2, op->pttl_ms);
    op_free(op);
    op = carry_out(&w, op_text(REDIS_EXISTS, "long", NULL));
    CHECK_INT(1, op->integer);
    op_free(op);
    op = carry_out(&w, op_text(REDIS_EXISTS, "none", NULL));
    CHECK_INT(0, op->integer);
    op_free(op);
    end();
}

TEST(keys_and_values_are_any_bytes)
{
    char all[256];
    struct redis_op *op;

    begin();
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    CHECK_INT(REDIS_DONE, status_of(&w, op_of(REDIS_SET, all, 256, all, 256)));
    op = carry_out(&w, op_of(REDIS_GET, all, 256, NULL, 0));
    CHECK_INT(256, op->reply_length);
    CHECK_MEM(all, op->reply, 256);
    op_free(op);
    CHECK_INT(REDIS_DONE, status_of(&w, op_of(REDIS_SET, "\r\n", 2, "$5\r\nabc\r\n", 9)));
    op = carry_out(&w, op_of(REDIS_GET, "\r\n", 2, NULL, 0));
    CHECK_INT(9, op->reply_length);
    CHECK_MEM("$5\r\nabc\r\n", op->reply, 9);
    op_free(op);
    CHECK_INT(REDIS_DONE, status_of(&w, op_of(REDIS_SET, "empty", 5, "", 0)));
    op = carry_out(&w, op_text(REDIS_GET, "empty", NULL));
    CHECK_INT(REDIS_DONE, op->status);
    CHECK_INT(0, op->reply_length);
    CHECK(op->reply != NULL);
    op_free(op);
    end();
}

TEST(a_prefix_may_be_empty_or_any_bytes)
{
    struct redis_config config;

    server = server_start(NULL);
    config = config_for(server->url);
    config.prefix = NULL;
    config.prefix_length = 0;
    world_open_with(&w, &config);
    CHECK_INT(REDIS_DONE, set_text(&w, "key", "bare"));
    CHECK_STR("bare", server_command(server, "GET key"));
    world_close(&w);
    config.prefix = "*\0[";
    config.prefix_length = 3;
    world_open_with(&w, &config);
    CHECK_INT(REDIS_DONE, set_text(&w, "key", "odd"));
    CHECK_STR("odd", server_command(server, "GET %b", "*\0[key", (size_t)6));
    end();
}

TEST(large_values_pass_both_ways)
{
    static const size_t sizes[] = {16383, 16384, 16385, 65536, 1000000, 10 << 20};
    struct redis_op *op;

    begin();
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char *bytes = filled(sizes[i]);

        op = op_of(REDIS_SET, "large", 5, bytes, sizes[i]);
        op->ttl_ms = 100000;
        CHECK_INT(REDIS_DONE, status_of(&w, op));
        op = carry_out(&w, op_text(REDIS_GET, "large", NULL));
        CHECK_INT(REDIS_DONE, op->status);
        CHECK_INT(sizes[i], op->reply_length);
        CHECK_MEM(bytes, op->reply, sizes[i]);
        CHECK(op->pttl_ms > 0);
        op_free(op);
        free(bytes);
    }
    end();
}

/* Of this process, whatever else the machine has to do. */
static int64_t cpu_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int64_t time_to_set(size_t length)
{
    char *bytes = filled(length);
    struct redis_op *op = op_of(REDIS_SET, "large", 5, bytes, length);
    int64_t begin_us = cpu_us();

    CHECK_INT(REDIS_DONE, carry_out(&w, op)->status);
    begin_us = cpu_us() - begin_us;
    op_free(op);
    free(bytes);
    return begin_us;
}

TEST(a_large_value_does_not_take_time_that_grows_faster_than_it)
{
    struct redis_config config;
    int64_t small_us, large_us;

    server = server_start(NULL);
    config = config_for(server->url);
    config.timeout_ms = 60000;
    config.max_bytes = 256 << 20;
    world_open_with(&w, &config);
    small_us = time_to_set(8 << 20);
    large_us = time_to_set(96 << 20);
    if (!CHECK(large_us < 5 * 12 * small_us))
        printf("8 MiB %lld us, 96 MiB %lld us\n", (long long)small_us, (long long)large_us);
    end();
}

/* -- Errors of the server ------------------------------------------------------------------------ */

TEST(error_replies_are_passed_on_and_the_connection_goes_on)
{
    struct redis_op *op;
    char expected[200];

    begin();
    server_command(server, "LPUSH t:list 1");
    op = carry_out(&w, op_text(REDIS_GET, "list", NULL));
    CHECK_INT(REDIS_REFUSED, op->status);
    CHECK(op->reply == NULL);
    snprintf(expected, sizeof(expected),
             "%s: WRONGTYPE Operation against a key holding the wrong kind of value",
             redis_client_server(w.client));
    CHECK_STR(expected, op->error);
    op_free(op);
    server_command(server, "CONFIG SET maxmemory 1");
    op = carry_out(&w, op_text(REDIS_SET, "key", "x"));
    CHECK_INT(REDIS_REFUSED, op->status);
    CHECK(op->may_have_run);
    CHECK(strstr(op->error, ": OOM command not allowed") != NULL);
    op_free(op);
    op = op_text(REDIS_SET, "key", "x");
    op->ttl_ms = INT64_MAX;
    CHECK_INT(REDIS_REFUSED, status_of(&w, op));
    CHECK_STR("(absent)", get_text(&w, "key"));
    CHECK_INT(3, counted(&w, REDIS_COUNT_ERRORS));
    CHECK_INT(1, counted(&w, REDIS_COUNT_CONNECTS));
    CHECK_INT(0, counted(&w, REDIS_COUNT_DISCONNECTS));
    end();
}

/* -- What goes over the wire ---------------------------------------------------------------------- */

static void feed(redisContext *c, const char *command)
{
    REQUIRE(redisAppendFormattedCommand(c, command, strlen(command)) == REDIS_OK);
}

TEST(redis_sees_the_commands_that_one_expects)
{
    static const char *const expected[] = {
        "\"CLIENT\" \"SETNAME\" \"me\"",
        "\"PING\"",
        "\"SET\" \"t:key\" \"v\\x00\"",
        "\"SET\" \"t:key\" \"x\" \"PX\" \"1500\"",
        "\"GET\" \"t:key\"",
        "\"PTTL\" \"t:key\"",
        "\"EXISTS\" \"t:key\"",
        "\"PTTL\" \"t:key\"",
        "\"SCAN\" \"0\" \"MATCH\" \"t:k*\" \"COUNT\" \"500\"",
        "\"SCAN\" \"0\" \"MATCH\" \"t:*\" \"COUNT\" \"500\"",
        "\"UNLINK\" \"t:key\"",
        "\"SCAN\" \"0\" \"MATCH\" \"t:*\" \"COUNT\" \"500\"",
        "\"DEL\" \"t:key\"",
    };
    struct redis_config config;
    redisContext *monitor;
    struct redis_op *op;
    redisReply *reply;

    server = server_start(NULL);
    monitor = server_connect(server);
    feed(monitor, "*1\r\n$7\r\nMONITOR\r\n");
    REQUIRE(redisGetReply(monitor, (void **)&reply) == REDIS_OK);
    freeReplyObject(reply);
    config = config_for(server->url);
    config.client_name = "me";
    world_open_with(&w, &config);
    op_free(carry_out(&w, op_of(REDIS_SET, "key", 3, "v\0", 2)));
    op = op_text(REDIS_SET, "key", "x");
    op->ttl_ms = 1500;
    op_free(carry_out(&w, op));
    op_free(carry_out(&w, op_text(REDIS_GET, "key", NULL)));
    op_free(carry_out(&w, op_text(REDIS_EXISTS, "key", NULL)));
    op_free(carry_out(&w, op_text(REDIS_PTTL, "key", NULL)));
    op_free(carry_out(&w, op_text(REDIS_SCAN, "k*", "0")));
    op_free(carry_out(&w, op_text(REDIS_SCAN_UNLINK, NULL, "0")));
    op_free(carry_out(&w, op_text(REDIS_SCAN_UNLINK, NULL, "0"))); /* nothing to unlink */
    op_free(carry_out(&w, op_text(REDIS_DELETE, "key", NULL)));
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        const char *command;

        REQUIRE(redisGetReply(monitor, (void **)&reply) == REDIS_OK);
        command = strchr(reply->str, '"');
        CHECK_STR(expected[i], command ? command : reply->str);
        freeReplyObject(reply);
    }
    redisFree(monitor);
    end();
}

CHECK_MAIN()
