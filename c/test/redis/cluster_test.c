/* Nodes of a cluster that say this and that, as a test scripts them: two, of which each answers EXISTS with another
 * number. */
#include "redis/ops.h"
#include "redis/peer.h"
#include "redis/slot.h"

enum { TWO = 2 };

static struct world w;
static struct peer nodes[TWO];

/* What a node says; "": nothing out of the ordinary.  %d in them is the other one's port. */
static struct scripted {
    _Atomic(const char *) slots, info, exists;
    _Atomic int maps, asked;
    _Atomic bool slow; /* does not answer the second SET */
    char values[8];    /* of the SETs that came, the first byte of each */
    _Atomic int sets;
} play[TWO];

static const struct timespec nap = {0, 1000000};
static const char well[] = "cluster_enabled:1\r\ncluster_state:ok\r\ncluster_current_epoch:7\r\n";

/* -- Scripts --------------------------------------------------------------------------------------- */

static void say_bulk(int fd, const char *text)
{
    char reply[400];

    snprintf(reply, sizeof(reply), "$%zu\r\n%s\r\n", strlen(text), text);
    peer_send(fd, reply);
}

static void say_with_port(int fd, const char *format, int port)
{
    char reply[400];

    snprintf(reply, sizeof(reply), format, port);
    peer_send(fd, reply);
}

static void be_node(int fd, int which)
{
    struct scripted *s = play + which;
    const char *command;
    bool asking = false;

    while ((command = peer_command(fd))) {
        if (strcmp(command, "PING") == 0) {
            peer_send(fd, "+PONG\r\n");
        } else if (strcmp(command, "CLUSTER INFO") == 0) {
            say_bulk(fd, s->info);
        } else if (strcmp(command, "CLUSTER SLOTS") == 0) {
            s->maps++;
            say_with_port(fd, s->slots, nodes[0].port);
        } else if (strcmp(command, "ASKING") == 0) {
            asking = true;
            peer_send(fd, "+OK\r\n");
            continue;
        } else if (strncmp(command, "SET t:key ", 10) == 0) {
            s->values[s->sets] = command[10];
            s->sets++;
            while (s->sets == 2 && s->slow)
                nanosleep(&nap, NULL);
            say_with_port(fd, s->exists, nodes[1].port);
        } else if (asking) {
            s->asked++;
            peer_send(fd, ":1\r\n");
        } else {
            say_with_port(fd, s->exists, nodes[1].port);
        }
        asking = false;
    }
}

static void be_first(int fd, int number)
{
    (void)number;
    be_node(fd, 0);
}

static void be_second(int fd, int number)
{
    (void)number;
    be_node(fd, 1);
}

/* -- The scene ------------------------------------------------------------------------------------- */

/* All slots but the last are the first one's, whose address nobody tells. */
static const char all[] = "*1\r\n*3\r\n:0\r\n:16382\r\n*2\r\n$-1\r\n:%d\r\n";

/* mapped: the nodes are told of as 10.0.0.1 and 10.0.0.2. */
static void open_scene_as(bool mapped)
{
    struct redis_config config;
    char url[64], map[200];

    for (int i = 0; i < TWO; i++) {
        play[i].slots = all;
        play[i].info = well;
        play[i].exists = i ? ":1\r\n" : ":0\r\n";
        play[i].maps = play[i].asked = play[i].sets = 0;
        play[i].slow = false;
        memset(play[i].values, 0, sizeof(play[i].values));
        peer_start(nodes + i, i ? be_second : be_first);
    }
    snprintf(url, sizeof(url), "redis+cluster://127.0.0.1:%d", nodes[0].port);
    config = config_for(url);
    snprintf(map, sizeof(map), "10.0.0.1:%d=127.0.0.1:%d,10.0.0.2:%d=127.0.0.1:%d", nodes[0].port,
             nodes[0].port, nodes[1].port, nodes[1].port);
    config.address_map = mapped ? map : NULL;
    world_open_with(&w, &config);
}

static void open_scene(void)
{
    open_scene_as(false);
}

static void close_scene(void)
{
    world_close(&w);
    for (int i = 0; i < TWO; i++)
        peer_stop(nodes + i);
}

