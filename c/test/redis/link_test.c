/* The tracking link, with servers that are scripted: what it says upward, and when it gives up. */
#include "redis/ops.h"
#include "redis/peer.h"

enum { HEARD_MOST = 64 };

/* What a link has reported, in order, as text: "live", "alive", "lost ...", "refused ...", "key ...", "all". */
static struct {
    struct redis_client *client;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    char said[HEARD_MOST][300];
    int count;
    int64_t beat_ms;
    bool gone;
} world = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static struct peer peer;

static void hear(const char *what, const char *text)
{
    pthread_mutex_lock(&world.lock);
    if (world.count < HEARD_MOST)
        snprintf(world.said[world.count++], sizeof(world.said[0]), "%s%s", what, text);
    pthread_cond_broadcast(&world.changed);
    pthread_mutex_unlock(&world.lock);
}

static void done(void *context, struct redis_op *op)
{
    (void)context;
    redis_op_free(op);
}

static void count(void *context, enum redis_counter counter, uint64_t n)
{
    (void)context;
    (void)counter;
    (void)n;
}

static void invalidate(void *context, const char *key, size_t key_length)
{
    char text[100];

    (void)context;
    snprintf(text, sizeof(text), "%.*s", (int)key_length, key ? key : "");
    hear(key ? "key " : "all", text);
}

static void link_event(void *context, enum redis_link_event event, int64_t at_ms, const char *why)
{
    static const char *const names[] = {[REDIS_LINK_LIVE] = "live",
                                        [REDIS_LINK_ALIVE] = "alive",
                                        [REDIS_LINK_LOST] = "lost ",
                                        [REDIS_LINK_REFUSED] = "refused "};

    (void)context;
    CHECK(at_ms > 0);
    hear(names[event], why ? why : "");
}

static int64_t tick(void *context, int64_t now_ms)
{
    (void)context;
    redis_want_link(world.client, true, world.beat_ms);
    return now_ms + 20;
}

static void gone(void *context)
{
    (void)context;
    pthread_mutex_lock(&world.lock);
    world.gone = true;
    pthread_cond_broadcast(&world.changed);
    pthread_mutex_unlock(&world.lock);
}

static void open_link(void (*script)(int fd, int number), int64_t timeout_ms, int64_t beat_ms)
{
    const struct redis_hooks hooks = {.done = done,
                                      .count = count,
                                      .invalidate = invalidate,
                                      .link = link_event,
                                      .tick = tick,
                                      .gone = gone};
    struct redis_config config;
    char error[256];

    peer_start(&peer, script);
    config = config_for(peer.url);
    config.timeout_ms = timeout_ms;
    world.beat_ms = beat_ms;
    world.count = 0;
    world.gone = false;
    world.client = redis_client_create(&config, &hooks, error, sizeof(error));
    REQUIRE(world.client != NULL);
    REQUIRE(redis_client_attend(world.client) == 0);
}

static void close_link(void)
{
    redis_client_release(world.client);
    pthread_mutex_lock(&world.lock);
    while (!world.gone)
        pthread_cond_wait(&world.changed, &world.lock);
    pthread_mutex_unlock(&world.lock);
    peer_stop(&peer);
}

/* Waits for the n-th thing that was said, heartbeats left out. */
static const char *said(int n)
{
    const char *found = NULL;

    pthread_mutex_lock(&world.lock);
    while (!found) {
        int at = 0;

        for (int i = 0; !found && i < world.count; i++)
            if (strcmp(world.said[i], "alive") != 0 && at++ == n)
                found = world.said[i];
        if (!found)
            pthread_cond_wait(&world.changed, &world.lock);
    }
    pthread_mutex_unlock(&world.lock);
    return found;
}

static void check_reason(const char *kind, const char *reason, const char *got)
{
    if (!CHECK(strncmp(got, kind, strlen(kind)) == 0 && strstr(got, reason) != NULL))
        printf("said: %s\n", got);
}

/* -- Scripts --------------------------------------------------------------------------------------- */

/* Plays a server that tracks, up to both subscriptions; tracking is its answer to CLIENT TRACKING. */
static bool greet_with(int fd, const char *tracking)
{
    static const char *const commands[] = {"INFO server", "CLIENT ID"};
    const char *command;

    for (int i = 0; i < 2; i++) {
        command = peer_command(fd);
        if (!command || !CHECK_STR(commands[i], command))
            return false;
    }
    peer_send(fd, "$10\r\nrun_id:abc\r\n:7\r\n");
    command = peer_command(fd);
    if (!command || !CHECK_STR("CLIENT TRACKING ON REDIRECT 7 BCAST PREFIX t:", command))
        return false;
    peer_command(fd); /* CLIENT TRACKINGINFO */
    peer_command(fd); /* SUBSCRIBE */
    command = peer_command(fd);
    if (!command || !CHECK_STR("SUBSCRIBE t:#tandem:changed", command))
        return false;
    peer_send(fd, tracking);
    peer_send(fd, "*2\r\n$5\r\nflags\r\n*1\r\n$5\r\nbcast\r\n"
                  "*3\r\n$9\r\nsubscribe\r\n$20\r\n__redis__:invalidate\r\n:1\r\n"
                  "*3\r\n$9\r\nsubscribe\r\n$17\r\nt:#tandem:changed\r\n:2\r\n");
    return true;
}

