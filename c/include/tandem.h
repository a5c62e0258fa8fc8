/*
 * tandem.h: the public face of libtandem, a two-tier cache.
 *
 * Tier one is memory that all processes of a host share; tier two is a Redis that all hosts share.
 * This is the only installed header.  It serves C programs and, through the generated cdef, the
 * LuaJIT binding: everything between the two marker comments is what the Lua side sees, so that
 * part is plain C without includes or attributes.
 *
 * Conventions
 *   - Functions return an int: 0 (TANDEM_OK) done; > 0 another normal outcome (a miss, pending, ...);
 *     < 0 an error, with a sentence in result.error or in the caller's error buffer.
 *   - Keys and values are bytes with a length; nothing is assumed about their content.
 *   - Buffers belong to the caller.  Where a value does not fit, TANDEM_TOO_SMALL is returned,
 *     result.length says how much is needed, and nothing is lost: call again with a larger buffer.
 *   - The library never prints, never exits, never installs a signal handler and never calls back.
 *   - No function waits for Redis, except tandem_wait().  A function may wait for a lock of the shared
 *     memory, 2 ms at most.
 *   - Threads: a handle and its mailbox are used by one thread at a time.  Different handles of the
 *     same cache may be used by different threads and processes at once.
 *   - Fork: a handle stays usable in the child.  Operations that were pending in the parent stay the
 *     parent's: in the child their tickets answer TANDEM_ELOST.
 */
#ifndef TANDEM_H
#define TANDEM_H

#include <stddef.h>
#include <stdint.h>

#define TANDEM_VERSION "0.1.0"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* ffi: begin */

/* What a function returns. */
enum {
    TANDEM_OK = 0,        /* done; a hit; yes */
    TANDEM_MISS = 1,      /* absent for certain; no */
    TANDEM_PENDING = 2,   /* queued to Redis: result.ticket; see tandem_wait and tandem_take */
    TANDEM_TOO_SMALL = 3, /* the caller's buffer is too small: result.length bytes are needed */
    TANDEM_MORE = 4,      /* a step of a longer walk is done, call again with the same cursor */
    TANDEM_DEGRADED =
        5, /* done in memory only; result.error says why Redis has not got it, beginning with
                             "queued: " when it will be told as soon as it is back */
    TANDEM_NOT_A_NUMBER = 6, /* the value is not a number in decimal, and was left alone */

    TANDEM_EINVAL = -1,  /* an argument or option is wrong */
    TANDEM_EBUSY = -2,   /* the shared memory's lock could not be had within its bound */
    TANDEM_ETOOBIG = -3, /* the value is larger than memory takes and there is no Redis */
    TANDEM_ESYS = -4,    /* the operating system refused: no memory, no permission, no space, ... */
    TANDEM_EFULL = -5,   /* too many operations or bytes are queued to Redis already */
    TANDEM_ECONN = -6,   /* Redis cannot be reached, or the connection broke while waiting */
    TANDEM_ETIMEOUT = -7, /* no answer in time; whether a write took place is unknown */
    TANDEM_EREDIS = -8,   /* Redis answered with an error */
    TANDEM_EPROTO = -9,   /* what answered does not speak Redis's protocol */
    TANDEM_ENOWAIT = -10, /* only Redis knows, and the caller said that it cannot wait */
    TANDEM_ELOST = -11    /* no such ticket: taken, abandoned, expired or the parent's */
};

/* Which tier answered: result.tier. */
enum {
    TANDEM_TIER_NONE = 0,
    TANDEM_TIER_MEMORY = 1,
    TANDEM_TIER_REDIS = 2,
    TANDEM_TIER_LOADER = 3,  /* stored by tandem_flight_store */
    TANDEM_TIER_STALE = 4,   /* memory, past its freshness, because Redis cannot be asked; or, with
                               TANDEM_STALE, past its TTL */
    TANDEM_TIER_NEGATIVE = 5 /* with TANDEM_MISS: an absence that tandem_flight_absent noted */
};

/* Flags of the operations. */
enum {
    TANDEM_NOWAIT = 1, /* the caller cannot wait: reads answer from memory or TANDEM_ENOWAIT, writes
                          are queued and forgotten */
    TANDEM_CORK =
        2, /* more operations follow at once: do not send yet.  The last one goes without, or
              tandem_uncork is called */
    TANDEM_STALE = 4,  /* what is past its freshness or its time to live is wanted, too */
    TANDEM_INIT = 8,   /* tandem_incr: a key that is not there begins with init */
    TANDEM_ALONE = 16, /* tandem_flight_begin: a loader is to run whoever runs one already */
    TANDEM_FIRST = 32, /* tandem_flight_store: Redis had no such key when it was asked */
    TANDEM_AGAIN = 64  /* tandem_get: part of a lookup that has been counted as a hit or a miss */
};

