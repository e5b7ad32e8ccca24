/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each packet first advances the core to its timestamp, and is then handled as in relay/arrivals.c, except
 * that sending a datagram only means recording it. Live changes found among the capture's events are carried
 * out in between.
 */
#include "proxy/run/simulation.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "proxy/run/log.h"
#include "proxy/run/recording.h"

/* The session's `transport`: its addresses in the capture. */
struct path_ends {
	struct address device_side, cloud_side;
	uint32_t mapping; /* of the NAT, the last one recorded */
};

/* ---- Outcomes ---- */

static struct capture_path path_of(const struct session *session)
{
	const struct path_ends *path_ends = session->transport;

	return (struct capture_path){.device = &session->device,
	    .device_side = &path_ends->device_side,
	    .cloud_side = &path_ends->cloud_side,
	    .cloud = &session->cloud};
}

static void record_departure(struct simulation *s, struct datagram *datagram, enum reason reason, ns_t at)
{
	struct capture_path path;

	if (!s->capture)
		return;
	path = path_of(datagram->session);
	recording_add_departure(s->recorder, &path, datagram, reason, datagram->id, at, at);
}

/* Records an event for each mapping that replaces another. The event has the port that was recorded, since no
 * socket is opened. */
static void record_mapping(struct simulation *s, struct session *session, uint32_t mapping, ns_t at)
{
	struct path_ends *path_ends = session->transport;
	char text[80];

	snprintf(text, sizeof(text), "s=%u nat-rebound port=%u", session->number, path_ends->cloud_side.port);
	for (; path_ends->mapping < mapping; path_ends->mapping++) {
		if (path_ends->mapping && s->capture)
			capture_event(s->recorder, text, at);
		if (path_ends->mapping)
			log_debug("%s", text);
	}
}

/* A run refuses datagrams as overload if out of memory; a simulation aborts, to stay reproducible. */
static void handle_outcomes(struct simulation *s)
{
	struct outcome outcome;

	if (core_out_of_memory(s->core))
		memory_out();

	while (core_next(s->core, &outcome)) {
		switch (outcome.kind) {
		case OUTCOME_SEND:
			record_mapping(s, outcome.datagram->session, outcome.mapping, outcome.at);
			record_departure(s, outcome.datagram, REASON_NONE, outcome.at);
			core_sent(s->core, outcome.datagram, outcome.at);
			break;
		case OUTCOME_UNSENT:
			record_departure(s, outcome.datagram, outcome.reason, outcome.at);
			core_release(s->core, outcome.datagram);
			break;
		case OUTCOME_EVENT:
			if (s->capture)
				capture_event(s->recorder, outcome.text, outcome.at);
			log_debug("%s", outcome.text);
			break;
		case OUTCOME_UPSTREAM:
		case OUTCOME_DARK: break; /* nothing but datagrams passes a simulation */
		case OUTCOME_ENDED:
			summary_session_ended(s->summary, outcome.session);
			core_session_release(s->core, outcome.session);
			break;
		}
	}
}

static void advance_core(struct simulation *s, ns_t now)
{
	/* One due time after another, so that outcomes are recorded in order of time. */
	for (ns_t due = core_due(s->core); due <= now; due = core_due(s->core)) {
		core_advance(s->core, due);
		handle_outcomes(s);
	}
	core_advance(s->core, now);
	handle_outcomes(s);
}

/* ---- Arrivals ---- */

static unsigned entrance_number(struct simulation *s, const struct address *side)
{
	uint64_t key = address_hash(side);
	uint32_t index = index_find(&s->by_entrance, key);

	if (index != INDEX_NONE)
		return index;
	s->entrances = memory_grow(s->entrances, s->entrance_count, sizeof(*side));
	s->entrances[s->entrance_count] = *side;
	index_add(&s->by_entrance, key, (uint32_t)s->entrance_count);
	return (unsigned)s->entrance_count++;
}

/* Returns the [proxy] listen address for a local address that a device sent to: the same, or the wildcard
 * address with its port. */
static struct address configured_listener(const struct simulation *s, const struct address *side)
{
	const struct addresses *listen = &s->setup->proxy.listen;

	for (size_t i = 0; i < listen->count; i++)
		if (address_equal(&listen->all[i], side))
			return *side;
	for (size_t i = 0; i < listen->count; i++)
		if (listen->all[i].family == side->family && listen->all[i].port == side->port &&
		    address_is_any(&listen->all[i]))
			return listen->all[i];
	/* In the recorded run, the kernel chose the port of the only listener. */
	return listen->count == 1 && listen->all[0].port == 0 ? listen->all[0] : *side;
}

/* Returns where a device came in that sent to `side`. */
static struct entrance entrance_of(const struct simulation *s, const struct address *side)
{
	const struct addresses *listen = &s->setup->proxy.listen;
	struct entrance entrance = {.listener = configured_listener(s, side)};

