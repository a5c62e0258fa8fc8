/* The I/O thread: its start and end, signals, descriptors, forks. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "redis/loop.h"
#include "redis/peer.h"
#include "redis/real.h"

static bool is_child;

/* Asked by a sanitizer of leaks: a child does not free what is its parent's, and does not find it either. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return is_child;
}

/* -- What the system sees ------------------------------------------------------------------------ */

/* Reads a field of /proc/self/task/ID/status; false if the thread has gone. */
static bool status_field(const char *id, const char *field, char *text, size_t size)
{
    char path[300], line[256];
    bool found = false;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/self/task/%s/status", id);
    file = fopen(path, "r");
    while (file && !found && fgets(line, sizeof(line), file)) {
        if (strncmp(line, field, strlen(field)) == 0) {
            line[strcspn(line, "\n")] = '\0';
            snprintf(text, size, "%s", line + strlen(field) + 1);
            found = true;
        }
    }
    if (file)
        fclose(file);
    return found;
}

/* How many threads of this name there are, and the signals that the last one blocks. */
static int threads_named(const char *name, char *blocked, size_t size)
{
    DIR *tasks = opendir("/proc/self/task");
    char text[256];
    int n = 0;

    REQUIRE(tasks != NULL);
    for (struct dirent *entry = readdir(tasks); entry; entry = readdir(tasks)) {
        if (entry->d_name[0] == '.' || !status_field(entry->d_name, "Name:", text, sizeof(text)) ||
            strcmp(text, name) != 0)
            continue;
        n++;
        REQUIRE(status_field(entry->d_name, "SigBlk:", blocked, size));
    }
    closedir(tasks);
    return n;
}