/* Which node answers; or -1, with the reason in error. */
static int asked(int64_t within_ms, char *error, size_t size)
{
    struct redis_op *op = op_text(REDIS_EXISTS, "key", NULL);
    int which = -1;

    op->deadline_ms = clock_now_ms() + within_ms;
    if (redis_submit(w.client, op, false) == REDIS_ACCEPTED) {
        op = next_done(&w);
        which = op->status == REDIS_DONE ? (int)op->integer : -1;
    }
    snprintf(error, size, "%s", op->error);
    op_free(op);
    return which;
}

static int node_of(void)
{
    char error[256];

    return asked(10000, error, sizeof(error));
}

/* -- Tests ----------------------------------------------------------------------------------------- */

TEST(a_node_whose_address_is_not_told_is_where_it_was_asked)
{
    open_scene();
    CHECK_INT(0, node_of());
    CHECK_INT(1, play[0].maps);
    CHECK_INT(0, nodes[1].connections);
    close_scene();
}

TEST(what_has_moved_is_asked_of_the_other_and_the_map_once)
{
    open_scene();
    CHECK_INT(0, node_of());
    play[0].exists = "-MOVED 8249 127.0.0.1:%d\r\n"; /* the slot of t:key */
    CHECK_INT(1, node_of());
    CHECK_INT(0, counted(&w, REDIS_COUNT_ERRORS));
    close_scene();
}

/* Of slots that have another owner, or none; by the map, not by whoever sends something elsewhere. */
TEST(another_map_tells_which_lanes_have_moved)
{
    open_scene();
    CHECK_INT(0, node_of());
    play[0].slots = "*1\r\n*3\r\n:0\r\n:8191\r\n*2\r\n$-1\r\n:%d\r\n";
    play[0].exists = "-MOVED 8249 127.0.0.1:%d\r\n";
    CHECK_INT(1, node_of());
    WORLD_AWAIT(&w, lanes_any(&w.moved));
    for (unsigned lane = 0; lane < LANES; lane++)
        CHECK_INT(lane >= LANES / 2, lanes_has(&w.moved, lane));
    close_scene();
}

TEST(addresses_that_nodes_have_among_themselves_are_mapped)
{
    open_scene_as(true);
    play[0].slots = "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$8\r\n10.0.0.1\r\n:%d\r\n";
    CHECK_INT(0, node_of());
    CHECK_INT(1, nodes[0].connections);
    play[0].exists = "-ASK 8249 10.0.0.2:%d\r\n";
    CHECK_INT(1, node_of());
    CHECK_INT(1, play[1].asked);
    play[0].exists = "-MOVED 8249 10.0.0.2:%d\r\n";
    CHECK_INT(1, node_of());
    close_scene();
}

TEST(where_a_host_is_left_out_it_is_the_same)
{
    open_scene();
    play[0].exists = "-MOVED 8249 :%d\r\n";
    CHECK_INT(1, node_of());
    close_scene();
}

TEST(what_is_sent_on_for_once_goes_there_with_asking)
{
    open_scene();
    play[0].exists = "-ASK 8249 127.0.0.1:%d\r\n";
    play[1].exists = ":0\r\n"; /* but for what is asked so */
    for (int i = 1; i <= 3; i++) {
        CHECK_INT(1, node_of());
        CHECK_INT(i, play[1].asked);
    }
    close_scene();
}

/* Of an operation in a slot that no node has, which ends where it is routed. */
static int status_of_lost(void)
{
    char key[16];
    struct redis_op *op;
    int i = 0, status;

    do
        snprintf(key, sizeof(key), "%d", i++);
    while (slot_of("t:", 2, key, strlen(key)) != SLOTS - 1);
    submit(&w, op_text(REDIS_EXISTS, key, NULL));
    op = next_done(&w);
    status = (int)op->status;
    op_free(op);
    return status;
}

