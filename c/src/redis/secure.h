/*
 * secure.h: TLS for connections: the library that does it, and what hiredis reads and writes through.
 *
 * The library is libtandem_tls.so, from the folder of the file that this code is in, and is opened when
 * it is first asked for (tls/tls.h).  hiredis has had a place for other functions to read and write by
 * since 1.0; with an older one, or without the library, secure_prepare says what to install.
 */
#ifndef TANDEM_REDIS_SECURE_H
#define TANDEM_REDIS_SECURE_H

#include <hiredis/hiredis.h>

#include "tls/tls.h"

/* One connection's.  All zero: none. */
struct secure {
    struct tls_session *session; /* NULL: this is no TLS connection */
    bool read_wants_write, write_wants_read;
    char why[160]; /* the sentence of a failure */
};

/* Opens the library, and has it read the files.  NULL with a sentence. */
struct tls_context *secure_prepare(const struct tls_options *options, char *error, size_t size);
void secure_discard(struct tls_context *context); /* NULL: nothing */

/* On a socket that is connected to this host.  From now on hiredis reads and writes through secure, which must stay where it is.
 * False: no memory. */
bool secure_begin(struct secure *secure, const struct tls_context *context, const char *host,
                  redisContext *c);

/* A step of the handshake, once the socket is ready for it.  The sentence is in why. */
enum tls_status secure_handshake(struct secure *secure);

/* Before the socket is closed. */
void secure_end(struct secure *secure);

/* Bytes came of which no event of the socket tells. */
bool secure_has_pending(const struct secure *secure);

/* Around a fork, in the parent and in the child: nothing of OpenSSL's is half done in between. */
void secure_before_fork(void);
void secure_after_fork(void);

#endif
