#include "redis/quote.h"

#include "check.h"

static char out[200];

static const char *error_of(const char *text, const char *secret)
{
    quote_error(text, strlen(text), secret, out, sizeof(out));
    return out;
}

static const char *auth_error_of(const char *text, const char *secret)
{
    quote_auth_error(text, strlen(text), secret, out, sizeof(out));
    return out;
}

TEST(what_a_server_says_is_one_printable_line)
{
    CHECK_STR("ERR no such thing", error_of("ERR no such thing", ""));
    CHECK_STR("a?b?c?d??e", error_of("a\nb\tc\x1b"
                                     "d\xc3\xa9"
                                     "e",
                                     ""));
    quote_error("a\0b", 3, "", out, sizeof(out));
    CHECK_STR("a?b", out);
    CHECK_STR("", error_of("", ""));
}

TEST(it_is_cut_at_its_end)
{
    char text[2000];

    memset(text, 'x', sizeof(text));
    quote_error(text, sizeof(text), "", out, sizeof(out));
    CHECK_INT(QUOTE_BYTES, strlen(out));
    quote_auth_error(text, sizeof(text), "", out, sizeof(out));
    CHECK(strlen(out) < QUOTE_BYTES + 1);
    quote_error(text, sizeof(text), "", out, 5);
    CHECK_STR("xxxx", out);
}

TEST(secrets_are_masked)
{
    CHECK_STR("ERR args: ******** and ********",
              error_of("ERR args: pa55word and pa55word", "pa55word"));
    CHECK_STR("ERR pa55wor", error_of("ERR pa55wor", "pa55word"));
    /* As short as this it would be found in any sentence, and tells nobody anything. */
    CHECK_STR("ERR a", error_of("ERR a", "a"));
}

TEST(a_secret_across_the_cut_is_masked_too)
{
    char text[300];

    memset(text, 'x', sizeof(text));
    memcpy(text + QUOTE_BYTES - 4, "pa55word", 8);
    quote_error(text, sizeof(text), "pa55word", out, sizeof(out));
    CHECK_STR("xx****", out + QUOTE_BYTES - 6);
}

TEST(a_secret_of_any_bytes_and_of_any_length_is_masked)
{
    char text[2000], secret[1000];

    CHECK_STR("ERR args: *********!",
              error_of("ERR args: p\xc3\xa4ssw\x01rd!", "p\xc3\xa4ssw\x01rd"));
    memset(secret, 's', sizeof(secret) - 1);
    secret[sizeof(secret) - 1] = '\0';
    snprintf(text, sizeof(text), "ERR %s!", secret);
    CHECK_INT(QUOTE_BYTES, strlen(error_of(text, secret)));
    CHECK(strncmp(out, "ERR ", 4) == 0);
    CHECK_INT(QUOTE_BYTES - 4, strspn(out + 4, "*"));
}

TEST(the_answer_to_auth_repeats_no_part_of_the_secret)
{
    CHECK_STR("ERR unknown command", auth_error_of("ERR unknown command", "pa55word"));
    CHECK_STR("AUTH was refused",
              auth_error_of("ERR unknown command 'AUTH', with args: 'pa55w", "pa55word"));
    CHECK_STR("AUTH was refused", auth_error_of("ERR ...word", "pa55word"));
    CHECK_STR("AUTH was refused", auth_error_of("ERR 'pw'", "pw"));
    CHECK_STR("ERR invalid", auth_error_of("ERR invalid", ""));
    CHECK_STR("WRONGPASS invalid username-password pair or user is disabled.",
              auth_error_of("WRONGPASS whatever pa55word", "pa55word"));
    CHECK_STR(
        "WRONGPASS invalid username-password pair or user is disabled.",
        auth_error_of("WRONGPASS invalid username-password pair or user is disabled.", "pass"));
}

TEST(a_sentence_keeps_its_reason)
{
    char server[400], sentence[256];

    quote_sentence("redis h:1/0", "connection refused", sentence, sizeof(sentence));
    CHECK_STR("redis h:1/0: connection refused", sentence);
    memset(server, 'h', sizeof(server));
    server[399] = '\0';
    quote_sentence(server, "connection refused", sentence, sizeof(sentence));
    CHECK(strstr(sentence, ": connection refused") != NULL);
}

CHECK_MAIN()
