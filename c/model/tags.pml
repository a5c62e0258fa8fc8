/*
 * tags.pml: a model of how a tag makes values go, in Redis and in the memory of a host that has a tracking link,
 * for spin; run by tools/model.  The protocol in words, and where in the code each part of it is:
 * docs/coherence.md.
 *
 * One tag, one key, and a source from which the key's value is made: a loader reads it, whoever changes it
 * invalidates the tag then.  One host: its memory and its data connection, on which it reads, stores what a loader has
 * made, and invalidates.  Redis, which does each command as one script.  Somebody else, who stands for all
 * other hosts, and for Redis when it evicts what it likes.  Commands, answers and messages take as long as they
 * like; commands are answered in their order; messages of the tag, or of the key, that have not arrived are one.
 *
 * Asserted is:
 *
 *   - when an invalidation of this host has been acknowledged, its memory never has a value from before the
 *     change that it was for;
 *   - when nothing is on its way any more, memory has nothing but what exists in Redis, and what exists there was not
 *     made before the last change whose invalidation Redis has done.
 *
 * Not modelled: what coherence.pml is about (own writes that come back, gaps, several links); several tags;
 * expiry: a tag's key outlives what is tagged with it, and is not evicted while a loader is at work, or what
 * that has read before might be stored (one of another host, which hears of it only by the message); a server
 * whose clock is set back.
 *
 * BROKEN, one of the names below, takes a piece away that must be missed.
 */
#define NOTHING 0
#define NUMBER_LATE 1        /* an entry has the number of when the answer came, not of when it was asked for */
#define MESSAGE_UNHEARD 2    /* a message of the tag raises nothing */
#define ACK_RAISES_NOTHING 3 /* nor does an acknowledgement: its message will */
#define NO_SINCE 4           /* what a loader has made is stored whatever was invalidated since it began */
#define SINCE_LATE 5         /* or since it ended */
#define NO_LIST_HOLDS 6      /* a value whose list was evicted exists */
#define NO_TAG_HOLDS 7       /* so does one whose tag was */
#define LIST_UNCOMPARED 8    /* and one whose tag has another generation */

#ifndef BROKEN
#define BROKEN NOTHING
#endif
#ifndef READS
#define READS 1
#endif
#ifndef LOADS
#define LOADS 1
#endif
#ifndef CHANGES
#define CHANGES 1 /* of this host */
#endif
#ifndef FOREIGN
#define FOREIGN 1 /* changes of somebody else */
#endif
#ifndef STORES
#define STORES 0 /* what loaders of somebody else have made */
#endif
#ifndef EVICTIONS
#define EVICTIONS 0
#endif

#define NONE 0

mtype = { GET, SET, INVALIDATE };

byte source = 1; /* how often it was changed, and 1: values are made of it */

/* -- Redis --------------------------------------------------------------------------------------- */

byte value = 1, list = 1, tag = 1; /* NONE: no such key; of the last two the generation */
bool invalidated;       /* the tag's generation is of an invalidation, not of a first value */
byte clock = 1;
byte gone;              /* the last change whose invalidation was done */
byte loaders;           /* that are at work, anywhere */

bool tag_message, key_message;

#define holds (list != NONE || BROKEN == NO_LIST_HOLDS) && \
    (list == NONE || list == tag || BROKEN == LIST_UNCOMPARED || (tag == NONE && BROKEN == NO_TAG_HOLDS))
#define exists (value != NONE && holds)

/* What the script does for a loader's value, made from what there was at a time. */
inline store(it, since, done) {
    clock++;
    done = !(tag != NONE && invalidated && tag > since && BROKEN != NO_SINCE);
    if
    :: done ->
        if
        :: tag == NONE ->
            tag = clock;
            invalidated = false;
            tag_message = true
        :: else
        fi;
        value = it;
        list = tag
    :: else
    fi
}

inline invalidate(change) {
    clock++;
    tag = clock;
    invalidated = true;
    tag_message = true;
    gone = (change > gone -> change : gone)
}

chan asked = [3] of { mtype, byte, byte, byte, byte }; /* value or change, since, number, inval */
chan said = [3] of { mtype, byte, byte, byte, byte };  /* value or change; the clock; number, inval */

