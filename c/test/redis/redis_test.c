/* What the operations do, on a real Redis. */
#include "redis/ops.h"
#include "support/server.h"

static struct world w;
static struct server *server;

static void begin(void)
{
    server = server_start(NULL);
    world_open(&w, server->url);
}

static void end(void)
{
    world_close(&w);
    server_stop(server);
}

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

/* -- Many ---------------------------------------------------------------------------------------- */

TEST(ten_thousand_in_one_go_are_answered_in_order)
{
    enum { MANY = 10000 };
    static struct redis_op *sent[2 * MANY];
    char key[16], text[32];

    begin();
    for (int i = 0; i < MANY; i++) {
        snprintf(key, sizeof(key), "%d", i);
        snprintf(text, sizeof(text), "value of %d", i);
        sent[2 * i] = op_text(REDIS_SET, key, text);
        sent[2 * i + 1] = op_text(REDIS_GET, key, NULL);
        REQUIRE(redis_submit(w.client, sent[2 * i], true) == REDIS_ACCEPTED);
        REQUIRE(redis_submit(w.client, sent[2 * i + 1], true) == REDIS_ACCEPTED);
    }
    redis_uncork(w.client);
    for (int i = 0; i < MANY; i++) {
        struct redis_op *op = next_done(&w);

        REQUIRE(op == sent[2 * i]);
        CHECK_INT(REDIS_DONE, op->status);
        op_free(op);
        op = next_done(&w);
        REQUIRE(op == sent[2 * i + 1]);
        CHECK_INT(REDIS_DONE, op->status);
        snprintf(text, sizeof(text), "value of %d", i);
        CHECK_INT(strlen(text), op->reply_length);
        CHECK_MEM(text, op->reply, strlen(text));
        op_free(op);
    }
    CHECK_STR("10000", server_command(server, "DBSIZE"));
    CHECK(counted(&w, REDIS_COUNT_COMMANDS) >= 3 * MANY);
    CHECK(counted(&w, REDIS_COUNT_BYTES_OUT) > 30 * MANY);
    CHECK(counted(&w, REDIS_COUNT_BYTES_IN) > 20 * MANY);
    CHECK_INT(1, counted(&w, REDIS_COUNT_CONNECTS));
    CHECK_INT(0, counted(&w, REDIS_COUNT_ERRORS));
    end();
}

enum { THREADS = 4, EACH = 2000 };

static void *hammer(void *context)
{
    int number = *(int *)context;
    char key[32];

    for (int i = 0; i < EACH; i++) {
        snprintf(key, sizeof(key), "%d:%d", number, i);
        submit(&w, op_text(i % 2 ? REDIS_GET : REDIS_SET, key, i % 2 ? NULL : "x"));
    }
    return NULL;
}

TEST(threads_share_a_client)
{
    pthread_t threads[THREADS];
    int numbers[THREADS];

    begin();
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        REQUIRE(pthread_create(&threads[i], NULL, hammer, &numbers[i]) == 0);
    }
    for (int i = 0; i < THREADS * EACH; i++) {
        struct redis_op *op = next_done(&w);

        CHECK_INT(op->kind == REDIS_SET ? REDIS_DONE : REDIS_ABSENT, op->status);
        op_free(op);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK_STR("4000", server_command(server, "DBSIZE"));
    end();
}

TEST(clients_share_the_thread_and_do_not_mix)
{
    enum { CLIENTS = 5 };
    static struct world many[CLIENTS];
    char prefix[CLIENTS][8], text[32];

    begin();
    for (int i = 0; i < CLIENTS; i++) {
        struct redis_config config = config_for(server->url);

        config.prefix_length = (size_t)snprintf(prefix[i], sizeof(prefix[i]), "c%d:", i);
        config.prefix = prefix[i];
        world_open_with(&many[i], &config);
        submit(&many[i], op_text(REDIS_SET, "key", prefix[i]));
    }
    for (int i = 0; i < CLIENTS; i++) {
        op_free(next_done(&many[i]));
        CHECK_STR(prefix[i], get_text(&many[i], "key"));
        snprintf(text, sizeof(text), "GET %skey", prefix[i]);
        CHECK_STR(prefix[i], server_command(server, text));
    }
    for (int i = 0; i < CLIENTS; i++)
        world_close(&many[i]);
    CHECK_STR("(absent)", get_text(&w, "key"));
    end();
}

TEST(a_queue_that_is_full_refuses_at_once)
{
    struct redis_config config;
    struct redis_op *op;
    char *bytes;

    server = server_start(NULL);
    config = config_for(server->url);
    config.max_ops = 3;
    config.max_bytes = 10000;
    world_open_with(&w, &config);
    CHECK_INT(REDIS_DONE, set_text(&w, "up", "x"));
    server_freeze(server);
    for (int i = 0; i < 3; i++)
        submit(&w, op_text(REDIS_GET, "key", NULL));
    op = op_text(REDIS_GET, "key", NULL);
    CHECK_INT(REDIS_QUEUE_FULL, redis_submit(w.client, op, false));
    CHECK(strncmp(op->error, redis_client_server(w.client), strlen(server->url) - 7) == 0);
    CHECK(strstr(op->error, "3 operations") != NULL);
    server_thaw(server);
    for (int i = 0; i < 3; i++)
        op_free(next_done(&w));
    submit(&w, op);
    op_free(next_done(&w));
    /* One that is larger than the bound alone gets through alone. */
    server_freeze(server);
    bytes = filled(20000);
    submit(&w, op_of(REDIS_SET, "key", 3, bytes, 20000));
    free(bytes);
    op = op_text(REDIS_GET, "key", NULL);
    CHECK_INT(REDIS_QUEUE_FULL, redis_submit(w.client, op, false));
    op_free(op);
    server_thaw(server);
    op = next_done(&w);
    CHECK_INT(REDIS_DONE, op->status);
    op_free(op);
    end();
}

