#include "base/glob.h"

#include "check.h"
#include "support/server.h"

struct row {
    const char *pattern, *text;
    bool matches;
};

static const struct row rows[] = {
    {"", "", true},
    {"", "a", false},
    {"a", "", false},
    {"*", "", true},
    {"*", "anything", true},
    {"***", "anything", true},
    {"?", "", false},
    {"?", "a", true},
    {"??", "a", false},
    {"a*c", "abc", true},
    {"a*c", "ac", true},
    {"a*c", "abcd", false},
    {"a*b*c", "aXbYbZc", true},
    {"*a*a*b", "aaaaaaaaaa", false},
    {"*abc", "ababc", true},
    {"h?llo", "hello", true},
    {"h?llo", "hllo", false},
    {"h[ae]llo", "hallo", true},
    {"h[ae]llo", "hillo", false},
    {"h[^e]llo", "hallo", true},
    {"h[^e]llo", "hello", false},
    {"h[a-c]llo", "hbllo", true},
    {"h[c-a]llo", "hbllo", true}, /* a range may stand the wrong way round */
    {"h[a-c]llo", "hdllo", false},
    {"h[a-cx-z]llo", "hyllo", true},
    {"[a-]", "a", true}, /* a range to the bracket, and then not closed */
    {"[a-]", "]", true},
    {"[a-]", "-", false},
    {"[-a]", "-", true},
    {"[\\]]", "]", true},
    {"[\\^a]", "^", true},
    {"[a^]", "^", true},
    {"[]a]", "a]", false}, /* an empty class matches nothing */
    {"[]", "a", false},
    {"[^]", "a", true},
    {"[abc", "b", true}, /* a class that is not closed goes to the end */
    {"[abc", "d", false},
    {"[^abc", "d", true},
    {"[", "[", false},
    {"a\\*b", "a*b", true},
    {"a\\*b", "aXb", false},
    {"a\\?b", "a?b", true},
    {"a\\[b", "a[b", true},
    {"a\\\\b", "a\\b", true},
    {"a\\", "a\\", true}, /* a backslash at the end is one */
    {"a\\b", "ab", true},
    {"]", "]", true},
    {"A", "a", false},
    {"*\xff", "\xc3\xff", true},
    {"[\x80-\xff]", "\xc3", true},
    {"?\xc3\xa9", "a\xc3\xa9", true}, /* bytes, not characters */
    {"?", "\xc3\xa9", false},
};

TEST(matches_as_redis_does)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *r = rows + i;

        if (!CHECK_INT(r->matches,
                       glob_match(r->pattern, strlen(r->pattern), r->text, strlen(r->text))))
            printf("pattern \"%s\", text \"%s\"\n", r->pattern, r->text);
    }
}

TEST(is_binary_safe)
{
    CHECK(glob_match("a\0?", 3, "a\0b", 3));
    CHECK(!glob_match("a\0?", 3, "a", 1));
    CHECK(glob_match("[\0-\5]", 5, "\3", 1));
    CHECK(glob_match("*", 1, "\0\0", 2));
    CHECK(glob_match("", 0, NULL, 0));
    CHECK(glob_match(NULL, 0, NULL, 0));
}

TEST(never_reads_past_the_end)
{
    static const char all[] = "[^a-\\*?]";
    char *pattern, *text;

    /* Memory of exactly the size, so that a sanitizer sees one byte too many. */
    for (size_t from = 0; from < sizeof(all) - 1; from++) {
        for (size_t n = 1; n <= sizeof(all) - 1 - from; n++) {
            pattern = malloc(n);
            text = malloc(2);
            memcpy(pattern, all + from, n);
            memcpy(text, "a^", 2);
            CHECK(glob_match(pattern, n, text, 2) || true);
            CHECK(glob_match(pattern, n, text, 0) == glob_match(pattern, n, "", 0));
            free(pattern);
            free(text);
        }
    }
}

TEST(takes_no_longer_than_the_product_of_the_lengths)
{
    enum { STARS = 2000, LENGTH = 20000 };
    char *pattern = malloc(2 * STARS + 1), *text = malloc(LENGTH);

    for (int i = 0; i < STARS; i++)
        memcpy(pattern + 2 * i, "*a", 2);
    pattern[2 * STARS] = 'b';
    memset(text, 'a', LENGTH);
    CHECK(!glob_match(pattern, 2 * STARS + 1, text, LENGTH)); /* else the test times out */
    free(pattern);
    free(text);
}

