#include "tls/context.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of all authorities there are, a system has a quarter of a megabyte of certificates. */
enum { FILE_MOST = 16 << 20 };

/* Where a sentence goes. */
struct complaint {
    char *text;
    size_t size;
};

__attribute__((format(printf, 2, 3))) static bool complain(const struct complaint *c,
                                                           const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(c->text, c->size, format, arguments);
    va_end(arguments);
    return false;
}

/* -- Files ----------------------------------------------------------------------------------------- */

static bool check_file(const char *option, const char *path, bool may_be_folder, bool *is_folder,
                       const struct complaint *c)
{
    struct stat file;

    if (stat(path, &file) != 0 || access(path, R_OK) != 0)
        return complain(c, "%s: cannot be read: %s", option, strerror(errno));
    *is_folder = S_ISDIR(file.st_mode);
    if (*is_folder && may_be_folder)
        return true;
    if (!S_ISREG(file.st_mode))
        return complain(c, "%s: is not a file%s", option, may_be_folder ? " or a folder" : "");
    if (file.st_size == 0)
        return complain(c, "%s: the file is empty", option);
    if (file.st_size > FILE_MOST)
        return complain(c, "%s: the file has %lld bytes, more than any that holds certificates",
                        option, (long long)file.st_size);
    return true;
}

/* A file that is none of what it should be: what is it then? */
static const char *content_of(const char *path)
{
    FILE *file = fopen(path, "r");
    char line[128];
    const char *what = "is not in PEM";

    while (file && fgets(line, sizeof(line), file)) {
        if (strncmp(line, "-----BEGIN ", 11) != 0)
            continue;
        if (strstr(line, "PRIVATE KEY"))
            what = "holds a private key";
        else if (strstr(line, "CERTIFICATE-----"))
            what = "holds a certificate";
        else
            what = "holds something else in PEM";
        break;
    }
    if (file)
        fclose(file);
    return what;
}

static bool wrong_content(const char *option, const char *wanted, const char *path,
                          const struct complaint *c)
{
    const char *content = content_of(path),
               *reason = ERR_reason_error_string(ERR_peek_last_error());

    if (strstr(content, wanted))
        return complain(c, "%s: %s that cannot be used: %s", option, content,
                        reason ? reason : "unknown error");
    return complain(c, "%s: %s, not a %s", option, content, wanted);
}

/* -- Whom to trust --------------------------------------------------------------------------------- */

static bool load_authorities(SSL_CTX *ssl, const char *path, const struct complaint *c)
{
    bool is_folder = false;

    if (!path)
        return SSL_CTX_set_default_verify_paths(ssl) == 1 ||
               complain(c, "tls: the system's certificates cannot be read");
    if (!check_file("tls.ca", path, true, &is_folder, c))
        return false;
    if (SSL_CTX_load_verify_locations(ssl, is_folder ? NULL : path, is_folder ? path : NULL) == 1)
        return true;
    return wrong_content("tls.ca", "certificate", path, c);
}

/* -- Who we are ------------------------------------------------------------------------------------ */

/* In the place of OpenSSL's own, which would ask at the terminal. */
static int no_passphrase(char *buffer, int size, int writing, void *asked)
{
    (void)buffer, (void)size, (void)writing;
    *(bool *)asked = true;
    return -1;
}

static bool load_key(SSL_CTX *ssl, const char *path, const struct complaint *c)
{
    bool is_folder, asked = false;
    int good, reason;

    if (!check_file("tls.key", path, false, &is_folder, c))
        return false;
    SSL_CTX_set_default_passwd_cb(ssl, no_passphrase);
    SSL_CTX_set_default_passwd_cb_userdata(ssl, &asked);
    good = SSL_CTX_use_PrivateKey_file(ssl, path, SSL_FILETYPE_PEM);
    SSL_CTX_set_default_passwd_cb_userdata(ssl, NULL);
    if (asked)
        return complain(c, "tls.key: is encrypted: a key without a passphrase is needed, in a file "
                           "that only its owner can read");
    reason = ERR_GET_REASON(ERR_peek_last_error());
    if (!good && (ERR_GET_LIB(ERR_peek_last_error()) != ERR_LIB_X509 ||
                  (reason != X509_R_KEY_VALUES_MISMATCH && reason != X509_R_KEY_TYPE_MISMATCH)))
        return wrong_content("tls.key", "private key", path, c);
    return (good && SSL_CTX_check_private_key(ssl) == 1) ||
           complain(c, "tls.key: is not the key of tls.cert");
}

static bool load_identity(SSL_CTX *ssl, const struct tls_options *o, const struct complaint *c)
{
    bool is_folder;

    if (!o->cert && !o->key)
        return true;
    if (!o->cert || !o->key)
        return complain(c, "tls.%s is given without tls.%s", o->cert ? "cert" : "key",
                        o->cert ? "key" : "cert");
    if (!check_file("tls.cert", o->cert, false, &is_folder, c))
        return false;
    if (SSL_CTX_use_certificate_chain_file(ssl, o->cert) != 1)
        return wrong_content("tls.cert", "certificate", o->cert, c);
    return load_key(ssl, o->key, c);
}

/* -- All of it ------------------------------------------------------------------------------------- */

static bool take_name(struct tls_context *context, const char *name, const struct complaint *c)
{
    size_t length = name ? strlen(name) : 0;

    if (!name)
        return true;
    if (length == 0 || length >= sizeof(context->server_name))
        return complain(c, "tls.server_name: must have 1 to %zu bytes",
                        sizeof(context->server_name) - 1);
    memcpy(context->server_name, name, length + 1);
    return true;
}

static bool fill(struct tls_context *context, const struct tls_options *o,
                 const struct complaint *c)
{
    if (!take_name(context, o->server_name, c))
        return false;
    if (o->unverified && o->ca)
        return complain(c, "tls.ca is given, but with tls.verify = false nothing is checked by it");
    context->has_cert = o->cert != NULL;
    context->unverified = o->unverified;
    context->ssl = SSL_CTX_new(TLS_client_method());
    if (!context->ssl)
        return complain(c, "tls: no memory");
    SSL_CTX_set_min_proto_version(context->ssl, TLS1_2_VERSION);
    SSL_CTX_set_options(context->ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    /* hiredis moves what is left of its buffer, and appends to it. */
    SSL_CTX_set_mode(context->ssl,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(context->ssl, 1);
    SSL_CTX_set_verify(context->ssl, o->unverified ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    return (o->unverified || load_authorities(context->ssl, o->ca, c)) &&
           load_identity(context->ssl, o, c);
}

struct tls_context *context_prepare(const struct tls_options *options, char *error, size_t size)
{
    const struct complaint c = {error, size};
    struct tls_context *context;
    bool good;

    /* We may be the first in this process.  OpenSSL's own handler would clear up at exit while our
     * thread still speaks. */
    OPENSSL_init_ssl(OPENSSL_INIT_NO_ATEXIT, NULL);
    ERR_clear_error();
    context = OPENSSL_zalloc(sizeof(*context));
    good = context ? fill(context, options, &c) : complain(&c, "tls: no memory");
    ERR_clear_error();
    if (good)
        return context;
    context_discard(context);
    return NULL;
}

void context_discard(struct tls_context *context)
{
    if (!context)
        return;
    SSL_CTX_free(context->ssl);
    OPENSSL_free(context);
}
