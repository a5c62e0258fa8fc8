/* Answers of all kinds, right and wrong, from a scripted server. */
#include "redis/ops.h"
#include "redis/peer.h"

static struct world w;
static struct peer peer;

/* What the server sends to the operation's command or commands, and what is to come of it. */
static struct {
    const char *answer;
    size_t commands;
} play;

static void answer_once(int fd, int number)
{
    (void)number;
    if (!peer_greet(fd))
        return;
    for (size_t i = 0; i < play.commands; i++)
        peer_command(fd);
    peer_send(fd, play.answer);
    peer_drain(fd);
}

/* Carries out an operation on a new connection that gets this answer. */
static struct redis_op *answered(struct redis_op *op, const char *answer)
{
    struct redis_op *over;

    play.answer = answer;
    play.commands = op->kind == REDIS_GET ? 2 : 1;
    peer_start(&peer, answer_once);
    world_open(&w, peer.url);
    over = carry_out(&w, op);
    world_close(&w);
    peer_stop(&peer);
    return over;
}

TEST(answers_that_make_sense)
{
    struct redis_op *op = answered(op_text(REDIS_GET, "k", NULL), "$1\r\nv\r\n:17\r\n");

    CHECK_INT(REDIS_DONE, op->status);
    CHECK_INT(17, op->pttl_ms);
    CHECK_MEM("v", op->reply, 1);
    op_free(op);
    op = answered(op_text(REDIS_GET, "k", NULL), "$1\r\nv\r\n:-2\r\n"); /* expired in between */
    CHECK_INT(REDIS_DONE, op->status);
    CHECK_INT(-2, op->pttl_ms);
    op_free(op);
    op = answered(op_text(REDIS_GET, "k", NULL), "$-1\r\n:-1\r\n"); /* set in between */
    CHECK_INT(REDIS_ABSENT, op->status);
    CHECK(op->reply == NULL);
    op_free(op);
    op = answered(op_text(REDIS_SCAN, NULL, "0"), "*2\r\n$20\r\n18446744073709551615\r\n*0\r\n");
    CHECK_INT(REDIS_DONE, op->status);
    CHECK_STR("18446744073709551615,", items_of(op));
    op_free(op);
}

TEST(answers_to_those_who_want_a_lock)
{
    static const char *const wrong[] = {
        ":1\r\n",
        "*0\r\n",
        "*1\r\n:0\r\n",
        "*1\r\n:2\r\n",
        "*1\r\n:4\r\n",
        "*1\r\n:-1\r\n",
        "*1\r\n$1\r\n1\r\n",
        "*2\r\n:2\r\n:1\r\n",
        "*2\r\n:1\r\n:1\r\n",
        "*3\r\n:0\r\n$15\r\n0123456789abcde\r\n:7\r\n",
        "*3\r\n:0\r\n$16\r\n0123456789abcdef\r\n$1\r\n7\r\n",
    };
    struct redis_op *op = answered(op_text(REDIS_LOCK, "k", NULL), "*1\r\n:1\r\n");

    CHECK_INT(REDIS_DONE, op->status);
    CHECK_INT(REDIS_LOCK_TAKEN, op->integer);
    op_free(op);
    op = answered(op_text(REDIS_LOCK, "k", NULL), "*3\r\n:0\r\n$16\r\n0123456789abcdef\r\n:-1\r\n");
    CHECK_INT(REDIS_LOCK_HELD, op->integer);
    CHECK_MEM("0123456789abcdef", op->holder, REDIS_TOKEN);
    CHECK_INT(-1, op->pttl_ms);
    op_free(op);
    op = answered(op_text(REDIS_LOCK, "k", NULL), "*2\r\n:2\r\n$4\r\n4why\r\n");
    CHECK_INT(REDIS_LOCK_LEFT, op->integer);
    CHECK_INT(4, op->reply_length);
    CHECK_MEM("4why", op->reply, 4);
    op_free(op);
    op = answered(op_text(REDIS_UNLOCK, "k", ""), ":1\r\n");
    CHECK_INT(REDIS_DONE, op->status);
    op_free(op);
    op = answered(op_text(REDIS_UNLOCK, "k", ""), ":2\r\n");
    CHECK_INT(REDIS_GARBAGE, op->status);
    op_free(op);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        op = answered(op_text(REDIS_LOCK, "k", NULL), wrong[i]);
        CHECK_INT(REDIS_GARBAGE, op->status);
        op_free(op);
    }
}

TEST(keys_that_were_not_asked_for_are_left_out)
{
    struct redis_op *op =
        answered(op_text(REDIS_SCAN, "*", "0"),
                 "*2\r\n$1\r\n9\r\n*6\r\n$3\r\nt:a\r\n$3\r\nu:a\r\n$1\r\nt\r\n$0\r\n\r\n"
                 "$10\r\nt:#tandem:\r\n$9\r\nt:#tandem\r\n");

    CHECK_INT(REDIS_DONE, op->status);
    CHECK_STR("9,a,#tandem,", items_of(op));
    op_free(op);
}

