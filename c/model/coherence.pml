/*
 * coherence.pml: a model of how memory is kept from serving what Redis no longer has, for spin; run by
 * tools/model.  The protocol in words, and where in the code each part of it is: docs/coherence.md.
 *
 * One key.  One host: its memory, and two processes that share it, each with a data connection and, while
 * it has one, a tracking link.  Redis.  Somebody else, who stands for all other hosts and programs: of
 * the host's memory he sees nothing, and it of him only what Redis tells.  Requests, answers and messages
 * take as long as they like; messages of one link that have not arrived are one, as Redis sends them.
 * Processes die, and those that are stopped are just slow; links and data connections are cut, with what is
 * on its way.
 *
 * Values are numbers of writes, in Redis's order.  Asserted is:
 *
 *   - memory never serves as fresh what is older than a write of this host that was acknowledged;
 *   - nor what it had before a gap: a time without any link, at the end of which the lease had run out;
 *   - when nothing is on its way any more, it serves as fresh nothing but what Redis has.
 *
 * Time is what may happen at any moment: the lease runs out while there is no link, and what is fresh for
 * a bounded time only (a write that is still to be confirmed, an answer of before the first link) stops
 * being so.
 *
 * Not modelled: several keys of a bucket (they share tokens, so that more is dropped); TTLs, but for a key
 * that expires; breakers, time-outs and replay; that a key of this host's own, unconfirmed, may be fresh
 * for as long as W after a foreign write, which is a promise and no assertion; loaders, whose results are
 * stored as a SET is, once the token of before they ran has been compared; what a host without links needs
 * (a write whose outcome nobody knows is dropped here, too, but its message would do).
 *
 * BROKEN, one of the names below, takes a piece away that must be missed.
 */
#define NOTHING 0
#define FILL_WITHOUT_INVAL 1    /* an answer is kept though a message came after the question */
#define FILL_WITHOUT_WSEQ 2     /* or though this host has written meanwhile */
#define FILL_ACROSS_A_GAP 3     /* or though there was a gap: neither epoch nor cover is compared */
#define COMMIT_WITHOUT_WSEQ 4   /* a write is kept though another one of this host came in between */
#define COMMIT_UNCOUNTED 5      /* a write of this host is not counted in wseq */
#define MESSAGE_UNCOUNTED 6     /* a message is not counted in inval */
#define MESSAGE_KEEPS 7         /* or leaves the entry */
#define NO_PROVISION 8          /* a write is kept for good at its acknowledgement */
#define NO_READ_BACK 9          /* or once its own message may have come, without being read back */
#define READ_BACK_UNCHECKED 10  /* or whatever happened while it was read back */
#define DELETE_KEEPS 11         /* a delete leaves the entry until the message comes */
#define GAP_WITHOUT_EPOCH 12    /* after a gap the epoch is as before */
#define LEASE_BEFORE_EPOCH 13   /* or is bumped after the lease has been renewed */
#define NO_OVERLAP 14           /* a new link continues the cover of one that is gone */
#define LEFT_TOO_EARLY 15       /* or of one whose messages have not all been applied */
#define LEASED_BEFORE_COVER 16  /* what was asked before the first cover goes by its lease */

#ifndef BROKEN
#define BROKEN NOTHING
#endif
#ifndef OPERATIONS
#define OPERATIONS 2 /* of both processes together */
#endif
#ifndef FOREIGN
#define FOREIGN 1 /* writes of somebody else */
#endif
#ifndef CUTS
#define CUTS 0 /* links lost */
#endif
#ifndef LOSSES
#define LOSSES 0 /* data connections lost, with an operation on its way */
#endif
#ifndef DEATHS
#define DEATHS 0
#endif
#ifndef LINKED
#define LINKED 1 /* the first process has a link from the beginning; 0: all links come later */
#endif
#ifndef LINKS
#define LINKS 0 /* links made later */
#endif

#define P 2     /* processes */
#define TRIES 2 /* to read a write back */
#define NONE 0

mtype = { GET, SET, DEL, INCR, BACK };

/* -- Redis --------------------------------------------------------------------------------------- */

byte value;  /* the number of the write that it has the value of; NONE: no such key */
byte writes; /* the number of the latest */

/* Links: 0 none, 1 messages come, 2 its cover counts. */
byte link[P];
bool message[P]; /* on its way */

inline tell() {
    d_step {
        message[0] = message[0] || link[0] > 0;
        message[1] = message[1] || link[1] > 0;
    }
}

chan asked[P] = [2] of { mtype };
chan said[P] = [2] of { mtype, byte, byte }; /* the value it has, and the number of the write */

/* -- The host's memory --------------------------------------------------------------------------- */

