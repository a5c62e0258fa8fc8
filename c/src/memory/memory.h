/*
 * memory.h: the face of the memory room.  Bytes that other processes see are in here and nowhere else.
 *
 * A struct memory is this process's view of one shared segment.  Reads take no lock; writes hold the
 * lock of the key's shard, briefly.  Every function may be called from any thread of any process that
 * has the segment; none calls back but memory_walk's visitor, none knows of Redis.  A child of fork()
 * uses its parent's views on.
 *
 * Waiting: lock_us bounds how long a function waits for a shard lock in microseconds (MEMORY_LOCK_US
 * on a thread that serves requests, MEMORY_LOCK_IO_US on the I/O thread).
 */
#ifndef TANDEM_MEMORY_MEMORY_H
#define TANDEM_MEMORY_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/lanes.h"
#include "memory/stats.h"

struct memory;

enum { MEMORY_KEY_MAX = 4096, MEMORY_LOCK_US = 2000, MEMORY_LOCK_IO_US = 20000 };

enum memory_status {
    MEMORY_OK = 0,
    MEMORY_ABSENT,       /* no such entry, or expired */
    MEMORY_SMALL,        /* the caller's buffer is too small: the length needed is said */
    MEMORY_REFUSED,      /* memory_fill: the token no longer holds */
    MEMORY_MORE,         /* a step of a walk is done, and there is more */
    MEMORY_BUSY,         /* the lock could not be had within its bound; nothing was changed */
    MEMORY_TOO_BIG,      /* larger than memory_value_limit; an older entry of the key is gone */
    MEMORY_EXISTS,       /* memory_add: there is such an entry */
    MEMORY_NOT_A_NUMBER, /* memory_incr: the value is not one in decimal */
    MEMORY_OUT_OF_RANGE, /* memory_incr: the sum would be 2^63 or more, either way */
    MEMORY_SYSTEM        /* memory_open only: error says what */
};

/* -- Segments ---------------------------------------------------------------------------------- */

struct memory_config {
    const char *name;        /* for messages and file names */
    const char *identity;    /* any text without secrets: equal text, same segment */
    uint64_t bytes;          /* size of the whole segment */
    bool with_redis;         /* there is a second tier */
    bool with_tags;          /* entries may be tagged */
    uint32_t entry_size;     /* bytes expected of a key and its value; 0: layout.h's */
    bool with_lanes;         /* not all that is to be tracked is tracked by one link */
    const char *path;        /* file, or NULL */
    const char *rendezvous;  /* NULL, or the word under which processes meet in runtime_dir */
    const char *runtime_dir; /* NULL: $TMPDIR or /tmp */
};

/* The view of the segment of this identity: the one this process has already, else the file's or the
 * rendezvous's, else a new one.  Each success is to be matched by memory_close.
 * MEMORY_OK; MEMORY_SYSTEM with a sentence naming the file in error. */
int memory_open(const struct memory_config *config, struct memory **memory, char *error,
                size_t error_size);
void memory_close(struct memory *memory);

/* What a segment says of itself. */
struct memory_description {
    uint64_t bytes;
    bool with_redis, with_tags;
    uint32_t entry_size;
    bool with_lanes;
    char name[64];
    char identity[1024];
};

/* A view of the segment in a file that others have made, whatever its identity; nothing is made, removed or
 * replaced.  With read_only it is mapped so, and only memory_get with peek, memory_keys, memory_slot,
 * memory_verify, memory_metric and memory_histogram may be called.  To be matched by memory_close.
 * MEMORY_OK; MEMORY_SYSTEM with a sentence in error. */
int memory_attach(const char *path, bool read_only, struct memory **memory,
                  struct memory_description *description, char *error, size_t error_size);

size_t memory_value_limit(const struct memory *memory);

/* -- Entries ------------------------------------------------------------------------------------ */

