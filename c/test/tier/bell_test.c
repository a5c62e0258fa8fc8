/* Bells: who is let in, what rings, what a fork leaves. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>

#include "base/clock.h"
#include "tier/bells.h"

static bool readable(int fd, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, timeout_ms) == 1;
}

/* Bytes that are there to be read: 0 for none, -1 for the end. */
static int bytes_at(int fd)
{
    char buffer[16];
    ssize_t n = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);

    if (n < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
    return n == 0 ? -1 : (int)n;
}

/* -- Connections --------------------------------------------------------------------------------- */

TEST(nobody_waiting_is_a_miss)
{
    tandem_mailbox *m = mailbox_create();
    char path[128];

    make_base();
    CHECK_INT(TANDEM_MISS, mailbox_bell_accept(m)); /* not even a bell */
    REQUIRE(open_bell(m, path, sizeof(path)) == TANDEM_OK);
    CHECK_INT(TANDEM_MISS, mailbox_bell_accept(m));
    mailbox_release(m);
    remove_base();
}

static struct mailbox_slip open_ticket(tandem_mailbox *m)
{
    struct mailbox_slip slip = {NULL, 0};

    REQUIRE(mailbox_open(m, m, clock_now_ms() + 60000, &slip) == 0);
    return slip;
}

static void complete(struct mailbox_slip slip)
{
    struct outcome outcome = {.status = TANDEM_OK};

    mailbox_complete(&slip, &outcome);
}

TEST(one_byte_arrives_until_the_next_drain)
{
    tandem_mailbox *m = mailbox_create();
    struct mailbox_slip slips[3];
    double heard[8];
    char path[128];
    int fd;

    make_base();
    REQUIRE(open_bell(m, path, sizeof(path)) == TANDEM_OK);
    fd = connect_and_accept(m, path);
    for (int i = 0; i < 3; i++)
        slips[i] = open_ticket(m);
    CHECK_INT(0, bytes_at(fd));
    complete(slips[0]);
    complete(slips[1]);
    CHECK_INT(1, bytes_at(fd));
    complete(slips[2]);
    CHECK_INT(0, bytes_at(fd));
    CHECK_INT(3, mailbox_drain(m, heard, 8));
    CHECK_INT(0, bytes_at(fd));
    complete(open_ticket(m));
    complete(open_ticket(m));
    CHECK_INT(1, bytes_at(fd));
    CHECK_INT(1, mailbox_drain(m, heard, 1)); /* one did not fit: told again */
    CHECK_INT(1, bytes_at(fd));
    CHECK_INT(1, mailbox_drain(m, heard, 1));
    CHECK_INT(0, bytes_at(fd));
    close(fd);
    mailbox_release(m);
    remove_base();
}

TEST(what_has_completed_already_rings_at_once)
{
    tandem_mailbox *m = mailbox_create();
    char path[128];
    int fd, second;

    make_base();
    REQUIRE(open_bell(m, path, sizeof(path)) == TANDEM_OK);
    complete(open_ticket(m));
    fd = connect_and_accept(m, path);
    CHECK_INT(1, bytes_at(fd));
    second = connect_and_accept(m, path);
    CHECK_INT(-1, bytes_at(fd)); /* the earlier one was hung up */
    CHECK_INT(1, bytes_at(second));
    close(fd);
    close(second);
    mailbox_release(m);
    remove_base();
}

TEST(hanging_up_ends_the_connection_and_another_may_be_made)
{
    tandem_mailbox *m = mailbox_create();
    char path[128];
    int fd;

    make_base();
    REQUIRE(open_bell(m, path, sizeof(path)) == TANDEM_OK);
    mailbox_bell_hang_up(m); /* nothing to hang up */
    for (int i = 0; i < 3; i++) {
        fd = connect_and_accept(m, path);
        mailbox_bell_hang_up(m);
        CHECK(readable(fd, 5000));
        CHECK_INT(-1, bytes_at(fd));
        close(fd);
    }
    complete(open_ticket(m)); /* into silence */
    mailbox_release(m);
    remove_base();
}

TEST(a_reader_that_left_costs_nothing)
{
    tandem_mailbox *m = mailbox_create();
    char path[128];
    int fd;

    make_base();
    REQUIRE(open_bell(m, path, sizeof(path)) == TANDEM_OK);
    fd = connect_and_accept(m, path);
    close(fd);
    complete(open_ticket(m)); /* would be a SIGPIPE */
    fd = connect_and_accept(m, path);
    CHECK_INT(1, bytes_at(fd));
    close(fd);
    mailbox_release(m);
    remove_base();
}

TEST(another_process_is_hung_up_on)
{
    tandem_mailbox *m = mailbox_create();
    char path[128];
    int ready[2], status = 0;
    pid_t child;
    char byte;

    make_base();
    REQUIRE(open_bell(m, path, sizeof(path)) == TANDEM_OK && pipe(ready) == 0);
    child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        int fd = connect_to(path);

        REQUIRE(fd >= 0 && write(ready[1], "x", 1) == 1);
        CHECK(readable(fd, 10000));
        CHECK_INT(-1, bytes_at(fd));
        _exit(0);
    }
    REQUIRE(read(ready[0], &byte, 1) == 1);
    CHECK_INT(TANDEM_MISS, mailbox_bell_accept(m));
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK_INT(0, status);
    mailbox_release(m);
    remove_base();
}

enum { NOBODY = 65534 };

