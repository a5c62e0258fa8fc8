#include "memory/lock.h"

#include "base/clock.h"
#include "check.h"

static int64_t waited;

static pthread_mutex_t *shared_lock(void)
{
    pthread_mutex_t *lock =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    REQUIRE(lock != MAP_FAILED);
    CHECK_INT(0, lock_init(lock));
    return lock;
}

/* A child that takes the lock, says so, and goes on living. */
static pid_t holder(pthread_mutex_t *lock)
{
    int ready[2];
    char byte;
    pid_t pid;

    REQUIRE(pipe(ready) == 0);
    pid = fork();
    if (pid == 0) {
        lock_acquire(lock, 1000, &waited);
        (void)!write(ready[1], "x", 1);
        for (;;)
            pause();
    }
    CHECK_INT(1, read(ready[0], &byte, 1));
    return pid;
}

TEST(is_held_by_one)
{
    pthread_mutex_t *lock = shared_lock();

    CHECK_INT(LOCK_HELD, lock_acquire(lock, 1000, &waited));
    lock_release(lock);
    CHECK_INT(LOCK_HELD, lock_acquire(lock, 1000, &waited));
    lock_release(lock);
}

TEST(waits_within_its_bound_for_a_stopped_owner)
{
    pthread_mutex_t *lock = shared_lock();
    pid_t pid = holder(lock);
    int64_t start;

    kill(pid, SIGSTOP);
    start = clock_now_us();
    CHECK_INT(LOCK_BUSY, lock_acquire(lock, 2000, &waited));
    CHECK(clock_now_us() - start >= 2000);
    CHECK(clock_now_us() - start < 5000000);
    kill(pid, SIGKILL);
}

TEST(tells_that_its_owner_died_until_mended)
{
    pthread_mutex_t *lock = shared_lock();
    pid_t pid = holder(lock);

    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    CHECK_INT(LOCK_ORPHANED, lock_acquire(lock, 1000, &waited));
    lock_mended(lock);
    lock_release(lock);
    CHECK_INT(LOCK_HELD, lock_acquire(lock, 1000, &waited));
    lock_release(lock);
}

TEST(released_without_mending_is_lost)
{
    pthread_mutex_t *lock = shared_lock();
    pid_t pid = holder(lock);

    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    CHECK_INT(LOCK_ORPHANED, lock_acquire(lock, 1000, &waited));
    lock_release(lock);
    CHECK_INT(LOCK_BEYOND_REPAIR, lock_acquire(lock, 1000, &waited));
}

TEST(is_seen_without_being_taken)
{
    pthread_mutex_t *lock = shared_lock();
    pid_t pid;

    CHECK_INT(LOCK_SEEN_FREE, lock_look(lock));
    CHECK_INT(LOCK_HELD, lock_acquire(lock, 1000, &waited));
    CHECK_INT(LOCK_SEEN_HELD, lock_look(lock));
    lock_release(lock);
    CHECK_INT(LOCK_SEEN_FREE, lock_look(lock));
    pid = holder(lock);
    CHECK_INT(LOCK_SEEN_HELD, lock_look(lock));
    CHECK_INT(LOCK_BUSY, lock_acquire(lock, 100, &waited)); /* it may note that somebody waits */
    CHECK_INT(LOCK_SEEN_HELD, lock_look(lock));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    CHECK_INT(LOCK_SEEN_ORPHANED, lock_look(lock));
    CHECK_INT(LOCK_ORPHANED, lock_acquire(lock, 1000, &waited));
    CHECK_INT(LOCK_SEEN_HELD, lock_look(lock));
    lock_mended(lock);
    CHECK_INT(LOCK_SEEN_HELD, lock_look(lock));
    lock_release(lock);
    CHECK_INT(LOCK_SEEN_FREE, lock_look(lock));
}

TEST(is_sound_whoever_has_it_and_whatever_became_of_that)
{
    pthread_mutex_t *lock = shared_lock();
    pid_t pid = holder(lock);

    CHECK(lock_is_sound(lock));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    CHECK(lock_is_sound(lock));
    CHECK_INT(LOCK_ORPHANED, lock_acquire(lock, 1000, &waited));
    CHECK(lock_is_sound(lock));
    lock_mended(lock);
    lock_release(lock);
    CHECK(lock_is_sound(lock));
}

TEST(is_not_sound_if_it_is_of_another_kind)
{
    pthread_mutex_t *lock = shared_lock();

    CHECK_INT(0, pthread_mutex_init(lock, NULL));
    CHECK(!lock_is_sound(lock));
    memset(lock, 0xff, sizeof(pthread_mutex_t));
    CHECK(!lock_is_sound(lock));
}

CHECK_MAIN()
