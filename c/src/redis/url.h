/*
 * url.h: addresses of servers.  Pure.
 *
 *   redis://[user][:password@]host[:port][/db]      port 6379, db 0 unless said
 *   rediss://...                                    the same, over TLS
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
    bool is_secure;
    char host[254]; /* name or address, no brackets; empty for unix */
    int port;
    char path[108]; /* of the socket, as long as the system allows */
    int db;
    char username[257];  /* empty: none */
    char password[4097]; /* empty: none; tokens of cloud services are long */
};

/* 0, or -1 with a sentence in error that says what is wrong.  It never holds a part of the URL: with a
 * character out of place, a password can look like anything else. */
int url_parse(const char *text, struct url *url, char *error, size_t error_size);

/* Wipes the secrets. */
void url_wipe(struct url *url);

/* "redis host:port/db" ("rediss ..." over TLS), "redis [v6]:port/db" or "redis unix:path/db". */
void url_server(const struct url *url, char *text, size_t size);

#endif
