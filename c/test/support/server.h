/*
 * server.h: a redis-server of a test's own, on a unix socket in a directory of its own, so that any
 * number of them run side by side.  It dies with the test.
 */
#ifndef TANDEM_TEST_SUPPORT_SERVER_H
#define TANDEM_TEST_SUPPORT_SERVER_H

#include <errno.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <stdarg.h>
#include <sys/stat.h>

#include "check.h"

/* Most tests are about what happens without a tracking link, which this makes sure of. */
static bool server_refuses_tracking = true;

enum { SERVER_READY_MS = 20000, SERVER_ARGUMENTS = 16 };

struct server {
    pid_t pid;                                   /* 0: not running */
    char directory[64];                          /* of the socket and the log */
    char socket[96];                             /* where it listens */
    char url[112];                               /* for redis_url */
    const char *arguments[SERVER_ARGUMENTS + 1]; /* more of them, NULL at the end */
};

CHECK_UNUSED void server_nap(void)
{
    const struct timespec nap = {0, 2000000};

    nanosleep(&nap, NULL);
}

/* Checks a condition that comes true by itself before long. */
#define AWAIT(condition)                                      \
    do {                                                      \
        int64_t await_end = clock_now_us() + AWAIT_MS * 1000; \
        while (!(condition) && clock_now_us() < await_end)    \
            server_nap();                                     \
        CHECK(condition);                                     \
    } while (0)
enum { AWAIT_MS = 20000 };

/* Connects as another client would.  NULL when nobody answers. */
CHECK_UNUSED redisContext *server_connect(const struct server *s)
{
    const struct timeval timeout = {10, 0};
    redisContext *c = redisConnectUnixWithTimeout(s->socket, timeout);

    if (c && !c->err && redisSetTimeout(c, timeout) == REDIS_OK)
        return c;
    if (c)
        redisFree(c);
    return NULL;
}

CHECK_UNUSED void server_exec(const struct server *s)
{
    static const char *const no_tracking[] = {
        "--user", "default", "on", "nopass", "~*", "&*", "+@all", "-client|tracking",
    };
    const char *program = getenv("TANDEM_REDIS_SERVER");
    const char *argv[32 + SERVER_ARGUMENTS] = {
        program ? program : "redis-server",
        "--port",
        "0",
        "--unixsocket",
        s->socket,
        "--save",
        "",
        "--dir",
        s->directory,
        "--logfile",
        "redis.log",
    };
    int n = 11;

    for (int i = 0; s->arguments[i]; i++)
        argv[n++] = s->arguments[i];
    for (int i = 0; server_refuses_tracking && !s->arguments[0] && i < 8; i++)
        argv[n++] = no_tracking[i];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execvp(argv[0], (char *const *)(void *)argv);
    printf("cannot run %s: %s\n", argv[0], strerror(errno));
    fflush(stdout);
    _exit(127);
}

/* Starts it (again, after server_kill) and waits until it answers. */
CHECK_UNUSED void server_run(struct server *s)
{
    redisContext *c = NULL;

    s->pid = fork();
    REQUIRE(s->pid >= 0);
    if (s->pid == 0)
        server_exec(s);
    for (int i = 0; !c && i < SERVER_READY_MS / 2; i++) {
        REQUIRE(waitpid(s->pid, NULL, WNOHANG) == 0);
        c = server_connect(s);
        if (!c)
            server_nap();
    }
    REQUIRE(c != NULL);
    redisFree(c);
}

/* A new server; further arguments of redis-server follow, and NULL. */
CHECK_UNUSED struct server *server_start(const char *argument, ...)
{
    static struct server servers[4];
    static int started;
    struct server *s = servers + started++;
    va_list more;
    int n = 0;

    REQUIRE(started <= 4);
    strcpy(s->directory, "/tmp/tandem-redis-XXXXXX");
    REQUIRE(mkdtemp(s->directory) != NULL);
    snprintf(s->socket, sizeof(s->socket), "%s/socket", s->directory);
    snprintf(s->url, sizeof(s->url), "unix://%s", s->socket);
    va_start(more, argument);
    for (; argument && n < SERVER_ARGUMENTS; argument = va_arg(more, const char *))
        s->arguments[n++] = argument;
    va_end(more);
    server_run(s);
    return s;
}

/* As a crash, or a pulled plug. */
CHECK_UNUSED void server_kill(struct server *s)
{
    if (!s->pid)
        return;
    kill(s->pid, SIGKILL);
    waitpid(s->pid, NULL, 0);
    s->pid = 0;
}

CHECK_UNUSED void server_remove_file(const struct server *s, const char *name)
{
    char path[160];

    snprintf(path, sizeof(path), "%s/%s", s->directory, name);
    unlink(path);
}

CHECK_UNUSED void server_stop(struct server *s)
{
    server_kill(s);
    server_remove_file(s, "socket");
    server_remove_file(s, "redis.log");
    CHECK_INT(0, rmdir(s->directory));
}

/* Stalls it: it keeps its connections and answers nothing. */
CHECK_UNUSED void server_freeze(const struct server *s)
{
    int status;

    kill(s->pid, SIGSTOP);
    REQUIRE(waitpid(s->pid, &status, WUNTRACED) == s->pid && WIFSTOPPED(status));
}

CHECK_UNUSED void server_thaw(const struct server *s)
{
    kill(s->pid, SIGCONT);
}

/* Carries out a command, given as to redis-cli with hiredis's format, on a connection of its own.  The
 * reply as text: integers in decimal, "(nil)", an array's elements with a space in between. */
CHECK_UNUSED const char *server_command(const struct server *s, const char *format, ...)
{
    static _Thread_local char text[8192];
    redisContext *c = server_connect(s);
    redisReply *reply;
    va_list arguments;
    size_t n = 0;

    REQUIRE(c != NULL);
    va_start(arguments, format);
    reply = redisvCommand(c, format, arguments);
    va_end(arguments);
    REQUIRE(reply != NULL);
    text[0] = '\0';
    if (reply->type == REDIS_REPLY_INTEGER)
        snprintf(text, sizeof(text), "%lld", reply->integer);
    else if (reply->type == REDIS_REPLY_NIL)
        snprintf(text, sizeof(text), "(nil)");
    else if (reply->type != REDIS_REPLY_ARRAY)
        snprintf(text, sizeof(text), "%s", reply->str);
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++)
        n += (size_t)snprintf(text + n, n < sizeof(text) ? sizeof(text) - n : 0, "%s%s",
                              i ? " " : "", reply->element[i]->str ? reply->element[i]->str : "?");
    freeReplyObject(reply);
    redisFree(c);
    return text;
}

#endif
