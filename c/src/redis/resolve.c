#include "redis/resolve.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/alloc.h"

enum {
    MOST_LOOKUPS = 16, /* at once: the system's resolver may take long to give up */
    STACK_BYTES = 512 << 10
};

static _Atomic int lookups;

/* Shared by the asker and the thread; the last of the two frees it. */
struct resolve {
    _Atomic int holders;
    _Atomic bool answered;
    void (*wake)(void);
    struct resolve_answer answer;
    char host[256];
};

bool resolve_numeric(const char *host, struct resolve_answer *answer)
{
    unsigned char bytes[16];

    if (inet_pton(AF_INET, host, bytes) != 1 && inet_pton(AF_INET6, host, bytes) != 1)
        return false;
    answer->count = 1;
    snprintf(answer->address[0], RESOLVE_TEXT, "%s", host);
    return true;
}

void resolve_release(struct resolve *resolve)
{
    if (resolve && atomic_fetch_sub(&resolve->holders, 1) == 1)
        alloc_free(resolve);
}

static void look_up(struct resolve *r)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list = NULL;
    int rc = getaddrinfo(r->host, NULL, &hints, &list);

    if (rc != 0) {
        snprintf(r->answer.error, sizeof(r->answer.error), "%s", gai_strerror(rc));
        return;
    }
    for (struct addrinfo *a = list; a && r->answer.count < RESOLVE_MOST; a = a->ai_next)
        if (getnameinfo(a->ai_addr, a->ai_addrlen, r->answer.address[r->answer.count], RESOLVE_TEXT,
                        NULL, 0, NI_NUMERICHOST) == 0)
            r->answer.count++;
    freeaddrinfo(list);
    if (r->answer.count == 0)
        snprintf(r->answer.error, sizeof(r->answer.error), "it has no address");
}

static void *thread_main(void *context)
{
    struct resolve *r = context;

    look_up(r);
    atomic_fetch_sub(&lookups, 1);
    atomic_store(&r->answered, true);
    r->wake();
    resolve_release(r);
    return NULL;
}

static int start_thread(struct resolve *r)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    pthread_t thread;
    int rc;

    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&thread, &attributes, thread_main, r);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return rc;
}

struct resolve *resolve_start(const char *host, void (*wake)(void), char *error, size_t error_size)
{
    struct resolve *r = alloc_zeroed(sizeof(*r));

    snprintf(error, error_size, "%s",
             r ? "cannot start a thread to look the host up" : "no memory");
    if (!r)
        return NULL;
    atomic_init(&r->holders, 2);
    r->wake = wake;
    snprintf(r->host, sizeof(r->host), "%s", host);
    if (atomic_fetch_add(&lookups, 1) >= MOST_LOOKUPS)
        snprintf(error, error_size, "the system does not answer when asked for the host");
    else if (start_thread(r) == 0)
        return r;
    atomic_fetch_sub(&lookups, 1);
    alloc_free(r);
    return NULL;
}

void resolve_after_fork(void)
{
    atomic_store(&lookups, 0);
}

bool resolve_poll(struct resolve *resolve, struct resolve_answer *answer)
{
    if (!atomic_load(&resolve->answered))
        return false;
    *answer = resolve->answer;
    return true;
}
