/* SPDX-License-Identifier: BSD-2-Clause */
#include "capture/classic.h"

#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "capture/pcapng.h"

/* libpcap writes into memory; whole records are then written like pcapng blocks, so that a kill never cuts
 * one. */
struct classic {
	pcap_t *pcap;
	pcap_dumper_t *dumper;
	char *bytes;
	size_t size;
};

struct classic *classic_new(void)
{
	struct classic *classic = memory_new(1, sizeof(*classic));

	classic->pcap = pcap_open_dead_with_tstamp_precision(
	    DLT_EN10MB, (int)PCAPNG_SNAPLEN, PCAP_TSTAMP_PRECISION_NANO);
	if (!classic->pcap)
		memory_out();
	return classic;
}

static void close_dumper(struct classic *classic)
{
	if (classic->dumper)
		pcap_dump_close(classic->dumper);
	free(classic->bytes);
	classic->dumper = NULL;
	classic->bytes = NULL;
}

void classic_free(struct classic *classic)
{
	if (!classic)
		return;
	close_dumper(classic);
	pcap_close(classic->pcap);
	free(classic);
}

/* Moves what libpcap has written to `out`, and resets the memory stream. */
static void move_output(struct classic *classic, struct text *out)
{
	FILE *stream = pcap_dump_file(classic->dumper);

	if (pcap_dump_flush(classic->dumper) || ferror(stream))
		out->failed = true; /* out of memory */
	else
		text_add_bytes(out, classic->bytes, classic->size);
	clearerr(stream);
	fseek(stream, 0, SEEK_SET);
}

void classic_head(struct classic *classic, struct text *out)
{
	FILE *stream;

	close_dumper(classic);
	stream = open_memstream(&classic->bytes, &classic->size);
	classic->dumper = stream ? pcap_dump_fopen(classic->pcap, stream) : NULL;
	if (classic->dumper) {
		move_output(classic, out);
		return;
	}
	out->failed = true; /* pcap_dump_fopen closes the stream on failure */
}

void classic_record(struct classic *classic, struct text *out, const struct record *record)
{
	uint8_t packet[PACKET_HEADERS_MAX + DATAGRAM_MAX];
	size_t header_size;
	struct pcap_pkthdr header = {0};

	if (record->kind == RECORD_EVENT || (record->kind == RECORD_DEPARTED && record->departure.reason))
		return;
	if (!classic->dumper) {
		out->failed = true;
		return;
	}
	header_size = blocks_packet_headers(packet, record);
	memcpy(packet + header_size, record_payload(record), record->kept);
	header.ts.tv_sec = record->at / NS_S;
	header.ts.tv_usec = record->at % NS_S; /* nanoseconds, because of the precision set in classic_new */
	header.caplen = (bpf_u_int32)(header_size + record->kept);
	header.len = (bpf_u_int32)(header_size + record->size);
	pcap_dump((u_char *)classic->dumper, &header, packet);
	move_output(classic, out);
}