/* What became of a flight. */
enum {
    TANDEM_FLIGHT_GONE = 0, /* its owner died, gave up, or a change came in between: begin again */
    TANDEM_FLIGHT_STORED = 1, /* the value is there */
    TANDEM_FLIGHT_ABSENT = 2, /* there is no such value */
    TANDEM_FLIGHT_UNKEPT = 3, /* there is a value, and it was not kept */
    TANDEM_FLIGHT_FAILED = 4  /* there was an error */
};

typedef struct tandem_cache tandem_cache;     /* a handle on one cache */
typedef struct tandem_mailbox tandem_mailbox; /* where finished operations wait to be taken */

/* Options of tandem_open.  Set up by tandem_options_init, then changed field by field; all pointers
 * may be freed once tandem_open has returned.  Durations are milliseconds. */
typedef struct tandem_options {
    uint32_t struct_size;    /* sizeof(tandem_options), set by tandem_options_init */
    int32_t tracking;        /* 1: use server-assisted invalidation when it can be had */
    const char *name;        /* 1..63 of [A-Za-z0-9_.-] */
    uint64_t memory_bytes;   /* size of the segment, 1 MiB to 256 GiB */
    const char *path;        /* file that backs the segment, or NULL */
    const char *rendezvous;  /* NULL, or a word that the processes of one host program share and no
                                    other does: they meet in a file of runtime_dir named after it */
    const char *runtime_dir; /* where private files go, or NULL: $TMPDIR or /tmp */
    const char *codec;       /* name of the codec, part of the identity; NULL: "string" */
    const char *
        redis_url; /* redis[s]://..., unix:///..., redis+sentinel://..., redis[s]+cluster://..., or NULL:
                                memory only */
    const char *redis_username;    /* NULL, or instead of the URL's */
    const char *redis_password;    /* NULL, or instead of the URL's */
    const char *redis_client_name; /* NULL, or sent by CLIENT SETNAME */
    const char *prefix;            /* put before each key in Redis; NULL: name and ':' */
    size_t prefix_length;          /* bytes of prefix */
    int64_t memory_ttl_ms; /* no entry is served from memory longer without asking Redis again */
    int64_t stale_ttl_ms;  /* a value is kept this long past its TTL, for those who ask for it so:
                              each write adds it to the TTL, each read takes it off */
    int64_t max_stale_ms;  /* freshness of an entry from Redis without a tracking link */
    int32_t connect_timeout_ms;
    int32_t timeout_ms;   /* from queueing an operation to giving up on it */
    int32_t fail;         /* on a Redis error: 0 carry on in memory, 1 fail */
    int32_t write_behind; /* 0: writes wait for Redis; 1: they are queued and forgotten */
    int32_t
        replay_delete; /* what was written while Redis was away: 0: is sent to it when it is back;
                                1: is deleted there */
    int32_t tags;      /* 1: values may have tags; part of the identity */
    int32_t
        entry_size; /* bytes that a key and its value have on average, by which the index is laid out;
                           0: 116; part of the identity */
    int32_t
        redis_replicas; /* of a cluster, or behind sentinels: 1: while a key's master is away, what memory has not is read from its
                               replica, and answered as stale; 2: that, unless fail is 1, and also otherwise what
                               its replica is known to have as its master has it */
    int32_t redis_tls_unverified; /* 1: whatever the server's certificate is, it is good */
    const char *redis_tls_ca; /* rediss://: file or folder of certificates, in PEM, of those who may
                                          have issued the server's; NULL: the system's */
    const char *redis_tls_cert; /* NULL, or our own certificate, a file in PEM */
    const char *redis_tls_key;  /* NULL, or its key, without a passphrase */
    const char
        *redis_tls_server_name; /* whom the server's certificate must name; NULL: the URL's host */
    const char *redis_address_map; /* NULL, or "told=there,..." of host:port each: where servers are
                                          called that sentinels, or nodes of a cluster, tell of */
    tandem_mailbox *mailbox; /* where this handle's operations complete; NULL: one of its own */
} tandem_options;

/* What an operation says beside its status.  Owned by the caller and reused at will. */
typedef struct tandem_result {
    double ticket; /* TANDEM_PENDING: the number to wait for; whole, below 2^53 */
    double length; /* bytes of the value, also with TANDEM_TOO_SMALL */
    double ttl;    /* seconds left; 0: no expiry; < 0: so long past its TTL, with TANDEM_STALE */
    double count;  /* how many, where an operation counts; the sum, of tandem_incr */
    double
        fresh_until; /* tandem_get from memory, for a near table: see tandem_near; 0: not to be kept */
    int32_t tier;    /* TANDEM_TIER_* */
    uint32_t version; /* where the entry was found: see tandem_near */
    uint32_t slot;
    uint32_t epoch;
    uint32_t error_length;
    char error[256]; /* NUL-terminated sentence, with TANDEM_DEGRADED and every error */
} tandem_result;