enum {
    MEMORY_FROM_REDIS = 1,   /* has an epoch and a freshness; without it the entry is just there */
    MEMORY_CAPPED = 2,       /* expires_ms is earlier than the key's own expiry in Redis */
    MEMORY_NEGATIVE = 4,     /* remembered absence */
    MEMORY_LEASED = 8,       /* fresh only while the lease runs */
    MEMORY_PROVISIONAL = 16, /* a write that is still to be confirmed: invalidations leave it */
    MEMORY_TAGGED = 32       /* is there as long as its tags hold, see below */
};

struct memory_tags;

struct memory_attributes {
    int64_t expires_ms;     /* clock_now_ms() time from which there is no such entry; 0: never */
    int64_t fresh_until_ms; /* MEMORY_FROM_REDIS: past this it is stale; 0: never */
    uint32_t epoch;         /* set by memory; the epoch the entry was stored under */
    uint32_t flags;
    const struct memory_tags *tags; /* MEMORY_TAGGED, of what is to be stored */
};

struct memory_entry {
    struct memory_attributes attributes;
    size_t length;    /* of the value */
    bool epoch_holds; /* the segment's epoch is still the entry's */
    uint32_t slot;    /* where it is, and the version word it was read under */
    uint32_t version;
};

/* Copies the value of a key to buffer.  MEMORY_OK, MEMORY_ABSENT, MEMORY_SMALL (entry->length is set),
 * MEMORY_BUSY (a writer was in the way beyond the bounds).  With buffer NULL only entry is filled in
 * and MEMORY_SMALL is not returned.  Marks the entry as used unless peek. */
int memory_get(struct memory *memory, const void *key, size_t key_length, int64_t now_ms, bool peek,
               void *buffer, size_t size, struct memory_entry *entry);

/* Stores a value, whatever was there.  For a cache without Redis, and for writes that Redis could not
 * be given.  MEMORY_OK, MEMORY_BUSY, MEMORY_TOO_BIG. */
int memory_put(struct memory *memory, const void *key, size_t key_length, const void *value,
               size_t value_length, const struct memory_attributes *attributes, int64_t lock_us);

enum { MEMORY_ITEMS_MAX = 65536 };

/* One key of many. */
struct memory_item {
    const void *key, *value;
    size_t key_length, value_length;
    int status; /* what came of it */
    int32_t next;
};

/* As memory_put and memory_delete, of MEMORY_ITEMS_MAX items at most, in their order where they are of one key;
 * the lock of each shard is taken once, or a few times where much is to be done. */
void memory_put_many(struct memory *memory, struct memory_item *items, size_t count,
                     const struct memory_attributes *attributes, int64_t lock_us);
void memory_delete_many(struct memory *memory, struct memory_item *items, size_t count,
                        int64_t now_ms, int64_t lock_us);

/* Removes an entry.  MEMORY_OK: it was there, unexpired; MEMORY_ABSENT; MEMORY_BUSY. */
int memory_delete(struct memory *memory, const void *key, size_t key_length, int64_t now_ms,
                  int64_t lock_us);

/* -- Changes that depend on what is there: for a cache without Redis -------------------------------- */

/* Each is one hold of the lock: nobody comes between the look and the change (a large value takes more than
 * one, and is looked for in each).  A remembered absence is no entry. */

/* Stores a value if there is no entry of the key.  MEMORY_OK, MEMORY_EXISTS, MEMORY_BUSY, MEMORY_TOO_BIG. */
int memory_add(struct memory *memory, const void *key, size_t key_length, const void *value,
               size_t value_length, const struct memory_attributes *attributes, int64_t lock_us);

/* Stores a value if there is one.  MEMORY_OK, MEMORY_ABSENT, MEMORY_BUSY, MEMORY_TOO_BIG. */
int memory_replace(struct memory *memory, const void *key, size_t key_length, const void *value,
                   size_t value_length, const struct memory_attributes *attributes,
                   int64_t lock_us);

struct memory_addition {
    long double by, init;
    bool with_init; /* there need not be an entry: then it is init that is added to */
    struct memory_attributes attributes; /* of such a new entry */
    long double sum;                     /* memory_incr's answer */
};

/* Adds to the number that is a key's value, in decimal (base/number.h); its expiry stays.
 * MEMORY_OK: sum is said; MEMORY_ABSENT, MEMORY_NOT_A_NUMBER, MEMORY_OUT_OF_RANGE, MEMORY_BUSY. */
