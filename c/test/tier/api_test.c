/* The public interface of a cache in memory only, and what it refuses. */
#include "tandem.h"

#include <pthread.h>

#include "base/alloc.h"
#include "support/cache.h"

/* -- Keys and values ----------------------------------------------------------------------------- */

TEST(a_value_goes_in_comes_out_and_goes)
{
    tandem_options o = options_for("basics", NULL);
    tandem_cache *c = open_with(&o);

    CHECK_INT(TANDEM_MISS, get_now(c, "key", 0));
    CHECK_INT(TANDEM_TIER_NONE, said.tier);
    CHECK_INT(TANDEM_OK, set_now(c, "key", "value", 0, 0));
    CHECK_INT(TANDEM_OK, get_now(c, "key", 0));
    CHECK_STR("value", value);
    CHECK_INT(5, said.length);
    CHECK_INT(TANDEM_TIER_MEMORY, said.tier);
    CHECK_INT(TANDEM_OK, get_now(c, "key", TANDEM_NOWAIT));
    CHECK_INT(TANDEM_OK, exists(c, &o, "key"));
    CHECK_INT(TANDEM_OK, delete_now(c, "key", 0));
    CHECK_INT(TANDEM_MISS, delete_now(c, "key", 0));
    CHECK_INT(TANDEM_MISS, get_now(c, "key", TANDEM_NOWAIT));
    CHECK_INT(TANDEM_MISS, exists(c, &o, "key"));
    CHECK_INT(TANDEM_MISS, ttl(c, &o, "key"));
    CHECK_STR("", said.error);
    close_all(c, &o);
}

TEST(any_bytes_are_a_key_and_a_value)
{
    static const char key[] = "\0k\xff\n", bytes[] = "a\0b\xfe";
    tandem_options o = options_for("binary", NULL);
    tandem_cache *c = open_with(&o);

    CHECK_INT(TANDEM_OK, tandem_set(c, key, 4, bytes, 4, 0, 0, &said));
    CHECK_INT(TANDEM_OK, tandem_get(c, key, 4, 0, value, sizeof(value), &said));
    CHECK_INT(4, said.length);
    CHECK_MEM(bytes, value, 4);
    CHECK_INT(TANDEM_MISS, tandem_get(c, key, 3, 0, value, sizeof(value), &said));
    close_all(c, &o);
}

TEST(an_empty_value_is_a_value)
{
    tandem_options o = options_for("empty", NULL);
    tandem_cache *c = open_with(&o);

    CHECK_INT(TANDEM_OK, tandem_set(c, "key", 3, NULL, 0, 0, 0, &said));
    CHECK_INT(TANDEM_OK, tandem_get(c, "key", 3, 0, NULL, 0, &said));
    CHECK_INT(0, said.length);
    CHECK_INT(TANDEM_OK, exists(c, &o, "key"));
    close_all(c, &o);
}

TEST(a_small_buffer_is_told_the_length)
{
    tandem_options o = options_for("small", NULL);
    tandem_cache *c = open_with(&o);

    set_now(c, "key", "value", 0, 0);
    CHECK_INT(TANDEM_TOO_SMALL, tandem_get(c, "key", 3, 0, value, 4, &said));
    CHECK_INT(5, said.length);
    CHECK_INT(TANDEM_TOO_SMALL, tandem_get(c, "key", 3, 0, NULL, 0, &said));
    CHECK_INT(5, said.length);
    CHECK_INT(TANDEM_OK, tandem_get(c, "key", 3, 0, value, 5, &said));
    CHECK_INT(1, metric(c, "memory", "hits"));
    close_all(c, &o);
}

