#include "memory/leftover.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOOKED_AT_MOST = 4096 };

#define BEGUN ".new-"
#define MET ".segment"

bool leftover_is_named(int fd, const char *path)
{
    struct stat open_one, named;

    return fstat(fd, &open_one) == 0 && lstat(path, &named) == 0 &&
           open_one.st_ino == named.st_ino && open_one.st_dev == named.st_dev;
}

static void remove_unless_used(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
        flock(fd, LOCK_EX | LOCK_NB) == 0 && leftover_is_named(fd, path))
        unlink(path);
    close(fd);
}

/* name NULL: any. */
static bool is_begun(const char *file, const char *name)
{
    size_t length = name ? strlen(name) : 0;

    if (!name)
        return strstr(file, MET BEGUN) != NULL;
    return strncmp(file, name, length) == 0 &&
           strncmp(file + length, BEGUN, sizeof(BEGUN) - 1) == 0;
}

static bool is_met(const char *file)
{
    size_t length = strlen(file), end = sizeof(MET) - 1;

    return length > end && strcmp(file + length - end, MET) == 0;
}

static void remove_in(const char *directory, const char *name)
{
    DIR *dir = opendir(directory);
    struct dirent *found;
    char path[4096];

    if (!dir)
        return;
    for (int i = 0; i < LOOKED_AT_MOST && (found = readdir(dir)) != NULL; i++) {
        const char *file = found->d_name;

        if ((is_begun(file, name) || (!name && is_met(file))) &&
            snprintf(path, sizeof(path), "%s/%s", directory, file) < (int)sizeof(path))
            remove_unless_used(path);
    }
    closedir(dir);
}

void leftover_remove_begun(const char *path)
{
    const char *slash = strrchr(path, '/');
    char directory[4096] = ".";

    if (slash)
        snprintf(directory, sizeof(directory), "%.*s", slash > path ? (int)(slash - path) : 1,
                 path);
    remove_in(directory, slash ? slash + 1 : path);
}

void leftover_remove_met(const char *directory)
{
    remove_in(directory, NULL);
}