int memory_incr(struct memory *memory, const void *key, size_t key_length,
                struct memory_addition *addition, int64_t lock_us);

/* Changes when an entry expires (0: never).  MEMORY_OK, MEMORY_ABSENT, MEMORY_BUSY. */
int memory_expire(struct memory *memory, const void *key, size_t key_length, int64_t expires_ms,
                  int64_t now_ms, int64_t lock_us);

/* -- What belongs to Redis ---------------------------------------------------------------------- */

/* What a key's neighbourhood looked like at a moment: taken before Redis is asked or told, compared
 * when the answer is applied. */
struct memory_token {
    uint32_t epoch; /* bumped when anything may have been missed */
    uint32_t inval; /* + 1 for each invalidation of a key of the bucket */
    uint32_t wseq;  /* + 1 for each own write of a key of the bucket */
    uint64_t tags; /* what memory_tag_number said; not compared, as tags are looked at one by one */
};

void memory_token_read(struct memory *memory, const void *key, size_t key_length,
                       struct memory_token *token);

/* Stores what Redis answered to a read, if nothing happened since the token was taken.
 * MEMORY_OK, MEMORY_REFUSED, MEMORY_BUSY, MEMORY_TOO_BIG. */
int memory_fill(struct memory *memory, const void *key, size_t key_length, const void *value,
                size_t value_length, const struct memory_attributes *attributes,
                const struct memory_token *token, int64_t lock_us);

/* Applies a write that Redis has acknowledged, and counts it in wseq.  Stores the value if no other
 * write came between (token->epoch and ->wseq hold), else drops the entry.
 * MEMORY_OK: stored; MEMORY_REFUSED: dropped; MEMORY_TOO_BIG: dropped; MEMORY_BUSY: the lock could not
 * be had, so the whole segment was dropped by memory_drop_all. */
int memory_commit(struct memory *memory, const void *key, size_t key_length, const void *value,
                  size_t value_length, const struct memory_attributes *attributes,
                  const struct memory_token *token, int64_t lock_us);

/* Drops the entry of a key that was or is being written, and counts that in wseq.
 * MEMORY_OK: it was there, unexpired; MEMORY_ABSENT; MEMORY_BUSY: as memory_commit. */
int memory_drop(struct memory *memory, const void *key, size_t key_length, int64_t now_ms,
                int64_t lock_us);

/* From now on no entry stored before is fresh (those with MEMORY_FROM_REDIS).  One atomic add. */
void memory_epoch_bump(struct memory *memory);

/* From now on no entry stored before exists.  Atomic adds; the space is freed as it is needed. */
void memory_drop_all(struct memory *memory);

/* -- Tracking ------------------------------------------------------------------------------------- */

/* The lease: until this time every change that Redis has reported has been applied here, and every change
 * is reported.  0: there was never a link.  To be read before the entry whose freshness depends on it. */
int64_t memory_lease(const struct memory *memory);

/* Since when: what was read or written after that is fresh as long as the lease runs.  To be read after
 * the lease. */
int64_t memory_lease_since(const struct memory *memory);

/* A key has changed in Redis: its entry goes, unless it is provisional, and so do answers to reads that
 * are under way.  MEMORY_BUSY: the lock could not be had, so everything stopped being fresh. */
int memory_invalidate(struct memory *memory, const void *key, size_t key_length, int64_t lock_us);

/* A link to this server (0: which one cannot be told) reports every change from since_ms on.  True: no gap
 * lies between this and what was reported before, or it is the first.  False: there was a gap, or it was
 * another server, and everything has stopped being fresh. */
bool memory_link_begin(struct memory *memory, int64_t since_ms, uint64_t server);

/* Of which configuration of the servers is the link that has begun: a later one's need not wait for it. */
uint64_t memory_server_epoch(const struct memory *memory);
void memory_server_epoch_set(struct memory *memory, uint64_t epoch);

/* Would memory_link_begin say true, and not because it is the first? */
bool memory_link_reaches(const struct memory *memory, int64_t since_ms, uint64_t server);

