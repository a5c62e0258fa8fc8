/* Scans, and what they unlink, on a real Redis. */
#include "redis/real.h"

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

TEST(operations_submitted_later_may_come_in_between)
{
    struct redis_op *op;
    int64_t gone = 0;

    begin();
    server_command(server, "MSET t:a 1 t:b 2");
    redis_submit(w.client, op_text(REDIS_SCAN_UNLINK, NULL, "0"), true);
    for (int i = 0; i < 100; i++)
        redis_submit(w.client, op_text(REDIS_EXISTS, "a", NULL), i < 99);
    for (int i = 0; i < 101; i++) {
        op = next_done(&w);
        CHECK_INT(REDIS_DONE, op->status);
        gone += op->kind == REDIS_SCAN_UNLINK ? op->integer : 0;
        op_free(op);
    }
    CHECK_INT(2, gone);
    end();
}

CHECK_MAIN()
