/*
 * url.h: addresses of servers.  Pure.
 *
 *   redis://[user][:password@]host[:port][/db]      port 6379, db 0 unless said
 *   rediss://...                                    the same, over TLS
 *   unix:///path.sock[?db=n]                        also unix://user:password@/path.sock
 *   redis+sentinel://[user][:password@]host[:port][,host[:port]...]/master[/db]     port 26379
 *   redis+cluster://[user][:password@]host[:port][,host[:port]...]                  port 6379
 *   rediss+cluster://...                            the same, over TLS
 *
 * %-escapes are decoded; an IPv6 address stands in brackets.
 */
#ifndef TANDEM_REDIS_URL_H
#define TANDEM_REDIS_URL_H

#include <stdbool.h>
#include <stddef.h>

enum { URL_SEEDS_MOST = 16, URL_SEEDS_BYTES = 512 /* of all, as url_server writes them */ };

/* A server that knows where others are. */
struct url_seed {
    char host[254]; /* name or address, no brackets */
    int port;
};

struct url {
    bool is_unix;
    bool is_secure;
    char host[254]; /* name or address, no brackets; empty for unix, and where there are seeds */
    int port;
    struct url_seed seed[URL_SEEDS_MOST]; /* sentinels, or nodes of a cluster */
    int seeds;                            /* 0: there is one server, which is host and port */
    bool is_cluster;
    char master[128]; /* what sentinels call it */
    char path[108];   /* of the socket, as long as the system allows */
    int db;
    char username[257];  /* empty: none */
    char password[4097]; /* empty: none; tokens of cloud services are long */
};

/* 0, or -1 with a sentence in error that says what is wrong.  It never holds a part of the URL: with a
 * character out of place, a password can look like anything else. */
int url_parse(const char *text, struct url *url, char *error, size_t error_size);

/* Wipes the secrets. */
void url_wipe(struct url *url);

/* "redis host:port/db" ("rediss ..." over TLS), "redis [v6]:port/db", "redis unix:path/db" or
 * "redis+sentinel host:port,host:port/master/db", or "redis+cluster host:port,host:port" ("rediss+cluster ..."). */
void url_server(const struct url *url, char *text, size_t size);

/* The words of an AUTH, which point into the URL.  How many: 0 when it has neither a user nor a password. */
int url_auth(const struct url *url, const char *words[3]);

/* "host:port" or "[v6]:port". */
void url_node(const char *host, int port, char *text, size_t size);

/* A host's name or address as a server has said it, with a NUL behind.  False: it is none, or does not fit. */
bool url_take_host(const char *text, size_t length, char *host, size_t size);

/* A server's name or address and its port, as url_node writes them.  False: it is none. */
bool url_take_node(const char *text, size_t length, struct url_seed *node);

/* Sets host and port to what a server has said.  False: that is no host's name or address, or no port. */
bool url_set_node(struct url *url, const char *host, size_t host_length, const char *port,
                  size_t port_length);

#endif
