/*
 * peer.h: servers that misbehave as a test scripts it: a thread that accepts connections on a free
 * loopback port, one after the other, and gives each to the script.
 */
#ifndef TANDEM_TEST_REDIS_PEER_H
#define TANDEM_TEST_REDIS_PEER_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/socket.h>

#include "check.h"

struct peer {
    int listener;
    pthread_t thread;
    char url[64];
    int port;
    /* number counts the connections from 0.  The connection is closed when it returns. */
    void (*script)(int fd, int number);
    _Atomic bool ending;
    _Atomic int connections;
};

CHECK_UNUSED void peer_nap(long ms)
{
    const struct timespec nap = {ms / 1000, ms % 1000 * 1000000};

    nanosleep(&nap, NULL);
}

/* Set by a test for scripts that wait for it. */
static _Atomic bool peer_may_go;

CHECK_UNUSED void peer_await_word(void)
{
    while (!peer_may_go)
        peer_nap(1);
}

CHECK_UNUSED void *peer_main(void *context)
{
    struct peer *p = context;

    for (int number = 0;; number++) {
        int fd = accept(p->listener, NULL, NULL);

        if (fd < 0 || p->ending) {
            if (fd >= 0)
                close(fd);
            return NULL;
        }
        p->connections++;
        p->script(fd, number);
        close(fd);
    }
}

/* A listening socket on a free port, and the URL for it. */
CHECK_UNUSED int peer_listen(struct peer *p, int backlog)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof(address);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(bind(p->listener, (struct sockaddr *)&address, size) == 0);
    REQUIRE(listen(p->listener, backlog) == 0);
    REQUIRE(getsockname(p->listener, (struct sockaddr *)&address, &size) == 0);
    p->port = ntohs(address.sin_port);
    snprintf(p->url, sizeof(p->url), "redis://127.0.0.1:%d", p->port);
    return p->port;
}

CHECK_UNUSED void peer_start(struct peer *p, void (*script)(int fd, int number))
{
    memset(p, 0, sizeof(*p));
    p->script = script;
    peer_listen(p, 16);
    REQUIRE(pthread_create(&p->thread, NULL, peer_main, p) == 0);
}

/* The script has to end by itself: the client being gone, its reads end. */
CHECK_UNUSED void peer_stop(struct peer *p)
{
    p->ending = true;
    shutdown(p->listener, SHUT_RDWR);
    pthread_join(p->thread, NULL);
    close(p->listener);
}

CHECK_UNUSED void peer_send_bytes(int fd, const void *bytes, size_t length)
{
    const char *at = bytes;

    while (length) {
        ssize_t n = send(fd, at, length, MSG_NOSIGNAL);

        if (n <= 0)
            return;
        at += n;
        length -= (size_t)n;
    }
}

CHECK_UNUSED void peer_send(int fd, const char *text)
{
    peer_send_bytes(fd, text, strlen(text));
}

/* Reads exactly so many bytes.  False at the stream's end. */
CHECK_UNUSED bool peer_read(int fd, char *bytes, size_t length)
{
    while (length) {
        ssize_t n = recv(fd, bytes, length, 0);

        if (n <= 0)
            return false;
        bytes += n;
        length -= (size_t)n;
    }
    return true;
}

CHECK_UNUSED bool peer_line(int fd, char *line, size_t size)
{
    size_t n = 0;

    while (n + 1 < size && peer_read(fd, line + n, 1)) {
        if (line[n++] == '\n') {
            line[n] = '\0';
            return true;
        }
    }
    return false;
}

/* Reads length bytes and writes those that fit; says how many. */
CHECK_UNUSED bool peer_word(int fd, size_t length, char *out, size_t room, size_t *written)
{
    static _Thread_local char bytes[64 << 10];

    *written = 0;
    while (length) {
        size_t n = length < sizeof(bytes) ? length : sizeof(bytes);
        size_t kept = n < room - *written ? n : room - *written;

        if (!peer_read(fd, bytes, n))
            return false;
        memcpy(out + *written, bytes, kept);
        *written += kept;
        length -= n;
    }
    return true;
}

/* Reads one command; its words with a space in between, cut to the size.  NULL at the stream's end. */
CHECK_UNUSED const char *peer_command(int fd)
{
    static _Thread_local char text[4096];
    size_t out = 0, length, n;
    char line[64], end[2];
    int words;

    if (!peer_line(fd, line, sizeof(line)))
        return NULL;
    REQUIRE(sscanf(line, "*%d\r\n", &words) == 1);
    for (int i = 0; i < words; i++) {
        if (!peer_line(fd, line, sizeof(line)) || sscanf(line, "$%zu\r\n", &length) != 1)
            return NULL;
        if (i && out + 1 < sizeof(text))
            text[out++] = ' ';
        if (!peer_word(fd, length, text + out, sizeof(text) - 1 - out, &n) ||
            !peer_read(fd, end, 2))
            return NULL;
        out += n;
    }
    text[out] = '\0';
    return text;
}

/* Answers the PING that a new connection begins with. */
CHECK_UNUSED bool peer_greet(int fd)
{
    const char *command = peer_command(fd);

    if (!command || !CHECK_STR("PING", command))
        return false;
    peer_send(fd, "+PONG\r\n");
    return true;
}

/* Reads and forgets until the client closes. */
CHECK_UNUSED void peer_drain(int fd)
{
    char bytes[4096];

    while (recv(fd, bytes, sizeof(bytes), 0) > 0)
        continue;
}

#endif
