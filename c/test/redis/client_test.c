/* The life of a client's connection: greeting, loss, breaker, end; on a real Redis and on scripted ones. */
#include "redis/ops.h"
#include "redis/peer.h"
#include "support/server.h"

static struct world w;
static struct server *server;
static struct peer peer;

static void check_error(const char *error, const char *server_text, const char *reason)
{
    char expected[256];

    snprintf(expected, sizeof(expected), "%s: %s", server_text, reason);
    CHECK_STR(expected, error);
}

/* The first operation of a new client ends unsent, for the reason; so do later submissions. */
static void check_unusable(const struct redis_config *config, const char *reason)
{
    char why[256], name[128];
    struct redis_op *op;

    world_open_with(&w, config);
    snprintf(name, sizeof(name), "%s", redis_client_server(w.client));
    CHECK_INT(REDIS_STATE_IDLE, redis_client_state(w.client, NULL, 0));
    op = carry_out(&w, op_text(REDIS_GET, "key", NULL));
    CHECK_INT(REDIS_UNSENT, op->status);
    CHECK(!op->may_have_run);
    CHECK_INT(0, op->sent_ms);
    check_error(op->error, name, reason);
    CHECK_INT(REDIS_STATE_DOWN, redis_client_state(w.client, why, sizeof(why)));
    check_error(why, name, reason);
    CHECK_INT(REDIS_DOWN, redis_submit(w.client, op, false));
    check_error(op->error, name, reason);
    op_free(op);
    CHECK(counted(&w, REDIS_COUNT_FAILURES) >= 1);
    CHECK_INT(0, counted(&w, REDIS_COUNT_CONNECTS));
    CHECK_INT(0, counted(&w, REDIS_COUNT_COMMANDS));
}

static void check_url_unusable(const char *url, const char *reason)
{
    struct redis_config config = config_for(url);

    check_unusable(&config, reason);
    world_close(&w);
}

/* -- Greeting ------------------------------------------------------------------------------------ */

TEST(nobody_listens)
{
    struct peer nobody;

    peer_listen(&nobody, 1);
    close(nobody.listener);
    check_url_unusable(nobody.url, "connection refused");
    check_url_unusable("unix:///nonexistent/socket", "no such file or directory");
}

TEST(passwords_and_users)
{
    struct redis_config config;
    char url[200];

    server = server_start("--requirepass", "s3cret word", (char *)NULL);
    check_url_unusable(server->url, "NOAUTH Authentication required.");
    snprintf(url, sizeof(url), "unix://:s3cret-wrong@%s", server->socket);
    check_url_unusable(url, "WRONGPASS invalid username-password pair or user is disabled.");
    config = config_for(server->url);
    config.password = "s3cret word";
    world_open_with(&w, &config);
    CHECK_STR("(absent)", get_text(&w, "key"));
    world_close(&w);
    snprintf(url, sizeof(url), "unix://:s3cret%%20word@%s", server->socket);
    world_open(&w, url);
    CHECK_STR("(absent)", get_text(&w, "key"));
    world_close(&w);
    /* What is said apart stands instead of what the URL says. */
    snprintf(url, sizeof(url), "unix://nobody:s3cret-wrong@%s", server->socket);
    config = config_for(url);
    config.username = "default";
    config.password = "s3cret word";
    world_open_with(&w, &config);
    CHECK_STR("(absent)", get_text(&w, "key"));
    world_close(&w);
    server_stop(server);
}

TEST(a_user_of_an_acl_needs_no_more_than_its_commands)
{
    struct redis_config config;
    struct redis_op *op;
    char url[200];

    server = server_start(NULL);
    server_command(server, "ACL SETUSER app on >app-word ~t:* +get +pttl +set");
    server_command(server, "ACL SETUSER open on nopass ~* +@all");
    snprintf(url, sizeof(url), "unix://app:app-word@%s", server->socket);
    config = config_for(url);
    config.client_name = "app";
    world_open_with(&w, &config); /* neither PING nor CLIENT are allowed */
    CHECK_INT(REDIS_DONE, set_text(&w, "key", "x"));
    CHECK_STR("x", get_text(&w, "key"));
    op = carry_out(&w, op_text(REDIS_DELETE, "key", NULL));
    CHECK_INT(REDIS_REFUSED, op->status);
    CHECK(strstr(op->error, "NOPERM") != NULL);
    op_free(op);
    world_close(&w);
    snprintf(url, sizeof(url), "unix://open@%s", server->socket);
    world_open(&w, url);
    CHECK_STR("x", get_text(&w, "key"));
    world_close(&w);
    server_stop(server);
}