/* One key of tandem_set_many or tandem_delete_many. */
typedef struct tandem_item {
    const char *key;
    const void *value; /* not of tandem_delete_many */
    size_t key_length, value_length;
    int32_t status; /* out: as tandem_set or tandem_delete answers */
} tandem_item;

/* An entry that a caller keeps, as tandem_result said where it is: see tandem_near_hit. */
typedef struct tandem_near_entry {
    double fresh_until;
    uint32_t slot, version, epoch;
    uint32_t used; /* set to 1 by each hit, for the caller to clear */
} tandem_near_entry;

/* What such a caller's entries are checked against.  Filled in by tandem_near_attach, but for entries. */
typedef struct tandem_near {
    tandem_near_entry *entries; /* the caller's */
    const uint32_t *words;
    const uint32_t *epoch;
    const uint32_t *tag_epoch; /* NULL: entries have no tags */
    uint8_t *marks;
    double *hits;
    uint32_t generation;
} tandem_near;

/* One row of the table of counters. */
typedef struct tandem_metric {
    const char *tier; /* "memory", "redis", "tracking" or "fetch" */
    const char *name;
    const char *kind; /* "counter", "gauge" or "histogram" */
    const char *unit; /* "", "bytes" or "seconds" */
    const char *help;
} tandem_metric;

/* -- The library ----------------------------------------------------------------------------- */

/* The checksum of this region in the library as it was built.  This signature never changes. */
const char *tandem_abi_id(void);

/* TANDEM_VERSION of the library as it was built. */
const char *tandem_version(void);

/* sizeof of a public struct in the library as built: 0 tandem_options, 1 tandem_result,
 * 2 tandem_metric, 3 tandem_near, 4 tandem_near_entry, 5 tandem_description, 6 tandem_findings; 0 for any
 * other number. */
size_t tandem_sizeof(int which);

/* Milliseconds of the monotonic clock that all expiry goes by. */
double tandem_now_ms(void);

/* For tests: moves this process's monotonic clock forward by ms (negative: back). */
void tandem_clock_shift(double ms);

/* -- Mailboxes ------------------------------------------------------------------------------- */

/* Makes a mailbox.  Returns NULL when there is no memory. */
tandem_mailbox *tandem_mailbox_create(void);

/* Gives the mailbox up.  Handles that use it keep it alive until they are closed.  NULL is fine. */
void tandem_mailbox_release(tandem_mailbox *mailbox);

/* Opens the mailbox's bell for an event loop: a listening unix socket in a directory of mode 0700
 * under runtime_dir (NULL: $TMPDIR or /tmp).  Writes the socket's path to path.  May be called again:
 * answers the same path.  TANDEM_OK; TANDEM_ESYS with the reason in error. */
int tandem_bell_open(tandem_mailbox *mailbox, const char *runtime_dir, char *path, size_t path_size,
                     char *error, size_t error_size);

/* Takes the connection that this same process has just made to the bell; an earlier one is hung up.
 * From then on a byte arrives on it when operations have completed since the last tandem_drain, at
 * once when some have already.  Does not wait.
 * TANDEM_OK; TANDEM_MISS: nobody of this process is waiting to be accepted; TANDEM_ESYS. */
int tandem_bell_accept(tandem_mailbox *mailbox);

/* Closes the bell's connection from this side, so that whoever reads it is told.  The listening
 * socket stays; a new connection may be made.  Does not wait. */
void tandem_bell_hang_up(tandem_mailbox *mailbox);

/* Numbers of operations that completed since the last call, at most max.  Returns how many. */
int tandem_drain(tandem_mailbox *mailbox, double *tickets, int max);

/* Waits until the operation has completed or timeout_ms are over.  Blocks the thread: not for event
 * loops.  TANDEM_OK; TANDEM_PENDING when the time is over; TANDEM_ELOST. */
int tandem_wait(tandem_mailbox *mailbox, double ticket, double timeout_ms);

/* The outcome of a pending operation.  The bytes go to buffer; result as the operation's own function
 * says.  Closes the ticket unless it answers TANDEM_PENDING or TANDEM_TOO_SMALL.  An operation whose
 * outcome nobody takes is dropped one second after its deadline. */
int tandem_take(tandem_mailbox *mailbox, double ticket, void *buffer, size_t size,
                tandem_result *result);

/* Forgets a pending operation: it still takes place, its outcome is dropped.  Any number is fine. */
void tandem_abandon(tandem_mailbox *mailbox, double ticket);

