/*
 * loop.h: the one I/O thread of the process.
 *
 * Started when it is first needed, with all signals blocked; drained and joined when the process exits.
 * It is its process's own: a child of fork() has none until it needs one.
 */
#ifndef TANDEM_REDIS_LOOP_H
#define TANDEM_REDIS_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct redis_client;

/* Gives a client to the thread, starting that if need be.  False with the reason in error. */
bool loop_add(struct redis_client *client, char *error, unsigned long error_size);

/* Lets the thread look at its clients soon.  Any thread; never waits. */
void loop_wake(void);

/* The process exits: what is under way ends, and nothing more begins. */
bool loop_is_stopping(void);

/* And the thread has ended. */
bool loop_is_over(void);

void loop_set_periodic(int64_t interval_ms, void (*fn)(void));

/* Around a fork: nothing changes in between.  In the child the thread is gone. */
void loop_before_fork(void);
void loop_after_fork(void);
void loop_in_child(void);

#endif
