/*
 * layout.h: every byte of a segment.  Whatever changes what another process would see changes here,
 * and the fingerprint (layout.c) with it.
 *
 *   +--------+----------+------------+------+---------+------+-------+--------+---------+--------+--------+-------+
 *   | header | counters | histograms | near | flights | tags | lanes | shards | buckets | ghosts | tables | pages |
 *   +--------+----------+------------+------+---------+------+-------+--------+---------+--------+--------+-------+
 *   0        page       page         page   page      page   page    page     page      page     page     page    bytes
 *
 * and in each part but the first seven what belongs to shard 0, then to shard 1, and so on.  A key's hash
 * chooses a shard, and in it two groups of two buckets of four slots.  A slot says where in which of
 * the shard's two logs the key's record is.  Nothing in a segment is a pointer.
 *
 * A log is a stream of units that only ever grows at its head and shrinks at its tail; its table says
 * which page holds each stretch of it, so the two logs of a shard share its pages freely, and neither
 * wraps nor fragments.
 *
 *   table          [ pages of log 0, by offset / page, modulo ][ the same of log 1 ][ free pages, a stack ]
 *
 *   bucket, one cache line
 *   +--------+--------+--------+--------+-----+-----+-----+-----+----+----+----+----+----+---+-----+----+
 *   | word 0 | word 1 | word 2 | word 3 | version 0 . 1 . 2 . 3 | mark 0 . 1 . 2 . 3| policy | inval|wseq|
 *   +--------+--------+--------+--------+-----+-----+-----+-----+----+----+----+----+----+---+-----+----+
 *   0        8        16       24       32                      48                  52       56     60
 *
 *   slot word      63   62        36 35           16 15          0     0: the slot is empty
 *                  [log][ offset / 8][ length / 8   ][ tag        ]    tag: 16 bits of the hash
 *
 *   record         63                 16 15     14 13          0
 *        word 0    [ expiry, monotonic ms ][ bucket ][ key length ]
 *        word 1    [ value length (24) ][flags 8][ epoch (32) ]
 *        word 2    [ beginning (32)  ][ slack / 8 (8) ][ used (24) ]
 *        word 3    [ fresh until, monotonic ms               ]        only with MEMORY_FROM_REDIS
 *        and       [ tag number (48)             ][ tags (16) ]       only with MEMORY_TAGGED, and then
 *                  [ hash of a tag    ][ hash of another      ]       as many as that says
 *        then the key's bytes, then the value's but for its first four, which are the beginning in word 2 (of 512
 *        bytes and more, they go on at a word); then up to 7 bytes of nothing, then the slack
 *
 *   Which slot stands for a record is found by its key: one of the four in that one of the key's buckets has a
 *   word that says this very place, or the record is dead.
 *
 *   ghost          31           16    15    14            0
 *                  [ fingerprint  ][ log ][ when it left  ]            0: none
 *
 *   flight, 256 bytes, in groups of 8 of which a key's hash chooses one
 *   +--------+--------+-------+----------+-------+---------+--------+--------+-------------+-----------+
 *   | number | hash (16 bytes)| owner    | until | ended   | state  | outcome| error length| error     |
 *   +--------+--------+-------+----------+-------+---------+--------+--------+-------------+-----------+
 *   0        8                24         32      40        48       52       56            64
 *
 * Words are little-endian; x86-64 and arm64 are, and memory orders are written for the weaker one.
 *
 * Who may write what
 *   - pages, tables, ghosts, slot words, versions, policy bytes, inval, wseq, and all of a shard but its
 *     mutex: only the holder of the shard's lock, with atomic stores where readers look without it.
 *   - marks: anybody, at any time.  A mark is a byte of its own, so that this can hurt nobody.
 *   - epoch, floor, lease, covered, wanted, counters, histograms, those of lanes, and when keys were changed:
 *     anybody; they only grow.
 *   - probe: by compare-and-swap, whoever wants to try; reached: whoever has got through.
 *   - places: by compare-and-swap, whoever finds one vacant or its owner silent.
 *   - near: an owner, anybody, by compare-and-swap; the hits beside it, only the owner, by plain stores.
 *   - flights: only the holder of one of their locks, which is their group's number modulo the locks';
 *     number and state with atomic stores, because those who wait look without it.
 *   - flight_number, flight_word: anybody; they only grow.
 *   - tag_number, tag_epoch, and the tags: anybody; they only grow.  tag_seen: anybody.
 *   - all else: whoever made the segment, before anyone else could see it.
 */