TEST(wrong_keys_are_refused_by_every_call_that_takes_one)
{
    static char longest[4097];
    tandem_options o = options_for("keys", NULL);
    tandem_cache *c = open_with(&o);

    memset(longest, 'k', sizeof(longest));
    CHECK_INT(4096, tandem_key_limit(c));
    CHECK_INT(TANDEM_OK, tandem_set(c, longest, 4096, "v", 1, 0, 0, &said));
    CHECK_INT(TANDEM_OK, tandem_get(c, longest, 4096, 0, value, 1, &said));
    for (int i = 0; i < 4; i++) {
        const char *const keys[] = {longest, "", "#tandem:x", NULL};
        const size_t lengths[] = {4097, 0, 9, 3};
        const char *const words[] = {"4097", "empty", "#tandem:", "empty"};

        CHECK_INT(TANDEM_EINVAL, tandem_get(c, keys[i], lengths[i], 0, value, 9, &said));
        CHECK(strstr(said.error, words[i]) != NULL);
        CHECK_INT(strlen(said.error), said.error_length);
        CHECK_INT(TANDEM_EINVAL, tandem_exists(c, keys[i], lengths[i], 0, &said));
        CHECK_INT(TANDEM_EINVAL, tandem_ttl(c, keys[i], lengths[i], 0, &said));
        CHECK_INT(TANDEM_EINVAL, tandem_set(c, keys[i], lengths[i], "v", 1, 0, 0, &said));
        CHECK_INT(TANDEM_EINVAL, tandem_delete(c, keys[i], lengths[i], 0, &said));
        CHECK(strstr(said.error, words[i]) != NULL);
    }
    CHECK_INT(TANDEM_EINVAL, tandem_get(NULL, "key", 3, 0, value, 9, &said));
    CHECK_INT(TANDEM_OK, set_now(c, "#tandem", "near the border", 0, 0));
    close_all(c, &o);
}

TEST(wrong_arguments_of_set_are_refused)
{
    tandem_options o = options_for("arguments", NULL);
    tandem_cache *c = open_with(&o);

    CHECK_INT(TANDEM_EINVAL, set_now(c, "key", "v", -1, 0));
    CHECK(strstr(said.error, "-1") != NULL);
    CHECK_INT(TANDEM_EINVAL, set_now(c, "key", "v", INT64_MAX, 0));
    CHECK_INT(TANDEM_EINVAL, tandem_set(c, "key", 3, NULL, 1, 0, 0, &said));
    CHECK_INT(TANDEM_MISS, get_now(c, "key", 0));
    close_all(c, &o);
}

TEST(a_value_beyond_the_limit_is_refused_with_both_numbers)
{
    tandem_options o = options_for("toobig", NULL);
    tandem_cache *c = open_with(&o);
    size_t limit = (size_t)tandem_value_limit(c);
    char *large = alloc_zeroed(limit + 1), numbers[64];

    REQUIRE(large != NULL && limit >= 1024);
    CHECK_INT(TANDEM_OK, tandem_set(c, "key", 3, large, limit, 0, 0, &said));
    CHECK_INT(TANDEM_ETOOBIG, tandem_set(c, "key", 3, large, limit + 1, 0, 0, &said));
    snprintf(numbers, sizeof(numbers), "%zu bytes, at most %zu", limit + 1, limit);
    CHECK(strstr(said.error, numbers) != NULL);
    alloc_free(large);
    close_all(c, &o);
}

/* -- Time ---------------------------------------------------------------------------------------- */

TEST(a_ttl_runs_out)
{
    tandem_options o = options_for("ttl", NULL);
    tandem_cache *c = open_with(&o);

    set_now(c, "short", "v", 5000, 0);
    set_now(c, "forever", "v", 0, 0);
    CHECK_INT(TANDEM_OK, ttl(c, &o, "short"));
    CHECK(said.ttl > 4.9 && said.ttl <= 5.01);
    CHECK_INT(TANDEM_OK, ttl(c, &o, "forever"));
    CHECK(said.ttl == 0);
    tandem_clock_shift(4900);
    CHECK_INT(TANDEM_OK, get_now(c, "short", 0));
    tandem_clock_shift(200);
    CHECK_INT(TANDEM_MISS, get_now(c, "short", 0));
    CHECK_INT(TANDEM_MISS, exists(c, &o, "short"));
    CHECK_INT(TANDEM_MISS, ttl(c, &o, "short"));
    CHECK_INT(TANDEM_MISS, delete_now(c, "short", 0));
    tandem_clock_shift(1e9);
    CHECK_INT(TANDEM_OK, get_now(c, "forever", 0));
    close_all(c, &o);
}

/* -- Walks --------------------------------------------------------------------------------------- */