TEST(what_is_escaped_matches_itself_only)
{
    char out[512], all[255], other[255];
    size_t n;

    for (int i = 0; i < 255; i++)
        all[i] = (char)(i + 1);
    n = glob_escape(all, sizeof(all), out);
    CHECK(n <= 2 * sizeof(all));
    CHECK(glob_match(out, n, all, sizeof(all)));
    for (size_t i = 0; i < sizeof(all); i++) {
        memcpy(other, all, sizeof(all));
        other[i] = (char)(other[i] ^ 1);
        CHECK(!glob_match(out, n, other, sizeof(other)));
    }
    n = glob_escape("a*b?[c]^-\\", 10, out);
    CHECK(glob_match(out, n, "a*b?[c]^-\\", 10));
    CHECK(!glob_match(out, n, "aXbYc", 5));
    CHECK_INT(0, glob_escape("", 0, out));
}

/* -- Beside Redis -------------------------------------------------------------------------------- */

enum { PATTERN_MOST = 9, ROUNDS = 3000 };

static unsigned draw(void)
{
    static unsigned long long state = 88172645463325252ull;

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state >> 11);
}

static size_t draw_text(char *out, size_t most, const char *letters)
{
    size_t n = draw() % (most + 1);

    for (size_t i = 0; i < n; i++)
        out[i] = letters[draw() % strlen(letters)];
    return n;
}

static void compare(redisContext *c, const char *pattern, size_t length, char (*texts)[8],
                    size_t *lengths, int count)
{
    redisReply *reply = redisCommand(c, "KEYS %b", pattern, length);
    int ours = 0;

    REQUIRE(reply && reply->type == REDIS_REPLY_ARRAY);
    for (int i = 0; i < count; i++) {
        bool theirs = false, mine = glob_match(pattern, length, texts[i], lengths[i]);

        for (size_t k = 0; k < reply->elements; k++)
            theirs = theirs || (reply->element[k]->len == lengths[i] &&
                                memcmp(reply->element[k]->str, texts[i], lengths[i]) == 0);
        ours += mine;
        if (!CHECK_INT(theirs, mine))
            printf("pattern \"%.*s\", text \"%.*s\"\n", (int)length, pattern, (int)lengths[i],
                   texts[i]);
    }
    CHECK_INT(reply->elements, ours);
    freeReplyObject(reply);
}

TEST(agrees_with_redis_on_patterns_drawn_at_random)
{
    enum { TEXTS = 200 };
    static char texts[TEXTS][8];
    static size_t lengths[TEXTS];
    struct server *server = server_start(NULL);
    redisContext *c = server_connect(server);
    char pattern[PATTERN_MOST];
    int count = 0;

    REQUIRE(c != NULL);
    while (count < TEXTS) {
        redisReply *reply;

        /* Not the empty text: Redis finds the empty key with * but not with **. */
        lengths[count] = 1 + draw_text(texts[count] + 1, 4, "abc]^-\\[*?");
        texts[count][0] = "abc]"[draw() % 4];
        reply = redisCommand(c, "SET %b x NX", texts[count], lengths[count]);
        count += reply->type == REDIS_REPLY_STATUS; /* else it was there already */
        freeReplyObject(reply);
    }
    for (int i = 0; i < ROUNDS; i++)
        compare(c, pattern, draw_text(pattern, PATTERN_MOST, "aabbc**??[[]]^-\\"), texts, lengths,
                count);
    redisFree(c);
    server_stop(server);
}

TEST(plain_prefixes_are_known)
{
    static const char *const others[] = {"",     "a",    "a?*",   "a*b*", "**",
                                         "[a]*", "a\\*", "a\\b*", "*a"};
    size_t length = 99;

    CHECK(glob_is_prefix("user:*", 6, &length));
    CHECK_INT(5, length);
    CHECK(glob_is_prefix("*", 1, &length));
    CHECK_INT(0, length);
    CHECK(glob_is_prefix("a]-^*", 5, &length)); /* they mean something in brackets only */
    CHECK_INT(4, length);
    CHECK(glob_is_prefix("a\0*", 3, &length));
    CHECK_INT(2, length);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        CHECK(!glob_is_prefix(others[i], strlen(others[i]), &length));
}

CHECK_MAIN()