TEST(databases)
{
    char url[200];

    server = server_start("--databases", "4", (char *)NULL);
    snprintf(url, sizeof(url), "%s?db=3", server->url);
    world_open(&w, url);
    CHECK_INT(REDIS_DONE, set_text(&w, "key", "in three"));
    world_close(&w);
    world_open(&w, server->url);
    CHECK_STR("(absent)", get_text(&w, "key"));
    world_close(&w);
    snprintf(url, sizeof(url), "%s?db=4", server->url);
    check_url_unusable(url, "ERR DB index is out of range");
    server_stop(server);
}

TEST(what_a_client_cannot_be_made_of)
{
    struct redis_hooks hooks = {
        .context = &w, .done = world_done, .count = world_count, .gone = world_gone};
    struct redis_config config = config_for("redis://h:0");
    char error[256], word[5000];

    CHECK(redis_client_create(&config, &hooks, error, sizeof(error)) == NULL);
    CHECK(strncmp(error, "redis URL: the port", 19) == 0);
    config.url = "redis://h";
    config.client_name = "two words";
    CHECK(redis_client_create(&config, &hooks, error, sizeof(error)) == NULL);
    CHECK_STR("the client name holds a space or a special character", error);
    config.client_name = NULL;
    memset(word, 'x', sizeof(word) - 1);
    word[sizeof(word) - 1] = '\0';
    config.password = word;
    CHECK(redis_client_create(&config, &hooks, error, sizeof(error)) == NULL);
    CHECK_STR("the password is longer than 4096 bytes", error);
}

/* What the scripted server answers to the greeting. */
static const char *greeting;

static void greet_oddly(int fd, int number)
{
    (void)number;
    peer_command(fd);
    peer_send(fd, greeting);
    peer_drain(fd);
}

static void greet_and_close(int fd, int number)
{
    (void)number;
    peer_send(fd, greeting);
    peer_command(fd);
}

static void check_greeting(void (*script)(int, int), const char *answer, const char *reason)
{
    struct redis_config config;

    greeting = answer;
    peer_start(&peer, script);
    config = config_for(peer.url);
    config.timeout_ms = 100;
    check_unusable(&config, reason);
    world_close(&w);
    peer_stop(&peer);
}

TEST(greetings_that_are_refused)
{
    check_greeting(greet_oddly, "-LOADING Redis is loading the dataset in memory\r\n",
                   "LOADING Redis is loading the dataset in memory");
    check_greeting(greet_oddly, "-BUSY Redis is busy running a script.\r\n",
                   "BUSY Redis is busy running a script.");
    check_greeting(greet_oddly, "-MASTERDOWN Link is down\r\n", "MASTERDOWN Link is down");
    check_greeting(greet_and_close, "-ERR max number of clients reached\r\n",
                   "ERR max number of clients reached");
    check_greeting(greet_and_close, "-DENIED Redis is running in protected mode\r\n",
                   "DENIED Redis is running in protected mode");
    check_greeting(greet_and_close, "",
                   "the server closed the connection before it said anything: does it want TLS "
                   "(rediss://)?");
    check_greeting(greet_oddly, "", "no answer in 100 ms");
    check_greeting(greet_oddly, "+PO", "no answer in 100 ms");
    check_greeting(greet_oddly, ":1\r\n", "the answer makes no sense");
    check_greeting(greet_oddly, "HTTP/1.1 400 Bad Request\r\n",
                   "what it sends is not Redis's protocol");
}

static void misconfigured(int fd, int number)
{
    (void)number;
    peer_command(fd);
    peer_send(fd, "-MISCONF Errors writing to the disk\r\n");
    while (peer_command(fd))
        peer_send(fd, ":0\r\n");
}

TEST(a_server_that_cannot_save_is_used)
{
    peer_start(&peer, misconfigured);
    world_open(&w, peer.url);
    CHECK_INT(REDIS_DONE, status_of(&w, op_text(REDIS_EXISTS, "key", NULL)));
    world_close(&w);
    peer_stop(&peer);
}

static void echo_auth(int fd, int number)
{
    char text[300];

    (void)number;
    snprintf(text, sizeof(text), "-ERR unknown command, with args beginning with: '%s'\r\n",
             peer_command(fd));
    peer_send(fd, text);
    peer_drain(fd);
}

TEST(a_password_that_the_server_repeats_is_not_passed_on)
{
    struct redis_config config;

    peer_start(&peer, echo_auth);
    config = config_for(peer.url);
    config.password = "s3cretword";
    check_unusable(&config, "AUTH was refused");
    world_close(&w);
    peer_stop(&peer);
}

