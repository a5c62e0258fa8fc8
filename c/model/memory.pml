/*
 * memory.pml: a model of one shard of the memory room, for spin; run by tools/model.
 *
 * Two keys with a slot each, and space for two records; readers of key A; two writers that put in place,
 * append, evict and drop; a lock that outlives its holder's death; the epoch and its floor.  Writers die
 * at any step, also while they mend what another has left; one is stopped for good.  Asserted is:
 *
 *   - what a validated read returns is of one write, of its key, and no older than the latest change
 *     that had returned to its caller when the read began;
 *   - so is what a near hit returns;
 *   - nobody waits for the stopped one, nor for ever (spin's check of end states);
 *   - who gets the lock without being told that its holder died finds nothing half done;
 *   - after a reset the shard is empty, and every version has moved and is even.
 *
 * Memory is as weak as the code allows for.  `real` is what the holder of the lock sees, `seen` what
 * readers see of it.  What is stored gets from one to the other word by word, in any order and at any
 * time; a fence or a release waits until all of it has.  Between its acquire and its acquire fence a
 * reader loads in any order.
 *
 * Not modelled: lengths (record_read believes none that the slot's word contradicts); the table of pages
 * (one more word between a slot and its record, stored after the same fence); moves (to a reader an
 * overwrite that changes the slot's word as well); the search through sixteen slots; policy, tokens and
 * expiry; versions that wrap.  A lock that cannot be had may be given up at any time, however soon: that
 * stands for every length of wait.
 *
 * BROKEN, one of the names below, takes a piece away that must be missed.
 */
#define NOTHING 0
#define NO_ODD 1                /* an overwrite does not make the version odd first */
#define NO_FENCE_AFTER_ODD 2    /* nor does a fence come before what follows it */
#define NO_RELEASE_OF_EVEN 3    /* the version becomes even before all is written */
#define NO_VERSION_ON_EVICT 4   /* space is used again under a slot whose version stays */
#define NO_VALIDATION 5         /* a reader does not look at the version again */
#define NO_ACQUIRE_FENCE 6      /* or looks too early */
#define NO_RESET 7              /* a holder's death is overlooked */
#define MENDED_FIRST 8          /* the lock is mended and let go before the shard is emptied */
#define NO_VERSION_IN_RESET 9   /* a reset leaves versions alone */
#define LOCK_WITHOUT_BOUND 10   /* who wants the lock waits for as long as it takes */
#define BUSY_DROP_FORGOTTEN 11  /* a drop that does not get the lock does nothing */
#define FLOOR_NOT_RAISED 12     /* or bumps the epoch alone */
#define NEAR_WITHOUT_EPOCH 13   /* a near hit looks at the version alone */
#define NEAR_EPOCH_OF_BEFORE 14 /* or at the segment's epoch as it was before the read */
#define RECORD_EPOCH_LATE 15    /* a record gets its epoch when it is written, not before */

#ifndef BROKEN
#define BROKEN NOTHING
#endif
#ifndef OPERATIONS
#define OPERATIONS 1 /* of each writer */
#endif
#ifndef DEATHS
#define DEATHS 0
#endif
#ifndef STOPS
#define STOPS 0
#endif
#ifndef READER
#define READER 1 /* in the segment */
#endif
#ifndef NEAR
#define NEAR 0
#endif

#define A 0
#define B 1
#define NONE 2 /* a slot's word when it stands for nothing */
#define NOBODY 9
#define ATTEMPTS 2
#define WRITES (3 + 2 * OPERATIONS)

/* Words: what readers of A may look at comes first. */
#define VERSION(slot) (slot * 6)
#define WORD(slot) (1 + slot * 6)
#define HEAD(place) (2 + place) /* key and epoch of a record, as the number of its write */
#define BODY(place) (4 + place) /* its value, the same */
#define READ 6

byte real[8], seen[READ];
byte epoch, floor;
byte owner = NOBODY;
bool orphaned;

/* Writes by their numbers, which grow in the order in which they take effect. */
byte writes;
byte key_of[WRITES], epoch_of[WRITES];
byte returned; /* the latest change of A that has returned to its caller */

