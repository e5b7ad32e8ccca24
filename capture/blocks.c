/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each pcapng packet gets an Ethernet, IP and UDP header made from its addresses (capture/packet.h), and one
 * comment. Numbers are in the machine's byte order, which the section header states.
 */
#include "capture/blocks.h"

#include <inttypes.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "capture/pcapng.h"

#define LINKTYPE_ETHERNET 1
#define SYSLOG_PORT 514
#define SYSLOG_PRIORITY 134 /* local0.info: 16 * 8 + 6 */
#define RESOLUTION_NS 9
#define INI_MAX ((size_t)8 << 20) /* bytes; readers refuse a block of more than 16 MiB */

static void add_interface_block(struct text *out, const char *name, const char *description)
{
	size_t start = pcapng_begin(out, PCAPNG_INTERFACE);
	const uint8_t resolution = RESOLUTION_NS;

	pcapng_add32(out, LINKTYPE_ETHERNET); /* link type, then two reserved bytes of zero */
	pcapng_add32(out, PCAPNG_SNAPLEN);
	pcapng_option_text(out, PCAPNG_INTERFACE_NAME, name);
	pcapng_option_text(out, PCAPNG_INTERFACE_DESCRIPTION, description);
	pcapng_option(out, PCAPNG_INTERFACE_RESOLUTION, &resolution, 1);
	pcapng_option(out, PCAPNG_END, NULL, 0);
	pcapng_end(out, start);
}

void blocks_head(struct text *out, const char *version, uint64_t seed, const char *ini)
{
	size_t start = pcapng_begin(out, PCAPNG_SECTION);
	struct text comment = {0};
	struct utsname system;
	size_t ini_size = strlen(ini), kept = text_whole_characters(ini, ini_size, INI_MAX);

	pcapng_add32(out, PCAPNG_MAGIC);
	pcapng_add32(out, 1);          /* version 1.0: major and minor, 16 bits each */
	pcapng_add32(out, UINT32_MAX); /* section length -1: unknown */
	pcapng_add32(out, UINT32_MAX);
	if (uname(&system) == 0) {
		pcapng_option_text(out, PCAPNG_SECTION_HARDWARE, system.machine);
		pcapng_option_text(out, PCAPNG_SECTION_OS, system.sysname);
	}
	pcapng_option_text(out, PCAPNG_SECTION_APPLICATION, version);
	text_add(&comment, "seed=%" PRIu64 "\n", seed);
	/* A comment must be UTF-8, and an ini file may hold anything. */
	text_add_visible(&comment, ini, kept);
	if (ini_size > kept)
		text_add(&comment, "\n; the ini text is cut here: %zu bytes more were in force\n",
		    ini_size - kept);
	pcapng_comment(out, &comment);
	text_free(&comment);
	pcapng_option(out, PCAPNG_END, NULL, 0);
	pcapng_end(out, start);
	add_interface_block(out, "device", "between devices and the proxy");
	add_interface_block(out, "cloud", "between the proxy and the cloud");
	add_interface_block(out, "events", "what happened, as syslog lines");
}

void blocks_secrets(struct text *out, const char *lines, size_t size)
{
	size_t start = pcapng_begin(out, PCAPNG_SECRETS);

	pcapng_add32(out, PCAPNG_SECRETS_TLS);
	pcapng_add32(out, (uint32_t)size);
	text_add_bytes(out, lines, size);
	pcapng_pad(out);
	pcapng_option(out, PCAPNG_END, NULL, 0);
	pcapng_end(out, start);
}

size_t blocks_packet_headers(uint8_t *headers, const struct record *record)
{
	uint64_t sum = record->kept < record->size ? record->payload_sum
	                                           : packet_sum(0, record_payload(record), record->size);

	return packet_headers(headers, &record->ends, record->size, sum);
}

/* Adds an event as a syslog message (RFC 3164) on loopback to port 514: "<134>Nov 23 05:18:00 deadzone
 * deadzone: s=3 …". */
static void add_event_block(struct text *out, const struct record *record)
{
	struct packet_ends ends = {.from = {.family = FAMILY_IPV4, .port = SYSLOG_PORT, .ip = {127, 0, 0, 1}},
	    .to = {.family = FAMILY_IPV4, .port = SYSLOG_PORT, .ip = {127, 0, 0, 1}},
	    .sender = PARTY_PROXY,
	    .receiver = PARTY_PROXY};
	uint8_t headers[PACKET_HEADERS_MAX];
	time_t seconds = (time_t)(record->at / NS_S);
	struct text line = {0};
	struct tm local;
	char stamp[32];
	size_t header_size, start;

	localtime_r(&seconds, &local);
	strftime(stamp, sizeof(stamp), "%b %e %H:%M:%S", &local);
	text_add(&line, "<%d>%s deadzone deadzone: %.*s", SYSLOG_PRIORITY, stamp, (int)record->size,
	    (const char *)record_payload(record));
	out->failed |= line.failed;
	header_size = packet_headers(
	    headers, &ends, line.size, packet_sum(0, (const uint8_t *)line.at, line.size));
	start = pcapng_packet_begin(out, &(struct pcapng_packet){.interface = INTERFACE_EVENTS,
	                                     .at = record->at,
	                                     .headers = headers,
	                                     .header_size = header_size,
	                                     .payload = line.at,
	                                     .payload_size = line.size,
	                                     .original = line.size});
	pcapng_end(out, start);
	text_free(&line);
}

