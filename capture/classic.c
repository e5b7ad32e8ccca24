/* SPDX-License-Identifier: BSD-2-Clause */
#include "capture/classic.h"

#include <pcap/pcap.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "capture/pcapng.h"

/* libpcap writes into `bytes`, the file's header into `head`; whole records are then written like pcapng
 * blocks, so that a kill never cuts one. */
struct classic {
	pcap_t *pcap;
	pcap_dumper_t *dumper;
	struct text head, bytes;
};

struct classic *classic_new(void)
{
	struct classic *classic = memory_new(1, sizeof(*classic));
	FILE *stream = text_stream(&classic->bytes);

	classic->pcap = pcap_open_dead_with_tstamp_precision(
	    DLT_EN10MB, (int)PCAPNG_SNAPLEN, PCAP_TSTAMP_PRECISION_NANO);
	if (classic->pcap && stream)
		classic->dumper = pcap_dump_fopen(classic->pcap, stream);
	if (!classic->dumper || pcap_dump_flush(classic->dumper) || classic->bytes.failed)
		memory_out();
	text_add_bytes(&classic->head, classic->bytes.at, classic->bytes.size);
	return classic;
}

void classic_free(struct classic *classic)
{
	if (!classic)
		return;
	pcap_dump_close(classic->dumper);
	pcap_close(classic->pcap);
	text_free(&classic->head);
	text_free(&classic->bytes);
	free(classic);
}

void classic_head(const struct classic *classic, struct text *out)
{
	text_add_bytes(out, classic->head.at, classic->head.size);
}

void classic_record(struct classic *classic, struct text *out, const struct record *record)
{
	uint8_t packet[PACKET_HEADERS_MAX + DATAGRAM_MAX];
	size_t header_size;
	struct pcap_pkthdr header = {0};
	FILE *stream = pcap_dump_file(classic->dumper);

	if (record->kind == RECORD_EVENT || (record->kind == RECORD_DEPARTED && record->departure.reason))
		return;
	header_size = blocks_packet_headers(packet, record);
	memcpy(packet + header_size, record_payload(record), record->kept);
	header.ts.tv_sec = record->at / NS_S;
	header.ts.tv_usec = record->at % NS_S; /* nanoseconds, because of the precision set in classic_new */
	header.caplen = (bpf_u_int32)(header_size + record->kept);
	header.len = (bpf_u_int32)(header_size + record->size);
	text_clear(&classic->bytes);
	pcap_dump((u_char *)classic->dumper, &header, packet);
	if (pcap_dump_flush(classic->dumper) == 0 && !classic->bytes.failed) {
		text_add_bytes(out, classic->bytes.at, classic->bytes.size);
		return;
	}
	out->failed = true;
	__fpurge(stream); /* the rest of the record */
	clearerr(stream);
}
