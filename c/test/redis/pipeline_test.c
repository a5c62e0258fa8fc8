/* Deadlines, late answers, stalls, and values that are given up half sent. */
#include "redis/ops.h"
#include "redis/peer.h"
#include "support/server.h"

static struct world w;
static struct server *server;
static struct peer peer;

static void nap_ms(long ms)
{
    const struct timespec nap = {ms / 1000, ms % 1000 * 1000000};

    nanosleep(&nap, NULL);
}

/* -- Late answers -------------------------------------------------------------------------------- */

static _Atomic bool answer_now;

/* Answers each GET with the key, but the first ones only when told to. */
static void answer_late(int fd, int number)
{
    char key[64];
    bool waited = false;
    const char *command;

    (void)number;
    if (!peer_greet(fd))
        return;
    while ((command = peer_command(fd))) {
        char text[128];

        if (sscanf(command, "GET t:%63s", key) != 1)
            continue;
        while (!waited && !answer_now)
            nap_ms(1);
        waited = true;
        snprintf(text, sizeof(text), "$%zu\r\n%s\r\n:-1\r\n", strlen(key), key);
        peer_send(fd, text);
    }
}

TEST(a_late_answer_is_dropped_and_never_anothers)
{
    struct redis_op *op;

    peer_start(&peer, answer_late);
    world_open(&w, peer.url); /* patient: the connection is not given up */
    submit(&w, within(op_text(REDIS_GET, "first", NULL), 300));
    submit(&w, within(op_text(REDIS_GET, "second", NULL), 30000));
    submit(&w, within(op_text(REDIS_GET, "third", NULL), 300));
    for (int i = 0; i < 2; i++) {
        op = next_done(&w);
        CHECK_INT(REDIS_TIMEOUT, op->status);
        CHECK(op->may_have_run && op->sent_ms > 0);
        CHECK(strstr(op->error, ": no answer in ") != NULL);
        CHECK_STR(i ? "third" : "first", op->key);
        op_free(op);
    }
    answer_now = true;
    op = next_done(&w);
    CHECK_INT(REDIS_DONE, op->status);
    CHECK_INT(6, op->reply_length);
    CHECK_MEM("second", op->reply, 6);
    op_free(op);
    CHECK_STR("fourth", get_text(&w, "fourth"));
    CHECK_INT(4, counted(&w, REDIS_COUNT_LATE_REPLIES));
    CHECK_INT(2, counted(&w, REDIS_COUNT_TIMEOUTS));
    CHECK_INT(1, counted(&w, REDIS_COUNT_CONNECTS));
    CHECK_INT(0, counted(&w, REDIS_COUNT_DISCONNECTS));
    world_close(&w);
    peer_stop(&peer);
}

static void answer_half(int fd, int number)
{
    (void)number;
    if (!peer_greet(fd))
        return;
    peer_command(fd);
    peer_send(fd, "$1\r\nv\r\n"); /* the GET's, without the PTTL's */
    while (!answer_now)
        nap_ms(1);
    peer_command(fd);
    peer_send(fd, ":5\r\n");
    peer_command(fd);
    peer_send(fd, ":1\r\n");
    peer_drain(fd);
}

TEST(one_of_two_answers_is_none)
{
    struct redis_op *op;

    peer_start(&peer, answer_half);
    world_open(&w, peer.url);
    op = carry_out(&w, within(op_text(REDIS_GET, "key", NULL), 50));
    CHECK_INT(REDIS_TIMEOUT, op->status);
    CHECK(op->reply == NULL);
    op_free(op);
    answer_now = true;
    op = carry_out(&w, op_text(REDIS_EXISTS, "key", NULL));
    CHECK_INT(REDIS_DONE, op->status);
    CHECK_INT(1, op->integer);
    op_free(op);
    CHECK_INT(1, counted(&w, REDIS_COUNT_LATE_REPLIES));
    world_close(&w);
    peer_stop(&peer);
}

static void drip(int fd, int number)
{
    static const char answer[] = "$10\r\n0123456789\r\n:77\r\n";

    (void)number;
    if (!peer_greet(fd))
        return;
    peer_command(fd);
    peer_command(fd);
    for (size_t i = 0; i < sizeof(answer) - 1; i++) {
        nap_ms(100);
        peer_send_bytes(fd, answer + i, 1);
    }
    peer_drain(fd);
}

TEST(an_answer_that_drips_is_waited_for)
{
    struct redis_config config;
    struct redis_op *op;

    peer_start(&peer, drip);
    config = config_for(peer.url);
    config.timeout_ms = 2000; /* a byte within this; all of them take longer */
    world_open_with(&w, &config);
    op = carry_out(&w, op_text(REDIS_GET, "key", NULL));
    CHECK_INT(REDIS_DONE, op->status);
    CHECK_MEM("0123456789", op->reply, 10);
    CHECK_INT(77, op->pttl_ms);
    op_free(op);
    world_close(&w);
    peer_stop(&peer);
}

