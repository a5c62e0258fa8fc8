#include "redis/url.h"

#include "check.h"

static struct url url;
static char error[300], server[800];

/* What a URL stands for, as text; or the error. */
static const char *parsed(const char *text)
{
    static char out[5000];

    memset(&url, 0x55, sizeof(url));
    if (url_parse(text, &url, error, sizeof(error)) != 0)
        return error;
    url_server(&url, server, sizeof(server));
    snprintf(out, sizeof(out), "%s user=%s password=%s", server, url.username, url.password);
    return out;
}

#define CHECK_URL(text, server, user, password) \
    CHECK_STR(server " user=" user " password=" password, parsed(text))

TEST(host_port_and_database)
{
    CHECK_URL("redis://h", "redis h:6379/0", "", "");
    CHECK_URL("redis://127.0.0.1:7000/3", "redis 127.0.0.1:7000/3", "", "");
    CHECK_URL("redis://h/", "redis h:6379/0", "", "");
    CHECK_URL("redis://h/15", "redis h:6379/15", "", "");
    CHECK_URL("redis://h:1", "redis h:1/0", "", "");
    CHECK_URL("redis://h:65535/2147483647", "redis h:65535/2147483647", "", "");
    CHECK_URL("redis://h:06379/007", "redis h:6379/7", "", "");
    CHECK_URL("Redis://A-b_c.Example", "redis A-b_c.Example:6379/0", "", "");
    CHECK_URL("redis://a%2Db", "redis a-b:6379/0", "", "");
}

TEST(tls)
{
    CHECK_URL("rediss://h", "rediss h:6379/0", "", "");
    CHECK_URL("REDISS://u:p@[::1]:7/2", "rediss [::1]:7/2", "u", "p");
}

TEST(user_and_password)
{
    CHECK_URL("redis://u:p@h", "redis h:6379/0", "u", "p");
    CHECK_URL("redis://:p@h:1/2", "redis h:1/2", "", "p");
    CHECK_URL("redis://u@h", "redis h:6379/0", "u", "");
    CHECK_URL("redis://u:@h", "redis h:6379/0", "u", "");
    CHECK_URL("redis://@h", "redis h:6379/0", "", "");
    CHECK_URL("redis://:@h", "redis h:6379/0", "", "");
    CHECK_URL("redis://u:a:b:c@h", "redis h:6379/0", "u", "a:b:c");
    CHECK_URL("redis://u:a@b@h", "redis h:6379/0", "u", "a@b"); /* the last @ counts */
    CHECK_URL("redis://%75%3A:%40%2f%3F%23%25@h", "redis h:6379/0", "u:", "@/?#%");
    CHECK_URL("redis://:%c3%A9@h", "redis h:6379/0", "", "\xc3\xa9");
}

TEST(ipv6_stands_in_brackets)
{
    CHECK_URL("redis://[::1]", "redis [::1]:6379/0", "", "");
    CHECK_URL("redis://u:p@[fe80::1%25eth0]:7/1", "redis [fe80::1%eth0]:7/1", "u", "p");
    CHECK_URL("redis://[::ffff:10.0.0.1]:7", "redis [::ffff:10.0.0.1]:7/0", "", "");
}

TEST(unix_sockets)
{
    CHECK_URL("unix:///run/redis.sock", "redis unix:/run/redis.sock/0", "", "");
    CHECK_URL("unix:///a?db=5", "redis unix:/a/5", "", "");
    CHECK_URL("unix:///a%20b%3fc", "redis unix:/a b?c/0", "", "");
    CHECK_URL("unix://u:p%40@/a@b?db=1", "redis unix:/a@b/1", "u", "p@");
    CHECK_URL("UNIX:///a", "redis unix:/a/0", "", "");
}

TEST(sentinels)
{
    CHECK_URL("redis+sentinel://h/m", "redis+sentinel h:26379/m/0", "", "");
    CHECK_URL("redis+sentinel://a:1,b,[::1]:2,[::2]/m/3",
              "redis+sentinel a:1,b:26379,[::1]:2,[::2]:26379/m/3", "", "");
    CHECK_INT(4, url.seeds);
    CHECK_STR("::1", url.seed[2].host);
    CHECK_INT(2, url.seed[2].port);
    CHECK_STR("m", url.master);
    CHECK_STR("", url.host);
    CHECK_URL("Redis+Sentinel://u:p,w@a,b/my-master.1_x/",
              "redis+sentinel a:26379,b:26379/my-master.1_x/0", "u", "p,w");
    CHECK_URL("redis+sentinel://:p@h/%41%2fb", "redis+sentinel h:26379/A/b/0", "", "p");
    CHECK_URL("redis+sentinel://a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a:1/m",
              "redis+sentinel a:26379,a:26379,a:26379,a:26379,a:26379,a:26379,a:26379,a:26379,"
              "a:26379,a:26379,a:26379,a:26379,a:26379,a:26379,a:26379,a:1/m/0",
              "", "");
}

