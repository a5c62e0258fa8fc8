/*
 * say.h: what OpenSSL found, in a sentence.
 */
#ifndef TANDEM_TLS_SAY_H
#define TANDEM_TLS_SAY_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

/* What is known of a connection that failed. */
struct say_subject {
    const char *server_name;
    long verdict;     /* of the server's certificate: X509_V_* */
    bool asked;       /* for a certificate of ours */
    bool has_cert;    /* we have one */
    bool began;       /* the handshake is over */
    bool heard;       /* and something came behind it */
    int system_error; /* errno; 0: the stream ended */
};

/* The newest of OpenSSL's errors, or system_error when there is none.  Empties OpenSSL's queue. */
void say_failure(const struct say_subject *subject, char *error, size_t size);

/* The stream has ended, or was cut. */
void say_closed(const struct say_subject *subject, char *error, size_t size);

#endif
