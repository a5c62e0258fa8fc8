/* From a URL to a connection: names, addresses that refuse, addresses that swallow. */
#include <netdb.h>
#include <sys/epoll.h>

#include "redis/dial.h"
#include "redis/ops.h"
#include "redis/peer.h"

static struct world w;

static void greet_all(int fd, int number)
{
    const char *command;

    (void)number;
    while ((command = peer_command(fd)))
        peer_send(fd, strcmp(command, "PING") == 0 ? "+PONG\r\n" : ":1\r\n");
}

TEST(a_name_is_looked_up)
{
    struct peer peer;
    char url[64], expected[64];

    peer_start(&peer, greet_all);
    snprintf(url, sizeof(url), "redis://localhost:%d", peer.port);
    world_open(&w, url);
    snprintf(expected, sizeof(expected), "redis localhost:%d/0", peer.port);
    CHECK_STR(expected, redis_client_server(w.client));
    CHECK_INT(REDIS_DONE, status_of(&w, op_text(REDIS_EXISTS, "key", NULL)));
    world_close(&w);
    peer_stop(&peer);
}

TEST(a_name_that_there_is_not)
{
    struct redis_config config = config_for("redis://no-such-host.invalid");
    struct redis_op *op;
    int64_t begin_ms = clock_now_ms();

    config.connect_timeout_ms = 3000;
    world_open_with(&w, &config);
    op = carry_out(&w, op_text(REDIS_EXISTS, "key", NULL));
    CHECK_INT(REDIS_UNSENT, op->status);
    CHECK(strncmp(op->error, "redis no-such-host.invalid:6379/0: ", 35) == 0);
    CHECK(strstr(op->error, "look the host up") || strstr(op->error, "was not found in 3000 ms"));
    CHECK(clock_now_ms() - begin_ms < 20000);
    op_free(op);
    world_close(&w);
}

TEST(a_client_may_end_while_it_looks_up)
{
    struct peer peer;
    char url[64];

    for (int i = 0; i < 50; i++) {
        world_open(&w, i % 2 ? "redis://no-such-host.invalid" : "redis://localhost:1");
        submit(&w, within(op_text(REDIS_EXISTS, "key", NULL), 1));
        redis_client_release(w.client);
        WORLD_AWAIT(&w, w.gone);
        op_free(next_done(&w));
    }
    /* And all that leaves nothing behind. */
    peer_start(&peer, greet_all);
    snprintf(url, sizeof(url), "redis://localhost:%d", peer.port);
    world_open(&w, url);
    status_of(&w, op_text(REDIS_EXISTS, "key", NULL)); /* too many may be under way yet */
    world_await_state(&w, REDIS_STATE_UP);
    CHECK_INT(REDIS_DONE, status_of(&w, op_text(REDIS_EXISTS, "key", NULL)));
    world_close(&w);
    peer_stop(&peer);
}

static void *serve_one_v6(void *context)
{
    int fd = accept(*(int *)context, NULL, NULL);

    if (fd >= 0) {
        greet_all(fd, 0);
        close(fd);
    }
    return NULL;
}

/* Where the system has no IPv6 it says so. */
TEST(an_address_of_ipv6)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    socklen_t size = sizeof(address);
    int listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool there = listener >= 0 && bind(listener, (struct sockaddr *)&address, size) == 0 &&
                 listen(listener, 1) == 0 &&
                 getsockname(listener, (struct sockaddr *)&address, &size) == 0;
    struct redis_op *op;
    pthread_t thread;
    char url[64];

    snprintf(url, sizeof(url), "redis://[::1]:%d", there ? ntohs(address.sin6_port) : 1);
    if (there)
        REQUIRE(pthread_create(&thread, NULL, serve_one_v6, &listener) == 0);
    world_open(&w, url);
    op = carry_out(&w, op_text(REDIS_EXISTS, "key", NULL));
    CHECK_INT(there ? REDIS_DONE : REDIS_UNSENT, op->status);
    op_free(op);
    world_close(&w);
    if (there)
        pthread_join(thread, NULL);
    if (listener >= 0)
        close(listener);
}

/* A listener that has no room left: it answers to no call any more. */
static void fill_up(struct peer *peer, int *callers, int count)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)peer->port)};

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < count; i++) {
        callers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(callers[i], (struct sockaddr *)&address, sizeof(address));
    }
}

