#include "tls/say.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

enum { ALERTS = 1000 }; /* added to an alert's number, it is the reason that OpenSSL gives */

/* -- The server's certificate ---------------------------------------------------------------------- */

static void say_verdict(const struct say_subject *s, char *error, size_t size)
{
    switch (s->verdict) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        snprintf(error, size,
                 "the server's certificate is not for %s (tls.server_name: whom it is for)",
                 s->server_name);
        break;
    case X509_V_ERR_CERT_HAS_EXPIRED:
        snprintf(error, size, "the server's certificate, or one of its issuers, has expired");
        break;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        snprintf(error, size,
                 "the server's certificate, or one of its issuers, is not valid "
                 "yet: is the clock right?");
        break;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        snprintf(error, size, "the server's certificate is self-signed, and not in tls.ca");
        break;
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        snprintf(error, size,
                 "the server's certificate is from an issuer that is not in "
                 "tls.ca, or not known to this system");
        break;
    default:
        snprintf(error, size, "the server's certificate is not good: %s",
                 X509_verify_cert_error_string(s->verdict));
    }
}

/* -- What the server says --------------------------------------------------------------------------- */

static bool wants_certificate(const struct say_subject *s)
{
    return s->asked && !s->has_cert && !s->heard;
}

static void say_no_certificate(char *error, size_t size)
{
    snprintf(error, size, "the server wants a certificate of its client (tls.cert, tls.key)");
}

static void say_alert(const struct say_subject *s, int alert, char *error, size_t size)
{
    bool handshake = alert == SSL_AD_HANDSHAKE_FAILURE || alert == SSL_AD_BAD_CERTIFICATE;

    if (alert == SSL_AD_CERTIFICATE_REQUIRED || (handshake && wants_certificate(s)))
        say_no_certificate(error, size);
    else if (s->has_cert &&
             (alert == SSL_AD_UNKNOWN_CA || alert == SSL_AD_BAD_CERTIFICATE ||
              alert == SSL_AD_CERTIFICATE_UNKNOWN || alert == SSL_AD_UNSUPPORTED_CERTIFICATE))
        snprintf(error, size, "the server does not accept our certificate (tls.cert): %s",
                 SSL_alert_desc_string_long(alert));
    else if (alert == SSL_AD_CERTIFICATE_EXPIRED)
        snprintf(error, size, "the server says that our certificate (tls.cert) has expired");
    else if (alert == SSL_AD_PROTOCOL_VERSION)
        snprintf(error, size, "the server speaks no version of TLS that we do: 1.2 or newer");
    else
        snprintf(error, size, "the server ended the TLS connection: %s",
                 SSL_alert_desc_string_long(alert));
}

void say_closed(const struct say_subject *s, char *error, size_t size)
{
    const char *how = s->system_error ? strerror(s->system_error) : "the server closed it";

    if (wants_certificate(s))
        say_no_certificate(error, size);
    else if (s->asked && !s->heard)
        snprintf(error, size, "the server had our certificate (tls.cert), and is gone: %s", how);
    else if (!s->began)
        snprintf(error, size, "no TLS connection: %s: is this the server's TLS port?", how);
    else
        snprintf(error, size, "the TLS connection is lost: %s", how);
}

/* -- All of it -------------------------------------------------------------------------------------- */

static bool is_not_tls(int reason)
{
    return reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST ||
           reason == SSL_R_UNKNOWN_PROTOCOL || reason == SSL_R_PACKET_LENGTH_TOO_LONG ||
           reason == SSL_R_RECORD_TOO_SMALL || reason == SSL_R_BAD_RECORD_TYPE ||
           reason == SSL_R_UNEXPECTED_MESSAGE;
}

#ifdef SSL_R_UNEXPECTED_EOF_WHILE_READING
static bool is_end(int reason)
{
    return reason == SSL_R_UNEXPECTED_EOF_WHILE_READING;
}
#else
static bool is_end(int reason)
{
    (void)reason;
    return false;
}
#endif

void say_failure(const struct say_subject *s, char *error, size_t size)
{
    unsigned long code = ERR_peek_last_error();
    int reason = ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) : 0;
    const char *text = ERR_reason_error_string(code);

    if (!code || ERR_GET_LIB(code) == ERR_LIB_SYS || is_end(reason))
        say_closed(s, error, size);
    else if (s->verdict != X509_V_OK && !s->began)
        say_verdict(s, error, size);
    else if (reason > ALERTS)
        say_alert(s, reason - ALERTS, error, size);
    else if (!s->began && is_not_tls(reason))
        snprintf(error, size, "what the server sends is not TLS: is this the server's TLS port?");
    else
        snprintf(error, size, "TLS: %s", text ? text : "error without a name");
    ERR_clear_error();
}