/* A link that has begun has reported every change up to until_ms, and they have been applied.  False: that
 * is of no interest, since links have begun to report of another server. */
bool memory_link_covers(struct memory *memory, int64_t until_ms, int64_t lease_ms, uint64_t server);

/* Is what this server answers what links report of, as far as that can be told? */
bool memory_server_fits(const struct memory *memory, uint64_t server);

/* A link that reports from since_ms on cannot begin before another has reported so far: that one may hurry.
 * Is there one that waits so? */
void memory_cover_want(struct memory *memory, int64_t since_ms);
bool memory_cover_is_wanted(const struct memory *memory);

/* -- Lanes ----------------------------------------------------------------------------------------- */

/* Only in a segment with_lanes.  Each lane has a lease of its own, and may stop being fresh alone; memory_lease and
 * memory_lease_since are of all of them together, the least and the latest.  So an entry that is fresh as in any other
 * segment is, and one that is not may still be: memory_lane_look. */

/* As memory_epoch_bump, for entries of these lanes. */
void memory_lanes_bump(struct memory *memory, const struct lanes *lanes);

/* As the functions without lane. */
int64_t memory_lane_lease(const struct memory *memory, unsigned lane);
int64_t memory_lane_since(const struct memory *memory, unsigned lane);
bool memory_lane_reaches(const struct memory *memory, unsigned lane, int64_t since_ms,
                         uint64_t server);
bool memory_lane_fits(const struct memory *memory, unsigned lane, uint64_t server);
uint64_t memory_lane_server_epoch(const struct memory *memory, unsigned lane);

/* Has no link ever covered it? */
bool memory_lane_is_new(const struct memory *memory, unsigned lane);

/* Links to these servers, of that configuration, report every change in the lane from since_ms on.  Where a gap lies
 * before that, memory_lanes_bump has come first: bumped.  False: it has not, and there is one, as somebody else has
 * begun another cover meanwhile. */
bool memory_lane_begin(struct memory *memory, unsigned lane, int64_t since_ms, uint64_t server,
                       uint64_t server_epoch, bool bumped);
bool memory_lane_covers(struct memory *memory, unsigned lane, int64_t until_ms, int64_t lease_ms,
                        uint64_t server);

/* A gap before since_ms is about to be told, by memory_lanes_bump: nothing of before that counts as covered from now on. */
void memory_lane_break(struct memory *memory, unsigned lane, int64_t since_ms);

/* After some of those: what follows for all together.  least_ms: up to when all those lanes are covered. */
void memory_lanes_sum(struct memory *memory, int64_t least_ms);

/* The lane's lease, for an entry of it that was read before; entry->epoch_holds becomes what it is by the lane's
 * epoch, and false if the entry is not as it was read any more.  If it is true, the entry's epoch is made the present
 * one, so that it can go by that from now on. */
int64_t memory_lane_look(const struct memory *memory, unsigned lane, struct memory_entry *entry);

/* A key (NULL: any of them) has been changed.  Since when it has not, as far as anybody who shares the segment has said;
 * another one may be taken for it. */
void memory_changed(struct memory *memory, const char *key, size_t key_length, int64_t now_ms);
int64_t memory_unchanged_since(const struct memory *memory, const char *key, size_t key_length);

/* -- Places ---------------------------------------------------------------------------------------- */

/* Two places for links.  memory_place_hold takes a place, or keeps it: true while it is owner's.  An owner
 * that has died, or has not been heard of for silent_ms, loses it to the next who asks. */
bool memory_place_hold(struct memory *memory, int place, uint64_t owner, int64_t now_ms,
                       int64_t silent_ms);
bool memory_place_taken(const struct memory *memory, int place, int64_t now_ms, int64_t silent_ms);
void memory_place_leave(struct memory *memory, int place, uint64_t owner);

/* The link of a place that owner holds has begun (0: is gone). */
void memory_place_begun(struct memory *memory, int place, uint64_t owner, int64_t since_ms);

/* Is there another link than owner's that has begun, no later than by_ms, and will stay? */
bool memory_place_covers(const struct memory *memory, uint64_t owner, int64_t by_ms, int64_t now_ms,
                         int64_t silent_ms);