	if (!s->setup->proxy.is_original)
		return entrance;
	entrance.destination = *side;
	for (size_t i = listen->count; i; i--)
		if (listen->all[i - 1].family == side->family)
			entrance.listener = listen->all[i - 1];
	return entrance;
}

/* Returns NULL and sets *reason if the datagram is refused. */
static struct session *session_for(
    struct simulation *s, const struct flow *flow, const struct arrival *arrival, enum reason *reason)
{
	struct entrance where = entrance_of(s, &flow->device_side);
	enum admission admission;
	struct session *session;

	*reason = REASON_NOT_ALLOWED;
	if (!patterns_match(&s->setup->proxy.allow, &flow->device))
		return NULL;
	session = core_session(
	    s->core, entrance_number(s, &flow->device_side), &where, &flow->device, arrival, &admission);
	*reason = admission_reason(admission);
	if (session && !session->transport) {
		struct path_ends *path_ends = (struct path_ends *)session->room;

		*path_ends = (struct path_ends){
		    .device_side = flow->device_side, .cloud_side = flow->cloud_side};
		session->cloud = flow->cloud;
		session->transport = path_ends;
		if (s->capture && session->section)
			capture_host(s->recorder, &session->device, session->section->name, arrival->at);
		session->port = path_ends->cloud_side.port;
	}
	handle_outcomes(s);
	return session;
}

static void handle_arrival(struct simulation *s, const struct flow *flow, const struct arrival *arrival)
{
	struct capture_path path = {.device = &flow->device,
	    .device_side = &flow->device_side,
	    .cloud_side = &flow->cloud_side,
	    .cloud = &flow->cloud};
	struct session *session;
	struct verdict verdict;
	enum reason reason;

	advance_core(s, arrival->at);
	session = session_for(s, flow, arrival, &reason);
	if (session) {
		core_arrive(s->core, session, arrival, &verdict);
		record_mapping(s, session, session->nat.mapping, arrival->at);
		path = path_of(session);
	} else {
		core_refuse(s->core, reason, arrival, &verdict);
	}
	if (s->capture)
		capture_arrived(s->recorder, &path, &verdict, arrival->bytes, arrival->tos,
		    core_arrivals(s->core), arrival->at);
	advance_core(s, arrival->at);
}

/* ---- Live changes ---- */

static struct core_limits core_limits_of(const struct simulation *s)
{
	return (struct core_limits){.seed = s->seed,
	    .idle_timeout = s->setup->proxy.idle_timeout,
	    .max_sessions = s->setup->proxy.max_sessions,
	    .max_queued = s->setup->proxy.max_queued,
	    .transport_size = sizeof(struct path_ends),
	    .recorded = flows_recorded(s->flows)};
}

static void start_core(struct simulation *s, ns_t now)
{
	struct core_limits limits = core_limits_of(s);

	s->began = s->now = now;
	s->core = core_new(s->setup->config, s->names, &limits, now);
	s->cores = (struct core_group){.all = &s->core, .count = 1};
}

static void exchange_setup(struct simulation *s, struct setup *setup, ns_t now)
{
	struct entrance *entrances = memory_new(s->entrance_count + 1, sizeof(*entrances));
	struct setup *before = s->setup;
	struct core_limits limits;

	s->setup = setup;
	limits = core_limits_of(s);
	for (size_t i = 0; i < s->entrance_count; i++)
		entrances[i] = entrance_of(s, &s->entrances[i]);
	core_reload(s->core, setup->config, &limits, entrances, now);
	setup_free(before);
	free(entrances);
}

static void record_change(struct simulation *s, const char *change, ns_t at)
{
	struct text text = {0};

	text_add(&text, "live %s", change);
	capture_event(s->recorder, text.at, at);
	text_free(&text);
}

/* Handles an event of the recorded run; repeats a live change: "… deadzone: live LINE". */
static void handle_event(struct simulation *s, const struct decoded *decoded, ns_t at)
{
	static const char mark[] = "deadzone deadzone: live ";
	const char *text = (const char *)decoded->payload;
	const char *line = memmem(text, decoded->kept, mark, sizeof(mark) - 1);
	struct live_result result;
	char *change;

	if (!s->changes || !line)
		return;
	line += sizeof(mark) - 1;
	change = memory_text(line, decoded->kept - (size_t)(line - text));
	at = at > s->now ? at : s->now;
	advance_core(s, at);
	result = live_apply(s->live, &s->cores, s->setup, change, at);
	if (result.status != LIVE_DONE)
		log_error("simulate: the live change `%s` does not fit: %s", change, result.error.at);
	else if (s->capture)
		record_change(s, change, at);
	if (result.setup)
		exchange_setup(s, result.setup, at);
	advance_core(s, at);
	text_free(&result.error);
	free(change);
}

