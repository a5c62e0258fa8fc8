#include "memory/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "memory/leftover.h"
#include "memory/lock.h"
#include "memory/shard.h"

enum { ATTEMPTS = 500, NAP_NS = 20000000 }; /* ten seconds */

/* -- Making -------------------------------------------------------------------------------------- */

static uint64_t draw(void)
{
    uint64_t n = 0;

    if (getrandom(&n, sizeof(n), GRND_NONBLOCK) != sizeof(n)) {
        int64_t now_us = clock_now_us();

        n = hash_bytes(&now_us, sizeof(now_us), (uint64_t)getpid());
    }
    return n;
}

static void begin_lanes(struct layout_lanes *lanes, uint32_t epoch)
{
    atomic_init(&lanes->epoch, epoch);
    for (unsigned lane = 0; lane < LANES; lane++)
        atomic_init(&lanes->of[lane].epoch, epoch);
}

/* Versions and counters that only grow begin anywhere, so that what was remembered of an older segment
 * at the same address does not fit this one. */
static int initialise(struct layout_header *header, const struct segment_config *config)
{
    struct memory view = {0};
    uint32_t start = (uint32_t)draw() & ~1u;

    header->bytes = config->bytes;
    header->seed = draw();
    header->identity_hash = hash_bytes(config->identity, strlen(config->identity), 0);
    header->with_redis = config->wants.redis;
    header->with_tags = config->wants.tags;
    header->entry_size = config->wants.entry_size;
    header->with_lanes = config->wants.lanes;
    snprintf(header->name, sizeof(header->name), "%s", config->name);
    snprintf(header->identity, sizeof(header->identity), "%s", config->identity);
    atomic_init(&header->epoch, start);
    atomic_init(&header->floor, start);
    view_init(&view, header, config->bytes, &config->wants);
    if (view.lanes)
        begin_lanes(view.lanes, start);
    for (uint64_t i = 0; i < (uint64_t)view.layout.shards * view.layout.buckets; i++) {
        for (int slot = 0; slot < LAYOUT_SLOTS; slot++)
            atomic_init(view.buckets[i].version + slot, start);
        atomic_init(&view.buckets[i].inval, start);
        atomic_init(&view.buckets[i].wseq, start);
    }
    for (uint32_t shard = 0; shard < view.layout.shards; shard++) {
        int rc = lock_init(&view_shard(&view, shard)->mutex);

        if (rc)
            return rc;
        shard_reset_locked(&view, shard);
    }
    if (lock_init(&header->replay_mutex) != 0)
        return EINVAL;
    for (int i = 0; i < LAYOUT_FLIGHT_LOCKS; i++)
        if (lock_init(header->flight_mutex + i) != 0)
            return EINVAL;
    layout_fingerprint(header->fingerprint, sizeof(header->fingerprint));
    memcpy(header->magic, LAYOUT_MAGIC, sizeof(LAYOUT_MAGIC));
    return 0;
}

/* In huge pages, where the system has them for shared memory of those who ask (shmem_enabled): a key's bucket
 * and its record are each in another page, and to find a page takes about as long as to load from it. */
static struct layout_header *map(int fd, uint64_t bytes)
{
    int flags = MAP_SHARED | (fd < 0 ? MAP_ANONYMOUS : 0);
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);

    if (memory == MAP_FAILED)
        return NULL;
    (void)madvise(memory, bytes, MADV_HUGEPAGE);
    return memory;
}

struct layout_header *segment_make(const struct segment_config *config, char *error,
                                   size_t error_size)
{
    struct layout_header *header = map(-1, config->bytes);
    int rc = header ? initialise(header, config) : errno;

    if (rc == 0)
        return header;
    snprintf(error, error_size, "cannot make a segment of %llu bytes: %s",
             (unsigned long long)config->bytes, strerror(rc));
    if (header)
        munmap(header, config->bytes);
    return NULL;
}

void segment_unmap(struct layout_header *header, uint64_t bytes)
{
    munmap(header, bytes);
}

