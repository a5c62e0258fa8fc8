/* The public interface when Redis refuses, when there is no memory, and when all of it comes at once. */
#include <pthread.h>
#include <sched.h>

#include "base/alloc.h"
#include "support/cache.h"
#include "support/server.h"
#include "tandem.h"

enum { PAST_FRESHNESS = 2100 };

/* -- Refusals ------------------------------------------------------------------------------------ */

TEST(the_password_is_used_and_never_told_and_lends_itself_to_nobody)
{
    struct server *s = server_start("--requirepass", "s3cret2", NULL);
    tandem_options o = options_for("password", s->url), w;
    tandem_cache *c, *wrong;

    o.timeout_ms = 5000;
    o.redis_password = "s3cret2";
    c = open_with(&o);
    CHECK_INT(TANDEM_OK, set(c, &o, "key", "value", 0));
    CHECK(strstr(tandem_identity(c), "s3cret2") == NULL);
    w = o;
    w.redis_password = "s3cret3";
    wrong = open_with(&w); /* the same segment, but not the same connection */
    CHECK_STR(tandem_identity(c), tandem_identity(wrong));
    CHECK_INT(TANDEM_ECONN, get(wrong, &o, "other"));
    CHECK_INT(TANDEM_MISS, get(c, &o, "other"));
    tandem_close(wrong);
    close_all(c, &o);
    server_stop(s);
}

TEST(a_wrong_password_is_an_error_that_says_so)
{
    struct server *s = server_start("--requirepass", "s3cret2", NULL);
    tandem_options o = options_for("password", s->url);
    tandem_cache *c;

    o.timeout_ms = 5000;
    o.redis_password = "s3cret-wrong";
    c = open_with(&o);
    CHECK_INT(TANDEM_ECONN, get(c, &o, "key"));
    CHECK(strstr(said.error, "WRONGPASS") != NULL);
    CHECK(strstr(said.error, "s3cret-wrong") == NULL);
    CHECK_INT(TANDEM_DEGRADED, set(c, &o, "key", "value", 0));
    CHECK(strstr(said.error, "WRONGPASS") != NULL);
    CHECK_INT(TANDEM_OK, get_now(c, "key", 0));
    close_all(c, &o);
    server_stop(s);
}

TEST(a_replica_that_takes_no_writes_degrades_them)
{
    struct server *s = server_start(NULL);
    tandem_options o = options_for("replica", s->url), f;
    tandem_cache *c, *failing;

    o.timeout_ms = 5000;
    f = o;
    f.fail = 1;
    c = open_with(&o);
    failing = open_with(&f);
    set(c, &o, "key", "old", 0);
    server_command(s, "REPLICAOF 127.0.0.1 1");
    CHECK_INT(TANDEM_EREDIS, set(failing, &o, "key", "new", 0));
    CHECK(strstr(said.error, "READONLY") != NULL && strstr(said.error, s->socket) != NULL);
    CHECK_INT(TANDEM_EREDIS, del(failing, &o, "key"));
    CHECK_INT(TANDEM_OK, get_now(c, "key", 0));
    CHECK_STR("old", value);
    CHECK_INT(TANDEM_DEGRADED, del(c, &o, "key"));
    CHECK(strstr(said.error, "READONLY") != NULL);
    CHECK_INT(TANDEM_MISS, get_now(c, "key", TANDEM_NOWAIT));
    CHECK_INT(TANDEM_DEGRADED, set(c, &o, "key", "new", 0));
    CHECK_INT(TANDEM_OK, get_now(c, "key", 0));
    CHECK_STR("new", value);
    CHECK_INT(TANDEM_OK, set_now(c, "behind", "value", 0, TANDEM_NOWAIT));
    CHECK_INT(TANDEM_MISS, get(c, &o, "other")); /* reads are answered, after that write */
    CHECK_INT(TANDEM_OK, get_now(c, "behind", TANDEM_NOWAIT));
    CHECK_INT(3, metric(c, "redis", "degraded_writes"));
    tandem_close(failing);
    close_all(c, &o);
    server_stop(s);
}

/* -- No memory ----------------------------------------------------------------------------------- */

/* Every allocation of an operation fails once, on whichever thread it is. */
TEST(no_memory_at_any_place_in_an_operation_is_an_answer)
{
    struct server *s = server_start(NULL);
    tandem_options o = options_for("nomemory", s->url);
    tandem_cache *c;
    int status;

    o.timeout_ms = 5000;
    c = open_with(&o);
    REQUIRE(set(c, &o, "key", "value", 0) == TANDEM_OK);
    for (long n = 1; n < 12; n++) {
        alloc_fail_nth(n);
        status = set(c, &o, "key", "value", 0);
        alloc_fail_nth(0);
        CHECK(status == TANDEM_OK || status == TANDEM_DEGRADED || said.error_length > 0);
        tandem_clock_shift(PAST_FRESHNESS);
        alloc_fail_nth(n);
        status = get(c, &o, "key");
        alloc_fail_nth(0);
        CHECK(status != TANDEM_PENDING);
        if (status == TANDEM_OK)
            CHECK_STR("value", value);
        alloc_fail_nth(n);
        status = finish(&o, tandem_scan(c, "0", 1, NULL, 0, 0, &said));
        alloc_fail_nth(0);
        CHECK(status == TANDEM_OK || (status < 0 && said.error_length > 0));
        CHECK_INT(0, tandem_pending(o.mailbox));
        for (int i = 0; i < 5000 && tandem_redis_up(c) != 1; i++) {
            get(c, &o, "probe");
            server_nap();
        }
    }
    /* While Redis is being told an earlier write of the key, another one is queued. */
    status = TANDEM_DEGRADED;
    for (int i = 0; i < 5000 && status == TANDEM_DEGRADED; i++) {
        status = set(c, &o, "key", "value", 0);
        server_nap();
    }
    CHECK_INT(TANDEM_OK, status);
    close_all(c, &o);
    server_stop(s);
}

