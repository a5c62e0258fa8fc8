/* Counters and histograms: what they hold, whoever dies. */
#include <math.h>

#include "memory/lock.h"
#include "memory/view.h"
#include "open.h"

static double counts[HISTOGRAM_BUCKETS], sum;

static double observed(struct memory *m, int which)
{
    double n = 0;

    CHECK(memory_histogram(m, which, counts, &sum));
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
        n += counts[i];
    return n;
}

TEST(a_bucket_has_what_is_at_most_its_bound)
{
    struct memory *m = open_small();

    for (int i = 0; i < HISTOGRAM_BOUNDS; i++) {
        int64_t bound_ns = llround(memory_bound_seconds(i) * 1e9);

        memory_observe(m, HISTOGRAM_REDIS_ROUND_TRIP, bound_ns);
        memory_observe(m, HISTOGRAM_REDIS_ROUND_TRIP, bound_ns + 1);
    }
    memory_observe(m, HISTOGRAM_REDIS_ROUND_TRIP, 0);
    memory_observe(m, HISTOGRAM_REDIS_ROUND_TRIP, -5);
    memory_observe(m, HISTOGRAM_REDIS_ROUND_TRIP, INT64_MAX / 4);
    CHECK_INT(2 * HISTOGRAM_BOUNDS + 3, observed(m, HISTOGRAM_REDIS_ROUND_TRIP));
    CHECK_INT(3, counts[0]);
    for (int i = 1; i < HISTOGRAM_BOUNDS; i++)
        CHECK_INT(2, counts[i]);
    CHECK_INT(2, counts[HISTOGRAM_BOUNDS]);
    CHECK(isinf(memory_bound_seconds(HISTOGRAM_BOUNDS)));
    CHECK_INT(0, observed(m, HISTOGRAM_FETCH_LOAD));
    memory_close(m);
}

TEST(the_sum_is_that_of_all_to_the_nanosecond)
{
    struct memory *m = open_small();

    for (int i = 1; i <= 1000; i++)
        memory_observe(m, HISTOGRAM_FETCH_LOAD, i * 12345);
    CHECK_INT(1000, observed(m, HISTOGRAM_FETCH_LOAD));
    CHECK_INT(12345LL * 500500, llround(sum * 1e9));
    CHECK(!memory_histogram(m, -1, counts, &sum));
    CHECK(!memory_histogram(m, HISTOGRAMS, counts, &sum));
    memory_close(m);
}

TEST(a_counter_that_wraps_begins_again)
{
    struct memory *m = open_small();
    _Atomic uint64_t *count = m->counters->count + COUNT_MEMORY_SETS;
    double before = memory_metric(m, COUNT_MEMORY_SETS);

    atomic_fetch_sub(count, 1);
    memory_count(m, COUNT_MEMORY_SETS, 3);
    CHECK_INT(before + 2, memory_metric(m, COUNT_MEMORY_SETS));
    atomic_store(count, UINT64_MAX);
    CHECK(memory_metric(m, COUNT_MEMORY_SETS) > 1e19);
    memory_count(m, COUNT_MEMORY_SETS, 3);
    CHECK_INT(2, memory_metric(m, COUNT_MEMORY_SETS));
    CHECK_INT(0, memory_metric(m, COUNT_MEMORY_SETS + 1));
    atomic_store(&m->histograms->of[HISTOGRAM_FETCH_LOAD].sum_ns, UINT64_MAX);
    memory_observe(m, HISTOGRAM_FETCH_LOAD, 1000000001);
    CHECK_INT(1, observed(m, HISTOGRAM_FETCH_LOAD));
    CHECK_INT(1, llround(sum));
    memory_close(m);
}

enum { PROCESSES = 4, ROUNDS = 30 };

/* What a process has begun and ended, in memory that outlives it. */
struct tally {
    _Atomic uint64_t begun, ended, ns;
};

