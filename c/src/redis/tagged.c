#include "redis/tagged.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/number.h"
#include "redis/page.h"
#include "redis/words.h"

/* KEYS: the value's, and its list's; ARGV: what to do, what tags' keys begin with, and more for each.
 *
 * A tag lives four times as long as what is tagged with it, or a day, so that it hardly ever has to be made to
 * live longer, of which hosts would hear as of a change; and an hour after it was invalidated, so that a value
 * that somebody was about to store is not. */
const char tagged_script[] =
    "local k,s,a,c,p=KEYS[1],KEYS[2],ARGV,redis.call,redis.pcall\n"
    "local o,t=a[1],a[2]\n"
    "local function now() local n=c('TIME') return string.format('%010d%06d',n[1],n[2]) end\n"
    /* Calls f with the key of each tag of a list and its generation there, while it says true. */
    "local function each(l,f)\n"
    "local i=1\n"
    "while i<=#l do\n"
    "local n=l:byte(i)\n"
    "if i+n+17>#l or not f(t..l:sub(i+1,i+n),l:sub(i+n+1,i+n+17)) then return false end\n"
    "i=i+n+18\n"
    "end\n"
    "return true\n"
    "end\n"
    /* The list, if there is one and all of it holds; else the value goes. */
    "local function good()\n"
    "local l=p('GET',s)\n"
    "if type(l)=='string' and each(l,function(n,g) return p('GET',n)==g end) then return l end\n"
    "p('UNLINK',k,s)\n"
    "return false\n"
    "end\n"
    "local function put(n,v,x) if x==0 then c('SET',n,v) else c('SET',n,v,'PX',x) end end\n"
    "local function keep(n,x)\n"
    "local q=c('PTTL',n)\n"
    "if q>=0 and x==0 then c('PERSIST',n)\n"
    "elseif q>=0 and q<x then c('PEXPIRE',n,math.max(86400000,4*x)) end\n"
    "end\n"
    "if o=='get' then\n"
    "local v=p('GET',k)\n"
    "if type(v)=='table' then return v end\n"
    "local l=v and good()\n"
    "if l then return {v,c('PTTL',k),l} end\n"
    "if not v then p('UNLINK',s) end\n"
    "return {false,now()}\n"
    "elseif o=='set' then\n"
    "local v,x,w,since,names=a[3],tonumber(a[4]),a[5],a[6],a[7]\n"
    "local u,l,i,m=now(),{},1,{}\n"
    "if w~='' and (c('EXISTS',k)==1 and good() and 'NX' or 'XX')==w then return {0,u} end\n"
    "if since>u then return {2,u} end\n"
    "while i<=#names do\n"
    "local n=names:byte(i)\n"
    "local g=p('GET',t..names:sub(i+1,i+n))\n"
    "if type(g)~='string' or #g~=17 then g=false\n"
    "elseif since~='' and g:byte()==105 and g:sub(2)>since then return {2,u} end\n"
    "m[#m+1]={names:sub(i,i+n),g}\n"
    "i=i+n+1\n"
    "end\n"
    "for _,e in ipairs(m) do\n"
    "local y,g=t..e[1]:sub(2),e[2]\n"
    "if g then keep(y,x)\n"
    "else g='c'..u\n"
    "if x==0 then c('SET',y,g) else c('SET',y,g,'PX',math.max(86400000,4*x)) end\n"
    "end\n"
    "l[#l+1]=e[1]..g\n"
    "end\n"
    "put(k,v,x)\n"
    "put(s,table.concat(l),x)\n"
    "return {1,u}\n"
    "elseif o=='invalidate' then\n"
    "local u,g,q=now(),p('GET',k),c('PTTL',k)\n"
    /* Greater than the last, unless the clock was set back by more than 10 s: then another. */
    "local n=type(g)=='string' and tonumber(g:sub(2)) or 0\n"
    "if n>=tonumber(u) and n<tonumber(u)+1e7 then u=string.format('%016.0f',n+1) end\n"
    "local r=p('SET',k,'i'..u,'PX',math.max(q,3600000))\n"
    "if r.err then c('UNLINK',k) end\n" /* full: then nothing has it */
    "return 1\n"
    "elseif o=='expire' then\n"
    "local l,x,r=good(),tonumber(a[3])\n"
    "if x==0 then c('PERSIST',k) c('PERSIST',s) r=c('EXISTS',k)\n"
    "else r=c('PEXPIRE',k,x) c('PEXPIRE',s,x) end\n"
    "if l and r==1 then each(l,function(n) keep(n,x) return true end) end\n"
    "return r\n"
    "elseif o=='incr' then\n"
    "good()\n"
    "if c('EXISTS',k)==0 then\n"
    "if not a[5] then return false end\n"
    "local x=tonumber(a[6] or 0)\n"
    "put(k,a[5],x)\n"
    "put(s,'',x)\n"
    "end\n"
    "local n=p(a[3],k,a[4])\n"
    "if a[3]=='INCRBY' and type(n)=='table' then n=p('INCRBYFLOAT',k,a[4]) end\n"
    "return n\n"
    "end\n"
    "good()\n"
    "local r=c(o,k)\n"
    "if o=='DEL' then c('UNLINK',s) end\n"
    "return r";