static void drip_for_ever(int fd, int number)
{
    bool gone = false;

    if (number || !peer_greet(fd))
        return;
    peer_command(fd);
    peer_command(fd);
    peer_send(fd, "$1000000\r\n");
    while (!gone) {
        nap_ms(20);
        gone = send(fd, "x", 1, MSG_NOSIGNAL) != 1;
    }
}

TEST(a_server_that_drips_for_ever_is_given_up)
{
    struct redis_config config;
    struct redis_op *op;

    peer_start(&peer, drip_for_ever);
    config = config_for(peer.url);
    config.timeout_ms = 250;
    world_open_with(&w, &config);
    op = carry_out(&w, within(op_text(REDIS_GET, "key", NULL), 600000));
    CHECK_INT(REDIS_UNKNOWN, op->status);
    CHECK(strstr(op->error, "no answer in") != NULL);
    op_free(op);
    world_close(&w);
    peer_stop(&peer);
}

enum { LONG_ANSWER = 240000, PIECE = 4000 };

static void answer_piecemeal(int fd, int number)
{
    char piece[PIECE], head[32];

    if (number || !peer_greet(fd))
        return;
    peer_command(fd);
    peer_command(fd);
    memset(piece, 'x', sizeof(piece));
    snprintf(head, sizeof(head), "$%d\r\n", LONG_ANSWER);
    peer_send(fd, head);
    for (int i = 0; i < LONG_ANSWER / PIECE; i++) {
        nap_ms(50);
        peer_send_bytes(fd, piece, PIECE);
    }
    peer_send(fd, "\r\n:-1\r\n");
    peer_drain(fd);
}

TEST(a_long_answer_that_gets_on_is_waited_for)
{
    struct redis_config config;
    struct redis_op *op;

    peer_start(&peer, answer_piecemeal);
    config = config_for(peer.url);
    config.timeout_ms = 1000; /* the whole takes three times as long */
    world_open_with(&w, &config);
    op = carry_out(&w, within(op_text(REDIS_GET, "key", NULL), 600000));
    CHECK_INT(REDIS_DONE, op->status);
    CHECK_INT(LONG_ANSWER, op->reply_length);
    op_free(op);
    world_close(&w);
    peer_stop(&peer);
}

static void close_halfway(int fd, int number)
{
    if (!peer_greet(fd))
        return;
    if (number == 0) {
        for (int i = 0; i < 3; i++)
            peer_command(fd);
        peer_send(fd, "$10\r\n01234");
        return;
    }
    while (peer_command(fd))
        peer_send(fd, ":1\r\n");
}

TEST(half_an_answer_and_then_the_end)
{
    struct redis_op *op;

    peer_start(&peer, close_halfway);
    world_open(&w, peer.url);
    redis_submit(w.client, op_text(REDIS_GET, "key", NULL), true);
    submit(&w, op_text(REDIS_EXISTS, "key", NULL));
    for (int i = 0; i < 2; i++) {
        op = next_done(&w);
        CHECK_INT(REDIS_UNKNOWN, op->status);
        CHECK(op->may_have_run);
        CHECK(strstr(op->error, ": the server closed the connection") ||
              strstr(op->error, ": connection reset by peer"));
        op_free(op);
    }
    world_await_state(&w, REDIS_STATE_UP);
    CHECK_INT(REDIS_DONE, status_of(&w, op_text(REDIS_EXISTS, "key", NULL)));
    world_close(&w);
    peer_stop(&peer);
}

static void garbage_then_more(int fd, int number)
{
    if (!peer_greet(fd) || number)
        return;
    peer_command(fd);
    peer_command(fd);
    peer_command(fd);
    peer_send(fd, ":1\r\n!?\r\n:1\r\n");
    peer_drain(fd);
}

TEST(garbage_is_the_heads_and_makes_the_rest_unknown)
{
    static const enum redis_status expected[] = {REDIS_DONE, REDIS_GARBAGE, REDIS_UNKNOWN};

    peer_start(&peer, garbage_then_more);
    world_open(&w, peer.url);
    for (int i = 0; i < 3; i++)
        redis_submit(w.client, op_text(REDIS_EXISTS, "key", NULL), i < 2);
    for (int i = 0; i < 3; i++) {
        struct redis_op *op = next_done(&w);

        CHECK_INT(expected[i], op->status);
        op_free(op);
    }
    world_close(&w);
    peer_stop(&peer);
}

