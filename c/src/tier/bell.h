/*
 * bell.h: the listening unix socket that an event loop connects to, to be told of completions.
 *
 * The socket's file is in the private directory of runtime_dir and goes with the bell, at exit at the
 * latest.  Only the process that made a bell can connect to it: others are hung up on.  A child of
 * fork() has no part in its parent's bell.
 */
#ifndef TANDEM_TIER_BELL_H
#define TANDEM_TIER_BELL_H

#include <stdbool.h>
#include <stddef.h>

struct bell;

/* runtime_dir NULL: $TMPDIR or /tmp.  NULL with a sentence in error. */
struct bell *bell_open(const char *runtime_dir, char *error, size_t error_size);

const char *bell_path(const struct bell *bell);

/* Is its file still there?  Cleaners of /tmp exist. */
bool bell_reachable(const struct bell *bell);

/* The newest connection that this process has made to the bell and that was not taken yet; earlier ones
 * and other processes' are hung up.  Non-blocking, to be closed by the caller.
 * -1 with errno EAGAIN: there is none; -1 with another errno: the system refused. */
int bell_accept(struct bell *bell);

/* Removes the file and closes the socket. */
void bell_close(struct bell *bell);

/* In a child of fork(): frees the copy of a parent's bell. */
void bell_forget(struct bell *bell);

/* For process.c. */
void bell_after_fork(void);

#endif