/* -- Files --------------------------------------------------------------------------------------- */

enum file_state { FILE_FITS, FILE_OUTDATED, FILE_FOREIGN };

static enum file_state judge(const struct layout_header *found, uint64_t file_size,
                             const struct segment_config *config, const char *path, char *error,
                             size_t error_size)
{
    char fingerprint[sizeof(found->fingerprint)];

    if (file_size < LAYOUT_PAGE || memcmp(found->magic, LAYOUT_MAGIC, sizeof(LAYOUT_MAGIC)) != 0) {
        snprintf(error, error_size, "%s is not a tandem segment, and is left alone", path);
        return FILE_FOREIGN;
    }
    layout_fingerprint(fingerprint, sizeof(fingerprint));
    if (strncmp(found->fingerprint, fingerprint, sizeof(fingerprint)) != 0)
        return FILE_OUTDATED;
    if (found->identity_hash != hash_bytes(config->identity, strlen(config->identity), 0) ||
        strncmp(found->identity, config->identity, sizeof(found->identity)) != 0) {
        snprintf(error, error_size, "%s belongs to another cache: it was made for %.*s, not for %s",
                 path, (int)sizeof(found->identity), found->identity, config->identity);
        return FILE_FOREIGN;
    }
    if (found->with_redis != config->wants.redis || found->with_tags != config->wants.tags ||
        found->entry_size != config->wants.entry_size || found->with_lanes != config->wants.lanes)
        return FILE_OUTDATED;
    if (found->bytes != config->bytes || file_size != config->bytes) {
        snprintf(error, error_size, "%s is damaged: it has %llu of %llu bytes; remove it", path,
                 (unsigned long long)file_size, (unsigned long long)config->bytes);
        return FILE_FOREIGN;
    }
    return FILE_FITS;
}

/* An empty file under a name of its own, which is locked, so that nobody takes it for a leftover: -1. */
static int begin(const char *path, char *temporary, size_t size, char *error, size_t error_size)
{
    for (int i = 0; i < ATTEMPTS; i++) {
        int fd;

        if (snprintf(temporary, size, "%s.new-%d-%08x", path, (int)getpid(), (unsigned)draw()) >=
            (int)size) {
            snprintf(error, error_size, "%s: the path is too long", path);
            return -1;
        }
        fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0) {
            snprintf(error, error_size, "cannot make %s: %s", path, strerror(errno));
            return -1;
        }
        if (flock(fd, LOCK_EX | LOCK_NB) == 0 && leftover_is_named(fd, temporary))
            return fd;
        close(fd); /* it was taken for one, before it was locked */
    }
    snprintf(error, error_size, "%s is being removed all the time", temporary);
    return -1;
}

/* A new file, complete, under a name of its own.  Its descriptor, locked, or -1 with error. */
static int prepare(const struct segment_config *config, const char *path, char *temporary,
                   size_t size, char *error, size_t error_size)
{
    struct layout_header *header;
    int fd, rc;

    leftover_remove_begun(path);
    fd = begin(path, temporary, size, error, error_size);
    if (fd < 0)
        return -1;
    /* ftruncate alone succeeds on a full file system, and the first touch is a SIGBUS. */
    rc = posix_fallocate(fd, 0, (off_t)config->bytes);
    header = rc ? NULL : map(fd, config->bytes);
    if (!rc)
        rc = header ? initialise(header, config) : errno;
    if (header)
        munmap(header, config->bytes);
    if (rc == 0)
        return fd;
    snprintf(error, error_size, "cannot make %s of %llu bytes: %s", path,
             (unsigned long long)config->bytes, strerror(rc));
    unlink(temporary);
    close(fd);
    return -1;
}

/* Makes the file where there is none.  1: made (*header); 0: somebody else was quicker; -1: error. */
static int create(const struct segment_config *config, const char *path,
                  struct layout_header **header, char *error, size_t error_size)
{
    char temporary[4096];
    int fd = prepare(config, path, temporary, sizeof(temporary), error, error_size);
    int made;