byte deaths, finished;
byte stopped = NOBODY;
byte version_a, version_b; /* when a reset began */

#define visible()                                                                       \
    seen[0] = real[0]; seen[1] = real[1]; seen[2] = real[2]; seen[3] = real[3];         \
    seen[4] = real[4]; seen[5] = real[5]

/* What a process does at once.  Writers may die between any two steps. */
#define step(what) atomic { stopped != me -> what; may_die() }

inline may_die()
{
    if
    :: true
    :: deaths < DEATHS && me < 2 -> deaths++; goto dead
    fi
}

/* -- Versions (seq.h) ----------------------------------------------------------------------------- */

#define odd(slot) real[VERSION(slot)] = real[VERSION(slot)] | 1
#define even(slot) real[VERSION(slot)] = (real[VERSION(slot)] | 1) + 1

inline fence_after_odd()
{
    if
    :: BROKEN != NO_FENCE_AFTER_ODD -> visible()
    :: BROKEN == NO_FENCE_AFTER_ODD
    fi
}

inline write_end(slot)
{
    step(
        if
        :: BROKEN != NO_RELEASE_OF_EVEN -> visible()
        :: BROKEN == NO_RELEASE_OF_EVEN
        fi;
        even(slot))
}

/* index.c */
inline set_word(slot, value)
{
    step(odd(slot));
    step(fence_after_odd(); real[WORD(slot)] = value);
    write_end(slot)
}

/* -- The lock and the reset (lock.c, shard.c) ------------------------------------------------------ */

#define IS_WHOLE(slot)                                                                  \
    (real[VERSION(slot)] % 2 == 0 &&                                                    \
     (real[WORD(slot)] == NONE ||                                                       \
      (real[HEAD(real[WORD(slot)])] == real[BODY(real[WORD(slot)])] &&                  \
       key_of[real[HEAD(real[WORD(slot)])]] == slot)))

inline reset()
{
    step(
        version_a = real[VERSION(A)];
        version_b = real[VERSION(B)];
        if
        :: BROKEN == MENDED_FIRST -> orphaned = false; owner = NOBODY
        :: BROKEN != MENDED_FIRST
        fi);
    if
    :: BROKEN == MENDED_FIRST -> step(owner == NOBODY; owner = me)
    :: BROKEN != MENDED_FIRST
    fi;
    if
    :: BROKEN == NO_VERSION_IN_RESET ->
        step(real[WORD(A)] = NONE; visible());
        step(real[WORD(B)] = NONE)
    :: BROKEN != NO_VERSION_IN_RESET ->
        set_word(A, NONE);
        set_word(B, NONE)
    fi;
    step(
        assert(real[WORD(A)] == NONE && real[WORD(B)] == NONE);
        assert(real[VERSION(A)] > version_a && real[VERSION(A)] % 2 == 0);
        assert(real[VERSION(B)] > version_b && real[VERSION(B)] % 2 == 0);
        version_a = 0;
        version_b = 0;
        orphaned = false)
}

inline acquire()
{
    step(
        if
        :: owner == NOBODY ->
            owner = me;
            held = true;
            assert(orphaned || (IS_WHOLE(A) && IS_WHOLE(B)))
        :: owner != NOBODY && BROKEN != LOCK_WITHOUT_BOUND -> held = false
        fi);
    if
    :: held && orphaned -> reset()
    :: !held || !orphaned
    fi
}

inline release()
{
    step(visible(); owner = NOBODY; held = false)
}

/* -- Writers (entry.c) ----------------------------------------------------------------------------- */

inline number()
{
    writes++;
    n = writes;
    key_of[n] = key;
    epoch_of[n] = epoch
}

/* A writer may also die in the middle. */
inline store_record()
{
    real[HEAD(place)] = n;
    if
    :: BROKEN == RECORD_EPOCH_LATE -> epoch_of[n] = epoch
    :: BROKEN != RECORD_EPOCH_LATE
    fi;
    may_die();
    real[BODY(place)] = n
}

inline overwrite()
{
    step(
        place = real[WORD(key)];
        if
        :: BROKEN != NO_ODD -> odd(key)
        :: BROKEN == NO_ODD
        fi);
    step(fence_after_odd(); store_record());
    write_end(key)
}

