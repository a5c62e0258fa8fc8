/* The public interface over both tiers, Redis being well. */
#include <math.h>
#include <pthread.h>

#include "support/cache.h"
#include "support/server.h"
#include "tandem.h"

/* Past max_stale, before memory_ttl. */
enum { PAST_FRESHNESS = 2100 };

static struct server *server;

static tandem_options options_here(const char *name)
{
    tandem_options o;

    if (!server)
        server = server_start(NULL);
    o = options_for(name, server->url);
    o.timeout_ms = 5000; /* the machine may be busy */
    return o;
}

static void end(tandem_cache *c, const tandem_options *o)
{
    close_all(c, o);
    server_stop(server);
}

/* -- Reading ------------------------------------------------------------------------------------- */

TEST(a_foreign_value_comes_from_redis_once_and_then_from_memory)
{
    tandem_options o = options_here("read");
    tandem_cache *c = open_with(&o);

    server_command(server, "SET read:key foreign");
    CHECK_INT(TANDEM_PENDING, get_now(c, "key", 0));
    CHECK(said.ticket >= 1);
    CHECK_INT(TANDEM_OK, finish(&o, TANDEM_PENDING));
    CHECK_STR("foreign", value);
    CHECK_INT(TANDEM_TIER_REDIS, said.tier);
    CHECK_INT(TANDEM_OK, get_now(c, "key", 0));
    CHECK_STR("foreign", value);
    CHECK_INT(TANDEM_TIER_MEMORY, said.tier);
    CHECK_INT(TANDEM_OK, exists(c, &o, "key"));
    CHECK_INT(TANDEM_TIER_MEMORY, said.tier);
    CHECK_INT(1, metric(c, "redis", "hits"));
    CHECK_INT(1, tandem_redis_up(c));
    CHECK_STR("unavailable", tandem_tracking_state(c));
    CHECK_INT(0, tandem_pending(o.mailbox));
    end(c, &o);
}

static int row_named(const char *name)
{
    tandem_metric row;
    int i = 0;

    while (tandem_metric_at(i, &row) == TANDEM_OK && strcmp(row.name, name) != 0)
        i++;
    return i;
}

TEST(each_answer_of_redis_is_a_round_trip)
{
    tandem_options o = options_here("trips");
    tandem_cache *c = open_with(&o);
    int row = row_named("round_trip"), buckets = 0;
    double counts[64], sum, trips, n = 0;

    while (tandem_bucket_bound(buckets) != 0)
        buckets++;
    CHECK(buckets > 10 && isinf(tandem_bucket_bound(buckets - 1)));
    CHECK_INT(0, tandem_metric_value(c, row));
    get(c, &o, "absent");
    set(c, &o, "key", "value", 0);
    del(c, &o, "key");
    del(c, &o, "key");
    trips = tandem_metric_value(c, row);
    CHECK_INT(TANDEM_OK, tandem_metric_buckets(c, row, counts, 64, &sum));
    for (int i = 0; i < buckets; i++)
        n += counts[i];
    CHECK(trips >= 4 && n >= trips &&
          n <= tandem_metric_value(c, row)); /* on a slow machine PINGs, too */
    CHECK(n < 8);
    CHECK(sum > 0 && sum < 60);
    CHECK_INT(TANDEM_EINVAL, tandem_metric_buckets(c, row, counts, buckets - 1, &sum));
    CHECK_INT(TANDEM_EINVAL, tandem_metric_buckets(c, row_named("hits"), counts, 64, &sum));
    CHECK_INT(TANDEM_EINVAL, tandem_metric_buckets(c, tandem_metric_count(), counts, 64, &sum));
    CHECK_INT(0, tandem_bucket_bound(-1));
    end(c, &o);
}

TEST(absence_is_a_miss_and_asked_for_each_time)
{
    tandem_options o = options_here("absent");
    tandem_cache *c = open_with(&o);

    CHECK_INT(TANDEM_MISS, get(c, &o, "key"));
    CHECK_INT(TANDEM_TIER_NONE, said.tier);
    CHECK_INT(TANDEM_MISS, exists(c, &o, "key"));
    CHECK_INT(TANDEM_MISS, ttl(c, &o, "key"));
    CHECK_INT(3, metric(c, "redis", "misses"));
    CHECK_INT(3, metric(c, "memory", "misses"));
    server_command(server, "SET absent:key %b", "", (size_t)0);
    CHECK_INT(TANDEM_OK, get(c, &o, "key"));
    CHECK_INT(0, said.length);
    CHECK_INT(TANDEM_OK, get_now(c, "key", 0));
    CHECK_INT(TANDEM_TIER_MEMORY, said.tier);
    end(c, &o);
}