/* How many links have begun. */
int memory_places_covering(const struct memory *memory, int64_t now_ms);

/* owner has given its place up, and keeps its link (begun at since_ms; 0: not yet) for a while.  To be
 * said again and again, until it has left. */
void memory_leaving(struct memory *memory, uint64_t owner, int64_t since_ms, int64_t now_ms,
                    int64_t silent_ms);
void memory_left(struct memory *memory, uint64_t owner);

/* Is there another link than owner's that has begun, whether it will stay or not? */
bool memory_others_cover(const struct memory *memory, uint64_t owner, int64_t now_ms,
                         int64_t silent_ms);

/* A process was forked that has the segment, and may come to use it.  When that last happened. */
void memory_born(struct memory *memory, int64_t now_ms);
int64_t memory_last_born(const struct memory *memory);

/* Notes that owner would take a place, or would not any more.  Would others? */
void memory_attend(struct memory *memory, uint64_t owner, int64_t now_ms, int64_t silent_ms);
void memory_attend_no_more(struct memory *memory, uint64_t owner);
bool memory_others_attend(const struct memory *memory, uint64_t owner, int64_t now_ms,
                          int64_t silent_ms);

/* -- Tags ------------------------------------------------------------------------------------------ */

/* Only in a segment with_tags.  Invalidations of tags are numbered.  A tagged entry is there as long as none
 * of its tags has been invalidated by one with a greater number than the entry's, which was read before
 * what is stored was asked for or made.  The segment knows the latest invalidations by hashes of tags, in
 * two places each: where both are another tag's, an entry goes too early, and never too late. */

enum { MEMORY_TAGS_MAX = 1000 }; /* of an entry */

struct memory_tags {
    uint64_t number;
    uint32_t count; /* 1 to MEMORY_TAGS_MAX */
    const uint32_t *hashes;
};

/* What stands for a tag, in this segment. */
uint32_t memory_tag_hash(const struct memory *memory, const void *tag, size_t length);

/* The number of the latest invalidation. */
uint64_t memory_tag_number(const struct memory *memory);

/* Has none of these tags been invalidated since? */
bool memory_tags_hold(const struct memory *memory, const struct memory_tags *tags);

/* From now on no entry exists that has this tag and was stored, or asked for, before.  Takes no lock. */
void memory_tag_invalidate(struct memory *memory, uint32_t hash);

/* A number that changes with each invalidation, once it is done: for a near table, who reads it before the
 * entry.  0 in a segment without tags. */
uint32_t memory_tag_epoch(const struct memory *memory);

/* The server's clock, in microseconds, as it was last told, and what it has told now. */
uint64_t memory_tag_seen(const struct memory *memory);
void memory_tag_see(struct memory *memory, uint64_t time_us);

/* -- Trying a Redis that is away --------------------------------------------------------------- */

/* A process has got through to it.  Has one since a time? */
void memory_probe_reach(struct memory *memory, int64_t now_ms);
bool memory_probe_reached(const struct memory *memory, int64_t since_ms);

/* May this process try now?  now_ms: it may, and the others wait; or else when to ask again.  random: any 32
 * random bits. */
int64_t memory_probe_try(struct memory *memory, int64_t now_ms, uint32_t random);

/* -- Writes that Redis could not be told --------------------------------------------------------- */

enum memory_replay_kind { MEMORY_REPLAY_NONE, MEMORY_REPLAY_SET, MEMORY_REPLAY_DELETE };

struct memory_replay {
    enum memory_replay_kind kind;
    uint64_t number;
    int64_t made_ms, expires_ms; /* expires 0: never */
    size_t key_length;
    char key[256];
};

/* Remembers that Redis is to be told of a write of this key, in place of what was remembered of it
 * before.  False: there is no place for it (the table is full, the key too long, the lock not to be had),
 * and it is counted as lost. */
bool memory_replay_put(struct memory *memory, const void *key, size_t key_length,
                       enum memory_replay_kind kind, int64_t expires_ms, int64_t now_ms,
                       int64_t lock_us);