#ifndef TANDEM_MEMORY_LAYOUT_H
#define TANDEM_MEMORY_LAYOUT_H

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/lanes.h"
#include "memory/stats.h"

#if !defined(__linux__) || !(defined(__x86_64__) || defined(__aarch64__))
#error "tandem runs on Linux on x86-64 and arm64"
#endif

enum {
    LAYOUT_VERSION = 9,
    LAYOUT_PAGE = 4096,
    LAYOUT_SLOTS = 4,            /* per bucket */
    LAYOUT_GROUP = 2,            /* buckets side by side that a key may be in */
    LAYOUT_COUNTER_BLOCKS = 64,  /* chosen by pid */
    LAYOUT_HISTOGRAM_BLOCKS = 8, /* likewise */
    LAYOUT_NEAR = 256,           /* counters of near hits, each with one writer */
    LAYOUT_UNIT = 8,             /* offsets and lengths in a slot word count these */
    LAYOUT_HEAD_WORDS = 3,       /* of a record without freshness */
    LAYOUT_KEY_BITS = 14,        /* of the length of a key, in these */
    LAYOUT_HEAD_BYTES = 4,       /* of the value that are in these */
    LAYOUT_LONG_VALUE = 512,     /* such values go on at a word */
    LAYOUT_ENTRY_SIZE = 116,     /* bytes of key and value, unless something else is expected */
    LAYOUT_ENTRY_MIN = 16,
    LAYOUT_ENTRY_MAX = 4096, /* of larger ones so few are expected that all have a slot */
    LAYOUT_GHOSTS_PER_BUCKET =
        5,                   /* of such entries one and a half for each; of larger ones, more */
    LAYOUT_GHOST_GROUP = 8,  /* ghosts that a fingerprint may be among: 32 bytes */
    LAYOUT_PAGES_KEPT = 5,   /* per shard: two logs begin and end within a page, and one moves */
    LAYOUT_SLACK_UNITS = 255 /* most that an entry may shrink in place */
};

enum {
    LAYOUT_PLACES = 2,  /* tracking links at a time: each is the other's standby */
    LAYOUT_LEAVING = 8, /* and those of processes that are about to exit */
    LAYOUT_SHARDS_MAX = 1024,
    LAYOUT_FLIGHT_GROUP = 8, /* places that a key's flight may have */
    LAYOUT_FLIGHT_LOCKS = 8,
    LAYOUT_FLIGHT_ERROR = 192,
    LAYOUT_REPLAY_KEY = 224,  /* longest key of a write that can be told later */
    LAYOUT_REPLAY_GROUP = 16, /* places that a key may have in the table */
    LAYOUT_ATTENDING = 40     /* processes that would take a place */
};

enum { LOG_SMALL, LOG_MAIN, LOGS };
enum { SHARD_SETS, SHARD_EVICTIONS, SHARD_EXPIRED, SHARD_COUNTS };

#define LAYOUT_MAGIC "tandem segment\n"
#define LAYOUT_SLOTS_MAX (UINT64_C(1) << 31)    /* of a segment; they are numbered by 32 bits */
#define LAYOUT_OFFSET_UNITS (UINT64_C(1) << 27) /* of a log; it has half of them at most */
#define LAYOUT_LENGTH_UNITS (UINT64_C(1) << 20) /* a record is below 8 MiB */
#define LAYOUT_EXPIRES_MAX ((INT64_C(1) << 47) - 1)

struct layout_bucket {
    _Atomic uint64_t word[LAYOUT_SLOTS];
    _Atomic uint32_t version[LAYOUT_SLOTS]; /* odd while a writer is at it */
    _Atomic uint8_t mark[LAYOUT_SLOTS];     /* read since the policy last looked */
    uint8_t policy[LAYOUT_SLOTS];           /* the policy's, under the lock */
    _Atomic uint32_t inval; /* invalidations of keys whose first group begins with this bucket */
    _Atomic uint32_t wseq;  /* own writes of such keys */
};

struct layout_log {
    _Atomic uint64_t head, tail; /* units ever appended, ever dropped */
    _Atomic uint64_t live;       /* units of records that a slot stands for */
};

