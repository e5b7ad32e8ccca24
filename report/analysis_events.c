/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * analysis_events: reads all but the datagrams of a capture of deadzone: events, the file header and the
 * closing statistics.
 *
 * An event is a syslog line in a UDP datagram (interface `events`). Blackouts are kept per session, with a
 * list of the open ones for each direction: the proxy writes blackout-ends only when the last of them ends.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/units.h"
#include "report/analysis_inside.h"

/* ---- Events ---- */

static struct analysis_blackout *blackout_add(struct analysis_session *session, ns_t at)
{
	session->blackouts = memory_grow(
	    session->blackouts, session->blackout_count, sizeof(*session->blackouts));
	session->blackouts[session->blackout_count] = (struct analysis_blackout){.began = at};
	return &session->blackouts[session->blackout_count++];
}

/* Reads what follows "blackout-begins ": "40s up hold by=rule:x". */
static void begin_blackout(struct analysis_session *session, const char *text, size_t size, ns_t at)
{
	struct analysis_blackout *blackout = blackout_add(session, at);
	bool up = memmem(text, size, " up", 3), down = memmem(text, size, " down", 5);
	size_t length = strcspn(text, " ");
	char time[32];
	struct error error;
	ns_t duration;

	analysis_copy_word(time, sizeof(time), (struct word){text, length < size ? length : size});
	blackout->until = units_time(time, &duration, &error) ? INT64_MAX : ns_add(at, duration);
	blackout->ways[WAY_UP] = up || !down;
	blackout->ways[WAY_DOWN] = down || !up;
	blackout->hold = memmem(text, size, " hold", 5);
	analysis_copy_word(blackout->by, sizeof(blackout->by), line_field(text, size, "by"));
	for (int way = 0; way < WAYS; way++) {
		struct analysis_open *open = &session->open[way];

		if (!blackout->ways[way])
			continue;
		open->all = memory_grow(open->all, open->count, sizeof(*open->all));
		open->all[open->count++] = (uint32_t)(session->blackout_count - 1);
		blackout->ways_left++;
	}
}

/* Ends all blackouts of one direction. Each ended now, or earlier when its own duration was over. */
static void end_blackouts_of_way(struct analysis_session *session, enum way way, ns_t at)
{
	struct analysis_open *open = &session->open[way];

	for (size_t i = 0; i < open->count; i++) {
		struct analysis_blackout *blackout = &session->blackouts[open->all[i]];

		if (!--blackout->ways_left)
			blackout->ended = blackout->until < at ? blackout->until : at;
	}
	open->count = 0;
}

/* `text` is empty for both directions, or " up" or " down". */
static void end_blackouts(struct analysis_session *session, const char *text, size_t size, ns_t at)
{
	if (!memmem(text, size, "down", 4))
		end_blackouts_of_way(session, WAY_UP, at);
	if (!memmem(text, size, "up", 2))
		end_blackouts_of_way(session, WAY_DOWN, at);
}

/* Removes the prefix `head` from the text; returns false if the text does not have it. */
static bool skip_prefix(const char **text, size_t *size, const char *head)
{
	size_t length = strlen(head);

	if (*size < length || memcmp(*text, head, length) != 0)
		return false;
	*text += length;
	*size -= length;
	return true;
}

/* The identity is the last field and may contain blanks. */
static void read_identity(struct analysis_session *session, const char *text, size_t size)
{
	struct word word = line_field(text, size, "identity");

	if (word.at)
		analysis_copy_word(session->identity, sizeof(session->identity),
		    (struct word){word.at, (size_t)(text + size - word.at)});
}

/* Reads "reload generation=2 part=1" and the part of the new ini text on the lines below. */
static void read_reload(struct analysis *analysis, const char *text)
{
	const char *line = strchr(text, '\n');
	size_t before = analysis->ini ? strlen(analysis->ini) : 0;
	bool first = line && memmem(text, (size_t)(line - text), "part=1", 6) && line[-1] == '1' &&
	             line[-2] == '=';

	if (!line)
		return;
	if (first)
		before = 0;
	analysis->ini = memory_resize(analysis->ini, before + strlen(line + 1) + 1, 1);
	strcpy(analysis->ini + before, line + 1);
}

/* Reads "HOST:PORT by=rule:over". */
static void read_move(struct analysis_session *session, const char *text, size_t size, ns_t at)
{
	size_t word = strcspn(text, " ");
	struct analysis_move *move;

	session->moves = memory_grow(session->moves, session->move_count, sizeof(*session->moves));
	move = &session->moves[session->move_count++];
	*move = (struct analysis_move){.at = at};
	analysis_copy_word(move->to, sizeof(move->to), (struct word){text, word < size ? word : size});
	analysis_copy_word(move->by, sizeof(move->by), line_field(text, size, "by"));
}

const struct handshake *analysis_move_handshake(const struct analysis_session *session, size_t move)
{
	ns_t next = move + 1 < session->move_count ? session->moves[move + 1].at : NS_NEVER;

	for (size_t i = 0; i < session->handshakes.count; i++) {
		const struct handshake *handshake = &session->handshakes.all[i];

		if (handshake->began >= session->moves[move].at && handshake->began < next)
			return handshake;
	}
	return NULL;
}

