/*
 * replica.pml: a model of reading from a master's replica, redis.replicas = "prefer", for spin; run by tools/model.  The
 * protocol in words: docs/topology.md, "Replicas"; the code: c/src/redis/cluster_proof.c and cluster_replica.c,
 * c/src/tier/lanes.c, c/src/memory/changes.c.
 *
 * One key.  Its master, and that one's replica, which is behind by as much as it likes, and may copy its master once more,
 * as that was before.  Somebody else who writes, and a process of this host that does.  The host's tracking link, which
 * tells of changes in their order, and late; it is lost with what it had to tell, and made again after a gap.  A process
 * that asks how far the master is, and then the replica; and reads, from the replica if it may, or else the master,
 * whatever memory has: that may be evicted at any time.
 *
 * Values, and offsets, are numbers of writes.  Time is a clock that goes on when it likes; much may happen in one
 * moment of it.  The lease runs out, early or late, when there is no link.  Asserted is, of what a read is answered with,
 * and of what memory has as fresh, that it is not older than
 *
 *   - a write of this host that had been acknowledged when the read began;
 *   - a change that the link had told of by then, or had missed in a gap after which the epoch is another;
 *   - when all has been told, what the master has.
 *
 * That the replica says how far it is and what it has at one moment is taken for granted: both are asked in one go.
 *
 * Not modelled: what coherence.pml and lanes.pml are about (own writes that are kept, several links, lanes, what exactly a
 * token is: here it holds if memory has not dropped the key meanwhile); keys that share a place in the table, which
 * only makes times later; several servers and histories; that a proof lasts 3 s; writes of the process that reads,
 * behind which the master is asked; what is fresh for a bounded time, without a lease.
 *
 * BROKEN, one of the names below, takes a piece away that must be missed.
 */
#define NOTHING 0
#define CHANGES_UNSEEN 1     /* the replica is asked whenever the key was changed */
#define CHANGE_TIMED_LATE 2  /* a change's time is written when memory has dropped the key */
#define OWN_TIME_UNWRITTEN 3 /* that of an own write is not, but when the link tells of it */
#define CHANGED_THEN 4       /* the proof may be of the very moment of the change */
#define COVER_UNCOMPARED 5   /* or older than what the link covers */
#define BEGUN_THEN 6         /* or of the moment in which that began */
#define SINCE_LATE 7         /* after a gap the cover's beginning is told after the epoch */
#define OFFSET_UNASKED 8     /* the replica's value is taken, however far it is by then */
#define READ_APART 9         /* or it is asked how far it is, and then for the value */
#define ANSWERED_THEN 10     /* a proof is of when the master answered, not of when it was asked */
#define TOKEN_LATE 11        /* the token is of after the look at the changes */

#ifndef BROKEN
#define BROKEN NOTHING
#endif
#ifndef FOREIGN
#define FOREIGN 1 /* writes of somebody else */
#endif
#ifndef OWN
#define OWN 0 /* and of this host */
#endif
#ifndef LOSSES
#define LOSSES 0 /* of the link */
#endif
#ifndef RETURNS
#define RETURNS 0 /* of the replica to what it was before */
#endif
#ifndef MOMENTS
#define MOMENTS 3
#endif

byte clock = 1;

/* -- Redis --------------------------------------------------------------------------------------- */

byte writes;  /* the master's */
byte replica; /* how many of them that one has */

active proctype replication() {
    byte returns = RETURNS;

end:
    do
    :: replica < writes -> replica++
    :: atomic { returns > 0 && replica > 0 ->
        returns--;
        do
        :: replica > 0 -> replica--
        :: break
        od }
    od
}

active [FOREIGN] proctype other() {
    writes++
}

/* -- The host's memory --------------------------------------------------------------------------- */

bool kept;
byte value;
bool holds;   /* the reader's token does */
bool lease = true;
byte since;   /* the cover's beginning */
byte changed; /* when the key was, as far as is known */

byte acknowledged, told; /* the latest own write that was, and the latest change */

#define is_fresh (kept && lease)

inline look() {
    assert(!is_fresh || (value >= acknowledged && value >= told))
}

