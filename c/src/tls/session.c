#include "tls/session.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "tls/say.h"

struct tls_session {
    SSL *ssl;
    const struct tls_context *context;
    char server_name[TLS_NAME];
    bool asked, began, heard; /* as in struct say_subject */
    bool filled;              /* the last read had no room for more */
};

/* -- Beginning and ending -------------------------------------------------------------------------- */

/* The server wants a certificate: it is noted, for a sentence.  1: go on with what there is. */
static int note_wish(SSL *ssl, void *unused)
{
    struct tls_session *session = SSL_get_app_data(ssl);

    (void)unused;
    session->asked = true;
    return 1;
}

static bool is_address(const char *name)
{
    unsigned char bytes[16];

    return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

/* An address's interface, behind a %, is ours alone. */
static void name_server(struct tls_session *s, const char *host)
{
    if (s->context->server_name[0])
        host = s->context->server_name;
    snprintf(s->server_name, sizeof(s->server_name), "%.*s", (int)strcspn(host, "%"), host);
}

static bool expect_server(SSL *ssl, const char *name, bool unverified)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

    if (!is_address(name) && SSL_set_tlsext_host_name(ssl, name) != 1)
        return false;
    if (unverified)
        return true;
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return is_address(name) ? X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1
                            : X509_VERIFY_PARAM_set1_host(param, name, 0) == 1;
}

struct tls_session *session_begin(const struct tls_context *context, const char *host, int fd)
{
    struct tls_session *s = OPENSSL_zalloc(sizeof(*s));
    bool good = false;

    if (s) {
        s->context = context;
        name_server(s, host);
        s->ssl = SSL_new(context->ssl);
        good = s->ssl && SSL_set_app_data(s->ssl, s) == 1 && SSL_set_fd(s->ssl, fd) == 1 &&
               expect_server(s->ssl, s->server_name, context->unverified);
    }
    ERR_clear_error();
    if (!good) {
        session_end(s);
        return NULL;
    }
    SSL_set_cert_cb(s->ssl, note_wish, NULL);
    SSL_set_connect_state(s->ssl);
    return s;
}

void session_end(struct tls_session *session)
{
    if (!session)
        return;
    SSL_free(session->ssl);
    OPENSSL_free(session);
}

/* -- Going on -------------------------------------------------------------------------------------- */

/* What came of a call of OpenSSL's. */
static enum tls_status status_of(const struct tls_session *s, int result, char *error, size_t size)
{
    int system_error = errno, kind = SSL_get_error(s->ssl, result);
    const struct say_subject subject = {
        .server_name = s->server_name,
        .verdict = s->context->unverified ? X509_V_OK : SSL_get_verify_result(s->ssl),
        .asked = s->asked,
        .has_cert = s->context->has_cert,
        .began = s->began,
        .heard = s->heard,
        .system_error = kind == SSL_ERROR_SYSCALL ? system_error : 0,
    };

    if (kind == SSL_ERROR_NONE)
        return TLS_DONE;
    if (kind == SSL_ERROR_WANT_READ)
        return TLS_WANTS_READ;
    if (kind == SSL_ERROR_WANT_WRITE)
        return TLS_WANTS_WRITE;
    if (kind == SSL_ERROR_ZERO_RETURN) {
        say_closed(&subject, error, size);
        return TLS_CLOSED;
    }
    say_failure(&subject, error, size);
    return TLS_FAILED;
}

enum tls_status session_handshake(struct tls_session *s, char *error, size_t size)
{
    enum tls_status status;

    ERR_clear_error();
    errno = 0;
    status = status_of(s, SSL_connect(s->ssl), error, size);
    s->began = status == TLS_DONE;
    ERR_clear_error();
    return status;
}

enum tls_status session_read(struct tls_session *s, char *bytes, size_t room, size_t *count,
                             char *error, size_t size)
{
    enum tls_status status = TLS_DONE;

    *count = 0;
    while (status == TLS_DONE && *count < room) {
        size_t n = 0;

        ERR_clear_error();
        errno = 0;
        status = status_of(s, SSL_read_ex(s->ssl, bytes + *count, room - *count, &n), error, size);
        *count += n;
        s->heard = s->heard || n > 0;
    }
    s->filled = status == TLS_DONE;
    ERR_clear_error();
    return status;
}

enum tls_status session_write(struct tls_session *s, const char *bytes, size_t length,
                              size_t *count, char *error, size_t size)
{
    enum tls_status status = TLS_DONE;

    *count = 0;
    while (status == TLS_DONE && *count < length) {
        size_t n = 0;

        ERR_clear_error();
        errno = 0;
        status =
            status_of(s, SSL_write_ex(s->ssl, bytes + *count, length - *count, &n), error, size);
        *count += n;
    }
    ERR_clear_error();
    return status;
}

/* What OpenSSL holds may be the beginning of a record, of whose rest an event will tell. */
bool session_has_pending(const struct tls_session *s)
{
    return s->filled && SSL_has_pending(s->ssl) == 1;
}
