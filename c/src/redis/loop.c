#include "redis/loop.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "redis/client.h"
#include "redis/pipeline.h"

enum { EVENTS = 64, STACK_BYTES = 512 * 1024, STOPPING_MS = 20 };

static struct {
    pthread_mutex_t lock;
    pthread_t thread;
    pid_t pid;       /* whose thread it is; 0: none */
    int epoll, bell; /* the bell: an eventfd */
    _Atomic bool stopping, over;
    struct redis_client *added; /* by loop_add, not yet seen by the thread */
    _Atomic bool rung;
    int64_t periodic_ms;
    void (*periodic)(void);
} loop = {.lock = PTHREAD_MUTEX_INITIALIZER, .epoll = -1, .bell = -1};

void loop_wake(void)
{
    uint64_t one = 1;
    ssize_t n;

    /* Many may ring before it is answered once. */
    if (atomic_exchange_explicit(&loop.rung, true, memory_order_acq_rel))
        return;
    do
        n = write(loop.bell, &one, sizeof(one));
    while (n < 0 && errno == EINTR);
}

/* The bell has been heard: it need not be read, each ring is an event of its own. */
static void answer_bell(void)
{
    /* Whoever rings from here on is heard again; what was queued before is about to be looked at. */
    atomic_store_explicit(&loop.rung, false, memory_order_release);
}

/* -- The thread ------------------------------------------------------------------------------------ */

static inline void watch(struct client_watch *have, const struct client_watch *want)
{
    struct epoll_event event = {want->events, {.ptr = have}};

    /* A closed descriptor has left epoll by itself, and its number may have come back. */
    if (want->fd >= 0 &&
        (want->fd != have->fd || want->events != have->events || want->serial != have->serial) &&
        epoll_ctl(loop.epoll, EPOLL_CTL_MOD, want->fd, &event) != 0)
        epoll_ctl(loop.epoll, EPOLL_CTL_ADD, want->fd, &event);
    *have = *want;
}

static bool take_added(struct redis_client **clients)
{
    bool stopping;

    pthread_mutex_lock(&loop.lock);
    while (loop.added) {
        struct redis_client *client = loop.added;

        loop.added = client->next;
        client->next = *clients;
        *clients = client;
    }
    stopping = loop_is_stopping();
    pthread_mutex_unlock(&loop.lock);
    return stopping;
}

static struct client_wish serve_client(struct redis_client *client,
                                       const struct epoll_event *events, int count, int64_t now_ms);

/* Each node is a client, too. */
static struct client_wish serve_cluster(struct cluster *cluster, const struct epoll_event *events,
                                        int count, int64_t now_ms)
{
    struct client_wish wish = {INT64_MAX, {{-1, 0, 0}, {-1, 0, 0}}};
    int64_t at_ms;

    cluster_begin_round(cluster, now_ms);
    for (unsigned i = 0; i < cluster->count; i++) {
        if (!cluster->node[i])
            continue;
        at_ms = serve_client(cluster->node[i]->client, events, count, now_ms).at_ms;
        wish.at_ms = at_ms < wish.at_ms ? at_ms : wish.at_ms;
    }
    at_ms = cluster_end_round(cluster, now_ms);
    wish.at_ms = at_ms < wish.at_ms ? at_ms : wish.at_ms;
    return wish;
}

/* Few have one: what it takes is kept out of the way of the others. */
__attribute__((noinline, cold)) static struct client_wish
serve_others(struct redis_client *client, const struct epoll_event *events, int count,
             int64_t now_ms)
{
    struct client_watch want;
    struct client_wish wish;
    uint32_t own = 0;

    if (!client->topology)
        return serve_cluster(client->cluster, events, count, now_ms);
    for (int i = 0; i < count; i++)
        if (events[i].data.ptr == &client->topology_watch)
            own |= events[i].events;
    cluster_sentinel_round(client->cluster, own, now_ms);
    wish = serve_cluster(client->cluster, events, count, now_ms);
    if (topology_next(client->topology) < wish.at_ms)
        wish.at_ms = topology_next(client->topology);
    want = client_topology_watch(client);
    watch(&client->topology_watch, &want);
    return wish;
}

static struct client_wish serve_client(struct redis_client *client,
                                       const struct epoll_event *events, int count, int64_t now_ms)
{
    uint32_t happened[CLIENT_WATCHES] = {0};
    struct client_wish wish;

    for (int i = 0; i < count; i++)
        for (int which = 0; which < CLIENT_WATCHES; which++)
            if (events[i].data.ptr == client->watch + which)
                happened[which] |= events[i].events;
    wish = client->cluster ? serve_others(client, events, count, now_ms)
                           : client_round(client, happened, now_ms);
    for (int which = 0; which < CLIENT_WATCHES; which++)
        watch(client->watch + which, wish.watch + which);
    return wish;
}

/* One round of every client.  Says when the next is due, and whether all is quiet. */
static bool serve(struct redis_client **clients, const struct epoll_event *events, int count,
                  bool stopping, int64_t *next_ms)
{
    int64_t now_ms = clock_now_ms();
    bool quiet = true;

    *next_ms = INT64_MAX;
    for (struct redis_client **link = clients; *link;) {
        struct redis_client *client = *link;
        struct client_wish wish;

        if (stopping && client->cluster)
            cluster_forsake_reads(client->cluster, now_ms);
        else if (stopping)
            pipeline_forsake_reads(client, now_ms);
        wish = serve_client(client, events, count, now_ms);

        *next_ms = wish.at_ms < *next_ms ? wish.at_ms : *next_ms;
        if (client_is_over(client, now_ms)) {
            *link = client->next;
            redis_client_over(client);
            continue;
        }
        quiet = client_is_quiet(client, stopping, now_ms) && quiet;
        link = &client->next;
    }
    return quiet;
}

