#include "redis/url.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum {
    DEFAULT_PORT = 6379,
    SENTINEL_PORT = 26379,
    MOST_DB = 2147483647,
    ZONE_BYTES = 15 /* of an interface's name */
};

/* A part of the URL. */
struct part {
    const char *begin, *end;
};

struct parser {
    struct url *url;
    char *error;
    size_t error_size;
};

static int fail(struct parser *p, const char *what)
{
    snprintf(p->error, p->error_size, "redis URL: %s", what);
    return -1;
}

/* -- Parts --------------------------------------------------------------------------------------- */

static size_t length_of(struct part in)
{
    return (size_t)(in.end - in.begin);
}

/* Where c is for the first time, or the end. */
static const char *find(struct part in, char c)
{
    const char *at = in.begin;

    while (at < in.end && *at != c)
        at++;
    return at;
}

/* Where c is for the last time, or NULL. */
static const char *find_last(struct part in, char c)
{
    for (const char *at = in.end; at > in.begin; at--) {
        if (at[-1] == c)
            return at - 1;
    }
    return NULL;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes %-escapes.  what names the part. */
static int decode(struct parser *p, struct part in, char *out, size_t size, const char *what)
{
    char text[80];
    size_t n = 0;

    while (in.begin < in.end) {
        int c = (unsigned char)*in.begin++;

        if (c == '%') {
            c = length_of(in) >= 2 && hex(in.begin[0]) >= 0 && hex(in.begin[1]) >= 0
                    ? hex(in.begin[0]) * 16 + hex(in.begin[1])
                    : 0;
            in.begin += 2;
        }
        if (c == 0) { /* a broken escape, or %00, which no C string holds */
            snprintf(text, sizeof(text), "%s holds a broken %%-escape", what);
            return fail(p, text);
        }
        if (n + 1 == size) {
            snprintf(text, sizeof(text), "%s is longer than %zu bytes", what, size - 1);
            return fail(p, text);
        }
        out[n++] = (char)c;
    }
    out[n] = '\0';
    return 0;
}

/* A number written in digits only.  -1: it is not one, or not within bounds. */
static int64_t number(struct part in, int64_t least, int64_t most)
{
    int64_t n = 0;

    if (in.begin == in.end)
        return -1;
    for (; in.begin < in.end; in.begin++) {
        if (*in.begin < '0' || *in.begin > '9')
            return -1;
        n = n * 10 + (*in.begin - '0');
        if (n > most)
            return -1;
    }
    return n < least ? -1 : n;
}

/* -- Host ---------------------------------------------------------------------------------------- */

static bool is_name(const char *text, size_t most)
{
    size_t n = 0;

    for (; text[n]; n++) {
        char c = text[n], lower = (char)(c | 0x20);

        if (!((lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
              c == '_'))
            return false;
    }
    return n > 0 && n <= most;
}

/* With an interface behind a %, as link-local addresses need it. */
static bool is_v6(const char *text)
{
    const char *zone = strchr(text, '%');
    size_t n = zone ? (size_t)(zone - text) : strlen(text);
    unsigned char bytes[16];
    char address[64];

    if (n >= sizeof(address))
        return false;
    memcpy(address, text, n);
    address[n] = '\0';
    return inet_pton(AF_INET6, address, bytes) == 1 && (!zone || is_name(zone + 1, ZONE_BYTES));
}

static int parse_port(struct parser *p, struct part in)
{
    int64_t port = number(in, 1, 65535);

    if (port < 0)
        return fail(p, "the port is not a whole number from 1 to 65535 (a / ? # @ or % in a user "
                       "name or password is written %2F %3F %23 %40 %25)");
    p->url->port = (int)port;
    return 0;
}

/* [address] with or without a port. */
static int parse_bracketed(struct parser *p, struct part in)
{
    const char *close = find(in, ']');

    if (close == in.end)
        return fail(p, "the bracket before the address is not closed");
    if (decode(p, (struct part){in.begin + 1, close}, p->url->host, sizeof(p->url->host),
               "the host") != 0)
        return -1;
    if (!is_v6(p->url->host))
        return fail(p, "what is in brackets is not an IPv6 address");
    if (close + 1 == in.end)
        return 0;
    if (close[1] != ':')
        return fail(p, "there is something between the address in brackets and its port");
    return parse_port(p, (struct part){close + 2, in.end});
}

static int parse_host(struct parser *p, struct part in, int default_port)
{
    const char *colon = find(in, ':');

    p->url->port = default_port;
    if (in.begin < in.end && *in.begin == '[')
        return parse_bracketed(p, in);
    if (in.begin == colon)
        return fail(p, "there is no host");
    if (colon < in.end && find((struct part){colon + 1, in.end}, ':') < in.end)
        return fail(p, "an IPv6 address is written in brackets");
    if (decode(p, (struct part){in.begin, colon}, p->url->host, sizeof(p->url->host), "the host") !=
        0)
        return -1;
    if (!is_name(p->url->host, sizeof(p->url->host) - 1))
        return fail(p, "the host holds a character that no host's name has");
    return colon < in.end ? parse_port(p, (struct part){colon + 1, in.end}) : 0;
}

/* -- The rest ------------------------------------------------------------------------------------ */

static int parse_user(struct parser *p, struct part in)
{
    const char *colon = find(in, ':');

    if (decode(p, (struct part){in.begin, colon}, p->url->username, sizeof(p->url->username),
               "the user name") != 0)
        return -1;
    if (colon == in.end)
        return 0;
    return decode(p, (struct part){colon + 1, in.end}, p->url->password, sizeof(p->url->password),
                  "the password");
}

/* Takes the user in front of an @ away from authority.  Of several @ the last one counts. */
static int take_user(struct parser *p, struct part *authority)
{
    const char *at = find_last(*authority, '@');

    if (at && parse_user(p, (struct part){authority->begin, at}) != 0)
        return -1;
    if (at)
        authority->begin = at + 1;
    return 0;
}

static int parse_db(struct parser *p, struct part in)
{
    int64_t db = number(in, 0, MOST_DB);

    if (db < 0)
        return fail(p, "the database is not a whole number");
    p->url->db = (int)db;
    return 0;
}

static int parse_tcp(struct parser *p, struct part in)
{
    struct part authority = {in.begin, find(in, '/')};
    struct part db = {authority.end < in.end ? authority.end + 1 : in.end, in.end};

    if (find(in, '?') < in.end)
        return fail(p, "nothing may follow a ? after redis:// or rediss://");
    if (take_user(p, &authority) != 0 || parse_host(p, authority, DEFAULT_PORT) != 0)
        return -1;
    return db.begin < db.end ? parse_db(p, db) : 0;
}

/* Sentinels, or nodes of a cluster, with commas in between. */
static int parse_seeds(struct parser *p, struct part in, int default_port)
{
    struct url *url = p->url;
    size_t bytes = 0;

    while (in.begin <= in.end) {
        struct part one = {in.begin, find(in, ',')};
        struct url_seed *seed = url->seed + url->seeds;
        char text[sizeof(seed->host) + 10];

        if (url->seeds == URL_SEEDS_MOST)
            return fail(p, "there are more than 16 hosts");
        if (parse_host(p, one, default_port) != 0)
            return -1;
        memcpy(seed->host, url->host, sizeof(seed->host));
        seed->port = url->port;
        url_node(seed->host, seed->port, text, sizeof(text));
        bytes += strlen(text) + 1;
        url->seeds++;
        in.begin = one.end + 1;
    }
    if (bytes > URL_SEEDS_BYTES)
        return fail(p, "the hosts are longer than 511 bytes together");
    url->host[0] = '\0';
    url->port = 0;
    return 0;
}

static int parse_master(struct parser *p, struct part in)
{
    if (decode(p, in, p->url->master, sizeof(p->url->master), "the master's name") != 0)
        return -1;
    for (const char *at = p->url->master; *at; at++) {
        if ((unsigned char)*at <= ' ' || (unsigned char)*at >= 0x7f)
            return fail(p, "the master's name holds a space or a special character");
    }
    return 0;
}

static int parse_sentinel(struct parser *p, struct part in)
{
    struct part authority = {in.begin, find(in, '/')}, name, db;

    if (find(in, '?') < in.end)
        return fail(p, "nothing may follow a ? after redis+sentinel://");
    name.begin = authority.end < in.end ? authority.end + 1 : in.end;
    name.end = find((struct part){name.begin, in.end}, '/');
    db.begin = name.end < in.end ? name.end + 1 : in.end;
    db.end = in.end;
    if (take_user(p, &authority) != 0 || parse_seeds(p, authority, SENTINEL_PORT) != 0)
        return -1;
    if (name.begin == name.end)
        return fail(p, "the sentinels are followed by the name of the master, as in "
                       "redis+sentinel://host1,host2/mymaster");
    if (parse_master(p, name) != 0)
        return -1;
    return db.begin < db.end ? parse_db(p, db) : 0;
}

static int parse_cluster(struct parser *p, struct part in)
{
    struct part authority = {in.begin, find(in, '/')};

    p->url->is_cluster = true;
    if (find(in, '?') < in.end)
        return fail(p, "nothing may follow a ? after redis+cluster://");
    if (authority.end < in.end && authority.end + 1 < in.end)
        return fail(p, "a cluster has no databases: nothing follows the hosts");
    return take_user(p, &authority) == 0 ? parse_seeds(p, authority, DEFAULT_PORT) : -1;
}

static int parse_unix(struct parser *p, struct part in)
{
    struct part authority = {in.begin, find(in, '/')};
    struct part path = {authority.end, find(in, '?')};
    struct part query = {path.end, in.end};

    p->url->is_unix = true;
    if (path.end < path.begin) /* the only slash is behind the ? */
        return fail(p, "unix:// is followed by the socket's whole path, as in unix:///path.sock");
    if (take_user(p, &authority) != 0)
        return -1;
    if (authority.begin < authority.end || path.begin == path.end)
        return fail(p, "unix:// is followed by the socket's whole path, as in unix:///path.sock");
    if (decode(p, path, p->url->path, sizeof(p->url->path), "the socket's path") != 0)
        return -1;
    if (query.begin == query.end)
        return 0;
    if (length_of(query) < 4 || memcmp(query.begin, "?db=", 4) != 0)
        return fail(p, "only ?db=number may follow the socket's path");
    return parse_db(p, (struct part){query.begin + 4, query.end});
}

static bool begins_with(struct part *in, const char *scheme)
{
    size_t n = strlen(scheme);

    if (strncasecmp(in->begin, scheme, n) != 0)
        return false;
    in->begin += n;
    return true;
}

static int parse(struct parser *p, struct part in)
{
    for (const char *at = in.begin; at < in.end; at++) {
        if ((unsigned char)*at <= ' ' || *at == 0x7f)
            return fail(p, "there is a space or a control character in it");
    }
    if (find(in, '#') < in.end)
        return fail(p, "a # is written %23");
    if (begins_with(&in, "redis://"))
        return parse_tcp(p, in);
    if (begins_with(&in, "unix://"))
        return parse_unix(p, in);
    if (begins_with(&in, "redis+sentinel://"))
        return parse_sentinel(p, in);
    if (begins_with(&in, "redis+cluster://"))
        return parse_cluster(p, in);
    p->url->is_secure = true;
    if (begins_with(&in, "rediss://"))
        return parse_tcp(p, in);
    if (begins_with(&in, "rediss+cluster://"))
        return parse_cluster(p, in);
    if (begins_with(&in, "rediss+sentinel://"))
        return fail(p, "sentinels over TLS are not available in this version");
    return fail(p, "it must begin with redis://, rediss://, redis+sentinel://, redis+cluster://, "
                   "rediss+cluster:// or unix://");
}

int url_parse(const char *text, struct url *url, char *error, size_t error_size)
{
    struct parser p = {url, error, error_size};
    struct part in = {text, text + strlen(text)};

    memset(url, 0, sizeof(*url));
    if (parse(&p, in) == 0)
        return 0;
    url_wipe(url);
    return -1;
}

void url_wipe(struct url *url)
{
    explicit_bzero(url->username, sizeof(url->username));
    explicit_bzero(url->password, sizeof(url->password));
}

int url_auth(const struct url *url, const char *words[3])
{
    words[0] = "AUTH";
    words[1] = url->username[0] ? url->username : url->password;
    words[2] = url->password;
    if (url->username[0])
        return 3;
    return url->password[0] ? 2 : 0;
}

void url_node(const char *host, int port, char *text, size_t size)
{
    snprintf(text, size, strchr(host, ':') ? "[%s]:%d" : "%s:%d", host, port);
}

static void several(const struct url *url, char *text, size_t size)
{
    size_t n = (size_t)snprintf(text, size, "redis%s+%s ", url->is_secure ? "s" : "",
                                url->is_cluster ? "cluster" : "sentinel");
    char seed[sizeof(url->seed->host) + 10];

    for (int i = 0; i < url->seeds && n < size; i++) {
        url_node(url->seed[i].host, url->seed[i].port, seed, sizeof(seed));
        n += (size_t)snprintf(text + n, size - n, "%s%s", i ? "," : "", seed);
    }
    if (n < size && !url->is_cluster)
        snprintf(text + n, size - n, "/%s/%d", url->master, url->db);
}

void url_server(const struct url *url, char *text, size_t size)
{
    char node[sizeof(url->host) + 10];

    url_node(url->host, url->port, node, sizeof(node));
    if (url->seeds)
        several(url, text, size);
    else if (url->is_unix)
        snprintf(text, size, "redis unix:%s/%d", url->path, url->db);
    else
        snprintf(text, size, "%s %s/%d", url->is_secure ? "rediss" : "redis", node, url->db);
}

bool url_take_host(const char *text, size_t length, char *host, size_t size)
{
    if (length >= size || memchr(text, '\0', length))
        return false;
    memcpy(host, text, length);
    host[length] = '\0';
    return is_name(host, size - 1) || is_v6(host);
}

bool url_take_node(const char *text, size_t length, struct url_seed *node)
{
    const char *colon = find_last((struct part){text, text + length}, ':');
    struct part host = {text, colon}, port = {colon ? colon + 1 : NULL, text + length};
    bool bracketed = colon && text[0] == '[' && colon - text > 1 && colon[-1] == ']';

    if (!colon)
        return false;
    if (bracketed) {
        host.begin++;
        host.end--;
    }
    node->port = (int)number(port, 1, 65535);
    return node->port > 0 && (bracketed || find(host, ':') == host.end) &&
           url_take_host(host.begin, length_of(host), node->host, sizeof(node->host)) &&
           (!bracketed || strchr(node->host, ':'));
}

bool url_set_node(struct url *url, const char *host, size_t host_length, const char *port,
                  size_t port_length)
{
    int64_t n = number((struct part){port, port + port_length}, 1, 65535);

    url->port = (int)n;
    return n >= 0 && url_take_host(host, host_length, url->host, sizeof(url->host));
}
