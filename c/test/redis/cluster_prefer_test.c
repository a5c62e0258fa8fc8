/* A master and its replica, which say of themselves what a test has them say, and who is asked what. */
#include "redis/ops.h"
#include "redis/peer.h"

static struct world w;
static struct peer master, replica;

/* What the replica says. */
static struct {
    _Atomic(const char *) role, history, value;
    _Atomic long offset, offset_of_role;
    _Atomic bool silent;  /* it takes everything and says nothing */
    _Atomic bool hang_up; /* when it is asked for a key */
    _Atomic int run;      /* the number in its run_id */
} says;
static _Atomic long master_offset;
static _Atomic bool
    growing; /* it is further each time it is asked, and the replica where it was before */
static _Atomic bool untold; /* the master does not say how far it is */

static _Atomic int asked_of_master, asked_of_replica, asked_how_far;

static void send_text(int fd, const char *text)
{
    char reply[500];

    snprintf(reply, sizeof(reply), "$%zu\r\n%s\r\n", strlen(text), text);
    peer_send(fd, reply);
}

static void say_map(int fd)
{
    char reply[300];

    snprintf(reply, sizeof(reply),
             "*1\r\n*4\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:%d\r\n"
             "*2\r\n$9\r\n127.0.0.1\r\n:%d\r\n",
             master.port, replica.port);
    peer_send(fd, reply);
}

/* False: that was none of what both say. */
static bool say(int fd, const char *command, const char *server)
{
    if (strcmp(command, "PING") == 0)
        peer_send(fd, "+PONG\r\n");
    else if (strcmp(command, "INFO server") == 0)
        send_text(fd, server);
    else if (strcmp(command, "CLUSTER INFO") == 0)
        send_text(fd, "cluster_state:ok\r\ncluster_current_epoch:7\r\n");
    else if (strcmp(command, "CLUSTER SLOTS") == 0)
        say_map(fd);
    else if (strncmp(command, "PTTL ", 5) == 0)
        peer_send(fd, ":5000\r\n");
    else
        return false;
    return true;
}

static void be_master(int fd, int number)
{
    const char *command;
    char text[200];

    (void)number;
    while ((command = peer_command(fd))) {
        if (say(fd, command, "x\r\nrun_id:master\r\n"))
            continue;
        if (strcmp(command, "INFO replication") == 0) {
            asked_how_far++;
            if (growing) {
                says.offset = says.offset_of_role = master_offset;
                master_offset += 10;
            }
            snprintf(text, sizeof(text),
                     untold ? "role:master\r\n"
                            : "role:master\r\nmaster_replid:one\r\nmaster_repl_offset:%ld\r\n",
                     master_offset);
            send_text(fd, text);
        } else if (strncmp(command, "GET ", 4) == 0) {
            asked_of_master++;
            peer_send(fd, "$6\r\nmaster\r\n");
        } else {
            peer_send(fd, strncmp(command, "SET ", 4) == 0 ? "+OK\r\n" : ":1\r\n");
        }
    }
}

static void be_replica(int fd, int number)
{
    const char *command;
    char text[200];
    bool readonly = false;

    (void)number;
    while ((command = peer_command(fd))) {
        if (says.silent)
            continue;
        snprintf(text, sizeof(text), "x\r\nrun_id:replica%d\r\n", says.run);
        if (say(fd, command, text))
            continue;
        if (strcmp(command, "READONLY") == 0) {
            readonly = true;
            peer_send(fd, "+OK\r\n");
        } else if (strcmp(command, "INFO replication") == 0) {
            snprintf(text, sizeof(text),
                     "role:%s\r\nmaster_link_status:up\r\nmaster_replid:%s\r\n"
                     "slave_repl_offset:%ld\r\n",
                     says.role, says.history, says.offset);
            send_text(fd, text);
        } else if (strcmp(command, "ROLE") == 0) {
            snprintf(text, sizeof(text),
                     "*5\r\n$5\r\nslave\r\n$1\r\nh\r\n:1\r\n$9\r\nconnected\r\n:%ld\r\n",
                     says.offset_of_role);
            peer_send(fd, text);
        } else if (says.hang_up) {
            says.hang_up = false;
            says.run++;
            return;
        } else {
            CHECK(readonly);
            asked_of_replica++;
            peer_send(fd, says.value);
        }
    }
}

static void open_scene(void)
{
    struct redis_config config;
    char url[64];

    says.role = "slave";
    says.history = "one";
    says.value = "$7\r\nreplica\r\n";
    says.offset = says.offset_of_role = master_offset = 1000;
    says.silent = says.hang_up = false;
    says.run = 0;
    untold = growing = false;
    asked_of_master = asked_of_replica = asked_how_far = 0;
    peer_start(&master, be_master);
    peer_start(&replica, be_replica);
    snprintf(url, sizeof(url), "redis+cluster://127.0.0.1:%d", master.port);
    config = config_for(url);
    config.replicas = REDIS_REPLICAS_PREFER;
    world_open_with(&w, &config);
    redis_client_identify(w.client);
}

