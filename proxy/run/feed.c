/* SPDX-License-Identifier: BSD-2-Clause */
#include "proxy/run/feed.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"

struct feed {
	pthread_mutex_t lock;              /* serializes feed_put */
	struct feed_event kept[FEED_KEPT]; /* by id modulo FEED_KEPT */
	char *texts[FEED_KEPT];            /* of the events in `kept` */
	uint64_t newest;
};

struct feed *feed_new(void)
{
	struct feed *feed = memory_new(1, sizeof(*feed));

	pthread_mutex_init(&feed->lock, NULL);
	return feed;
}

void feed_free(struct feed *feed)
{
	if (!feed)
		return;
	for (size_t i = 0; i < FEED_KEPT; i++)
		free(feed->texts[i]);
	pthread_mutex_destroy(&feed->lock);
	free(feed);
}

void feed_put(struct feed *feed, const char *text, ns_t at)
{
	char *copy = strdup(text), *before;
	struct feed_event *event;

	pthread_mutex_lock(&feed->lock);
	feed->newest++;
	event = &feed->kept[feed->newest % FEED_KEPT];
	before = feed->texts[feed->newest % FEED_KEPT];
	feed->texts[feed->newest % FEED_KEPT] = copy;
	*event = (struct feed_event){.id = feed->newest,
	    .at = at,
	    .text = copy ? copy : "out of memory: the text of this event is lost"};
	if (strncmp(text, "s=", 2) == 0)
		event->session = (uint32_t)strtoul(text + 2, NULL, 10);
	pthread_mutex_unlock(&feed->lock);
	free(before);
}

const struct feed_event *feed_after(const struct feed *feed, uint64_t id)
{
	uint64_t oldest = feed->newest > FEED_KEPT ? feed->newest - FEED_KEPT + 1 : 1;
	uint64_t next = id + 1 > oldest ? id + 1 : oldest;

	if (id >= feed->newest)
		return NULL;
	return &feed->kept[next % FEED_KEPT];
}

uint64_t feed_newest(struct feed *feed)
{
	uint64_t newest;

	pthread_mutex_lock(&feed->lock);
	newest = feed->newest;
	pthread_mutex_unlock(&feed->lock);
	return newest;
}

bool feed_of_session(struct feed *feed, uint32_t session, struct text *text)
{
	const struct feed_event *found = NULL;
	char *copy = NULL;

	pthread_mutex_lock(&feed->lock);
	for (uint64_t id = feed->newest; !found && id && id + FEED_KEPT > feed->newest; id--)
		if (feed->kept[id % FEED_KEPT].session == session)
			found = &feed->kept[id % FEED_KEPT];
	if (found)
		copy = strdup(found->text);
	pthread_mutex_unlock(&feed->lock);
	if (found && !copy)
		memory_out(); /* not before the lock is released */
	if (copy)
		text_add_word(text, copy);
	free(copy);
	return found != NULL;
}
