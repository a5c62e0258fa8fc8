/*
 * TLS over a pair of sockets, with a server whose every byte is passed on by the test.
 */
#include "tls/session.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <sys/socket.h>

#include "certificates.h"

enum { SECONDS = 30 * CERTIFICATE_DAY, ROUNDS = 200 };

struct scene {
    struct certificate authority, server;
    char ca[64];
    SSL_CTX *server_context;
    SSL *ssl; /* the server's: it reads and writes memory */
    int fd;   /* the server's end of the pair */
    int client_fd;
    const char *host; /* who was called */
    struct tls_options options;
    struct tls_context *context;
    struct tls_session *session;
    char why[256];
};

/* -- The server ------------------------------------------------------------------------------------ */

static void begin_scene(struct scene *s, const char *names, long seconds)
{
    int pair[2];

    memset(s, 0, sizeof(*s));
    s->authority = certificate_make("An authority", NULL, SECONDS, NULL);
    s->server = certificate_make("server", names, seconds, &s->authority);
    certificate_save(&s->authority, false, NULL, s->ca);
    s->host = "10.0.0.1";
    s->options = (struct tls_options){.ca = s->ca, .server_name = "redis.test"};
    s->server_context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_use_certificate(s->server_context, s->server.x509);
    SSL_CTX_use_PrivateKey(s->server_context, s->server.key);
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    s->fd = pair[0];
    s->client_fd = pair[1];
}