/* -- Scans --------------------------------------------------------------------------------------- */

/* Counts what a whole scan finds; kind says whether it is unlinked. */
static size_t scan_all(enum redis_kind kind, const char *glob, int64_t *unlinked)
{
    char cursor[32] = "0";
    size_t found = 0;

    *unlinked = 0;
    do {
        struct redis_op *op = carry_out(&w, op_text(kind, glob, cursor));
        uint32_t n;

        if (op->status != REDIS_DONE)
            printf("%s\n", op->error);
        REQUIRE(op->status == REDIS_DONE && op->reply_length > 4);
        memcpy(&n, op->reply, 4);
        REQUIRE(n < sizeof(cursor));
        memcpy(cursor, op->reply + 4, n);
        cursor[n] = '\0';
        found += op->reply_count - 1;
        *unlinked += op->integer;
        op_free(op);
    } while (strcmp(cursor, "0") != 0);
    return found;
}

TEST(scans_find_keys_of_the_prefix_only)
{
    struct redis_op *op;
    int64_t unlinked;

    begin();
    server_command(server, "MSET t:a 1 t:b 2 t:bb 3 u:a 4 tt:a 5 t:#tandem:x 6 t: 7");
    op = carry_out(&w, op_text(REDIS_SCAN, "b*", "0"));
    CHECK_INT(3, op->reply_count);
    CHECK(strcmp("0,b,bb,", items_of(op)) == 0 || strcmp("0,bb,b,", items_of(op)) == 0);
    op_free(op);
    CHECK_INT(4, scan_all(REDIS_SCAN, NULL, &unlinked)); /* a, b, bb, and the empty one */
    CHECK_INT(0, unlinked);
    CHECK_INT(0, scan_all(REDIS_SCAN, "nothing", &unlinked));
    CHECK_STR("7", server_command(server, "DBSIZE"));
    end();
}

TEST(scan_and_unlink_takes_the_reserved_names_too)
{
    int64_t unlinked;

    begin();
    server_command(server, "MSET t:a 1 t:b 2 t:bb 3 u:a 4 t:#tandem:x 6");
    CHECK_INT(2, scan_all(REDIS_SCAN_UNLINK, "b*", &unlinked));
    CHECK_INT(2, unlinked);
    CHECK_INT(2, scan_all(REDIS_SCAN_UNLINK, NULL, &unlinked));
    CHECK_INT(2, unlinked);
    CHECK_STR("u:a", server_command(server, "KEYS *"));
    CHECK_INT(0, scan_all(REDIS_SCAN_UNLINK, NULL, &unlinked));
    end();
}

TEST(a_prefix_with_glob_characters_matches_itself_only)
{
    struct redis_config config;
    int64_t unlinked;

    server = server_start(NULL);
    config = config_for(server->url);
    config.prefix = "a*[x]?\\:";
    config.prefix_length = 8;
    world_open_with(&w, &config);
    CHECK_INT(REDIS_DONE, set_text(&w, "key", "mine"));
    server_command(server, "MSET aYx1:key 1 a*x?:key 2");
    CHECK_INT(1, scan_all(REDIS_SCAN, NULL, &unlinked));
    CHECK_INT(1, scan_all(REDIS_SCAN_UNLINK, "*", &unlinked));
    CHECK_INT(1, unlinked);
    CHECK_STR("2", server_command(server, "DBSIZE"));
    end();
}

TEST(a_scan_of_many_keys_comes_in_pages)
{
    int64_t unlinked;

    begin();
    server_command(server, "EVAL %s 0", "for i = 1, 20000 do redis.call('set', 't:' .. i, i) end");
    CHECK(scan_all(REDIS_SCAN, NULL, &unlinked) >= 20000);
    CHECK(scan_all(REDIS_SCAN_UNLINK, NULL, &unlinked) >= 20000);
    CHECK_INT(20000, unlinked);
    CHECK_STR("0", server_command(server, "DBSIZE"));
    end();
}

TEST(a_cursor_that_is_none_is_refused_by_the_server)
{
    struct redis_op *op;

    begin();
    op = carry_out(&w, op_text(REDIS_SCAN, "*", "x y\r\n"));
    CHECK_INT(REDIS_REFUSED, op->status);
    CHECK(strstr(op->error, "cursor") != NULL);
    op_free(op);
    CHECK_STR("(absent)", get_text(&w, "key")); /* and the connection goes on */
    CHECK_INT(1, counted(&w, REDIS_COUNT_CONNECTS));
    CHECK_INT(1, counted(&w, REDIS_COUNT_ERRORS));
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
