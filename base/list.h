/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * list: links of intrusive lists. The links are members of the items, and the heads are pointers of the
 * owner, so that an item may stand in several lists, and a head costs no more than its pointers.
 *
 * `first` and `last` are lvalues; `before` and `after` name the members that link an item. Arguments are
 * evaluated more than once.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

/* Lists with both ends. */
#define list_append(first, last, item, before, after)                                                        \
	do {                                                                                                 \
		(item)->before = (last);                                                                     \
		(item)->after = NULL;                                                                        \
		*((last) ? &(last)->after : &(first)) = (item);                                              \
		(last) = (item);                                                                             \
	} while (0)

#define list_remove(first, last, item, before, after)                                                        \
	do {                                                                                                 \
		*((item)->before ? &(item)->before->after : &(first)) = (item)->after;                       \
		*((item)->after ? &(item)->after->before : &(last)) = (item)->before;                        \
	} while (0)

/* Lists whose end nobody needs: items are pushed at the front. */
#define list_push(first, item, before, after)                                                                \
	do {                                                                                                 \
		(item)->before = NULL;                                                                       \
		(item)->after = (first);                                                                     \
		if (first)                                                                                   \
			(first)->before = (item);                                                            \
		(first) = (item);                                                                            \
	} while (0)

#define list_unlink(first, item, before, after)                                                              \
	do {                                                                                                 \
		*((item)->before ? &(item)->before->after : &(first)) = (item)->after;                       \
		if ((item)->after)                                                                           \
			(item)->after->before = (item)->before;                                              \
	} while (0)

#endif