/* With the options as they are now. */
static void begin_session(struct scene *s)
{
    s->ssl = SSL_new(s->server_context);
    SSL_set_bio(s->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_accept_state(s->ssl);
    s->context = context_prepare(&s->options, s->why, sizeof(s->why));
    REQUIRE(s->context);
    s->session = session_begin(s->context, s->host, s->client_fd);
    REQUIRE(s->session);
}

static void end_scene(struct scene *s)
{
    session_end(s->session);
    context_discard(s->context);
    SSL_free(s->ssl);
    SSL_CTX_free(s->server_context);
    X509_free(s->authority.x509);
    X509_free(s->server.x509);
    EVP_PKEY_free(s->authority.key);
    EVP_PKEY_free(s->server.key);
    close(s->fd);
    close(s->client_fd);
    unlink(s->ca);
}

/* What has come is the server's to read. */
static void take_in(struct scene *s)
{
    char bytes[4096];
    ssize_t n;

    while ((n = recv(s->fd, bytes, sizeof(bytes), 0)) > 0)
        BIO_write(SSL_get_rbio(s->ssl), bytes, (int)n);
}

/* Sends at most so many of the bytes that the server has written. */
static size_t give_out(struct scene *s, size_t most)
{
    char bytes[4096];
    size_t sent = 0;

    while (sent < most) {
        size_t room = most - sent < sizeof(bytes) ? most - sent : sizeof(bytes);
        int n = BIO_read(SSL_get_wbio(s->ssl), bytes, (int)room);

        if (n <= 0)
            break;
        REQUIRE(send(s->fd, bytes, (size_t)n, MSG_NOSIGNAL) == n);
        sent += (size_t)n;
    }
    return sent;
}

/* Until the client is through, or has failed: the server's answer to that is passed on as well. */
static enum tls_status shake_hands(struct scene *s)
{
    enum tls_status status = TLS_WANTS_READ;

    for (int i = 0; i < ROUNDS && (status == TLS_WANTS_READ || status == TLS_WANTS_WRITE); i++) {
        status = session_handshake(s->session, s->why, sizeof(s->why));
        CHECK(ERR_peek_error() == 0);
        take_in(s);
        SSL_do_handshake(s->ssl);
        ERR_clear_error(); /* the server's */
        give_out(s, SIZE_MAX);
    }
    return status;
}

static void connected(struct scene *s)
{
    begin_scene(s, "DNS:redis.test", SECONDS);
    begin_session(s);
    REQUIRE(shake_hands(s) == TLS_DONE);
}

/* -- Whom it trusts -------------------------------------------------------------------------------- */

static void check_server(const char *names, long seconds, const char *server_name, bool is_known,
                         const char *expected)
{
    struct scene s;
    struct certificate other = certificate_make("Another", NULL, SECONDS, NULL);
    char ca[64];

    begin_scene(&s, names, seconds);
    certificate_save(&other, false, NULL, ca);
    s.options.server_name = server_name;
    if (!is_known)
        s.options.ca = ca;
    begin_session(&s);
    CHECK_INT(expected ? TLS_FAILED : TLS_DONE, shake_hands(&s));
    CHECK_STR(expected ? expected : "", s.why);
    unlink(ca);
    X509_free(other.x509);
    EVP_PKEY_free(other.key);
    end_scene(&s);
}

TEST(names_and_addresses_are_compared)
{
    check_server("DNS:redis.test", SECONDS, "redis.test", true, NULL);
    check_server("DNS:redis.test", SECONDS, "REDIS.test", true, NULL);
    check_server("DNS:*.redis.test", SECONDS, "one.redis.test", true, NULL);
    check_server("IP:127.0.0.1", SECONDS, "127.0.0.1", true, NULL);
    check_server("IP:0:0:0:0:0:0:0:1", SECONDS, "::1", true, NULL);
    check_server(
        "DNS:other.test", SECONDS, "redis.test", true,
        "the server's certificate is not for redis.test (tls.server_name: whom it is for)");
    check_server(
        "DNS:r*.test", SECONDS, "redis.test", true,
        "the server's certificate is not for redis.test (tls.server_name: whom it is for)");
    check_server("DNS:127.0.0.1", SECONDS, "127.0.0.1", true,
                 "the server's certificate is not for 127.0.0.1 (tls.server_name: whom it is for)");
}

/* As with the nodes of a cluster, which have one context. */
TEST(where_no_name_is_wanted_it_is_that_of_the_host_called)
{
    static const struct {
        const char *names, *host, *says;
    } cases[] = {
        {"DNS:redis.test", "redis.test", NULL},
        {"IP:10.0.0.1", "10.0.0.1", NULL},
        {"IP:fe80::1", "fe80::1%eth0", NULL},
        {"IP:10.0.0.1", "10.0.0.2", "certificate is not for 10.0.0.2 "},
        {"DNS:redis.test", "other.test", "certificate is not for other.test "},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct scene s;

        begin_scene(&s, cases[i].names, SECONDS);
        s.options.server_name = NULL;
        s.host = cases[i].host;
        begin_session(&s);
        CHECK_INT(cases[i].says ? TLS_FAILED : TLS_DONE, shake_hands(&s));
        CHECK(!cases[i].says || strstr(s.why, cases[i].says));
        end_scene(&s);
    }
}

TEST(certificates_are_looked_at)
{
    check_server(
        "DNS:redis.test", SECONDS, "redis.test", false,
        "the server's certificate is from an issuer that is not in tls.ca, or not known to "
        "this system");
    check_server("DNS:redis.test", CERTIFICATE_DAY / 2, "redis.test", true,
                 "the server's certificate, or one of its issuers, has expired");
}

TEST(unverified_takes_anybody)
{
    struct scene s;

    begin_scene(&s, "DNS:other.test", CERTIFICATE_DAY / 2);
    s.options = (struct tls_options){.server_name = "redis.test", .unverified = true};
    begin_session(&s);
    CHECK_INT(TLS_DONE, shake_hands(&s));
    end_scene(&s);
}

TEST(the_server_is_told_whom_we_want)
{
    struct scene s;

    connected(&s);
    CHECK_STR("redis.test", SSL_get_servername(s.ssl, TLSEXT_NAMETYPE_host_name));
    end_scene(&s);
}

/* -- Who it is ------------------------------------------------------------------------------------- */

static void check_asked(int version, const struct certificate *ours, const char *expected)
{
    struct scene s;
    char byte, cert[64], key[64];
    size_t n;
    enum tls_status status;

    begin_scene(&s, "DNS:redis.test", SECONDS);
    SSL_CTX_set_max_proto_version(s.server_context, version);
    SSL_CTX_set_verify(s.server_context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(s.server_context), s.authority.x509);
    if (ours) {
        certificate_save(ours, false, NULL, cert);
        certificate_save(ours, true, NULL, key);
        s.options.cert = cert;
        s.options.key = key;
    }
    begin_session(&s);
    status = shake_hands(&s);
    if (status == TLS_DONE) /* TLS 1.3's server looks at it only now */
        status = session_read(s.session, &byte, 1, &n, s.why, sizeof(s.why));
    CHECK_INT(TLS_FAILED, status);
    CHECK_STR(expected, s.why);
    CHECK(ERR_peek_error() == 0);
    if (ours) {
        unlink(cert);
        unlink(key);
    }
    end_scene(&s);
}

TEST(a_server_that_wants_a_certificate_is_understood)
{
    struct certificate stranger = certificate_make("stranger", NULL, SECONDS, NULL);

    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        check_asked(version, NULL,
                    "the server wants a certificate of its client (tls.cert, tls.key)");
        check_asked(version, &stranger,
                    "the server does not accept our certificate (tls.cert): unknown CA");
    }
    X509_free(stranger.x509);
    EVP_PKEY_free(stranger.key);
}

/* A passphrase is never asked for: there is no terminal, and no time. */
TEST(an_encrypted_key_is_refused)
{
    struct scene s;
    char cert[64], key[64];

    begin_scene(&s, "DNS:redis.test", SECONDS);
    certificate_save(&s.server, false, NULL, cert);
    certificate_save(&s.server, true, "a passphrase", key);
    s.options.cert = cert;
    s.options.key = key;
    CHECK(!context_prepare(&s.options, s.why, sizeof(s.why)));
    CHECK_STR(
        "tls.key: is encrypted: a key without a passphrase is needed, in a file that only its "
        "owner can read",
        s.why);
    CHECK(ERR_peek_error() == 0);
    unlink(cert);
    unlink(key);
    end_scene(&s);
}

/* -- Bytes ----------------------------------------------------------------------------------------- */