TEST(past_its_freshness_redis_is_asked_again)
{
    tandem_options o = options_here("fresh");
    tandem_cache *c = open_with(&o);

    server_command(server, "SET fresh:key one");
    get(c, &o, "key");
    server_command(server, "SET fresh:key two");
    CHECK_INT(TANDEM_OK, get_now(c, "key", 0));
    CHECK_STR("one", value);
    tandem_clock_shift(PAST_FRESHNESS);
    CHECK_INT(TANDEM_PENDING, get_now(c, "key", 0));
    CHECK_INT(TANDEM_OK, finish(&o, TANDEM_PENDING));
    CHECK_STR("two", value);
    CHECK_INT(TANDEM_OK, get_now(c, "key", 0));
    CHECK_STR("two", value);
    end(c, &o);
}

TEST(without_tracking_memory_ttl_is_the_limit)
{
    tandem_options o = options_here("untracked");
    tandem_cache *c;

    o.tracking = 0;
    o.memory_ttl_ms = 10000;
    c = open_with(&o);
    server_command(server, "SET untracked:key one");
    get(c, &o, "key");
    tandem_clock_shift(9000);
    CHECK_INT(TANDEM_OK, get_now(c, "key", 0));
    tandem_clock_shift(1100);
    CHECK_INT(TANDEM_PENDING, get_now(c, "key", 0));
    CHECK_INT(TANDEM_OK, finish(&o, TANDEM_PENDING));
    end(c, &o);
}

TEST(a_promoted_value_ends_with_its_ttl_in_redis)
{
    tandem_options o = options_here("promoted");
    tandem_cache *c = open_with(&o);

    o.tracking = 0;
    server_command(server, "SET promoted:key v PX 60000");
    get(c, &o, "key");
    CHECK_INT(TANDEM_OK, ttl(c, &o, "key"));
    CHECK_INT(TANDEM_TIER_MEMORY, said.tier);
    CHECK(said.ttl > 50 && said.ttl <= 60.01);
    tandem_clock_shift(59000);
    CHECK_INT(TANDEM_ENOWAIT, tandem_ttl(c, "other", 5, TANDEM_NOWAIT, &said));
    CHECK_INT(TANDEM_OK, get_now(c, "key", TANDEM_NOWAIT));
    CHECK_INT(TANDEM_TIER_STALE, said.tier);
    tandem_clock_shift(1100);
    CHECK_INT(TANDEM_ENOWAIT, get_now(c, "key", TANDEM_NOWAIT));
    end(c, &o);
}

TEST(ttl_asks_redis_where_memory_has_cut_it)
{
    tandem_options o = options_here("capped");
    tandem_cache *c = open_with(&o);

    server_command(server, "SET capped:ever v");
    server_command(server, "SET capped:long v EX 999999");
    get(c, &o, "ever");
    get(c, &o, "long");
    CHECK_INT(TANDEM_OK, ttl(c, &o, "ever"));
    CHECK_INT(TANDEM_TIER_REDIS, said.tier);
    CHECK(said.ttl == 0);
    CHECK_INT(TANDEM_OK, ttl(c, &o, "long"));
    CHECK_INT(TANDEM_TIER_REDIS, said.tier);
    CHECK(said.ttl > 999900 && said.ttl <= 999999);
    CHECK_INT(TANDEM_ENOWAIT, tandem_ttl(c, "long", 4, TANDEM_NOWAIT, &said));
    CHECK_INT(TANDEM_OK, tandem_exists(c, "long", 4, TANDEM_NOWAIT, &said));
    end(c, &o);
}

TEST(a_key_of_another_type_is_an_error_that_names_the_server)
{
    tandem_options o = options_here("type");
    tandem_cache *c = open_with(&o);

    CHECK_INT(TANDEM_OK, set(c, &o, "key", "value", 0));
    server_command(server, "DEL type:key");
    server_command(server, "HSET type:key field value");
    tandem_clock_shift(PAST_FRESHNESS);
    CHECK_INT(TANDEM_EREDIS, get(c, &o, "key"));
    CHECK(strstr(said.error, "WRONGTYPE") != NULL);
    CHECK(strstr(said.error, server->socket) != NULL);
    CHECK_INT(TANDEM_OK, exists(c, &o, "key"));
    CHECK_INT(TANDEM_OK, set(c, &o, "key", "value again", 0));
    CHECK_STR("value again", server_command(server, "GET type:key"));
    end(c, &o);
}

