/*
 * find.c: segments that others have made, for tools.  A file is opened, looked at and mapped; it is never
 * made, removed, replaced or cut.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "memory/layout.h"
#include "memory/memory.h"
#include "memory/segment.h"

#define LEAST_BYTES (UINT64_C(1) << 20)
#define MOST_BYTES (UINT64_C(256) << 30)

/* Text from a file, for people. */
static void show(char *to, size_t size, const char *text, size_t length)
{
    size_t n = 0;

    for (; n < length && n + 1 < size && text[n]; n++)
        to[n] = text[n] >= 0x20 && text[n] < 0x7f ? text[n] : '?';
    to[n] = '\0';
}

/* True: it can be mapped.  Else error says why not. */
static bool fits(const struct layout_header *h, uint64_t file_size, const char *path, char *error,
                 size_t error_size)
{
    char ours[sizeof(h->fingerprint)], theirs[sizeof(h->fingerprint)];

    if (file_size < LAYOUT_PAGE || memcmp(h->magic, LAYOUT_MAGIC, sizeof(LAYOUT_MAGIC)) != 0) {
        snprintf(error, error_size, "%s is not a tandem segment", path);
        return false;
    }
    layout_fingerprint(ours, sizeof(ours));
    if (strncmp(h->fingerprint, ours, sizeof(ours)) != 0) {
        show(theirs, sizeof(theirs), h->fingerprint, sizeof(h->fingerprint));
        snprintf(
            error, error_size,
            "%s is a segment of another build of this library, or of before the last boot: it says "
            "%s, and this build %s",
            path, theirs, ours);
        return false;
    }
    if (h->bytes != file_size || h->bytes < LEAST_BYTES || h->bytes > MOST_BYTES) {
        snprintf(error, error_size, "%s is damaged: it has %llu of %llu bytes", path,
                 (unsigned long long)file_size, (unsigned long long)h->bytes);
        return false;
    }
    if (h->with_redis > 1 || h->with_tags > 1 || h->with_lanes > 1 || h->entry_size > UINT32_MAX ||
        !memchr(h->name, '\0', sizeof(h->name)) ||
        !memchr(h->identity, '\0', sizeof(h->identity)) ||
        h->identity_hash != hash_bytes(h->identity, strlen(h->identity), 0)) {
        snprintf(error, error_size, "%s is damaged: its header makes no sense", path);
        return false;
    }
    return true;
}

static struct layout_header *map_checked(int fd, const char *path, bool read_only,
                                         struct memory_description *d, char *error,
                                         size_t error_size)
{
    alignas(64) char page[LAYOUT_PAGE] = {0};
    const struct layout_header *h = (const void *)page;
    struct stat st;
    void *at;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        snprintf(error, error_size, "%s is not a regular file", path);
        return NULL;
    }
    if (pread(fd, page, sizeof(page), 0) < 0) {
        snprintf(error, error_size, "cannot read %s: %s", path, strerror(errno));
        return NULL;
    }
    if (!fits(h, (uint64_t)st.st_size, path, error, error_size))
        return NULL;
    d->bytes = h->bytes;
    d->with_redis = h->with_redis == 1;
    d->with_tags = h->with_tags == 1;
    d->entry_size = (uint32_t)h->entry_size;
    d->with_lanes = h->with_lanes == 1;
    show(d->name, sizeof(d->name), h->name, sizeof(h->name));
    show(d->identity, sizeof(d->identity), h->identity, sizeof(h->identity));
    at = mmap(NULL, d->bytes, PROT_READ | (read_only ? 0 : PROT_WRITE), MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) {
        snprintf(error, error_size, "cannot map %s: %s", path, strerror(errno));
        return NULL;
    }
    return at;
}

/* A name that leads elsewhere is fine: those in /proc/PID/map_files do. */
struct layout_header *segment_find(const char *path, bool read_only,
                                   struct memory_description *description, char *error,
                                   size_t error_size)
{
    struct layout_header *header;
    int fd = open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0) {
        snprintf(error, error_size, "cannot open %s: %s", path, strerror(errno));
        return NULL;
    }
    header = map_checked(fd, path, read_only, description, error, error_size);
    close(fd);
    return header;
}
