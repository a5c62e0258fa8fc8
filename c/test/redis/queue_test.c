/* Many operations at once, threads and clients: all go by one queue. */
#include "redis/real.h"

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
    bytes = calloc(1, 20000);
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

CHECK_MAIN()