TEST(what_redis_has_lost_is_not_served_as_stale_later)
{
    tandem_options o = options_here("lost");
    tandem_cache *c = open_with(&o);

    for (int i = 0; i < 3; i++) {
        CHECK_INT(TANDEM_OK, set(c, &o, "key", "value", 0));
        server_command(server, "DEL lost:key");
        tandem_clock_shift(PAST_FRESHNESS);
        CHECK_INT(TANDEM_MISS, i == 0   ? get(c, &o, "key")
                               : i == 1 ? exists(c, &o, "key")
                                        : ttl(c, &o, "key"));
        CHECK_INT(TANDEM_ENOWAIT, get_now(c, "key", TANDEM_NOWAIT)); /* not even stale */
    }
    end(c, &o);
}

TEST(a_value_too_large_for_memory_still_comes)
{
    static char large[60000];
    tandem_options o = options_here("large");
    tandem_cache *c;

    o.memory_bytes = 1 << 20;
    c = open_with(&o);
    REQUIRE(tandem_value_limit(c) < sizeof(large));
    memset(large, 'x', sizeof(large));
    CHECK_INT(TANDEM_PENDING, tandem_set(c, "key", 3, large, sizeof(large), 0, 0, &said));
    CHECK_INT(TANDEM_OK, finish(&o, TANDEM_PENDING));
    for (int i = 0; i < 2; i++) {
        CHECK_INT(TANDEM_OK, get(c, &o, "key"));
        CHECK_INT(TANDEM_TIER_REDIS, said.tier);
        CHECK_INT(sizeof(large), said.length);
        CHECK_MEM(large, value, sizeof(large));
    }
    CHECK_INT(3, metric(c, "memory", "too_large"));
    end(c, &o);
}

TEST(nowait_reads_answer_from_memory_or_not_at_all)
{
    tandem_options o = options_here("nowait"), f;
    tandem_cache *c = open_with(&o), *failing;

    f = o;
    f.fail = 1;
    failing = open_with(&f);
    CHECK_INT(TANDEM_ENOWAIT, get_now(c, "key", TANDEM_NOWAIT));
    CHECK(strstr(said.error, server->socket) != NULL);
    set(c, &o, "key", "value", 60000);
    CHECK_INT(TANDEM_OK, get_now(c, "key", TANDEM_NOWAIT));
    CHECK_INT(TANDEM_TIER_MEMORY, said.tier);
    tandem_clock_shift(PAST_FRESHNESS);
    CHECK_INT(TANDEM_ENOWAIT, get_now(failing, "key", TANDEM_NOWAIT));
    CHECK_INT(TANDEM_OK, get_now(c, "key", TANDEM_NOWAIT));
    CHECK_INT(TANDEM_TIER_STALE, said.tier);
    CHECK_STR("value", value);
    CHECK_STR("", said.error);
    CHECK_INT(TANDEM_OK, tandem_ttl(c, "key", 3, TANDEM_NOWAIT, &said));
    CHECK(said.ttl > 50 && said.ttl < 60);
    CHECK_INT(TANDEM_ENOWAIT, tandem_scan(c, "0", 1, NULL, 0, TANDEM_NOWAIT, &said));
    tandem_close(failing);
    end(c, &o);
}

/* -- Writing ------------------------------------------------------------------------------------- */

TEST(a_write_is_in_both_tiers_with_its_ttl)
{
    tandem_options o = options_here("write");
    tandem_cache *c = open_with(&o);

    CHECK_INT(TANDEM_PENDING, set_now(c, "key", "value", 60000, 0));
    CHECK_INT(TANDEM_OK, finish(&o, TANDEM_PENDING));
    CHECK_STR("value", server_command(server, "GET write:key"));
    CHECK(atoi(server_command(server, "PTTL write:key")) > 50000);
    CHECK_INT(TANDEM_OK, get_now(c, "key", 0));
    CHECK_INT(TANDEM_TIER_MEMORY, said.tier);
    CHECK_INT(TANDEM_OK, set(c, &o, "key", "value", 0));
    CHECK_STR("-1", server_command(server, "PTTL write:key"));
    CHECK_INT(TANDEM_OK, ttl(c, &o, "key"));
    CHECK(said.ttl == 0);
    end(c, &o);
}

