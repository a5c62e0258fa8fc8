/* Processes that change the same keys of one Redis at once, and are killed. */
#include <sys/mman.h>

#include "support/cache.h"
#include "support/server.h"
#include "tandem.h"

enum { PROCESSES = 4, OPERATIONS = 100000, BATCH = 100, COUNTERS = 5, NAMES = 500, KILLS = 20 };

/* What a process, and those that took its place, say of what they do, before and after. */
struct account {
    int64_t begun[COUNTERS], done[COUNTERS];
    int64_t first[NAMES]; /* names that it was told to be the first to add */
    int64_t operations;
};

static struct server *server;
static struct account *accounts;

static void *shared_zeroes(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    REQUIRE(memory != MAP_FAILED);
    return memory;
}

/* A pipeline of additions and their outcomes. */
static void count_batch(tandem_cache *c, const tandem_options *o, struct account *a, int counter)
{
    double tickets[BATCH];
    char key[16];
    size_t n = (size_t)snprintf(key, sizeof(key), "n%d", counter);

    for (int i = 0; i < BATCH; i++) {
        int flags = TANDEM_INIT | (i < BATCH - 1 ? TANDEM_CORK : 0);

        a->begun[counter]++;
        REQUIRE(tandem_incr(c, key, n, 1, 0, 0, flags, &said) == TANDEM_PENDING);
        tickets[i] = said.ticket;
    }
    for (int i = 0; i < BATCH; i++) {
        REQUIRE(tandem_wait(o->mailbox, tickets[i], 60000) == TANDEM_OK);
        REQUIRE(tandem_take(o->mailbox, tickets[i], NULL, 0, &said) == TANDEM_OK);
        a->done[counter]++;
    }
    a->operations += BATCH;
}

static void add_name(tandem_cache *c, const tandem_options *o, struct account *a, int name)
{
    char key[16];
    int status;

    snprintf(key, sizeof(key), "name%d", name);
    status = add(c, o, key, "x", 0);
    REQUIRE(status == TANDEM_OK || status == TANDEM_MISS);
    a->first[name] += status == TANDEM_OK;
}

static void work(const tandem_options *options, struct account *a)
{
    tandem_options o = *options;
    tandem_cache *c;

    o.mailbox = tandem_mailbox_create();
    c = open_with(&o);
    while (a->operations < OPERATIONS) {
        int64_t batch = a->operations / BATCH;

        count_batch(c, &o, a, (int)(batch % COUNTERS));
        add_name(c, &o, a, (int)(batch % NAMES));
    }
    _exit(0);
}

static pid_t start(const tandem_options *o, int process)
{
    pid_t pid = fork();

    REQUIRE(pid >= 0);
    if (pid == 0)
        work(o, accounts + process);
    return pid;
}

static int64_t all_operations(void)
{
    int64_t sum = 0;

    for (int i = 0; i < PROCESSES; i++)
        sum += __atomic_load_n(&accounts[i].operations, __ATOMIC_RELAXED);
    return sum;
}

/* Who is furthest from its end. */
static int hindmost(void)
{
    int least = 0;

    for (int i = 1; i < PROCESSES; i++)
        if (accounts[i].operations < accounts[least].operations)
            least = i;
    return least;
}

/* One after the other, each time that another part of all the work is done. */
static int kill_and_replace(const tandem_options *o, pid_t *pids)
{
    int kills = 0, status;

    for (int i = 1; i <= KILLS; i++) {
        int victim;

        while (all_operations() < (int64_t)PROCESSES * OPERATIONS * i / (KILLS + 1))
            server_nap();
        victim = hindmost();
        kill(pids[victim], SIGKILL);
        REQUIRE(waitpid(pids[victim], &status, 0) == pids[victim]);
        kills += WIFSIGNALED(status);
        pids[victim] = start(o, victim);
    }
    return kills;
}

TEST(what_was_acknowledged_is_there_and_nothing_twice)
{
    tandem_options o;
    int kills, status;
    pid_t pids[PROCESSES];

    check_timeout(300);
    server = server_start(NULL);
    accounts = shared_zeroes(PROCESSES * sizeof(*accounts));
    o = options_for("killed", server->url);
    o.timeout_ms = 60000;
    for (int i = 0; i < PROCESSES; i++)
        pids[i] = start(&o, i);
    kills = kill_and_replace(&o, pids);
    for (int i = 0; i < PROCESSES; i++) {
        REQUIRE(waitpid(pids[i], &status, 0) == pids[i]);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    CHECK(kills > KILLS / 2);
    for (int counter = 0; counter < COUNTERS; counter++) {
        int64_t least = 0, most = 0, sum = atoll(server_command(server, "GET killed:n%d", counter));

        for (int i = 0; i < PROCESSES; i++) {
            least += accounts[i].done[counter];
            most += accounts[i].begun[counter];
        }
        CHECK(least <= sum && sum <= most);
        CHECK(most - least <= (int64_t)kills * BATCH);
    }
    for (int name = 0; name < NAMES; name++) {
        int64_t firsts = 0;

        for (int i = 0; i < PROCESSES; i++)
            firsts += accounts[i].first[name];
        CHECK(firsts <= 1);
    }
    tandem_mailbox_release(o.mailbox);
    server_stop(server);
}

CHECK_MAIN()