/* What a child that is another user comes by: 0 when it is not let in, 1 when it is hung up on. */
static int status_of_stranger(tandem_mailbox *m, const char *path)
{
    int ready[2], status = 0;
    pid_t child;
    char byte;

    REQUIRE(pipe(ready) == 0);
    child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        int fd;

        REQUIRE(setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
        fd = connect_to(path);
        REQUIRE(fd >= 0 ? write(fd, "x", 1) == 1 : errno == EACCES);
        REQUIRE(write(ready[1], "x", 1) == 1);
        if (fd < 0)
            _exit(0);
        REQUIRE(readable(fd, 10000) && bytes_at(fd) == -1);
        _exit(2);
    }
    REQUIRE(read(ready[0], &byte, 1) == 1);
    CHECK_INT(TANDEM_MISS, mailbox_bell_accept(m));
    REQUIRE(waitpid(child, &status, 0) == child && WIFEXITED(status));
    close(ready[0]);
    close(ready[1]);
    return WEXITSTATUS(status) == 2 ? 1 : WEXITSTATUS(status) == 0 ? 0 : -1;
}

TEST(another_user_is_not_let_in_and_where_root_has_opened_the_door_hung_up_on)
{
    tandem_mailbox *m = mailbox_create();
    char path[128];

    if (geteuid() != 0) /* who cannot become another user is not asked to */
        return;
    make_base();
    REQUIRE(chmod(base, 0755) == 0 && open_bell(m, path, sizeof(path)) == TANDEM_OK);
    CHECK_INT(0, status_of_stranger(m, path));
    REQUIRE(chmod(private_dir(), 0755) == 0 && chmod(path, 0777) == 0);
    CHECK_INT(1, status_of_stranger(m, path));
    mailbox_release(m);
    remove_base();
}

/* -- Fork ---------------------------------------------------------------------------------------- */

TEST(a_child_s_bell_is_its_own_and_the_parent_s_stays)
{
    tandem_mailbox *m = mailbox_create();
    char path[128], own[128];
    int fd, status = 0;
    pid_t child;
    struct stat st;

    make_base();
    REQUIRE(open_bell(m, path, sizeof(path)) == TANDEM_OK);
    fd = connect_and_accept(m, path);
    child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        int mine;

        close(fd);
        CHECK_INT(TANDEM_MISS, mailbox_bell_accept(m));
        CHECK_INT(TANDEM_OK, open_bell(m, own, sizeof(own)));
        CHECK(strcmp(own, path) != 0);
        mine = connect_and_accept(m, own);
        complete(open_ticket(m));
        CHECK_INT(1, bytes_at(mine));
        exit(0); /* with its exit handlers */
    }
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK_INT(0, status);
    CHECK_INT(0, lstat(path, &st));
    CHECK_INT(1, count_files());
    CHECK_INT(0, bytes_at(fd));
    complete(open_ticket(m));
    CHECK_INT(1, bytes_at(fd));
    close(fd);
    mailbox_release(m);
    remove_base();
}

TEST(hanging_up_reaches_the_reader_though_a_child_lives)
{
    tandem_mailbox *m = mailbox_create();
    char path[128], byte;
    int fd, stop[2];
    pid_t child;

    make_base();
    REQUIRE(open_bell(m, path, sizeof(path)) == TANDEM_OK && pipe(stop) == 0);
    fd = connect_and_accept(m, path);
    child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        close(stop[1]);
        _exit((int)read(stop[0], &byte, 1));
    }
    mailbox_bell_hang_up(m);
    CHECK(readable(fd, 5000));
    CHECK_INT(-1, bytes_at(fd));
    close(stop[1]);
    REQUIRE(waitpid(child, NULL, 0) == child);
    close(fd);
    mailbox_release(m);
    remove_base();
}

/* -- Races --------------------------------------------------------------------------------------- */

enum { RACES = 20000 };

static _Atomic int posted;
static struct mailbox_slip ring[64];

static void *complete_all(void *context)
{
    (void)context;
    for (int n = 0; n < RACES; n++) {
        while (atomic_load(&posted) <= n)
            sched_yield();
        complete(ring[n % 64]);
    }
    return NULL;
}

/* As an event loop does it: sleep in the read, drain, go back to it. */
TEST(a_reader_asleep_is_always_woken)
{
    tandem_mailbox *m = mailbox_create();
    int taken = 0, given = 0;
    pthread_t thread;
    double heard[8];
    char path[128], bytes[64];
    tandem_result result;
    int fd;

    make_base();
    REQUIRE(open_bell(m, path, sizeof(path)) == TANDEM_OK);
    fd = connect_and_accept(m, path);
    REQUIRE(pthread_create(&thread, NULL, complete_all, NULL) == 0);
    while (taken < RACES) {
        while (given < RACES && given - taken < 5) {
            ring[given % 64] = open_ticket(m);
            atomic_store(&posted, ++given);
        }
        REQUIRE(readable(fd, 10000));
        REQUIRE(read(fd, bytes, sizeof(bytes)) > 0);
        for (int i = mailbox_drain(m, heard, 3); i > 0; i--, taken++)
            REQUIRE(mailbox_take(m, heard[i - 1], NULL, 0, &result) == TANDEM_OK);
    }
    pthread_join(thread, NULL);
    CHECK_INT(0, mailbox_pending(m));
    close(fd);
    mailbox_release(m);
    remove_base();
}

CHECK_MAIN()
