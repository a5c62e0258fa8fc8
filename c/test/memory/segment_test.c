#include "memory/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "memory/layout.h"
#include "open.h"

static char directory[] = "/tmp/tandem-segment-test-XXXXXX";
static char path[128];

static void in_directory(const char *name)
{
    static bool made;

    if (!made)
        REQUIRE(mkdtemp(directory) != NULL);
    made = true;
    snprintf(path, sizeof(path), "%s/%s", directory, name);
}

static void clean_up(void)
{
    char command[200];

    snprintf(command, sizeof(command), "rm -rf %s", directory);
    CHECK_INT(0, system(command));
}

static struct memory *open_path(const char *identity, uint64_t bytes, const char *expected)
{
    struct memory_config config = {
        .name = "test", .identity = identity, .bytes = bytes, .path = path};
    struct memory *m = NULL;
    char error[512] = "";

    memory_open(&config, &m, error, sizeof(error));
    if (expected && !CHECK(strstr(error, expected) && strstr(error, path)))
        printf("got: %s\n", error);
    CHECK((m == NULL) == (expected != NULL));
    return m;
}

static void write_file(const void *bytes, size_t length)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    REQUIRE(fd >= 0 && write(fd, bytes, length) == (ssize_t)length);
    close(fd);
}

TEST(layouts_fit_their_size)
{
    static const uint32_t sizes[] = {0, 1, 30, 116, 1000, 5000, UINT32_MAX};
    uint32_t n = 0;

    for (uint64_t bytes = 1 << 20; bytes <= UINT64_C(1) << 38; bytes += bytes / 21 + 4097, n++) {
        struct layout_wants wants = {n % 2, n % 3 == 0, sizes[n % 7], n % 5 == 0};
        struct layout l;

        layout_compute(bytes, &wants, &l);
        CHECK(l.pages_at + ((uint64_t)l.shards * l.pages * LAYOUT_UNIT << l.page_shift) <= bytes);
        CHECK(l.pages_at + ((uint64_t)l.shards * (l.pages + 2) * LAYOUT_UNIT << l.page_shift) >
              bytes);
        CHECK(l.pages > 100 && l.pages < UINT16_MAX && l.pages < l.table_length);
        CHECK((uint64_t)l.table_length << l.page_shift <= LAYOUT_OFFSET_UNITS);
        CHECK((l.value_limit + MEMORY_KEY_MAX) / LAYOUT_UNIT + 8 < LAYOUT_LENGTH_UNITS);
        CHECK((l.value_limit + MEMORY_KEY_MAX) * 3 < l.capacity * LAYOUT_UNIT);
        CHECK(l.ghosts_at >= l.buckets_at + (uint64_t)l.shards * l.buckets * 64);
        CHECK(l.ghosts % LAYOUT_GHOST_GROUP == 0);
        CHECK(l.shards * (uint64_t)l.buckets * LAYOUT_SLOTS < UINT32_MAX);
    }
}

