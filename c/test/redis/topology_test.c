/* Who is the master: sentinels that are scripted, and masters, of which the first has every key and the second
 * none. */
#include "redis/ops.h"
#include "redis/peer.h"

enum { TWO = 2 };

static struct world w;

/* What a sentinel says, and the connection on which it does. */
static struct scripted {
    struct peer peer;
    _Atomic int master, epoch; /* which of the masters it names */
    _Atomic bool down;         /* it hangs up at once */
    _Atomic int fd, questions;
} sentinels[TWO];

static struct peer masters[TWO];
static char moved[64];
static _Atomic bool lost; /* none of the replicas follows */

/* -- Scripts --------------------------------------------------------------------------------------- */

static void subscription(int fd, const char *command, const char *how)
{
    const char *channel = strchr(command, ' ') + 1;
    char text[200];

    snprintf(text, sizeof(text), "*3\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n:1\r\n", strlen(how), how,
             strlen(channel), channel);
    peer_send(fd, text);
}

/* One that is down, one that does not follow, one whose address is none, and one that is well. */
static void say_replicas(int fd)
{
    static const char *const flags[] = {"s_down,slave", "slave", "slave", "slave"};
    static const char *const link[] = {"ok", "err", "ok", "ok"};
    static const char *const host[] = {"127.0.0.1", "127.0.0.1", "/", "127.0.0.1"};
    char text[300], port[16];

    peer_send(fd, "*5\r\n:1\r\n");
    for (int i = 0; i < 4; i++) {
        const char *status = lost ? "err" : link[i];

        snprintf(port, sizeof(port), "%d", masters[i == 3].port);
        snprintf(text, sizeof(text),
                 "*10\r\n$13\r\nrole-reported\r\n$5\r\nslave\r\n$2\r\nip\r\n$%zu\r\n%s\r\n$"
                 "4\r\nport\r\n$%zu\r\n%s\r\n"
                 "$5\r\nflags\r\n$%zu\r\n%s\r\n$18\r\nmaster-link-status\r\n$%zu\r\n%s\r\n",
                 strlen(host[i]), host[i], strlen(port), port, strlen(flags[i]), flags[i],
                 strlen(status), status);
        peer_send(fd, text);
    }
}

static void answer(int fd, struct scripted *s, const char *command)
{
    char text[200], port[16], epoch[16];

    snprintf(port, sizeof(port), "%d", masters[s->master].port);
    snprintf(epoch, sizeof(epoch), "%d", s->epoch);
    if (strcmp(command, "SENTINEL GET-MASTER-ADDR-BY-NAME m") == 0) {
        s->questions++;
        snprintf(text, sizeof(text), "*2\r\n$9\r\n127.0.0.1\r\n$%zu\r\n%s\r\n", strlen(port), port);
        peer_send(fd, text);
    } else if (strcmp(command, "SENTINEL MASTER m") == 0) {
        snprintf(text, sizeof(text),
                 "*4\r\n$4\r\nname\r\n$1\r\nm\r\n$12\r\nconfig-epoch\r\n$%zu\r\n%s\r\n",
                 strlen(epoch), epoch);
        peer_send(fd, text);
    } else if (strcmp(command, "SENTINEL REPLICAS m") == 0) {
        say_replicas(fd);
    } else if (strncmp(command, "UNSUBSCRIBE ", 12) == 0) {
        subscription(fd, command, "unsubscribe");
    } else if (CHECK(strncmp(command, "SUBSCRIBE ", 10) == 0)) {
        subscription(fd, command, "subscribe");
    }
}

static void be_sentinel(int fd, struct scripted *s)
{
    const char *command;

    s->fd = fd;
    while (!s->down && (command = peer_command(fd)))
        answer(fd, s, command);
    s->fd = -1;
}

static void be_first(int fd, int number)
{
    (void)number;
    be_sentinel(fd, sentinels);
}

static void be_second(int fd, int number)
{
    (void)number;
    be_sentinel(fd, sentinels + 1);
}

/* The first one hangs up when it is to tell a value. */
static void be_master(int fd, const char *exists)
{
    const char *command;

    while ((command = peer_command(fd))) {
        if (strncmp(command, "GET ", 4) == 0 && exists[1] == '1')
            return;
        if (strstr(command, "t:moved"))
            peer_send(fd, moved);
        else if (strncmp(command, "SCAN ", 5) == 0)
            peer_send(fd, "*2\r\n$1\r\n0\r\n*1\r\n$3\r\nt:k\r\n");
        else if (strcmp(command, "ROLE") == 0)
            peer_send(fd, "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n");
        else if (strncmp(command, "GET ", 4) == 0)
            peer_send(fd, "$5\r\nvalue\r\n");
        else
            peer_send(fd, strcmp(command, "PING") == 0 ? "+PONG\r\n" : exists);
    }
}