/* What is remembered of a key.  Nothing costs one load when nothing is remembered of any. */
enum memory_replay_kind memory_replay_peek(struct memory *memory, const void *key,
                                           size_t key_length, int64_t lock_us);

/* A new write of this key is about to be sent: what is remembered is forgotten.  False: Redis is being
 * told at this moment, or the lock was not to be had, and the new write must be remembered instead, lest it
 * be overtaken. */
bool memory_replay_forget(struct memory *memory, const void *key, size_t key_length,
                          int64_t lock_us);

/* Writes remembered now; and how many were lost, which taking resets. */
uint32_t memory_replay_count(const struct memory *memory);
uint32_t memory_replay_take_lost(struct memory *memory);

/* Forgets the writes of keys that match a glob (NULL: all). */
void memory_replay_remove(struct memory *memory, const char *glob, size_t glob_length);

/* Becomes or stays the one who tells Redis, as memory_place_hold.  Whoever takes over finds nothing in
 * flight. */
bool memory_replay_hold(struct memory *memory, uint64_t owner, int64_t now_ms, int64_t silent_ms);

/* For that one, when it has nothing in flight: nor has the table. */
void memory_replay_ground(struct memory *memory);

/* The next write of a kind from a place in the table on that is not in flight, which it then is.  False:
 * none, or the lock was not to be had. */
bool memory_replay_next(struct memory *memory, enum memory_replay_kind kind, uint32_t *at,
                        struct memory_replay *replay, int64_t lock_us);

/* Redis has been told, or has not; forgotten if so and no later write was remembered meanwhile. */
void memory_replay_over(struct memory *memory, const struct memory_replay *replay, bool told,
                        int64_t lock_us);

/* -- Flights -------------------------------------------------------------------------------------- */

enum { MEMORY_FLIGHT_ERROR = 192 };

/* A run of a loader. */
struct memory_flight {
    uint64_t number; /* never used again */
    uint32_t place;
};

struct memory_flight_outcome {
    int outcome; /* as given to memory_flight_end */
    size_t error_length;
    char error[MEMORY_FLIGHT_ERROR];
};

/* Begins a flight for a key, which this process then owns until until_ms, or says whose is under way.
 * wait: in that case its end is to be told (memory_flight_word).
 * MEMORY_OK: begun; MEMORY_MORE: another one is under way, and is not its owner's who died or whose time
 * is over; MEMORY_REFUSED: there is no place; MEMORY_BUSY. */
int memory_flight_begin(struct memory *memory, const void *key, size_t key_length, bool wait,
                        int64_t now_ms, int64_t until_ms, struct memory_flight *flight);

/* A number of its own for what has no flight. */
uint64_t memory_flight_number(struct memory *memory);

/* Has it neither ended nor been given up?  Takes no lock. */
bool memory_flight_is_under_way(const struct memory *memory, const struct memory_flight *flight);

/* MEMORY_MORE: it is under way; is_alive: and its owner was looked for.  MEMORY_OK: it has ended so.
 * MEMORY_ABSENT: it was given up, or ended so long ago that it is forgotten.  MEMORY_BUSY. */
int memory_flight_look(struct memory *memory, const struct memory_flight *flight, int64_t now_ms,
                       bool is_alive, struct memory_flight_outcome *outcome);

/* Ends it, if it is under way.  True: somebody waited, and all processes were told. */
bool memory_flight_end(struct memory *memory, const struct memory_flight *flight, int outcome,
                       const char *error, size_t error_length);

/* Ends whatever flight of a key is under way, whoever owns it, and tells all who wait for anything. */
void memory_flight_end_of(struct memory *memory, const void *key, size_t key_length, int outcome);

/* A word that changes whenever a flight ends that somebody waits for.  memory_flight_sleep waits until it
 * is another than word, ms at most; memory_flight_ring changes it, and wakes all sleepers. */
uint32_t memory_flight_word(const struct memory *memory);
void memory_flight_sleep(const struct memory *memory, uint32_t word, int64_t ms);
void memory_flight_ring(struct memory *memory);