static bool greet(int fd)
{
    return greet_with(fd, "+OK\r\n");
}

#define TO_ALL "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n"
#define OWN "*3\r\n$7\r\nmessage\r\n$17\r\nt:#tandem:changed\r\n"
#define BEAT "*3\r\n$9\r\nsubscribe\r\n$20\r\n__redis__:invalidate\r\n:2\r\n"

static void tell(int fd, int number)
{
    if (number || !greet(fd))
        return;
    peer_send(fd, TO_ALL "*3\r\n$3\r\nt:a\r\n$3\r\nx:b\r\n$3\r\nt:c\r\n");
    peer_send(fd, OWN "$1\r\nd\r\n");
    peer_send(fd, TO_ALL "*-1\r\n");
    while (peer_command(fd))
        peer_send(fd, BEAT);
}

TEST(keys_that_change_are_told_and_heartbeats_answered)
{
    open_link(tell, 10000, 10);
    CHECK_STR("live", said(0));
    CHECK_STR("key a", said(1));
    CHECK_STR("key c", said(2)); /* another's prefix is nothing to us */
    CHECK_STR("key d", said(3));
    CHECK_STR("all", said(4));
    pthread_mutex_lock(&world.lock);
    while (world.count < 10)
        pthread_cond_wait(&world.changed, &world.lock);
    CHECK_STR("alive", world.said[9]);
    pthread_mutex_unlock(&world.lock);
    close_link();
}

static void fall_silent(int fd, int number)
{
    if (number == 0 && greet(fd))
        peer_drain(fd);
}

TEST(a_heartbeat_that_is_not_answered_ends_the_link)
{
    open_link(fall_silent, 1000, 10);
    CHECK_STR("live", said(0));
    check_reason("lost ", "no answer in 1000 ms", said(1));
    close_link();
}

static void drip(int fd, int number)
{
    const struct timespec nap = {0, 10000000};
    bool there = number == 0 && greet(fd) && peer_command(fd);

    if (there)
        peer_send(fd, TO_ALL "$100000\r\n");
    while (there) {
        nanosleep(&nap, NULL);
        there = send(fd, "x", 1, MSG_NOSIGNAL) == 1;
    }
}

TEST(a_message_that_drips_for_ever_ends_the_link)
{
    open_link(drip, 1000, 10);
    CHECK_STR("live", said(0));
    check_reason("lost ", "no answer in 1000 ms", said(1));
    close_link();
}

static void refuse(int fd, int number)
{
    if (number == 0 && greet_with(fd, "-ERR unknown subcommand\r\n"))
        peer_drain(fd);
}

static void have_no_time(int fd, int number)
{
    if (number == 0 && greet_with(fd, "-LOADING Redis is loading\r\n"))
        peer_drain(fd);
}

TEST(a_server_that_does_not_track_has_refused_and_one_that_is_busy_is_lost)
{
    open_link(refuse, 10000, 1000);
    check_reason("refused ", "ERR unknown subcommand", said(0));
    close_link();
    open_link(have_no_time, 10000, 1000);
    check_reason("lost ", "LOADING", said(0));
    close_link();
}

static void talk_nonsense(int fd, int number)
{
    if (number || !greet(fd))
        return;
    peer_send(fd, "*3\r\n$7\r\nmessage\r\n$7\r\nanother\r\n$1\r\nx\r\n");
    peer_drain(fd);
}

TEST(a_message_that_was_not_subscribed_to_ends_the_link)
{
    open_link(talk_nonsense, 10000, 1000);
    CHECK_STR("live", said(0));
    check_reason("lost ", "a message makes no sense", said(1));
    close_link();
}

static void end_once(int fd, int number)
{
    if (!greet(fd))
        return;
    if (number)
        peer_drain(fd);
}

TEST(a_link_that_ends_is_made_anew)
{
    open_link(end_once, 10000, 1000);
    CHECK_STR("live", said(0));
    check_reason("lost ", "the server closed the connection", said(1));
    CHECK_STR("live", said(2));
    close_link();
}

CHECK_MAIN()
