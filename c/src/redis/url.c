#include "redis/url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct span {
    const char *begin, *end;
};

static int fail(char *error, size_t size, const char *what)
{
    snprintf(error, size, "redis URL: %s", what);
    return -1;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes %-escapes.  -1: a broken escape, a NUL, or too long. */
static int decode(struct span in, char *out, size_t size)
{
    size_t n = 0;

    while (in.begin < in.end) {
        int c = (unsigned char)*in.begin++;

        if (c == '%') {
            if (in.end - in.begin < 2 || hex(in.begin[0]) < 0 || hex(in.begin[1]) < 0)
                return -1;
            c = hex(in.begin[0]) * 16 + hex(in.begin[1]);
            in.begin += 2;
        }
        if (c == 0 || n + 1 >= size)
            return -1;
        out[n++] = (char)c;
    }
    out[n] = '\0';
    return 0;
}

/* A decimal number of digits only.  -1: it is not one, or above most. */
static int number(struct span in, int most)
{
    long n = 0;

    if (in.begin == in.end || in.end - in.begin > 9)
        return -1;
    for (; in.begin < in.end; in.begin++) {
        if (*in.begin < '0' || *in.begin > '9')
            return -1;
        n = n * 10 + (*in.begin - '0');
    }
    return n > most ? -1 : (int)n;
}

static const char *find(struct span in, char c)
{
    const char *at = in.begin < in.end ? memchr(in.begin, c, (size_t)(in.end - in.begin)) : NULL;

    return at ? at : in.end;
}

static const char *find_last(struct span in, char c)
{
    for (const char *at = in.end; at > in.begin; at--)
        if (at[-1] == c)
            return at - 1;
    return NULL;
}

static int parse_user(struct span in, struct url *url, char *error, size_t size)
{
    const char *colon = find(in, ':');
    struct span password = {colon < in.end ? colon + 1 : in.end, in.end};

    if (decode((struct span){in.begin, colon}, url->username, sizeof(url->username)) != 0)
        return fail(error, size, "the user name is malformed or too long");
    if (decode(password, url->password, sizeof(url->password)) != 0)
        return fail(error, size, "the password is malformed or too long");
    if (url->username[0] && !url->password[0])
        return fail(error, size, "a user name needs a password");
    return 0;
}

static int parse_db(struct span in, struct url *url, char *error, size_t size)
{
    url->db = in.begin == in.end ? 0 : number(in, 1000000);
    if (url->db < 0)
        return fail(error, size, "the database must be a whole number");
    return 0;
}

static int parse_host(struct span in, struct url *url, char *error, size_t size)
{
    struct span host = in, port = {in.end, in.end};
    const char *at;

    if (in.begin < in.end && *in.begin == '[') {
        at = find(in, ']');
        if (at == in.end)
            return fail(error, size, "the address in brackets is not closed");
        host = (struct span){in.begin + 1, at};
        port.begin = at + 1;
        if (port.begin < in.end && *port.begin++ != ':')
            return fail(error, size, "there is something between the host and its port");
    } else {
        host.end = find(in, ':');
        port.begin = host.end < in.end ? host.end + 1 : in.end;
    }
    if (decode(host, url->host, sizeof(url->host)) != 0)
        return fail(error, size, "the host is malformed or too long");
    if (!url->host[0])
        return fail(error, size, "there is no host");
    if (strpbrk(url->host, " /?#@\t\r\n"))
        return fail(error, size, "the host holds a character that no host name has");
    url->port = 6379;
    if (port.begin < port.end || (port.begin > host.end && port.begin[-1] == ':')) {
        url->port = number(port, 65535);
        if (url->port < 1)
            return fail(error, size, "the port must be a whole number from 1 to 65535");
    }
    return 0;
}

static int parse_tcp(struct span in, struct url *url, char *error, size_t size)
{
    const char *slash = find(in, '/');
    struct span authority = {in.begin, slash}, db = {slash < in.end ? slash + 1 : in.end, in.end};
    const char *at = find_last(authority, '@');

    if (memchr(in.begin, '?', (size_t)(in.end - in.begin)))
        return fail(error, size, "a query is not understood: options go into the options table");
    if (at && parse_user((struct span){authority.begin, at}, url, error, size) != 0)
        return -1;
    if (at)
        authority.begin = at + 1;
    if (parse_host(authority, url, error, size) != 0)
        return -1;
    return parse_db(db, url, error, size);
}

static int parse_unix(struct span in, struct url *url, char *error, size_t size)
{
    const char *question = find(in, '?');
    struct span path = {in.begin, question}, query = {question, in.end};
    const char *slash = find(path, '/');
    const char *at = find_last((struct span){path.begin, slash}, '@');

    url->is_unix = true;
    if (at && parse_user((struct span){path.begin, at}, url, error, size) != 0)
        return -1;
    if (at)
        path.begin = at + 1;
    if (decode(path, url->path, sizeof(url->path)) != 0)
        return fail(error, size, "the socket's path is malformed or longer than 103 bytes");
    if (url->path[0] != '/')
        return fail(error, size, "a socket's path begins with a slash: unix:///path.sock");
    if (query.begin == query.end)
        return 0;
    if (query.end - query.begin < 4 || memcmp(query.begin, "?db=", 4) != 0)
        return fail(error, size, "only ?db=number may follow a socket's path");
    query.begin += 4;
    return parse_db(query, url, error, size);
}

int url_parse(const char *text, struct url *url, char *error, size_t error_size)
{
    struct span in = {text, text + strlen(text)};

    memset(url, 0, sizeof(*url));
    if (strncmp(text, "redis://", 8) == 0) {
        in.begin += 8;
        return parse_tcp(in, url, error, error_size);
    }
    if (strncmp(text, "unix://", 7) == 0) {
        in.begin += 7;
        return parse_unix(in, url, error, error_size);
    }
    if (strncmp(text, "rediss://", 9) == 0)
        return fail(error, error_size, "rediss:// needs TLS, which this version does not have");
    return fail(error, error_size, "must begin with redis:// or unix://");
}

void url_server(const struct url *url, char *text, size_t size)
{
    if (url->is_unix)
        snprintf(text, size, "redis unix:%s/%d", url->path, url->db);
    else if (strchr(url->host, ':'))
        snprintf(text, size, "redis [%.100s]:%d/%d", url->host, url->port, url->db);
    else
        snprintf(text, size, "redis %.100s:%d/%d", url->host, url->port, url->db);
}
