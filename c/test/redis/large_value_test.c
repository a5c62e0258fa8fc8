/* Large values that are given up, or take long, half sent. */
#include "redis/ops.h"
#include "redis/peer.h"

static struct world w;
static struct peer peer;

enum { LARGE = 24 << 20 };

/* Reads only when told to, and then everything, answering with +OK and what came. */
static void read_late(int fd, int number)
{
    const char *command;

    (void)number;
    if (!peer_greet(fd))
        return;
    peer_await_word();
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
    peer_may_go = true;
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
    peer_await_word();
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
    peer_may_go = true;
    world_close(&w);
    peer_stop(&peer);
    free(large);
}

static void close_when_told(int fd, int number)
{
    if (!peer_greet(fd))
        return;
    if (number == 0) {
        peer_await_word();
        return;
    }
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
    peer_may_go = true;
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
        peer_nap(20);
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

CHECK_MAIN()