/* Operations queued through this mailbox and not yet taken or abandoned. */
int tandem_pending(tandem_mailbox *mailbox);

/* -- Caches ---------------------------------------------------------------------------------- */

/* Fills options with the defaults.  name must then be set. */
void tandem_options_init(tandem_options *options);

/* Opens a cache: attaches to the segment of the same identity, or makes it.  Never contacts Redis.
 * Writes a handle to cache, to be given to tandem_close.
 * TANDEM_OK; TANDEM_EINVAL: an option is wrong, named in error; TANDEM_ESYS: the segment cannot be
 * made or attached, with the reason in error. */
int tandem_open(const tandem_options *options, tandem_cache **cache, char *error,
                size_t error_size);

/* Sends what was queued with TANDEM_CORK.  Any thread that may use the handle; does not wait. */
void tandem_uncork(tandem_cache *cache);

/* Closes the handle.  Pending operations take place, their outcome is dropped.  NULL is fine. */
void tandem_close(tandem_cache *cache);

/* A sentence's worth of identity, without secrets, for messages and for telling caches apart: two
 * handles share a segment if and only if this text is equal.  Valid as long as the handle. */
const char *tandem_identity(const tandem_cache *cache);

/* The server without secrets ("redis host:port/db"), or NULL for a cache in memory only. */
const char *tandem_server(const tandem_cache *cache);

/* Longest key, and largest value that memory takes, in bytes. */
double tandem_key_limit(const tandem_cache *cache);
double tandem_value_limit(const tandem_cache *cache);

/* Looks a key up: memory, then Redis.
 * TANDEM_OK: the value is in buffer, length and tier are set; TANDEM_MISS; TANDEM_TOO_SMALL;
 * TANDEM_PENDING: Redis is asked; TANDEM_ENOWAIT, TANDEM_ECONN, TANDEM_EFULL: memory does not have
 * it and Redis cannot be asked; TANDEM_EINVAL: empty or over-long key.
 * tandem_take then answers TANDEM_OK, TANDEM_MISS, TANDEM_TOO_SMALL, or an error < 0. */
int tandem_get(tandem_cache *cache, const char *key, size_t key_length, int flags, void *buffer,
               size_t size, tandem_result *result);

/* Is there such a key?  TANDEM_OK yes, TANDEM_MISS no; otherwise as tandem_get. */
int tandem_exists(tandem_cache *cache, const char *key, size_t key_length, int flags,
                  tandem_result *result);

/* The time a key has left, in result.ttl.  Otherwise as tandem_exists. */
int tandem_ttl(tandem_cache *cache, const char *key, size_t key_length, int flags,
               tandem_result *result);

/* Stores a value for ttl_ms (0: for ever) in both tiers.
 * TANDEM_OK: stored, or queued (TANDEM_NOWAIT, write_behind); TANDEM_PENDING; TANDEM_DEGRADED: in
 * memory only, error says why; TANDEM_EBUSY, TANDEM_ETOOBIG (memory only); TANDEM_EFULL,
 * TANDEM_ECONN (with fail); TANDEM_EINVAL.  tandem_take: TANDEM_OK, TANDEM_DEGRADED, or an error:
 * after TANDEM_ETIMEOUT and TANDEM_ECONN memory has dropped the key, for Redis may hold either. */
int tandem_set(tandem_cache *cache, const char *key, size_t key_length, const void *value,
               size_t value_length, int64_t ttl_ms, int flags, tandem_result *result);

/* As tandem_set, with tags: 1 to 1000, for each a byte with its length and 1 to 200 bytes.  In a cache with
 * the option tags: TANDEM_EINVAL otherwise.  The value exists as long as none of its tags is invalidated. */
int tandem_set_tagged(tandem_cache *cache, const char *key, size_t key_length, const void *value,
                      size_t value_length, int64_t ttl_ms, const char *tags, size_t tags_length,
                      int flags, tandem_result *result);

/* As tandem_set and tandem_delete, each of up to 65536 keys, in a cache without Redis: with one hold of each lock
 * of the shared memory for all keys behind it, unless that were too long for others.
 * TANDEM_OK: done, items[i].status says for each, and result.error of the first that failed why; TANDEM_EINVAL,
 * TANDEM_ESYS: nothing is done. */
int tandem_set_many(tandem_cache *cache, tandem_item *items, size_t count, int64_t ttl_ms,
                    tandem_result *result);
int tandem_delete_many(tandem_cache *cache, tandem_item *items, size_t count,
                       tandem_result *result);