static void close_scene(void)
{
    world_close(&w);
    peer_stop(&master);
    peer_stop(&replica);
}

/* Who answers. */
static const char *reader(struct redis_op *op)
{
    static char text[32];

    op->by_replica = true;
    carry_out(&w, op);
    CHECK(op->status == REDIS_DONE || op->status == REDIS_ABSENT);
    CHECK(op->server);
    snprintf(text, sizeof(text), "%.*s", (int)op->reply_length, op->reply ? op->reply : "");
    op_free(op);
    return text;
}

static const char *read_key(void)
{
    return reader(op_text(REDIS_GET, "key", NULL));
}

static void nap(void)
{
    const struct timespec a_little = {0, 2000000};

    nanosleep(&a_little, NULL);
}

static void await_reader(const char *who)
{
    while (strcmp(read_key(), who) != 0)
        nap();
}

/* What the replica has said is known when another proof has begun, and ended. */
static void check_the_master_is_asked(void)
{
    int times = asked_how_far;

    while (asked_how_far < times + 2) {
        CHECK_STR("master", read_key());
        nap();
    }
    CHECK_INT(0, asked_of_replica);
}

/* -- Tests ----------------------------------------------------------------------------------------- */

TEST(a_replica_that_has_all_is_asked)
{
    int times;

    open_scene();
    CHECK_STR("master", read_key()); /* nothing is known yet */
    await_reader("replica");
    times = asked_of_master;
    CHECK_INT(asked_of_replica, counted(&w, REDIS_COUNT_REPLICA_READS));
    for (int i = 0; i < 100; i++)
        CHECK_STR("replica", read_key());
    CHECK_INT(times, asked_of_master);
    CHECK(asked_how_far < 10);
    CHECK_INT(0, w.changes);
    close_scene();
}

TEST(what_has_changed_is_the_masters)
{
    open_scene();
    await_reader("replica");
    pthread_mutex_lock(&w.lock);
    w.changing = true;
    pthread_mutex_unlock(&w.lock);
    CHECK_STR("master", read_key());
    CHECK_INT(REDIS_DONE, set_text(&w, "key", "value"));
    CHECK_INT(1, w.changes);
    close_scene();
}

TEST(whatever_may_change_a_key_says_so)
{
    static const enum redis_kind changing[] = {REDIS_SET,  REDIS_ADD,    REDIS_REPLACE,
                                               REDIS_INCR, REDIS_EXPIRE, REDIS_DELETE};

    open_scene();
    for (unsigned long i = 0; i < sizeof(changing) / sizeof(changing[0]); i++) {
        struct redis_op *op = op_text(changing[i], "key", "value");

        op->ttl_ms = 1000;
        CHECK_INT(REDIS_DONE, status_of(&w, op));
        CHECK_INT(i + 1, w.changes);
    }
    CHECK_INT(REDIS_DONE, status_of(&w, op_text(REDIS_EXISTS, "key", NULL)));
    CHECK_INT(REDIS_DONE, status_of(&w, op_text(REDIS_PTTL, "key", NULL)));
    CHECK_STR("master", get_text(&w, "key"));
    CHECK_INT(sizeof(changing) / sizeof(changing[0]), w.changes);
    close_scene();
}

TEST(what_is_not_to_be_a_replicas_is_not)
{
    open_scene();
    await_reader("replica");
    CHECK_STR("master", get_text(&w, "key"));
    CHECK_INT(1, asked_of_replica);
    close_scene();
}

TEST(a_replica_that_is_behind_is_not_asked)
{
    open_scene();
    says.offset = 999;
    check_the_master_is_asked();
    says.offset = 1000;
    await_reader("replica");
    master_offset = 2000; /* it is behind: what it had it still has */
    CHECK_STR("replica", read_key());
    close_scene();
}

TEST(one_that_is_never_quite_there_is_asked_for_what_it_has)
{
    open_scene();
    growing = true;
    await_reader("replica");
    CHECK(asked_how_far > 1);
    close_scene();
}

TEST(one_that_follows_another_master_is_not_asked)
{
    open_scene();
    says.history = "another";
    check_the_master_is_asked();
    says.history = "one";
    says.role = "master";
    check_the_master_is_asked();
    close_scene();
}

/* Nor is one asked that has been asked before, once it says so. */
TEST(a_proof_ends_with_what_it_was_of)
{
    open_scene();
    await_reader("replica");
    says.history = "another";
    await_reader("master");
    asked_of_replica = 0;
    check_the_master_is_asked();
    close_scene();
}

