#include "redis/command.h"

#include "base/alloc.h"
#include "check.h"
#include "redis/page.h"

static const struct command_prefix prefix = {
    .text = "p*:", .length = 3, .glob = "p\\*:", .glob_length = 4};
static struct command command;

static struct redis_op op_of(enum redis_kind kind, const char *key, const char *bytes)
{
    struct redis_op op = {.kind = kind};

    op.key = (char *)(void *)key;
    op.key_length = key ? strlen(key) : 0;
    op.value = (char *)(void *)bytes;
    op.value_length = bytes ? strlen(bytes) : 0;
    return op;
}

/* All that is left of the command, taken so many bytes at a time. */
static const char *taken(size_t most)
{
    static char text[1 << 20];
    size_t n = 0, got;
    const char *piece;

    while ((got = command_take(&command, most, &piece))) {
        REQUIRE(got <= most && n + got < sizeof(text));
        memcpy(text + n, piece, got);
        n += got;
    }
    CHECK_INT(0, command_left(&command));
    text[n] = '\0';
    return text;
}

static const char *encoded(const struct redis_op *op, unsigned replies)
{
    REQUIRE(command_encode(&command, &prefix, op));
    CHECK_INT(replies, command.replies);
    return taken(1000);
}

TEST(commands_of_a_key)
{
    struct redis_op op = op_of(REDIS_GET, "k", NULL);

    CHECK_STR("*2\r\n$3\r\nGET\r\n$4\r\np*:k\r\n*2\r\n$4\r\nPTTL\r\n$4\r\np*:k\r\n",
              encoded(&op, 2));
    op.kind = REDIS_EXISTS;
    CHECK_STR("*2\r\n$6\r\nEXISTS\r\n$4\r\np*:k\r\n", encoded(&op, 1));
    op.kind = REDIS_PTTL;
    CHECK_STR("*2\r\n$4\r\nPTTL\r\n$4\r\np*:k\r\n", encoded(&op, 1));
    op.kind = REDIS_DELETE;
    CHECK_STR("*2\r\n$3\r\nDEL\r\n$4\r\np*:k\r\n", encoded(&op, 1));
    command_free(&command);
}

TEST(set_with_and_without_ttl)
{
    struct redis_op op = op_of(REDIS_SET, "k", "value");

    CHECK_STR("*3\r\n$3\r\nSET\r\n$4\r\np*:k\r\n$5\r\nvalue\r\n", encoded(&op, 1));
    op.ttl_ms = 1;
    CHECK_STR("*5\r\n$3\r\nSET\r\n$4\r\np*:k\r\n$5\r\nvalue\r\n$2\r\nPX\r\n$1\r\n1\r\n",
              encoded(&op, 1));
    op.ttl_ms = INT64_MAX;
    op.value = NULL;
    op.value_length = 0;
    CHECK_STR(
        "*5\r\n$3\r\nSET\r\n$4\r\np*:k\r\n$0\r\n\r\n$2\r\nPX\r\n$19\r\n9223372036854775807\r\n",
        encoded(&op, 1));
    command_free(&command);
}

TEST(sets_on_a_condition)
{
    struct redis_op op = op_of(REDIS_ADD, "k", "v");

    CHECK_STR("*4\r\n$3\r\nSET\r\n$4\r\np*:k\r\n$1\r\nv\r\n$2\r\nNX\r\n", encoded(&op, 1));
    op.ttl_ms = 5;
    op.kind = REDIS_REPLACE;
    CHECK_STR("*6\r\n$3\r\nSET\r\n$4\r\np*:k\r\n$1\r\nv\r\n"
              "$2\r\nPX\r\n$1\r\n5\r\n$2\r\nXX\r\n",
              encoded(&op, 1));
    command_free(&command);
}

/* What follows the script's own word. */
static const char *arguments_of(const struct redis_op *op, int words)
{
    const char *text = encoded(op, 1), *script;
    char head[32];

    snprintf(head, sizeof(head), "*%d\r\n$4\r\nEVAL\r\n$", words);
    CHECK_MEM(head, text, strlen(head));
    script = strstr(text, "return n\r\n");
    REQUIRE(script != NULL);
    return script + strlen("return n\r\n");
}