/* The first connections meet a server that loads. */
static void load_first(int fd, int number)
{
    CHECK_STR("PING", peer_command(fd));
    peer_send(fd, number < 5 ? "-LOADING wait\r\n" : "+PONG\r\n");
    while (peer_command(fd))
        peer_send(fd, ":0\r\n");
}

TEST(the_client_tries_again_by_itself)
{
    struct redis_config config;

    peer_start(&peer, load_first);
    config = config_for(peer.url);
    check_unusable(&config, "LOADING wait");
    world_await_state(&w, REDIS_STATE_UP); /* without an operation that would ask for it */
    CHECK_INT(6, peer.connections);
    CHECK_INT(5, counted(&w, REDIS_COUNT_FAILURES));
    CHECK_INT(1, counted(&w, REDIS_COUNT_CONNECTS));
    CHECK_INT(REDIS_DONE, status_of(&w, op_text(REDIS_EXISTS, "key", NULL)));
    world_close(&w);
    peer_stop(&peer);
}

/* -- Loss ---------------------------------------------------------------------------------------- */

static void begin(void)
{
    server = server_start(NULL);
    world_open(&w, server->url);
    CHECK_STR("(absent)", get_text(&w, "none"));
}

static void end(void)
{
    world_close(&w);
    server_stop(server);
}

TEST(a_server_that_is_killed_and_comes_back)
{
    struct redis_op *op;

    begin();
    server_freeze(server); /* so that it has not answered */
    submit(&w, op_text(REDIS_SET, "key", "x"));
    WORLD_AWAIT(&w, w.counts[REDIS_COUNT_COMMANDS] == 3);
    server_kill(server);
    op = next_done(&w);
    CHECK_INT(REDIS_UNKNOWN, op->status);
    CHECK(op->may_have_run);
    CHECK(strstr(op->error, "redis unix:") == op->error);
    op_free(op);
    world_await_state(&w, REDIS_STATE_DOWN);
    server_run(server);
    world_await_state(&w, REDIS_STATE_UP);
    CHECK_STR("(absent)", get_text(&w, "key"));
    CHECK_INT(REDIS_DONE, set_text(&w, "key", "y"));
    CHECK_INT(2, counted(&w, REDIS_COUNT_CONNECTS));
    CHECK_INT(1, counted(&w, REDIS_COUNT_DISCONNECTS));
    end();
}

static void await_up(void)
{
    world_await_state(&w, REDIS_STATE_UP);
}

TEST(a_connection_that_ends_idle_is_made_anew_unnoticed)
{
    begin();
    clock_shift(5000); /* it has been up for long */
    server_command(server, "CLIENT KILL TYPE normal SKIPME yes");
    WORLD_AWAIT(&w, w.counts[REDIS_COUNT_CONNECTS] == 2);
    await_up();
    CHECK_INT(1, counted(&w, REDIS_COUNT_DISCONNECTS));
    CHECK_INT(0, counted(&w, REDIS_COUNT_FAILURES));
    CHECK_STR("(absent)", get_text(&w, "none"));
    end();
}

TEST(a_connection_that_ends_at_once_is_made_anew_after_a_pause)
{
    begin();
    server_command(server, "CLIENT KILL TYPE normal SKIPME yes");
    WORLD_AWAIT(&w, w.counts[REDIS_COUNT_DISCONNECTS] == 1);
    WORLD_AWAIT(&w, w.counts[REDIS_COUNT_CONNECTS] == 2);
    await_up();
    end();
}

/* Greets; answers to nothing, and sees how the client goes. */
static _Atomic int ended_by_reset;

static void swallow(int fd, int number)
{
    char bytes[4096];
    ssize_t n;

    if (number || !peer_greet(fd))
        return;
    do
        n = recv(fd, bytes, sizeof(bytes), 0);
    while (n > 0);
    ended_by_reset = n < 0 && errno == ECONNRESET;
}

TEST(a_silent_server_is_given_up_by_a_reset)
{
    struct redis_config config;
    struct redis_op *op;

    peer_start(&peer, swallow);
    config = config_for(peer.url);
    config.timeout_ms = 250;
    world_open_with(&w, &config);
    submit(&w, within(op_text(REDIS_SET, "a", "x"), 60000));
    submit(&w, within(op_text(REDIS_GET, "b", NULL), 60000));
    for (int i = 0; i < 2; i++) {
        op = next_done(&w);
        CHECK_INT(REDIS_UNKNOWN, op->status);
        CHECK(op->may_have_run && op->sent_ms > 0);
        check_error(op->error, redis_client_server(w.client), "no answer in 250 ms");
        op_free(op);
    }
    CHECK_INT(0, counted(&w, REDIS_COUNT_TIMEOUTS));
    world_close(&w);
    peer_stop(&peer);
    CHECK(ended_by_reset);
}