active proctype redis() {
    mtype what;
    byte v, since, number, at;
    bool done;
end:
    do
    :: atomic {
        len(said) < 3 && len(asked) > 0 ->
            asked?what, v, since, number, at;
            if
            :: what == GET ->
                clock++;
                if
                :: exists -> said!GET, value, clock, number, at
                :: else ->
                    value = NONE;
                    list = NONE;
                    said!GET, NONE, clock, number, at
                fi
            :: what == SET ->
                store(v, since, done);
                loaders--;
                said!SET, (done -> v : NONE), clock, number, at
            :: what == INVALIDATE ->
                invalidate(v);
                said!INVALIDATE, v, clock, number, at
            fi;
            v = 0; since = 0; number = 0; at = 0; done = false
       }
    od
}

/* -- The host ------------------------------------------------------------------------------------ */

byte kept = 1, entry_number; /* the entry's value; NONE: none */
byte count, raised;      /* invalidations heard of, and the number of the tag's latest */
byte inval;              /* messages of the key */
byte seen;               /* Redis's clock, as last heard of */
byte acknowledged;       /* the latest change of this host whose invalidation was */

#define is_there (kept != NONE && raised <= entry_number)

inline look() {
    assert(!is_there || kept >= acknowledged)
}

inline raise() {
    count++;
    raised = count
}

inline keep(it, number) {
    kept = it;
    entry_number = (BROKEN == NUMBER_LATE -> count : number);
    look()
}

/* Answers in their order, and messages. */
active proctype io() {
    mtype what;
    byte v, at, number, time;
end:
    do
    :: atomic {
        said?what, v, time, number, at ->
            seen = time;
            if
            :: what == INVALIDATE ->
                if
                :: BROKEN != ACK_RAISES_NOTHING -> raise()
                :: else
                fi;
                acknowledged = (v > acknowledged -> v : acknowledged);
                look()
            :: what != INVALIDATE && v != NONE && at == inval -> keep(v, number)
            :: else
            fi;
            what = GET; v = 0; at = 0; number = 0; time = 0
       }
    :: d_step {
        tag_message ->
            tag_message = false;
            if
            :: BROKEN != MESSAGE_UNHEARD -> raise()
            :: else
            fi
       }
    :: d_step {
        key_message ->
            key_message = false;
            inval++;
            kept = NONE;
            entry_number = 0
       }
    od
}

active [READS] proctype reader() {
    atomic { nfull(asked) -> asked!GET, NONE, NONE, count, inval }
}

active [LOADS] proctype loader() {
    byte made, since, number, at;

    d_step {
        loaders++;
        since = seen;
        number = count;
        at = inval
    };
    made = source;
    atomic {
        nfull(asked) ->
            if
            :: raised <= number && at == inval ->
                asked!SET, made, (BROKEN == SINCE_LATE -> seen : since), number, at
            :: else -> loaders--
            fi
    }
}

active [CHANGES] proctype changer() {
    byte change;

    d_step { source++; change = source };
    atomic { nfull(asked) -> asked!INVALIDATE, change, NONE, NONE, NONE }
}

/* -- Somebody else, who hears of the clock at once ------------------------------------------------ */

active [FOREIGN] proctype other() {
    byte change;

    d_step { source++; change = source };
    d_step { invalidate(change) }
}

active [STORES] proctype other_loader() {
    byte made, since;
    bool done;

    d_step { loaders++; since = clock };
    made = source;
    d_step {
        store(made, since, done);
        key_message = key_message || done;
        loaders--
    }
}

active [EVICTIONS] proctype eviction() {
    if
    :: d_step { list != NONE -> list = NONE; key_message = true }
    :: d_step { tag != NONE && loaders == 0 -> tag = NONE; tag_message = true }
    :: d_step { value != NONE -> value = NONE; key_message = true }
    :: true
    fi
}

/* When all of it is over. */
active proctype end_of_all() {
    timeout ->
        assert(!is_there || (exists && kept == value));
        assert(!exists || value >= gone)
}
