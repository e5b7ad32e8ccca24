/*
 * tale_bare: a tale without comments.
 *
 * Classic pcap of ours has the two sides of the proxy (report/sides.h). What came and
 * what left are paired by their bytes, the older first: what never left was lost, what left twice was copied.
 * The session that a port towards the cloud belongs to is learned from the first datagram that left by it.
 *
 * Any other file is one place's view: its datagrams are counted as come and gone.
 */
#include <stdlib.h>
#include <string.h>

#include "base/chance.h"
#include "base/memory.h"
#include "report/flows.h"
#include "report/sides.h"
#include "report/tale_inside.h"

#define LOOKS_MAX 64    /* among datagrams of the same bytes */
#define LEAST_WAIT NS_S /* what has not left by so long before the end was lost */
#define NEXT_NONE UINT32_MAX

/* Marks of the same bytes and way, in order of arrival. */
struct same {
	uint32_t first, last;
};

struct bare {
	struct tale *tale;
	struct index by_bytes; /* into `sames` */
	struct same *sames;
	size_t same_count;
	uint32_t *next; /* for each mark: the next one of the same bytes */
	size_t next_room;
	struct index by_device, by_port; /* addresses to sessions' numbers */
	uint32_t sessions;
};

static uint64_t key_of(enum way way, const struct decoded *decoded)
{
	return chance_hash((uint64_t)way + 2 * decoded->size, decoded->payload, decoded->kept);
}

/* ---- Pairing ---- */

static void remember(struct bare *bare, const struct mark *mark, const struct decoded *decoded)
{
	uint64_t key = key_of((enum way)mark->way, decoded);
	uint32_t number = (uint32_t)(mark - bare->tale->marks), at = index_find(&bare->by_bytes, key);

	if (number >= bare->next_room) {
		bare->next_room = 2 * ((size_t)number + 1);
		bare->next = memory_resize(bare->next, bare->next_room, sizeof(*bare->next));
	}
	bare->next[number] = NEXT_NONE;
	if (at != INDEX_NONE) {
		bare->next[bare->sames[at].last] = number;
		bare->sames[at].last = number;
		return;
	}
	bare->sames = memory_grow(bare->sames, bare->same_count, sizeof(*bare->sames));
	bare->sames[bare->same_count] = (struct same){number, number};
	index_add(&bare->by_bytes, key, (uint32_t)bare->same_count++);
}

/* The oldest one of these bytes that has not left (of this session, where it is known); else one that has:
 * then this is a copy. */
static struct mark *pair(
    struct bare *bare, enum way way, const struct decoded *decoded, const struct tale_session *session)
{
	struct tale *tale = bare->tale;
	uint32_t at = index_find(&bare->by_bytes, key_of(way, decoded));
	struct mark *gone = NULL;

	if (at == INDEX_NONE)
		return NULL;
	/* What has left stays at the head only until the next one has left too. */
	while (bare->next[bare->sames[at].first] != NEXT_NONE &&
	       tale->marks[bare->sames[at].first].fate == FATE_SENT &&
	       tale->marks[bare->next[bare->sames[at].first]].fate == FATE_SENT)
		bare->sames[at].first = bare->next[bare->sames[at].first];
	for (uint32_t i = bare->sames[at].first, looks = 0; i != NEXT_NONE && looks < LOOKS_MAX;
	     i = bare->next[i], looks++) {
		struct mark *mark = &tale->marks[i];

		if (session && &tale->sessions[mark->session] != session)
			continue;
		if (mark->fate == FATE_WAITS)
			return mark;
		gone = mark;
	}
	return gone;
}

static void departed(
    struct bare *bare, enum way way, const struct decoded *decoded, struct tale_session *session, ns_t at)
{
	struct mark *mark = pair(bare, way, decoded, session);
	struct account *account;

	if (!mark) {
		bare->tale->strange++;
		return;
	}
	if (mark->fate == FATE_WAITS) {
		tale_sent(bare->tale, mark, at);
		tale_measured(bare->tale, mark, at - mark->at >= NS_MS);
		mark->delay_us = (at - mark->at) / NS_US;
	} else {
		account = &bare->tale->sessions[mark->session].accounts[way];
		account->copies++;
		account->sent++;
		mark->copies++;
		mark->copies_sent++;
		bare->tale->sessions[mark->session].ways[way].copies_sent[ORIGIN_DUPLICATE]++;
		tale_copied(bare->tale, mark, at);
	}
	tale_left(&bare->tale->sessions[mark->session], way, decoded);
	tale_delivered(bare->tale, &bare->tale->sessions[mark->session], way, decoded, at);
	if (way == WAY_UP && !session) {
		session = &bare->tale->sessions[mark->session];
		index_add(&bare->by_port, address_hash(&decoded->from), session->number);
		session->rebinds += session->cloud_port != 0;
		session->cloud_port = decoded->from.port;
	}
}

/* ---- Sessions ---- */

/* As a core tells sessions apart: by the device's address and the one that it spoke to. */
static struct tale_session *session_of_device(
    struct bare *bare, const struct address *device, const struct address *device_side, ns_t at)
{
	uint64_t key = address_hash(device) * 3 + address_hash(device_side);
	uint32_t number = index_find(&bare->by_device, key);
	struct tale_session *session;

	if (number != INDEX_NONE)
		return tale_session(bare->tale, number, at);
	number = ++bare->sessions;
	index_add(&bare->by_device, key, number);
	session = tale_session(bare->tale, number, at);
	session->device = *device;
	session->header = device->family == FAMILY_IPV6 ? TALE_HEADER_IPV6 : TALE_HEADER_IPV4;
	return session;
}

