/*
 * url.h: addresses of servers.  Pure.
 *
 *   redis://[user][:password@]host[:port][/db]      port 6379, db 0 unless said
 *   unix:///path.sock[?db=n]                        also unix://user:password@/path.sock
 *
 * %-escapes are decoded; an IPv6 address stands in brackets.
 */
#ifndef TANDEM_REDIS_URL_H
#define TANDEM_REDIS_URL_H

#include <stdbool.h>
#include <stddef.h>

struct url {
    bool is_unix;
    char host[256]; /* name or address, no brackets; empty for unix */
    int port;
    char path[104]; /* of the socket; a unix address holds 107 bytes */
    int db;
    char username[256];  /* empty: none */
    char password[1024]; /* empty: none */
};

/* 0, or -1 with a sentence in error that names what is wrong but never holds the password. */
int url_parse(const char *text, struct url *url, char *error, size_t error_size);

/* "redis host:port/db", "redis [v6]:port/db" or "redis unix:path/db". */
void url_server(const struct url *url, char *text, size_t size);

#endif
