/*
 * lanes.h: parts of the keyspace, each as likely to have a key as another.  Where several servers stand behind one URL
 * what memory may believe is decided lane by lane; which lane a key is in is the redis room's to say, and which servers
 * have it is nobody else's concern.
 */
#ifndef TANDEM_BASE_LANES_H
#define TANDEM_BASE_LANES_H

#include <stdbool.h>
#include <stdint.h>

enum { LANES = 256 };

/* Some of them. */
struct lanes {
    uint64_t word[LANES / 64];
};

static inline void lanes_add(struct lanes *lanes, unsigned lane)
{
    lanes->word[lane / 64] |= UINT64_C(1) << lane % 64;
}

static inline bool lanes_has(const struct lanes *lanes, unsigned lane)
{
    return lanes->word[lane / 64] >> lane % 64 & 1;
}

static inline bool lanes_any(const struct lanes *lanes)
{
    return (lanes->word[0] | lanes->word[1] | lanes->word[2] | lanes->word[3]) != 0;
}

#endif