TEST(incr_is_a_script_with_whole_numbers_or_fractions)
{
    struct redis_op op = op_of(REDIS_INCR, "k", NULL);

    op.by = -3;
    CHECK_STR("$1\r\n1\r\n$4\r\np*:k\r\n$6\r\nINCRBY\r\n$2\r\n-3\r\n", arguments_of(&op, 6));
    op.by = 0.1;
    op.init = 9007199254740992.0;
    op.with_init = true;
    CHECK_STR("$1\r\n1\r\n$4\r\np*:k\r\n$11\r\nINCRBYFLOAT\r\n$3\r\n0.1\r\n"
              "$16\r\n9007199254740992\r\n",
              arguments_of(&op, 7));
    op.ttl_ms = 1000;
    op.init = -0.5;
    CHECK_STR("$1\r\n1\r\n$4\r\np*:k\r\n$11\r\nINCRBYFLOAT\r\n$3\r\n0.1\r\n"
              "$4\r\n-0.5\r\n$4\r\n1000\r\n",
              arguments_of(&op, 8));
    command_free(&command);
}

TEST(expire_is_two_commands_when_it_takes_the_ttl_away)
{
    struct redis_op op = op_of(REDIS_EXPIRE, "k", NULL);

    CHECK_STR("*2\r\n$7\r\nPERSIST\r\n$4\r\np*:k\r\n*2\r\n$6\r\nEXISTS\r\n$4\r\np*:k\r\n",
              encoded(&op, 2));
    op.ttl_ms = 1500;
    CHECK_STR("*3\r\n$7\r\nPEXPIRE\r\n$4\r\np*:k\r\n$4\r\n1500\r\n", encoded(&op, 1));
    command_free(&command);
}

TEST(scans_with_the_prefix_escaped_and_the_glob_not)
{
    struct redis_op op = op_of(REDIS_SCAN, "[ab]*", "17");

    CHECK_STR("*6\r\n$4\r\nSCAN\r\n$2\r\n17\r\n$5\r\nMATCH\r\n$9\r\np\\*:[ab]*\r\n"
              "$5\r\nCOUNT\r\n$3\r\n500\r\n",
              encoded(&op, 1));
    op = op_of(REDIS_SCAN_UNLINK, NULL, NULL);
    CHECK_STR("*6\r\n$4\r\nSCAN\r\n$1\r\n0\r\n$5\r\nMATCH\r\n$5\r\np\\*:*\r\n"
              "$5\r\nCOUNT\r\n$3\r\n500\r\n",
              encoded(&op, 1));
    op = op_of(REDIS_SCAN, "", "0"); /* the empty glob is one */
    CHECK_STR("*6\r\n$4\r\nSCAN\r\n$1\r\n0\r\n$5\r\nMATCH\r\n$4\r\np\\*:\r\n"
              "$5\r\nCOUNT\r\n$3\r\n500\r\n",
              encoded(&op, 1));
    command_free(&command);
}

TEST(unlinks_the_keys_of_a_page)
{
    struct redis_op op = op_of(REDIS_SCAN_UNLINK, NULL, "0");
    char page[64], *end = page;

    end = page_put(end, "0", 1);
    end = page_put(end, "a", 1);
    end = page_put(end, "", 0);
    end = page_put(end, "b\0c", 3);
    op.reply = page;
    op.reply_length = (size_t)(end - page);
    op.reply_count = 4;
    REQUIRE(command_encode(&command, &prefix, &op));
    CHECK_MEM("*4\r\n$6\r\nUNLINK\r\n$4\r\np*:a\r\n$3\r\np*:\r\n$6\r\np*:b\0c\r\n", taken(7), 47);
    command_free(&command);
}

