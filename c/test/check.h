/*
 * check.h: the test harness.  A test program is one file:
 *
 *     #include "check.h"
 *
 *     TEST(adds_up)
 *     {
 *         CHECK_INT(4, 2 + 2);
 *     }
 *
 *     CHECK_MAIN()
 *
 * Each test runs in a child process of its own, in a process group of its own: it starts with fresh
 * statics, may crash, and whatever processes it leaves behind are killed.  It fails if a check
 * fails in any thread or process of it, if it ends by a signal or with a status other than 0 (a
 * sanitizer's report), or if it takes longer than its time (60 s, or $CHECK_TIMEOUT, or
 * check_timeout()).
 *
 * A failed CHECK is printed and the test goes on; a failed REQUIRE ends the process that made it.
 * `program [PART]` runs the tests whose name contains PART; `program -v [PART]` prints each one's
 * time.  $CHECK_LEAVE_OUT has the names of tests that cannot be run here, and that is printed.
 */
#ifndef TANDEM_TEST_CHECK_H
#define TANDEM_TEST_CHECK_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct check_test {
    const char *name;
    void (*run)(void);
    struct check_test *next;
};

static struct check_test *check_first;
static struct check_test **check_last = &check_first;
static const char *check_running = "";
static _Atomic unsigned *check_failures; /* shared with the processes of a test */
static volatile sig_atomic_t check_group;