static void handle_packet(struct simulation *s, struct reader *reader, const struct reader_packet *from)
{
	const struct saved_packet *packet = &from->saved;
	struct decoded decoded;
	struct arrival arrival;
	struct flow flow;

	if (reader_decode(reader, from, &decoded) != DECODE_UDP)
		return;
	if (strcmp(packet->interface, "events") == 0)
		return handle_event(s, &decoded, packet->at);
	if (!flows_match(s->flows, packet, &decoded, &flow))
		return;
	if (packet->at > s->now)
		s->now = packet->at; /* time does not go back if timestamps are out of order */
	arrival = (struct arrival){.way = flow.way,
	    .tos = decoded.tos,
	    .bytes = decoded.payload,
	    .size = decoded.size,
	    .at = s->now,
	    .mapping = flow.mapping};
	if (decoded.kept < decoded.size) {
		s->cut++;
		memset(s->whole, 0, decoded.size);
		memcpy(s->whole, decoded.payload, decoded.kept);
		arrival.bytes = s->whole;
	}
	s->taken++;
	handle_arrival(s, &flow, &arrival);
}

/* ---- The run ---- */

static enum exit_status capture_start(struct simulation *s, const char *path)
{
	struct recording recording = {.setup = s->setup,
	    .path = path,
	    .names = s->names,
	    .seed = s->seed,
	    .recorders = 1,
	    .patient = true,
	    .at = s->began};
	enum exit_status status = recording_open(&recording, &s->capture);

	s->recorder = s->capture ? capture_recorder(s->capture, 0) : NULL;
	return status;
}

static void log_reader_notes(const struct reader *reader)
{
	struct text notes = {0}, others = {0};

	reader_notes(reader, &notes);
	reader_count_others(reader, &others);
	for (char *line = notes.at; line && *line; line += strcspn(line, "\n") + 1)
		log_notice("%.*s", (int)strcspn(line, "\n"), line);
	if (others.size)
		log_notice("passed over: %s", others.at);
	if (reader_was_cut(reader))
		log_notice("the capture ends in the middle of a packet; it was taken up to there");
	text_free(&notes);
	text_free(&others);
}

int simulation_feed(struct simulation *s, const char *out)
{
	struct error error;
	struct reader *reader = reader_open(s->inputs, &error);
	struct reader_packet packet;
	int status = EXIT_DONE;

	if (!reader) {
		log_error("%s", error.text);
		return EXIT_USAGE;
	}
	while (!status && reader_next(reader, &packet)) {
		if (!s->core) {
			start_core(s, packet.saved.at);
			status = (int)capture_start(s, out);
		}
		if (!status)
			handle_packet(s, reader, &packet);
	}
	log_reader_notes(reader);
	reader_close(reader);
	return status;
}

/* Advances virtual time until no datagram is queued. */
static void drain_queue(struct simulation *s)
{
	core_last_arrival(s->core);
	for (ns_t due = core_due(s->core); due != NS_NEVER && core_queued(s->core); due = core_due(s->core)) {
		if (due > s->now)
			s->now = due;
		core_advance(s->core, due);
		handle_outcomes(s);
	}
}

void simulation_facts(const struct simulation *s, struct summary_facts *facts)
{
	*facts = (struct summary_facts){.setup = s->setup,
	    .version = DEADZONE_VERSION,
	    .seed = s->seed,
	    .started = s->began,
	    .ended = s->now,
	    .is_over = true,
	    .began = s->began,
	    .now = s->now};
	if (s->capture) {
		facts->capture_written = capture_written(s->capture);
		facts->capture_lost = capture_lost(s->capture);
	}
}

static void capture_finish(struct simulation *s)
{
	struct capture_closing closing = {.at = s->now};
	struct summary_facts facts;
	struct summary_snapshot now;

	if (!s->capture)
		return;
	simulation_facts(s, &facts);
	summary_snapshot_all(s->summary, &s->cores, s->setup->config->rule_count, &now);
	for (int way = 0; way < WAYS; way++)
		closing.totals[way] = now.totals[way];
	recording_close(s->capture, &closing, &now, &s->cores, &facts, EXIT_DONE);
	summary_snapshot_free(&now);
}

void simulation_finish(struct simulation *s)
{
	drain_queue(s);
	capture_finish(s);
}

void simulation_free(struct simulation *s)
{
	capture_free(s->capture);
	core_free(s->core);
	summary_free(s->summary);
	if (s->flows)
		flows_free(s->flows);
	inputs_close(s->inputs);
	free(s->entrances);
	index_free(&s->by_entrance);
	setup_free(s->setup);
	live_free(s->live);
	names_free(s->names);
	free(s);
}