static int count_keys(tandem_cache *c, const char *glob, size_t size)
{
    double cursor = 0;
    int status, n = 0;

    do {
        status = tandem_keys(c, &cursor, glob, glob ? strlen(glob) : 0, value, size, &said);
        CHECK(status == TANDEM_OK || status == TANDEM_MORE);
        n += (int)said.count;
    } while (status == TANDEM_MORE);
    return n;
}

static int remove_keys(tandem_cache *c, const char *glob)
{
    double cursor = 0;
    int status, n = 0;

    do {
        status = tandem_remove(c, &cursor, glob, glob ? strlen(glob) : 0, &said);
        CHECK(status == TANDEM_OK || status == TANDEM_MORE);
        n += (int)said.count;
    } while (status == TANDEM_MORE);
    return n;
}

TEST(keys_remove_and_cleanup_walk_over_everything)
{
    tandem_options o = options_for("walks", NULL);
    tandem_cache *c = open_with(&o);
    double cursor = 0, cleaned = 0;
    char key[32];
    int status;

    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof(key), "%s:%d", i % 2 ? "odd" : "even", i);
        REQUIRE(set_now(c, key, "v", i < 100 ? 1000 : 0, 0) == TANDEM_OK);
    }
    CHECK_INT(1000, count_keys(c, NULL, sizeof(value)));
    CHECK_INT(500, count_keys(c, "odd:*", 64)); /* a few at a time */
    CHECK_INT(TANDEM_TOO_SMALL, tandem_keys(c, &cursor, NULL, 0, value, 4, &said));
    CHECK(said.length > 4);
    tandem_clock_shift(2000);
    cursor = 0;
    do {
        status = tandem_cleanup(c, &cursor, 0, &said);
        cleaned += said.count;
    } while (status == TANDEM_MORE);
    CHECK_INT(TANDEM_OK, status);
    CHECK_INT(100, cleaned);
    CHECK_INT(450, remove_keys(c, "odd:*"));
    CHECK_INT(450, count_keys(c, NULL, sizeof(value)));
    remove_keys(c, NULL);
    CHECK_INT(0, count_keys(c, NULL, sizeof(value)));
    CHECK_INT(TANDEM_MISS, get_now(c, "even:500", 0));
    close_all(c, &o);
}

TEST(a_cursor_that_no_call_returned_is_refused)
{
    tandem_options o = options_for("cursors", NULL);
    tandem_cache *c = open_with(&o);
    const double wrong[] = {-1, 0.0 / 0.0, 1.0 / 0.0, 1e300};

    for (int i = 0; i < 4; i++) {
        double cursor = wrong[i];

        CHECK_INT(TANDEM_EINVAL, tandem_keys(c, &cursor, NULL, 0, value, 9, &said));
        CHECK_INT(TANDEM_EINVAL, tandem_remove(c, &cursor, NULL, 0, &said));
        CHECK_INT(TANDEM_EINVAL, tandem_cleanup(c, &cursor, 0, &said));
    }
    CHECK_INT(TANDEM_EINVAL, tandem_scan(c, "0", 1, NULL, 0, 0, &said));
    CHECK(strstr(said.error, "Redis") != NULL);
    close_all(c, &o);
}

/* -- Handles ------------------------------------------------------------------------------------- */

TEST(equal_identities_share_and_others_do_not)
{
    tandem_options o = options_for("shared", NULL);
    tandem_cache *a = open_with(&o), *b, *other;

    b = open_with(&o);
    CHECK_STR(tandem_identity(a), tandem_identity(b));
    set_now(a, "key", "value", 0, 0);
    CHECK_INT(TANDEM_OK, get_now(b, "key", 0));
    o.codec = "json";
    other = open_with(&o);
    CHECK(strcmp(tandem_identity(a), tandem_identity(other)) != 0);
    CHECK_INT(TANDEM_MISS, get_now(other, "key", 0));
    tandem_close(a);
    CHECK_INT(TANDEM_OK, get_now(b, "key", 0));
    o.codec = NULL;
    o.entry_size = 1000;
    a = open_with(&o);
    CHECK(strstr(tandem_identity(a), " entry_size=1000") != NULL);
    CHECK_INT(TANDEM_MISS, get_now(a, "key", 0));
    tandem_close(a);
    tandem_close(b);
    CHECK(tandem_server(other) == NULL);
    CHECK_INT(-1, tandem_redis_up(other));
    CHECK_STR("off", tandem_tracking_state(other));
    close_all(other, &o);
    tandem_close(NULL);
    tandem_mailbox_release(NULL);
}

