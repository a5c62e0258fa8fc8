/*
 * server.h: a client and the server that the input plays, in one thread: a round of the client's, some
 * bytes of the server's, a round, some bytes.  No I/O thread, and the time stands still.
 */
#ifndef TANDEM_FUZZ_SERVER_H
#define TANDEM_FUZZ_SERVER_H

#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "fuzz.h"
#include "redis/client.h"

static int server_listener = -1;
static char server_folder[64], server_path[80];

static inline void server_remove(void)
{
    unlink(server_path);
    rmdir(server_folder);
}

/* Listens, once for all inputs. */
static inline void server_open(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (server_listener >= 0)
        return;
    snprintf(server_folder, sizeof(server_folder), "/tmp/tandem-fuzz-XXXXXX");
    HOLDS(mkdtemp(server_folder));
    snprintf(server_path, sizeof(server_path), "%s/socket", server_folder);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", server_path);
    server_listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    HOLDS(bind(server_listener, (struct sockaddr *)&address, sizeof(address)) == 0);
    HOLDS(listen(server_listener, 4) == 0);
    atexit(server_remove);
}

/* Hooks that targets share: what is counted makes sense, and at the end there is nothing to do. */
static inline void server_count(void *context, enum redis_counter counter, uint64_t n)
{
    (void)context;
    HOLDS(counter < REDIS_COUNTERS && n > 0);
}

static inline void server_gone(void *context)
{
    (void)context;
}

static inline struct redis_client *server_client(const struct redis_hooks *hooks)
{
    struct redis_config config = {.username = "user",
                                  .password = "secret",
                                  .client_name = "fuzz",
                                  .prefix = "p:",
                                  .prefix_length = 2,
                                  .connect_timeout_ms = 1000,
                                  .timeout_ms = 1000};
    char url[100], error[256];
    struct redis_client *client;

    server_open();
    snprintf(url, sizeof(url), "unix://%s", server_path);
    config.url = url;
    client = redis_client_create(&config, hooks, error, sizeof(error));
    HOLDS(client);
    client->in_loop = true; /* so that no thread is started */
    return client;
}

static inline void server_round(struct redis_client *client, int which, uint32_t events,
                                int64_t now_ms)
{
    uint32_t happened[CLIENT_WATCHES] = {0};

    happened[which] = events;
    client_round(client, happened, now_ms);
}

/* Says it, and has the client hear it.  False: it has hung up. */
static inline bool server_say(struct redis_client *client, const struct conn *conn, int which,
                              int fd, const void *bytes, size_t length, int64_t now_ms)
{
    char heard[4096];
    bool there = send(fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)length;

    while (recv(fd, heard, sizeof(heard), MSG_DONTWAIT) > 0)
        continue; /* what it asks does not matter */
    server_round(client, which, EPOLLIN, now_ms);
    return there && conn->context;
}

/* Plays what is left of the input, in pieces. */
static inline void server_play(struct redis_client *client, const struct conn *conn, int which,
                               int fd, struct input *in, size_t piece, int64_t now_ms)
{
    size_t n;

    for (bool there = true; there && in->left; in->left -= n, in->bytes += n) {
        n = piece && piece < in->left ? piece : in->left;
        n = n < 16384 ? n : 16384;
        there = server_say(client, conn, which, fd, in->bytes, n, now_ms);
    }
}

#endif
