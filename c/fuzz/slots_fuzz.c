/* What nodes say of their cluster and of their replication: whatever it is, what is made of it is within bounds. */
#include "server.h"

#include "base/alloc.h"

enum { OPS = 6 };

static unsigned over;

static void check_map(const struct slot_map *map)
{
    HOLDS(map->nodes <= SLOT_MAP_NODES);
    HOLDS(map->members.count <= SLOT_MAP_MEMBERS);
    HOLDS(slot_members_meet(&map->members, &map->members));
    for (unsigned i = 0; i < map->nodes; i++) {
        char host[sizeof(map->node[i].host)];
        size_t length = strnlen(map->node[i].host, sizeof(host));

        HOLDS(map->node[i].port >= 1 && map->node[i].port <= 65535);
        HOLDS(map->replica[i].port >= 0 && map->replica[i].port <= 65535);
        HOLDS(strnlen(map->replica[i].host, sizeof(host)) < sizeof(host));
        HOLDS(length < sizeof(host));
        HOLDS(length == 0 || url_take_host(map->node[i].host, length, host, sizeof(host)));
    }
    for (unsigned slot = 0; slot < SLOTS; slot++)
        HOLDS(map->owner[slot] == SLOT_MAP_NOBODY || map->owner[slot] < map->nodes);
}

static void done(void *context, struct redis_op *op)
{
    (void)context;
    over++;
    if (op->status == REDIS_DONE) {
        HOLDS(op->integer >= 0 && (op->number == 0 || op->number == 1));
        HOLDS((op->history != 0) == (op->kind == REDIS_REPLICATION));
        if (op->reply) {
            HOLDS(op->kind == REDIS_CLUSTER_MAP && op->reply_length == sizeof(struct slot_map));
            check_map((const struct slot_map *)(const void *)op->reply);
        }
    } else {
        HOLDS(op->reply == NULL && !strstr(op->error, "secret"));
    }
    redis_op_free(op);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char greeting[] = "+OK\r\n+OK\r\n+PONG\r\n";
    const struct redis_hooks hooks = {.done = done, .count = server_count, .gone = server_gone};
    static const enum redis_kind kinds[] = {REDIS_CLUSTER_MAP, REDIS_CLUSTER_CHECK,
                                            REDIS_REPLICATION};
    struct redis_client *client = server_client(&hooks);
    struct input in = {data, size};
    unsigned first = input_byte(&in), piece = input_byte(&in);
    int64_t now_ms = clock_now_ms();
    int fd;

    over = 0;
    for (unsigned i = 0; i < OPS; i++) {
        struct redis_op *op = cluster_op(kinds[(first + i) % 3], now_ms + 1000000);

        HOLDS(op && redis_submit(client, op, true) == REDIS_ACCEPTED);
    }
    server_round(client, CLIENT_DATA, 0, now_ms);
    fd = accept(server_listener, NULL, NULL);
    HOLDS(fd >= 0);
    server_round(client, CLIENT_DATA, EPOLLOUT, now_ms);
    if (server_say(client, &client->conn, CLIENT_DATA, fd, greeting, sizeof(greeting) - 1, now_ms))
        server_play(client, &client->conn, CLIENT_DATA, fd, &in, piece, now_ms);
    close(fd);
    server_round(client, CLIENT_DATA, EPOLLIN | EPOLLHUP, now_ms);
    HOLDS(over == OPS);
    redis_client_over(client);
    return 0;
}