    if (fd < 0)
        return -1;
    made = link(temporary, path) == 0 ? 1 : errno == EEXIST ? 0 : -1;
    if (made < 0)
        snprintf(error, error_size, "cannot make %s: %s", path, strerror(errno));
    unlink(temporary);
    flock(fd, LOCK_UN); /* a child of fork() may have it, too */
    if (made == 1 && (*header = map(fd, config->bytes)) == NULL) {
        snprintf(error, error_size, "cannot map %s: %s", path, strerror(errno));
        made = -1;
    }
    close(fd);
    return made;
}

/* Puts a new file in the place of an outdated one, whose lock is held so that only one process does.
 * Those who still have the old one mapped can tell by its header. */
static int replace(const struct segment_config *config, const char *path, int old_fd, char *error,
                   size_t error_size)
{
    char temporary[4096];
    struct layout_header *old;
    int fd = prepare(config, path, temporary, sizeof(temporary), error, error_size);

    if (fd < 0)
        return -1;
    if (rename(temporary, path) != 0) {
        snprintf(error, error_size, "cannot replace %s: %s", path, strerror(errno));
        unlink(temporary);
        close(fd);
        return -1;
    }
    flock(fd, LOCK_UN);
    close(fd);
    old = map(old_fd, LAYOUT_PAGE);
    if (old) {
        atomic_store_explicit(&old->superseded, 1, memory_order_release);
        munmap(old, LAYOUT_PAGE);
    }
    return 0;
}

static bool locks_are_sound(struct layout_header *header, const struct segment_config *config)
{
    struct memory view = {0};

    view_init(&view, header, config->bytes, &config->wants);
    return view_is_sound(&view);
}

/* 1: attached (*header); 0: look again; -1: error. */
static int attach(const struct segment_config *config, const char *path, int fd,
                  struct layout_header **header, char *error, size_t error_size)
{
    alignas(64) char page[LAYOUT_PAGE] = {0};
    struct stat st;
    int rc;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        snprintf(error, error_size, "%s is not a regular file", path);
        return -1;
    }
    if (pread(fd, page, sizeof(page), 0) < 0) {
        snprintf(error, error_size, "cannot read %s: %s", path, strerror(errno));
        return -1;
    }
    switch (judge((const void *)page, (uint64_t)st.st_size, config, path, error, error_size)) {
    case FILE_FITS:
        *header = map(fd, config->bytes);
        if (*header && locks_are_sound(*header, config))
            return 1;
        if (*header) {
            munmap(*header, config->bytes);
            snprintf(error, error_size, "%s is damaged: its locks are none; remove it", path);
            return -1;
        }
        snprintf(error, error_size, "cannot map %s: %s", path, strerror(errno));
        return -1;
    case FILE_OUTDATED:
        if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
            nanosleep(&(struct timespec){0, NAP_NS}, NULL);
            return 0; /* whoever has it replaces the file, and may be stopped */
        }
        rc = leftover_is_named(fd, path) ? replace(config, path, fd, error, error_size) : 0;
        flock(fd, LOCK_UN);
        return rc;
    case FILE_FOREIGN:
        break;
    }
    return -1;
}

struct layout_header *segment_meet(const struct segment_config *config, const char *path,
                                   char *error, size_t error_size)
{
    struct layout_header *header = NULL;
    int rc = 0;

    for (int i = 0; rc == 0 && i < ATTEMPTS; i++) {
        int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

        if (fd >= 0) {
            rc = attach(config, path, fd, &header, error, error_size);
            close(fd);
        } else if (errno == ENOENT) {
            rc = create(config, path, &header, error, error_size);
        } else {
            snprintf(error, error_size, "cannot open %s: %s", path, strerror(errno));
            rc = -1;
        }
    }
    if (rc == 0)
        snprintf(error, error_size, "%s is being replaced all the time", path);
    return rc == 1 ? header : NULL;
}