struct layout_shard {
    alignas(128) pthread_mutex_t mutex;
    _Atomic uint32_t out_of_service; /* its lock is beyond repair */
    uint32_t free_pages;
    struct layout_log log[LOGS];
    _Atomic uint64_t entries;

    /* The policy's; the units of the small log's head are its clock. */
    uint64_t small_share;  /* units that the small log should have */
    uint64_t judged;       /* marks of what is before this offset of the small log count */
    uint64_t small_stay;   /* how long what was last evicted from the small log had been there */
    uint64_t main_gone;    /* units ever evicted from the main log */
    uint32_t useless;      /* promotions in a row that were never read again */
    uint32_t ghosts_swept; /* the group of ghosts that was last looked at for old ones */

    uint32_t writes, hand; /* sweep.c's: a count, and the slot to be looked at next */

    _Atomic uint64_t count[SHARD_COUNTS]; /* what happens under the lock only, and often */
};

struct layout_counters {
    alignas(64) _Atomic uint64_t count[COUNT_COUNTERS];
};

struct layout_histogram {
    _Atomic uint64_t sum_ns;
    _Atomic uint64_t count[HISTOGRAM_BUCKETS];
};

struct layout_histograms {
    alignas(64) struct layout_histogram of[HISTOGRAMS];
};

/* What links report: cover.h. */
struct layout_cover {
    _Atomic int64_t
        covered_ms;           /* up to then a link has reported, and its report has been applied */
    _Atomic int64_t since_ms; /* from when on, without a gap */
    _Atomic uint64_t server;  /* which server's link that was; 0: it cannot be told */
    _Atomic uint64_t server_epoch; /* of the servers' configuration, as that link knew it */
};

/* What the header has for all keys, for those of a lane. */
struct layout_lane {
    _Atomic int64_t lease_ms;
    struct layout_cover cover;
    _Atomic uint32_t
        epoch; /* entries of an older one than this, or than that of all, are not fresh */
};

/* With a table of when keys were last said to have changed, by their hashes: changes.c. */
struct layout_lanes {
    _Atomic uint32_t epoch; /* of all */
    struct layout_lane of[LANES];
    _Atomic int64_t all_changed_ms;
    _Atomic int64_t changed_ms[];
};

/* Somebody, and when last heard of. */
struct layout_place {
    _Atomic uint64_t owner; /* 0: vacant */
    _Atomic int64_t beat_ms;
    _Atomic int64_t since_ms; /* a link's: what it covers, once that counts; 0: not yet */
    _Atomic uint64_t process; /* what owner_self() says of it */
};

struct layout_near {
    _Atomic uint64_t owner; /* 0: nobody; else a process's number and what it is a number in */
    _Atomic uint64_t hits;  /* a double; outlives its owners */
};

/* One run of a loader. */
struct layout_flight {
    _Atomic uint64_t number; /* 0: nothing here */
    uint64_t hash[2];
    uint64_t owner;
    int64_t until_ms, ended_ms;
    _Atomic uint32_t state; /* enum flight_state */
    uint32_t outcome;
    uint32_t error_length;
    uint32_t awaited;
    char error[LAYOUT_FLIGHT_ERROR];
};

/* A write that Redis could not be told. */
struct layout_replay {
    _Atomic uint64_t number;     /* of all such writes; 0: nothing here */
    int64_t made_ms, expires_ms; /* monotonic; expires 0: never */
    uint32_t hash;               /* of the key's bytes */
    uint16_t key_length;
    uint8_t kind;      /* enum memory_replay_kind */
    uint8_t in_flight; /* somebody is telling Redis at this moment */
    char key[LAYOUT_REPLAY_KEY];
};

struct layout_header {
    /* These three never move, whatever the layout. */
    char magic[16];
    _Atomic uint32_t superseded; /* the file was replaced by another */
    uint32_t unused;
    char fingerprint[104]; /* of the layout, with the libc and the boot */

    uint64_t bytes; /* everything below follows from it */
    uint64_t seed;  /* of the hash */
    uint64_t identity_hash;
    uint64_t with_redis, with_tags; /* 0 or 1: the layout depends on them, too */
    uint64_t entry_size;            /* and on this */
    uint64_t with_lanes;            /* 0 or 1, as those */
    char name[64];
    char identity[1024];