static void have_all(int fd, int number)
{
    (void)number;
    be_master(fd, ":1\r\n");
}

static void have_none(int fd, int number)
{
    (void)number;
    be_master(fd, ":0\r\n");
}

/* -- The scene ------------------------------------------------------------------------------------- */

static void name_master(struct scripted *s, int master, int epoch)
{
    s->master = master;
    s->epoch = epoch;
}

/* The first sentinel names the first master, and the second one is down.  mapped: whoever calls the first master
 * gets to the second one. */
static void open_scene_as(bool mapped, enum redis_replicas replicas)
{
    struct redis_config config;
    char url[100], map[100];

    for (int i = 0; i < TWO; i++) {
        memset(sentinels + i, 0, sizeof(sentinels[i]));
        sentinels[i].fd = -1;
        peer_start(&sentinels[i].peer, i ? be_second : be_first);
        peer_start(masters + i, i ? have_none : have_all);
    }
    name_master(sentinels, 0, 5);
    sentinels[1].down = true;
    lost = false;
    snprintf(moved, sizeof(moved), "-MOVED 0 127.0.0.1:%d\r\n", masters[1].port);
    snprintf(url, sizeof(url), "redis+sentinel://127.0.0.1:%d,127.0.0.1:%d/m",
             sentinels[0].peer.port, sentinels[1].peer.port);
    config = config_for(url);
    snprintf(map, sizeof(map), "127.0.0.1:%d=127.0.0.1:%d", masters[0].port, masters[1].port);
    config.address_map = mapped ? map : NULL;
    config.replicas = replicas;
    world_open_with(&w, &config);
}

static void open_scene(void)
{
    open_scene_as(false, REDIS_REPLICAS_NEVER);
}

static void close_scene(void)
{
    world_close(&w);
    for (int i = 0; i < TWO; i++) {
        peer_stop(&sentinels[i].peer);
        peer_stop(masters + i);
    }
}

static void hang_up(struct scripted *s)
{
    if (s->fd >= 0)
        shutdown(s->fd, SHUT_RDWR);
}

/* Which master answers; -1: none. */
static int master_of(void)
{
    struct redis_op *op = op_text(REDIS_EXISTS, "key", NULL);
    enum redis_submit how = redis_submit(w.client, op, false);
    int which = -1;

    if (how == REDIS_ACCEPTED) {
        op = next_done(&w);
        which = op->status == REDIS_DONE ? !op->integer : -1;
    }
    op_free(op);
    return which;
}

static void await_master(int which)
{
    const struct timespec nap = {0, 2000000};

    while (master_of() != which)
        nanosleep(&nap, NULL);
}

static void await_questions(struct scripted *s, int count)
{
    const struct timespec nap = {0, 2000000};

    while (s->questions < count)
        nanosleep(&nap, NULL);
}

/* -- Tests ----------------------------------------------------------------------------------------- */

TEST(the_master_is_called_where_the_address_map_says)
{
    open_scene_as(true, REDIS_REPLICAS_NEVER);
    CHECK_INT(1, master_of());
    close_scene();
}

static void check_replica(bool none_follows)
{
    open_scene_as(false, REDIS_REPLICAS_FALLBACK);
    lost = none_follows;
    await_master(0);
    for (int i = 0; i < 3; i++) { /* the connection breaks; and then the breaker is open */
        struct redis_op *op = op_text(REDIS_GET, "key", NULL);

        op->or_stale = true;
        carry_out(&w, op);
        CHECK_INT(REDIS_REPLICA, op->status);
        CHECK_MEM("value", op->reply, 5);
        op_free(op);
    }
    close_scene();
}

TEST(a_replica_that_is_well_is_read_from_while_the_master_is_away)
{
    check_replica(false);
}

/* As those of a master that has died do not. */
TEST(if_none_follows_one_that_is_there_is)
{
    check_replica(true);
}

/* Its number may be lower than that of the one with which a walk has begun. */
TEST(a_walk_goes_on_with_whoever_is_the_master)
{
    struct redis_op *op;

    open_scene();
    await_master(0);
    op = carry_out(&w, op_text(REDIS_SCAN, NULL, "7005"));
    CHECK_INT(REDIS_DONE, op->status);
    CHECK_INT(2, op->reply_count);
    op_free(op);
    close_scene();
}

TEST(none_but_sentinels_name_servers)
{
    struct redis_op *op;

    open_scene();
    await_master(0);
    op = carry_out(&w, op_text(REDIS_EXISTS, "moved", NULL));
    CHECK_INT(REDIS_REFUSED, op->status);
    CHECK_INT(0, masters[1].connections);
    op_free(op);
    close_scene();
}