/* Which of this process's descriptors are sockets, eventfds or epolls; how many stay open over exec. */
static int count_descriptors(int *inheritable)
{
    int n = 0;

    *inheritable = 0;
    for (int fd = 3; fd < 200; fd++) {
        char path[64], target[128];
        ssize_t length;

        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        length = readlink(path, target, sizeof(target) - 1);
        if (length < 0)
            continue;
        target[length] = '\0';
        if (strncmp(target, "socket:", 7) == 0 || strncmp(target, "anon_inode:", 11) == 0) {
            n++;
            *inheritable += !(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        }
    }
    return n;
}

TEST(there_is_one_thread_with_a_name_that_takes_no_signal)
{
    static const int signals[] = {SIGPIPE, SIGTERM, SIGINT,  SIGQUIT,  SIGCHLD,
                                  SIGHUP,  SIGUSR1, SIGUSR2, SIGWINCH, SIGALRM};
    char blocked[64] = "";
    struct world other;

    begin();
    CHECK_INT(0, threads_named("tandem-io", blocked, sizeof(blocked))); /* nothing was asked yet */
    CHECK_INT(REDIS_DONE, set_text(&w, "key", "x"));
    world_open(&other, server->url);
    CHECK_STR("x", get_text(&other, "key"));
    CHECK_INT(1, threads_named("tandem-io", blocked, sizeof(blocked)));
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        CHECK(strtoull(blocked, NULL, 16) >> (signals[i] - 1) & 1);
    world_close(&other);
    end();
}

TEST(descriptors_are_closed_on_exec)
{
    int inheritable, before, before_inheritable;

    begin();
    before = count_descriptors(&before_inheritable);
    CHECK_INT(REDIS_DONE, set_text(&w, "key", "x"));
    CHECK_INT(before + 3, count_descriptors(&inheritable)); /* epoll, eventfd, connection */
    CHECK_INT(before_inheritable, inheritable);
    end();
}

/* How often the I/O thread has gone to sleep. */
static long naps(void)
{
    DIR *tasks = opendir("/proc/self/task");
    char text[256];
    long n = -1;

    REQUIRE(tasks != NULL);
    for (struct dirent *entry = readdir(tasks); entry; entry = readdir(tasks)) {
        if (entry->d_name[0] == '.' || !status_field(entry->d_name, "Name:", text, sizeof(text)) ||
            strcmp(text, "tandem-io") != 0)
            continue;
        REQUIRE(status_field(entry->d_name, "voluntary_ctxt_switches:", text, sizeof(text)));
        n = atol(text);
    }
    closedir(tasks);
    return n;
}

TEST(who_has_nothing_to_do_sleeps)
{
    const struct timespec nap = {0, 300000000};
    long before;

    begin();
    CHECK_INT(REDIS_DONE, set_text(&w, "key", "x"));
    nanosleep(&nap, NULL);
    before = naps();
    CHECK(before > 0);
    nanosleep(&nap, NULL);
    CHECK_INT(before, naps());
    CHECK_STR("x", get_text(&w, "key"));
    while (naps() == before) /* it is about to */
        nanosleep(&nap, NULL);
    end();
}

static _Atomic int calls;

static void tick(void)
{
    calls++;
}

static void tock(void)
{
    calls += 1000;
}

TEST(something_is_done_periodically)
{
    const struct timespec nap = {0, 1000000};

    redis_set_periodic(5, tick);
    begin();
    CHECK_INT(0, calls);
    CHECK_INT(REDIS_DONE, set_text(&w, "key", "x"));
    while (calls < 10)
        nanosleep(&nap, NULL);
    redis_set_periodic(5, tock); /* instead */
    while (calls < 3000)
        nanosleep(&nap, NULL);
    redis_set_periodic(60000, tick);
    CHECK_STR("x", get_text(&w, "key"));
    redis_set_periodic(1, tock); /* the thread sleeps, but not that long */
    calls = 0;
    while (calls < 3000)
        nanosleep(&nap, NULL);
    end();
}

/* -- Exit ---------------------------------------------------------------------------------------- */

/* Runs fn in a child; says what it exited with. */
static int in_child(void (*fn)(void))
{
    int status;
    pid_t child = fork();

    REQUIRE(child >= 0);
    if (child == 0) {
        is_child = true;
        fn();
        exit(0); /* as a program ends, with its handlers */
    }
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void submit_and_leave(void)
{
    char key[16];

    for (int i = 0; i < 500; i++) {
        snprintf(key, sizeof(key), "%d", i);
        submit(&w, op_text(REDIS_SET, key, "x"));
    }
}

TEST(what_is_queued_is_sent_before_the_process_is_gone)
{
    begin();
    CHECK_INT(0, in_child(submit_and_leave));
    CHECK_STR("500", server_command(server, "DBSIZE"));
    end();
}

static void submit_in_vain_and_leave(void)
{
    submit(&w, within(op_text(REDIS_SET, "key", "x"), 200));
    submit(&w, within(op_text(REDIS_GET, "key", NULL), 300));
}

TEST(deadlines_bound_how_long_an_exit_takes)
{
    int64_t begin_ms;

    begin();
    server_freeze(server);
    begin_ms = clock_now_ms();
    CHECK_INT(0, in_child(submit_in_vain_and_leave));
    CHECK(clock_now_ms() - begin_ms >= 200);
    CHECK(clock_now_ms() - begin_ms < 8000);
    server_thaw(server);
    end();
}

static void submit_too_late(void)
{
    struct redis_op *op = op_text(REDIS_SET, "late", "x");
    enum redis_submit how = redis_submit(w.client, op, false);

    if (how != REDIS_NO_THREAD || !strstr(op->error, ": the process exits"))
        _exit(7);
    op_free(op);
    redis_client_release(w.client);
    if (!w.gone)
        _exit(8);
}

static void use_and_leave(void)
{
    atexit(submit_too_late); /* before ours, so it runs after it */
    set_text(&w, "early", "x");
}

TEST(nothing_begins_while_the_process_exits)
{
    begin();
    CHECK_INT(0, in_child(use_and_leave));
    CHECK_STR("t:early", server_command(server, "KEYS *"));
    end();
}

static void just_leave(void)
{
}

TEST(a_child_that_does_not_use_it_exits_as_ever)
{
    begin();
    CHECK_INT(REDIS_DONE, set_text(&w, "key", "x"));
    CHECK_INT(0, in_child(just_leave));
    CHECK_STR("x", get_text(&w, "key"));
    CHECK_INT(1, counted(&w, REDIS_COUNT_CONNECTS));
    end();
}

/* -- Fork ---------------------------------------------------------------------------------------- */

static int sockets_before;

static void look_around_and_use(void)
{
    char blocked[64];
    int inheritable;

    /* Of the parent's descriptors nothing is left, and nothing of its thread. */
    if (count_descriptors(&inheritable) != sockets_before)
        _exit(11);
    if (threads_named("tandem-io", blocked, sizeof(blocked)) != 0)
        _exit(12);
    if (redis_client_state(w.client, NULL, 0) != REDIS_STATE_IDLE)
        _exit(13);
    w.done = 0;
    w.first = NULL;
    if (set_text(&w, "child", "x") != REDIS_DONE || strcmp(get_text(&w, "child"), "x") != 0)
        _exit(14);
    if (threads_named("tandem-io", blocked, sizeof(blocked)) != 1)
        _exit(15);
    if (w.done != 2) /* and not the parent's operation */
        _exit(16);
}

TEST(a_child_starts_anew_and_the_parent_goes_on)
{
    struct redis_op *op;
    int inheritable;

    begin();
    sockets_before = count_descriptors(&inheritable);
    CHECK_INT(REDIS_DONE, set_text(&w, "key", "x"));
    CHECK_INT(0, in_child(look_around_and_use));
    server_command(server, "CLIENT PAUSE 300 ALL"); /* so that one is pending over the fork */
    submit(&w, op_text(REDIS_SET, "pending", "y"));
    CHECK_INT(0, in_child(look_around_and_use));
    op = next_done(&w);
    CHECK_INT(REDIS_DONE, op->status);
    op_free(op);
    CHECK_STR("y", get_text(&w, "pending"));
    CHECK_INT(1, counted(&w, REDIS_COUNT_CONNECTS)); /* the parent's connection is as it was */
    end();
}

static int opened[8];

static void check_opened(void)
{
    for (int i = 0; i < 8; i++) {
        if (fcntl(opened[i], F_GETFD) < 0)
            _exit(22);
    }
}

TEST(a_child_closes_nothing_that_has_the_number_of_a_connection_that_was)
{
    begin();
    CHECK_INT(REDIS_DONE, set_text(&w, "key", "x"));
    server_kill(server);
    world_await_state(&w, REDIS_STATE_DOWN);
    for (int i = 0; i < 8; i++)
        opened[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CHECK_INT(0, in_child(check_opened));
    for (int i = 0; i < 8; i++)
        close(opened[i]);
    end();
}

static void release_now(void)
{
    w.gone = false;
    redis_client_release(w.client);
    if (!w.gone)
        _exit(17);
}

TEST(a_child_may_give_up_its_parents_client)
{
    struct redis_op *op;

    begin();
    CHECK_INT(REDIS_DONE, set_text(&w, "key", "x"));
    server_freeze(server);
    submit(&w, op_text(REDIS_GET, "key", NULL));
    CHECK_INT(0, in_child(release_now)); /* although one is pending: in the parent */
    server_thaw(server);
    op = next_done(&w);
    CHECK_INT(REDIS_DONE, op->status);
    op_free(op);
    end();
}

static void fork_again(void)
{
    if (set_text(&w, "child", "x") != REDIS_DONE)
        _exit(18);
    w.first = NULL;
    if (in_child(look_around_and_use) != 0)
        _exit(19);
    if (strcmp(get_text(&w, "child"), "x") != 0)
        _exit(20);
}

TEST(a_child_of_a_child)
{
    int inheritable;

    begin();
    sockets_before = count_descriptors(&inheritable);
    CHECK_INT(REDIS_DONE, set_text(&w, "key", "x"));
    CHECK_INT(0, in_child(fork_again));
    end();
}

static _Atomic bool ending;

static void *keep_busy(void *context)
{
    (void)context;
    while (!ending) {
        struct redis_op *op = op_text(REDIS_SET, "busy", "x");

        if (redis_submit(w.client, op, false) == REDIS_ACCEPTED)
            op = next_done(&w);
        op_free(op);
    }
    return NULL;
}

/* A connection that is made anew all the time, so that forks meet every moment of that too. */
static void *keep_killing(void *context)
{
    const struct timespec nap = {0, 20000000};
    redisContext *c = context;

    while (!ending) {
        redisReply *reply = redisCommand(c, "CLIENT KILL TYPE normal SKIPME yes");

        if (reply)
            freeReplyObject(reply);
        nanosleep(&nap, NULL);
    }
    return NULL;
}

/* The allocators of sanitizers do not survive a fork while another thread is in them, as malloc does. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define ALLOCATOR_IS_LOST 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ALLOCATOR_IS_LOST 1
#endif
#ifndef ALLOCATOR_IS_LOST
#define ALLOCATOR_IS_LOST 0
#endif

static void use_in_child(void)
{
    int inheritable;

    if (count_descriptors(&inheritable) != sockets_before ||
        redis_client_state(w.client, NULL, 0) != REDIS_STATE_IDLE)
        _exit(21);
    if (ALLOCATOR_IS_LOST)
        _exit(0);
    /* The lock of what the hooks wrote to may have been held by the parent's thread. */
    pthread_mutex_init(&w.lock, NULL);
    pthread_cond_init(&w.changed, NULL);
    w.first = NULL;
    for (;;) {
        struct redis_op *op = op_text(REDIS_EXISTS, "key", NULL);
        bool good = redis_submit(w.client, op, false) == REDIS_ACCEPTED &&
                    next_done(&w)->status == REDIS_DONE;

        op_free(op);
        if (good)
            return;
    }
}

TEST(forks_at_any_moment)
{
    enum { FORKS = 60 };
    pthread_t busy, killing;
    redisContext *c;
    int inheritable, before;

    check_timeout(120);
    begin();
    c = server_connect(server);
    sockets_before = count_descriptors(&inheritable);
    CHECK_INT(REDIS_DONE, set_text(&w, "key", "x"));
    before = count_descriptors(&inheritable);
    REQUIRE(pthread_create(&busy, NULL, keep_busy, NULL) == 0);
    REQUIRE(pthread_create(&killing, NULL, keep_killing, c) == 0);
    for (int i = 0; i < FORKS; i++)
        CHECK_INT(0, in_child(use_in_child));
    ending = true;
    pthread_join(busy, NULL);
    pthread_join(killing, NULL);
    world_await_state(&w, REDIS_STATE_UP);
    CHECK_INT(before, count_descriptors(&inheritable));
    redisFree(c);
    end();
}

CHECK_MAIN()
