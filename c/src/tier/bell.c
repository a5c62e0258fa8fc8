#include "tier/bell.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/rundir.h"
#include "tier/process.h"

enum { NAME_TRIES = 64, BACKLOG = 16, ACCEPTS_MAX = 64, LEFTOVERS_MAX = 256 };

struct bell {
    struct bell *next; /* under the process lock */
    pid_t pid;
    int fd;
    struct sockaddr_un address;
};

static struct bell *bells;   /* of this process; process lock */
static unsigned last_number; /* process lock */
static bool removed_at_exit; /* process lock */

/* -- Files --------------------------------------------------------------------------------------- */

static void remove_all_at_exit(void)
{
    pid_t pid = getpid();

    process_lock();
    for (struct bell *b = bells; b; b = b->next) {
        if (b->pid == pid)
            unlink(b->address.sun_path);
    }
    process_unlock();
}

/* The file of a process that was killed: its pid is not in use, and nobody listens.  (The pid alone
 * does not tell: the process may live in another pid namespace.) */
static bool is_leftover(const char *name, const struct sockaddr_un *address)
{
    struct sockaddr_un peer = *address;
    long pid;
    int fd;
    bool refused;

    if (sscanf(name, "bell-%ld-", &pid) != 1 || pid <= 0)
        return false;
    if (kill((pid_t)pid, 0) == 0 || errno != ESRCH)
        return false;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    refused = connect(fd, (struct sockaddr *)&peer, sizeof(peer)) != 0 && errno == ECONNREFUSED;
    close(fd);
    return refused;
}

static int set_address(struct sockaddr_un *address, const char *directory, const char *name)
{
    int n = snprintf(address->sun_path, sizeof(address->sun_path), "%s/%s", directory, name);

    address->sun_family = AF_UNIX;
    return n < (int)sizeof(address->sun_path) ? 0 : -1;
}

static void remove_leftovers(const char *directory)
{
    DIR *dir = opendir(directory);
    struct dirent *found;

    if (!dir)
        return;
    for (int i = 0; i < LEFTOVERS_MAX && (found = readdir(dir)) != NULL; i++) {
        struct sockaddr_un address;

        if (strncmp(found->d_name, "bell-", 5) == 0 &&
            set_address(&address, directory, found->d_name) == 0 &&
            is_leftover(found->d_name, &address))
            unlink(address.sun_path);
    }
    closedir(dir);
}

/* -- The socket ---------------------------------------------------------------------------------- */

static unsigned next_number(void)
{
    unsigned number;

    process_lock();
    number = ++last_number;
    process_unlock();
    return number;
}

/* Binds to a name that nobody has.  0, or an errno. */
static int bind_somewhere(struct bell *bell, const char *directory)
{
    char name[64];

    for (int i = 0; i < NAME_TRIES; i++) {
        snprintf(name, sizeof(name), "bell-%ld-%u", (long)bell->pid, next_number());
        if (set_address(&bell->address, directory, name) != 0)
            return ENAMETOOLONG;
        if (bind(bell->fd, (struct sockaddr *)&bell->address, sizeof(bell->address)) == 0)
            return 0;
        if (errno != EADDRINUSE)
            return errno;
    }
    return EADDRINUSE;
}

static int listen_in(struct bell *bell, const char *directory, char *error, size_t error_size)
{
    int rc;

    bell->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (bell->fd < 0) {
        snprintf(error, error_size, "cannot make a unix socket: %s", strerror(errno));
        return -1;
    }
    rc = bind_somewhere(bell, directory);
    if (rc == ENAMETOOLONG) {
        snprintf(error, error_size,
                 "runtime_dir: a unix socket in %s would have a name of more than %zu bytes",
                 directory, sizeof(bell->address.sun_path) - 1);
        return -1;
    }
    if (rc) {
        snprintf(error, error_size, "cannot make a unix socket in %s: %s", directory, strerror(rc));
        return -1;
    }
    if (listen(bell->fd, BACKLOG) != 0) {
        snprintf(error, error_size, "cannot listen on %s: %s", bell->address.sun_path,
                 strerror(errno));
        unlink(bell->address.sun_path);
        return -1;
    }
    return 0;
}

/* False: a bell whose file would outlive the process is not made. */
static bool enlist(struct bell *bell)
{
    bool ok;

    process_lock();
    if (!removed_at_exit)
        removed_at_exit = atexit(remove_all_at_exit) == 0;
    ok = removed_at_exit;
    if (ok) {
        bell->next = bells;
        bells = bell;
    }
    process_unlock();
    return ok;
}

struct bell *bell_open(const char *runtime_dir, char *error, size_t error_size)
{
    char directory[1024];
    struct bell *bell;

    if (rundir_open(runtime_dir, directory, sizeof(directory), error, error_size) != 0)
        return NULL;
    remove_leftovers(directory);
    bell = alloc_zeroed(sizeof(*bell));
    if (!bell) {
        snprintf(error, error_size, "no memory");
        return NULL;
    }
    bell->pid = getpid();
    if (listen_in(bell, directory, error, error_size) != 0) {
        if (bell->fd >= 0)
            close(bell->fd);
        alloc_free(bell);
        return NULL;
    }
    if (!enlist(bell)) {
        snprintf(error, error_size, "no memory");
        bell_close(bell);
        return NULL;
    }
    return bell;
}

const char *bell_path(const struct bell *bell)
{
    return bell->address.sun_path;
}

bool bell_reachable(const struct bell *bell)
{
    struct stat st;

    return lstat(bell->address.sun_path, &st) == 0 && S_ISSOCK(st.st_mode);
}

static bool is_our_own(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.pid == getpid();
}

int bell_accept(struct bell *bell)
{
    int newest = -1, failure = EAGAIN;

    for (int i = 0; i < ACCEPTS_MAX; i++) {
        int fd = accept4(bell->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0) {
            failure = errno;
            break;
        }
        if (is_our_own(fd)) {
            if (newest >= 0)
                close(newest);
            newest = fd;
        } else {
            close(fd);
        }
    }
    errno = failure;
    return newest;
}

void bell_close(struct bell *bell)
{
    struct bell **link = &bells;

    if (!bell)
        return;
    process_lock();
    while (*link && *link != bell)
        link = &(*link)->next;
    if (*link)
        *link = bell->next;
    process_unlock();
    unlink(bell->address.sun_path);
    close(bell->fd);
    alloc_free(bell);
}

void bell_forget(struct bell *bell)
{
    alloc_free(bell);
}

/* A child that kept the parent's socket open would let connections in that nobody ever takes. */
void bell_after_fork(void)
{
    for (struct bell *b = bells; b; b = b->next)
        close(b->fd);
    bells = NULL;
}
