/*
 * rundir.h: the private directory of this user's sockets and unnamed segment files.
 */
#ifndef TANDEM_BASE_RUNDIR_H
#define TANDEM_BASE_RUNDIR_H

#include <stddef.h>

/* Makes sure that <base>/tandem-<uid> is a directory of ours that nobody else may enter (base NULL:
 * $TMPDIR or /tmp), and writes its path.  0, or -1 with a sentence in error: the base does not exist,
 * no permission, or something else is in the directory's place. */
int rundir_open(const char *base, char *path, size_t size, char *error, size_t error_size);

#endif
