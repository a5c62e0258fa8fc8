#include "redis/secure.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define NEEDED "rediss:// needs "

/* Held by whoever is in the library: OpenSSL has locks of its own, which a fork would copy as they are. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void secure_before_fork(void)
{
    pthread_mutex_lock(&lock);
}

void secure_after_fork(void)
{
    pthread_mutex_unlock(&lock);
}

#if HIREDIS_MAJOR < 1

/* It has no place for functions to read and write by. */
struct tls_context *secure_prepare(const struct tls_options *options, char *error, size_t size)
{
    (void)options;
    snprintf(error, size,
             NEEDED
             "hiredis 1.0 or newer, and this library is built with %d.%d.%d: install a newer "
             "libhiredis-dev (Debian 13 has 1.2) and build again, or put a TLS proxy "
             "(stunnel, say) on this host between it and Redis",
             HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH);
    return NULL;
}

void secure_discard(struct tls_context *context)
{
    (void)context;
}

bool secure_begin(struct secure *secure, const struct tls_context *context, const char *host,
                  redisContext *c)
{
    (void)secure, (void)context, (void)host, (void)c;
    return false;
}

enum tls_status secure_handshake(struct secure *secure)
{
    (void)secure;
    return TLS_FAILED;
}

void secure_end(struct secure *secure)
{
    (void)secure;
}

bool secure_has_pending(const struct secure *secure)
{
    (void)secure;
    return false;
}

#else

#include <dlfcn.h>
#include <errno.h>
#include <hiredis/sds.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "tandem.h"

#define LIBRARY "libtandem_tls.so"

/* Under the lock; never closed. */
static const struct tls_library *library;

/* -- The library ----------------------------------------------------------------------------------- */

/* OpenSSL's functions have versions since 1.1, by which the linker tells its libraries apart.  Other
 * libraries of such functions are called alike: LibreSSL's is libssl.so.48, or so. */
static bool is_openssl(const char *file)
{
    const char *version = strstr(file, "libssl.so.");

    if (!version)
        return false;
    version += strlen("libssl.so.");
    return strcmp(version, "1.1") == 0 || (*version >= '3' && *version <= '9' && !version[1]);
}

/* A host program that has an OpenSSL of its own built in, or is linked with what stands for one, may show
 * those functions to all libraries of the process: then ours has to prefer those that it was linked with. */
static bool is_shown_another(void)
{
    const void *theirs = dlsym(RTLD_DEFAULT, "SSL_new");
    Dl_info owner;

    return theirs && dladdr(theirs, &owner) != 0 && owner.dli_fname && !is_openssl(owner.dli_fname);
}

#ifdef RTLD_DEEPBIND
enum { PREFER_OWN = RTLD_DEEPBIND };
#else
enum { PREFER_OWN = 0 }; /* musl has no way to say so */
#endif

/* The library in the folder of the file that this function is in, links followed. */
static bool find_library(char path[PATH_MAX])
{
    static const char here;
    Dl_info self;
    char *slash;

    if (dladdr(&here, &self) == 0 || !self.dli_fname || !realpath(self.dli_fname, path))
        return false;
    slash = strrchr(path, '/');
    if (!slash || (size_t)(slash + 1 - path) + sizeof(LIBRARY) > PATH_MAX)
        return false;
    memcpy(slash + 1, LIBRARY, sizeof(LIBRARY));
    return true;
}

static const struct tls_library *load_library(const char *path, char *error, size_t size)
{
    bool another = is_shown_another();
    const struct tls_library *found = NULL;
    void *handle;

    if (another && !PREFER_OWN) {
        snprintf(error, size,
                 NEEDED
                 "the system's OpenSSL, and this program has another, from which the C library "
                 "(musl) cannot tell it: use an nginx that is linked with the system's, or a "
                 "TLS proxy on this host");
        return NULL;
    }
    handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE | (another ? PREFER_OWN : 0));
    if (handle)
        found = dlsym(handle, "tandem_tls");
    if (!found) {
        const char *reason = dlerror();

        snprintf(error, size,
                 NEEDED LIBRARY ", which cannot be loaded: %s (OpenSSL's library is libssl3)",
                 reason ? reason : "unknown reason");
    }
    return found;
}

