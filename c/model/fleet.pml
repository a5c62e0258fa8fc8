/*
 * fleet.pml: a model of one loader for all hosts (lock = "redis"), for spin; run by tools/model.  The protocol in
 * words, and where in the code each part of it is: docs/coherence.md.
 *
 * One key.  Hosts, each with the one flight that a host has; Redis, with the key's value and its lock; what each
 * host hears of the lock.  Questions, answers and messages take as long as they like; messages to one host that
 * have not arrived are one.  Loaders store a value, or fail.  Hosts die while they have the lock, and stand still
 * for longer than it lasts.
 *
 * Asserted is:
 *
 *   - no two hosts load at the same time, unless one of them has stood still beyond its lock;
 *   - once a value has been stored nobody begins to load, unless so;
 *   - an error is told only to those who found that very host loading;
 *   - everybody gets an answer: nobody waits for ever, though here no wait ends by itself.
 *
 * Not modelled: that every wait does end by itself (after a second, and at lock_timeout), which is for lost links;
 * Redis losing the lock; a value that changes meanwhile, which is the business of tokens (coherence.pml).
 *
 * BROKEN, one of the names below, takes a piece away that must be missed.
 */
#define NOTHING 0
#define WATCH_LATE 1       /* a host watches only when it has found the lock held */
#define VALUE_UNSEEN 2     /* whoever asks for the lock gets it though there is a value */
#define UNLOCK_ANY 3       /* what is given up is not compared with the token */
#define UNLOCK_FIRST 4     /* the lock is given up before the value is stored */
#define MESSAGE_TO_ALL 5   /* an error is told to whoever asks */
#define NO_EXPIRY 6        /* the lock of a host that died stays */
#define SILENT_UNLOCK 7    /* nobody hears that the lock was given up */

#ifndef BROKEN
#define BROKEN NOTHING
#endif
#ifndef HOSTS
#define HOSTS 3
#endif
#ifndef FAILURES
#define FAILURES 1 /* loaders that fail */
#endif
#ifndef DEATHS
#define DEATHS 0
#endif
#ifndef STALLS
#define STALLS 0 /* locks that expire while their host stands still */
#endif
#ifndef RETURNS
#define RETURNS 0 /* hosts that ask once more after an error */
#endif

#define NONE 0

mtype = { HELD, TAKEN, LEFT, ANSWERED };

/* -- Redis --------------------------------------------------------------------------------------- */

bool value;
byte lock;    /* the token of who holds it */
byte message; /* the token of who left one */

/* -- Hosts --------------------------------------------------------------------------------------- */

bool on_its_way[HOSTS], watched[HOSTS];
bool loads[HOSTS], late[HOSTS], dead[HOSTS]; /* late: it has lost its lock and does not know */
byte tokens, loading;                         /* drawn so far; loaders of hosts that are not late */
byte stores, failures, deaths, stalls, returns;

inline tell() {
    on_its_way[0] = true;
    on_its_way[1] = true;
    on_its_way[HOSTS - 1] = true
}

inline unlock(left) {
    d_step {
        if
        :: lock == token || BROKEN == UNLOCK_ANY ->
            lock = NONE;
            message = (left -> token : NONE);
            if
            :: BROKEN != SILENT_UNLOCK -> tell()
            :: else
            fi
        :: else
        fi
    }
}

inline draw() {
    d_step {
        tokens++;
        token = tokens;
        met = NONE
    }
}

inline end_loading() {
    loading = loading - (late[me] -> 0 : 1);
    loads[me] = false
}

/* The lock of a host that died, or stands still, after its time. */
proctype expiry(byte me; byte token) {
end:
    if
    :: lock != token
    :: d_step { lock == token && dead[me] && BROKEN != NO_EXPIRY -> lock = NONE; tell() }
    :: d_step {
        lock == token && !dead[me] && stalls < STALLS ->
            stalls++;
            lock = NONE;
            tell();
            loading = loading - (loads[me] -> 1 : 0);
            late[me] = true
       }
    fi
}

inline ask() {
    atomic {
        if
        :: value && BROKEN != VALUE_UNSEEN -> answer = ANSWERED
        :: !(value && BROKEN != VALUE_UNSEEN) && lock != NONE && lock != token ->
            answer = HELD;
            met = lock
        :: !(value && BROKEN != VALUE_UNSEEN) && lock == NONE && message != NONE &&
           (message == met || BROKEN == MESSAGE_TO_ALL) ->
            answer = LEFT;
            assert(message == met)
        :: else ->
            answer = TAKEN;
            message = NONE;
            late[me] = false;
            if
            :: lock != token -> run expiry(me, token)
            :: else
            fi;
            lock = token;
            tell()
        fi
    }
}

proctype host(byte me) {
    byte token, met;
    mtype answer;

    draw();
again:
    do
    :: watched[me] = BROKEN != WATCH_LATE;
        ask(); /* the question has arrived; what follows, that the answer has */
        if
        :: answer == HELD ->
            watched[me] = watched[me] || BROKEN == WATCH_LATE;
            !watched[me]
        :: answer == ANSWERED -> break
        :: answer == LEFT -> goto failed
        :: answer == TAKEN ->
            atomic {
                loads[me] = true;
                loading = loading + (late[me] -> 0 : 1);
                assert(loading <= 1)
            };
            if
            :: atomic { deaths < DEATHS -> deaths++; end_loading(); dead[me] = true }; break
            :: atomic { failures < FAILURES -> failures++; end_loading() };
                unlock(true);
                goto failed
            :: BROKEN == UNLOCK_FIRST -> unlock(false)
            :: BROKEN != UNLOCK_FIRST
            fi;
            atomic {
                value = true;
                end_loading();
                stores++;
                assert(stores <= 1 + stalls)
            };
            unlock(false);
            break
        fi
    od;
    goto done;
failed:
    if
    :: atomic { returns < RETURNS -> returns++; draw(); watched[me] = false };
        goto again
    :: true
    fi;
done:
    skip
}

/* What a host hears ends its watch. */
active proctype link() {
end:
    do
    :: d_step { on_its_way[0] -> on_its_way[0] = false; watched[0] = false }
    :: d_step { on_its_way[1] -> on_its_way[1] = false; watched[1] = false }
    :: d_step { on_its_way[HOSTS - 1] -> on_its_way[HOSTS - 1] = false; watched[HOSTS - 1] = false }
    od
}

init {
    atomic {
        run host(0);
        run host(1);
        if
        :: HOSTS > 2 -> run host(2)
        :: else
        fi
    }
}