/* From now on no value that has this tag exists, in either tier, on any host.  What it costs does not depend on
 * how many there are.
 * TANDEM_OK: done, or queued (TANDEM_NOWAIT, write_behind); TANDEM_PENDING; TANDEM_DEGRADED: in memory only,
 * Redis will be told when it is back; TANDEM_EINVAL; other errors: in memory only, other hosts do not know. */
int tandem_invalidate_tag(tandem_cache *cache, const char *tag, size_t tag_length, int flags,
                          tandem_result *result);

/* Deletes a key from both tiers.  TANDEM_OK: one of them had it; TANDEM_MISS: none; otherwise as
 * tandem_set. */
int tandem_delete(tandem_cache *cache, const char *key, size_t key_length, int flags,
                  tandem_result *result);

/* Looks into memory alone: does not ask Redis, does not make the key look used, counts nothing.
 * TANDEM_OK: the value is in buffer; length, tier and ttl are set, the latter being what memory will keep it
 * for.  With TANDEM_STALE also what is past its freshness, or past its time to live and not yet overwritten
 * by something else: tier is TANDEM_TIER_STALE then, and ttl, in the latter case, < 0.  TANDEM_MISS: memory
 * has no such entry; or it remembers an absence, and then tier is TANDEM_TIER_NEGATIVE and ttl is set.
 * TANDEM_TOO_SMALL; TANDEM_EINVAL. */
int tandem_peek(tandem_cache *cache, const char *key, size_t key_length, int flags, void *buffer,
                size_t size, tandem_result *result);

/* -- Changes that depend on what is there ------------------------------------------------------ */

/* With a Redis, each of these is one command (or script) of Redis, and atomic for all its clients; memory drops
 * the key then.  Without, each is one hold of a lock of the shared memory, and atomic for all processes.
 * When Redis cannot be asked, nothing is done: TANDEM_ECONN, TANDEM_EFULL, also while Redis is still to be told
 * of an earlier write of the key.  TANDEM_PENDING, then tandem_take answers; TANDEM_EREDIS: Redis refused, and
 * nothing was done; after TANDEM_ETIMEOUT and TANDEM_ECONN from tandem_take nobody knows whether it was. */

/* Stores a value for ttl_ms (0: for ever) if there is no such key.  TANDEM_OK: stored; TANDEM_MISS: there is
 * such a key, nothing was done; TANDEM_EBUSY, TANDEM_ETOOBIG (memory only); TANDEM_ENOWAIT: with
 * TANDEM_NOWAIT and a Redis; TANDEM_EINVAL. */
int tandem_add(tandem_cache *cache, const char *key, size_t key_length, const void *value,
               size_t value_length, int64_t ttl_ms, int flags, tandem_result *result);

/* Stores a value for ttl_ms (0: for ever) if there is such a key.  TANDEM_OK: stored; TANDEM_MISS: there is
 * none, nothing was done; otherwise as tandem_add. */
int tandem_replace(tandem_cache *cache, const char *key, size_t key_length, const void *value,
                   size_t value_length, int64_t ttl_ms, int flags, tandem_result *result);

/* Adds by to the number that is a key's value, in decimal; its time to live stays.  With TANDEM_INIT a key that
 * is not there is made, for init_ttl_ms (0: for ever), and it is init that by is added to.  by and init are
 * finite and at most 2^53, either way; whole sums are exact up to there.
 * TANDEM_OK: result.count is the sum; TANDEM_MISS: there is no such key; TANDEM_NOT_A_NUMBER;
 * TANDEM_EINVAL: also when the sum would be 2^63 or more (memory only); otherwise as tandem_add. */
int tandem_incr(tandem_cache *cache, const char *key, size_t key_length, double by, double init,
                int64_t init_ttl_ms, int flags, tandem_result *result);

/* Gives a key ttl_ms to live from now on (0: for ever).  TANDEM_OK: done, or queued (TANDEM_NOWAIT,
 * write_behind); TANDEM_MISS: there is no such key; TANDEM_EBUSY (memory only); TANDEM_EINVAL. */
int tandem_expire(tandem_cache *cache, const char *key, size_t key_length, int64_t ttl_ms,
                  int flags, tandem_result *result);

/* -- Many keys --------------------------------------------------------------------------------- */

/* A number that depends on all bytes of a key, in two halves: for telling keys apart that are too many to be
 * kept.  Only who knows the seed can make keys that are told apart badly. */
void tandem_hash(const char *key, size_t key_length, uint32_t seed, uint32_t halves[2]);

/* One step through the keys in memory that match a glob (NULL: all), expired ones left out.  cursor
 * starts at 0.  Writes to buffer, for each key, its length as 4 bytes in host order, then its bytes;
 * result.length says how many bytes, result.count how many keys.  A key set or deleted meanwhile may
 * be left out; none comes twice.  TANDEM_MORE: call again; TANDEM_OK: that was the last;
 * TANDEM_TOO_SMALL: not even one fits, nothing was skipped. */