byte kept;      /* the value of the entry; NONE: none */
bool fresh;     /* not past its time */
bool leased;    /* fresh while the lease runs */
bool provisional;
byte entry_epoch;
bool old;       /* was there before a gap; nobody knows, but the assertions */
byte epoch, inval, wseq;
bool lease;
byte cover;     /* how often one has begun anew */
byte acknowledged; /* the latest own write that was */

#define is_fresh (kept != NONE && fresh && entry_epoch == epoch && (!leased || lease))

inline look() {
    assert(!is_fresh || kept >= acknowledged);
    assert(!is_fresh || !old);
}

inline drop() {
    kept = NONE;
    fresh = false;
    leased = false;
    provisional = false;
    old = false;
    entry_epoch = 0;
}

inline store(number, token_epoch, token_cover, to_be_confirmed) {
    kept = number;
    fresh = true;
    entry_epoch = token_epoch;
    provisional = to_be_confirmed;
    leased = lease && cover > 0 &&
             (token_cover == cover || BROKEN == LEASED_BEFORE_COVER || BROKEN == FILL_ACROSS_A_GAP);
    old = false;
}

inline hear(p) {
    message[p] = false;
    if
    :: BROKEN != MESSAGE_UNCOUNTED -> inval++
    :: else
    fi;
    if
    :: kept != NONE && !(provisional && fresh) && BROKEN != MESSAGE_KEEPS -> drop()
    :: else
    fi
}

/* -- Processes ----------------------------------------------------------------------------------- */

typedef Token {
    byte epoch, inval, wseq, cover
};

byte left = OPERATIONS; /* operations still to be begun */
mtype doing[P];  /* GET, SET, DEL or INCR on its way; 0: nothing */
Token token[P];  /* of before that was sent */
byte tries[P];   /* left to read a write back; 0: none is to be read back */
bool reading[P]; /* it is being read back */
Token back[P];   /* of before that was sent */
bool dead[P];
byte cuts = CUTS, losses = LOSSES, deaths = DEATHS, links = LINKS;

inline take(t) {
    t.epoch = epoch;
    t.inval = inval;
    t.wseq = wseq;
    t.cover = cover;
}

#define same_epoch(t) (t.epoch == epoch || BROKEN == FILL_ACROSS_A_GAP)
#define same_inval(t) (t.inval == inval || BROKEN == FILL_WITHOUT_INVAL)
#define same_wseq(t) (t.wseq == wseq || BROKEN == FILL_WITHOUT_WSEQ)
#define holds(t) (same_epoch(t) && same_inval(t) && same_wseq(t))

inline count_write() {
    if
    :: BROKEN != COMMIT_UNCOUNTED -> wseq++
    :: else
    fi
}

/* An answer to GET. */
inline fill(p, has) {
    if
    :: !holds(token[p])
    :: else ->
        if
        :: has != NONE -> store(has, epoch, token[p].cover, false)
        :: else -> drop()
        fi
    fi
}

/* A SET has been acknowledged. */
inline commit(p, number) {
    if
    :: token[p].epoch == epoch && (token[p].wseq == wseq || BROKEN == COMMIT_WITHOUT_WSEQ) ->
        store(number, epoch, token[p].cover, BROKEN != NO_PROVISION);
        if
        :: BROKEN != NO_PROVISION -> tries[p] = TRIES
        :: else
        fi
    :: else -> drop()
    fi;
    count_write()
}

/* It has been read back. */
inline confirm(p, has) {
    reading[p] = false;
    if
    :: holds(back[p]) || BROKEN == READ_BACK_UNCHECKED ->
        tries[p] = 0;
        if
        :: has != NONE -> store(has, epoch, back[p].cover, false)
        :: else -> drop()
        fi
    :: else -> tries[p]--
    fi
}

inline acknowledge(number) {
    acknowledged = (number > acknowledged -> number : acknowledged)
}

inline answer(p, what, has, number) {
    if
    :: what == BACK -> confirm(p, has)
    :: what == GET -> fill(p, has)
    :: what == SET ->
        acknowledge(number);
        commit(p, number)
    :: what == DEL && BROKEN == DELETE_KEEPS ->
        acknowledge(number);
        count_write()
    :: what == INCR || (what == DEL && BROKEN != DELETE_KEEPS) ->
        acknowledge(number);
        drop();
        count_write()
    fi;
    if
    :: what != BACK -> doing[p] = 0
    :: else
    fi
}

