#include "redis/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"

enum { KEEPALIVE_IDLE_S = 15, KEEPALIVE_EVERY_S = 5, KEEPALIVE_TIMES = 3 };

/* hiredis makes room for an array as soon as its length has come.  Twelve bytes would have it take, and
 * later look through, sixteen gigabytes, so longer ones than any answer of ours are refused. */
enum { ARRAY_MOST = 1 << 20 };

#if HIREDIS_MAJOR >= 1
typedef size_t array_length;
#else
typedef int array_length;
#endif

static pthread_mutex_t sockets = PTHREAD_MUTEX_INITIALIZER;

/* hiredis's own functions, which are the same for all connections, with a check before one of them.  The
 * I/O thread's alone. */
static redisReplyObjectFunctions checked;
static void *(*unchecked_array)(const redisReadTask *, array_length);

static void *checked_array(const redisReadTask *task, array_length length)
{
    return length > ARRAY_MOST ? NULL : unchecked_array(task, length);
}

static void check_arrays(redisReader *reader)
{
    if (reader->fn != &checked) {
        checked = *reader->fn;
        unchecked_array = checked.createArray;
        checked.createArray = checked_array;
        reader->fn = &checked;
    }
}

void conn_before_fork(void)
{
    pthread_mutex_lock(&sockets);
    secure_before_fork();
}

void conn_after_fork(void)
{
    secure_after_fork();
    pthread_mutex_unlock(&sockets);
}

/* -- Sentences ----------------------------------------------------------------------------------- */

/* "Connection refused" in the middle of a sentence. */
static void say(const char *text, char *error, size_t size)
{
    snprintf(error, size, "%s", text);
    if (size && error[0] >= 'A' && error[0] <= 'Z' && error[1] >= 'a' && error[1] <= 'z')
        error[0] = (char)(error[0] | 0x20);
}

static enum conn_status lost(const struct conn *conn, char *error, size_t size)
{
    const redisContext *c = conn->context;
    bool reset = c->err == REDIS_ERR_IO && errno == ECONNRESET;

    if (conn->secure.session && (c->err == REDIS_ERR_EOF || c->err == REDIS_ERR_IO))
        say(c->errstr, error, size);
    else if (!conn->heard && c->connection_type == REDIS_CONN_TCP &&
             (c->err == REDIS_ERR_EOF || reset))
        say("the server closed the connection before it said anything: does it want TLS "
            "(rediss://)?",
            error, size);
    else if (c->err == REDIS_ERR_EOF)
        say("the server closed the connection", error, size);
    else if (c->err == REDIS_ERR_PROTOCOL)
        say("what it sends is not Redis's protocol", error, size);
    else if (c->err == REDIS_ERR_OOM)
        say("no memory for the answer, or it is too long", error, size);
    else
        say(c->errstr[0] ? c->errstr : "connection lost", error, size);
    return c->err == REDIS_ERR_PROTOCOL ? CONN_GARBAGE : CONN_LOST;
}

/* -- Opening and closing ------------------------------------------------------------------------- */

/* A peer that is gone without a word is noticed even when nothing is asked of it.  What the system does
 * not know of this is no reason to fail. */
static void keep_alive(int fd)
{
    int on = 1, idle = KEEPALIVE_IDLE_S, every = KEEPALIVE_EVERY_S, times = KEEPALIVE_TIMES;

    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof(every));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &times, sizeof(times));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static redisContext *open_locked(const struct url *url, const char *address)
{
    redisContext *c = url->is_unix ? redisConnectUnixNonBlock(url->path)
                                   : redisConnectNonBlock(address, url->port);

    if (c && !c->err) {
        fcntl(c->fd, F_SETFD, FD_CLOEXEC);
        check_arrays(c->reader);
        if (!url->is_unix)
            keep_alive(c->fd);
    }
    return c;
}

static void free_context(struct conn *conn, redisContext *c)
{
    pthread_mutex_lock(&sockets);
    conn->has_fd = false;
    if (c)
        redisFree(c);
    pthread_mutex_unlock(&sockets);
}

bool conn_open(struct conn *conn, const struct url *url, const char *address, char *error,
               size_t error_size)
{
    redisContext *c;

    pthread_mutex_lock(&sockets);
    c = open_locked(url, address);
    conn->has_fd = c && !c->err;
    conn->fd = conn->has_fd ? c->fd : -1;
    pthread_mutex_unlock(&sockets);
    if (!conn->has_fd) {
        say(c && c->errstr[0] ? c->errstr : "no memory", error, error_size);
        free_context(conn, c);
        return false;
    }
    conn->context = c;
    conn->heard = conn->output = false;
    conn->due_first = conn->due_end = 0;
    conn->serial++;
    return true;
}

int conn_fd(const struct conn *conn)
{
    return conn->context->fd;
}

/* Nobody listens, and the system has chosen the very port that we call as our own: it has connected us to
 * ourselves. */
static bool is_self(int fd)
{
    struct sockaddr_storage here = {0}, there = {0};
    socklen_t here_size = sizeof(here), there_size = sizeof(there);

    return getsockname(fd, (struct sockaddr *)&here, &here_size) == 0 &&
           getpeername(fd, (struct sockaddr *)&there, &there_size) == 0 &&
           (here.ss_family == AF_INET || here.ss_family == AF_INET6) && here_size == there_size &&
           memcmp(&here, &there, here_size) == 0;
}