int tandem_keys(tandem_cache *cache, double *cursor, const char *glob, size_t glob_length,
                void *buffer, size_t size, tandem_result *result);

/* One step of deleting from memory the keys that match a glob (NULL: all).  result.count says how
 * many live keys went.  TANDEM_MORE, TANDEM_OK, TANDEM_EBUSY.  When the glob is NULL the first step
 * makes every entry invisible at once and the rest frees the space. */
int tandem_remove(tandem_cache *cache, double *cursor, const char *glob, size_t glob_length,
                  tandem_result *result);

/* One step of removing expired entries from memory, at most max of them (0: no limit); result.count
 * says how many.  TANDEM_MORE, TANDEM_OK, TANDEM_EBUSY. */
int tandem_cleanup(tandem_cache *cache, double *cursor, double max, tandem_result *result);

/* One SCAN page of this cache's keys in Redis that match a glob (NULL: all); cursor is "0" at first.
 * TANDEM_PENDING, then tandem_take: TANDEM_OK, buffer as with tandem_keys, the first item being the
 * next cursor ("0": that was the last) and the prefix taken off the keys.  A key may come in more
 * than one page.  Otherwise an error as tandem_get. */
int tandem_scan(tandem_cache *cache, const char *cursor, size_t cursor_length, const char *glob,
                size_t glob_length, int flags, tandem_result *result);

/* As tandem_scan, and the keys of the page are unlinked, in memory too.  tandem_take: buffer holds
 * just the next cursor, as an item; result.count is the number of keys that went. */
int tandem_scan_unlink(tandem_cache *cache, const char *cursor, size_t cursor_length,
                       const char *glob, size_t glob_length, int flags, tandem_result *result);

/* -- Flights ---------------------------------------------------------------------------------- */

/* A value that neither tier has is made by whoever asks for it, who begins a flight for its key first.
 * Of these a host has one at a time for each key; the others wait for its end. */

/* Begins a flight, which is the caller's for keep_ms, or until its process dies.
 * TANDEM_OK: result.ticket is its number, to be given to tandem_flight_end when it is over, whatever
 * became of it.  TANDEM_PENDING: another one is under way; result.ticket is to be waited for, wait_ms at
 * most: tandem_take then answers TANDEM_OK, with TANDEM_FLIGHT_* in result.count and, with
 * TANDEM_FLIGHT_FAILED, the error's text in buffer; or TANDEM_ETIMEOUT.  TANDEM_MISS: the same, and
 * flags has TANDEM_NOWAIT.  TANDEM_MORE: memory has the key now, or knows that it is absent: ask again.
 * (Not looked at with TANDEM_NOWAIT, unless TANDEM_STALE says that what was there is past its TTL.)
 * With TANDEM_ALONE a number is drawn and nothing else, and so when TANDEM_EFULL or TANDEM_EBUSY say that
 * no flight is to be had: then the caller may go on without. */
int tandem_flight_begin(tandem_cache *cache, const char *key, size_t key_length, int flags,
                        double keep_ms, double wait_ms, tandem_result *result);

/* Stores a value as tandem_set_tagged does (no tags are fine), but only if nothing else has changed the key,
 * and none of its tags has been invalidated, since the flight began,
 * and with TANDEM_FIRST only if Redis has none yet.  Waits for Redis also with write_behind.
 * As tandem_set; TANDEM_MISS: it was not stored, because of a change (tier TANDEM_TIER_NONE), or because
 * Redis has got another value meanwhile (TANDEM_TIER_REDIS); or the number is of no flight of this
 * handle's process.  tandem_take answers the same. */
int tandem_flight_store(tandem_cache *cache, double flight, const void *value, size_t value_length,
                        int64_t ttl_ms, const char *tags, size_t tags_length, int flags,
                        tandem_result *result);

/* Notes, on this host, that there is no such key, for ttl_ms (> 0), under the same condition.
 * TANDEM_OK; TANDEM_MISS: as tandem_flight_store; TANDEM_EBUSY. */
int tandem_flight_absent(tandem_cache *cache, double flight, int64_t ttl_ms, const char *tags,
                         size_t tags_length, tandem_result *result);

/* What came of tandem_fleet_lock. */
enum {
    TANDEM_FLEET_HELD = 0,  /* another host has it: tandem_fleet_wait, then again */
    TANDEM_FLEET_TAKEN = 1, /* it is ours: load */
    TANDEM_FLEET_LEFT = 2, /* who had it has left word in buffer: the TANDEM_FLIGHT_* it ended with,
                               as a digit, and the error's text */
    TANDEM_FLEET_ANSWERED = 3 /* Redis has a value: ask again */
};

