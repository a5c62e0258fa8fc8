/*
 * ops.h: a client of the redis room and its operations, for tests: submit, wait, look at what came of it.
 */
#ifndef TANDEM_TEST_REDIS_OPS_H
#define TANDEM_TEST_REDIS_OPS_H

#include <pthread.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "check.h"
#include "redis/redis.h"

/* A client, and what its hooks were told. */
struct world {
    struct redis_client *client;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned long done;            /* operations that are over */
    struct redis_op *last, *first; /* over and not taken, by next, in order */
    uint64_t counts[REDIS_COUNTERS];
    unsigned long replaced; /* that another server has taken the place of the one before */
    struct lanes moved;
    unsigned long changes; /* keys that have been changed */
    bool changing;         /* all are all the time */
    bool gone;
};

CHECK_UNUSED void world_done(void *context, struct redis_op *op)
{
    struct world *w = context;

    pthread_mutex_lock(&w->lock);
    op->next = NULL;
    *(w->first ? &w->last->next : &w->first) = op;
    w->last = op;
    w->done++;
    *(int *)op->owner += 1; /* exactly once each */
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

CHECK_UNUSED void world_count(void *context, enum redis_counter counter, uint64_t n)
{
    struct world *w = context;

    pthread_mutex_lock(&w->lock);
    w->counts[counter] += n;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

CHECK_UNUSED void world_invalidate(void *context, const char *key, size_t key_length)
{
    struct world *w = context;

    pthread_mutex_lock(&w->lock);
    CHECK(!key && key_length == 0);
    w->replaced++;
    pthread_mutex_unlock(&w->lock);
}

CHECK_UNUSED void world_moved(void *context, const struct lanes *lanes)
{
    struct world *w = context;

    pthread_mutex_lock(&w->lock);
    for (unsigned lane = 0; lane < LANES; lane++)
        if (lanes_has(lanes, lane))
            lanes_add(&w->moved, lane);
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

CHECK_UNUSED void world_changed(void *context, const char *key, size_t key_length)
{
    struct world *w = context;

    pthread_mutex_lock(&w->lock);
    CHECK(key && key_length > 0);
    w->changes++;
    pthread_mutex_unlock(&w->lock);
}

CHECK_UNUSED bool world_unchanged(void *context, const struct redis_op *op, int64_t since_ms,
                                  uint64_t server)
{
    struct world *w = context;
    bool unchanged;

    pthread_mutex_lock(&w->lock);
    CHECK(op->by_replica && since_ms > 0 && server);
    unchanged = !w->changing;
    pthread_mutex_unlock(&w->lock);
    return unchanged;
}

CHECK_UNUSED void world_gone(void *context)
{
    struct world *w = context;

    pthread_mutex_lock(&w->lock);
    w->gone = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

/* Settings to be changed before world_open. */
CHECK_UNUSED struct redis_config config_for(const char *url)
{
    struct redis_config config = {.url = url, .prefix = "t:", .prefix_length = 2};

    config.connect_timeout_ms = 10000;
    config.timeout_ms = 10000;
    return config;
}

CHECK_UNUSED void world_open_with(struct world *w, const struct redis_config *config)
{
    struct redis_hooks hooks = {.context = w,
                                .done = world_done,
                                .count = world_count,
                                .invalidate = world_invalidate,
                                .moved = world_moved,
                                .changed = world_changed,
                                .unchanged = world_unchanged,
                                .gone = world_gone};
    char error[256] = "";

    memset(w, 0, sizeof(*w));
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    w->client = redis_client_create(config, &hooks, error, sizeof(error));
    if (!w->client)
        printf("%s\n", error);
    REQUIRE(w->client != NULL);
}

CHECK_UNUSED void world_open(struct world *w, const char *url)
{
    struct redis_config config = config_for(url);

    world_open_with(w, &config);
}

/* Waits until the condition, an expression in w, holds: under the lock, for as long as a test may take. */
#define WORLD_AWAIT(w, condition)                         \
    do {                                                  \
        pthread_mutex_lock(&(w)->lock);                   \
        while (!(condition))                              \
            pthread_cond_wait(&(w)->changed, &(w)->lock); \
        pthread_mutex_unlock(&(w)->lock);                 \
    } while (0)

CHECK_UNUSED uint64_t counted(struct world *w, enum redis_counter counter)
{
    uint64_t n;

    pthread_mutex_lock(&w->lock);
    n = w->counts[counter];
    pthread_mutex_unlock(&w->lock);
    return n;
}

/* Releases the client and waits for its end. */
CHECK_UNUSED void world_close(struct world *w)
{
    redis_client_release(w->client);
    WORLD_AWAIT(w, w->gone);
    w->client = NULL;
    for (struct redis_op *op = w->first, *next; op; op = next) {
        next = op->next;
        alloc_free(op->owner);
        redis_op_free(op);
    }
    w->first = NULL;
}

CHECK_UNUSED void world_await_state(struct world *w, enum redis_state state)
{
    const struct timespec nap = {0, 1000000};

    while (redis_client_state(w->client, NULL, 0) != state)
        nanosleep(&nap, NULL);
}

/* -- Operations ---------------------------------------------------------------------------------- */

CHECK_UNUSED struct redis_op *op_of(enum redis_kind kind, const void *key, size_t key_length,
                                    const void *bytes, size_t length)
{
    struct redis_op *op = alloc_zeroed(sizeof(*op));

    op->kind = kind;
    op->owner = alloc_zeroed(sizeof(int));
    if (key)
        op->key = alloc_copy(key, key_length);
    op->key_length = key_length;
    if (bytes)
        op->value = alloc_copy(bytes, length);
    op->value_length = length;
    op->deadline_ms = clock_now_ms() + 60000;
    return op;
}

/* The key and the value are text. */
CHECK_UNUSED struct redis_op *op_text(enum redis_kind kind, const char *key, const char *text)
{
    return op_of(kind, key, key ? strlen(key) : 0, text, text ? strlen(text) : 0);
}

CHECK_UNUSED struct redis_op *within(struct redis_op *op, int64_t ms)
{
    op->deadline_ms = clock_now_ms() + ms;
    return op;
}

CHECK_UNUSED void op_free(struct redis_op *op)
{
    alloc_free(op->owner);
    redis_op_free(op);
}

CHECK_UNUSED void submit(struct world *w, struct redis_op *op)
{
    enum redis_submit how = redis_submit(w->client, op, false);

    if (how != REDIS_ACCEPTED)
        printf("not accepted: %s\n", op->error);
    REQUIRE(how == REDIS_ACCEPTED);
}

/* The next operation that is over, in the order in which they end; waits for it. */
CHECK_UNUSED struct redis_op *next_done(struct world *w)
{
    struct redis_op *op;

    WORLD_AWAIT(w, w->first);
    pthread_mutex_lock(&w->lock);
    op = w->first;
    w->first = op->next;
    pthread_mutex_unlock(&w->lock);
    op->next = NULL;
    CHECK_INT(1, *(int *)op->owner);
    return op;
}

/* Carries out one operation while nothing else is under way. */
CHECK_UNUSED struct redis_op *carry_out(struct world *w, struct redis_op *op)
{
    struct redis_op *over;

    submit(w, op);
    over = next_done(w);
    REQUIRE(over == op);
    return over;
}

/* Carries out and frees; says how it went. */
CHECK_UNUSED int status_of(struct world *w, struct redis_op *op)
{
    int status = (int)carry_out(w, op)->status;

    if (status > REDIS_ABSENT)
        printf("%s\n", op->error);
    op_free(op);
    return status;
}

CHECK_UNUSED int set_text(struct world *w, const char *key, const char *text)
{
    return status_of(w, op_text(REDIS_SET, key, text));
}

/* The value of a key as text, "(absent)", or the error. */
CHECK_UNUSED const char *get_text(struct world *w, const char *key)
{
    static char text[512];
    struct redis_op *op = carry_out(w, op_text(REDIS_GET, key, NULL));

    if (op->status == REDIS_DONE)
        snprintf(text, sizeof(text), "%.*s", (int)op->reply_length, op->reply);
    else
        snprintf(text, sizeof(text), "%s", op->status == REDIS_ABSENT ? "(absent)" : op->error);
    op_free(op);
    return text;
}

/* The items of a page as text, each followed by a comma. */
CHECK_UNUSED const char *items_of(const struct redis_op *op)
{
    static char text[1 << 16];
    size_t at = 0, out = 0, items = 0;
    uint32_t n;

    text[0] = '\0';
    while (at + sizeof(n) <= op->reply_length) {
        memcpy(&n, op->reply + at, sizeof(n));
        at += sizeof(n);
        REQUIRE(at + n <= op->reply_length && out + n + 2 <= sizeof(text));
        memcpy(text + out, op->reply + at, n);
        at += n;
        out += n;
        text[out++] = ',';
        text[out] = '\0';
        items++;
    }
    CHECK_INT(op->reply_length, at);
    CHECK_INT(op->reply_count, items);
    return text;
}

#endif
