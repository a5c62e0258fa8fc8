/*
 * context.h: the certificates and rules of one server's connections, as OpenSSL has them.
 */
#ifndef TANDEM_TLS_CONTEXT_H
#define TANDEM_TLS_CONTEXT_H

#include <openssl/ssl.h>

#include "tls/tls.h"

struct tls_context {
    SSL_CTX *ssl;
    bool has_cert;
    bool unverified;
    bool is_address; /* server_name */
    char server_name[256];
};

struct tls_context *context_prepare(const struct tls_options *options, char *error, size_t size);
void context_discard(struct tls_context *context);

#endif