TEST(a_file_is_shared_and_survives)
{
    struct memory *m;
    struct stat st;
    pid_t pid;

    in_directory("shared");
    pid = fork();
    if (pid == 0) {
        m = open_path("one", 1 << 20, NULL);
        put(m, "key", "from another process");
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    m = open_path("one", 1 << 20, NULL);
    CHECK_STR("from another process", get(m, "key"));
    CHECK_INT(0, stat(path, &st));
    CHECK_INT(0600, st.st_mode & 0777);
    CHECK_INT(1 << 20, st.st_size);
    memory_close(m);
    clean_up();
}

TEST(what_is_not_ours_is_left_alone)
{
    char text[] = "dear diary";
    char page[LAYOUT_PAGE * 2] = "dear diary";
    char back[sizeof(text)];
    int fd;

    in_directory("foreign");
    write_file(text, sizeof(text));
    open_path("one", 1 << 20, "is not a tandem segment");
    write_file(page, sizeof(page));
    open_path("one", 1 << 20, "is not a tandem segment");
    fd = open(path, O_RDONLY);
    CHECK_INT(sizeof(back), read(fd, back, sizeof(back)));
    CHECK_STR(text, back);
    close(fd);
    write_file("", 0);
    open_path("one", 1 << 20, "is not a tandem segment");
    clean_up();
}

/* Where what it was made for is laid out in another way now. */
TEST(a_file_with_other_parts_makes_way)
{
    struct memory_config config = {
        .name = "test", .identity = "one", .bytes = 1 << 20, .path = path, .with_redis = true};
    char error[512] = "";
    struct memory *m;

    in_directory("parts");
    for (int i = 0; i < 4; i++) {
        config.with_lanes = i == 1 || i == 2;
        config.entry_size = i == 3 ? 50 : 0;
        CHECK_INT(MEMORY_OK, memory_open(&config, &m, error, sizeof(error)));
        CHECK_STR(i == 2 ? "value" : NULL, get(m, "key")); /* the same as before */
        put(m, "key", "value");
        memory_close(m);
    }
    clean_up();
}

TEST(a_file_whose_locks_are_none_is_refused_by_name)
{
    struct memory_description description;
    struct memory *m;
    char error[512] = "", none[sizeof(pthread_mutex_t)];
    int fd;

    memset(none, 'x', sizeof(none));
    in_directory("lockless");
    memory_close(open_path("one", 1 << 20, NULL));
    fd = open(path, O_WRONLY);
    CHECK(pwrite(fd, none, sizeof(none), offsetof(struct layout_header, replay_mutex)) ==
          (ssize_t)sizeof(none));
    close(fd);
    open_path("one", 1 << 20, "its locks are none; remove it");
    CHECK_INT(MEMORY_SYSTEM, memory_attach(path, false, &m, &description, error, sizeof(error)));
    CHECK(strstr(error, "its locks are none") != NULL);
    clean_up();
}

TEST(another_caches_file_is_refused_by_name)
{
    in_directory("other");
    memory_close(open_path("sessions", 1 << 20, NULL));
    open_path("pages", 1 << 20, "made for sessions, not for pages");
    clean_up();
}

TEST(a_file_cut_short_is_refused)
{
    in_directory("short");
    memory_close(open_path("one", 1 << 20, NULL));
    CHECK_INT(0, truncate(path, 100000));
    open_path("one", 1 << 20, "100000 of 1048576 bytes");
    clean_up();
}

TEST(a_file_of_another_layout_or_boot_is_replaced)
{
    struct layout_header *old;
    struct memory *m;
    int fd;

    in_directory("old");
    m = open_path("one", 1 << 20, NULL);
    put(m, "key", "value");
    memory_close(m);
    fd = open(path, O_RDWR);
    old = mmap(NULL, LAYOUT_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    REQUIRE(old != MAP_FAILED);
    old->fingerprint[strlen(old->fingerprint) - 1] ^= 1;
    m = open_path("one", 1 << 20, NULL);
    CHECK_STR(NULL, get(m, "key"));
    CHECK_INT(1, old->superseded);
    memory_close(m);
    close(fd);
    clean_up();
}

TEST(no_permission_and_no_directory_are_said)
{
    in_directory("missing/file");
    open_path("one", 1 << 20, "No such file or directory");
    in_directory("forbidden");
    memory_close(open_path("one", 1 << 20, NULL));
    CHECK_INT(0, chmod(path, 0));
    if (fork() == 0) {
        if (geteuid() == 0)
            REQUIRE(chmod(directory, 0755) == 0 && setuid(65534) == 0);
        open_path("one", 1 << 20, "Permission denied");
        _exit(0);
    }
    wait(NULL);
    clean_up();
}

TEST(a_full_disk_is_said_not_crashed_into)
{
    char mounted[64];

    in_directory("full");
    snprintf(mounted, sizeof(mounted), "%s/small", directory);
    REQUIRE(mkdir(mounted, 0700) == 0);
    if (mount("tmpfs", mounted, "tmpfs", 0, "size=512k") == 0) {
        in_directory("small/file");
        open_path("one", 1 << 20, "No space left on device");
        CHECK_INT(0, umount(mounted));
    } else { /* not root: a limit does as well */
        signal(SIGXFSZ, SIG_IGN);
        REQUIRE(setrlimit(RLIMIT_FSIZE, &(struct rlimit){1 << 19, 1 << 19}) == 0);
        open_path("one", 1 << 20, "File too large");
    }
    clean_up();
}

TEST(processes_meet_in_a_file_that_the_last_one_removes)
{
    struct memory_config config = {.name = "test", .identity = "one", .bytes = 1 << 20};
    struct memory *m = NULL;
    char error[512] = "", word[32], pattern[256];
    int go[2], said[2];
    char byte;
    pid_t pid;

    in_directory("");
    snprintf(word, sizeof(word), "%d-1", (int)getpid());
    config.rendezvous = word;
    config.runtime_dir = directory;
    snprintf(pattern, sizeof(pattern), "ls %s/tandem-%u | grep -q %s", directory,
             (unsigned)geteuid(), word);
    REQUIRE(pipe(go) == 0 && pipe(said) == 0);
    pid = fork();
    if (pid == 0) {
        CHECK_INT(MEMORY_OK, memory_open(&config, &m, error, sizeof(error)));
        put(m, "key", "met");
        (void)!write(said[1], "x", 1);
        (void)!read(go[0], &byte, 1);
        memory_close(m);
        _exit(0);
    }
    CHECK_INT(1, read(said[0], &byte, 1));
    CHECK_INT(MEMORY_OK, memory_open(&config, &m, error, sizeof(error)));
    CHECK_STR("", error);
    CHECK_STR("met", get(m, "key"));
    (void)!write(go[1], "x", 1);
    waitpid(pid, NULL, 0);
    CHECK_INT(0, system(pattern));
    CHECK_STR("met", get(m, "key"));
    memory_close(m);
    CHECK_INT(256, system(pattern));
    clean_up();
}

static int files_in_directory(void)
{
    char command[256];
    FILE *out;
    int count = -1;

    snprintf(command, sizeof(command), "find %s -type f | wc -l", directory);
    out = popen(command, "r");
    REQUIRE(out != NULL && fscanf(out, "%d", &count) == 1);
    pclose(out);
    return count;
}

static struct memory *open_meeting(void)
{
    struct memory_config config = {.name = "test",
                                   .identity = "one",
                                   .bytes = 1 << 20,
                                   .rendezvous = "1-1",
                                   .runtime_dir = directory};
    struct memory *m = NULL;
    char error[512] = "";

    if (memory_open(&config, &m, error, sizeof(error)) != MEMORY_OK)
        printf("%s\n", error);
    REQUIRE(m != NULL);
    return m;
}

/* A process that meets others, or is making a file, and is killed then. */
static pid_t start_and_stop(bool meets)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        if (meets) {
            open_meeting();
        } else {
            int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);

            REQUIRE(fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0);
        }
        raise(SIGSTOP);
        _exit(0);
    }
    CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
    return pid;
}