TEST(what_it_does_not_have_is_asked_of_the_master)
{
    static const char *const none[] = {
        "$-1\r\n",
        "-MOVED 12539 127.0.0.1:1\r\n",
        "-CLUSTERDOWN The cluster is down\r\n",
        "-MASTERDOWN Link with MASTER is down\r\n",
        "-LOADING Redis is loading the dataset in memory\r\n",
    };

    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        int times;

        open_scene();
        await_reader("replica");
        says.value = none[i];
        times = asked_of_replica;
        CHECK_STR("master", read_key());
        CHECK_INT(times + 1, asked_of_replica);
        CHECK_INT(times, counted(&w, REDIS_COUNT_REPLICA_READS));
        close_scene();
    }
}

/* Of one key, or of some: all others it is asked for as before. */
TEST(what_it_refuses_for_a_key_says_nothing_of_others)
{
    static const char *const refusals[] = {
        "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
        "-MOVED 12539 127.0.0.1:1\r\n",
        "-ASK 12539 127.0.0.1:1\r\n",
    };
    int times;

    open_scene();
    await_reader("replica");
    times = asked_how_far;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        says.value = refusals[i];
        CHECK_STR("master", read_key());
        says.value = "$7\r\nreplica\r\n";
        CHECK_STR("replica", read_key());
    }
    CHECK_INT(times, asked_how_far);
    close_scene();
}

/* It copies its master once more. */
TEST(a_replica_that_has_lost_what_it_had_is_not_believed)
{
    open_scene();
    await_reader("replica");
    says.offset_of_role = 999;
    CHECK_STR("master", read_key());
    says.offset_of_role = -1;
    await_reader("master");
    says.offset_of_role = 1000;
    await_reader("replica");
    close_scene();
}

TEST(what_it_answers_is_of_the_time_when_it_had_all)
{
    struct redis_op *op;
    int64_t now_ms;

    open_scene();
    await_reader("replica");
    nap();
    op = op_text(REDIS_GET, "key", NULL);
    op->by_replica = true;
    now_ms = clock_now_ms();
    carry_out(&w, op);
    CHECK_MEM("replica", op->reply, 7);
    CHECK(op->sent_ms < now_ms);
    CHECK(op->sent_ms + op->pttl_ms >= now_ms + 5000); /* when it expires, as the replica says */
    CHECK(op->sent_ms + op->pttl_ms <= clock_now_ms() + 5000);
    op_free(op);
    close_scene();
}

TEST(a_read_comes_after_a_write_that_is_under_way)
{
    struct redis_op *set, *get;

    open_scene();
    await_reader("replica");
    set = op_text(REDIS_SET, "key", "value");
    get = op_text(REDIS_GET, "key", NULL);
    get->by_replica = true;
    REQUIRE(redis_submit(w.client, set, true) == REDIS_ACCEPTED);
    submit(&w, get);
    CHECK(next_done(&w) == set);
    CHECK(next_done(&w) == get);
    CHECK_MEM("master", get->reply, 6);
    op_free(set);
    op_free(get);
    CHECK_STR("replica", read_key());
    close_scene();
}

/* A proxy, say: it serves as ever. */
TEST(a_master_that_does_not_say_how_far_it_is_is_read_from)
{
    char trouble[256];

    open_scene();
    untold = true;
    while (asked_how_far < 2) {
        CHECK_STR("master", read_key());
        nap();
    }
    CHECK_STR("master", read_key());
    CHECK_INT(0, asked_of_replica);
    CHECK_INT(0, counted(&w, REDIS_COUNT_DISCONNECTS));
    redis_client_trouble(w.client, trouble, sizeof(trouble));
    CHECK(strstr(trouble, "replicas are not read from: redis 127.0.0.1:") != NULL);
    CHECK(strstr(trouble, "INFO replication does not say how far it is") != NULL);
    close_scene();
}

TEST(a_replica_that_was_started_anew_is_proven_anew)
{
    int times;

    open_scene();
    await_reader("replica");
    says.hang_up = true;
    CHECK_STR("master", read_key());
    times = asked_how_far;
    await_reader("replica");
    CHECK_INT(times + 1, asked_how_far);
    close_scene();
}

TEST(a_replica_that_hangs_leaves_its_master_the_time_to_answer)
{
    int64_t began_ms;

    open_scene();
    await_reader("replica");
    says.silent = true;
    began_ms = clock_now_ms();
    CHECK_STR("master", reader(within(op_text(REDIS_GET, "key", NULL), 2000)));
    CHECK(clock_now_ms() - began_ms >= 900);
    began_ms = clock_now_ms();
    CHECK_STR("master", reader(within(op_text(REDIS_GET, "key", NULL), 2000)));
    CHECK(clock_now_ms() - began_ms < 900); /* once is enough */
    close_scene();
}

CHECK_MAIN()
