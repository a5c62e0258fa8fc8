/*
 * command.h: from an operation to the bytes that Redis gets.  Pure.
 *
 * A value that is large is not copied into the command: it stays where it is, and the command is taken
 * piece by piece, as the socket has room.
 */
#ifndef TANDEM_REDIS_COMMAND_H
#define TANDEM_REDIS_COMMAND_H

#include "redis/bytes.h"
#include "redis/redis.h"

enum { COMMAND_SCAN_COUNT = 500, COMMAND_BODY_BYTES = 16 << 10 };

/* After the prefix: the channel on which a cache says what tracking does not. */
#define COMMAND_CHANNEL RESERVED "changed"

/* What goes before every key, and the same as a glob that matches just itself. */
struct command_prefix {
    const char *text;
    size_t length;
    const char *glob;
    size_t glob_length;
    const char *script; /* NULL: no value has tags; else the SHA1 of tagged_script, or "" */
};

/* Head, body and tail, one after the other.  All zero: empty. */
struct command {
    struct bytes head;
    const char *body; /* the operation's */
    size_t body_length;
    char *kept; /* or our own copy of what is left of it */
    struct bytes tail;
    size_t taken;     /* of the whole */
    unsigned replies; /* how many it gets */
};

/* Which of an operation's replies one is. */
enum reply_part { REPLY_FIRST, REPLY_PTTL, REPLY_UNLINK, REPLY_TAGGED, REPLY_ROLE, REPLY_IGNORED };

/* The commands of an operation; of a REDIS_SCAN_UNLINK that has its page already (in reply), the UNLINK of
 * these keys.  Replaces what was in command, reusing its memory.  False: no memory. */
bool command_encode(struct command *command, const struct command_prefix *prefix,
                    const struct redis_op *op);

/* Which of its replies the first, or the second, is; as it is encoded now. */
enum reply_part command_part(const struct command_prefix *prefix, const struct redis_op *op,
                             unsigned reply);

/* For tagged.c: adds the operation's value, which if it is large stays where it is.  What follows it goes to what
 * this returns. */
struct bytes *command_add_value(struct command *command, const struct redis_op *op);

/* For tagged.c and fleet.c: adds a word of the prefix, a reserved name and what follows that. */
void command_add_reserved(struct bytes *to, const struct command_prefix *prefix, const char *name,
                          const char *rest, size_t length);

size_t command_left(const struct command *command);

/* Takes the next piece, of at most so many bytes; valid until the next call.  Its length; 0: nothing is
 * left. */
size_t command_take(struct command *command, size_t most, const char **piece);

/* From here on the operation may be freed.  False: no memory for what is left of its value. */
bool command_keep(struct command *command);

void command_free(struct command *command);

#endif