static bool open_library(char *error, size_t size)
{
    const struct tls_library *found;
    char path[PATH_MAX];

    if (!find_library(path) || access(path, F_OK) != 0) {
        snprintf(error, size,
                 NEEDED LIBRARY " beside libtandem.so, and it is not there: install libssl-dev and "
                                "build again (make says whether it builds it)");
        return false;
    }
    found = load_library(path, error, size);
    if (!found)
        return false;
    if (found->size != sizeof(*found) || strcmp(found->version, TANDEM_VERSION) != 0) {
        snprintf(error, size,
                 NEEDED "the " LIBRARY " of the same build as libtandem.so, and this is another: "
                        "install both together");
        return false;
    }
    library = found;
    return true;
}

struct tls_context *secure_prepare(const struct tls_options *options, char *error, size_t size)
{
    struct tls_context *context = NULL;

    pthread_mutex_lock(&lock);
    if (library || open_library(error, size))
        context = library->prepare(options, error, size);
    pthread_mutex_unlock(&lock);
    return context;
}

void secure_discard(struct tls_context *context)
{
    if (!context)
        return;
    pthread_mutex_lock(&lock);
    library->discard(context);
    pthread_mutex_unlock(&lock);
}

/* -- What hiredis reads and writes by --------------------------------------------------------------- */

/* hiredis's own functions, but for these two.  The I/O thread's alone. */
static redisContextFuncs functions;

static ssize_t fail(redisContext *c, const struct secure *secure, enum tls_status status)
{
    c->err = status == TLS_CLOSED ? REDIS_ERR_EOF : REDIS_ERR_IO;
    snprintf(c->errstr, sizeof(c->errstr), "%s", secure->why);
    return -1;
}

/* What came before a failure is passed on first: the next call fails again. */
static ssize_t read_some(redisContext *c, char *bytes, size_t room)
{
    struct secure *secure = c->privctx;
    size_t count;
    enum tls_status status;

    pthread_mutex_lock(&lock);
    status = library->read(secure->session, bytes, room, &count, secure->why, sizeof(secure->why));
    pthread_mutex_unlock(&lock);
    secure->read_wants_write = status == TLS_WANTS_WRITE;
    if (count == 0 && (status == TLS_FAILED || status == TLS_CLOSED))
        return fail(c, secure, status);
    return (ssize_t)count;
}

static ssize_t write_some(redisContext *c)
{
    struct secure *secure = c->privctx;
    size_t count;
    enum tls_status status;

    pthread_mutex_lock(&lock);
    status = library->write(secure->session, c->obuf, sdslen(c->obuf), &count, secure->why,
                            sizeof(secure->why));
    pthread_mutex_unlock(&lock);
    secure->write_wants_read = status == TLS_WANTS_READ;
    if (status == TLS_FAILED || status == TLS_CLOSED)
        return fail(c, secure, status);
    return (ssize_t)count;
}

/* -- Sessions --------------------------------------------------------------------------------------- */

bool secure_begin(struct secure *secure, const struct tls_context *context, const char *host,
                  redisContext *c)
{
    pthread_mutex_lock(&lock);
    *secure = (struct secure){.session = library->begin(context, host, c->fd)};
    pthread_mutex_unlock(&lock);
    if (!secure->session)
        return false;
    functions = *c->funcs;
    functions.read = read_some;
    functions.write = write_some;
    functions.free_privctx = NULL; /* the session is conn.c's to end */
    c->funcs = &functions;
    c->privctx = secure;
    return true;
}

enum tls_status secure_handshake(struct secure *secure)
{
    enum tls_status status;

    pthread_mutex_lock(&lock);
    status = library->handshake(secure->session, secure->why, sizeof(secure->why));
    pthread_mutex_unlock(&lock);
    secure->read_wants_write = status == TLS_WANTS_WRITE;
    return status;
}

void secure_end(struct secure *secure)
{
    if (!secure->session)
        return;
    pthread_mutex_lock(&lock);
    library->end(secure->session);
    pthread_mutex_unlock(&lock);
    *secure = (struct secure){0};
}

bool secure_has_pending(const struct secure *secure)
{
    bool pending;

    if (!secure->session)
        return false;
    pthread_mutex_lock(&lock);
    pending = library->has_pending(secure->session);
    pthread_mutex_unlock(&lock);
    return pending;
}

#endif
