/* What servers say of their replication, right and wrong. */
#include <string.h>

#include "check.h"
#include "redis/replication.h"

static struct redis_op op;

static bool takes(const char *text)
{
    char bytes[400];
    redisReply reply = {.type = REDIS_REPLY_STRING, .str = bytes, .len = strlen(text)};

    REQUIRE(strlen(text) < sizeof(bytes));
    memcpy(bytes, text, strlen(text) + 1);
    memset(&op, 0, sizeof(op));
    return replication_take(&op, &reply);
}

#define MASTER                                                    \
    "# Replication\r\nrole:master\r\nconnected_slaves:1\r\n"      \
    "slave0:ip=127.0.0.1,port=1,state=online,offset=7,lag=0\r\n"  \
    "master_failover_state:no-failover\r\nmaster_replid:8a17\r\n" \
    "master_replid2:0000\r\nmaster_repl_offset:7000000000\r\n"    \
    "second_repl_offset:-1\r\n"
#define REPLICA                                                                    \
    "# Replication\r\nrole:slave\r\nmaster_host:127.0.0.1\r\nmaster_port:1\r\n"    \
    "master_link_status:up\r\nslave_read_repl_offset:9\r\nslave_repl_offset:8\r\n" \
    "master_replid:8a17\r\nmaster_replid2:8a18\r\nmaster_repl_offset:8\r\n"

TEST(a_master_and_its_replica_are_of_one_history)
{
    uint64_t history;

    REQUIRE(takes(MASTER));
    CHECK(op.well);
    CHECK(op.integer == INT64_C(7000000000));
    history = op.history;
    CHECK(history);
    REQUIRE(takes(REPLICA));
    CHECK(!op.well);
    CHECK_INT(8, op.integer); /* what it has carried out, not what it has read */
    CHECK(op.history == history);
    REQUIRE(takes("role:slave\r\nmaster_link_status:up\r\nslave_repl_offset:8\r\n"
                  "master_replid:8a1\r\n"));
    CHECK(op.history != history);
}

TEST(a_replica_that_does_not_follow_has_nothing)
{
    REQUIRE(takes("role:slave\r\nmaster_link_status:down\r\nslave_repl_offset:8\r\n"
                  "master_replid:8a17\r\n"));
    CHECK(!op.well);
    CHECK_INT(-1, op.integer);
}

/* ROLE: three elements of a master, five of a replica. */
TEST(a_role_says_how_far_a_replica_is)
{
    char name[] = "slave", text[] = "connected";
    redisReply element[5] = {{.type = REDIS_REPLY_STRING, .str = name, .len = 5},
                             {.type = REDIS_REPLY_STRING, .str = text, .len = 9},
                             {.type = REDIS_REPLY_INTEGER, .integer = 1},
                             {.type = REDIS_REPLY_STRING, .str = text, .len = 9},
                             {.type = REDIS_REPLY_INTEGER, .integer = 8}};
    redisReply *elements[5] = {element, element + 1, element + 2, element + 3, element + 4};
    redisReply reply = {.type = REDIS_REPLY_ARRAY, .elements = 5, .element = elements};

    CHECK(replication_take_role(&op, &reply));
    CHECK_INT(8, op.integer);
    reply.elements = 4;
    CHECK(!replication_take_role(&op, &reply));
    reply.elements = 0;
    CHECK(!replication_take_role(&op, &reply));
    reply.elements = 5;
    element[4] = element[1];
    CHECK(!replication_take_role(&op, &reply));
    element[0] = element[1]; /* a master, or a sentinel */
    CHECK(replication_take_role(&op, &reply));
    CHECK_INT(-1, op.integer);
    element[0] = element[2];
    CHECK(!replication_take_role(&op, &reply));
    reply.type = REDIS_REPLY_STATUS;
    CHECK(!replication_take_role(&op, &reply));
}

TEST(what_is_not_whole_makes_no_sense)
{
    static const char *const none[] = {
        "",
        "role:master",
        "role:master\r\nmaster_replid:\r\nmaster_repl_offset:7\r\n",
        "role:master\r\nmaster_replid:8a17\r\n",
        "role:master\r\nmaster_replid:8a17\r\nmaster_repl_offset:\r\n",
        "role:master\r\nmaster_replid:8a17\r\nmaster_repl_offset:-1\r\n",
        "role:master\r\nmaster_replid:8a17\r\nmaster_repl_offset:7x\r\n",
        "role:master\r\nmaster_replid:8a17\r\nmaster_repl_offset:99999999999999999999\r\n",
        "role:master\r\nmaster_replid:8a17\r\nslave_repl_offset:7\r\n",
        "role:slave\r\nmaster_link_status:up\r\nmaster_replid:8a17\r\nmaster_repl_offset:7\r\n",
        "a role:master\r\nmaster_replid:8a17\r\nmaster_repl_offset:7\r\n",
        "role:master\r\nno master_replid:8a17\r\nmaster_repl_offset:7\r\n",
        "master_replid:8a17\r\nmaster_repl_offset:7\r\n",
    };
    redisReply integer = {.type = REDIS_REPLY_INTEGER};

    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        CHECK(!takes(none[i]));
    CHECK(!replication_take(&op, &integer));
    CHECK(takes("role:master\nmaster_replid:8a17\nmaster_repl_offset:7"));
}

CHECK_MAIN()