TEST(clusters)
{
    CHECK_URL("redis+cluster://h", "redis+cluster h:6379", "", "");
    CHECK_URL("Redis+Cluster://u:p@a:1,b,[::1]:2/", "redis+cluster a:1,b:6379,[::1]:2", "u", "p");
    CHECK(url.is_cluster);
    CHECK_INT(3, url.seeds);
    CHECK_STR("", url.host);
}

TEST(what_a_sentinel_calls_the_master)
{
    static const char *const bad[][2] = {{"", "1"},      {"a b", "1"},   {"h\n", "1"}, {"h", ""},
                                         {"h", "0"},     {"h", "65536"}, {"h", "-1"},  {"h", "1 "},
                                         {"[::1]", "1"}, {"h:1", "1"},   {"/h", "1"}};
    char long_host[300];

    memset(&url, 0, sizeof(url));
    CHECK(url_set_node(&url, "10.0.0.1", 8, "6379", 4));
    CHECK_STR("10.0.0.1", url.host);
    CHECK_INT(6379, url.port);
    CHECK(url_set_node(&url, "::1xyz", 3, "12345", 2));
    CHECK_STR("::1", url.host);
    CHECK_INT(12, url.port);
    CHECK(url_set_node(&url, "redis-1.example", 15, "1", 1));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CHECK(!url_set_node(&url, bad[i][0], strlen(bad[i][0]), bad[i][1], strlen(bad[i][1])));
    CHECK(!url_set_node(&url, "h\0h", 3, "1", 1));
    memset(long_host, 'h', sizeof(long_host));
    CHECK(url_set_node(&url, long_host, 253, "1", 1));
    CHECK(!url_set_node(&url, long_host, 254, "1", 1));
}

#define NO_SCHEME                                                                   \
    "it must begin with redis://, rediss://, redis+sentinel://, redis+cluster://, " \
    "rediss+cluster:// or unix://"