static void add_packet_block(struct text *out, const struct record *record, const struct names *names)
{
	uint8_t headers[PACKET_HEADERS_MAX];
	uint32_t flags = record->flags;
	size_t start = pcapng_packet_begin(out, &(struct pcapng_packet){.interface = record->interface,
	                                            .at = record->at,
	                                            .headers = headers,
	                                            .header_size = blocks_packet_headers(headers, record),
	                                            .payload = record_payload(record),
	                                            .payload_size = record->kept,
	                                            .original = record->size});
	size_t comment = pcapng_option_begin(out, PCAPNG_COMMENT);

	if (record->kind == RECORD_ARRIVED) {
		comment_arrived(out, (const struct verdict *)(record + 1), names);
	} else {
		struct departure departure = record->departure;

		departure.parts = (const struct part *)(record + 1);
		comment_departed(out, &departure);
	}
	pcapng_option_end(out, comment);
	pcapng_option(out, PCAPNG_PACKET_FLAGS, &flags, 4);
	pcapng_option(out, PCAPNG_PACKET_ID, &record->id, 8);
	pcapng_option(out, PCAPNG_END, NULL, 0);
	pcapng_end(out, start);
}

void blocks_record(struct text *out, const struct record *record, const struct names *names)
{
	if (record->kind == RECORD_EVENT)
		add_event_block(out, record);
	else
		add_packet_block(out, record, names);
}

static void add_time_option(struct text *out, uint16_t code, ns_t at)
{
	uint32_t words[2] = {(uint32_t)((uint64_t)at >> 32), (uint32_t)at};

	pcapng_option(out, code, words, 8);
}

/* Adds "dropped loss=3 blackout=40", for the datagrams that arrived on this interface. */
static void add_reasons(struct text *out, const struct account *account)
{
	text_add(out, "dropped");
	for (int i = 0; i < REASON_COUNT; i++)
		if (account->dropped[i])
			text_add(out, " %s=%" PRIu64, verdict_reasons[i], account->dropped[i]);
}

/* Adds lines such as "capture_lost=0" and, from the second file of a run on, "part=3". */
static void add_part(struct text *out, const struct blocks_part *part)
{
	text_add(out, "capture_lost=%" PRIu64 "\n", part->lost);
	if (part->part > 1)
		text_add(out, "part=%" PRIu64 "\n", part->part);
}

void blocks_rotated(struct text *out, const struct blocks_part *part, ns_t at)
{
	size_t start = pcapng_begin(out, PCAPNG_STATISTICS);
	struct text comment = {0};

	pcapng_add32(out, INTERFACE_EVENTS);
	pcapng_add_time(out, at);
	add_part(&comment, part);
	text_add(&comment, "%srotated=1\n", part->part > 1 ? "" : "part=1\n");
	pcapng_comment(out, &comment);
	add_time_option(out, PCAPNG_STATISTICS_START, part->began);
	add_time_option(out, PCAPNG_STATISTICS_END, at);
	pcapng_option(out, PCAPNG_END, NULL, 0);
	pcapng_end(out, start);
	text_free(&comment);
}

void blocks_closing(struct text *out, const struct capture_closing *closing, const struct blocks_part *part)
{
	for (uint32_t interface = 0; interface < INTERFACE_COUNT; interface++) {
		size_t start = pcapng_begin(out, PCAPNG_STATISTICS);
		struct text comment = {0};

		pcapng_add32(out, interface);
		pcapng_add_time(out, closing->at);
		if (interface == INTERFACE_EVENTS) {
			add_part(&comment, part);
			text_add(&comment, "%s", closing->comment ? closing->comment : "");
			pcapng_comment(out, &comment);
		} else {
			add_reasons(&comment, &closing->totals[interface]);
			pcapng_comment(out, &comment);
		}
		add_time_option(out, PCAPNG_STATISTICS_START, part->began);
		add_time_option(out, PCAPNG_STATISTICS_END, closing->at);
		if (interface != INTERFACE_EVENTS) {
			const struct account *totals = &closing->totals[interface];
			uint64_t dropped = account_dropped(totals);

			pcapng_option(out, PCAPNG_STATISTICS_RECEIVED, &totals->received, 8);
			pcapng_option(out, PCAPNG_STATISTICS_DROPPED, &dropped, 8);
			pcapng_option(
			    out, PCAPNG_STATISTICS_OS_DROPPED, &closing->kernel_drops[interface], 8);
		}
		pcapng_option(out, PCAPNG_END, NULL, 0);
		pcapng_end(out, start);
		text_free(&comment);
	}
}