/* -- Stalls -------------------------------------------------------------------------------------- */

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
    nap_ms(400);
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
        nap_ms(50);
        kill(child, SIGSTOP);
        server_freeze(server);
        nap_ms(STOPPED_MS);
        kill(child, SIGCONT);
        nap_ms(10);
        server_thaw(server);
    }
    nap_ms(50);
    *over = true;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    server_stop(server);
}

/* -- Large values -------------------------------------------------------------------------------- */

enum { LARGE = 24 << 20 };

/* Reads only when told to, and then everything, answering with +OK and what came. */
static void read_late(int fd, int number)
{
    const char *command;

    (void)number;
    if (!peer_greet(fd))
        return;
    while (!answer_now)
        nap_ms(1);
    while ((command = peer_command(fd)))
        peer_send(fd, strncmp(command, "SET", 3) == 0 ? "+OK\r\n" : ":1\r\n");
}

TEST(a_value_given_up_half_sent_is_sent_to_its_end)
{
    char *large = malloc(LARGE);
    struct redis_op *op;

    memset(large, 'x', LARGE);
    peer_start(&peer, read_late);
    world_open(&w, peer.url);
    submit(&w, within(op_of(REDIS_SET, "large", 5, large, LARGE), 1000));
    submit(&w, op_text(REDIS_EXISTS, "key", NULL));
    op = next_done(&w);
    CHECK_INT(REDIS_TIMEOUT, op->status);
    CHECK(op->may_have_run);
    op_free(op); /* the rest of the value is in nobody else's hands now */
    answer_now = true;
    op = next_done(&w);
    CHECK_INT(REDIS_DONE, op->status);
    CHECK_INT(1, op->integer);
    op_free(op);
    CHECK_INT(1, counted(&w, REDIS_COUNT_LATE_REPLIES));
    CHECK(counted(&w, REDIS_COUNT_BYTES_OUT) > LARGE);
    world_close(&w);
    peer_stop(&peer);
    free(large);
}

static void never_read(int fd, int number)
{
    (void)number;
    if (!peer_greet(fd))
        return;
    while (!answer_now)
        nap_ms(1);
}

TEST(a_server_that_takes_nothing_is_given_up)
{
    char *large = calloc(1, LARGE);
    struct redis_config config;
    struct redis_op *op;

    peer_start(&peer, never_read);
    config = config_for(peer.url);
    config.timeout_ms = 300;
    world_open_with(&w, &config);
    submit(&w, op_of(REDIS_SET, "large", 5, large, LARGE));
    submit(&w, op_text(REDIS_EXISTS, "key", NULL));
    op = next_done(&w);
    CHECK_INT(REDIS_UNKNOWN, op->status);
    CHECK(strstr(op->error, ": no answer in 300 ms") != NULL);
    op_free(op);
    op = next_done(&w);
    CHECK_INT(REDIS_UNSENT, op->status); /* it waited behind the large one */
    CHECK(!op->may_have_run);
    op_free(op);
    answer_now = true;
    world_close(&w);
    peer_stop(&peer);
    free(large);
}

static void close_when_told(int fd, int number)
{
    if (!peer_greet(fd))
        return;
    while (number == 0 && !answer_now)
        nap_ms(1);
    if (number == 0)
        return;
    CHECK_STR("EXISTS t:key", peer_command(fd));
    peer_send(fd, ":1\r\n");
    peer_drain(fd);
}

TEST(the_rest_of_a_value_is_not_sent_on_the_next_connection)
{
    char *large = calloc(1, LARGE);

    peer_start(&peer, close_when_told);
    world_open(&w, peer.url);
    CHECK_INT(REDIS_TIMEOUT,
              status_of(&w, within(op_of(REDIS_SET, "large", 5, large, LARGE), 1000)));
    clock_shift(5000); /* as if it had been up for long */
    answer_now = true;
    WORLD_AWAIT(&w, w.counts[REDIS_COUNT_CONNECTS] == 2);
    world_await_state(&w, REDIS_STATE_UP);
    CHECK_INT(REDIS_DONE, status_of(&w, op_text(REDIS_EXISTS, "key", NULL)));
    world_close(&w);
    peer_stop(&peer);
    free(large);
}

/* Takes a little at a time: all of it takes much longer than anybody may be silent, and so does what the
 * system keeps on the way. */
enum { LONG = 6 << 20 };

static void read_slowly(int fd, int number)
{
    static char bytes[128 << 10];
    size_t left = LONG + strlen("*3\r\n$3\r\nSET\r\n$7\r\nt:large\r\n$6291456\r\n\r\n");
    ssize_t n;
    int size = 64 << 10;

    (void)number;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    if (!peer_greet(fd))
        return;
    do {
        nap_ms(20);
        n = recv(fd, bytes, left < sizeof(bytes) ? left : sizeof(bytes), 0);
        left -= n > 0 ? (size_t)n : 0;
    } while (n > 0 && left);
    peer_send(fd, "+OK\r\n");
    peer_command(fd);
    peer_send(fd, ":1\r\n");
    peer_drain(fd);
}

