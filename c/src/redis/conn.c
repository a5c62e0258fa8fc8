#include "redis/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"

/* hiredis makes room for an array as soon as its length has come.  Twelve bytes would have it take, and
 * later look through, sixteen gigabytes, so longer ones than any answer of ours are refused. */
enum { ARRAY_MOST = 1 << 20 };

#if HIREDIS_MAJOR >= 1
typedef size_t array_length;
#else
typedef int array_length;
#endif

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

static enum conn_status lost(const struct conn *conn, char *error, size_t error_size)
{
    const redisContext *c = conn->context;

    if (c->err == REDIS_ERR_EOF)
        snprintf(error, error_size, "the server closed the connection");
    else if (c->err == REDIS_ERR_OOM)
        snprintf(error, error_size, "no memory for the answer, or it is too long");
    else
        snprintf(error, error_size, "%s", c->errstr[0] ? c->errstr : "connection lost");
    return c->err == REDIS_ERR_PROTOCOL ? CONN_GARBAGE : CONN_LOST;
}

bool conn_open(struct conn *conn, const struct url *url, const char *address, char *error,
               size_t error_size)
{
    redisContext *c = url->is_unix ? redisConnectUnixNonBlock(url->path)
                                   : redisConnectNonBlock(address, url->port);

    if (!c || c->err) {
        snprintf(error, error_size, "%s", c && c->errstr[0] ? c->errstr : "no memory");
        if (c)
            redisFree(c);
        return false;
    }
    fcntl(c->fd, F_SETFD, FD_CLOEXEC);
    check_arrays(c->reader);
    conn->context = c;
    conn->output = false;
    conn->serial++;
    conn->due_first = conn->due_end = 0;
    return true;
}

int conn_fd(const struct conn *conn)
{
    return conn->context->fd;
}

enum conn_status conn_finish(struct conn *conn, char *error, size_t error_size)
{
    int failure = 0;
    socklen_t size = sizeof(failure);

    if (getsockopt(conn->context->fd, SOL_SOCKET, SO_ERROR, &failure, &size) != 0)
        failure = errno;
    if (failure == 0)
        return CONN_OK;
    snprintf(error, error_size, "%s", strerror(failure));
    return CONN_LOST;
}

void conn_close(struct conn *conn, bool reset)
{
    struct linger at_once = {1, 0};

    if (!conn->context)
        return;
    if (reset)
        setsockopt(conn->context->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    redisFree(conn->context);
    conn->context = NULL;
    alloc_free(conn->due);
    conn->due = NULL;
    conn->due_size = 0;
    conn->due_first = conn->due_end = 0;
}

void conn_forget(struct conn *conn)
{
    if (conn->context)
        close(conn->context->fd);
    conn->context = NULL;
    conn->due = NULL;
    conn->due_size = 0;
    conn->due_first = conn->due_end = 0;
}

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

bool conn_expect(struct conn *conn, struct conn_due due)
{
    if (conn_due_count(conn) == conn->due_size && !grow(conn))
        return false;
    *conn_due_at(conn, conn->due_end++) = due;
    return true;
}

enum conn_status conn_write(struct conn *conn, char *error, size_t error_size)
{
    int done = 0;

    if (redisBufferWrite(conn->context, &done) != REDIS_OK)
        return lost(conn, error, error_size);
    conn->output = !done;
    return CONN_OK;
}

enum conn_status conn_read(struct conn *conn, size_t *bytes, char *error, size_t error_size)
{
    int waiting = 0;

    ioctl(conn->context->fd, FIONREAD, &waiting);
    *bytes = waiting > 0 ? (size_t)waiting : 0;
    do { /* hiredis reads 16 KiB a call */
        if (redisBufferRead(conn->context) != REDIS_OK)
            return lost(conn, error, error_size);
        waiting -= 16384;
    } while (waiting > 0);
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
