/*
 * session.h: TLS on one socket.
 */
#ifndef TANDEM_TLS_SESSION_H
#define TANDEM_TLS_SESSION_H

#include "tls/context.h"

struct tls_session *session_begin(const struct tls_context *context, const char *host, int fd);
void session_end(struct tls_session *session);
enum tls_status session_handshake(struct tls_session *session, char *error, size_t size);
enum tls_status session_read(struct tls_session *session, char *bytes, size_t room, size_t *count,
                             char *error, size_t size);
enum tls_status session_write(struct tls_session *session, const char *bytes, size_t length,
                              size_t *count, char *error, size_t size);
bool session_has_pending(const struct tls_session *session);

#endif