/* -- Walks, in steps ---------------------------------------------------------------------------- */

/* Each step takes a bounded time.  cursor starts at 0 and is whole.  They answer MEMORY_MORE, or
 * MEMORY_OK when the walk is over; MEMORY_BUSY as above, the cursor unmoved. */

/* Keys that match the glob (NULL: all), unexpired, each as a 4-byte length in host order and its bytes.
 * length: bytes written, count: keys.  MEMORY_SMALL: not even the next one fits. */
int memory_keys(struct memory *memory, double *cursor, const char *glob, size_t glob_length,
                int64_t now_ms, void *buffer, size_t size, size_t *length, size_t *count);

/* Removes entries whose key matches the glob (NULL: all; then the first step is memory_drop_all, and
 * only entries that were there at that time go).  count: unexpired ones removed. */
int memory_remove(struct memory *memory, double *cursor, const char *glob, size_t glob_length,
                  int64_t now_ms, int64_t lock_us, size_t *count);

/* Removes expired entries, at most max (0: no limit) a call.  count: how many. */
int memory_cleanup(struct memory *memory, double *cursor, size_t max, int64_t now_ms,
                   int64_t lock_us, size_t *count);

/* -- Near tables --------------------------------------------------------------------------------- */

/* Where to look whether an entry that was read is still there, unchanged: see tandem_near. */
struct memory_near {
    const uint32_t *words;
    const uint32_t *epoch;
    const uint32_t *tag_epoch; /* NULL in a segment without tags */
    uint8_t *marks;
    double *hits; /* a counter of whoever claimed it */
};

/* For a near table: where in words a slot's version is.  False when that number has no room. */
bool memory_near_word(uint32_t slot, uint32_t *index);

/* Claims a counter for the caller, who gives it back or dies.  MEMORY_OK; MEMORY_BUSY: all are
 * claimed. */
int memory_near_claim(struct memory *memory, struct memory_near *near);

/* Gives back what this process claimed.  NULL is fine. */
void memory_near_release(struct memory *memory, double *hits);

/* -- For tools ------------------------------------------------------------------------------------ */

/* Slots that entries may be in, numbered from 0. */
uint32_t memory_slots(const struct memory *memory);

/* The key of the entry in a slot; key has room for MEMORY_KEY_MAX bytes.  False: there is none. */
bool memory_slot(const struct memory *memory, uint32_t slot, int64_t now_ms, void *key,
                 size_t *key_length, size_t *value_length);

/* Of n slots, which were read since marks were last taken: counted in times (255 at most).  To be given back
 * in the end: times of whatever was taken, and they are marked as before. */
void memory_marks_take(struct memory *memory, uint32_t from, uint32_t n, uint8_t *times);
void memory_marks_give(struct memory *memory, uint32_t from, uint32_t n, const uint8_t *times);

/* What was found in a shard. */
struct memory_findings {
    double slots, entries, expired, absences;
    double bytes;           /* of keys and values */
    double unsettled;       /* slots that were in change whenever they were looked at */
    double busy_shards;     /* 1: so were the shard's sums, which were not compared */
    double orphaned_shards; /* 1: its writer died in it; the next one will empty it */
    double damaged;
    char first[160]; /* the first damage, as a sentence */
};

/* Looks at everything in a shard.  False: there is no such shard. */
bool memory_verify(const struct memory *memory, uint32_t shard, int64_t now_ms,
                   struct memory_findings *findings);

/* -- Numbers ------------------------------------------------------------------------------------ */

void memory_count(struct memory *memory, enum memory_counter counter, uint64_t n);

/* Row i of the table in stats.h, counters first: over all processes. */
double memory_metric(struct memory *memory, int i);

/* Something took so long. */
void memory_observe(struct memory *memory, enum memory_histogram which, int64_t ns);

/* How many observations each bucket has, over all processes, and their sum.  False: no such histogram. */
bool memory_histogram(const struct memory *memory, int which, double counts[HISTOGRAM_BUCKETS],
                      double *sum_seconds);

/* The longest that a bucket has; INFINITY: the last bucket. */
double memory_bound_seconds(int bucket);

#endif