static void read_session_event(
    struct analysis *analysis, uint32_t number, const char *text, size_t size, ns_t at)
{
	struct analysis_session *session = analysis_session(analysis, number, at);
	struct word value;
	char address[ADDRESS_TEXT_SIZE];
	struct error error;

	if (skip_prefix(&text, &size, "session-begins ")) {
		session->began = at;
		analysis_copy_word(address, sizeof(address), line_field(text, size, "device"));
		(void)address_read(address, &session->device, &error);
		session->header = session->device.family == FAMILY_IPV6 ? ANALYSIS_HEADER_IPV6
		                                                        : ANALYSIS_HEADER_IPV4;
		analysis_copy_word(session->section, sizeof(session->section), line_field(text, size, "dev"));
		analysis_copy_word(session->link, sizeof(session->link), line_field(text, size, "link"));
		read_identity(session, text, size);
	} else if (skip_prefix(&text, &size, "session-ends ")) {
		session->ended = memmem(text, size, "idle", 4) ? "idle" : "max-sessions";
	} else if (skip_prefix(&text, &size, "blackout-begins ")) {
		begin_blackout(session, text, size, at);
	} else if (skip_prefix(&text, &size, "blackout-ends")) {
		end_blackouts(session, text, size, at);
	} else if (skip_prefix(&text, &size, "nat-rebound ")) {
		session->rebinds++;
	} else if (skip_prefix(&text, &size, "upstream ")) {
		read_move(session, text, size, at);
	} else if (skip_prefix(&text, &size, "device-moved ")) {
		analysis_copy_word(address, sizeof(address), line_field(text, size, "device"));
		(void)address_read(address, &session->device, &error);
	} else if (skip_prefix(&text, &size, "link ")) {
		value = (struct word){text, strcspn(text, " ") < size ? strcspn(text, " ") : size};
		analysis_copy_word(session->link, sizeof(session->link), value);
	}
}

void analysis_event(struct analysis *analysis, const struct decoded *decoded, ns_t at)
{
	static const char program[] = "deadzone deadzone: ";
	const char *line = (const char *)decoded->payload;
	const char *text = memmem(line, decoded->kept, program, sizeof(program) - 1);
	struct analysis_event event = {.at = at};
	bool live;

	if (!text) {
		analysis->strange++;
		return;
	}
	event.text = memory_text(
	    text + sizeof(program) - 1, decoded->kept - (size_t)(text - line) - (sizeof(program) - 1));
	if (strncmp(event.text, "s=", 2) == 0) {
		char *rest;

		event.session = (uint32_t)strtoul(event.text + 2, &rest, 10);
		memmove(event.text, rest + (*rest == ' '), strlen(rest + (*rest == ' ')) + 1);
	}
	live = strncmp(event.text, ANALYSIS_LIVE_MARK, sizeof(ANALYSIS_LIVE_MARK) - 1) == 0;
	analysis->live |= live;
	if (event.session)
		read_session_event(analysis, event.session, event.text, strlen(event.text), at);
	else if (strncmp(event.text, "reload generation=", 18) == 0)
		read_reload(analysis, event.text);
	if (analysis->brief && !live) {
		free(event.text);
		return;
	}
	analysis->events = memory_grow(analysis->events, analysis->event_count, sizeof(*analysis->events));
	analysis->events[analysis->event_count++] = event;
}

static uint64_t field_number(const char *line, size_t size, const char *key)
{
	char text[24];

	analysis_copy_word(text, sizeof(text), line_field(line, size, key));
	return strtoull(text, NULL, 10);
}

/* Reads "s=3 dir=up copies=2 queued=5" (queued at the end); ignored unless the account then balances. */
static void read_waiting(struct analysis *analysis, const char *line, size_t size)
{
	uint32_t index = index_find(&analysis->by_number, field_number(line, size, "s"));
	enum way way = memmem(line, size, "dir=up", 6) ? WAY_UP : WAY_DOWN;
	struct account account;

	if (index == INDEX_NONE)
		return;
	account = analysis->sessions[index].accounts[way];
	account.copies = field_number(line, size, "copies");
	account.queued = field_number(line, size, "queued");
	if (account.received + account.copies == account.sent + account_dropped(&account) + account.queued)
		analysis->sessions[index].accounts[way] = account;
}

/* Reads "s=3 port=40112 old_ports=1 cloud=192.0.2.1:5684", for a session whose packets do not show its
 * sockets. */
static void read_sockets(struct analysis *analysis, const char *line, size_t size)
{
	uint32_t index = index_find(&analysis->by_number, field_number(line, size, "s"));
	char cloud[ADDRESS_TEXT_SIZE];
	struct error error;

	if (index == INDEX_NONE)
		return;
	analysis->sessions[index].cloud_port = (uint16_t)field_number(line, size, "port");
	analysis->sessions[index].old_ports = (uint32_t)field_number(line, size, "old_ports");
	analysis_copy_word(cloud, sizeof(cloud), line_field(line, size, "cloud"));
	if (cloud[0])
		address_read(cloud, &analysis->sessions[index].cloud, &error);
}