    /* Read by everybody all the time, written hardly ever: a line of their own. */
    alignas(64) _Atomic uint32_t epoch; /* entries from Redis of an older one are not fresh */
    _Atomic uint32_t floor;             /* entries of an epoch before this one do not exist */
    _Atomic int64_t
        lease_ms; /* until then what Redis has changed has been dropped; 0: no link yet */
    _Atomic uint32_t tag_epoch;  /* invalidations of tags that are done: tags.c */
    _Atomic uint64_t tag_number; /* of the latest that has begun */
    _Atomic uint64_t
        tag_seen; /* the latest time that the server has told, in its own microseconds */

    alignas(64) struct layout_place places[LAYOUT_PLACES];
    struct layout_cover cover;
    _Atomic int64_t
        wanted_ms; /* a link that reports from then on waits for another to report so far */
    _Atomic int64_t born_ms; /* when a process last inherited the segment */
    struct layout_place leaving[LAYOUT_LEAVING];
    struct layout_place attending[LAYOUT_ATTENDING];

    _Atomic uint64_t probe;     /* when Redis, being away, is tried next (probe.c) */
    _Atomic int64_t reached_ms; /* when a process last got through to it */

    alignas(64) pthread_mutex_t replay_mutex; /* of the table of writes to be told to Redis */
    _Atomic uint32_t replay_count;
    _Atomic uint32_t replay_lost; /* writes that found no place in it, since Redis was last back */
    _Atomic uint64_t replay_number;
    struct layout_place replayer; /* who tells Redis */

    alignas(64) pthread_mutex_t flight_mutex[LAYOUT_FLIGHT_LOCKS];
    uint32_t flight_flux[LAYOUT_FLIGHT_LOCKS]; /* 1 + the flight being changed under that lock */
    _Atomic uint64_t flight_number;            /* of the latest */
    alignas(64) _Atomic uint32_t flight_word;  /* a futex: changes when one ends that is awaited */
};

/* Where things are in a segment of so many bytes. */
struct layout {
    uint64_t bytes;
    uint32_t shards;       /* a power of two */
    uint32_t buckets;      /* per shard, a multiple of LAYOUT_GROUP */
    uint32_t ghosts;       /* per shard */
    uint32_t pages;        /* per shard */
    uint32_t page_shift;   /* units of a page, as a power of two */
    uint32_t table_length; /* entries of a log's table, a power of two */
    uint64_t capacity;     /* units that the records of a shard may take */
    uint32_t flights;      /* a multiple of LAYOUT_FLIGHT_GROUP */
    uint32_t replays;      /* entries, a multiple of LAYOUT_REPLAY_GROUP; 0 without Redis */
    uint32_t tags;         /* a power of two; 0 without tags */
    bool lanes;            /* there are some */
    uint32_t changes;      /* in their table, a power of two */
    uint64_t counters_at, histograms_at, near_at, flights_at, tags_at, lanes_at, shards_at,
        buckets_at, ghosts_at;
    uint64_t tables_at, replays_at;
    uint64_t pages_at;
    uint64_t value_limit;
};

_Static_assert(sizeof(struct layout_bucket) == 64, "a bucket is a cache line");
_Static_assert(sizeof(struct layout_shard) == 256, "a shard is four");
_Static_assert(sizeof(struct layout_header) <= LAYOUT_PAGE, "the header is a page");
_Static_assert(sizeof(struct layout_replay) == 256, "replays are aligned");
_Static_assert(sizeof(struct layout_flight) == 256, "flights are, too");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2, "plain atomics");

/* 16-bit words of a shard's tables. */
static inline uint64_t layout_table_words(const struct layout *layout)
{
    return LOGS * (uint64_t)layout->table_length + layout->pages;
}

/* What a segment has beside entries. */
struct layout_wants {
    bool redis;          /* a table of writes to be told to it later, a 64th of the segment */
    bool tags;           /* a table of tags, a 128th of it at most */
    uint32_t entry_size; /* bytes that a key and its value have on average; 0: LAYOUT_ENTRY_SIZE */
    bool lanes;          /* a lease for each of them */
};

/* The layout of a segment of that size, which is 1 MiB at least. */
void layout_compute(uint64_t bytes, const struct layout_wants *wants, struct layout *layout);

/* Text that differs whenever two builds or boots must not share a segment.  Not NUL-padded beyond its
 * end: compare as a string. */
void layout_fingerprint(char *text, size_t size);

#endif