TEST(a_message_has_the_sentinel_asked_and_the_new_master_used)
{
    static const char message[] =
        "*3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n$9\r\nm h 1 h 2\r\n";
    static const char other[] =
        "*3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n$9\r\nn h 1 h 2\r\n";

    open_scene();
    await_master(0);
    CHECK_INT(1, sentinels[0].questions);
    /* What it says of itself is not believed: it is asked, and the answer is the same. */
    peer_send(sentinels[0].fd, other);
    peer_send(sentinels[0].fd, message);
    await_questions(sentinels, 2);
    CHECK_INT(0, master_of());
    CHECK_INT(1, counted(&w, REDIS_COUNT_CONNECTS));
    name_master(sentinels, 1, 6);
    peer_send(sentinels[0].fd, message);
    await_master(1);
    CHECK_INT(3, sentinels[0].questions);
    CHECK_INT(2, counted(&w, REDIS_COUNT_CONNECTS));
    for (unsigned lane = 0; lane < LANES; lane++)
        CHECK(lanes_has(&w.moved, lane));
    close_scene();
}

TEST(a_sentinel_that_is_behind_is_not_believed)
{
    open_scene();
    await_master(0);
    sentinels[0].down = true;
    name_master(sentinels + 1, 1, 4);
    sentinels[1].down = false;
    hang_up(sentinels);
    await_questions(sentinels + 1, 3);
    CHECK_INT(0, master_of()); /* the connection to the master lives */
    CHECK_INT(0, masters[1].connections);
    sentinels[1].epoch = 6;
    await_master(1);
    close_scene();
}

TEST(sentinels_that_are_all_behind_were_set_up_anew)
{
    open_scene();
    await_master(0);
    name_master(sentinels, 1, 0);
    name_master(sentinels + 1, 1, 0);
    sentinels[1].down = false;
    hang_up(sentinels);
    await_master(1);
    CHECK(sentinels[0].questions + sentinels[1].questions >= 3);
    close_scene();
}

/* -- Hostile ones ---------------------------------------------------------------------------------- */

static const char *hostile;

static void be_hostile(int fd, int number)
{
    (void)number;
    for (int i = 0; i < 4; i++) /* what all it asks at once */
        peer_command(fd);
    peer_send(fd, hostile);
    if (!hostile[0])
        peer_drain(fd);
}

static void check_hostile(const char *says, const char *expected)
{
    struct redis_config config;
    struct redis_op *op;
    struct peer peer;
    char url[64];

    hostile = says;
    peer_start(&peer, be_hostile);
    snprintf(url, sizeof(url), "redis+sentinel://127.0.0.1:%d/m", peer.port);
    config = config_for(url);
    config.timeout_ms = 200;
    world_open_with(&w, &config);
    op = carry_out(&w, op_text(REDIS_EXISTS, "key", NULL));
    CHECK_INT(REDIS_UNSENT, op->status);
    if (!CHECK(strstr(op->error, expected) != NULL))
        printf("%s: %s\n", says, op->error);
    op_free(op);
    world_close(&w);
    peer_stop(&peer);
}

#define SUBSCRIBED "*3\r\n$9\r\nsubscribe\r\n$14\r\n+switch-master\r\n:1\r\n"

TEST(what_makes_no_sense_is_no_master)
{
    static const char no_address[] = ": what it says of the master is no address";

    check_hostile("*-1\r\n", ": it knows no master named m");
    check_hostile("+OK\r\n", no_address);
    check_hostile(":1\r\n", no_address);
    check_hostile("*0\r\n", no_address);
    check_hostile("*2\r\n:1\r\n:2\r\n", no_address);
    check_hostile("*2\r\n$-1\r\n$-1\r\n", no_address);
    check_hostile("*2\r\n$1\r\nh\r\n$1\r\n0\r\n", no_address);
    check_hostile("*2\r\n$1\r\nh\r\n$6\r\n123456\r\n", no_address);
    check_hostile("*2\r\n$0\r\n\r\n$1\r\n1\r\n", no_address);
    check_hostile("*2\r\n$3\r\n/\n\x01\r\n$1\r\n1\r\n", no_address);
    check_hostile("*1\r\n*1\r\n*1\r\n*0\r\n", no_address);
    check_hostile(SUBSCRIBED, no_address);
    check_hostile("hello\r\n", ": what it sends is not Redis's protocol");
    check_hostile("*2147483647\r\n", ": ");
    check_hostile("-ERR unknown command 'SENTINEL'\r\n", ": is this a sentinel?");
    check_hostile("-NOAUTH Authentication required.\r\n", ": NOAUTH Authentication required.");
    check_hostile("*2\r\n$1\r\nh\r\n", ": the server closed the connection");
    check_hostile("", ": no answer in 200 ms");
}

CHECK_MAIN()