enum conn_status conn_finish(struct conn *conn, char *error, size_t error_size)
{
    int failure = 0;
    socklen_t size = sizeof(failure);

    if (getsockopt(conn->context->fd, SOL_SOCKET, SO_ERROR, &failure, &size) != 0)
        failure = errno;
    if (failure == 0 && is_self(conn->context->fd))
        failure = ECONNREFUSED;
    if (failure == 0)
        return CONN_OK;
    say(strerror(failure), error, error_size);
    return CONN_LOST;
}

enum conn_status conn_handshake(struct conn *conn, const struct tls_context *context,
                                const char *host, char *error, size_t error_size)
{
    enum tls_status status;

    if (!conn->secure.session && !secure_begin(&conn->secure, context, host, conn->context)) {
        say("no memory", error, error_size);
        return CONN_LOST;
    }
    status = secure_handshake(&conn->secure);
    if (status == TLS_DONE)
        return CONN_OK;
    if (status == TLS_WANTS_READ || status == TLS_WANTS_WRITE)
        return CONN_BUSY;
    say(conn->secure.why, error, error_size);
    return CONN_LOST;
}

void conn_close(struct conn *conn, bool reset)
{
    struct linger at_once = {1, 0};

    if (!conn->context)
        return;
    if (reset)
        setsockopt(conn->context->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    secure_end(&conn->secure);
    free_context(conn, conn->context);
    conn->context = NULL;
    alloc_free(conn->due);
    conn->due = NULL;
    conn->due_size = 0;
    conn->due_first = conn->due_end = 0;
    conn->output = false;
}

void conn_forget(struct conn *conn)
{
    if (conn->has_fd)
        close(conn->fd);
    *conn = (struct conn){0};
}

/* -- What is due --------------------------------------------------------------------------------- */

static bool grow(struct conn *conn)
{
    size_t size = conn->due_size ? conn->due_size * 2 : 64;
    struct conn_due *due = alloc_bytes(size * sizeof(*due));

    if (!due)
        return false;
    for (uint64_t i = conn->due_first; i < conn->due_end; i++)
        due[i & (size - 1)] = *conn_due_at(conn, i);
    alloc_free(conn->due);
    conn->due = due;
    conn->due_size = size;
    return true;
}

bool conn_reserve(struct conn *conn, size_t more)
{
    while (conn_due_count(conn) + more > conn->due_size) {
        if (!grow(conn))
            return false;
    }
    return true;
}

bool conn_expect(struct conn *conn, struct conn_due due)
{
    if (!conn_reserve(conn, 1))
        return false;
    *conn_due_at(conn, conn->due_end++) = due;
    return true;
}

/* -- Events ---------------------------------------------------------------------------------------- */

uint32_t conn_events(const struct conn *conn, uint32_t events)
{
    bool out = events & EPOLLOUT, in = events & EPOLLIN;

    if (conn_has_pending(conn) || (conn->secure.read_wants_write && out))
        events |= EPOLLIN;
    if (conn->secure.write_wants_read && in)
        events |= EPOLLOUT;
    return events;
}

uint32_t conn_watch(const struct conn *conn, bool has_output)
{
    bool out = conn->secure.read_wants_write || (has_output && !conn->secure.write_wants_read);

    return EPOLLIN | (out ? EPOLLOUT : 0);
}

bool conn_has_pending(const struct conn *conn)
{
    return secure_has_pending(&conn->secure);
}

/* -- Bytes --------------------------------------------------------------------------------------- */

bool conn_append(struct conn *conn, const char *bytes, size_t length)
{
    conn->output = conn->output || length > 0;
    return redisAppendFormattedCommand(conn->context, bytes, length) == REDIS_OK;
}

enum conn_status conn_write(struct conn *conn, char *error, size_t error_size)
{
    int done = 0;

    /* To hiredis 1.0 a socket that takes nothing for now is an error without a number. */
    if (redisBufferWrite(conn->context, &done) != REDIS_OK && conn->context->err)
        return lost(conn, error, error_size);
    conn->output = !done;
    return CONN_OK;
}

size_t conn_unsent(const struct conn *conn)
{
    int bytes = 0;

    return ioctl(conn->context->fd, SIOCOUTQ, &bytes) == 0 && bytes > 0 ? (size_t)bytes : 0;
}

enum conn_status conn_read(struct conn *conn, size_t *bytes, char *error, size_t error_size)
{
    const redisReader *reader = conn->context->reader;
    size_t before = reader->len;

    if (redisBufferRead(conn->context) != REDIS_OK)
        return lost(conn, error, error_size);
    *bytes = reader->len - before;
    conn->heard = conn->heard || *bytes > 0;
    return CONN_OK;
}

enum conn_status conn_next(struct conn *conn, redisReply **reply, char *error, size_t error_size)
{
    void *found = NULL;

    *reply = NULL;
    if (redisGetReplyFromReader(conn->context, &found) != REDIS_OK) {
        enum conn_status status = lost(conn, error, error_size);

        return status == CONN_OK ? CONN_GARBAGE : status;
    }
    *reply = found;
    return CONN_OK;
}
