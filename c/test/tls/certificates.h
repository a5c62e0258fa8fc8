/*
 * certificates.h: certificates of a test's own, made on the spot.
 */
#ifndef TANDEM_TEST_CERTIFICATES_H
#define TANDEM_TEST_CERTIFICATES_H

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "check.h"

struct certificate {
    EVP_PKEY *key;
    X509 *x509;
};

enum { CERTIFICATE_DAY = 24 * 3600 };

static void certificate_extend(X509 *x509, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

    REQUIRE(extension);
    X509_add_ext(x509, extension, -1);
    X509_EXTENSION_free(extension);
}

/* For these names ("DNS:a.test,IP:127.0.0.1"), valid for so many seconds from yesterday on, issued by issuer
 * (NULL: itself, as an authority). */
CHECK_UNUSED struct certificate certificate_make(const char *name, const char *names, long seconds,
                                                 const struct certificate *issuer)
{
    struct certificate c = {EVP_EC_gen("P-256"), X509_new()};
    X509_NAME *subject = X509_get_subject_name(c.x509);
    static long serial;

    REQUIRE(c.key && c.x509);
    X509_set_version(c.x509, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(c.x509), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(c.x509), -CERTIFICATE_DAY);
    X509_gmtime_adj(X509_getm_notAfter(c.x509), seconds - CERTIFICATE_DAY);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(c.x509, issuer ? X509_get_subject_name(issuer->x509) : subject);
    X509_set_pubkey(c.x509, c.key);
    if (names)
        certificate_extend(c.x509, NID_subject_alt_name, names);
    else
        certificate_extend(c.x509, NID_basic_constraints, "critical,CA:TRUE");
    REQUIRE(X509_sign(c.x509, issuer ? issuer->key : c.key, EVP_sha256()) > 0);
    return c;
}

/* Writes PEM to a file of its own; into path (64 bytes). */
CHECK_UNUSED void certificate_save(const struct certificate *c, bool key, const char *passphrase,
                                   char *path)
{
    FILE *file;

    snprintf(path, 64, "/tmp/tandem-tls-XXXXXX");
    file = fdopen(mkstemp(path), "w");
    REQUIRE(file);
    if (key)
        REQUIRE(PEM_write_PKCS8PrivateKey(file, c->key, passphrase ? EVP_aes_128_cbc() : NULL,
                                          passphrase, passphrase ? (int)strlen(passphrase) : 0,
                                          NULL, NULL) == 1);
    else
        REQUIRE(PEM_write_X509(file, c->x509) == 1);
    fclose(file);
}

#endif