static void unlink_page(int fd, int number)
{
    const char *command;

    (void)number;
    if (!peer_greet(fd))
        return;
    CHECK_STR("SCAN 0 MATCH t:* COUNT 500", peer_command(fd));
    peer_send(
        fd, "*2\r\n$1\r\n9\r\n*4\r\n$3\r\nt:a\r\n$3\r\nu:a\r\n$11\r\nt:#tandem:x\r\n$2\r\nt:\r\n");
    command = peer_command(fd);
    CHECK_STR("UNLINK t:a t:#tandem:x t:", command);
    peer_send(fd, play.answer);
    peer_drain(fd);
}

static struct redis_op *unlinked(const char *answer)
{
    struct redis_op *op;

    play.answer = answer;
    peer_start(&peer, unlink_page);
    world_open(&w, peer.url);
    op = carry_out(&w, op_text(REDIS_SCAN_UNLINK, NULL, "0"));
    world_close(&w);
    peer_stop(&peer);
    return op;
}

TEST(keys_that_were_not_asked_for_are_not_unlinked)
{
    struct redis_op *op = unlinked(":2\r\n");

    CHECK_INT(REDIS_DONE, op->status);
    CHECK_INT(2, op->integer);
    CHECK_STR("9,a,#tandem:x,,", items_of(op));
    op_free(op);
}

TEST(the_second_answer_of_an_unlinking_scan_may_be_wrong_too)
{
    struct redis_op *op = unlinked("$1\r\n2\r\n");

    CHECK_INT(REDIS_GARBAGE, op->status);
    CHECK(op->may_have_run);
    CHECK(op->reply == NULL);
    op_free(op);
    op = unlinked(":-1\r\n");
    CHECK_INT(REDIS_GARBAGE, op->status);
    op_free(op);
    op = unlinked("-NOPERM no\r\n");
    CHECK_INT(REDIS_REFUSED, op->status);
    CHECK(op->reply == NULL);
    op_free(op);
}

TEST(what_depends_on_what_is_there_is_answered_by_yes_no_or_a_number)
{
    static const struct {
        enum redis_kind kind;
        const char *answer;
        enum redis_status status;
        double number;
    } rows[] = {
        {REDIS_ADD, "+OK\r\n", REDIS_DONE, 0},
        {REDIS_ADD, "$-1\r\n", REDIS_ABSENT, 0},
        {REDIS_REPLACE, "*-1\r\n", REDIS_ABSENT, 0},
        {REDIS_INCR, ":-7\r\n", REDIS_DONE, -7},
        {REDIS_INCR, "$4\r\n0.25\r\n", REDIS_DONE, 0.25},
        {REDIS_INCR, "$-1\r\n", REDIS_ABSENT, 0},
        {REDIS_EXPIRE, ":0\r\n:1\r\n", REDIS_DONE, 0},
        {REDIS_INCR, "-ERR value is not a valid float\r\n", REDIS_REFUSED, 0},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct redis_op *op = answered(op_text(rows[i].kind, "k", "v"), rows[i].answer);

        CHECK_INT(rows[i].status, op->status);
        CHECK(op->number == rows[i].number);
        CHECK_INT(rows[i].kind == REDIS_EXPIRE, op->integer);
        op_free(op);
    }
}

struct row {
    enum redis_kind kind;
    const char *answer;
};

