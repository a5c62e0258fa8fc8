/*
 * lanes.pml: a model of how part of what memory has stops being fresh, for spin; run by tools/model.  The protocol in
 * words: docs/topology.md, "Freshness"; the code: c/src/memory/epoch.c and lane.c.
 *
 * Two lanes, and one key, which is in the first.  One entry of it, which answers fill and reports drop.  The first lane's
 * lease: it runs out, and is renewed by a report that has dropped what changed meanwhile, or after a gap, of which nobody
 * knows what has changed, by a bump.  Movers, each of which bumps a lane, at any time, and may die in that.  Readers, who
 * keep what was fresh in a near table and hit it later.  The second lane is always well, so that the lease of all is
 * that of the first.
 *
 * Leases are numbers.  One that has run out is as one whose time a reader's clock has passed when the read began.
 * Asserted is, of what is served as fresh by a lease:
 *
 *   - it was asked for after each bump of its lane that had ended when the read began;
 *   - nothing has changed since that the lease tells of.
 *
 * And at the end, that what is asked for then is kept, and fresh: no lane was raised above the epoch for good, but by
 * one who died.
 *
 * Locks and torn reads are memory.pml's, the link's own races coherence.pml's.
 *
 * BROKEN, one of the names below, takes a piece away that must be missed.
 */
#define NOTHING 0
#define EPOCH_BEFORE_LANE 1 /* a lane is raised once the epoch is another */
#define RAISED_ONCE 2       /* it is not raised anew though another bump came first */
#define LANE_UNSEEN 3       /* whoever sees another epoch does not look at the lane's */
#define VERSION_UNSEEN 4    /* or takes the lease, and not a look at what became of the entry before that was renewed */
#define LANE_FIRST 5        /* or looks at the lane's epoch, and takes the lease after that */
#define NEAR_EPOCH_LATE 6   /* what is kept near goes by the epoch that is when its lane has been looked at */
#define LEASE_FIRST 7       /* after a gap the lease is renewed, and the lane bumped after that */

#ifndef BROKEN
#define BROKEN NOTHING
#endif
#ifndef MOVES
#define MOVES 1 /* bumps of each lane */
#endif
#ifndef RENEWALS
#define RENEWALS 1 /* of the lease, once it has run out */
#endif
#ifndef FILLS
#define FILLS 1
#endif
#ifndef DEATHS
#define DEATHS 0
#endif

byte epoch = 1, lane_epoch[2] = 1;
byte lease = 1, whole = 1, over; /* the latest that has run out */
byte inval;

/* The entry. */
bool kept;
byte entry_epoch, version, value;
byte asked; /* how many bumps of its lane had ended when it was asked for */

/* What nobody knows but the assertions. */
byte bumps;
byte writes;       /* in Redis */
byte lease_of[4];  /* which lease could be had, or had run out, when each came */
byte deaths, running = 3 + 2 * MOVES;

#define raise(lane, number)                                            \
    d_step {                                                           \
        if                                                             \
        :: lane_epoch[lane] < number -> lane_epoch[lane] = number      \
        :: else                                                        \
        fi                                                             \
    }

inline bump(lane) {
    seen = epoch;
    next = seen + 1;
    do
    ::  if
        :: BROKEN != EPOCH_BEFORE_LANE -> raise(lane, next)
        :: else
        fi;
        if
        :: deaths < DEATHS && mortal -> deaths++; goto dead
        :: true
        fi;
        d_step {
            if
            :: epoch == seen || BROKEN == RAISED_ONCE ->
                epoch++;
                seen = 0;
                bumps = (BROKEN == EPOCH_BEFORE_LANE || lane == 1 -> bumps : bumps + 1)
            :: else ->
                seen = epoch;
                next = seen + 1
            fi
        };
        if
        :: seen == 0 -> break
        :: else
        fi
    od;
    if
    :: BROKEN == EPOCH_BEFORE_LANE ->
        raise(lane, next);
        bumps = (lane == 0 -> bumps + 1 : bumps)
    :: else
    fi
}

proctype mover(byte lane) {
    byte seen, next;
    bool mortal = true;

    bump(lane);
dead:
    running--
}

#define write()                                                        \
    d_step {                                                           \
        writes++;                                                      \
        lease_of[writes] = lease                                       \
    }

/* The link of the first lane. */
proctype link() {
    byte seen, next, n;
    bool mortal = false;

    do
    :: n < RENEWALS ->
        n++;
        write();
        over = lease;
        if
        :: true -> /* it is reported, late */
            d_step {
                inval++;
                version = (kept -> version + 1 : version);
                kept = false
            };
            lease++
        :: BROKEN != LEASE_FIRST -> /* there was a gap */
            bump(0);
            lease++
        :: BROKEN == LEASE_FIRST ->
            lease++;
            whole = lease;
            bump(0)
        fi;
        whole = lease
    :: else -> break
    od;
dead:
    running--
}

inline ask() {
    d_step {
        token = epoch;
        token_inval = inval;
        token_bumps = bumps
    };
    answer = writes;
    d_step {
        if
        :: token == epoch && token_inval == inval ->
            kept = true;
            version++;
            entry_epoch = token;
            value = answer;
            asked = token_bumps
        :: else
        fi
    }
}

active proctype filler() {
    byte n, token, token_inval, token_bumps, answer;

    do
    :: n < FILLS -> n++; ask()
    :: else -> break
    od;
    running--
}

#define tells_of_a_change(number) (writes > got_value && number > lease_of[got_value + 1])

inline serve(number) {
    assert(got_asked >= bumps_before);
    assert(!tells_of_a_change(number))
}

inline look() {
    now = epoch;
    if
    :: BROKEN == LANE_FIRST -> lane = lane_epoch[0]; by = lease
    :: else -> by = lease
    fi;
    still = version == got_version || BROKEN == VERSION_UNSEEN;
    if
    :: BROKEN == LANE_FIRST
    :: else -> lane = lane_epoch[0]
    fi;
    still = still && (got_epoch >= lane || BROKEN == LANE_UNSEEN);
    now = (BROKEN == NEAR_EPOCH_LATE -> epoch : now)
}

active proctype reader() {
    byte bumps_before, clock, by, got_epoch, got_version, got_value, got_asked, now, lane;
    bool got, still;

    d_step { bumps_before = bumps; clock = over };
    by = whole;
    d_step {
        got = kept;
        got_epoch = entry_epoch;
        got_version = version;
        got_value = value;
        got_asked = asked
    };
    now = epoch;
    if
    :: got && now == got_epoch && by > clock -> serve(by)
    :: got && !(now == got_epoch && by > clock) ->
        look();
        if
        :: still && by > clock -> serve(by)
        :: else -> goto over_
        fi
    :: !got -> goto over_
    fi;
    /* And once more, from the near table. */
    d_step { bumps_before = bumps; clock = over };
    if
    :: by > clock && version == got_version -> skip
    :: else -> goto over_
    fi;
    if
    :: epoch == now -> serve(by)
    :: else
    fi;
over_:
    running--
}

init {
    byte token, token_inval, token_bumps, answer;

    atomic {
        byte n;

        lease_of[1] = 0;
        run link();
        do
        :: n < MOVES ->
            n++;
            run mover(0);
            run mover(1)
        :: else -> break
        od
    }
    /* When all is over. */
    (running == 0);
    ask();
    assert(kept && entry_epoch == epoch);
    assert(DEATHS > 0 || entry_epoch >= lane_epoch[0])
}