TEST(delete_says_whether_either_tier_had_it)
{
    tandem_options o = options_here("delete");
    tandem_cache *c = open_with(&o);

    CHECK_INT(TANDEM_MISS, del(c, &o, "key"));
    set(c, &o, "key", "value", 0);
    CHECK_INT(TANDEM_OK, del(c, &o, "key"));
    CHECK_STR("0", server_command(server, "EXISTS delete:key"));
    CHECK_INT(TANDEM_MISS, get(c, &o, "key"));
    server_command(server, "SET delete:key foreign");
    CHECK_INT(TANDEM_OK, del(c, &o, "key"));
    set(c, &o, "key", "value", 0);
    server_command(server, "DEL delete:key");
    CHECK_INT(TANDEM_OK, del(c, &o, "key")); /* memory had it */
    CHECK_INT(TANDEM_MISS, del(c, &o, "key"));
    end(c, &o);
}

TEST(the_prefix_is_what_the_options_say)
{
    tandem_options o = options_here("prefix");
    tandem_cache *c;

    o.prefix = "a\0*";
    o.prefix_length = 3;
    c = open_with(&o);
    CHECK_INT(TANDEM_OK, set(c, &o, "key", "value", 0));
    CHECK_STR("value", server_command(server, "GET %b", "a\0*key", (size_t)6));
    end(c, &o);
}

TEST(a_write_refused_is_in_memory_alone_or_nowhere)
{
    tandem_options o = options_here("refused"), f;
    tandem_cache *c = open_with(&o), *failing;

    f = o;
    f.fail = 1;
    failing = open_with(&f);
    set(c, &o, "key", "old", 0);
    server_command(server, "CONFIG SET maxmemory 1");
    CHECK_INT(TANDEM_EREDIS, set(failing, &o, "key", "new", 0));
    CHECK(strstr(said.error, "OOM") != NULL);
    CHECK_INT(TANDEM_OK, get_now(c, "key", 0));
    CHECK_STR("old", value);
    CHECK_INT(TANDEM_DEGRADED, set(c, &o, "key", "new", 0));
    CHECK(strstr(said.error, "OOM") != NULL);
    CHECK_INT(TANDEM_OK, get_now(c, "key", 0));
    CHECK_STR("new", value);
    CHECK_INT(1, metric(c, "redis", "degraded_writes"));
    tandem_close(failing);
    end(c, &o);
}

/* -- Writing without waiting --------------------------------------------------------------------- */

TEST(a_write_behind_is_seen_by_the_next_read)
{
    tandem_options o = options_here("behind");
    tandem_cache *c;
    char text[16];

    o.write_behind = 1;
    c = open_with(&o);
    for (int i = 0; i < 500; i++) {
        snprintf(text, sizeof(text), "%d", i);
        CHECK_INT(TANDEM_OK, set_now(c, "key", text, 0, 0));
        CHECK_INT(TANDEM_OK, get(c, &o, "key"));
        CHECK_STR(text, value);
    }
    CHECK_INT(TANDEM_OK, delete_now(c, "key", 0));
    CHECK_INT(TANDEM_MISS, get(c, &o, "key"));
    CHECK_STR("0", server_command(server, "EXISTS behind:key"));
    CHECK_INT(0, tandem_pending(o.mailbox));
    end(c, &o);
}

/* The write is dropped from memory and has not been sent yet when another worker reads the older value from
 * Redis, and puts it back into memory. */
TEST(nor_does_another_worker_s_read_get_in_between)
{
    tandem_options o = options_here("between");
    tandem_cache *c = open_with(&o);
    int status = 1;

    /* The I/O thread may look around just then, and send the write: then once more. */
    for (int i = 0; status != 0 && i < 50; i++) {
        pid_t child;

        CHECK_INT(TANDEM_OK, set(c, &o, "key", "old", 0));
        CHECK_INT(TANDEM_OK, set_now(c, "key", "new", 0, TANDEM_NOWAIT | TANDEM_CORK));
        child = fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            CHECK_INT(TANDEM_OK, get(c, &o, "key"));
            _exit(strcmp(value, "old") == 0 ? 0 : 1);
        }
        REQUIRE(waitpid(child, &status, 0) == child);
        if (get_now(c, "key", TANDEM_NOWAIT | TANDEM_CORK) != TANDEM_ENOWAIT)
            status = 1;
    }
    CHECK_INT(0, status);
    CHECK_INT(TANDEM_OK, get(c, &o, "key"));
    CHECK_STR("new", value);
    CHECK_INT(TANDEM_OK, get_now(c, "key", TANDEM_NOWAIT));
    CHECK_STR("new", value);
    end(c, &o);
}

