/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * follow: recognizes a device that returns from another address by its DTLS connection ID.
 *
 * A table maps (listener, connection ID) to the session in which the ID was last seen upstream. RFC 9146
 * section 6 requires two checks of a record before a peer's address is updated. The proxy has no keys and
 * cannot authenticate it, so it makes only the other check: the record's (epoch, sequence number) must be
 * higher than any seen in that session. DTLS 1.3 encrypts record numbers, so its records are not followed.
 */
#include <stdlib.h>
#include <string.h>

#include "rules/inside.h"

#define BUCKETS 1024
#define HEADER_TO_CID 11 /* type, version, epoch, sequence number */
#define HEADER_BEHIND 2  /* length */

struct followed {
	struct followed *next;
	struct session *session;
	uint64_t key;
	uint64_t highest; /* epoch (16 bits) and sequence number (48 bits) */
	uint8_t size;
	uint8_t cid[255];
};

struct follow {
	struct followed *buckets[BUCKETS];
	uint32_t sizes[256]; /* number of IDs of each length */
};

static uint64_t followed_key(unsigned entrance, const uint8_t *cid, size_t size)
{
	return chance_hash(entrance, cid, size);
}

static struct followed *find_followed(
    const struct follow *follow, unsigned entrance, const uint8_t *cid, size_t size)
{
	uint64_t key = followed_key(entrance, cid, size);
	struct followed *at = follow->buckets[key % BUCKETS];

	while (at && !(at->key == key && at->size == size && at->session->entrance == entrance &&
	                 memcmp(at->cid, cid, size) == 0))
		at = at->next;
	return at;
}

static void unlink_followed(struct follow *follow, struct followed *followed)
{
	struct followed **link = &follow->buckets[followed->key % BUCKETS];

	while (*link != followed)
		link = &(*link)->next;
	*link = followed->next;
	follow->sizes[followed->size]--;
}

static void link_followed(struct follow *follow, struct followed *followed)
{
	followed->next = follow->buckets[followed->key % BUCKETS];
	follow->buckets[followed->key % BUCKETS] = followed;
	follow->sizes[followed->size]++;
}

static uint64_t full_number(const struct dtls_record *record)
{
	return (uint64_t)record->epoch << 48 | record->number;
}

static void see_record(struct core *core, struct session *session, const struct dtls_record *record)
{
	struct followed *followed = session->followed, *other;

	if (!record->cid_size || record->type == DTLS_UNIFIED)
		return;
	if (!core->follow) {
		core->follow = calloc(1, sizeof(*core->follow));
		core->out_of_memory |= !core->follow;
		if (!core->follow)
			return;
	}
	if (followed && followed->size == record->cid_size &&
	    memcmp(followed->cid, record->cid, followed->size) == 0) {
		if (full_number(record) > followed->highest)
			followed->highest = full_number(record);
		return;
	}
	/* An ID maps to one session only, the one that used it last. */
	other = find_followed(core->follow, session->entrance, record->cid, record->cid_size);
	if (other)
		follow_forget(core, other->session);
	if (followed)
		unlink_followed(core->follow, followed);
	else
		followed = session->followed = core_alloc(core, sizeof(*followed));
	if (!followed)
		return;
	followed->session = session;
	followed->highest = full_number(record);
	followed->size = record->cid_size;
	memcpy(followed->cid, record->cid, followed->size);
	followed->key = followed_key(session->entrance, followed->cid, followed->size);
	link_followed(core->follow, followed);
}

void follow_see(struct core *core, struct session *session, const struct arrival *arrival)
{
	struct dtls_walk walk;
	struct dtls_record record;

	if (!session->section || !session->section->follow_cid)
		return;
	dtls_walk(&walk, &session->dtls, WAY_UP, arrival->bytes, arrival->size);
	while (dtls_next(&walk, &record))
		see_record(core, session, &record);
}

void follow_forget(struct core *core, struct session *session)
{
	if (!session->followed)
		return;
	unlink_followed(core->follow, session->followed);
	free(session->followed);
	session->followed = NULL;
}

void follow_free(struct core *core)
{
	free(core->follow);
}

/* Returns the highest number among the datagram's records that carry this session's connection ID, or 0. */
static uint64_t highest_number(const struct followed *followed, const struct arrival *arrival)
{
	struct dtls_walk walk;
	struct dtls_record record;
	uint64_t highest = 0;

	dtls_walk(&walk, &followed->session->dtls, WAY_UP, arrival->bytes, arrival->size);
	while (dtls_next(&walk, &record))
		if (record.type != DTLS_UNIFIED && record.cid_size == followed->size &&
		    memcmp(record.cid, followed->cid, followed->size) == 0 && full_number(&record) > highest)
			highest = full_number(&record);
	return highest;
}

/* Returns the session of a connection ID, of any known length, that the datagram carries with a record newer
 * than all seen in that session; or NULL. */
static struct session *find_newer(
    const struct follow *follow, unsigned entrance, const struct arrival *arrival)
{
	const uint8_t *cid = arrival->bytes + HEADER_TO_CID;

	for (size_t size = 1; size < 256 && arrival->size >= HEADER_TO_CID + size + HEADER_BEHIND; size++) {
		struct followed *followed = follow->sizes[size] ? find_followed(follow, entrance, cid, size)
		                                                : NULL;

		/* A reload may have turned follow_cid off. */
		if (followed && highest_number(followed, arrival) > followed->highest &&
		    followed->session->section && followed->session->section->follow_cid)
			return followed->session;
	}
	return NULL;
}

struct session *core_follow(struct core *core, unsigned entrance, const struct address *device,
    const struct arrival *arrival, enum admission *admission)
{
	struct dtls_session no_hellos;
	struct dtls_peek peek;
	struct session *session;
	char text[ADDRESS_TEXT_SIZE];

	if (!core->follow || arrival->way != WAY_UP || arrival->size < HEADER_TO_CID + HEADER_BEHIND)
		return NULL;
	dtls_init(&no_hellos);
	dtls_parse(&no_hellos, WAY_UP, arrival->bytes, arrival->size, &peek);
	if (!(peek.kinds >> DTLS_KIND_CID & 1) || peek.first.type == DTLS_UNIFIED || !peek.first.cid)
		return NULL;
	session = find_newer(core->follow, entrance, arrival);
	if (!session)
		return NULL;
	*admission = ADMISSION_MOVED;
	session_move(core, session, device);
	core_event(
	    core, session, arrival->at, "device-moved device=%s", address_text(device, text, sizeof(text)));
	return session;
}