static void kill_it(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void open_another_meeting(void)
{
    struct memory_config config = {.name = "other",
                                   .identity = "other",
                                   .bytes = 1 << 20,
                                   .rendezvous = "2-2",
                                   .runtime_dir = directory};
    struct memory *m = NULL;
    char error[512] = "";

    CHECK_INT(MEMORY_OK, memory_open(&config, &m, error, sizeof(error)));
    memory_close(m);
}

TEST(a_meeting_of_the_killed_is_removed_by_the_next_that_is_held)
{
    pid_t pid;

    in_directory("");
    pid = start_and_stop(true);
    CHECK_INT(1, files_in_directory());
    open_another_meeting(); /* it is in use: by one who is stopped */
    CHECK_INT(1, files_in_directory());
    kill_it(pid);
    CHECK_INT(1, files_in_directory());
    open_another_meeting();
    CHECK_INT(0, files_in_directory());
    clean_up();
}

TEST(what_the_killed_have_begun_is_removed)
{
    char begun[sizeof(path) + 16];
    struct memory *m;
    pid_t pid;

    in_directory("segment.new-1-00000000");
    snprintf(begun, sizeof(begun), "%s", path);
    pid = start_and_stop(false);
    in_directory("segment");
    m = open_path("one", 1 << 20, NULL);
    CHECK_INT(0, access(begun, F_OK)); /* it may go on */
    memory_close(m);
    kill_it(pid);
    CHECK_INT(0, unlink(path));
    m = open_path("one", 1 << 20, NULL);
    CHECK_INT(-1, access(begun, F_OK));
    memory_close(m);
    CHECK_INT(1, files_in_directory());
    clean_up();
}

TEST(a_child_of_fork_leaves_the_meeting_to_its_parent)
{
    struct memory *m;
    pid_t pid;

    in_directory("");
    m = open_meeting();
    pid = fork();
    if (pid == 0) {
        memory_close(m);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    CHECK_INT(1, files_in_directory());
    memory_close(m);
    CHECK_INT(0, files_in_directory());
    clean_up();
}

TEST(a_child_of_fork_stays_when_its_parent_leaves)
{
    struct memory *m;
    int go[2];
    char byte;
    pid_t pid;

    in_directory("");
    m = open_meeting();
    REQUIRE(pipe(go) == 0);
    pid = fork();
    if (pid == 0) {
        (void)!read(go[0], &byte, 1);
        put(m, "key", "of the child");
        CHECK_INT(1, files_in_directory());
        memory_close(m);
        CHECK_INT(0, files_in_directory());
        _exit(0);
    }
    memory_close(m);
    CHECK_INT(1, files_in_directory());
    (void)!write(go[1], "x", 1);
    waitpid(pid, NULL, 0);
    clean_up();
}

TEST(an_outdated_file_that_others_use_is_not_waited_for)
{
    struct layout_header *old;
    int fd, lock;
    struct memory_config config = {.name = "test", .identity = "one", .bytes = 1 << 20};
    struct memory *m = NULL;
    char error[512] = "";

    in_directory("used");
    memory_close(open_path("one", 1 << 20, NULL));
    fd = open(path, O_RDWR);
    lock = open(path, O_RDWR);
    old = mmap(NULL, LAYOUT_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    REQUIRE(old != MAP_FAILED && flock(lock, LOCK_SH) == 0);
    old->fingerprint[strlen(old->fingerprint) - 1] ^= 1;
    config.path = path;
    CHECK_INT(MEMORY_SYSTEM, memory_open(&config, &m, error, sizeof(error)));
    CHECK(strstr(error, path) && strstr(error, "is being replaced"));
    close(lock);
    memory_close(open_path("one", 1 << 20, NULL));
    close(fd);
    clean_up();
}

CHECK_MAIN()