bool tagged_is(const struct redis_op *op)
{
    switch (op->kind) {
    case REDIS_SCAN:
    case REDIS_SCAN_UNLINK:
    case REDIS_PUBLISH:
    case REDIS_LOCK:
    case REDIS_UNLOCK:
    case REDIS_SCAN_ALL:
    case REDIS_UNLINK:
    case REDIS_CLUSTER_MAP:
    case REDIS_CLUSTER_CHECK:
        return false;
    default:
        return true;
    }
}

/* -- Encoding ------------------------------------------------------------------------------------ */

static const char *word_of(const struct redis_op *op)
{
    switch (op->kind) {
    case REDIS_GET:
        return "get";
    case REDIS_SET:
    case REDIS_ADD:
    case REDIS_REPLACE:
        return "set";
    case REDIS_INVALIDATE_TAG:
        return "invalidate";
    case REDIS_EXPIRE:
        return "expire";
    case REDIS_INCR:
        return "incr";
    case REDIS_EXISTS:
        return "EXISTS";
    case REDIS_PTTL:
        return "PTTL";
    default:
        return "DEL";
    }
}

/* How many arguments follow the first two. */
static size_t extra_arguments(const struct redis_op *op)
{
    switch (op->kind) {
    case REDIS_SET:
    case REDIS_ADD:
    case REDIS_REPLACE:
        return 5;
    case REDIS_EXPIRE:
        return 1;
    case REDIS_INCR:
        return 2u + (op->with_init ? (op->ttl_ms > 0 ? 2u : 1u) : 0u);
    default:
        return 0;
    }
}

static void add_keys(struct bytes *to, const struct command_prefix *prefix,
                     const struct redis_op *op)
{
    if (op->kind == REDIS_INVALIDATE_TAG) {
        words_text(to, "1");
        command_add_reserved(to, prefix, REDIS_TAG_KEY, op->key, op->key_length);
        return;
    }
    words_text(to, "2");
    words_joined(to, prefix->text, prefix->length, op->key, op->key_length);
    command_add_reserved(to, prefix, REDIS_TAGS_KEY, op->key, op->key_length);
}

/* What follows a value that is to be set. */
static void add_set_rest(struct bytes *to, const struct redis_op *op)
{
    char since[24] = "";

    words_integer(to, op->ttl_ms > 0 ? op->ttl_ms : 0);
    words_text(to, op->kind == REDIS_ADD ? "NX" : op->kind == REDIS_REPLACE ? "XX" : "");
    if (op->loaded)
        snprintf(since, sizeof(since), "%016llu", (unsigned long long)op->time_us);
    words_text(to, since);
    words_word(to, op->tags, op->tags_length);
}

static void add_incr(struct bytes *to, const struct redis_op *op)
{
    char text[NUMBER_BYTES];
    size_t length = number_write_double(op->by, text);

    words_text(to, memchr(text, '.', length) ? "INCRBYFLOAT" : "INCRBY");
    words_word(to, text, length);
    if (!op->with_init)
        return;
    words_word(to, text, number_write_double(op->init, text));
    if (op->ttl_ms > 0)
        words_integer(to, op->ttl_ms);
}