static const char *const malformed[][2] = {
    {"", NO_SCHEME},
    {"redis", NO_SCHEME},
    {"redis:/h", NO_SCHEME},
    {"localhost:6379", NO_SCHEME},
    {"http://h", NO_SCHEME},
    {"xredis://h", NO_SCHEME},
    {"rediss://u:SECRET@h?x=1", "nothing may follow a ? after redis:// or rediss://"},
    {"redis+sentinel://u:SECRET@h", "the sentinels are followed by the name of the master"},
    {"redis+sentinel://u:SECRET@h/", "the sentinels are followed by the name of the master"},
    {"redis+sentinel://h//1", "the sentinels are followed by the name of the master"},
    {"redis+sentinel://u:SECRET@h,/m", "there is no host"},
    {"redis+sentinel://,h/m", "there is no host"},
    {"redis+sentinel:///m", "there is no host"},
    {"redis+sentinel://h:0,h/m", "the port is not a whole number from 1 to 65535"},
    {"redis+sentinel://h,h:1:2/m", "an IPv6 address is written in brackets"},
    {"redis+sentinel://h/m/x", "the database is not a whole number"},
    {"redis+sentinel://h/m/1/2", "the database is not a whole number"},
    {"redis+sentinel://h/m?SECRET", "nothing may follow a ? after redis+sentinel://"},
    {"redis+sentinel://h/SECRET%20m", "the master's name holds a space or a special character"},
    {"redis+sentinel://h/SECRET%0a", "the master's name holds a space or a special character"},
    {"redis+sentinel://h/m%", "the master's name holds a broken %-escape"},
    {"redis+sentinel://h,h,h,h,h,h,h,h,h,h,h,h,h,h,h,h,h/m", "there are more than 16 hosts"},
    {"rediss+sentinel://u:SECRET@h/m", "sentinels over TLS are not available in this version"},
    {"redis+cluster://u:SECRET@", "there is no host"},
    {"redis+cluster://u:SECRET@h,", "there is no host"},
    {"redis+cluster://u:SECRET@h/0", "a cluster has no databases"},
    {"redis+cluster://u:SECRET@h?db=0", "nothing may follow a ? after redis+cluster://"},
    {"redis+cluster://h,h:1x", "the port is not a whole number from 1 to 65535"},
    {"rediss+cluster://u:SECRET@h/1", "a cluster has no databases"},
    {"redis://", "there is no host"},
    {"redis:///1", "there is no host"},
    {"redis://:6379", "there is no host"},
    {"redis://u:SECRET@", "there is no host"},
    {"redis://u:SECRET@:1/0", "there is no host"},
    {"redis://h:", "the port is not a whole number from 1 to 65535"},
    {"redis://h:0", "the port is not a whole number from 1 to 65535"},
    {"redis://h:65536", "the port is not a whole number from 1 to 65535"},
    {"redis://h:99999999999999999999999", "the port is not a whole number from 1 to 65535"},
    {"redis://h:-1", "the port is not a whole number from 1 to 65535"},
    {"redis://h:+1", "the port is not a whole number from 1 to 65535"},
    {"redis://h:1x", "the port is not a whole number from 1 to 65535"},
    {"redis://h:0x1", "the port is not a whole number from 1 to 65535"},
    {"redis://:SEC/RET@h", "there is no host"},
    {"redis://u:SECRET/@h", "the port is not a whole number from 1 to 65535"},
    {"redis://u:SECRET", "the port is not a whole number from 1 to 65535"},
    {"redis://h/x", "the database is not a whole number"},
    {"redis://h/-1", "the database is not a whole number"},
    {"redis://h/1/2", "the database is not a whole number"},
    {"redis://h/2147483648", "the database is not a whole number"},
    {"redis://h/0?timeout=1", "nothing may follow a ? after redis://"},
    {"redis://:SEC?RET@h", "nothing may follow a ? after redis://"},
    {"redis://:SEC#RET@h", "a # is written %23"},
    {"redis://h/0#x", "a # is written %23"},
    {"redis://:SEC RET@h", "there is a space or a control character in it"},
    {"redis://h\n", "there is a space or a control character in it"},
    {"redis://h\x7f", "there is a space or a control character in it"},
    {"redis://fe80::1", "an IPv6 address is written in brackets"},
    {"redis://[::1", "the bracket before the address is not closed"},
    {"redis://[::1]1", "there is something between the address in brackets and its port"},
    {"redis://[::1]:", "the port is not a whole number from 1 to 65535"},
    {"redis://[]", "what is in brackets is not an IPv6 address"},
    {"redis://[127.0.0.1]", "what is in brackets is not an IPv6 address"},
    {"redis://[::g]", "what is in brackets is not an IPv6 address"},
    {"redis://[::1%25]", "what is in brackets is not an IPv6 address"},
    {"redis://[::1%25a/b]", "the bracket before the address is not closed"},
    {"redis://a,b", "the host holds a character that no host's name has"},
    {"redis://a%2Fb", "the host holds a character that no host's name has"},
    {"redis://b\xc3\xbc"
     "cher",
     "the host holds a character that no host's name has"},
    {"redis://a%", "the host holds a broken %-escape"},
    {"redis://a%4", "the host holds a broken %-escape"},
    {"redis://a%00", "the host holds a broken %-escape"},
    {"redis://SECRET%zz:p@h", "the user name holds a broken %-escape"},
    {"redis://u:SECRET%@h", "the password holds a broken %-escape"},
    {"redis://u:SECRET%00@h", "the password holds a broken %-escape"},
    {"unix://", "unix:// is followed by the socket's whole path"},
    {"unix://a", "unix:// is followed by the socket's whole path"},
    {"unix://a/b", "unix:// is followed by the socket's whole path"},
    {"unix://?db=1", "unix:// is followed by the socket's whole path"},
    {"unix://?a/b", "unix:// is followed by the socket's whole path"},
    {"unix://u:SECRET@", "unix:// is followed by the socket's whole path"},
    {"unix:///a?", "only ?db=number may follow the socket's path"},
    {"unix:///a?password=SECRET", "only ?db=number may follow the socket's path"},
    {"unix:///a?db=", "the database is not a whole number"},
    {"unix:///a?db=1&db=2", "the database is not a whole number"},
    {"unix:///a%", "the socket's path holds a broken %-escape"},
};

