#include "redis/fleet.h"

#include <string.h>

#include "base/alloc.h"
#include "redis/words.h"

/* What others may have put there is no lock.
 *
 * KEYS: the lock's, and the value's.  ARGV: a token, how long, and of who gives it up a message; of who wants it
 * what is enough, and the token that it met before. */
static const char unlock_script[] = "local k,a,c=KEYS[1],ARGV,redis.call\n"
                                    "if c('GET',k)~='h'..a[1] then return 0 end\n"
                                    "if a[3]=='' then c('DEL',k)\n"
                                    "else c('SET',k,'e'..a[1]..a[3],'PX',a[2]) end\n"
                                    "return 1";
static const char lock_script[] =
    "local k,a,c=KEYS[1],ARGV,redis.call\n"
    "local n,v=tonumber(a[3]),c('GET',k)\n"
    "if n>=0 then\n"
    "local t=c('PTTL',KEYS[2])\n"
    "if t==-1 or t>n then return {3} end\n"
    "end\n"
    "if v and #v==17 and v:byte()==104 and v~='h'..a[1] then return {0,v:sub(2),c('PTTL',k)} end\n"
    "if v and a[4]~='' and v:sub(1,17)=='e'..a[4] then return {2,v:sub(18)} end\n"
    "c('SET',k,'h'..a[1],'PX',a[2])\n"
    "return {1}";

/* -- Encoding ------------------------------------------------------------------------------------ */

void fleet_encode(struct bytes *to, const struct command_prefix *prefix, const struct redis_op *op)
{
    bool lock = op->kind == REDIS_LOCK;

    words_count(to, '*', lock ? 9 : 7);
    words_text(to, "EVAL");
    words_text(to, lock ? lock_script : unlock_script);
    words_text(to, lock ? "2" : "1");
    command_add_reserved(to, prefix, REDIS_LOCK_KEY, op->key, op->key_length);
    if (lock)
        words_joined(to, prefix->text, prefix->length, op->key, op->key_length);
    words_word(to, op->token, REDIS_TOKEN);
    words_integer(to, op->ttl_ms);
    if (!lock) {
        words_word(to, op->value, op->value_length);
        return;
    }
    words_integer(to, op->enough_ms);
    words_word(to, op->holder, op->holder[0] ? REDIS_TOKEN : 0);
}

/* -- Taking -------------------------------------------------------------------------------------- */

static bool take_holder(struct redis_op *op, redisReply *const *part)
{
    if (part[1]->type != REDIS_REPLY_STRING || part[1]->len != REDIS_TOKEN ||
        part[2]->type != REDIS_REPLY_INTEGER)
        return false;
    memcpy(op->holder, part[1]->str, REDIS_TOKEN);
    op->pttl_ms = part[2]->integer;
    return true;
}

static bool take_message(struct redis_op *op, const redisReply *message, bool *no_memory)
{
    if (message->type != REDIS_REPLY_STRING)
        return false;
    op->reply_length = (size_t)message->len;
    op->reply = alloc_copy(message->str, op->reply_length);
    *no_memory = !op->reply;
    return true;
}

bool fleet_take(struct redis_op *op, const redisReply *reply, bool *no_memory)
{
    static const size_t parts[REDIS_LOCKS] = {
        [REDIS_LOCK_HELD] = 3,
        [REDIS_LOCK_TAKEN] = 1,
        [REDIS_LOCK_LEFT] = 2,
        [REDIS_LOCK_ANSWERED] = 1,
    };
    const redisReply *first;

    *no_memory = false;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0)
        return false;
    first = reply->element[0];
    if (first->type != REDIS_REPLY_INTEGER || first->integer < 0 || first->integer >= REDIS_LOCKS ||
        reply->elements != parts[first->integer])
        return false;
    op->integer = first->integer;
    if (op->integer == REDIS_LOCK_HELD)
        return take_holder(op, reply->element);
    return op->integer != REDIS_LOCK_LEFT || take_message(op, reply->element[1], no_memory);
}
