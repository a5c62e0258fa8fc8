/* Answers of a server: whatever they are, each operation is over once, and none has what it must not. */
#include "server.h"

#include "base/alloc.h"
#include "redis/page.h"

enum { KINDS = REDIS_SCAN_UNLINK + 1, OPS = 2 * KINDS };

static struct redis_op *ops[OPS];
static unsigned over;

static void check_page(const struct redis_op *op)
{
    struct page_item item;
    size_t at = 0, count = 0;

    while (at < op->reply_length && (at = page_next(op->reply, op->reply_length, at, &item)) != 0) {
        HOLDS(item.bytes + item.length <= op->reply + op->reply_length);
        count++;
    }
    HOLDS(at == op->reply_length && count == op->reply_count && count >= 1);
}

static void check_answer(const struct redis_op *op)
{
    bool scan = op->kind == REDIS_SCAN || op->kind == REDIS_SCAN_UNLINK;
    bool message = op->kind == REDIS_LOCK && op->integer == REDIS_LOCK_LEFT;

    HOLDS(op->may_have_run);
    HOLDS(op->status == REDIS_DONE || op->kind == REDIS_GET || op->kind == REDIS_ADD ||
          op->kind == REDIS_REPLACE || op->kind == REDIS_INCR);
    HOLDS(op->status == REDIS_ABSENT ||
          (op->reply != NULL) == (op->kind == REDIS_GET || scan || message));
    if (scan)
        check_page(op);
    if (op->kind == REDIS_EXISTS || op->kind == REDIS_DELETE || op->kind == REDIS_EXPIRE)
        HOLDS(op->integer == 0 || op->integer == 1);
    if (op->kind == REDIS_LOCK)
        HOLDS(op->integer < REDIS_LOCKS);
    HOLDS(op->integer >= 0 && op->pttl_ms >= -2);
}

static void done(void *context, struct redis_op *op)
{
    unsigned which = 0;

    (void)context;
    while (which < OPS && ops[which] != op)
        which++;
    HOLDS(which < OPS);
    ops[which] = NULL;
    over++;
    if (op->status == REDIS_DONE || op->status == REDIS_ABSENT) {
        check_answer(op);
    } else {
        HOLDS(op->reply == NULL);
        HOLDS(strncmp(op->error, "redis unix:", 11) == 0);
        HOLDS(!strstr(op->error, "secret"));
        for (const char *at = op->error; *at; at++)
            HOLDS(*at >= ' ' && *at <= '~');
    }
    redis_op_free(op);
}

static void submit_all(struct redis_client *client, unsigned first, int64_t now_ms)
{
    for (unsigned i = 0; i < OPS; i++) {
        struct redis_op *op = ops[i] = alloc_zeroed(sizeof(*op));

        HOLDS(op);
        op->kind = (enum redis_kind)((first + i) % KINDS);
        op->key = alloc_copy("key", 3);
        op->key_length = 3;
        op->value = alloc_copy("0", 1);
        op->value_length = 1;
        op->deadline_ms = now_ms + 1000000;
        HOLDS(redis_submit(client, op, true) == REDIS_ACCEPTED);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char greeting[] = "+OK\r\n+OK\r\n+PONG\r\n";
    const struct redis_hooks hooks = {.done = done, .count = server_count, .gone = server_gone};
    struct redis_client *client = server_client(&hooks);
    struct input in = {data, size};
    unsigned first = input_byte(&in), piece = input_byte(&in);
    int64_t now_ms = clock_now_ms();
    int fd;

    over = 0;
    submit_all(client, first, now_ms);
    server_round(client, CLIENT_DATA, 0, now_ms);
    fd = accept(server_listener, NULL, NULL);
    HOLDS(fd >= 0);
    server_round(client, CLIENT_DATA, EPOLLOUT, now_ms);
    /* From 128 on the greeting is the input's, too. */
    if (first >= 128 ||
        server_say(client, &client->conn, CLIENT_DATA, fd, greeting, sizeof(greeting) - 1, now_ms))
        server_play(client, &client->conn, CLIENT_DATA, fd, &in, piece, now_ms);
    close(fd);
    server_round(client, CLIENT_DATA, EPOLLIN | EPOLLHUP, now_ms);
    HOLDS(over == OPS);
    HOLDS(client_is_quiet(client, false, now_ms));
    redis_client_over(client);
    return 0;
}