TEST(later_ones_do_not_overtake_what_has_moved)
{
    uint64_t before;

    open_scene();
    CHECK_INT(0, node_of());
    play[0].exists = "-MOVED 8249 127.0.0.1:%d\r\n";
    play[1].exists = "+OK\r\n";
    play[0].slow = true;
    before = counted(&w, REDIS_COUNT_BYTES_IN);
    submit(&w, op_text(REDIS_SET, "key", "1"));
    submit(&w, op_text(REDIS_SET, "key", "2"));
    while (play[0].sets < 2)
        nanosleep(&nap, NULL);
    /* The first has come back, the second has not; and what comes behind the third has been looked at. */
    WORLD_AWAIT(&w, w.counts[REDIS_COUNT_BYTES_IN] > before);
    submit(&w, op_text(REDIS_SET, "key", "3"));
    CHECK_INT(REDIS_UNSENT, status_of_lost());
    CHECK_INT(0, play[1].sets);
    play[0].slow = false;
    for (int i = 0; i < 3; i++) {
        struct redis_op *op = next_done(&w);

        CHECK_INT(REDIS_DONE, op->status);
        op_free(op);
    }
    CHECK_INT(3, play[1].sets);
    CHECK_STR("123", play[1].values);
    close_scene();
}

TEST(addresses_that_are_none_lead_nowhere_until_the_deadline)
{
    static const char *const wrong[] = {
        "-MOVED 8249 127.0.0.1:0\r\n",
        "-MOVED 8249 127.0.0.1:65536\r\n",
        "-MOVED 8249 127.0.0.1\r\n",
        "-MOVED 8249 not a host:1\r\n",
        "-MOVED 1 127.0.0.1:%d\r\n",
        "-MOVED 8249x 127.0.0.1:%d\r\n",
        "-MOVED  \r\n",
        "-ASK 8249 [::1]:1\r\n",
        "-ASK 99999999999999999999 :1\r\n",
        "-TRYAGAIN please\r\n",
    };
    char error[256];

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        open_scene();
        CHECK_INT(0, node_of());
        play[0].exists = wrong[i];
        CHECK_INT(-1, asked(60, error, sizeof(error)));
        CHECK(strstr(error, "its slot was on the move") || strstr(error, "no answer in"));
        CHECK_INT(1, counted(&w, REDIS_COUNT_TIMEOUTS));
        play[0].exists = ":0\r\n";
        CHECK_INT(0, node_of());
        close_scene();
    }
}

TEST(two_that_send_to_each_other_are_asked_slowly_until_the_deadline)
{
    char error[256];

    open_scene();
    play[0].exists = play[1].exists = "-MOVED 8249 127.0.0.1:%d\r\n";
    CHECK_INT(-1, asked(100, error, sizeof(error)));
    CHECK(counted(&w, REDIS_COUNT_COMMANDS) < 60);
    close_scene();
}

TEST(maps_that_make_no_sense_are_not_believed)
{
    static const char *const wrong[] = {
        ":1\r\n",
        "*0\r\n",
        "*1\r\n:1\r\n",
        "*1\r\n*2\r\n:0\r\n:1\r\n",
        "*1\r\n*3\r\n:0\r\n:16384\r\n*2\r\n$0\r\n\r\n:%d\r\n",
        "*1\r\n*3\r\n:-1\r\n:1\r\n*2\r\n$0\r\n\r\n:%d\r\n",
        "*1\r\n*3\r\n:2\r\n:1\r\n*2\r\n$0\r\n\r\n:%d\r\n",
        "*1\r\n*3\r\n:0\r\n:1\r\n*1\r\n$0\r\n\r\n",
        "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$0\r\n\r\n:0\r\n",
        "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$1\r\n?\r\n:%d\r\n",
        "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n:1\r\n:%d\r\n",
        "-ERR This instance has cluster support disabled\r\n",
    };
    char error[256];

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        open_scene();
        play[0].slots = wrong[i];
        CHECK_INT(-1, asked(10000, error, sizeof(error)));
        CHECK(strncmp(error, "redis+cluster 127.0.0.1:", 24) == 0);
        CHECK_INT(REDIS_STATE_DOWN, redis_client_state(w.client, NULL, 0));
        play[0].slots = all;
        world_await_state(&w, REDIS_STATE_UP);
        CHECK_INT(0, node_of());
        close_scene();
    }
}

TEST(what_a_node_says_of_itself_makes_sense_too)
{
    static const char *const wrong[] = {"", "cluster_state:ok\r\n", "cluster_current_epoch:1\r\n",
                                        "xcluster_state:ok\r\nxcluster_current_epoch:1\r\n"};
    char error[256];

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        open_scene();
        play[0].info = wrong[i];
        CHECK_INT(-1, asked(10000, error, sizeof(error)));
        CHECK(strstr(error, "the answer makes no sense") != NULL);
        close_scene();
    }
}

CHECK_MAIN()
