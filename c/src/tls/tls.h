/*
 * tls.h: the face of libtandem_tls.so: TLS on a connected, non-blocking socket.
 *
 * The room knows of OpenSSL, and of neither Redis nor hiredis; nobody else knows of OpenSSL.  It is a
 * library of its own, so that a process that speaks no TLS loads no OpenSSL for us: redis/secure.c opens
 * it when it is first asked for, and finds in it the one symbol tandem_tls.
 *
 * Nothing here waits, prints or asks for a passphrase, and each call leaves OpenSSL's queue of errors, which
 * a host program may look at, empty.  Calls are made one at a time, under a lock of redis/secure.c.
 */
#ifndef TANDEM_TLS_TLS_H
#define TANDEM_TLS_TLS_H

#include <stdbool.h>
#include <stddef.h>

/* Files are in PEM. */
struct tls_options {
    const char *ca; /* file or folder of certificates to trust; NULL: the system's */
    const char *cert,
        *key; /* our own certificate, with what leads to its issuer, and its key; or NULL */
    const char
        *server_name; /* whom the server's certificate must name; NULL: each the host called */
    bool unverified;  /* whatever the server's certificate is, it is good */
};

enum tls_status {
    TLS_DONE,
    TLS_WANTS_READ,  /* call again when the socket is readable */
    TLS_WANTS_WRITE, /* when it is writable */
    TLS_CLOSED,      /* the peer has closed; with a sentence */
    TLS_FAILED       /* with a sentence */
};

/* Certificates, read and ready: for any number of connections. */
struct tls_context;

/* One connection. */
struct tls_session;

struct tls_library {
    size_t size;         /* of this struct */
    const char *version; /* TANDEM_VERSION */

    /* Reads the files.  NULL with a sentence, which begins with the option's name and never holds a path. */
    struct tls_context *(*prepare)(const struct tls_options *options, char *error, size_t size);
    void (*discard)(struct tls_context *context);

    /* host: which one was called, a name or an address.  The socket stays the caller's.  NULL: no memory. */
    struct tls_session *(*begin)(const struct tls_context *context, const char *host, int fd);
    void (*end)(struct tls_session *session); /* sends nothing */

    /* Once it is TLS_DONE, the server is who it has to be. */
    enum tls_status (*handshake)(struct tls_session *session, char *error, size_t size);

    /* count: how many bytes were taken; some may have been, whatever the status. */
    enum tls_status (*read)(struct tls_session *session, char *bytes, size_t room, size_t *count,
                            char *error, size_t size);
    /* What was not taken must be offered again, with as much or more behind it. */
    enum tls_status (*write)(struct tls_session *session, const char *bytes, size_t length,
                             size_t *count, char *error, size_t size);

    /* Bytes that the socket has given and read has not: no event tells of them. */
    bool (*has_pending)(const struct tls_session *session);
};

extern const struct tls_library tandem_tls;

#endif
