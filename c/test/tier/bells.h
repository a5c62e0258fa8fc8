/*
 * bells.h: a folder for bells, and what connects to them.
 */
#ifndef TANDEM_TEST_TIER_BELLS_H
#define TANDEM_TEST_TIER_BELLS_H

#include <dirent.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "check.h"
#include "tier/mailbox.h"

/* A runtime_dir of this test's own. */
static char base[64];

CHECK_UNUSED void make_base(void)
{
    strcpy(base, "/tmp/tandem-bell-XXXXXX");
    REQUIRE(mkdtemp(base) != NULL);
}

/* The private directory in it. */
CHECK_UNUSED const char *private_dir(void)
{
    static char path[128];

    snprintf(path, sizeof(path), "%s/tandem-%u", base, (unsigned)geteuid());
    return path;
}

CHECK_UNUSED int count_files(void)
{
    DIR *dir = opendir(private_dir());
    struct dirent *found;
    int n = 0;

    REQUIRE(dir != NULL);
    while ((found = readdir(dir)) != NULL)
        n += found->d_name[0] != '.';
    closedir(dir);
    return n;
}

CHECK_UNUSED void remove_base(void)
{
    CHECK_INT(0, count_files());
    CHECK_INT(0, rmdir(private_dir()));
    CHECK_INT(0, rmdir(base));
}

CHECK_UNUSED int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    close(fd);
    return -1;
}

CHECK_UNUSED int open_bell(tandem_mailbox *m, char *path, size_t size)
{
    char error[256] = "";
    int status = mailbox_bell_open(m, base, path, size, error, sizeof(error));

    if (status)
        printf("%s\n", error);
    return status;
}

/* Connects as an event loop does. */
CHECK_UNUSED int connect_and_accept(tandem_mailbox *m, const char *path)
{
    int fd = connect_to(path);

    REQUIRE(fd >= 0 && mailbox_bell_accept(m) == TANDEM_OK);
    return fd;
}

#endif
