/*
 * fault.h: marked points in everything that writes to a segment, where a test kills or stops the
 * process that comes by.  In the library they are nothing: only a build with TANDEM_FAULTS has them.
 */
#ifndef TANDEM_MEMORY_FAULT_H
#define TANDEM_MEMORY_FAULT_H

/* F(name, whether the lock of a shard is held there) */
#define FAULT_POINTS(F)                                                                 \
    F(LOCK_TAKEN, true)        /* nothing changed yet */                                \
    F(LOCK_TO_RELEASE, true)   /* everything changed */                                 \
    F(SLOT_ODD, true)          /* a slot's word is about to change */                   \
    F(SLOT_WORD, true)         /* it has changed, and its version is odd */             \
    F(SLOT_EVEN, true)         /* readers see it */                                     \
    F(OVERWRITE_ODD, true)     /* a record is about to be written over */               \
    F(OVERWRITE_WRITTEN, true) /* it has been, and its version is odd */                \
    F(OVERWRITE_EVEN, true)    /* readers see it */                                     \
    F(RECORD_HEAD, true)       /* a record has its head and nothing else */             \
    F(RECORD_KEY, true)        /* and its key */                                        \
    F(RECORD_VALUE, true)      /* and its value but for the last word */                \
    F(OLD_DISCOUNTED, true)    /* the units of what is replaced are no longer live */   \
    F(ENTRY_COUNTED, true)     /* a new entry is, and is not there yet */               \
    F(RECORD_WRITTEN, true)    /* no slot stands for it */                              \
    F(RECORD_PUBLISHED, true)  /* a slot does, and its units are not live yet */        \
    F(RECORD_LIVE, true)       /* they are */                                           \
    F(WRITE_DONE, true)        /* but not counted in wseq */                            \
    F(WRITE_COUNTED, true)     /* it is */                                              \
    F(SLOT_EMPTIED, true)      /* an entry is gone, and still counted */                \
    F(ENTRY_DISCOUNTED, true)  /* it is not */                                          \
    F(PAGE_TAKEN, true)        /* it belongs to nobody */                               \
    F(PAGE_LINKED, true)       /* it belongs to a log whose head is before it */        \
    F(HEAD_ADVANCED, true)     /* over space without a record */                        \
    F(PAGE_FREED, true)        /* it belongs to nobody and to a log */                  \
    F(TAIL_ADVANCED, true)     /* a record has left a log */                            \
    F(MOVE_ODD, true)          /* a record is about to be moved */                      \
    F(MOVE_COPIED, true)       /* part of it has been */                                \
    F(MOVE_ADVANCED, true)     /* and the logs with it */                               \
    F(MOVE_PUBLISHED, true)    /* all of it, and its units are live in the wrong log */ \
    F(MOVE_COUNTED, true)      /* in the right one */                                   \
    F(GHOST_TAKEN, true)       /* a returning key's ghost is gone */                    \
    F(GHOST_PUT, true)         /* an entry's ghost is there, and so is the entry */     \
    F(MARK_TAKEN, true)        /* a mark is gone for which nothing was given yet */     \
    F(USED_STORED, true)       /* a record's time is new */                             \
    F(VICTIM_FORGOTTEN, true)  /* all slots of a key were taken, and one is free now */ \
    F(RESET_BEGUN, true)       /* a dead holder's lock is had */                        \
    F(RESET_SLOT, true)        /* part of its shard's slots are empty */                \
    F(RESET_SLOTS, true)       /* all of them */                                        \
    F(RESET_LOGS, true)        /* the logs too */                                       \
    F(RESET_DONE, true)        /* all is empty, and the lock not mended */              \
    F(RESET_MENDED, true)      /* it is */                                              \
    F(FLIGHT_LOCKED, false)    /* a lock of the flights, that is, is had */             \
    F(FLIGHT_TO_LEAVE, false)  /* and all is done */                                    \
    F(FLIGHT_IN_FLUX, false)   /* one is about to be changed */                         \
    F(FLIGHT_CHANGED, false)   /* it has been */                                        \
    F(FLIGHT_SETTLED, false)   /* and it is known to be whole */                        \
    F(LANES_RAISED, false)     /* and the epoch that says so is not another yet */      \
    F(EPOCH_BUMPED, false)     /* to make all go, and the floor not raised yet */       \
    F(FLOOR_RAISED, false)     /* it is */                                              \
    F(TAG_NUMBERED, false)     /* an invalidation has its number, and nothing knows */  \
    F(TAG_HALF, false)         /* one of the tag's two places has it */                 \
    F(TAG_RAISED, false)       /* both, and near tables are not told yet */             \
    F(TAG_DONE, false)         /* they are */

#define FAULT_ID(name, locked) FAULT_##name,
enum fault_point { FAULT_POINTS(FAULT_ID) FAULT_COUNT };
#undef FAULT_ID

#ifdef TANDEM_FAULTS

/* Sends this process that signal when it comes by a point for the nth time from now, n from 1 on. */
void fault_arm(enum fault_point point, unsigned n, int signal_number);

/* From now on counts how often this process comes by each point. */
void fault_count(unsigned counts[FAULT_COUNT]);

void fault_reached(enum fault_point point);
#define FAULT_POINT(name) fault_reached(FAULT_##name)

#else
#define FAULT_POINT(name) ((void)0)
#endif

#endif