TEST(what_is_left_in_openssl_is_known_of)
{
    struct scene s;
    char bytes[64];
    size_t n, written;

    connected(&s);
    for (int i = 0; i < 3; i++)
        REQUIRE(SSL_write(s.ssl, "0123456789012345678901234567890123456789", 40) == 40);
    give_out(&s, SIZE_MAX);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(TLS_DONE, session_read(s.session, bytes, 30, &n, s.why, sizeof(s.why)));
        CHECK_INT(30, n);
        CHECK(session_has_pending(s.session));
    }
    CHECK_INT(TLS_WANTS_READ, session_read(s.session, bytes, 64, &n, s.why, sizeof(s.why)));
    CHECK_INT(30, n);
    CHECK(!session_has_pending(s.session));
    /* A part of a record is nothing that could be read. */
    REQUIRE(SSL_write(s.ssl, "0123456789", 10) == 10);
    written = give_out(&s, 8);
    CHECK_INT(8, written);
    CHECK_INT(TLS_WANTS_READ, session_read(s.session, bytes, 64, &n, s.why, sizeof(s.why)));
    CHECK_INT(0, n);
    CHECK(!session_has_pending(s.session));
    give_out(&s, SIZE_MAX);
    CHECK_INT(TLS_WANTS_READ, session_read(s.session, bytes, 64, &n, s.why, sizeof(s.why)));
    CHECK_INT(10, n);
    end_scene(&s);
}

/* The buffer moves and grows meanwhile, as hiredis's does. */
TEST(what_the_socket_does_not_take_is_sent_later)
{
    enum { LENGTH = 3 << 20, MORE = 1 << 20 };
    struct scene s;
    unsigned char *bytes = malloc(LENGTH), *copy, *got = malloc(LENGTH);
    size_t length = LENGTH - MORE, done = 0, received = 0, n, times = 0;

    connected(&s);
    for (size_t i = 0; i < LENGTH; i++)
        bytes[i] = (unsigned char)(i * 7919 >> 8);
    while (done < LENGTH) {
        enum tls_status status =
            session_write(s.session, (char *)bytes + done, length - done, &n, s.why, sizeof(s.why));
        int part;

        REQUIRE(status == TLS_DONE || status == TLS_WANTS_WRITE);
        times += status == TLS_WANTS_WRITE;
        done += n;
        length = LENGTH;
        copy = malloc(LENGTH);
        memcpy(copy, bytes, LENGTH);
        free(bytes);
        bytes = copy;
        take_in(&s);
        while ((part = SSL_read(s.ssl, got + received, (int)(LENGTH - received))) > 0)
            received += (size_t)part;
    }
    CHECK(times > 2);
    CHECK_INT(LENGTH, received);
    CHECK_MEM(bytes, got, LENGTH);
    free(bytes);
    free(got);
    end_scene(&s);
}

/* The server wants new keys, and an answer, while the socket takes nothing. */
TEST(reading_goes_on_when_it_has_to_write)
{
    struct scene s;
    char block[1 << 15], byte;
    size_t n;
    enum tls_status status;

    connected(&s);
    memset(block, 'x', sizeof(block));
    while (session_write(s.session, block, sizeof(block), &n, s.why, sizeof(s.why)) == TLS_DONE)
        continue;
    REQUIRE(SSL_key_update(s.ssl, SSL_KEY_UPDATE_REQUESTED) == 1);
    REQUIRE(SSL_write(s.ssl, "y", 1) == 1);
    give_out(&s, SIZE_MAX);
    for (int i = 0; i < ROUNDS; i++) {
        status = session_read(s.session, &byte, 1, &n, s.why, sizeof(s.why));
        if (n)
            break;
        REQUIRE(status == TLS_WANTS_WRITE || status == TLS_WANTS_READ);
        take_in(&s);
        while (SSL_read(s.ssl, block, sizeof(block)) > 0)
            continue;
    }
    CHECK_INT(1, n);
    CHECK_INT('y', byte);
    end_scene(&s);
}

/* -- Ends ------------------------------------------------------------------------------------------ */

TEST(what_is_not_tls_is_called_so)
{
    struct scene s;

    begin_scene(&s, "DNS:redis.test", SECONDS);
    begin_session(&s);
    REQUIRE(send(s.fd, "-ERR unknown command\r\n", 22, 0) == 22);
    CHECK_INT(TLS_FAILED, session_handshake(s.session, s.why, sizeof(s.why)));
    CHECK_STR("what the server sends is not TLS: is this the server's TLS port?", s.why);
    end_scene(&s);
}

TEST(ends_are_told)
{
    for (int polite = 0; polite <= 1; polite++) {
        struct scene s;
        char byte;
        size_t n;

        connected(&s);
        if (polite)
            SSL_shutdown(s.ssl);
        give_out(&s, SIZE_MAX);
        shutdown(s.fd, SHUT_WR);
        CHECK_INT(polite ? TLS_CLOSED : TLS_FAILED,
                  session_read(s.session, &byte, 1, &n, s.why, sizeof(s.why)));
        CHECK_STR("the TLS connection is lost: the server closed it", s.why);
        CHECK(ERR_peek_error() == 0);
        end_scene(&s);
    }
}

CHECK_MAIN()
