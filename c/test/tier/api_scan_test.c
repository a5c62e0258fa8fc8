/* Pages of keys from Redis. */
#include <stdint.h>

#include "support/cache.h"
#include "support/server.h"
#include "tandem.h"

static struct server *server;

/* The next item of a page in value, NUL-terminated; NULL at its end. */
static const char *next_item(size_t *at)
{
    static char item[256];
    uint32_t n;

    if (*at >= (size_t)said.length)
        return NULL;
    memcpy(&n, value + *at, sizeof(n));
    REQUIRE(n < sizeof(item) && *at + sizeof(n) + n <= (size_t)said.length);
    memcpy(item, value + *at + sizeof(n), n);
    item[n] = '\0';
    *at += sizeof(n) + n;
    return item;
}

static void fill(int n)
{
    for (int i = 0; i < n; i++) {
        server_command(server, "SET scan:%s:%d v", i % 2 ? "odd" : "even", i);
        server_command(server, "SET other:%d v", i);
    }
    server_command(server, "SET scan:#tandem:lock v");
}

/* Walks over all pages; each key's own check is that it has the beginning given. */
static int scan_all(tandem_cache *c, const tandem_options *o, const char *glob, const char *begin)
{
    char cursor[32] = "0";
    int n = 0;

    do {
        const char *item;
        size_t at = 0;
        int status, on_page = 0;

        status = tandem_scan(c, cursor, strlen(cursor), glob, glob ? strlen(glob) : 0, 0, &said);
        REQUIRE(finish(o, status) == TANDEM_OK);
        item = next_item(&at);
        REQUIRE(item != NULL);
        snprintf(cursor, sizeof(cursor), "%s", item);
        for (; (item = next_item(&at)) != NULL; on_page++)
            CHECK(strncmp(item, begin, strlen(begin)) == 0);
        CHECK_INT(on_page, said.count);
        n += on_page;
    } while (strcmp(cursor, "0") != 0);
    return n;
}

static int unlink_all(tandem_cache *c, const tandem_options *o, const char *glob)
{
    char cursor[32] = "0";
    int n = 0;

    do {
        const char *item;
        size_t at = 0;
        int status =
            tandem_scan_unlink(c, cursor, strlen(cursor), glob, glob ? strlen(glob) : 0, 0, &said);

        REQUIRE(finish(o, status) == TANDEM_OK);
        item = next_item(&at);
        REQUIRE(item != NULL);
        snprintf(cursor, sizeof(cursor), "%s", item);
        CHECK(next_item(&at) == NULL);
        n += (int)said.count;
    } while (strcmp(cursor, "0") != 0);
    return n;
}

TEST(scan_shows_this_cache_s_keys_without_prefix_and_without_the_library_s)
{
    tandem_options o;
    tandem_cache *c;

    server = server_start(NULL);
    o = options_for("scan", server->url);
    o.timeout_ms = 5000;
    c = open_with(&o);
    fill(300);
    CHECK_INT(300, scan_all(c, &o, NULL, ""));
    CHECK_INT(150, scan_all(c, &o, "odd:*", "odd:"));
    CHECK_INT(0, scan_all(c, &o, "nothing*", ""));
    close_all(c, &o);
    server_stop(server);
}

TEST(scan_unlink_takes_them_out_of_both_tiers_and_leaves_the_rest)
{
    tandem_options o;
    tandem_cache *c;

    server = server_start(NULL);
    o = options_for("scan", server->url);
    o.timeout_ms = 5000;
    c = open_with(&o);
    fill(100);
    CHECK_INT(TANDEM_OK, get(c, &o, "odd:1"));
    CHECK_INT(TANDEM_OK, get(c, &o, "even:2"));
    CHECK_INT(50, unlink_all(c, &o, "odd:*"));
    CHECK_INT(TANDEM_ENOWAIT, get_now(c, "odd:1", TANDEM_NOWAIT));
    CHECK_INT(TANDEM_OK, get_now(c, "even:2", TANDEM_NOWAIT));
    CHECK_INT(51, unlink_all(c, &o, NULL)); /* with the library's own */
    CHECK_STR("100", server_command(server, "DBSIZE"));
    CHECK_INT(TANDEM_MISS, get(c, &o, "even:2"));
    close_all(c, &o);
    server_stop(server);
}

TEST(a_page_that_does_not_fit_stays)
{
    tandem_options o;
    tandem_cache *c;
    double ticket;

    server = server_start(NULL);
    o = options_for("scan", server->url);
    o.timeout_ms = 5000;
    c = open_with(&o);
    fill(1);
    REQUIRE(tandem_scan(c, "0", 1, NULL, 0, 0, &said) == TANDEM_PENDING);
    ticket = said.ticket;
    REQUIRE(tandem_wait(o.mailbox, ticket, 20000) == TANDEM_OK);
    CHECK_INT(TANDEM_TOO_SMALL, tandem_take(o.mailbox, ticket, value, 3, &said));
    CHECK_INT(4 + 1 + 4 + 6, said.length);
    CHECK_INT(TANDEM_OK, tandem_take(o.mailbox, ticket, value, 15, &said));
    CHECK_INT(1, said.count);
    close_all(c, &o);
    server_stop(server);
}

TEST(cursors_that_are_no_number_are_refused)
{
    const char *const wrong[] = {"", "x", "-1", "1 ", "1234567890123456789012345"};
    tandem_options o = options_for("scan", "redis://127.0.0.1:1");
    tandem_cache *c = open_with(&o);

    for (int i = 0; i < 5; i++) {
        CHECK_INT(TANDEM_EINVAL, tandem_scan(c, wrong[i], strlen(wrong[i]), NULL, 0, 0, &said));
        CHECK_INT(TANDEM_EINVAL,
                  tandem_scan_unlink(c, wrong[i], strlen(wrong[i]), NULL, 0, 0, &said));
    }
    CHECK_INT(TANDEM_EINVAL, tandem_scan(c, NULL, 1, NULL, 0, 0, &said));
    CHECK_INT(TANDEM_EINVAL, tandem_scan(c, "0", 1, NULL, 4, 0, &said));
    close_all(c, &o);
}

CHECK_MAIN()