/* Asks Redis for the lock of a flight's key, of which all hosts together have one: for keep_ms, or until the
 * flight ends.  A value that lives longer than enough_ms is an answer, not to be loaded again; -1: none is.
 * TANDEM_PENDING, then tandem_take: TANDEM_OK, with TANDEM_FLEET_* in result.count; or as tandem_get.  An error
 * is no reason not to load.  TANDEM_EINVAL: there is no Redis; TANDEM_ELOST: the number is of no flight of this
 * process. */
int tandem_fleet_lock(tandem_cache *cache, double flight, double keep_ms, double enough_ms,
                      int flags, tandem_result *result);

/* Waits until Redis says that the lock which was found to be held has changed, which is no promise that it is
 * free; a second or so at most, and not longer than wait_ms.  TANDEM_PENDING, then tandem_take: TANDEM_OK, or
 * TANDEM_ETIMEOUT; TANDEM_EBUSY, TANDEM_EFULL, TANDEM_ESYS: one cannot wait now; TANDEM_ELOST. */
int tandem_fleet_wait(tandem_cache *cache, double flight, double wait_ms, tandem_result *result);

/* What is made for a flight is made from now on: what changed before does not count against it.  A number of
 * none is fine. */
void tandem_flight_restart(tandem_cache *cache, double flight);

/* Counts flights whose value is to take the place of one that is answered meanwhile, as their owner knows. */
void tandem_count_refreshes(tandem_cache *cache, double n);

/* Ends a flight and tells all who wait for it.  error: with TANDEM_FLIGHT_FAILED, its first bytes are
 * told.  A number of none is fine. */
void tandem_flight_end(tandem_cache *cache, double flight, int outcome, const char *error,
                       size_t error_length);

/* -- Near tables ------------------------------------------------------------------------------- */

/* A caller may keep a value that tandem_get answered from memory with a fresh_until > 0, beside an entry
 * that says where it was found, and answer from that later as long as tandem_near_hit says so. */

/* Fills in near, and claims a counter for this handle; again after a fork, of which tandem_near_hit takes
 * notice by answering 0.  The pointers are valid as long as the handle.  TANDEM_OK; TANDEM_EFULL: all
 * counters are claimed by others, so this handle is not to be used for near hits; looked for anew once
 * a second. */
int tandem_near_attach(tandem_cache *cache, tandem_near *near);

/* 1 after tandem_near_attach, in the process that called it. */
int tandem_near_attached(const tandem_near *near);

/* Is near->entries[i] there, fresh and as it was when it was read?  Then it is counted as a hit, and
 * marked in the segment as being used: 1; else 0.  Any process that changes, deletes or drops an entry
 * changes what is looked at here before it says so to its caller.  Takes no lock; about 5 ns. */
int tandem_near_hit(tandem_near *near, uint32_t i);

/* -- How it is doing --------------------------------------------------------------------------- */

/* 1 when Redis is connected and answering, 0 when not, -1 for a cache in memory only. */
int tandem_redis_up(tandem_cache *cache);

/* What this process has found wrong with the servers that redis_url names, as a sentence in text: they are of more than
 * one cluster, or of another than before.  TANDEM_MISS; or TANDEM_OK: nothing, and text is empty. */
int tandem_redis_trouble(tandem_cache *cache, char *text, size_t size);

/* "off" (memory only or tracking not asked for), "unavailable" (asked for and not to be had: entries
 * from Redis then live max_stale_ms), or "on". */
const char *tandem_tracking_state(tandem_cache *cache);

/* Has this process do its part for tracking from now on, which it otherwise does from its first operation
 * that needs Redis, or its first answer from memory under the lease.  For a process that is about to take over
 * from others.  TANDEM_OK, also where there is nothing to do. */
int tandem_attend(tandem_cache *cache);

/* Why this process has no tracking link, as a sentence in text.  TANDEM_OK: it has one, or another
 * process has, or nothing has been found wrong so far: text is empty.  TANDEM_MISS: the link was lost,
 * or Redis cannot be reached; it is tried again all the time.  TANDEM_EREDIS: the server does not track
 * for this user, or says that it does and sends nothing; tried again every 30 s. */
int tandem_tracking_trouble(tandem_cache *cache, char *text, size_t size);

/* The table of counters: how many rows, row i (TANDEM_EINVAL when there is none), and its present
 * value over all processes of the host. */
int tandem_metric_count(void);
int tandem_metric_at(int i, tandem_metric *metric);
double tandem_metric_value(tandem_cache *cache, int i);

/* Row i of the table being a histogram: how many observations each bucket has, in counts, which has room for
 * tandem_bucket_bound's number of buckets, and their sum in seconds.  A row's value is the number of all of
 * them.  TANDEM_OK; TANDEM_EINVAL: it is none, or room is too small. */