#define IS_FREE(place) (real[WORD(A)] != place && real[WORD(B)] != place)

inline evict()
{
    if
    :: real[WORD(A)] != NONE -> victim = A
    :: real[WORD(B)] != NONE -> victim = B
    fi;
    if
    :: BROKEN == NO_VERSION_ON_EVICT -> step(real[WORD(victim)] = NONE)
    :: BROKEN != NO_VERSION_ON_EVICT -> set_word(victim, NONE)
    fi;
    victim = 0
}

inline append()
{
    if
    :: !IS_FREE(0) && !IS_FREE(1) -> evict()
    :: IS_FREE(0) || IS_FREE(1)
    fi;
    step( /* the fence of vlog_append_locked */
        visible();
        if
        :: IS_FREE(0) -> place = 0
        :: IS_FREE(1) -> place = 1
        fi;
        store_record());
    set_word(key, place)
}

/* memory_put, which is told when the lock cannot be had. */
inline put()
{
    acquire();
    if
    :: held ->
        step(number());
        if
        :: real[WORD(key)] != NONE -> overwrite()
        :: append()
        fi;
        release();
        returns()
    :: !held
    fi
}

/* memory_drop: when the lock cannot be had everything goes, by epoch.c. */
inline drop()
{
    acquire();
    if
    :: held ->
        step(number());
        if
        :: real[WORD(key)] != NONE -> set_word(key, NONE)
        :: real[WORD(key)] == NONE
        fi;
        release()
    :: !held ->
        step(
            if
            :: BROKEN != BUSY_DROP_FORGOTTEN -> epoch++
            :: BROKEN == BUSY_DROP_FORGOTTEN
            fi;
            number();
            raised = epoch);
        step(
            if
            :: BROKEN != FLOOR_NOT_RAISED && raised > floor -> floor = raised
            :: BROKEN == FLOOR_NOT_RAISED || raised <= floor
            fi;
            raised = 0)
    fi;
    returns()
}

inline returns()
{
    atomic {
        stopped != me;
        if
        :: key == A && n > returned -> returned = n
        :: key != A || n <= returned
        fi;
        n = 0;
        place = 0
    }
}

#define PUT_A 0
#define PUT_B 1
#define DROP_A 2

proctype writer(byte me; byte first)
{
    byte n, key, place, victim, raised, i;
    bool held;

    do
    :: i < OPERATIONS ->
        i++;
        if
        :: first == PUT_A || i > 1 -> key = A; put()
        :: first == PUT_B || i > 1 -> key = B; put()
        :: first == DROP_A || i > 1 -> key = A; drop()
        fi
    :: i == OPERATIONS -> break
    od;
    atomic { finished++; goto end }
dead:
    atomic {
        finished++;
        if
        :: owner == me ->
            owner = NOBODY; /* the kernel does this */
            orphaned = (BROKEN != NO_RESET)
        :: owner != me
        fi;
        key = 0; n = 0; place = 0; victim = 0; raised = 0; held = false; i = 0
    }
end:
    skip
}

/* -- Readers (index.c, entry.c, near.lua) ----------------------------------------------------------- */

#define FOUND 0
#define ABSENT 1
#define DISTURBED 2

/* One attempt to read A. */
inline attempt()
{
    step(version = seen[VERSION(A)]);
    step(word = seen[WORD(A)]);
    status = (version % 2 -> DISTURBED : (word == NONE -> ABSENT : FOUND));
    if
    :: status == FOUND ->
        if
        :: step(head = seen[HEAD(word)]); step(body = seen[BODY(word)]); step(again = seen[VERSION(A)])
        :: step(body = seen[BODY(word)]); step(head = seen[HEAD(word)]); step(again = seen[VERSION(A)])
        :: BROKEN == NO_ACQUIRE_FENCE ->
            step(head = seen[HEAD(word)]); step(again = seen[VERSION(A)]); step(body = seen[BODY(word)])
        fi;
        atomic {
            if
            :: BROKEN != NO_VALIDATION && again != version -> status = DISTURBED
            :: BROKEN == NO_VALIDATION || again == version ->
                status = (key_of[head] == A -> FOUND : ABSENT)
            fi;
            word = 0;
            again = 0
        }
    :: status != FOUND
    fi
}

