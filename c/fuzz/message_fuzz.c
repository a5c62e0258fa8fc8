/* The tracking link: whatever a server sends, keys lie within what was sent, and what is not understood ends
 * the link instead of being passed over. */
#include "server.h"

static struct {
    bool live;
    unsigned lost, messages;
    size_t said; /* bytes */
    unsigned char sum;
} seen;

static void done(void *context, struct redis_op *op)
{
    (void)context;
    (void)op;
    HOLDS(false); /* none was begun */
}

static void invalidate(void *context, const char *key, size_t key_length)
{
    (void)context;
    HOLDS(seen.lost == 0);
    HOLDS(key_length <= seen.said);
    seen.messages++;
    for (size_t i = 0; i < key_length; i++) /* a sanitizer looks whether they are there */
        seen.sum = (unsigned char)(seen.sum ^ (unsigned char)key[i]);
}

static void heard(void *context, enum redis_link_event event, int64_t at_ms, const char *why)
{
    (void)context;
    HOLDS(seen.lost == 0);
    switch (event) {
    case REDIS_LINK_LIVE:
        HOLDS(!seen.live && at_ms > 0);
        seen.live = true;
        break;
    case REDIS_LINK_ALIVE:
        HOLDS(seen.live && at_ms > 0);
        break;
    case REDIS_LINK_PARTLY: /* a cluster's */
        HOLDS(false);
        break;
    case REDIS_LINK_LOST:
    case REDIS_LINK_REFUSED:
        seen.lost++;
        HOLDS(why && strncmp(why, "redis unix:", 11) == 0 && !strstr(why, "secret"));
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char greeting[] =
        "+OK\r\n+OK\r\n$19\r\n# Server\r\nrun_id:ab\r\n:7\r\n+OK\r\n"
        "*6\r\n$5\r\nflags\r\n*2\r\n$2\r\non\r\n$5\r\nbcast\r\n$8\r\nredirect\r\n:7\r\n$"
        "8\r\nprefixes\r\n"
        "*1\r\n$2\r\np:\r\n*3\r\n$9\r\nsubscribe\r\n$20\r\n__redis__:invalidate\r\n:1\r\n"
        "*3\r\n$9\r\nsubscribe\r\n$17\r\np:#tandem:changed\r\n:2\r\n";
    const struct redis_hooks hooks = {.done = done,
                                      .count = server_count,
                                      .invalidate = invalidate,
                                      .link = heard,
                                      .gone = server_gone};
    struct redis_client *client = server_client(&hooks);
    struct input in = {data, size};
    unsigned own_greeting = input_byte(&in), piece = input_byte(&in);
    int64_t now_ms = clock_now_ms();
    bool there = true;
    int fd;

    memset(&seen, 0, sizeof(seen));
    seen.said = sizeof(greeting) + size;
    redis_want_link(client, true, 1000);
    server_round(client, CLIENT_LINK, 0, now_ms);
    fd = accept(server_listener, NULL, NULL);
    HOLDS(fd >= 0);
    server_round(client, CLIENT_LINK, EPOLLOUT, now_ms);
    if (own_greeting < 128) {
        there = server_say(client, &client->link.conn, CLIENT_LINK, fd, greeting,
                           sizeof(greeting) - 1, now_ms);
        HOLDS(there && seen.live);
    }
    if (there)
        server_play(client, &client->link.conn, CLIENT_LINK, fd, &in, piece, now_ms);
    close(fd);
    server_round(client, CLIENT_LINK, EPOLLIN | EPOLLHUP, now_ms);
    HOLDS(seen.lost == 1 && client->link.phase == LINK_RESTING);
    redis_client_over(client);
    return 0;
}