inline drop() {
    holds = false;
    kept = false;
    value = 0
}

#define grow(number, to) number = (to > number -> to : number)

/* A process that has no link. */
active [OWN] proctype writer() {
    byte number, now;

    d_step { writes++; number = writes };
    if
    :: BROKEN != OWN_TIME_UNWRITTEN ->
        now = clock;
        grow(changed, now)
    :: else
    fi;
    d_step {
        drop();
        grow(acknowledged, number);
        number = 0;
        now = 0
    }
}

/* -- The link ------------------------------------------------------------------------------------ */

#define LOST 0
#define LIVE 1
#define COVERS 2

byte link = COVERS;
byte heard; /* changes that it has told of, or missed */

inline hear() {
    now = clock;
    if
    :: BROKEN != CHANGE_TIMED_LATE -> grow(changed, now)
    :: else
    fi;
    d_step {
        heard++;
        grow(told, heard);
        drop()
    };
    if
    :: BROKEN == CHANGE_TIMED_LATE -> grow(changed, now)
    :: else
    fi;
    now = 0
}

/* After a gap. */
inline begin() {
    if
    :: BROKEN != SINCE_LATE -> grow(since, live)
    :: else
    fi;
    d_step { /* the epoch */
        grow(told, heard);
        drop()
    };
    if
    :: BROKEN == SINCE_LATE -> grow(since, live)
    :: else
    fi;
    d_step { live = 0; link = COVERS }
}

active proctype tracking() {
    byte now, live, losses = LOSSES;

end:
    do
    :: link != LOST && heard < writes -> hear()
    :: d_step { losses > 0 && link == COVERS -> losses--; link = LOST }
    :: d_step { link == LOST -> heard = writes; link = LIVE };
        live = clock
    :: link == LIVE -> begin()
    :: d_step { link == COVERS && !lease -> lease = true; look() }
    od
}

active proctype time() {
end:
    do
    :: clock < MOMENTS -> clock++
    :: link != COVERS && lease -> lease = false
    od
}

/* -- Who reads ----------------------------------------------------------------------------------- */

byte as_of;  /* the replica has all that its master had then; 0: nobody knows */
byte offset; /* and so far that was */

/* What the master has said is kept until the replica has come so far. */
active proctype prover() {
    byte asked, master;

    asked = clock;
    master = writes;
    if
    :: BROKEN == ANSWERED_THEN -> asked = clock
    :: else
    fi;
end:
    d_step {
        replica >= master ->
            as_of = asked;
            offset = master;
            asked = 0;
            master = 0
    }
}

/* Is the replica as good as its master? */
inline judge() {
    d_step {
        sent = as_of;
        least = offset;
        good = sent > 0 && lease
    };
    good = good && (sent > since || BROKEN == COVER_UNCOMPARED || (BROKEN == BEGUN_THEN && sent == since));
    good = good && (sent > changed || BROKEN == CHANGES_UNSEEN || (BROKEN == CHANGED_THEN && sent == changed))
}

inline ask_replica() {
    if
    :: BROKEN == READ_APART ->
        good = replica >= least;
        answer = replica
    :: else ->
        d_step {
            good = replica >= least || BROKEN == OFFSET_UNASKED;
            answer = replica
        }
    fi
}

active proctype reader() {
    byte due, sent, least, answer;
    bool good, leased;

    d_step {
        due = (told > acknowledged -> told : acknowledged);
        holds = true
    };
    judge();
    if
    :: BROKEN == TOKEN_LATE -> holds = true
    :: else
    fi;
    if
    :: good -> ask_replica()
    :: else
    fi;
    if
    :: !good ->
        sent = clock;
        answer = writes
    :: else
    fi;
    assert(answer >= due);
    leased = lease && sent > since;
    d_step {
        if
        :: leased && holds ->
            kept = true;
            value = answer;
            look()
        :: else
        fi;
        due = 0;
        sent = 0;
        least = 0;
        answer = 0;
        good = false;
        leased = false;
        holds = false
    }
}

/* When all of it is over. */
active proctype end_of_all() {
    timeout ->
        assert(link == COVERS && lease && heard == writes);
        assert(!is_fresh || value == writes)
}