static void send_unasked(int fd, int number)
{
    (void)number;
    if (!peer_greet(fd))
        return;
    peer_command(fd);
    peer_send(fd, ":0\r\n:1\r\n");
    peer_drain(fd);
}

TEST(an_answer_to_nothing_ends_the_connection)
{
    char why[256] = "";

    peer_start(&peer, send_unasked);
    world_open(&w, peer.url);
    CHECK_INT(REDIS_DONE, status_of(&w, op_text(REDIS_EXISTS, "key", NULL)));
    WORLD_AWAIT(&w, w.counts[REDIS_COUNT_DISCONNECTS] == 1);
    while (!why[0])
        redis_client_state(w.client, why, sizeof(why));
    check_error(why, redis_client_server(w.client), "an answer to nothing");
    world_close(&w);
    peer_stop(&peer);
}

static void greet_and_go(int fd, int number)
{
    (void)number;
    if (peer_greet(fd))
        peer_command(fd);
}

TEST(what_was_accepted_last_before_the_loss_ends_with_it)
{
    peer_start(&peer, greet_and_go);
    for (int i = 0; i < 100; i++) {
        enum redis_submit how;
        int accepted = 0;

        world_open(&w, peer.url);
        do {
            struct redis_op *op = op_text(REDIS_EXISTS, "key", NULL);

            how = redis_submit(w.client, op, false);
            accepted += how == REDIS_ACCEPTED;
            if (how != REDIS_ACCEPTED)
                op_free(op);
        } while (how != REDIS_DOWN);
        for (; accepted; accepted--) {
            struct redis_op *op = next_done(&w); /* long before its deadline */

            CHECK(op->status == REDIS_UNKNOWN || op->status == REDIS_UNSENT);
            op_free(op);
        }
        world_close(&w);
    }
    peer_stop(&peer);
}

/* -- The end ------------------------------------------------------------------------------------- */

TEST(a_client_that_was_never_used_ends_at_once)
{
    world_open(&w, "redis://127.0.0.1:1");
    redis_client_release(w.client);
    CHECK(w.gone);
}

static void hold(int fd, int number)
{
    (void)number;
    if (peer_greet(fd))
        peer_drain(fd);
}

TEST(release_does_not_wait_and_pending_operations_end_first)
{
    struct redis_op *op;

    peer_start(&peer, hold);
    world_open(&w, peer.url);
    submit(&w, within(op_text(REDIS_SET, "key", "x"), 100));
    redis_client_release(w.client);
    WORLD_AWAIT(&w, w.gone);
    op = next_done(&w); /* it is here: it came before the end */
    CHECK_INT(REDIS_TIMEOUT, op->status);
    op_free(op);
    peer_stop(&peer);
}

TEST(a_client_that_is_down_ends_at_once)
{
    struct redis_config config = config_for("unix:///nonexistent/socket");

    check_unusable(&config, "no such file or directory");
    world_close(&w);
}

/* -- Memory -------------------------------------------------------------------------------------- */

TEST(without_memory_operations_fail_and_nothing_else)
{
    enum { TRIES = 60 };
    char *large = calloc(1, 50000);
    int failed = 0;

    server = server_start(NULL);
    for (long n = 1; n <= TRIES; n++) {
        struct redis_op *op[5];

        world_open(&w, server->url);
        op[0] = op_text(REDIS_SET, "key", "x");
        op[1] = op_of(REDIS_SET, "large", 5, large, 50000);
        op[2] = op_text(REDIS_GET, "large", NULL);
        op[3] = op_text(REDIS_SCAN, NULL, "0");
        op[4] = op_text(REDIS_SCAN_UNLINK, NULL, "0");
        alloc_fail_nth(n);
        for (int i = 0; i < 5; i++) {
            if (redis_submit(w.client, op[i], false) != REDIS_ACCEPTED) {
                CHECK(op[i]->error[0] != '\0');
                op_free(op[i]);
                failed++;
                continue;
            }
            CHECK(next_done(&w) == op[i]);
            failed += op[i]->status > REDIS_ABSENT;
            CHECK((op[i]->status > REDIS_ABSENT) == (op[i]->error[0] != '\0'));
            op_free(op[i]);
        }
        alloc_fail_nth(0);
        world_await_state(&w, REDIS_STATE_UP);
        CHECK_STR("(absent)", get_text(&w, "none"));
        world_close(&w);
    }
    CHECK(failed >= 5);
    free(large);
    server_stop(server);
}

CHECK_MAIN()