TEST(a_page_is_read_within_its_bounds)
{
    struct page_item item;
    char page[16];
    char *end = page_put(page, "abc", 3);

    CHECK_INT(7, end - page);
    CHECK_INT(7, page_next(page, 7, 0, &item));
    CHECK_INT(3, item.length);
    CHECK_MEM("abc", item.bytes, 3);
    CHECK_INT(0, page_next(page, 7, 7, &item));
    CHECK_INT(0, page_next(page, 3, 0, &item));
}

/* -- Large values -------------------------------------------------------------------------------- */

enum { LARGE = 100000 };

static struct redis_op large(int64_t ttl_ms)
{
    struct redis_op op = op_of(REDIS_SET, "k", NULL);

    op.value = malloc(LARGE);
    op.value_length = LARGE;
    op.ttl_ms = ttl_ms;
    for (int i = 0; i < LARGE; i++)
        op.value[i] = (char)('a' + i % 26);
    return op;
}

/* What the command is as a whole. */
static const char *whole_of(const struct redis_op *op)
{
    static char text[LARGE + 200];
    size_t n;

    n = (size_t)sprintf(text, "*%d\r\n$3\r\nSET\r\n$4\r\np*:k\r\n$%d\r\n", op->ttl_ms ? 5 : 3,
                        LARGE);
    memcpy(text + n, op->value, LARGE);
    n += LARGE;
    n += (size_t)sprintf(text + n, "\r\n");
    if (op->ttl_ms)
        sprintf(text + n, "$2\r\nPX\r\n$5\r\n12345\r\n");
    return text;
}

TEST(a_large_value_is_taken_in_pieces_from_where_it_is)
{
    struct redis_op op = large(12345);
    const char *whole = whole_of(&op), *piece;

    for (size_t most = 1; most < 2 * LARGE; most = most * 3 + 1) {
        REQUIRE(command_encode(&command, &prefix, &op));
        CHECK_INT(strlen(whole), command_left(&command));
        CHECK_STR(whole, taken(most));
    }
    REQUIRE(command_encode(&command, &prefix, &op));
    command_take(&command, 1000, &piece);
    command_take(&command, 1000, &piece);
    CHECK(piece == op.value);
    command_free(&command);
    free(op.value);
}

TEST(what_is_left_of_a_command_outlives_its_operation)
{
    /* Taken before: nothing, a part of the head, of the value, all of it, a part of the tail. */
    static const size_t before[] = {0, 10, 30, 50, 5000, LARGE + 29, LARGE + 33, LARGE + 40};

    for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
        struct redis_op op = large(i % 2 ? 12345 : 0);
        char *whole = strdup(whole_of(&op));
        size_t done = 0, n = 1;
        const char *piece;

        REQUIRE(command_encode(&command, &prefix, &op));
        while (n && done < before[i]) {
            n = command_take(&command, before[i] - done, &piece);
            done += n;
        }
        CHECK(command_keep(&command));
        CHECK(command_keep(&command)); /* twice is as good */
        memset(op.value, 'X', LARGE);
        free(op.value);
        CHECK_INT(strlen(whole) - done, command_left(&command));
        CHECK_STR(whole + done, taken(777));
        free(whole);
    }
    command_free(&command);
}

TEST(without_memory_it_says_so_and_goes_on_later)
{
    struct redis_op small = op_of(REDIS_SET, "k", "v"), op = large(12345);
    const char *piece;
    int failed = 0;

    for (long n = 1; n <= 4; n++) {
        alloc_fail_nth(n);
        if (!command_encode(&command, &prefix, &op)) {
            failed++;
            CHECK_INT(0, command_left(&command));
        }
        alloc_fail_nth(0);
        command_free(&command);
        REQUIRE(command_encode(&command, &prefix, &small));
        CHECK_INT(30, command_left(&command));
        command_free(&command);
    }
    CHECK_INT(2, failed);
    REQUIRE(command_encode(&command, &prefix, &op));
    command_take(&command, 1000, &piece);
    alloc_fail_nth(1);
    CHECK(!command_keep(&command));
    alloc_fail_nth(0);
    command_free(&command);
    free(op.value);
}

CHECK_MAIN()
