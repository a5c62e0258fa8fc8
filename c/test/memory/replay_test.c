/* The table of writes to be told to Redis, and processes that stop or die with its lock. */
#include <signal.h>

#include "memory/lock.h"
#include "memory/view.h"
#include "open.h"

static struct memory *open_with_redis(void)
{
    struct memory_config config = {
        .name = "test", .identity = "replay", .bytes = 4 << 20, .with_redis = true};
    struct memory *m = NULL;
    char error[256] = "";

    if (memory_open(&config, &m, error, sizeof(error)) != MEMORY_OK)
        printf("%s\n", error);
    REQUIRE(m != NULL);
    return m;
}

static pid_t stop_with_the_lock(struct memory *m)
{
    pid_t pid = fork();
    int64_t waited_ns;
    int status;

    if (pid == 0) {
        lock_acquire(&m->header->replay_mutex, 1000000, &waited_ns);
        raise(SIGSTOP);
        _exit(0);
    }
    CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
    return pid;
}

TEST(a_write_that_might_be_overtaken_is_not_sent)
{
    struct memory *m = open_with_redis();
    pid_t pid;

    CHECK(memory_replay_forget(m, "key", 3, MEMORY_LOCK_US));
    CHECK(memory_replay_put(m, "key", 3, MEMORY_REPLAY_DELETE, 0, clock_now_ms(), MEMORY_LOCK_US));
    pid = stop_with_the_lock(m);
    CHECK(!memory_replay_forget(m, "key", 3, MEMORY_LOCK_US));
    CHECK_INT(1, memory_replay_count(m));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    CHECK(memory_replay_forget(m, "key", 3, MEMORY_LOCK_US));
    CHECK_INT(0, memory_replay_count(m));
    memory_close(m);
}

CHECK_MAIN()