static void observe_for_ever(struct memory *m, struct tally *tally)
{
    for (int64_t ns = 100;; ns = ns * 3 % 1000000007) {
        atomic_fetch_add(&tally->begun, 1);
        memory_observe(m, HISTOGRAM_REDIS_ROUND_TRIP, ns);
        memory_count(m, COUNT_REDIS_COMMANDS, 1);
        atomic_fetch_add(&tally->ns, (uint64_t)ns);
        atomic_fetch_add(&tally->ended, 1);
    }
}

static void wait_for(_Atomic uint64_t *number, uint64_t least)
{
    while (atomic_load(number) < least)
        usleep(200);
}

/* Of each process that is killed one observation may have been under way: those are the only ones that may
 * be counted or not. */
TEST(nothing_is_lost_with_a_killed_process)
{
    struct memory *m = open_small();
    struct tally *tally = mmap(NULL, PROCESSES * ROUNDS * sizeof(*tally), PROT_READ | PROT_WRITE,
                               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint64_t ended = 0, under_way = 0;
    double n;

    REQUIRE(tally != MAP_FAILED);
    for (int round = 0; round < ROUNDS; round++) {
        pid_t pid[PROCESSES];

        for (int i = 0; i < PROCESSES; i++) {
            pid[i] = fork();
            if (pid[i] == 0)
                observe_for_ever(m, tally + round * PROCESSES + i);
        }
        for (int i = 0; i < PROCESSES; i++) {
            struct tally *t = tally + round * PROCESSES + i;

            wait_for(&t->ended, 1 + (uint64_t)(round * 97 + i * 811) % 3000);
            kill(pid[i], SIGKILL);
            waitpid(pid[i], NULL, 0);
            ended += atomic_load(&t->ended);
            under_way += atomic_load(&t->begun) - atomic_load(&t->ended);
        }
    }
    n = observed(m, HISTOGRAM_REDIS_ROUND_TRIP);
    CHECK(n >= (double)ended && n <= (double)(ended + under_way));
    CHECK(under_way <= PROCESSES * ROUNDS);
    n = metric(m, COUNT_REDIS_COMMANDS);
    CHECK(n >= (double)ended && n <= (double)(ended + under_way));
    memory_close(m);
}

/* -- Waits for locks --------------------------------------------------------------------------------- */

static pid_t stopped_with_all_locks(struct memory *m)
{
    pid_t pid = fork();
    int64_t waited_ns;
    int status;

    if (pid == 0) {
        for (uint32_t i = 0; i < m->layout.shards; i++)
            lock_acquire(&view_shard(m, i)->mutex, 1000000, &waited_ns);
        raise(SIGSTOP);
        for (uint32_t i = 0; i < m->layout.shards; i++)
            lock_release(&view_shard(m, i)->mutex);
        _exit(0);
    }
    CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
    return pid;
}

TEST(a_lock_that_is_free_is_no_wait)
{
    struct memory *m = open_small();

    for (int i = 0; i < 1000; i++)
        put(m, "key", "value");
    CHECK_INT(0, observed(m, HISTOGRAM_MEMORY_LOCK_WAIT));
    memory_close(m);
}

TEST(waits_for_locks_are_counted_when_they_are_given_up_too)
{
    struct memory *m = open_small();
    pid_t pid = stopped_with_all_locks(m);

    for (int i = 0; i < 20; i++)
        CHECK_INT(MEMORY_BUSY, put(m, "key", "value"));
    CHECK_INT(20, observed(m, HISTOGRAM_MEMORY_LOCK_WAIT));
    CHECK_INT(20, metric(m, COUNT_MEMORY_LOCK_TIMEOUTS));
    CHECK(sum >= 20 * MEMORY_LOCK_US / 1e6);
    for (int i = 0; i < HISTOGRAM_BOUNDS && memory_bound_seconds(i) < MEMORY_LOCK_US / 1e6; i++)
        CHECK_INT(0, counts[i]);
    kill(pid, SIGCONT);
    waitpid(pid, NULL, 0);
    CHECK_INT(MEMORY_OK, put(m, "key", "value"));
    CHECK_INT(20, observed(m, HISTOGRAM_MEMORY_LOCK_WAIT));
    memory_close(m);
}

CHECK_MAIN()