static void run_periodic(int64_t *last_ms, int64_t *next_ms)
{
    int64_t now_ms = clock_now_ms();
    int64_t interval_ms;
    void (*fn)(void);

    pthread_mutex_lock(&loop.lock);
    fn = loop.periodic;
    interval_ms = loop.periodic_ms;
    pthread_mutex_unlock(&loop.lock);
    if (!fn)
        return;
    if (now_ms - *last_ms >= interval_ms) {
        *last_ms = now_ms;
        fn();
    }
    if (*last_ms + interval_ms < *next_ms)
        *next_ms = *last_ms + interval_ms;
}

static int timeout_until(int64_t next_ms)
{
    int64_t wait = next_ms - clock_now_ms();

    return wait <= 0 ? 0 : wait > 60000 ? 60000 : (int)wait;
}

static bool is_bell(const struct epoll_event *events, int count)
{
    for (int i = 0; i < count; i++) {
        if (events[i].data.ptr == NULL)
            return true;
    }
    return false;
}

static void *thread_main(void *unused)
{
    struct epoll_event events[EVENTS];
    struct redis_client *clients = NULL;
    int64_t next_ms = 0, periodic_ms = clock_now_ms();

    (void)unused;
    for (;;) {
        int count = epoll_wait(loop.epoll, events, EVENTS, timeout_until(next_ms));
        bool stopping, quiet;

        if (is_bell(events, count))
            answer_bell();
        stopping = take_added(&clients);
        quiet = serve(&clients, events, count, stopping, &next_ms);
        run_periodic(&periodic_ms, &next_ms);
        if (stopping && quiet)
            return NULL;
        if (stopping && next_ms > clock_now_ms() + STOPPING_MS)
            next_ms = clock_now_ms() + STOPPING_MS; /* somebody minds still */
    }
}

/* -- Starting and stopping ------------------------------------------------------------------------- */

/* Queued writes are still sent when the process exits: deadlines bound how long that takes.  LuaJIT's
 * os.exit runs no finalizers, but it does run this. */
static void stop_at_exit(void)
{
    pthread_mutex_lock(&loop.lock);
    if (loop.pid != getpid()) {
        pthread_mutex_unlock(&loop.lock);
        return;
    }
    atomic_store(&loop.stopping, true);
    pthread_mutex_unlock(&loop.lock);
    atomic_store(&loop.rung, false);
    loop_wake();
    pthread_join(loop.thread, NULL);
    atomic_store(&loop.over, true);
}

bool loop_is_stopping(void)
{
    return atomic_load_explicit(&loop.stopping, memory_order_relaxed);
}

bool loop_is_over(void)
{
    return atomic_load_explicit(&loop.over, memory_order_acquire);
}

static bool open_descriptors(void)
{
    struct epoll_event event = {EPOLLIN | EPOLLET, {.ptr = NULL}};

    loop.epoll = epoll_create1(EPOLL_CLOEXEC);
    loop.bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return loop.epoll >= 0 && loop.bell >= 0 &&
           epoll_ctl(loop.epoll, EPOLL_CTL_ADD, loop.bell, &event) == 0;
}

static void close_descriptors(void)
{
    if (loop.epoll >= 0)
        close(loop.epoll);
    if (loop.bell >= 0)
        close(loop.bell);
    loop.epoll = loop.bell = -1;
}

/* Signals are the host's: none is delivered here, SIGPIPE of a broken connection least of all. */
static int start_thread(void)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    int rc;

    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&loop.thread, &attributes, thread_main, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (rc == 0)
        pthread_setname_np(loop.thread, "tandem-io");
    return rc;
}

static int start_locked(void)
{
    static bool registered;
    int rc;

    if (!open_descriptors())
        rc = errno;
    else
        rc = start_thread();
    if (rc != 0) {
        close_descriptors();
        return rc;
    }
    loop.pid = getpid();
    if (!registered)
        registered = atexit(stop_at_exit) == 0;
    return 0;
}

bool loop_add(struct redis_client *client, char *error, unsigned long error_size)
{
    int rc = 0;

    pthread_mutex_lock(&loop.lock);
    if (loop.pid == 0)
        rc = start_locked();
    if (rc == 0) {
        client->next = loop.added;
        loop.added = client;
    }
    pthread_mutex_unlock(&loop.lock);
    if (rc != 0)
        snprintf(error, error_size, "cannot start the I/O thread: %s", strerror(rc));
    return rc == 0;
}

void loop_set_periodic(int64_t interval_ms, void (*fn)(void))
{
    bool running;

    pthread_mutex_lock(&loop.lock);
    loop.periodic_ms = interval_ms;
    loop.periodic = fn;
    running = loop.pid != 0;
    pthread_mutex_unlock(&loop.lock);
    if (running)
        loop_wake();
}

/* -- Fork ------------------------------------------------------------------------------------------ */

void loop_before_fork(void)
{
    pthread_mutex_lock(&loop.lock);
}

void loop_after_fork(void)
{
    pthread_mutex_unlock(&loop.lock);
}

void loop_in_child(void)
{
    close_descriptors();
    loop.pid = 0;
    loop.added = NULL;
    atomic_store(&loop.stopping, false);
    atomic_store(&loop.over, false);
    atomic_store(&loop.rung, false);
}
