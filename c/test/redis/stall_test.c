/* Servers, and machines, that stand still and go on. */
#include "redis/peer.h"
#include "redis/real.h"

static struct peer peer;

TEST(a_stopped_server_ends_every_operation_at_its_deadline)
{
    enum { MANY = 1000 };
    struct redis_config config;
    int64_t begin_ms, least_ms = INT64_MAX, most_ms = 0;

    server = server_start(NULL);
    config = config_for(server->url);
    config.timeout_ms = 2000;
    world_open_with(&w, &config);
    CHECK_STR("(absent)", get_text(&w, "none"));
    server_freeze(server);
    begin_ms = clock_now_ms();
    for (int i = 0; i < MANY; i++)
        submit(&w, within(op_text(i % 2 ? REDIS_GET : REDIS_SET, "key", "x"), 100 + i % 100));
    for (int i = 0; i < MANY; i++) {
        struct redis_op *op = next_done(&w);
        int64_t took_ms = clock_now_ms() - begin_ms;

        CHECK_INT(REDIS_TIMEOUT, op->status);
        CHECK(op->may_have_run);
        least_ms = took_ms < least_ms ? took_ms : least_ms;
        most_ms = took_ms > most_ms ? took_ms : most_ms;
        op_free(op);
    }
    CHECK(least_ms >= 100 && most_ms < 2000);
    server_thaw(server);
    CHECK_STR("x", get_text(&w, "key"));
    CHECK_INT(MANY + MANY / 2, counted(&w, REDIS_COUNT_LATE_REPLIES));
    CHECK_INT(MANY, counted(&w, REDIS_COUNT_TIMEOUTS));
    CHECK_INT(1, counted(&w, REDIS_COUNT_CONNECTS));
    world_close(&w);
    server_stop(server);
}

TEST(a_stopped_server_is_given_up_and_used_again_when_it_goes_on)
{
    struct redis_config config;
    struct redis_op *op;

    server = server_start(NULL);
    config = config_for(server->url);
    config.timeout_ms = config.connect_timeout_ms = 60;
    world_open_with(&w, &config);
    CHECK_STR("(absent)", get_text(&w, "none"));
    server_freeze(server);
    op = carry_out(&w, op_text(REDIS_GET, "key", NULL));
    CHECK_INT(REDIS_UNKNOWN, op->status);
    CHECK(strstr(op->error, ": no answer in 60 ms") != NULL);
    CHECK_INT(REDIS_DOWN, redis_submit(w.client, op, false));
    CHECK(strstr(op->error, ": no answer in 60 ms") != NULL);
    op_free(op);
    WORLD_AWAIT(&w, w.counts[REDIS_COUNT_FAILURES] >= 2); /* it is tried, and does not greet */
    server_thaw(server);
    world_await_state(&w, REDIS_STATE_UP);
    CHECK_STR("(absent)", get_text(&w, "key"));
    world_close(&w);
    server_stop(server);
}

/* What the server's system had taken is carried out when the server goes on, reset or not; but then it is
 * before anything that is sent later. */
TEST(a_write_that_was_given_up_does_not_run_after_its_successor)
{
    struct redis_config config;
    char port[16];

    snprintf(port, sizeof(port), "%d", peer_listen(&peer, 1));
    close(peer.listener); /* the port is free */
    server = server_start("--port", port, "--bind", "127.0.0.1", (char *)NULL);
    config = config_for(peer.url);
    config.timeout_ms = 100;
    world_open_with(&w, &config);
    for (int i = 0; i < 5; i++) {
        CHECK_INT(REDIS_DONE, set_text(&w, "key", "first"));
        server_freeze(server);
        CHECK_INT(REDIS_UNKNOWN, status_of(&w, op_text(REDIS_SET, "key", "given up")));
        server_thaw(server);
        world_await_state(&w, REDIS_STATE_UP);
        CHECK_INT(REDIS_DONE, set_text(&w, "key", "last"));
        CHECK_STR("last", get_text(&w, "key"));
        CHECK_STR("last", server_command(server, "GET t:key"));
    }
    world_close(&w);
    server_stop(server);
}

/* We were stopped ourselves, longer than the server may take: its answer is there when we wake. */
TEST(an_answer_that_is_there_when_we_wake_late_counts)
{
    int pipes[2];
    pid_t child;
    char byte;

    server = server_start(NULL);
    REQUIRE(pipe(pipes) == 0);
    child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        struct redis_config config = config_for(server->url);
        int status;

        config.timeout_ms = 150;
        world_open_with(&w, &config);
        CHECK_STR("(absent)", get_text(&w, "none"));
        server_command(server, "CLIENT PAUSE 100 ALL");
        submit(&w, within(op_text(REDIS_GET, "none", NULL), 150));
        WORLD_AWAIT(&w, w.counts[REDIS_COUNT_COMMANDS] == 4);
        REQUIRE(write(pipes[1], "x", 1) == 1); /* stop me */
        status = (int)next_done(&w)->status;
        CHECK_INT(REDIS_ABSENT, status);
        CHECK_INT(0, counted(&w, REDIS_COUNT_DISCONNECTS));
        _exit(status != REDIS_ABSENT);
    }
    REQUIRE(read(pipes[0], &byte, 1) == 1);
    kill(child, SIGSTOP);
    peer_nap(400);
    kill(child, SIGCONT);
    {
        int status;

        REQUIRE(waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    server_stop(server);
}

/* The machine stands still, and with it the server, which has nothing to be blamed for. */
TEST(a_machine_that_stands_still_times_nothing_out)
{
    enum { STOPS = 5, STOPPED_MS = 300, TIMEOUT_MS = 150 };
    _Atomic bool *over =
        mmap(NULL, sizeof(*over), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status;
    pid_t child;

    REQUIRE(over != MAP_FAILED);
    server = server_start(NULL);
    child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        struct redis_config config = config_for(server->url);
        bool good = true;

        config.timeout_ms = TIMEOUT_MS;
        world_open_with(&w, &config);
        while (!*over && good) {
            struct redis_op *op =
                carry_out(&w, within(op_text(REDIS_GET, "none", NULL), TIMEOUT_MS));

            good = op->status == REDIS_ABSENT;
            if (!good)
                printf("%s\n", op->error);
            op_free(op);
        }
        good = good && counted(&w, REDIS_COUNT_DISCONNECTS) == 0;
        world_close(&w);
        _exit(!good);
    }
    for (int i = 0; i < STOPS; i++) {
        peer_nap(50);
        kill(child, SIGSTOP);
        server_freeze(server);
        peer_nap(STOPPED_MS);
        kill(child, SIGCONT);
        peer_nap(10);
        server_thaw(server);
    }
    peer_nap(50);
    *over = true;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    server_stop(server);
}

CHECK_MAIN()
