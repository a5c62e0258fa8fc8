/*
 * op_list.h: operations one behind the other, through their next fields.  Pure.
 */
#ifndef TANDEM_REDIS_OP_LIST_H
#define TANDEM_REDIS_OP_LIST_H

#include "redis/redis.h"

struct op_list {
    struct redis_op *first, **end;
};

static inline void op_list_init(struct op_list *list)
{
    list->first = NULL;
    list->end = &list->first;
}

static inline void op_list_append(struct op_list *list, struct redis_op *op)
{
    op->next = NULL;
    *list->end = op;
    list->end = &op->next;
}

static inline void op_list_prepend(struct op_list *list, struct redis_op *op)
{
    op->next = list->first;
    list->first = op;
    if (!op->next)
        list->end = &op->next;
}

/* The first, or NULL. */
static inline struct redis_op *op_list_take(struct op_list *list)
{
    struct redis_op *op = list->first;

    if (op) {
        list->first = op->next;
        if (!list->first)
            list->end = &list->first;
    }
    return op;
}

static inline void op_list_remove(struct op_list *list, const struct redis_op *op)
{
    struct redis_op **link = &list->first;

    while (*link && *link != op)
        link = &(*link)->next;
    if (*link) {
        *link = op->next;
        if (!*link)
            list->end = link;
    }
}

/* Empties from. */
static inline void op_list_append_all(struct op_list *to, struct op_list *from)
{
    if (from->first) {
        *to->end = from->first;
        to->end = from->end;
        op_list_init(from);
    }
}

#endif
