/*
 * pipeline.h: operations on a connection: many are sent in one go, in the order in which they were
 * submitted, and their replies are matched by order alone.  The I/O thread's.
 *
 * An operation whose deadline passes is over at once; its replies are read and dropped when they come.
 * A REDIS_SCAN_UNLINK whose page has come goes to the front of those that wait, for its second command.
 */
#ifndef TANDEM_REDIS_PIPELINE_H
#define TANDEM_REDIS_PIPELINE_H

#include "redis/client.h"

void pipeline_init(struct redis_client *client);

/* What an operation counts for against the bounds. */
size_t pipeline_op_bytes(const struct redis_op *op);

/* Takes what was submitted since the last time. */
void pipeline_take_queued(struct redis_client *client, int64_t now_ms);

/* Sends what waits, as long as the socket takes it, up to a few megabytes a round.  With another status than
 * CONN_OK the connection has failed for the reason. */
enum conn_status pipeline_send(struct redis_client *client, int64_t now_ms, char *reason,
                               size_t size);

/* Is there something that the socket would have to take yet? */
bool pipeline_has_more(const struct redis_client *client);

/* How many replies the server owes us: those of commands that it has, as far as we can know. */
size_t pipeline_due(const struct redis_client *client);

/* Takes the reply that was due.  With another status than CONN_OK the connection cannot be trusted any
 * more. */
enum conn_status pipeline_take(struct redis_client *client, const struct conn_due *due,
                               const redisReply *reply, char *reason, size_t size);

/* The process exits, and nobody waits for what was only to be read: that ends now. */
void pipeline_forsake_reads(struct redis_client *client, int64_t now_ms);

/* Ends what has passed its deadline.  False: no memory, and the connection cannot be used any more. */
bool pipeline_expire(struct redis_client *client, int64_t now_ms);

/* The connection is gone: ends all that had been sent, the first of them as broken by the peer if garbage
 * says so. */
void pipeline_lose(struct redis_client *client, bool garbage, const char *reason, int64_t now_ms);

/* Ends all that waits, unsent. */
void pipeline_reject(struct redis_client *client, const char *reason);

#endif
