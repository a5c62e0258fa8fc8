/*
 * quote.h: what a server said, made fit for a log.  Pure.
 *
 * Only printable ASCII is left, and no secret: servers repeat the arguments of commands that they do not
 * know, and an AUTH may be one.
 */
#ifndef TANDEM_REDIS_QUOTE_H
#define TANDEM_REDIS_QUOTE_H

#include <stddef.h>

enum { QUOTE_BYTES = 128 }; /* no more of it is quoted */

/* An error reply.  secret: what must not appear, "" for none. */
void quote_error(const char *text, size_t length, const char *secret, char *out, size_t size);

/* The error reply to a command that held the secret: a part of it is too much. */
void quote_auth_error(const char *text, size_t length, const char *secret, char *out, size_t size);

/* "server: reason".  A very long server is cut, rather than the reason. */
void quote_sentence(const char *server, const char *reason, char *out, size_t size);

#endif
