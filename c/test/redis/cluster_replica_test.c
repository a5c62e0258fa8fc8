/* A master that hangs up when it is asked something, its replica, which says what a test has it say, and a master of
 * another slot, so that the cluster is not lost with the first one. */
#include "redis/ops.h"
#include "redis/peer.h"

static struct world w;
static struct peer master, replica, other;

/* What the replica answers to GET; how often it was asked; and how often without READONLY first. */
static _Atomic(const char *) answer;
static _Atomic int asked, asked_as_master;

static void say_map(int fd)
{
    char reply[400];

    snprintf(reply, sizeof(reply),
             "*2\r\n*4\r\n:0\r\n:16382\r\n*2\r\n$9\r\n127.0.0.1\r\n:%d\r\n*2\r\n$9\r\n127.0.0."
             "1\r\n:%d\r\n"
             "*3\r\n:16383\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:%d\r\n",
             master.port, replica.port, other.port);
    peer_send(fd, reply);
}

/* False: that was none of what both say. */
static bool say(int fd, const char *command)
{
    static const char info[] = "cluster_state:ok\r\ncluster_current_epoch:7\r\n";
    char reply[100];

    if (strcmp(command, "PING") == 0) {
        peer_send(fd, "+PONG\r\n");
    } else if (strcmp(command, "CLUSTER INFO") == 0) {
        snprintf(reply, sizeof(reply), "$%zu\r\n%s\r\n", sizeof(info) - 1, info);
        peer_send(fd, reply);
    } else if (strcmp(command, "CLUSTER SLOTS") == 0) {
        say_map(fd);
    } else {
        return false;
    }
    return true;
}

static void be_master(int fd, int number)
{
    const char *command;

    (void)number;
    while ((command = peer_command(fd)) && say(fd, command))
        ;
}

static void be_replica(int fd, int number)
{
    const char *command;
    bool readonly = false;

    (void)number;
    while ((command = peer_command(fd))) {
        if (say(fd, command))
            continue;
        if (strcmp(command, "READONLY") == 0) {
            readonly = true;
            peer_send(fd, "+OK\r\n");
        } else if (strncmp(command, "GET ", 4) == 0) {
            *(readonly ? &asked : &asked_as_master) += 1;
            peer_send(fd, answer);
        } else { /* PTTL */
            peer_send(fd, ":5000\r\n");
        }
    }
}

static bool or_stale;

static void open_scene(enum redis_replicas replicas)
{
    struct redis_config config;
    char url[64];

    answer = "$5\r\nvalue\r\n";
    asked = asked_as_master = 0;
    or_stale = true;
    peer_start(&master, be_master);
    peer_start(&replica, be_replica);
    peer_start(&other, be_master);
    snprintf(url, sizeof(url), "redis+cluster://127.0.0.1:%d", other.port);
    config = config_for(url);
    config.replicas = replicas;
    world_open_with(&w, &config);
}

static void close_scene(void)
{
    world_close(&w);
    peer_stop(&master);
    peer_stop(&replica);
    peer_stop(&other);
}

/* What comes of asking for a key of the master that hangs up. */
static struct redis_op *get(enum redis_kind kind)
{
    struct redis_op *op = op_text(kind, "key", NULL);

    op->or_stale = or_stale;
    return carry_out(&w, op);
}

static void check_fails(enum redis_kind kind, int times_asked)
{
    char address[32];
    struct redis_op *op = get(kind);

    snprintf(address, sizeof(address), "redis 127.0.0.1:%d/0: ", master.port);
    CHECK(op->status == REDIS_UNSENT || op->status == REDIS_UNKNOWN);
    CHECK(!op->reply);
    CHECK(strncmp(op->error, address, strlen(address)) == 0);
    CHECK_INT(times_asked, asked);
    CHECK_INT(0, asked_as_master);
    op_free(op);
}

/* -- Tests ----------------------------------------------------------------------------------------- */

TEST(a_value_is_a_replicas_where_its_master_is_away)
{
    open_scene(REDIS_REPLICAS_FALLBACK);
    for (int i = 1; i <= 3; i++) { /* the connection breaks; and then the breaker is open */
        struct redis_op *op = get(REDIS_GET);

        CHECK_INT(REDIS_REPLICA, op->status);
        CHECK_INT(5, op->reply_length);
        CHECK_INT(5000, op->pttl_ms);
        CHECK_INT(i, asked);
        op_free(op);
    }
    CHECK_INT(0, asked_as_master);
    CHECK_INT(3, counted(&w, REDIS_COUNT_REPLICA_READS));
    close_scene();
}

TEST(nothing_else_is_a_replicas)
{
    open_scene(REDIS_REPLICAS_FALLBACK);
    check_fails(REDIS_EXISTS, 0);
    close_scene();
    open_scene(REDIS_REPLICAS_NEVER);
    check_fails(REDIS_GET, 0);
    close_scene();
    open_scene(REDIS_REPLICAS_FALLBACK);
    or_stale = false;
    check_fails(REDIS_GET, 0);
    close_scene();
}

TEST(what_a_replica_says_but_a_value_is_no_answer)
{
    static const char *const none[] = {
        "$-1\r\n",
        "-MOVED 8249 127.0.0.1:1\r\n",
        "-ASK 8249 127.0.0.1:1\r\n",
        "-CLUSTERDOWN The cluster is down\r\n",
        "-MASTERDOWN Link with MASTER is down\r\n",
        "-WRONGTYPE Operation against a key\r\n",
        ":1\r\n",
    };

    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        open_scene(REDIS_REPLICAS_FALLBACK);
        answer = none[i];
        check_fails(REDIS_GET, 1);
        close_scene();
    }
}

CHECK_MAIN()