TEST(a_call_that_is_not_taken_is_given_up)
{
    enum { CALLERS = 8 };
    struct peer peer;
    struct redis_config config;
    struct redis_op *op;
    int callers[CALLERS];
    int64_t begin_ms;

    peer_listen(&peer, 0);
    fill_up(&peer, callers, CALLERS);
    config = config_for(peer.url);
    config.connect_timeout_ms = 100;
    world_open_with(&w, &config);
    begin_ms = clock_now_ms();
    op = carry_out(&w, op_text(REDIS_EXISTS, "key", NULL));
    CHECK_INT(REDIS_UNSENT, op->status);
    CHECK(strstr(op->error, ": no connection in 100 ms") != NULL);
    CHECK(clock_now_ms() - begin_ms >= 100 && clock_now_ms() - begin_ms < 8000);
    op_free(op);
    /* An operation's own deadline may be shorter. */
    world_close(&w);
    config.connect_timeout_ms = 10000;
    world_open_with(&w, &config);
    op = carry_out(&w, within(op_text(REDIS_EXISTS, "key", NULL), 60));
    CHECK_INT(REDIS_TIMEOUT, op->status);
    CHECK(!op->may_have_run);
    CHECK_INT(0, op->sent_ms);
    CHECK(strstr(op->error, ": no connection in ") != NULL);
    op_free(op);
    CHECK_INT(REDIS_STATE_CONNECTING, redis_client_state(w.client, NULL, 0));
    world_close(&w);
    for (int i = 0; i < CALLERS; i++)
        close(callers[i]);
    close(peer.listener);
}

/* -- Several addresses --------------------------------------------------------------------------- */

enum { FULL = 2, CALLERS_EACH = 8 };

/* Listeners on 127.0.0.2 and .3 that answer to no call. */
static void listen_in_vain(int port, int *listeners, int *callers)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

    for (int i = 0; i < FULL; i++) {
        address.sin_addr.s_addr = htonl(0x7f000002 + (uint32_t)i);
        listeners[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        REQUIRE(bind(listeners[i], (struct sockaddr *)&address, sizeof(address)) == 0);
        REQUIRE(listen(listeners[i], 0) == 0);
        for (int k = 0; k < CALLERS_EACH; k++) {
            *callers = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
            (void)connect(*callers++, (struct sockaddr *)&address, sizeof(address));
        }
    }
}

/* Dials 127.0.0.2, of which we then say that it has two addresses more, until that ends. */
static enum dial_status dial_three(struct conn *conn, int port)
{
    struct url url = {.host = "127.0.0.2", .port = port};
    struct dial dial;
    enum dial_status status;
    int64_t now_ms = clock_now_ms();

    status = dial_begin(&dial, &url, NULL, conn, 1000, now_ms);
    REQUIRE(status == DIAL_WAITING);
    strcpy(dial.addresses.address[1], "127.0.0.3");
    strcpy(dial.addresses.address[2], "127.0.0.1");
    dial.addresses.count = 3;
    dial.next_ms = now_ms + 50; /* the first one's share */
    while (status == DIAL_WAITING) {
        struct pollfd poller = {conn_fd(conn), POLLOUT, 0};
        uint32_t events = poll(&poller, 1, 5) == 1 ? EPOLLOUT : 0;

        status = dial_continue(&dial, events, clock_now_ms());
    }
    CHECK(clock_now_ms() - now_ms >= 500);
    dial_end(&dial);
    return status;
}

TEST(an_address_that_swallows_calls_does_not_keep_us_from_the_next)
{
    struct conn conn = {0};
    struct peer peer;
    int listeners[FULL], callers[FULL * CALLERS_EACH];

    peer_start(&peer, greet_all);
    listen_in_vain(peer.port, listeners, callers);
    CHECK_INT(DIAL_CONNECTED, dial_three(&conn, peer.port));
    conn_close(&conn, false);
    for (int i = 0; i < FULL * CALLERS_EACH; i++)
        close(callers[i]);
    for (int i = 0; i < FULL; i++)
        close(listeners[i]);
    peer_stop(&peer);
}

/* A port that nobody listens on, called again and again from this host, is at last called from itself. */
TEST(nobody_is_not_ourselves)
{
    struct peer nobody;
    struct redis_op *op;

    peer_listen(&nobody, 1);
    close(nobody.listener);
    world_open(&w, nobody.url);
    op = carry_out(&w, op_text(REDIS_EXISTS, "key", NULL));
    CHECK(strstr(op->error, ": connection refused") != NULL);
    op_free(op);
    WORLD_AWAIT(&w, w.counts[REDIS_COUNT_FAILURES] >= 4);
    CHECK_INT(0, counted(&w, REDIS_COUNT_CONNECTS));
    world_close(&w);
}

CHECK_MAIN()