static const struct row senseless[] = {
    {REDIS_GET, ":1\r\n:1\r\n"},
    {REDIS_GET, "+OK\r\n:1\r\n"},
    {REDIS_GET, "*0\r\n:1\r\n"},
    {REDIS_GET, "$1\r\nv\r\n$1\r\n1\r\n"},
    {REDIS_GET, "$1\r\nv\r\n$-1\r\n"},
    {REDIS_GET, "$1\r\nv\r\n:-3\r\n"},
    {REDIS_EXISTS, ":2\r\n"},
    {REDIS_EXISTS, ":-1\r\n"},
    {REDIS_EXISTS, "$1\r\n1\r\n"},
    {REDIS_PTTL, ":-3\r\n"},
    {REDIS_PTTL, "+OK\r\n"},
    {REDIS_SET, ":1\r\n"},
    {REDIS_SET, "+QUEUED\r\n"},
    {REDIS_SET, "$-1\r\n"},
    {REDIS_SET, "$2\r\nOK\r\n"},
    {REDIS_DELETE, ":2\r\n"},
    {REDIS_DELETE, "+OK\r\n"},
    {REDIS_ADD, ":1\r\n"},
    {REDIS_REPLACE, "+QUEUED\r\n"},
    {REDIS_INCR, "+OK\r\n"},
    {REDIS_INCR, "*0\r\n"},
    {REDIS_INCR, "$3\r\nnan\r\n"},
    {REDIS_INCR, "$0\r\n\r\n"},
    {REDIS_EXPIRE, ":0\r\n:2\r\n"},
    {REDIS_EXPIRE, ":-1\r\n:1\r\n"},
    {REDIS_SCAN, "*0\r\n"},
    {REDIS_SCAN, "*-1\r\n"},
    {REDIS_SCAN, "*1\r\n$1\r\n0\r\n"},
    {REDIS_SCAN, "*2\r\n$1\r\n0\r\n$1\r\n0\r\n"},
    {REDIS_SCAN, "*2\r\n:0\r\n*0\r\n"},
    {REDIS_SCAN, "*2\r\n$-1\r\n*0\r\n"},
    {REDIS_SCAN, "*2\r\n$0\r\n\r\n*0\r\n"},
    {REDIS_SCAN, "*2\r\n$2\r\n1x\r\n*0\r\n"},
    {REDIS_SCAN, "*2\r\n$21\r\n111111111111111111111\r\n*0\r\n"},
    {REDIS_SCAN, "*2\r\n$1\r\n0\r\n*1\r\n:1\r\n"},
    {REDIS_SCAN, "*2\r\n$1\r\n0\r\n*1\r\n$-1\r\n"},
    {REDIS_SCAN, "*2\r\n$1\r\n0\r\n*1\r\n*1\r\n$3\r\nt:a\r\n"},
    {REDIS_SCAN_UNLINK, "*2\r\n$1\r\n0\r\n*1\r\n:1\r\n"},
};

TEST(answers_that_make_no_sense_are_garbage)
{
    char server[64];

    for (size_t i = 0; i < sizeof(senseless) / sizeof(senseless[0]); i++) {
        struct redis_op *op = answered(op_text(senseless[i].kind, "k", "0"), senseless[i].answer);

        if (!CHECK_INT(REDIS_GARBAGE, op->status))
            printf("%s\n", senseless[i].answer);
        snprintf(server, sizeof(server), "redis 127.0.0.1:%d/0: ", peer.port);
        if (!CHECK(strncmp(op->error, server, strlen(server)) == 0))
            printf("%s\n", op->error);
        CHECK(op->reply == NULL);
        CHECK(op->may_have_run);
        op_free(op);
    }
}

static const char *const not_redis[] = {
    "HTTP/1.1 400 Bad Request\r\n\r\n",
    "\r\n",
    "?\r\n",
    "$x\r\n",
    "$-2\r\n",
    "$99999999999999999999\r\n",
    "*-2\r\n",
    ":x\r\n",
    ":99999999999999999999999\r\n",
    "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
    ">1\r\n+x\r\n",
};

TEST(what_is_not_the_protocol_is_garbage)
{
    for (size_t i = 0; i < sizeof(not_redis) / sizeof(not_redis[0]); i++) {
        struct redis_op *op = answered(op_text(REDIS_SET, "k", "v"), not_redis[i]);

        if (!CHECK_INT(REDIS_GARBAGE, op->status))
            printf("%s: %s\n", not_redis[i], op->error);
        op_free(op);
    }
}

TEST(an_array_of_a_length_that_no_answer_has_is_not_made)
{
    struct redis_op *op = answered(op_text(REDIS_SCAN, NULL, "0"), "*2147483647\r\n");

    CHECK(op->status == REDIS_UNKNOWN || op->status == REDIS_GARBAGE);
    op_free(op);
}

TEST(errors_are_passed_on_made_printable)
{
    struct redis_op *op =
        answered(op_text(REDIS_SET, "k", "v"), "-READONLY You can't\x1b[31m\xc3\xa9\r\n");
    char expected[100];

    CHECK_INT(REDIS_REFUSED, op->status);
    snprintf(expected, sizeof(expected), "redis 127.0.0.1:%d/0: READONLY You can't?[31m??",
             peer.port);
    CHECK_STR(expected, op->error);
    op_free(op);
    /* Of two answers the first that says no has the last word. */
    op = answered(op_text(REDIS_GET, "k", NULL), "-FIRST a\r\n-SECOND b\r\n");
    CHECK_INT(REDIS_REFUSED, op->status);
    CHECK(strstr(op->error, "FIRST") != NULL);
    op_free(op);
    op = answered(op_text(REDIS_GET, "k", NULL), "$1\r\nv\r\n-SECOND b\r\n");
    CHECK_INT(REDIS_REFUSED, op->status);
    CHECK(op->reply == NULL);
    op_free(op);
    op = answered(op_text(REDIS_GET, "k", NULL), "-FIRST a\r\n:1\r\n");
    CHECK_INT(REDIS_REFUSED, op->status);
    op_free(op);
}

CHECK_MAIN()