/* Defines a test, to be followed by its body. */
#define TEST(id)                                                       \
    static void test_##id(void);                                       \
    __attribute__((constructor)) static void check_register_##id(void) \
    {                                                                  \
        static struct check_test test = {#id, test_##id, NULL};        \
        *check_last = &test;                                           \
        check_last = &test.next;                                       \
    }                                                                  \
    static void test_##id(void)

#define CHECK(condition) check_that((condition) ? true : false, #condition, __FILE__, __LINE__)

/* As CHECK, and ends the process when it does not hold: for what the rest of the test stands on. */
#define REQUIRE(condition)     \
    do {                       \
        if (!CHECK(condition)) \
            _exit(1);          \
    } while (0)

/* Whole numbers of any type that fits long long; strings, which may be NULL; bytes. */
#define CHECK_INT(expected, actual) \
    check_int((long long)(expected), (long long)(actual), #actual, __FILE__, __LINE__)
#define CHECK_STR(expected, actual) check_str((expected), (actual), #actual, __FILE__, __LINE__)
#define CHECK_MEM(expected, actual, length) \
    check_mem((expected), (actual), (length), #actual, __FILE__, __LINE__)

/* The program's main(). */
#define CHECK_MAIN()                            \
    int main(int argc, char **argv)             \
    {                                           \
        return check_run(argc, argv, __FILE__); \
    }

#define CHECK_UNUSED __attribute__((unused)) static

/* Begins a failure's line.  One printf a line, so that lines of several processes do not mix. */
CHECK_UNUSED void check_failed(const char *file, int line, const char *what, const char *detail)
{
    atomic_fetch_add(check_failures, 1);
    printf("%s:%d: %s: %s%s\n", file, line, check_running, what, detail);
    fflush(stdout);
}

CHECK_UNUSED bool check_that(bool holds, const char *what, const char *file, int line)
{
    if (!holds)
        check_failed(file, line, what, " does not hold");
    return holds;
}

CHECK_UNUSED bool check_int(long long expected, long long actual, const char *what,
                            const char *file, int line)
{
    char detail[80];

    if (expected == actual)
        return true;
    snprintf(detail, sizeof(detail), ": expected %lld, got %lld", expected, actual);
    check_failed(file, line, what, detail);
    return false;
}

CHECK_UNUSED bool check_str(const char *expected, const char *actual, const char *what,
                            const char *file, int line)
{
    char detail[1024];

    if (expected == actual || (expected && actual && strcmp(expected, actual) == 0))
        return true;
    snprintf(detail, sizeof(detail), ": expected \"%.480s\", got \"%.480s\"",
             expected ? expected : "(NULL)", actual ? actual : "(NULL)");
    check_failed(file, line, what, detail);
    return false;
}

CHECK_UNUSED bool check_mem(const void *expected, const void *actual, size_t length,
                            const char *what, const char *file, int line)
{
    const unsigned char *a = expected, *b = actual;
    char detail[120];
    size_t at = 0;

    if (length == 0)
        return true;
    if (!a || !b) {
        check_failed(file, line, what, a ? ": got NULL" : ": expected is NULL");
        return false;
    }
    while (at < length && a[at] == b[at])
        at++;
    if (at == length)
        return true;
    snprintf(detail, sizeof(detail), ": byte %zu of %zu: expected 0x%02x, got 0x%02x", at, length,
             a[at], b[at]);
    check_failed(file, line, what, detail);
    return false;
}

CHECK_UNUSED unsigned check_default_timeout(void)
{
    const char *text = getenv("CHECK_TIMEOUT");
    int seconds = text ? atoi(text) : 0;

    return seconds > 0 ? (unsigned)seconds : 60;
}

/* Gives the running test this many seconds from now instead of the usual time; $CHECK_TIMEOUT if
 * that is more, for builds that are slow. */
CHECK_UNUSED void check_timeout(unsigned seconds)
{
    unsigned otherwise = getenv("CHECK_TIMEOUT") ? check_default_timeout() : 0;

    alarm(seconds > otherwise ? seconds : otherwise);
}

CHECK_UNUSED void check_interrupted(int number)
{
    if (check_group > 0)
        kill(-(pid_t)check_group, SIGKILL);
    _exit(128 + number);
}

CHECK_UNUSED void check_child(const struct check_test *test)
{
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGALRM, SIG_DFL);
    alarm(check_default_timeout());
    test->run();
    alarm(0);
    exit(0);
}

/* Says what became of the test's process.  True when it ended well. */
CHECK_UNUSED bool check_verdict(const siginfo_t *info, const char *file)
{
    const char *how = info->si_code == CLD_EXITED ? "ended with status" : "died of signal";

    if (info->si_code == CLD_EXITED && info->si_status == 0)
        return true;
    if (info->si_code != CLD_EXITED && info->si_status == SIGALRM)
        printf("%s: %s: timed out\n", file, check_running);
    else if (info->si_code != CLD_EXITED || atomic_load(check_failures) == 0)
        printf("%s: %s: %s %d\n", file, check_running, how, info->si_status);
    return false;
}

CHECK_UNUSED bool check_run_one(const struct check_test *test, const char *file)
{
    siginfo_t info;
    pid_t child;

    check_running = test->name;
    atomic_store(check_failures, 0);
    fflush(NULL);
    child = fork();
    if (child == 0)
        check_child(test);
    if (child < 0) {
        printf("%s: %s: cannot fork\n", file, test->name);
        return false;
    }
    setpgid(child, child); /* here as well: whichever comes first */
    check_group = child;
    memset(&info, 0, sizeof(info));
    while (waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) != 0)
        continue;
    kill(-child, SIGKILL); /* what it left behind; its own number is still taken */
    waitpid(child, NULL, 0);
    check_group = 0;
    return check_verdict(&info, file) && atomic_load(check_failures) == 0;
}

CHECK_UNUSED bool check_is_left_out(const char *name)
{
    const char *at = getenv("CHECK_LEAVE_OUT");
    size_t length;

    for (; at && *at; at += length + (at[length] == ' ')) {
        length = strcspn(at, " ");
        if (length == strlen(name) && strncmp(at, name, length) == 0) {
            printf("left out: %s\n", name);
            return true;
        }
    }
    return false;
}

CHECK_UNUSED int check_run(int argc, char **argv, const char *file)
{
    int verbose = argc > 1 && strcmp(argv[1], "-v") == 0;
    const char *part = argc > 1 + verbose ? argv[1 + verbose] : "";
    unsigned passed = 0, failed = 0;

    check_failures = mmap(NULL, sizeof(*check_failures), PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (check_failures == MAP_FAILED)
        return 1;
    signal(SIGINT, check_interrupted);
    signal(SIGTERM, check_interrupted);
    for (const struct check_test *test = check_first; test; test = test->next) {
        struct timespec start, end;
        bool good;

        if (!strstr(test->name, part) || check_is_left_out(test->name))
            continue;
        clock_gettime(CLOCK_MONOTONIC, &start);
        good = check_run_one(test, file);
        clock_gettime(CLOCK_MONOTONIC, &end);
        passed += good;
        failed += !good;
        if (verbose)
            printf("%s %s (%.3f s)\n", good ? "ok  " : "FAIL", test->name,
                   (double)(end.tv_sec - start.tv_sec) +
                       (double)(end.tv_nsec - start.tv_nsec) / 1e9);
    }
    printf("%s: %u passed, %u failed\n", file, passed, failed);
    return failed || !passed;
}

#endif