inline check_what_was_read()
{
    step(
        if
        :: status == FOUND && epoch_of[head] >= floor ->
            assert(head == body);
            assert(key_of[body] == A && body >= least)
        :: status == FOUND && epoch_of[head] < floor -> status = ABSENT
        :: status != FOUND
        fi)
}

/* memory_get: attempts, then one with the lock. */
proctype reader(byte me)
{
    byte attempts, status, version, word, head, body, again, least;
    bool held;

    step(least = returned);
    do
    :: attempt();
        attempts++;
        if
        :: held -> assert(status != DISTURBED); release(); break
        :: !held && (status != DISTURBED) -> break
        :: !held && status == DISTURBED && attempts < ATTEMPTS
        :: !held && status == DISTURBED && attempts >= ATTEMPTS ->
            acquire();
            if
            :: held
            :: !held -> break
            fi
        fi
    od;
    check_what_was_read();
    atomic { finished++ }
dead:
    skip
}

/* A worker that keeps what it reads, if the segment's epoch is the entry's, and some time later looks
 * whether version and epoch still stand. */
proctype near_reader(byte me)
{
    byte status, version, word, head, body, again, least, remembered, now;

    step(least = returned);
    if
    :: BROKEN == NEAR_EPOCH_OF_BEFORE -> step(remembered = epoch)
    :: BROKEN != NEAR_EPOCH_OF_BEFORE
    fi;
    attempt();
    check_what_was_read();
    if
    :: status == FOUND && BROKEN != NEAR_EPOCH_OF_BEFORE ->
        step(
            remembered = epoch_of[head];
            status = (epoch == remembered -> FOUND : ABSENT))
    :: status != FOUND || BROKEN == NEAR_EPOCH_OF_BEFORE
    fi;
    head = 0;
    if
    :: status == FOUND ->
        step(least = returned);
        if
        :: step(again = seen[VERSION(A)]); step(now = epoch)
        :: step(now = epoch); step(again = seen[VERSION(A)])
        fi;
        assert(again != version || (now != remembered && BROKEN != NEAR_WITHOUT_EPOCH) ||
               body >= least)
    :: status != FOUND
    fi;
    atomic { finished++ }
dead:
    skip
}

/* -- What happens to all of them -------------------------------------------------------------------- */

#define drain(i) d_step { seen[i] != real[i] -> seen[i] = real[i] }

active proctype environment()
{
    byte stops;

end:
    do
    :: drain(0)
    :: drain(1)
    :: drain(2)
    :: drain(3)
    :: drain(4)
    :: drain(5)
    :: atomic {
        stops < STOPS ->
        stops++;
        if
        :: stopped = 0
        :: stopped = 1
        fi
    }
    :: atomic { /* nobody else can go on: all must be through, without the stopped one */
        stopped != NOBODY && timeout ->
        assert(finished >= 1 + READER + NEAR);
        stopped = NOBODY
    }
    od
}

init
{
    atomic {
        key_of[1] = A;
        key_of[2] = B;
        writes = 2;
        returned = 1;
        real[WORD(B)] = 1;
        real[HEAD(0)] = 1;
        real[BODY(0)] = 1;
        real[HEAD(1)] = 2;
        real[BODY(1)] = 2;
        visible();
        /* Writers are alike: one order of two different things is enough. */
        if
        :: run writer(0, PUT_A); run writer(1, PUT_A)
        :: run writer(0, PUT_A); run writer(1, PUT_B)
        :: run writer(0, PUT_A); run writer(1, DROP_A)
        :: run writer(0, PUT_B); run writer(1, PUT_B)
        :: run writer(0, PUT_B); run writer(1, DROP_A)
        :: run writer(0, DROP_A); run writer(1, DROP_A)
        fi;
        if
        :: READER -> run reader(2)
        :: !READER
        fi;
        if
        :: NEAR -> run near_reader(3)
        :: !NEAR
        fi
    }
}