void tagged_encode(struct command *c, const struct command_prefix *prefix,
                   const struct redis_op *op)
{
    struct bytes *to = &c->head;
    size_t keys = op->kind == REDIS_INVALIDATE_TAG ? 1 : 2;

    words_count(to, '*', 5 + keys + extra_arguments(op));
    words_text(to, prefix->script[0] ? "EVALSHA" : "EVAL");
    words_text(to, prefix->script[0] ? prefix->script : tagged_script);
    add_keys(to, prefix, op);
    words_text(to, word_of(op));
    command_add_reserved(to, prefix, REDIS_TAG_KEY, NULL, 0);
    switch (op->kind) {
    case REDIS_SET:
    case REDIS_ADD:
    case REDIS_REPLACE:
        add_set_rest(command_add_value(c, op), op);
        break;
    case REDIS_EXPIRE:
        words_integer(to, op->ttl_ms > 0 ? op->ttl_ms : 0);
        break;
    case REDIS_INCR:
        add_incr(to, op);
        break;
    default:
        break;
    }
}

bool tagged_encode_unlink(struct bytes *to, const struct command_prefix *prefix,
                          const struct redis_op *op)
{
    size_t first = 0, at, count = 0;
    struct page_item item;

    first = page_next(op->reply, op->reply_length, 0, &item); /* behind the cursor */
    for (at = first; (at = page_next(op->reply, op->reply_length, at, &item));)
        count += !reserved_is(item.bytes, item.length);
    if (!count)
        return false;
    words_count(to, '*', 1 + count);
    words_text(to, "UNLINK");
    for (at = first; (at = page_next(op->reply, op->reply_length, at, &item));)
        if (!reserved_is(item.bytes, item.length))
            command_add_reserved(to, prefix, REDIS_TAGS_KEY, item.bytes, item.length);
    return true;
}

/* -- Taking -------------------------------------------------------------------------------------- */

/* 16 digits. */
static bool take_time(struct redis_op *op, const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_STRING || reply->len != 16 ||
        strspn(reply->str, "0123456789") != 16)
        return false;
    op->time_us = strtoull(reply->str, NULL, 10);
    return true;
}

static char *copy(const redisReply *reply, size_t *length, bool *no_memory)
{
    char *bytes = alloc_copy(reply->str, (size_t)reply->len);

    *length = (size_t)reply->len;
    *no_memory = *no_memory || !bytes;
    return bytes;
}

static bool take_read(struct redis_op *op, const redisReply *reply, bool *no_memory)
{
    redisReply **part = reply->element;

    if (reply->elements == 2 && part[0]->type == REDIS_REPLY_NIL) {
        op->status = REDIS_ABSENT;
        return take_time(op, part[1]);
    }
    if (reply->elements != 3 || part[0]->type != REDIS_REPLY_STRING ||
        part[1]->type != REDIS_REPLY_INTEGER || part[2]->type != REDIS_REPLY_STRING)
        return false;
    op->pttl_ms = part[1]->integer;
    op->reply = copy(part[0], &op->reply_length, no_memory);
    if (part[2]->len)
        op->list = copy(part[2], &op->list_length, no_memory);
    return op->pttl_ms >= -2;
}

static bool take_written(struct redis_op *op, const redisReply *reply)
{
    redisReply **part = reply->element;

    if (reply->elements != 2 || part[0]->type != REDIS_REPLY_INTEGER || part[0]->integer < 0 ||
        part[0]->integer > 2)
        return false;
    if (part[0]->integer != 1)
        op->status = REDIS_ABSENT;
    op->overtaken = part[0]->integer == 2;
    return take_time(op, part[1]);
}

bool tagged_take(struct redis_op *op, const redisReply *reply, bool *no_memory)
{
    *no_memory = false;
    if (reply->type != REDIS_REPLY_ARRAY)
        return false;
    return op->kind == REDIS_GET ? take_read(op, reply, no_memory) : take_written(op, reply);
}
