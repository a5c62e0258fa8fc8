/* A sentinel: whatever it says, what is taken for the master is within bounds, and what is not understood ends the
 * connection. */
#include "server.h"

#include "redis/sentinel.h"

static void check_answer(const struct sentinel *s)
{
    struct url again = {.port = 1};
    char port[16];
    int n = snprintf(port, sizeof(port), "%d", s->master.port);

    HOLDS(s->phase == SENTINEL_WATCHING);
    HOLDS(strnlen(s->master.host, sizeof(s->master.host)) < sizeof(s->master.host));
    HOLDS(url_set_node(&again, s->master.host, strlen(s->master.host), port, (size_t)n));
    n = snprintf(port, sizeof(port), "%d", s->replica.port);
    HOLDS(strnlen(s->replica.host, sizeof(s->replica.host)) < sizeof(s->replica.host));
    HOLDS(s->replica.port == 0 ||
          url_set_node(&again, s->replica.host, strlen(s->replica.host), port, (size_t)n));
}

/* One round.  False: it is over. */
static bool play(struct sentinel *s, uint32_t events, int64_t now_ms)
{
    switch (sentinel_round(s, events, now_ms)) {
    case SENTINEL_ANSWERED:
        check_answer(s);
        break;
    case SENTINEL_FAILED:
        HOLDS(s->phase == SENTINEL_OFF && !s->conn.context);
        HOLDS(strncmp(s->reason, "sentinel h:1: ", 14) == 0 && !strstr(s->reason, "secret"));
        return false;
    case SENTINEL_NOTHING:
        break;
    }
    return true;
}

/* It is called, and says all of the input in pieces.  True: it is to be called once more, with the password. */
static bool call(struct sentinel *s, struct input *in, size_t piece, int64_t now_ms)
{
    int fd = accept(server_listener, NULL, NULL);
    bool there = play(s, EPOLLOUT, now_ms);
    char heard[4096];
    size_t n;

    HOLDS(fd >= 0);
    for (; there && s->phase != SENTINEL_DIALLING && in->left; in->left -= n, in->bytes += n) {
        n = piece && piece < in->left ? piece : in->left;
        n = n < 16384 ? n : 16384;
        if (send(fd, in->bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)n)
            break;
        while (recv(fd, heard, sizeof(heard), MSG_DONTWAIT) > 0)
            continue; /* what it is asked does not matter */
        there = play(s, EPOLLIN, now_ms);
    }
    close(fd);
    return there && s->phase == SENTINEL_DIALLING;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct url url = {.password = "secret", .seeds = 1, .master = "mymaster"};
    static const struct url_seed seed = {"h", 1};
    struct sentinel_config config = {
        .url = &url, .name = "fuzz", .choice = 1, .connect_timeout_ms = 1000, .timeout_ms = 1000};
    struct sentinel s = {.config = &config, .node = {.is_unix = true}};
    struct input in = {data, size};
    size_t piece = input_byte(&in);
    int64_t now_ms = clock_now_ms();

    server_open();
    snprintf(s.node.path, sizeof(s.node.path), "%s", server_path);
    HOLDS(sentinel_begin(&s, &seed, now_ms));
    if (call(&s, &in, piece, now_ms))
        HOLDS(!call(&s, &in, piece, now_ms)); /* it is given the password once */
    if (s.phase != SENTINEL_OFF) {
        play(&s, EPOLLIN | EPOLLHUP, now_ms);
        HOLDS(s.phase == SENTINEL_OFF);
    }
    sentinel_close(&s);
    return 0;
}
