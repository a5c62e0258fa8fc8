/* The file of a bell's socket: where it may be, and when it goes. */
#include "tier/bells.h"

TEST(the_socket_is_in_a_private_directory_and_goes_with_the_mailbox)
{
    tandem_mailbox *m = mailbox_create();
    char path[128], again[128];
    struct stat st;

    make_base();
    CHECK_INT(TANDEM_OK, open_bell(m, path, sizeof(path)));
    CHECK_INT(TANDEM_OK, open_bell(m, again, sizeof(again)));
    CHECK_STR(path, again);
    REQUIRE(stat(private_dir(), &st) == 0);
    CHECK_INT(0700, st.st_mode & 07777);
    REQUIRE(lstat(path, &st) == 0);
    CHECK(S_ISSOCK(st.st_mode));
    mailbox_release(m);
    CHECK(lstat(path, &st) != 0);
    remove_base();
}

TEST(a_directory_that_others_may_enter_is_refused)
{
    tandem_mailbox *m = mailbox_create();
    char path[128], error[256] = "";

    make_base();
    REQUIRE(mkdir(private_dir(), 0700) == 0 && chmod(private_dir(), 0755) == 0);
    CHECK_INT(TANDEM_ESYS, mailbox_bell_open(m, base, path, sizeof(path), error, sizeof(error)));
    CHECK(strstr(error, private_dir()) != NULL);
    CHECK(strstr(error, "0700") != NULL);
    mailbox_release(m);
    remove_base();
}

TEST(a_link_in_the_directory_s_place_is_refused)
{
    tandem_mailbox *m = mailbox_create();
    char path[128], error[256] = "", target[128];

    make_base();
    snprintf(target, sizeof(target), "%s/elsewhere", base);
    REQUIRE(mkdir(target, 0700) == 0 && symlink(target, private_dir()) == 0);
    CHECK_INT(TANDEM_ESYS, mailbox_bell_open(m, base, path, sizeof(path), error, sizeof(error)));
    CHECK(strstr(error, private_dir()) != NULL);
    mailbox_release(m);
    CHECK_INT(0, unlink(private_dir()));
    CHECK_INT(0, rmdir(target));
    CHECK_INT(0, rmdir(base));
}

TEST(places_where_no_socket_can_be_are_errors_that_name_them)
{
    tandem_mailbox *m = mailbox_create();
    char path[256], error[256] = "", longest[128] = "";

    CHECK_INT(TANDEM_ESYS,
              mailbox_bell_open(m, "/nowhere/at/all", path, sizeof(path), error, sizeof(error)));
    CHECK(strstr(error, "/nowhere/at/all") != NULL);
    make_base();
    snprintf(longest, sizeof(longest), "%s/", base);
    memset(longest + strlen(longest), 'a', 70);
    REQUIRE(mkdir(longest, 0700) == 0);
    CHECK_INT(TANDEM_ESYS, mailbox_bell_open(m, longest, path, sizeof(path), error, sizeof(error)));
    CHECK(strstr(error, longest) != NULL);
    CHECK_INT(TANDEM_ESYS, mailbox_bell_open(m, base, path, 4, error, sizeof(error)));
    CHECK(strstr(error, "4") != NULL);
    mailbox_release(m);
    snprintf(path, sizeof(path), "%s/tandem-%u", longest, (unsigned)geteuid());
    CHECK_INT(0, rmdir(path));
    CHECK_INT(0, rmdir(longest));
    remove_base();
}

TEST(a_bell_whose_file_was_cleaned_away_is_made_anew)
{
    tandem_mailbox *m = mailbox_create();
    char path[128], again[128];

    make_base();
    REQUIRE(open_bell(m, path, sizeof(path)) == TANDEM_OK);
    CHECK_INT(0, unlink(path));
    CHECK_INT(TANDEM_OK, open_bell(m, again, sizeof(again)));
    close(connect_and_accept(m, again));
    mailbox_release(m);
    remove_base();
}

/* Makes a child that opens a bell and ends in a certain way. */
static void child_with_bell(bool killed)
{
    pid_t child = fork();
    int status = 0;

    REQUIRE(child >= 0);
    if (child == 0) {
        static tandem_mailbox *m; /* never released: to exit is enough */
        char path[128];

        m = mailbox_create();
        REQUIRE(open_bell(m, path, sizeof(path)) == TANDEM_OK);
        if (killed)
            raise(SIGKILL);
        exit(0);
    }
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(killed ? WIFSIGNALED(status) : status == 0);
}

TEST(the_file_goes_at_exit_and_a_killed_process_s_with_the_next_bell)
{
    tandem_mailbox *m = mailbox_create();
    char path[128];

    make_base();
    child_with_bell(false);
    CHECK_INT(0, count_files());
    child_with_bell(true);
    CHECK_INT(1, count_files());
    REQUIRE(open_bell(m, path, sizeof(path)) == TANDEM_OK);
    CHECK_INT(1, count_files());
    mailbox_release(m);
    remove_base();
}

CHECK_MAIN()
