#include "tier/bell.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/clock.h"
#include "check.h"
#include "tier/mailbox.h"

/* A runtime_dir of this test's own. */
static char base[64];

static void make_base(void)
{
    strcpy(base, "/tmp/tandem-bell-XXXXXX");
    REQUIRE(mkdtemp(base) != NULL);
}

/* The private directory in it. */
static const char *private_dir(void)
{
    static char path[128];

    snprintf(path, sizeof(path), "%s/tandem-%u", base, (unsigned)geteuid());
    return path;
}

static int count_files(void)
{
    DIR *dir = opendir(private_dir());
    struct dirent *found;
    int n = 0;

    REQUIRE(dir != NULL);
    while ((found = readdir(dir)) != NULL)
        n += found->d_name[0] != '.';
    closedir(dir);
    return n;
}

static void remove_base(void)
{
    CHECK_INT(0, count_files());
    CHECK_INT(0, rmdir(private_dir()));
    CHECK_INT(0, rmdir(base));
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    close(fd);
    return -1;
}

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

static int open_bell(tandem_mailbox *m, char *path, size_t size)
{
    char error[256] = "";
    int status = mailbox_bell_open(m, base, path, size, error, sizeof(error));

    if (status)
        printf("%s\n", error);
    return status;
}

/* -- Files --------------------------------------------------------------------------------------- */

TEST(the_socket_is_in_a_private_directory_and_goes_with_the_mailbox)
{
    tandem_mailbox *m = mailbox_create();
    char path[128], again[128];
    struct stat st;

    make_base();
    CHECK_INT(TANDEM_OK, open_bell(m, path, sizeof(path)));
    CHECK_INT(TANDEM_OK, open_bell(m, again, sizeof(again)));
    CHECK_STR(path, again);
    REQUIRE(stat(private_dir(), &st) == 0);
    CHECK_INT(0700, st.st_mode & 07777);
    REQUIRE(lstat(path, &st) == 0);
    CHECK(S_ISSOCK(st.st_mode));
    mailbox_release(m);
    CHECK(lstat(path, &st) != 0);
    remove_base();
}

TEST(a_directory_that_others_may_enter_is_refused)
{
    tandem_mailbox *m = mailbox_create();
    char path[128], error[256] = "";

    make_base();
    REQUIRE(mkdir(private_dir(), 0700) == 0 && chmod(private_dir(), 0755) == 0);
    CHECK_INT(TANDEM_ESYS, mailbox_bell_open(m, base, path, sizeof(path), error, sizeof(error)));
    CHECK(strstr(error, private_dir()) != NULL);
    CHECK(strstr(error, "0700") != NULL);
    mailbox_release(m);
    remove_base();
}

TEST(a_link_in_the_directory_s_place_is_refused)
{
    tandem_mailbox *m = mailbox_create();
    char path[128], error[256] = "", target[128];

    make_base();
    snprintf(target, sizeof(target), "%s/elsewhere", base);
    REQUIRE(mkdir(target, 0700) == 0 && symlink(target, private_dir()) == 0);
    CHECK_INT(TANDEM_ESYS, mailbox_bell_open(m, base, path, sizeof(path), error, sizeof(error)));
    CHECK(strstr(error, private_dir()) != NULL);
    mailbox_release(m);
    CHECK_INT(0, unlink(private_dir()));
    CHECK_INT(0, rmdir(target));
    CHECK_INT(0, rmdir(base));
}

TEST(places_where_no_socket_can_be_are_errors_that_name_them)
{
    tandem_mailbox *m = mailbox_create();
    char path[256], error[256] = "", longest[128] = "";

    CHECK_INT(TANDEM_ESYS,
              mailbox_bell_open(m, "/nowhere/at/all", path, sizeof(path), error, sizeof(error)));
    CHECK(strstr(error, "/nowhere/at/all") != NULL);
    make_base();
    snprintf(longest, sizeof(longest), "%s/", base);
    memset(longest + strlen(longest), 'a', 70);
    REQUIRE(mkdir(longest, 0700) == 0);
    CHECK_INT(TANDEM_ESYS, mailbox_bell_open(m, longest, path, sizeof(path), error, sizeof(error)));
    CHECK(strstr(error, longest) != NULL);
    CHECK_INT(TANDEM_ESYS, mailbox_bell_open(m, base, path, 4, error, sizeof(error)));
    CHECK(strstr(error, "4") != NULL);
    mailbox_release(m);
    snprintf(path, sizeof(path), "%s/tandem-%u", longest, (unsigned)geteuid());
    CHECK_INT(0, rmdir(path));
    CHECK_INT(0, rmdir(longest));
    remove_base();
}