/* Who has a data connection and is alive. */
proctype Worker(byte p) {
    mtype what;
    byte has, number;

end:
    do
    /* An operation: the token first, then the question. */
    :: atomic { !dead[p] && doing[p] == 0 && left > 0 ->
        left--;
        if
        :: doing[p] = GET
        :: doing[p] = SET
        :: doing[p] = DEL
        :: doing[p] = INCR
        fi;
        take(token[p]) };
        if
        :: atomic { !dead[p] && doing[p] != 0 -> asked[p]!doing[p] }
        :: atomic { dead[p] -> doing[p] = 0 }
        fi
    :: atomic { !dead[p] && tries[p] > 0 && !reading[p] && doing[p] == 0 && BROKEN != NO_READ_BACK ->
        take(back[p]);
        reading[p] = true };
        if
        :: atomic { !dead[p] -> asked[p]!BACK }
        :: dead[p]
        fi
    :: atomic { tries[p] > 0 && BROKEN == NO_READ_BACK && !message[0] && !message[1] ->
        tries[p] = 0;
        provisional = false }
    :: atomic { !dead[p] && nempty(said[p]) ->
        said[p]?what, has, number;
        answer(p, what, has, number);
        look();
        what = 0; has = 0; number = 0 }
    :: atomic { !dead[p] && link[p] > 0 && message[p] -> hear(p); look() }
    /* The data connection is lost: what was on its way may have been done, or not. */
    :: atomic { !dead[p] && losses > 0 && doing[p] != 0 && nempty(asked[p]) && !reading[p] ->
        losses--;
        if
        :: asked[p]?_ /* never done */
        :: skip       /* done, and the answer comes to nobody: see Redis */
        fi;
        if
        :: doing[p] != GET -> drop(); count_write()
        :: else
        fi;
        doing[p] = 0;
        look() }
    od
}

/* Operations are done in the order in which they were sent on their connection. */
proctype Redis(byte p) {
    mtype what;

end:
    do
    :: atomic { asked[p]?what ->
        if
        :: what == SET || what == INCR -> writes++; value = writes; tell()
        :: what == DEL ->
            writes++;
            if
            :: value != NONE -> value = NONE; tell()
            :: else -> tell() /* on the cache's own channel */
            fi
        :: else
        fi;
        if
        :: dead[p] || (what != BACK && doing[p] == 0) /* nobody waits for it any more */
        :: else -> said[p]!what, value, writes
        fi;
        what = 0 }
    od
}

/* Other hosts, and other programs; the key may expire, too, of which messages tell late. */
proctype Others() {
    byte n = FOREIGN;

end:
    do
    :: atomic { n > 0 -> n--; writes++; value = writes; tell() }
    :: atomic { n > 0 && value != NONE -> n--; writes++; value = NONE; tell() }
    od
}

/* -- Links, and time ----------------------------------------------------------------------------- */

#define other(p) (1 - p)
#define nobody_covers (link[0] < 2 && link[1] < 2)

proctype Links(byte p) {
end:
    do
    :: atomic { !dead[p] && links > 0 && link[p] == 0 -> links--; link[p] = 1 }
    /* It counts once another one, that was there before, has reported all there was: its next heartbeat. */
    :: atomic { link[p] == 1 && link[other(p)] == 2 && (!message[other(p)] || BROKEN == LEFT_TOO_EARLY) ->
        link[p] = 2 }
    :: atomic { link[p] == 1 && nobody_covers && BROKEN == NO_OVERLAP && cover > 0 ->
        link[p] = 2; lease = true; look() }
    /* Otherwise there was a gap, unless nothing went by a lease before. */
    :: atomic { link[p] == 1 && nobody_covers && cover == 0 -> link[p] = 2; cover = 1 };
        atomic { link[p] == 2 -> lease = true; look() }
    :: atomic { link[p] == 1 && nobody_covers && cover > 0 && !lease && BROKEN != NO_OVERLAP ->
        if
        :: BROKEN == LEASE_BEFORE_EPOCH -> lease = true
        :: BROKEN == GAP_WITHOUT_EPOCH
        :: else -> epoch++
        fi;
        cover++;
        link[p] = 2;
        look() };
        atomic { if
        :: BROKEN == LEASE_BEFORE_EPOCH -> epoch++
        :: else -> lease = (link[0] == 2 || link[1] == 2)
        fi;
        look() }
    :: atomic { cuts > 0 && link[p] > 0 -> cuts--; link[p] = 0; message[p] = false }
    :: atomic { deaths > 0 && !dead[p] ->
        deaths--;
        dead[p] = true;
        link[p] = 0;
        message[p] = false;
        tries[p] = 0;
        reading[p] = false;
        do
        :: said[p]?_, _, _
        :: empty(said[p]) -> break
        od }
    od
}

proctype Time() {
end:
    do
    :: atomic { lease && nobody_covers -> lease = false; old = kept != NONE && leased }
    :: atomic { kept != NONE && fresh && (provisional || !leased) -> fresh = false }
    od
}

init {
    atomic {
        if
        :: LINKED -> link[0] = 2; cover = 1; lease = true
        :: else
        fi;
        if
        :: value = NONE
        :: writes = 1; value = 1
        fi;
        run Worker(0);
        run Worker(1);
        run Redis(0);
        run Redis(1);
        run Others();
        run Links(0);
        run Links(1);
        run Time()
    };
    timeout;
    assert(!is_fresh || kept == value)
}