/* -- All at once --------------------------------------------------------------------------------- */

struct storm {
    tandem_options options;
    _Atomic bool over;
    _Atomic long answered, stale, failed;
};

/* What a key's value must begin with. */
static void tally(struct storm *storm, int status, const tandem_result *result, const char *key,
                  const char *bytes)
{
    if (status == TANDEM_OK && result->length > 0)
        CHECK_MEM(key, bytes, 5);
    CHECK(status != TANDEM_PENDING && status != TANDEM_ELOST && status != TANDEM_EINVAL);
    if (status < 0) {
        CHECK(result->error_length > 0);
        storm->failed++;
    } else if (result->tier == TANDEM_TIER_STALE) {
        storm->stale++;
    } else {
        storm->answered++;
    }
}

static int one_call(tandem_cache *c, unsigned random, bool may_write, const char *key, char *bytes,
                    size_t size, tandem_result *result)
{
    int flags = random % 31 == 0 ? TANDEM_NOWAIT : 0;

    memset(bytes, 0, size);
    switch (may_write ? random % 8 : 3 + random % 5) {
    case 0:
    case 1:
        snprintf(bytes, size, "%s=%u", key, random);
        return tandem_set(c, key, 5, bytes, strlen(bytes), random % 5 ? 0 : 3000, flags, result);
    case 2:
        return tandem_delete(c, key, 5, flags, result);
    case 3:
        return tandem_ttl(c, key, 5, flags, result);
    default:
        return tandem_get(c, key, 5, flags, bytes, size, result);
    }
}

static void *work(void *context)
{
    struct storm *storm = context;
    tandem_options o = storm->options;
    unsigned random = (unsigned)(uintptr_t)&o;
    tandem_cache *c = NULL;
    tandem_result result;
    char error[256], key[8], bytes[32];
    int writes_from = 0;

    o.mailbox = tandem_mailbox_create();
    REQUIRE(tandem_open(&o, &c, error, sizeof(error)) == TANDEM_OK);
    for (int i = 0; !storm->over; i++) {
        int status;

        random = random * 1664525u + 1013904223u;
        snprintf(key, sizeof(key), "key%02u", (random >> 8) % 40);
        status = one_call(c, random >> 16, i >= writes_from, key, bytes, sizeof(bytes), &result);
        if (status == TANDEM_DEGRADED) /* entries that are written all the time never get stale */
            writes_from = i + 20000;
        if (status == TANDEM_PENDING) {
            double ticket = result.ticket;

            if (i % 13 == 0) {
                tandem_abandon(o.mailbox, ticket);
                continue;
            }
            CHECK_INT(TANDEM_OK, tandem_wait(o.mailbox, ticket, 30000));
            status = tandem_take(o.mailbox, ticket, bytes, sizeof(bytes), &result);
        }
        tally(storm, status, &result, key, bytes);
        if (i % 500 == 499) { /* a reload, now and then */
            tandem_close(c);
            REQUIRE(tandem_open(&o, &c, error, sizeof(error)) == TANDEM_OK);
        }
    }
    CHECK_INT(0, tandem_pending(o.mailbox));
    tandem_close(c);
    tandem_mailbox_release(o.mailbox);
    return NULL;
}

static void wait_for(_Atomic long *count, long more)
{
    long until = *count + more;

    while (*count < until)
        server_nap();
}

/* Threads read and write while Redis is killed, brought back, stalled, and threads come and go. */
TEST(whatever_happens_every_call_ends_and_no_value_is_another_key_s)
{
    static struct storm storm;
    struct server *s = server_start(NULL);
    pthread_t threads[3];

    storm.options = options_for("storm", s->url);
    storm.options.timeout_ms = 100;
    storm.options.max_stale_ms = 2;
    for (int i = 0; i < 3; i++)
        REQUIRE(pthread_create(threads + i, NULL, work, &storm) == 0);
    for (int i = 0; i < 6; i++) {
        wait_for(&storm.answered, 2000);
        server_kill(s);
        wait_for(&storm.failed, 20);
        wait_for(&storm.stale, 20);
        server_run(s);
        wait_for(&storm.answered, 2000);
        server_freeze(s);
        wait_for(&storm.failed, 3);
        server_thaw(s);
    }
    storm.over = true;
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    tandem_mailbox_release(storm.options.mailbox);
    server_stop(s);
}

CHECK_MAIN()