TEST(the_identity_shows_its_parts_and_no_secret)
{
    tandem_options o = options_for("shown", "redis://user:s3cret2@127.0.0.1:7/3");
    tandem_cache *c;

    o.prefix = "p\n\"\xff";
    o.prefix_length = 4;
    c = open_with(&o);
    CHECK(strstr(tandem_identity(c), "\"shown\"") != NULL);
    CHECK(strstr(tandem_identity(c), "127.0.0.1:7/3") != NULL);
    CHECK(strstr(tandem_identity(c), "\"p\\x0a\\x22\\xff\"") != NULL);
    CHECK(strstr(tandem_identity(c), "s3cret2") == NULL);
    CHECK(strstr(tandem_server(c), "s3cret2") == NULL);
    CHECK_STR("redis 127.0.0.1:7/3", tandem_server(c));
    close_all(c, &o);
}

static void *hammer(void *context)
{
    const tandem_options *shared = context;
    tandem_options o = *shared;
    tandem_result result;
    char key[16], own[16], bytes[16];
    tandem_cache *c = NULL;
    char error[256];

    snprintf(own, sizeof(own), "%lx", (unsigned long)pthread_self() & 0xffffff);
    o.mailbox = NULL;
    REQUIRE(tandem_open(&o, &c, error, sizeof(error)) == TANDEM_OK);
    for (int i = 0; i < 20000; i++) {
        size_t n = (size_t)snprintf(key, sizeof(key), "key-%d", i % 50);

        if (i % 5 == 0)
            tandem_set(c, key, n, own, strlen(own), 0, 0, &result);
        else if (i % 111 == 0)
            tandem_delete(c, key, n, 0, &result);
        else if (tandem_get(c, key, n, 0, bytes, sizeof(bytes), &result) == TANDEM_OK)
            CHECK(result.length > 0 && result.length < 16);
    }
    tandem_close(c);
    return NULL;
}