TEST(a_value_that_takes_long_to_send_is_no_stall)
{
    char *large = calloc(1, LONG);
    struct redis_config config;
    struct redis_op *op;
    int64_t begin_ms = clock_now_ms();

    peer_start(&peer, read_slowly);
    config = config_for(peer.url);
    config.timeout_ms = 150;
    world_open_with(&w, &config);
    submit(&w, op_of(REDIS_SET, "large", 5, large, LONG));
    submit(&w, op_text(REDIS_EXISTS, "key", NULL));
    for (int i = 0; i < 2; i++) {
        op = next_done(&w);
        if (!CHECK_INT(REDIS_DONE, op->status))
            printf("%s after %lld ms\n", op->error, (long long)(clock_now_ms() - begin_ms));
        op_free(op);
    }
    CHECK(clock_now_ms() - begin_ms > 600); /* else this was no test */
    world_close(&w);
    peer_stop(&peer);
    free(large);
}

static void answer_early(int fd, int number)
{
    char byte[1];

    if (!peer_greet(fd))
        return;
    if (number == 0) {
        peer_read(fd, byte, 1);
        peer_send(fd, "-ERR Protocol error: invalid bulk length\r\n");
        peer_drain(fd);
        return;
    }
    while (peer_command(fd))
        peer_send(fd, ":1\r\n");
}

TEST(an_answer_to_half_a_command_ends_the_connection)
{
    char *large = calloc(1, LARGE);
    struct redis_op *op;

    peer_start(&peer, answer_early);
    world_open(&w, peer.url);
    op = carry_out(&w, op_of(REDIS_SET, "large", 5, large, LARGE));
    CHECK_INT(REDIS_REFUSED, op->status);
    CHECK(strstr(op->error, "invalid bulk length") != NULL);
    op_free(op);
    world_await_state(&w, REDIS_STATE_DOWN);
    world_await_state(&w, REDIS_STATE_UP);
    CHECK_INT(REDIS_DONE, status_of(&w, op_text(REDIS_EXISTS, "key", NULL)));
    world_close(&w);
    peer_stop(&peer);
    free(large);
}

static void close_in_the_middle(int fd, int number)
{
    char bytes[1000];

    (void)number;
    if (peer_greet(fd))
        peer_read(fd, bytes, sizeof(bytes));
}

TEST(a_broken_pipe_kills_nobody)
{
    char *large = calloc(1, LARGE);
    struct redis_op *op;

    signal(SIGPIPE, SIG_DFL);
    peer_start(&peer, close_in_the_middle);
    world_open(&w, peer.url);
    for (int i = 0; i < 5; i++) {
        op = op_of(REDIS_SET, "large", 5, large, LARGE);
        if (redis_submit(w.client, op, false) == REDIS_ACCEPTED)
            CHECK(next_done(&w)->status >= REDIS_UNSENT);
        op_free(op);
        world_await_state(&w, REDIS_STATE_UP);
    }
    world_close(&w);
    peer_stop(&peer);
    free(large);
}

/* -- Two steps ----------------------------------------------------------------------------------- */

static void page_only(int fd, int number)
{
    const char *command;

    (void)number;
    if (!peer_greet(fd))
        return;
    while ((command = peer_command(fd))) {
        if (strncmp(command, "SCAN", 4) == 0)
            peer_send(fd, "*2\r\n$1\r\n0\r\n*1\r\n$3\r\nt:a\r\n");
        else if (strncmp(command, "EXISTS", 6) == 0)
            peer_send(fd, ":1\r\n");
        else if (strncmp(command, "UNLINK", 6) == 0)
            peer_command(fd); /* its answer stays out, and that of the next one as well */
    }
}

TEST(both_steps_are_within_one_deadline)
{
    struct redis_op *op;

    peer_start(&peer, page_only);
    world_open(&w, peer.url);
    op = carry_out(&w, within(op_text(REDIS_SCAN_UNLINK, NULL, "0"), 80));
    CHECK_INT(REDIS_TIMEOUT, op->status);
    CHECK(op->may_have_run);
    CHECK(op->reply == NULL);
    op_free(op);
    world_close(&w);
    peer_stop(&peer);
}

TEST(operations_submitted_later_may_come_in_between)
{
    struct redis_op *op;
    int64_t gone = 0;

    server = server_start(NULL);
    world_open(&w, server->url);
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
    world_close(&w);
    server_stop(server);
}

CHECK_MAIN()
