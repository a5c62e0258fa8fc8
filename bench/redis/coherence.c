/*
 * coherence.c: what it costs that every host is told of every change, and how soon it is.
 *
 *   coherence SOCKET SAMPLES WRITES      of a redis-server of its own
 *
 * Prints lines of "name value...".
 *   delay WHERE p50 p99 p99.9 worst    microseconds from another client's acknowledged SET until memory
 *                                      of a host has dropped the key; WHERE: idle, or load (other
 *                                      clients write and read all the time)
 *   redis LINKS SHAPE us bytes         CPU time of Redis and bytes sent for each write, with so many
 *                                      links; SHAPE: single (a message for each write) or batch
 *   host SHAPE us                      CPU time of a process with a link, for each key it is told of
 *   own hits verifies                  of 100 gets after an own set in memory; read-backs of each set
 */
#include <hiredis/hiredis.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tandem.h"

enum { LINKS = 200, BATCH = 200, VALUE = 100 };

static const char *socket_path;
static struct {
    _Atomic int64_t cpu_ns; /* of the process with a link, as it last said */
    _Atomic int ready, load;
} * shared;

static int64_t clock_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void nap_us(long us)
{
    const struct timespec nap = {0, us * 1000};

    nanosleep(&nap, NULL);
}

static void must(int ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "coherence: %s\n", what);
    exit(1);
}

static redisContext *connect_redis(void)
{
    redisContext *c = redisConnectUnix(socket_path);

    must(c && !c->err, "cannot connect to Redis");
    return c;
}

static void command(redisContext *c, const char *text)
{
    redisReply *reply = redisCommand(c, text);

    must(reply && reply->type != REDIS_REPLY_ERROR, text);
    freeReplyObject(reply);
}

/* -- A host ---------------------------------------------------------------------------------------- */

static tandem_options options;

static tandem_cache *open_cache(void)
{
    static char url[256];
    tandem_cache *cache = NULL;
    char error[256];

    snprintf(url, sizeof(url), "unix://%s", socket_path);
    tandem_options_init(&options);
    options.name = "bench";
    options.memory_bytes = 16 << 20;
    options.redis_url = url;
    options.mailbox = tandem_mailbox_create();
    options.timeout_ms = 5000;
    if (tandem_open(&options, &cache, error, sizeof(error)) != TANDEM_OK)
        must(0, error);
    return cache;
}

static char value[4096];
static tandem_result said;

static int wait_for(int status)
{
    if (status != TANDEM_PENDING)
        return status;
    tandem_wait(options.mailbox, said.ticket, 10000);
    return tandem_take(options.mailbox, said.ticket, value, sizeof(value), &said);
}

static int get(tandem_cache *cache, const char *key, int flags)
{
    return wait_for(tandem_get(cache, key, strlen(key), flags, value, sizeof(value), &said));
}

static int in_memory(tandem_cache *cache, const char *key)
{
    return get(cache, key, TANDEM_NOWAIT) == TANDEM_OK && said.tier == TANDEM_TIER_MEMORY;
}

static double metric(tandem_cache *cache, const char *tier, const char *name)
{
    tandem_metric row;

    for (int i = 0; tandem_metric_at(i, &row) == TANDEM_OK; i++)
        if (strcmp(row.tier, tier) == 0 && strcmp(row.name, name) == 0)
            return tandem_metric_value(cache, i);
    must(0, name);
    return 0;
}

/* A process of the host that has a link, and, where there is load, asks Redis all the time. */
static pid_t start_holder(tandem_cache *cache, int says)
{
    pid_t pid = fork();

    must(pid >= 0, "cannot fork");
    if (pid)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    get(cache, "anything", 0);
    shared->ready++;
    for (unsigned i = 0;; i++) {
        char key[16];

        nap_us(shared->load ? 500 : 5000);
        if (shared->load) {
            snprintf(key, sizeof(key), "load%u", i % 1000);
            get(cache, key, 0);
        }
        if (says)
            shared->cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    }
}