static struct tale_session *session_of_port(struct bare *bare, const struct address *port)
{
	uint32_t number = index_find(&bare->by_port, address_hash(port));

	return number == INDEX_NONE ? NULL : tale_session(bare->tale, number, 0);
}

static struct mark *arrived(
    struct bare *bare, struct tale_session *session, enum way way, const struct decoded *decoded, ns_t at)
{
	struct mark *mark = tale_arrived(bare->tale, session, way, ++session->bare_n[way], decoded, at);

	if (session->steps != bare->tale->steps)
		handshakes_step(&session->handshakes);
	session->steps = bare->tale->steps;
	tale_look(bare->tale, session, mark, decoded);
	mark->words = tale_words_add(&bare->tale->words, "", 0);
	return mark;
}

static void take_two_sided(
    struct bare *bare, const struct saved_packet *packet, const struct decoded *decoded)
{
	struct tale_session *session;
	enum party from, to;

	sides_parties(packet, &from, &to);
	if (from == PARTY_IS_DEVICE && to == PARTY_IS_PROXY) {
		session = session_of_device(bare, &decoded->from, &decoded->to, packet->at);
		remember(bare, arrived(bare, session, WAY_UP, decoded, packet->at), decoded);
	} else if (from == PARTY_IS_CLOUD && to == PARTY_IS_PROXY &&
	           (session = session_of_port(bare, &decoded->to))) {
		remember(bare, arrived(bare, session, WAY_DOWN, decoded, packet->at), decoded);
	} else if (from == PARTY_IS_PROXY && to == PARTY_IS_CLOUD) {
		departed(bare, WAY_UP, decoded, session_of_port(bare, &decoded->from), packet->at);
	} else if (from == PARTY_IS_PROXY && to == PARTY_IS_DEVICE) {
		session = session_of_device(bare, &decoded->to, &decoded->from, packet->at);
		departed(bare, WAY_DOWN, decoded, session, packet->at);
	} else if (from != PARTY_IS_PROXY || to != PARTY_IS_PROXY) { /* else an event of ours */
		bare->tale->strange++;
	}
}

/* What never left, though others did that came long after it. */
static void bury(struct tale *tale)
{
	for (size_t i = 0; i < tale->mark_count; i++) {
		struct mark *mark = &tale->marks[i];
		ns_t slowest = tale->sessions[mark->session].ways[mark->way].slowest;
		ns_t wait = slowest > LEAST_WAIT ? slowest : LEAST_WAIT;

		if (mark->fate == FATE_WAITS && mark->at < tale->last - wait)
			tale_dropped(tale, mark, REASON_LOSS, "", 0, mark->at);
	}
}

/* ---- */

static void take(
    struct bare *bare, const struct flows *flows, struct reader *reader, const struct reader_packet *from)
{
	const struct saved_packet *packet = &from->saved;
	struct tale *tale = bare->tale;
	struct tale_session *session;
	struct decoded decoded;
	struct mark *mark;
	struct flow flow;

	tale->steps += from->follows_step;
	if (reader_decode(reader, from, &decoded) != DECODE_UDP)
		return;
	if (tale->kind == TALE_TWO_SIDES) {
		take_two_sided(bare, packet, &decoded);
	} else if (flows_take(flows, packet, &decoded, &flow)) {
		session = session_of_device(bare, &flow.device, &flow.device_side, packet->at);
		mark = arrived(bare, session, flow.way, &decoded, packet->at);
		tale_sent(tale, mark, packet->at);
		tale_left(session, flow.way, &decoded);
		tale_delivered(tale, session, flow.way, &decoded, packet->at);
		tale_done(tale, mark);
	} else {
		tale->strange++;
	}
}

static int feed(struct bare *bare, struct inputs *inputs, const struct flows *flows, struct error *error)
{
	struct tale *tale = bare->tale;
	struct reader *reader = reader_open(inputs, error);
	struct reader_packet packet;

	if (!reader)
		return -1;
	while (reader_next(reader, &packet)) {
		if (!tale->packets++)
			tale->first = packet.saved.at;
		tale->last = packet.saved.at > tale->last ? packet.saved.at : tale->last;
		take(bare, flows, reader, &packet);
	}
	tale_reader_done(tale, reader);
	reader_close(reader);
	return 0;
}

int tale_read_bare(
    struct tale *tale, struct inputs *inputs, const struct tale_wish *wish, struct error *error)
{
	struct bare bare = {.tale = tale};
	struct flows_wish flows_wish = {.device = wish->device, .cloud = wish->cloud};
	struct flows *flows = NULL;
	int status = 0;

	struct sides *sides = sides_new(inputs);

	tale->kind = sides ? TALE_TWO_SIDES : TALE_ONE_SIDE;
	sides_free(sides);
	tale->brief &= tale->kind == TALE_ONE_SIDE; /* what left is paired with what came by its bytes */
	if (tale->kind == TALE_ONE_SIDE) {
		flows = flows_new(inputs, &flows_wish, error);
		if (!flows)
			return -1;
		if (*flows_told(flows))
			text_add(&tale->notes, "%s\n", flows_told(flows));
	}
	status = feed(&bare, inputs, flows, error);
	if (!status && tale->kind == TALE_TWO_SIDES)
		bury(tale);
	if (flows)
		flows_free(flows);
	free(bare.sames);
	free(bare.next);
	index_free(&bare.by_bytes);
	index_free(&bare.by_device);
	index_free(&bare.by_port);
	return status;
}
