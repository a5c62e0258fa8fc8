#include "redis/address_map.h"

#include "check.h"

static char error[200];

/* Where a map leads from that address, as text; or the error. */
static const char *found(const char *map, const char *address)
{
    static char out[300];
    struct address_map *m = address_map_create(map, error, sizeof(error));
    const struct url_seed *there;
    struct url_seed told;

    if (!m)
        return error;
    REQUIRE(url_take_node(address, strlen(address), &told));
    there = address_map_find(m, &told);
    url_node(there->host, there->port, out, sizeof(out));
    address_map_free(m);
    return out;
}

TEST(what_is_told_is_called_where_the_map_says)
{
    static const char map[] =
        "10.0.0.2:6379=203.0.113.1:7002,10.0.0.1:6379=203.0.113.1:7001,10.0.0.1:6380=h:1,"
        "[fd00::1]:6379=redis-1.example:6379,node.invalid:65535=[2001:db8::1]:1";

    CHECK_STR("203.0.113.1:7001", found(map, "10.0.0.1:6379"));
    CHECK_STR("203.0.113.1:7002", found(map, "10.0.0.2:6379"));
    CHECK_STR("h:1", found(map, "10.0.0.1:6380"));
    CHECK_STR("redis-1.example:6379", found(map, "[FD00::1]:6379"));
    CHECK_STR("[2001:db8::1]:1", found(map, "Node.Invalid:65535"));
}

TEST(what_the_map_has_not_is_called_as_it_is)
{
    CHECK_STR("10.0.0.1:6380", found("10.0.0.1:6379=h:1", "10.0.0.1:6380"));
    CHECK_STR("10.0.0.2:6379", found("10.0.0.1:6379=h:1", "10.0.0.2:6379"));
    /* No chains: so two may be exchanged. */
    CHECK_STR("b:1", found("a:1=b:1,b:1=a:1", "a:1"));
    CHECK_STR("a:1", found("a:1=b:1,b:1=a:1", "b:1"));
}

TEST(there_is_none)
{
    const struct url_seed told = {"h", 1};

    CHECK(address_map_find(NULL, &told) == &told);
}

TEST(what_is_no_map_is_not_taken)
{
    static const char *const bad[] = {
        "",        "a:1",       "a:1=",      "=a:1",      "a=b:1",       "a:1=b",
        "a:0=b:1", ":1=b:1",    "a:1=b:1,",  ",a:1=b:1",  "a:65536=b:1", "a b:1=c:1",
        "a:1=b:x", "[a]:1=b:1", "::1:1=b:1", "[::1]=b:1", "[::1:1=b:1",  "a:1 =b:1",
    };
    static char many[ADDRESS_MAP_MOST * 16 + 32];

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CHECK(strstr(found(bad[i], "a:1"), "is not like 10.0.0.1:6379=203.0.113.1:7001"));
    CHECK_STR("address_map: pair 2 is not like 10.0.0.1:6379=203.0.113.1:7001",
              found("a:1=b:1,c", "a:1"));
    CHECK_STR("address_map: a:1 is there twice", found("a:1=b:1,c:1=d:1,a:1=c:1", "a:1"));
    for (int i = 0, n = 0; i <= ADDRESS_MAP_MOST; i++)
        n += snprintf(many + n, sizeof(many) - (size_t)n, "%sa:%d=b:1", i ? "," : "", i + 1);
    CHECK_STR("address_map: there are more than 1024 addresses", found(many, "a:1"));
    *strrchr(many, ',') = '\0';
    CHECK_STR("b:1", found(many, "a:1024"));
}

CHECK_MAIN()
