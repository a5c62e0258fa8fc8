/*
 * delay.c: a proxy that lengthens every round trip.
 *
 *   delay PORT MICROSECONDS     listens on 127.0.0.1, prints its port, forwards to PORT
 *
 * What comes in on either side goes out on the other half of MICROSECONDS later, in order; nothing is
 * throttled.  One thread; ends by a signal.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ENDS = 4096, CHUNK = 65536 };

struct chunk {
    struct chunk *next;
    int64_t due_us;
    size_t length, sent;
    char bytes[];
};

/* An end of a connection; its peer is the number with the last bit flipped. */
struct end {
    int fd;
    struct chunk *first, *last; /* to be sent on this end */
};

static struct end ends[ENDS];
static struct pollfd polls[ENDS + 1];
static int end_count;
static int64_t half_us;

static int64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void set_up(int number, int fd)
{
    int on = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    ends[number] = (struct end){.fd = fd};
}

static void drop(int number)
{
    for (int i = 0; i < 2; i++, number ^= 1) {
        while (ends[number].first) {
            struct chunk *next = ends[number].first->next;

            free(ends[number].first);
            ends[number].first = next;
        }
        close(ends[number].fd);
        ends[number] = (struct end){.fd = -1};
    }
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void take_connection(int listener, uint16_t port)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC), number = 0, peer;

    if (fd < 0)
        return;
    while (number < end_count && ends[number].fd >= 0)
        number += 2;
    peer = number < ENDS ? connect_to(port) : -1;
    if (peer < 0) {
        close(fd);
        return;
    }
    set_up(number, fd);
    set_up(number + 1, peer);
    if (number >= end_count)
        end_count = number + 2;
}

/* False when the connection is over. */
static int read_from(int number)
{
    struct end *to = &ends[number ^ 1];
    static char bytes[CHUNK];
    ssize_t n = recv(ends[number].fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    struct chunk *chunk;

    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    if (n == 0)
        return 0;
    chunk = malloc(sizeof(*chunk) + (size_t)n);
    if (!chunk)
        return 0;
    *chunk = (struct chunk){.due_us = now_us() + half_us, .length = (size_t)n};
    memcpy(chunk->bytes, bytes, (size_t)n);
    if (to->first)
        to->last->next = chunk;
    else
        to->first = chunk;
    to->last = chunk;
    return 1;
}

static int send_due(int number, int64_t now)
{
    struct end *end = &ends[number];

    while (end->first && end->first->due_us <= now) {
        struct chunk *chunk = end->first;
        ssize_t n = send(end->fd, chunk->bytes + chunk->sent, chunk->length - chunk->sent,
                         MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        chunk->sent += (size_t)n;
        if (chunk->sent < chunk->length)
            return 1;
        end->first = chunk->next;
        free(chunk);
    }
    return 1;
}

/* Until something comes or is due; a chunk that its receiver does not take is tried again soon. */
static void wait_for_something(int listener)
{
    int64_t due = INT64_MAX, wait;
    struct timespec t;

    polls[0] = (struct pollfd){.fd = listener, .events = POLLIN};
    for (int i = 0; i < end_count; i++) {
        polls[i + 1] = (struct pollfd){.fd = ends[i].fd, .events = POLLIN};
        if (ends[i].fd >= 0 && ends[i].first && ends[i].first->due_us < due)
            due = ends[i].first->due_us;
    }
    wait = due == INT64_MAX ? 60000000 : due - now_us();
    if (wait < 20)
        wait = 20;
    t = (struct timespec){.tv_sec = wait / 1000000, .tv_nsec = wait % 1000000 * 1000};
    ppoll(polls, (nfds_t)end_count + 1, &t, NULL);
}

int main(int argc, char **argv)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(a);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    uint16_t port = argc > 2 ? (uint16_t)atoi(argv[1]) : 0;

    half_us = argc > 2 ? atoll(argv[2]) / 2 : 0;
    if (!port || bind(listener, (struct sockaddr *)&a, sizeof(a)) != 0 || listen(listener, 512) ||
        getsockname(listener, (struct sockaddr *)&a, &length) != 0)
        return 1;
    printf("%d\n", ntohs(a.sin_port));
    fclose(stdout);
    for (;;) {
        int64_t now;

        wait_for_something(listener);
        now = now_us();
        if (polls[0].revents)
            take_connection(listener, port);
        for (int i = 0; i < end_count; i++) {
            if (ends[i].fd >= 0 && polls[i + 1].fd == ends[i].fd &&
                ((polls[i + 1].revents && !read_from(i)) || !send_due(i, now)))
                drop(i);
        }
    }
}
