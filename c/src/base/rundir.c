#include "base/rundir.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int rundir_open(const char *base, char *path, size_t size, char *error, size_t error_size)
{
    struct stat st;

    if (!base)
        base = getenv("TMPDIR");
    if (!base || !*base)
        base = "/tmp";
    if (snprintf(path, size, "%s/tandem-%u", base, (unsigned)geteuid()) >= (int)size) {
        snprintf(error, error_size, "runtime_dir %s: the path is too long", base);
        return -1;
    }
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        snprintf(error, error_size, "cannot make directory %s: %s", path, strerror(errno));
        return -1;
    }
    /* Somebody else may have been quicker in a directory where everybody may write. */
    if (lstat(path, &st) != 0) {
        snprintf(error, error_size, "%s: %s", path, strerror(errno));
        return -1;
    }
    if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077) != 0) {
        snprintf(error, error_size, "%s is not a directory of mode 0700 owned by uid %u", path,
                 (unsigned)geteuid());
        return -1;
    }
    return 0;
}