int tandem_metric_buckets(tandem_cache *cache, int i, double *counts, int room, double *sum);

/* The longest time, in seconds, that the bucket of this number has, of any histogram: infinite for the last
 * one, 0 beyond that. */
double tandem_bucket_bound(int bucket);

/* -- Looking into a segment from outside -------------------------------------------------------- */

/* For tools.  A segment is mapped read-only, so that it cannot be harmed, and nothing in it is trusted. */
typedef struct tandem_segment tandem_segment;

/* What a segment says of itself.  Text is printable, with '?' for what was not. */
typedef struct tandem_description {
    double bytes;
    double slots;       /* numbered from 0 */
    double shards;      /* likewise */
    int32_t with_redis; /* its cache has a Redis */
    int32_t with_tags;  /* its values may have tags */
    char name[64];
    char identity[1024]; /* as tandem_identity */
} tandem_description;

/* What tandem_segment_verify has found in a shard. */
typedef struct tandem_findings {
    double slots, entries, expired, absences;
    double bytes;           /* of keys and values */
    double unsettled;       /* slots that were in change whenever they were looked at */
    double busy_shards;     /* 1: so was the shard, and its sums were not compared */
    double orphaned_shards; /* 1: its writer died in it, and the next one will empty it */
    double damaged;         /* what makes no sense */
    char first[160];        /* the first of that, as a sentence */
} tandem_findings;

/* Opens the segment in a file that others have made.  TANDEM_OK; TANDEM_ESYS with the reason in error: there is
 * none, it may not be read, or it is of another build or boot. */
int tandem_segment_open(const char *path, tandem_segment **segment, tandem_description *description,
                        char *error, size_t error_size);
void tandem_segment_close(tandem_segment *segment);

/* As tandem_metric_value and tandem_metric_buckets. */
double tandem_segment_value(tandem_segment *segment, int i);
int tandem_segment_buckets(tandem_segment *segment, int i, double *counts, int room, double *sum);

/* As tandem_peek with TANDEM_STALE, but for who writes all the time: TANDEM_EBUSY. */
int tandem_segment_peek(tandem_segment *segment, const char *key, size_t key_length, void *buffer,
                        size_t size, tandem_result *result);

/* As tandem_keys. */
int tandem_segment_keys(tandem_segment *segment, double *cursor, const char *glob,
                        size_t glob_length, void *buffer, size_t size, tandem_result *result);

/* The key of the entry in a slot; key has room for tandem_key_limit's bytes (4096).  TANDEM_OK: result.length
 * says its length and result.count that of its value; TANDEM_MISS: there is none. */
int tandem_segment_slot(tandem_segment *segment, double slot, void *key, tandem_result *result);

/* Looks at everything in a shard.  TANDEM_OK; TANDEM_MISS: there is no such shard. */
int tandem_segment_verify(tandem_segment *segment, double shard, tandem_findings *findings);

/* Opens the cache whose segment is in a file that others have made.  Of options all that belongs to the
 * segment is ignored but tags, which must be right, and Redis must be that of the cache, or NULL: then the
 * handle is one of its memory alone.  Otherwise as tandem_open; TANDEM_EINVAL: the cache has another Redis, or
 * none, or has tags, or none. */
int tandem_attach(const char *path, const tandem_options *options, tandem_cache **cache,
                  char *error, size_t error_size);

/* Writes in memory that Redis is still to be told of. */
double tandem_untold(const tandem_cache *cache);

/* Is Redis still to be told of a write of this key? TANDEM_OK: it is; TANDEM_MISS; TANDEM_EINVAL. */
int tandem_is_untold(tandem_cache *cache, const char *key, size_t key_length,
                     tandem_result *result);

/* How many slots a cache's memory has, numbered from 0; and what is in one, as tandem_segment_slot. */
double tandem_slots(const tandem_cache *cache);
int tandem_slot(tandem_cache *cache, double slot, void *key, tandem_result *result);

/* Of n slots from one on, adds 1 (up to 255) to times for each that was read since it was last asked this, by
 * whomever.  When that is over, tandem_marks_give with all that was counted has the segment as it was: else what
 * is read may be evicted a little earlier. */
void tandem_marks_take(tandem_cache *cache, double from, double n, uint8_t *times);
void tandem_marks_give(tandem_cache *cache, double from, double n, const uint8_t *times);

/* May these bytes, which others may have written, be given to LuaJIT's string.buffer.decode, which believes the
 * lengths that they say?  TANDEM_OK: they may (if it is not their like, it says so); TANDEM_MISS. */
int tandem_buffer_is_sound(const char *bytes, size_t length);

/* ffi: end */

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
