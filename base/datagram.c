/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/datagram.h"

#include <stddef.h>

void datagram_append(struct datagram_list *list, struct datagram *datagram)
{
	datagram->next = NULL;
	if (list->last)
		list->last->next = datagram;
	else
		list->first = datagram;
	list->last = datagram;
}

struct datagram *datagram_pop(struct datagram_list *list)
{
	struct datagram *datagram = list->first;

	if (!datagram)
		return NULL;
	list->first = datagram->next;
	if (!list->first)
		list->last = NULL;
	datagram->next = NULL;
	return datagram;
}

void datagram_remove(struct datagram_list *list, struct datagram *datagram)
{
	struct datagram **link = &list->first, *before = NULL;

	while (*link && *link != datagram) {
		before = *link;
		link = &before->next;
	}
	if (!*link)
		return;
	*link = datagram->next;
	if (list->last == datagram)
		list->last = before;
	datagram->next = NULL;
}
