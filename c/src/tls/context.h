/*
 * context.h: the certificates and rules of the connections to one server, or to a cluster's nodes, as OpenSSL has them.
 */
#ifndef TANDEM_TLS_CONTEXT_H
#define TANDEM_TLS_CONTEXT_H

#include <openssl/ssl.h>

#include "tls/tls.h"

enum { TLS_NAME = 256 };

struct tls_context {
    SSL_CTX *ssl;
    bool has_cert;
    bool unverified;
    char server_name[TLS_NAME]; /* empty: each session's own */
};

struct tls_context *context_prepare(const struct tls_options *options, char *error, size_t size);
void context_discard(struct tls_context *context);

#endif