TEST(a_bell_whose_file_was_cleaned_away_is_made_anew)
{
    tandem_mailbox *m = mailbox_create();
    char path[128], again[128];
    int fd;

    make_base();
    REQUIRE(open_bell(m, path, sizeof(path)) == TANDEM_OK);
    CHECK_INT(0, unlink(path));
    CHECK_INT(TANDEM_OK, open_bell(m, again, sizeof(again)));
    fd = connect_to(again);
    CHECK(fd >= 0);
    CHECK_INT(TANDEM_OK, mailbox_bell_accept(m));
    close(fd);
    mailbox_release(m);
    remove_base();
}

/* Makes a child that opens a bell and ends in a certain way. */
static void child_with_bell(bool killed)
{
    pid_t child = fork();
    int status = 0;

    REQUIRE(child >= 0);
    if (child == 0) {
        static tandem_mailbox *m; /* never released: to exit is enough */
        char path[128];

        m = mailbox_create();
        REQUIRE(open_bell(m, path, sizeof(path)) == TANDEM_OK);
        if (killed)
            raise(SIGKILL);
        exit(0);
    }
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(killed ? WIFSIGNALED(status) : status == 0);
}

TEST(the_file_goes_at_exit_and_a_killed_process_s_with_the_next_bell)
{
    tandem_mailbox *m = mailbox_create();
    char path[128];

    make_base();
    child_with_bell(false);
    CHECK_INT(0, count_files());
    child_with_bell(true);
    CHECK_INT(1, count_files());
    REQUIRE(open_bell(m, path, sizeof(path)) == TANDEM_OK);
    CHECK_INT(1, count_files());
    mailbox_release(m);
    remove_base();
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
    fd = connect_to(path);
    REQUIRE(fd >= 0 && mailbox_bell_accept(m) == TANDEM_OK);
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
    fd = connect_to(path);
    REQUIRE(fd >= 0 && mailbox_bell_accept(m) == TANDEM_OK);
    CHECK_INT(1, bytes_at(fd));
    second = connect_to(path);
    REQUIRE(second >= 0 && mailbox_bell_accept(m) == TANDEM_OK);
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
        fd = connect_to(path);
        REQUIRE(fd >= 0 && mailbox_bell_accept(m) == TANDEM_OK);
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
    fd = connect_to(path);
    REQUIRE(fd >= 0 && mailbox_bell_accept(m) == TANDEM_OK);
    close(fd);
    complete(open_ticket(m)); /* would be a SIGPIPE */
    fd = connect_to(path);
    REQUIRE(fd >= 0 && mailbox_bell_accept(m) == TANDEM_OK);
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
    fd = connect_to(path);
    REQUIRE(fd >= 0 && mailbox_bell_accept(m) == TANDEM_OK);
    child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        int mine;

        close(fd);
        CHECK_INT(TANDEM_MISS, mailbox_bell_accept(m));
        CHECK_INT(TANDEM_OK, open_bell(m, own, sizeof(own)));
        CHECK(strcmp(own, path) != 0);
        mine = connect_to(own);
        CHECK(mine >= 0);
        CHECK_INT(TANDEM_OK, mailbox_bell_accept(m));
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
    fd = connect_to(path);
    REQUIRE(fd >= 0 && mailbox_bell_accept(m) == TANDEM_OK);
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
    fd = connect_to(path);
    REQUIRE(fd >= 0 && mailbox_bell_accept(m) == TANDEM_OK);
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
