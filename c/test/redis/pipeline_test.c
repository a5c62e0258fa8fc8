/* Deadlines, and answers that are late, drip, or end halfway. */
#include "redis/ops.h"
#include "redis/peer.h"

static struct world w;
static struct peer peer;

/* -- Late answers -------------------------------------------------------------------------------- */

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
        if (!waited)
            peer_await_word();
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
    peer_may_go = true;
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
    peer_await_word();
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
    peer_may_go = true;
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
        peer_nap(100);
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
        peer_nap(20);
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
        peer_nap(50);
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

CHECK_MAIN()
