/*
 * memory.c: the views of this process.  One identity has one view, however many handles use it; the
 * views are found here by a configuration that is loaded anew, which is how a reload keeps its cache.
 */
#include "memory/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/rundir.h"
#include "memory/leftover.h"
#include "memory/segment.h"
#include "memory/view.h"

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct memory *registry;

static void before_fork(void)
{
    pthread_mutex_lock(&registry_lock);
}

static void after_fork(void)
{
    pthread_mutex_unlock(&registry_lock);
}

/* Workers made by fork would otherwise all count in their master's block. */
static void in_child(void)
{
    for (struct memory *m = registry; m; m = m->next)
        view_choose_counters(m);
    pthread_mutex_unlock(&registry_lock);
}

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void watch_forks(void)
{
    pthread_atfork(before_fork, after_fork, in_child);
}

/* -- Meeting in a file --------------------------------------------------------------------------- */

/* The last of those who meet in a file removes it: each holds a shared lock on it as long as it lives,
 * and the one who can have it alone is the last.  That is tried on a file of its own, because a child of
 * fork() has its parent's, with the same lock. */
static void leave(struct memory *m)
{
    int fd;

    if (m->meeting_fd < 0)
        return;
    fd = open(m->meeting_path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    close(m->meeting_fd);
    if (fd < 0)
        return;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 && leftover_is_named(fd, m->meeting_path))
        unlink(m->meeting_path);
    close(fd);
}

/* Takes part in the file's use.  -1 when it has just been, or is being, removed by its last user. */
static int take_part(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0)
        return -1;
    if (flock(fd, LOCK_SH | LOCK_NB) == 0 && leftover_is_named(fd, path))
        return fd;
    close(fd);
    return -1;
}

/* Builds of different layouts, as before and after an upgrade, do not meet. */
static uint64_t meeting_of(const struct memory_config *config)
{
    char fingerprint[128];

    layout_fingerprint(fingerprint, sizeof(fingerprint));
    return hash_bytes(config->identity, strlen(config->identity),
                      hash_bytes(fingerprint, strlen(fingerprint), 0));
}

static struct layout_header *meet(struct memory *m, const struct memory_config *config,
                                  const struct segment_config *segment, char *error,
                                  size_t error_size)
{
    const struct timespec nap = {0, 10000000};
    char directory[1024], path[2048];

    if (rundir_open(config->runtime_dir, directory, sizeof(directory), error, error_size) != 0)
        return NULL;
    leftover_remove_met(directory);
    snprintf(path, sizeof(path), "%s/%s-%016llx-%s.segment", directory, config->name,
             (unsigned long long)meeting_of(config), config->rendezvous);
    m->meeting_path = alloc_copy(path, strlen(path));
    for (int i = 0; m->meeting_path && i < 100; i++) {
        struct layout_header *header = segment_meet(segment, path, error, error_size);

        if (!header)
            return NULL;
        m->meeting_fd = take_part(path);
        if (m->meeting_fd >= 0)
            return header;
        segment_unmap(header, segment->bytes);
        nanosleep(&nap, NULL);
    }
    snprintf(error, error_size, "cannot take part in %s: %s", path, strerror(errno));
    return NULL;
}

/* -- Views --------------------------------------------------------------------------------------- */

/* Without the rendezvous: a segment inherited from a parent serves as well. */
static char *full_identity(const struct memory_config *config)
{
    char text[4096];
    int n =
        snprintf(text, sizeof(text), "%s\n%s", config->identity, config->path ? config->path : "");

    return n < (int)sizeof(text) ? alloc_copy(text, (size_t)n) : NULL;
}

static void free_view(struct memory *m)
{
    leave(m);
    if (m->header)
        segment_unmap(m->header, m->bytes);
    alloc_free(m->meeting_path);
    alloc_free(m->identity);
    alloc_free(m);
}

static struct memory *make_view(const struct memory_config *config, char *error, size_t error_size)
{
    struct segment_config segment = {
        config->name,
        config->identity,
        config->bytes,
        {config->with_redis, config->with_tags, config->entry_size, config->with_lanes}};
    struct memory *m = alloc_zeroed(sizeof(*m));