/* Reads "interface=wlan0 intercepted=12 udp=3 tcp=40". */
static void read_gateway(struct analysis *analysis, const char *line, size_t size)
{
	struct run_summary *result = &analysis->result;
	struct run_summary_gateway *gateway = &result->gateways[result->gateway_count];

	if (result->gateway_count == RUN_SUMMARY_GATEWAYS_MAX)
		return;
	result->gateway_count++;
	analysis_copy_word(
	    gateway->interface, sizeof(gateway->interface), line_field(line, size, "interface"));
	gateway->intercepted = field_number(line, size, "intercepted");
	gateway->udp = field_number(line, size, "udp");
	gateway->tcp = field_number(line, size, "tcp");
}

/* Reads a line: "rule=NAME matched=N fired=N", "failed rule=NAME s=N got=N want=TEXT", "lateness_us …" */
static void read_closing_line(struct analysis *analysis, const char *line, size_t size)
{
	struct run_summary *result = &analysis->result;
	struct word word = line_field(line, size, "rule"), value;
	char text[80];
	uint64_t number;

	if (skip_prefix(&line, &size, "waiting "))
		return read_waiting(analysis, line, size);
	if (skip_prefix(&line, &size, "sockets "))
		return read_sockets(analysis, line, size);
	if (skip_prefix(&line, &size, "gateway "))
		return read_gateway(analysis, line, size);
	if (skip_prefix(&line, &size, "failed ")) {
		struct run_summary_failure *failure;

		result->failures = memory_grow(
		    result->failures, result->failure_count, sizeof(*result->failures));
		failure = &result->failures[result->failure_count++];
		*failure = (struct run_summary_failure){.is_rule = word.at != NULL};
		analysis_copy_word(failure->subject, sizeof(failure->subject),
		    word.at ? word : line_field(line, size, "check"));
		value = line_field(line, size, "want");
		/* The last field; it may contain blanks ("1- each"). */
		analysis_copy_word(failure->want, sizeof(failure->want),
		    (struct word){value.at, value.at ? (size_t)(line + size - value.at) : 0});
		analysis_copy_word(text, sizeof(text), line_field(line, size, "s"));
		failure->session = (uint32_t)strtoul(text, NULL, 10);
		analysis_copy_word(failure->got, sizeof(failure->got), line_field(line, size, "got"));
		failure->number = strtoll(failure->got, NULL, 10);
		if (failure->got[strspn(failure->got, "0123456789")] == '\0')
			failure->got[0] = '\0';
		return;
	}
	if (word.at) {
		struct run_summary_rule *rule;

		analysis_copy_word(text, sizeof(text), word);
		rule = run_summary_rule_add(result, text);
		analysis_copy_word(text, sizeof(text), line_field(line, size, "matched"));
		rule->matched = strtoull(text, NULL, 10);
		analysis_copy_word(text, sizeof(text), line_field(line, size, "fired"));
		rule->fired = strtoull(text, NULL, 10);
		return;
	}
	for (size_t i = 0; i < 4 && size > 12 && memcmp(line, "lateness_us ", 12) == 0; i++) {
		analysis_copy_word(text, sizeof(text), line_field(line, size, run_summary_late_words[i]));
		result->late[i] = strtoll(text, NULL, 10) * NS_US;
		result->late_known = true;
	}
	const struct {
		const char *key;
		uint64_t *into;
	} rows[] = {{"capture_lost", &result->capture_lost}, {"kernel_drops", &result->kernel_drops},
	    {"icmp_errors", &result->icmp_errors}, {"started", (uint64_t *)&result->started}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		if (!(value = line_field(line, size, rows[i].key)).at)
			continue;
		analysis_copy_word(text, sizeof(text), value);
		*rows[i].into = strtoull(text, NULL, 10) & INT64_MAX;
	}
	if ((value = line_field(line, size, "exit")).at) {
		analysis_copy_word(text, sizeof(text), value);
		number = strtoull(text, NULL, 10);
		result->exit = text[0] == '-' || number > 255 ? -1 : (int)number;
	}
}

void analysis_closing(struct analysis *analysis, const struct savefile_closing *closing)
{
	const char *line = closing->comment;

	analysis->result.closed = true;
	analysis->result.started = closing->began;
	analysis->result.ended = closing->ended;
	while (*line) {
		size_t size = strcspn(line, "\n");

		read_closing_line(analysis, line, size);
		line += size + (line[size] == '\n');
	}
}

/* Reads the version, the seed and the ini text. */
void analysis_header(struct analysis *analysis, const struct reader *reader)
{
	const char *application = reader_application(reader), *comment = reader_section_comment(reader);
	const char *ini = strchr(comment, '\n');

	if (strncmp(application, "deadzone ", 9) == 0)
		snprintf(analysis->result.version, sizeof(analysis->result.version), "%s", application + 9);
	analysis->result.seed_known = reader_seed(reader, &analysis->result.seed);
	if (ini && !analysis->ini) /* else a reload has replaced it */
		analysis->ini = memory_text(ini + 1, strlen(ini + 1));
}