static void await_links(tandem_cache *cache)
{
    for (int i = 0; metric(cache, "tracking", "covering") < 2; i++) {
        must(i < 10000, "no two links");
        nap_us(1000);
    }
}

/* -- Delay ----------------------------------------------------------------------------------------- */

/* Another client that writes other keys of the cache, some 2000 a second. */
static pid_t start_writer(void)
{
    pid_t pid = fork();

    must(pid >= 0, "cannot fork");
    if (pid)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    redisContext *c = connect_redis();
    for (unsigned i = 0;; i++) {
        redisReply *reply = redisCommand(c, "SET bench:load%u value", i % 1000);

        must(reply != NULL, "the writer lost Redis");
        freeReplyObject(reply);
        nap_us(400);
    }
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void measure_delay(tandem_cache *cache, const char *where, int samples)
{
    double *us = calloc((size_t)samples, sizeof(*us));
    redisContext *c = connect_redis();

    command(c, "SET bench:key value");

    for (int i = 0; i < samples; i++) {
        int64_t acknowledged;
        redisReply *reply;

        while (!in_memory(cache, "key")) {
            get(cache, "key", 0);
            nap_us(200);
        }
        nap_us(300);
        reply = redisCommand(c, "SET bench:key value%d", i);
        acknowledged = clock_ns(CLOCK_MONOTONIC);
        must(reply != NULL, "Redis hung up");
        freeReplyObject(reply);
        while (in_memory(cache, "key"))
            sched_yield();
        us[i] = (double)(clock_ns(CLOCK_MONOTONIC) - acknowledged) / 1000;
    }
    qsort(us, (size_t)samples, sizeof(*us), by_size);
    printf("delay %s %.0f %.0f %.0f %.0f\n", where, us[samples / 2], us[samples * 99 / 100],
           us[(int)(samples * 0.999)], us[samples - 1]);
    redisFree(c);
    free(us);
}

/* -- Cost ------------------------------------------------------------------------------------------ */

/* Reads what links are sent, and drops it. */
static struct pollfd polls[LINKS];
static _Atomic int links;

static void *drain(void *unused)
{
    static char bytes[1 << 16];

    (void)unused;
    for (;;) {
        int n = links;

        poll(polls, (nfds_t)n, 50);
        for (int i = 0; i < n; i++)
            if (polls[i].revents)
                must(read(polls[i].fd, bytes, sizeof(bytes)) > 0, "a link was lost");
    }
    return NULL;
}

static void add_link(void)
{
    redisContext *c = connect_redis();
    redisReply *reply = redisCommand(c, "CLIENT ID");

    must(reply && reply->type == REDIS_REPLY_INTEGER, "CLIENT ID");
    freeReplyObject(
        redisCommand(c, "CLIENT TRACKING ON REDIRECT %lld BCAST PREFIX cost:", reply->integer));
    freeReplyObject(reply);
    command(c, "SUBSCRIBE __redis__:invalidate");
    polls[links] = (struct pollfd){c->fd, POLLIN, 0};
    links++;
}

static double info(redisContext *c, const char *name)
{
    redisReply *reply = redisCommand(c, "INFO");
    const char *at = reply ? strstr(reply->str, name) : NULL;
    double number;

    must(at != NULL, name);
    number = atof(at + strlen(name) + 1);
    freeReplyObject(reply);
    return number;
}

static double redis_cpu(redisContext *c)
{
    return info(c, "used_cpu_user") + info(c, "used_cpu_sys");
}

/* So many writes, each answered before the next one, or BATCH at a time. */
static void write_keys(redisContext *c, const char *prefix, int writes, int batch)
{
    static char text[VALUE + 1];

    memset(text, 'x', VALUE);
    for (int i = 0; i < writes; i += batch) {
        for (int k = 0; k < batch; k++)
            redisAppendCommand(c, "SET %s%08d %s", prefix, (i + k) % 100000, text);
        for (int k = 0; k < batch; k++) {
            redisReply *reply;

            must(redisGetReply(c, (void **)&reply) == REDIS_OK, "Redis hung up");
            freeReplyObject(reply);
        }
    }
}

static void measure_redis(int writes)
{
    static const int count[] = {0, 2, 20, LINKS};
    redisContext *c = connect_redis();
    pthread_t thread;

    must(pthread_create(&thread, NULL, drain, NULL) == 0, "cannot start a thread");
    write_keys(c, "cost:", 100000, BATCH);
    for (size_t i = 0; i < sizeof(count) / sizeof(*count); i++) {
        while (links < count[i])
            add_link();
        for (int batch = 1; batch <= BATCH; batch += BATCH - 1) {
            int n = count[i] > 20 ? writes / 4 : writes;
            double cpu = redis_cpu(c), sent = info(c, "total_net_output_bytes");

            write_keys(c, "cost:", n / BATCH * BATCH, batch);
            nap_us(50000);
            cpu = redis_cpu(c) - cpu;
            sent = info(c, "total_net_output_bytes") - sent;
            printf("redis %d %s %.2f %.0f\n", count[i], batch == 1 ? "single" : "batch",
                   cpu / n * 1e6, sent / n);
        }
    }
    redisFree(c);
}

static void measure_host(tandem_cache *cache, int writes)
{
    redisContext *c = connect_redis();

    for (int batch = 1; batch <= BATCH; batch += BATCH - 1) {
        double heard = metric(cache, "tracking", "invalidations");
        int64_t cpu = shared->cpu_ns;

        write_keys(c, "bench:", writes / BATCH * BATCH, batch);
        /* Both links hear of each. */
        while (metric(cache, "tracking", "invalidations") - heard < 2.0 * (writes / BATCH * BATCH))
            nap_us(1000);
        nap_us(20000);
        printf("host %s %.2f\n", batch == 1 ? "single" : "batch",
               (double)(shared->cpu_ns - cpu) / writes / 1000);
    }
    redisFree(c);
}

/* Own writes are seen by another process of the host, too: it is the segment that is asked. */
static void measure_own(tandem_cache *cache, int writes)
{
    double verifies = metric(cache, "tracking", "verifies");
    int hits = 0;
    char key[32];

    for (int i = 0; i < writes; i++) {
        snprintf(key, sizeof(key), "own%d", i % 5000);
        must(wait_for(tandem_set(cache, key, strlen(key), "value", 5, 0, 0, &said)) == TANDEM_OK,
             "set failed");
        if (i % 10 == 9) /* some when they have been read back, most before */
            nap_us(3000);
        hits += in_memory(cache, key);
    }
    nap_us(50000);
    printf("own %.2f %.2f\n", 100.0 * hits / writes,
           (metric(cache, "tracking", "verifies") - verifies) / writes);
}

int main(int argc, char **argv)
{
    tandem_cache *cache;
    pid_t writer;

    must(argc == 4, "SOCKET SAMPLES WRITES");
    socket_path = argv[1];
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(shared != MAP_FAILED, "no memory");
    setvbuf(stdout, NULL, _IOLBF, 0);
    cache = open_cache();
    start_holder(cache, 1);
    start_holder(cache, 0);
    while (shared->ready < 2)
        nap_us(1000);
    await_links(cache);
    measure_delay(cache, "idle", atoi(argv[2]));
    shared->load = 1;
    writer = start_writer();
    measure_delay(cache, "load", atoi(argv[2]));
    kill(writer, SIGKILL);
    shared->load = 0;
    nap_us(100000);
    measure_host(cache, atoi(argv[3]));
    measure_own(cache, atoi(argv[3]) / 10);
    measure_redis(atoi(argv[3]));
    return 0;
}