/* Another worker that reads all the time. */
static pid_t start_reader(tandem_cache *c, const tandem_options *o)
{
    pid_t child = fork();

    REQUIRE(child >= 0);
    while (child == 0)
        get(c, o, "key");
    return child;
}

TEST(through_writes_and_reads_in_two_workers_never_go_back)
{
    tandem_options o = options_here("through");
    tandem_cache *c = open_with(&o);
    pid_t reader = start_reader(c, &o);
    char text[16];

    for (int i = 0; i < 1000; i++) {
        snprintf(text, sizeof(text), "%d", i);
        REQUIRE(set(c, &o, "key", text, 0) == TANDEM_OK);
        REQUIRE(get(c, &o, "key") == TANDEM_OK);
        if (strcmp(text, value) != 0) {
            CHECK_STR(text, value);
            break;
        }
    }
    kill(reader, SIGKILL);
    waitpid(reader, NULL, 0);
    end(c, &o);
}

/* -- Corks --------------------------------------------------------------------------------------- */

TEST(a_call_without_cork_wakes_for_those_before_it_whatever_it_does)
{
    tandem_options o = options_here("cork");
    tandem_cache *c = open_with(&o);

    set(c, &o, "known", "value", 0);
    for (int i = 0; i < 4; i++) {
        double ticket;

        CHECK_INT(TANDEM_PENDING, get_now(c, "unknown", TANDEM_CORK));
        ticket = said.ticket;
        CHECK_INT(TANDEM_OK, get_now(c, "known", TANDEM_CORK));
        if (i == 0)
            CHECK_INT(TANDEM_OK, get_now(c, "known", 0)); /* memory answers */
        else if (i == 1)
            CHECK_INT(TANDEM_EINVAL, get_now(c, "", 0));
        else if (i == 2)
            CHECK_INT(TANDEM_MISS, get(c, &o, "another"));
        else
            CHECK_INT(TANDEM_ENOWAIT, get_now(c, "another", TANDEM_NOWAIT));
        CHECK_INT(TANDEM_OK, tandem_wait(o.mailbox, ticket, 20000));
        CHECK_INT(TANDEM_MISS, tandem_take(o.mailbox, ticket, NULL, 0, &said));
    }
    CHECK_INT(TANDEM_OK, set_now(c, "last", "value", 0, TANDEM_NOWAIT | TANDEM_CORK));
    tandem_close(c);
    c = open_with(&o);
    CHECK_INT(TANDEM_OK, get(c, &o, "last"));
    end(c, &o);
}

/* -- Threads ------------------------------------------------------------------------------------- */

static void *work(void *context)
{
    tandem_options o = *(tandem_options *)context;
    tandem_result result;
    tandem_cache *c = NULL;
    char error[256], key[16], bytes[16];
    int status;

    o.mailbox = tandem_mailbox_create();
    REQUIRE(tandem_open(&o, &c, error, sizeof(error)) == TANDEM_OK);
    for (int i = 0; i < 500; i++) {
        size_t n = (size_t)snprintf(key, sizeof(key), "key-%d", i % 20);

        status = i % 3 ? tandem_get(c, key, n, 0, bytes, sizeof(bytes), &result)
                       : tandem_set(c, key, n, key, n, 0, 0, &result);
        if (status == TANDEM_PENDING) {
            double ticket = result.ticket;

            CHECK_INT(TANDEM_OK, tandem_wait(o.mailbox, ticket, 30000));
            status = tandem_take(o.mailbox, ticket, bytes, sizeof(bytes), &result);
        }
        CHECK(status == TANDEM_OK || status == TANDEM_MISS);
        if (status == TANDEM_OK && i % 3)
            CHECK_MEM(key, bytes, n);
    }
    tandem_close(c);
    tandem_mailbox_release(o.mailbox);
    return NULL;
}

TEST(several_threads_each_with_a_handle_and_a_mailbox)
{
    tandem_options o = options_here("threads");
    tandem_cache *c = open_with(&o);
    pthread_t threads[4];

    for (int i = 0; i < 4; i++)
        REQUIRE(pthread_create(threads + i, NULL, work, &o) == 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    end(c, &o);
}

CHECK_MAIN()