    if (!m) {
        snprintf(error, error_size, "no memory");
        return NULL;
    }
    m->meeting_fd = -1;
    m->bytes = config->bytes;
    if (config->path)
        m->header = segment_meet(&segment, config->path, error, error_size);
    else if (config->rendezvous)
        m->header = meet(m, config, &segment, error, error_size);
    else
        m->header = segment_make(&segment, error, error_size);
    if (!m->header) {
        free_view(m);
        return NULL;
    }
    view_init(m, m->header, config->bytes, &segment.wants);
    return m;
}

static struct memory *find_or_make(const struct memory_config *config, char *identity, char *error,
                                   size_t error_size)
{
    struct memory *m;

    for (m = registry; m; m = m->next) {
        if (strcmp(m->identity, identity) == 0) {
            alloc_free(identity);
            m->references++;
            return m;
        }
    }
    m = make_view(config, error, error_size);
    if (!m) {
        alloc_free(identity);
        return NULL;
    }
    m->identity = identity;
    m->references = 1;
    m->next = registry;
    registry = m;
    return m;
}

int memory_open(const struct memory_config *config, struct memory **memory, char *error,
                size_t error_size)
{
    char *identity;

    if (strlen(config->identity) >= sizeof(((struct layout_header *)0)->identity)) {
        snprintf(error, error_size,
                 "the names of the cache, its server and its prefix are too "
                 "long together");
        return MEMORY_SYSTEM;
    }
    identity = full_identity(config);
    if (!identity) {
        snprintf(error, error_size, "no memory, or the path is too long");
        return MEMORY_SYSTEM;
    }
    pthread_once(&once, watch_forks);
    pthread_mutex_lock(&registry_lock);
    *memory = find_or_make(config, identity, error, error_size);
    pthread_mutex_unlock(&registry_lock);
    return *memory ? MEMORY_OK : MEMORY_SYSTEM;
}

static int attached(struct memory *m, bool read_only, struct memory **memory, char *error,
                    size_t error_size)
{
    char identity[64];

    m->references = 1;
    if (!read_only) { /* nobody else's: no configuration has such an identity */
        snprintf(identity, sizeof(identity), "\nattached %p", (void *)m);
        m->identity = alloc_copy(identity, strlen(identity));
    }
    if (!read_only && !m->identity) {
        free_view(m);
        snprintf(error, error_size, "no memory");
        return MEMORY_SYSTEM;
    }
    if (!read_only) {
        pthread_mutex_lock(&registry_lock);
        m->next = registry;
        registry = m;
        pthread_mutex_unlock(&registry_lock);
    }
    *memory = m;
    return MEMORY_OK;
}

int memory_attach(const char *path, bool read_only, struct memory **memory,
                  struct memory_description *description, char *error, size_t error_size)
{
    struct memory *m = alloc_zeroed(sizeof(*m));

    if (!m) {
        snprintf(error, error_size, "no memory");
        return MEMORY_SYSTEM;
    }
    m->meeting_fd = -1;
    m->header = segment_find(path, read_only, description, error, error_size);
    if (!m->header) {
        free_view(m);
        return MEMORY_SYSTEM;
    }
    m->bytes = description->bytes;
    m->read_only = read_only;
    pthread_once(&once, watch_forks);
    view_init(m, m->header, description->bytes,
              &(struct layout_wants){description->with_redis, description->with_tags,
                                     description->entry_size, description->with_lanes});
    if (!read_only && !view_is_sound(m)) {
        free_view(m);
        snprintf(error, error_size, "%s is damaged: its locks are none", path);
        return MEMORY_SYSTEM;
    }
    return attached(m, read_only, memory, error, error_size);
}

void memory_close(struct memory *memory)
{
    struct memory **link = &registry;

    if (!memory)
        return;
    if (memory->read_only) {
        free_view(memory);
        return;
    }
    pthread_mutex_lock(&registry_lock);
    if (--memory->references == 0) {
        while (*link != memory)
            link = &(*link)->next;
        *link = memory->next;
        free_view(memory);
    }
    pthread_mutex_unlock(&registry_lock);
}

size_t memory_value_limit(const struct memory *memory)
{
    return memory->layout.value_limit;
}