TEST(what_is_malformed_is_named_and_nothing_is_repeated)
{
    char expected[200];

    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
        const char *said;

        memset(error, 0, sizeof(error));
        said = parsed(malformed[i][0]);
        snprintf(expected, sizeof(expected), "redis URL: %s", malformed[i][1]);
        if (!CHECK(strncmp(said, expected, strlen(expected)) == 0))
            printf("%s: %s\n", malformed[i][0], said);
        CHECK(!strstr(said, "SEC") && !strstr(said, "RET"));
        CHECK_STR("", url.password);
    }
}

/* scheme, n times the filler, rest. */
static const char *long_url(const char *scheme, size_t n, const char *rest)
{
    static char text[6000];

    snprintf(text, sizeof(text), "%s", scheme);
    memset(text + strlen(scheme), 'a', n);
    snprintf(text + strlen(scheme) + n, sizeof(text) - strlen(scheme) - n, "%s", rest);
    return text;
}

/* Eight sentinels, whose names have so many letters each. */
static const char *sentinels(int letters)
{
    static char text[1000];
    int n = snprintf(text, sizeof(text), "redis+sentinel://");

    for (int i = 0; i < 8; i++) {
        n += snprintf(text + n, sizeof(text) - (size_t)n, "%s", i ? "," : "");
        memset(text + n, 'a', (size_t)letters);
        n += letters;
    }
    snprintf(text + n, sizeof(text) - (size_t)n, "/m");
    return text;
}

TEST(lengths_are_bounded)
{
    CHECK_INT(0, url_parse(long_url("redis://", 253, ""), &url, error, sizeof(error)));
    CHECK_STR("redis URL: the host is longer than 253 bytes",
              parsed(long_url("redis://", 254, "")));
    CHECK_INT(0, url_parse(long_url("unix:///", 106, ""), &url, error, sizeof(error)));
    CHECK_INT(107, strlen(url.path));
    CHECK_STR("redis URL: the socket's path is longer than 107 bytes",
              parsed(long_url("unix:///", 107, "")));
    CHECK_INT(0, url_parse(long_url("redis://:", 4096, "@h"), &url, error, sizeof(error)));
    CHECK_INT(4096, strlen(url.password));
    CHECK_STR("redis URL: the password is longer than 4096 bytes",
              parsed(long_url("redis://:", 4097, "@h")));
    CHECK_STR("redis URL: the user name is longer than 256 bytes",
              parsed(long_url("redis://", 257, ":p@h")));
    CHECK_INT(0, url_parse(long_url("redis+sentinel://h/", 127, ""), &url, error, sizeof(error)));
    CHECK_STR("redis URL: the master's name is longer than 127 bytes",
              parsed(long_url("redis+sentinel://h/", 128, "")));
    CHECK_STR("redis URL: the hosts are longer than 511 bytes together", parsed(sentinels(63)));
    CHECK_INT(0, url_parse(sentinels(57), &url, error, sizeof(error))); /* 8 * (57 + 6 + 1) */
    url_server(&url, server, sizeof(server));
    CHECK_INT(15 + 511 + 4, strlen(server));
}

TEST(an_error_fits_the_room_there_is)
{
    char small[12];

    memset(small, 'x', sizeof(small));
    CHECK_INT(-1, url_parse("redis://h:0", &url, small, 8));
    CHECK_STR("redis U", small);
    CHECK_INT('x', small[8]);
}

/* Whatever stands there, it is accepted or refused, within bounds. */
TEST(bytes_drawn_at_random_do_no_harm)
{
    static const char *const pieces[] = {"redis://", "unix://", "rediss://", "redis+sentinel://",
                                         ",",        "/m",      "@",         ":",
                                         "/",        "?db=",    "%",         "%41",
                                         "[",        "]",       "::1",       "0",
                                         "65535",    "h",       "#",         "\xff",
                                         " ",        "%00",     "u:p@"};
    unsigned state = 1;

    for (int round = 0; round < 200000; round++) {
        char *text = malloc(200), *exact;
        size_t n = 0;

        for (int i = 0; i < 8; i++) {
            state = state * 1103515245u + 12345u;
            n += (size_t)snprintf(text + n, 200 - n, "%s", pieces[(state >> 16) % 23]);
        }
        exact = strdup(text); /* so that a sanitizer sees one byte too many */
        free(text);
        if (url_parse(exact, &url, error, sizeof(error)) == 0) {
            url_server(&url, server, sizeof(server));
            CHECK(url.is_unix ? url.path[0] == '/'
                  : url.seeds ? url.master[0] && url.seed[0].host[0]
                              : url.host[0] && url.port > 0);
        } else {
            CHECK(strncmp(error, "redis URL: ", 11) == 0);
        }
        free(exact);
    }
}

CHECK_MAIN()