TEST(several_threads_each_with_a_handle)
{
    tandem_options o = options_for("threads", NULL);
    tandem_cache *c = open_with(&o);
    pthread_t threads[4];

    for (int i = 0; i < 4; i++)
        REQUIRE(pthread_create(threads + i, NULL, hammer, &o) == 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    close_all(c, &o);
}

TEST(a_child_shares_what_its_parent_opened)
{
    tandem_options o = options_for("fork", NULL);
    tandem_cache *c = open_with(&o);
    int status = 0;
    pid_t child = fork();

    REQUIRE(child >= 0);
    if (child == 0) {
        CHECK_INT(TANDEM_OK, set_now(c, "key", "from the child", 0, 0));
        tandem_close(c);
        _exit(0);
    }
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK_INT(0, status);
    CHECK_INT(TANDEM_OK, get_now(c, "key", 0));
    CHECK_STR("from the child", value);
    close_all(c, &o);
}

/* -- Options ------------------------------------------------------------------------------------- */

/* Opens with one option changed, and checks that the error names it. */
#define CHECK_REFUSED(field, given, word)                                        \
    do {                                                                         \
        tandem_options o_ = options_for("refused", NULL);                        \
        tandem_cache *c_ = NULL;                                                 \
        char error_[256] = "";                                                   \
        o_.field = given;                                                        \
        CHECK_INT(TANDEM_EINVAL, tandem_open(&o_, &c_, error_, sizeof(error_))); \
        CHECK(strncmp(error_, #field ": ", sizeof(#field) + 1) == 0);            \
        CHECK(strstr(error_, word) != NULL);                                     \
        CHECK(c_ == NULL);                                                       \
        tandem_mailbox_release(o_.mailbox);                                      \
    } while (0)

TEST(wrong_options_are_named)
{
    static char longest[70] = "";

    memset(longest, 'n', 64);
    CHECK_REFUSED(struct_size, 8, "8");
    CHECK_REFUSED(name, NULL, "missing");
    CHECK_REFUSED(name, "", "empty");
    CHECK_REFUSED(name, "a b", "byte 2");
    CHECK_REFUSED(name, "a/b", "0x2f");
    CHECK_REFUSED(name, longest, "64");
    CHECK_REFUSED(memory_bytes, (1 << 20) - 1, "1048575");
    CHECK_REFUSED(path, "", "empty");
    CHECK_REFUSED(rendezvous, "../x", "0x2f");
    CHECK_REFUSED(runtime_dir, "", "empty");
    CHECK_REFUSED(codec, longest, "64");
    CHECK_REFUSED(memory_ttl_ms, 0, "0");
    CHECK_REFUSED(max_stale_ms, -1, "-1");
    CHECK_REFUSED(connect_timeout_ms, 0, "0");
    CHECK_REFUSED(timeout_ms, 3600001, "3600001");
    CHECK_REFUSED(tracking, 2, "2");
    CHECK_REFUSED(fail, -1, "-1");
    CHECK_REFUSED(write_behind, 7, "7");
    CHECK_REFUSED(redis_username, "u", "redis_url");
    CHECK_REFUSED(redis_password, "p", "redis_url");
    CHECK_REFUSED(redis_client_name, "c", "redis_url");
    CHECK_REFUSED(redis_url, "", "empty");
}

TEST(malformed_urls_are_refused)
{
    const char *const urls[] = {"http://host",           "redis://",
                                "redis://host:notaport", "redis://host:99999",
                                "redis://host/notadb",   "unix://"};

    for (size_t i = 0; i < sizeof(urls) / sizeof(*urls); i++) {
        tandem_options o = options_for("url", urls[i]);
        tandem_cache *c = NULL;
        char error[256] = "";

        CHECK_INT(TANDEM_EINVAL, tandem_open(&o, &c, error, sizeof(error)));
        CHECK(error[0] != '\0');
        tandem_mailbox_release(o.mailbox);
    }
}

TEST(opening_never_contacts_redis)
{
    tandem_options o = options_for("nobody", "redis://127.0.0.1:1/0");
    tandem_cache *c = open_with(&o);

    CHECK_INT(0, tandem_redis_up(c));
    CHECK_INT(0, metric(c, "redis", "connect_failures"));
    close_all(c, &o);
}

/* Every failing allocation leaves an error and nothing behind. */
TEST(out_of_memory_at_any_place_in_open_is_an_error)
{
    for (long n = 1; n < 100; n++) {
        tandem_options o = options_for("nomemory", "redis://127.0.0.1:1/0");
        tandem_cache *c = NULL;
        char error[256] = "";
        int status;

        alloc_fail_nth(n);
        status = tandem_open(&o, &c, error, sizeof(error));
        alloc_fail_nth(0);
        if (status)
            CHECK(error[0] != '\0');
        tandem_close(c);
        tandem_mailbox_release(o.mailbox);
        if (n > 30 && !status)
            return;
    }
    CHECK(false);
}

/* -- Numbers ------------------------------------------------------------------------------------- */

TEST(the_table_of_counters_is_complete)
{
    tandem_options o = options_for("numbers", NULL);
    tandem_cache *c = open_with(&o);
    tandem_metric row;

    CHECK(tandem_metric_count() > 20);
    for (int i = 0; i < tandem_metric_count(); i++) {
        CHECK_INT(TANDEM_OK, tandem_metric_at(i, &row));
        CHECK(row.tier && row.name && row.kind && row.unit && row.help && row.help[0]);
        CHECK(tandem_metric_value(c, i) >= 0);
    }
    CHECK_INT(TANDEM_EINVAL, tandem_metric_at(-1, &row));
    CHECK_INT(TANDEM_EINVAL, tandem_metric_at(tandem_metric_count(), &row));
    set_now(c, "key", "v", 0, 0);
    get_now(c, "key", 0);
    get_now(c, "other", 0);
    exists(c, &o, "key");
    CHECK_INT(2, metric(c, "memory", "hits"));
    CHECK_INT(1, metric(c, "memory", "misses"));
    CHECK_INT(1, metric(c, "memory", "sets"));
    CHECK_INT(1, metric(c, "memory", "entries"));
    CHECK_INT(0, metric(c, "redis", "unanswered"));
    CHECK_INT(4 << 20, metric(c, "memory", "segment_bytes"));
    close_all(c, &o);
}

/* -- Many keys at once ----------------------------------------------------------------------------- */

TEST(many_keys_are_set_and_deleted_at_once)
{
    tandem_options o = options_for("many", NULL);
    tandem_cache *c = open_with(&o);
    static char huge[100000];
    tandem_item items[] = {
        {.key = "a", .key_length = 1, .value = "1", .value_length = 1},
        {.key = "b", .key_length = 1, .value = NULL, .value_length = 0},
        {.key = "c", .key_length = 1, .value = huge, .value_length = sizeof(huge)},
        {.key = "d", .key_length = 1, .value = "4", .value_length = 1},
    };

    CHECK_INT(TANDEM_OK, set(c, &o, "c", "old", 0));
    CHECK_INT(TANDEM_OK, tandem_set_many(c, items, 4, 100000, &said));
    CHECK_INT(TANDEM_OK, items[0].status);
    CHECK_INT(TANDEM_OK, items[1].status);
    CHECK_INT(TANDEM_ETOOBIG, items[2].status);
    CHECK_INT(TANDEM_OK, items[3].status);
    CHECK(strstr(said.error, "value too large: 100000 bytes") != NULL);
    CHECK_INT(TANDEM_OK, get(c, &o, "b"));
    CHECK_STR("", value);
    CHECK_INT(TANDEM_MISS, get(c, &o, "c"));
    CHECK_INT(TANDEM_OK, ttl(c, &o, "d"));
    CHECK(said.ttl > 50 && said.ttl <= 100.01);
    CHECK_INT(TANDEM_OK, tandem_delete_many(c, items, 4, &said));
    CHECK_STR("", said.error);
    CHECK_INT(TANDEM_OK, items[1].status);
    CHECK_INT(TANDEM_MISS, items[2].status);
    CHECK_INT(TANDEM_MISS, get(c, &o, "a"));
    CHECK_INT(TANDEM_OK, tandem_set_many(c, items, 0, 0, &said));
    CHECK_INT(TANDEM_OK, tandem_delete_many(c, NULL, 0, &said));
    close_all(c, &o);
}

TEST(of_many_keys_none_is_done_when_one_is_wrong)
{
    tandem_options o = options_for("many", NULL),
                   with = options_for("many2", "redis://127.0.0.1:1");
    tandem_cache *c = open_with(&o), *other = open_with(&with);
    tandem_item items[] = {
        {.key = "a", .key_length = 1, .value = "1", .value_length = 1},
        {.key = "", .key_length = 0, .value = "1", .value_length = 1},
    };

    CHECK_INT(TANDEM_EINVAL, tandem_set_many(c, items, 2, 0, &said));
    CHECK_STR("the key is empty", said.error);
    CHECK_INT(TANDEM_EINVAL, tandem_delete_many(c, items, 2, &said));
    items[1] = (tandem_item){.key = "b", .key_length = 1, .value = NULL, .value_length = 1};
    CHECK_INT(TANDEM_EINVAL, tandem_set_many(c, items, 2, 0, &said));
    CHECK_INT(TANDEM_EINVAL, tandem_set_many(c, items, 1, -1, &said));
    CHECK_INT(TANDEM_EINVAL, tandem_set_many(c, NULL, 1, 0, &said));
    CHECK_INT(TANDEM_EINVAL, tandem_set_many(c, items, 65537, 0, &said));
    CHECK_INT(TANDEM_EINVAL, tandem_set_many(NULL, items, 1, 0, &said));
    CHECK_INT(TANDEM_EINVAL, tandem_delete_many(NULL, items, 1, &said));
    CHECK_INT(TANDEM_MISS, get(c, &o, "a"));
    CHECK_INT(TANDEM_EINVAL, tandem_set_many(other, items, 1, 0, &said));
    CHECK_STR("with Redis each key is an operation of its own", said.error);
    close_all(c, &o);
    close_all(other, &with);
}

CHECK_MAIN()
