#include "capture/reader.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "capture/pcapng.h"

#define BLOCK_MAX (16u << 20)
#define INTERFACES_MAX 65536u
#define PCAPNG_SIMPLE_PACKET 3u
#define PCAPNG_OLD_PACKET 2u
#define OPTION_INTERFACE_OFFSET 14u

struct interface {
	int link_type;
	uint32_t snaplen;
	uint64_t units; /* of its stamps in a second */
	int64_t offset; /* seconds added to them */
	char name[READER_NAME_ROOM];
};

struct reader {
	FILE *in;
	pcap_t *pcap; /* classic; NULL: pcapng */
	bool swapped, cut, ours, seed_known;
	uint64_t seed;
	char application[READER_NAME_ROOM];
	struct text section_comment, closing_comment;
	struct reader_closing closing;
	struct interface *interfaces;
	size_t interface_count;
	uint8_t *block; /* body of the current one: what is between its two lengths */
	size_t block_size, block_room;
	uint32_t type;
	char comment[READER_COMMENT_ROOM];
};

/* ---- Numbers and options of a section's byte order ---- */

static uint16_t get16(const struct reader *reader, const uint8_t *at)
{
	uint16_t value;

	memcpy(&value, at, 2);
	return reader->swapped ? __builtin_bswap16(value) : value;
}

static uint32_t get32(const struct reader *reader, const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, 4);
	return reader->swapped ? __builtin_bswap32(value) : value;
}

static uint64_t get64(const struct reader *reader, const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, 8);
	return reader->swapped ? __builtin_bswap64(value) : value;
}

struct option {
	unsigned code;
	const uint8_t *value;
	size_t size;
};

/* Steps through the options between `*at` and `end`; false at their end or where they are broken. */
static bool option_next(
    const struct reader *reader, const uint8_t **at, const uint8_t *end, struct option *option)
{
	size_t padded;

	if (end - *at < 4)
		return false;
	option->code = get16(reader, *at);
	option->size = get16(reader, *at + 2);
	option->value = *at + 4;
	padded = (option->size + 3) & ~(size_t)3;
	if (option->code == PCAPNG_END || (size_t)(end - option->value) < option->size)
		return false;
	*at = (size_t)(end - option->value) < padded ? end : option->value + padded;
	return true;
}

static void copy_text(char *into, size_t room, const struct option *option)
{
	size_t size = option->size < room - 1 ? option->size : room - 1;

	memcpy(into, option->value, size);
	into[size] = '\0';
}

/* ---- Blocks ---- */

/* Reads the next block whole; false at the end of the file, or where it is cut or broken. */
static bool block_next(struct reader *reader)
{
	uint8_t head[12];
	uint32_t size, magic;
	size_t got = fread(head, 1, 8, reader->in);

	if (got < 8) {
		reader->cut |= got > 0;
		return false;
	}
	memcpy(&reader->type, head, 4);
	if (reader->type == PCAPNG_SECTION) {
		/* Its byte order stands in its body. */
		if (fread(head + 8, 1, 4, reader->in) < 4)
			return reader->cut = true, false;
		memcpy(&magic, head + 8, 4);
		reader->swapped = magic == __builtin_bswap32(PCAPNG_MAGIC);
		if (magic != PCAPNG_MAGIC && !reader->swapped)
			return reader->cut = true, false;
		fseek(reader->in, -4, SEEK_CUR);
	} else {
		reader->type = get32(reader, head);
	}
	size = get32(reader, head + 4);
	if (size < 12 || size % 4 || size > BLOCK_MAX)
		return reader->cut = true, false;
	size -= 8;
	if (size > reader->block_room) {
		reader->block = memory_resize(reader->block, size, 1);
		reader->block_room = size;
	}
	if (fread(reader->block, 1, size, reader->in) < size)
		return reader->cut = true, false;
	reader->block_size = size - 4; /* without the length that ends it */
	return true;
}

static void section_read(struct reader *reader)
{
	const uint8_t *at = reader->block + 16, *end = reader->block + reader->block_size;
	struct option option;
	const char *comment;

	reader->interface_count = 0;
	text_clear(&reader->section_comment);
	if (reader->block_size < 16)
		return;
	while (option_next(reader, &at, end, &option)) {
		if (option.code == PCAPNG_SECTION_APPLICATION)
			copy_text(reader->application, sizeof(reader->application), &option);
		if (option.code == PCAPNG_COMMENT) /* a long one stands in several */
			text_add_bytes(&reader->section_comment, option.value, option.size);
	}
	reader->ours |= strncmp(reader->application, "deadzone ", 9) == 0;
	comment = reader_section_comment(reader);
	if (strncmp(comment, "seed=", 5) == 0 && !reader->seed_known) {
		reader->seed = strtoull(comment + 5, NULL, 10);
		reader->seed_known = true;
	}
}

static ns_t stamp_of(const struct interface *interface, uint64_t stamp)
{
	uint64_t units = interface->units ? interface->units : 1;
	unsigned __int128 ns = (unsigned __int128)(stamp % units) * (uint64_t)NS_S / units;
	uint64_t seconds = stamp / units + (uint64_t)interface->offset;

	return seconds > (uint64_t)(NS_NEVER / NS_S) - 1 ? 0 : (ns_t)seconds * NS_S + (ns_t)ns;
}

/* Of the statistics only those of our own last interface, `events`, have lines about the whole run. */
static void statistics_read(struct reader *reader)
{
	const uint8_t *at = reader->block + 12, *end = reader->block + reader->block_size;
	const struct interface *interface;
	struct option option;
	uint32_t index;

	if (reader->block_size < 12 || !reader->ours)
		return;
	index = get32(reader, reader->block);
	if (index >= reader->interface_count || strcmp(reader->interfaces[index].name, "events") != 0)
		return;
	interface = &reader->interfaces[index];
	text_clear(&reader->closing_comment);
	while (option_next(reader, &at, end, &option)) {
		if (option.code == PCAPNG_COMMENT)
			text_add_bytes(&reader->closing_comment, option.value, option.size);
		if (option.code == PCAPNG_STATISTICS_START && option.size >= 8)
			reader->closing.began = stamp_of(interface,
			    (uint64_t)get32(reader, option.value) << 32 | get32(reader, option.value + 4));
		if (option.code == PCAPNG_STATISTICS_END && option.size >= 8)
			reader->closing.ended = stamp_of(interface,
			    (uint64_t)get32(reader, option.value) << 32 | get32(reader, option.value + 4));
	}
	reader->closing.comment = reader->closing_comment.at ? reader->closing_comment.at : "";
}

static uint64_t units_of(uint8_t resolution)
{
	uint64_t units = 1;
	unsigned exponent = resolution & 0x7f;

	if (resolution & 0x80)
		return exponent < 63 ? UINT64_C(1) << exponent : 0;
	for (; exponent && units; exponent--)
		units = units > UINT64_MAX / 10 ? 0 : units * 10;
	return units;
}

static void interface_read(struct reader *reader)
{
	const uint8_t *at = reader->block + 8, *end = reader->block + reader->block_size;
	struct interface interface = {.units = 1000000};
	struct option option;

	if (reader->block_size < 8 || reader->interface_count == INTERFACES_MAX)
		return;
	interface.link_type = get16(reader, reader->block);
	interface.snaplen = get32(reader, reader->block + 4);
	while (option_next(reader, &at, end, &option)) {
		if (option.code == PCAPNG_INTERFACE_NAME)
			copy_text(interface.name, sizeof(interface.name), &option);
		if (option.code == PCAPNG_INTERFACE_RESOLUTION && option.size >= 1)
			interface.units = units_of(option.value[0]);
		if (option.code == OPTION_INTERFACE_OFFSET && option.size >= 8)
			interface.offset = (int64_t)get64(reader, option.value);
	}
	reader->interfaces = memory_grow(reader->interfaces, reader->interface_count, sizeof(interface));
	reader->interfaces[reader->interface_count++] = interface;
}

static void packet_options(struct reader *reader, const uint8_t *at, struct reader_packet *packet)
{
	const uint8_t *end = reader->block + reader->block_size;
	struct option option;

	reader->comment[0] = '\0';
	while (option_next(reader, &at, end, &option)) {
		if (option.code == PCAPNG_COMMENT && !reader->comment[0])
			copy_text(reader->comment, sizeof(reader->comment), &option);
		if (option.code == PCAPNG_PACKET_FLAGS && option.size >= 4)
			packet->flags = get32(reader, option.value);
		if (option.code == PCAPNG_PACKET_ID && option.size >= 8)
			packet->id = get64(reader, option.value);
	}
	packet->comment = reader->comment;
}

/* Enhanced packet blocks, and the obsolete ones, which differ in their first word. */
static bool packet_read(struct reader *reader, struct reader_packet *packet)
{
	const uint8_t *b = reader->block;
	const struct interface *interface;
	uint32_t index;
	size_t kept;

	if (reader->block_size < 20)
		return false;
	index = reader->type == PCAPNG_OLD_PACKET ? get16(reader, b) : get32(reader, b);
	kept = get32(reader, b + 12);
	if (index >= reader->interface_count || kept > reader->block_size - 20)
		return false;
	interface = &reader->interfaces[index];
	*packet = (struct reader_packet){
	    .at = stamp_of(interface, (uint64_t)get32(reader, b + 4) << 32 | get32(reader, b + 8)),
	    .link_type = interface->link_type,
	    .bytes = b + 20,
	    .size = kept,
	    .original = get32(reader, b + 16),
	    .interface = interface->name};
	kept = (kept + 3) & ~(size_t)3;
	packet_options(
	    reader, b + 20 + (kept < reader->block_size - 20 ? kept : reader->block_size - 20), packet);
	return true;
}

static bool simple_read(struct reader *reader, struct reader_packet *packet)
{
	size_t kept;

	if (reader->block_size < 4 || !reader->interface_count)
		return false;
	*packet = (struct reader_packet){.link_type = reader->interfaces[0].link_type,
	    .bytes = reader->block + 4,
	    .original = get32(reader, reader->block),
	    .interface = reader->interfaces[0].name,
	    .comment = ""};
	kept = packet->original < reader->block_size - 4 ? packet->original : reader->block_size - 4;
	if (reader->interfaces[0].snaplen && kept > reader->interfaces[0].snaplen)
		kept = reader->interfaces[0].snaplen;
	packet->size = kept;
	return true;
}

static bool pcapng_next(struct reader *reader, struct reader_packet *packet)
{
	while (block_next(reader)) {
		switch (reader->type) {
		case PCAPNG_SECTION: section_read(reader); break;
		case PCAPNG_INTERFACE: interface_read(reader); break;
		case PCAPNG_STATISTICS: statistics_read(reader); break;
		case PCAPNG_PACKET:
		case PCAPNG_OLD_PACKET:
			if (packet_read(reader, packet))
				return true;
			break;
		case PCAPNG_SIMPLE_PACKET:
			if (simple_read(reader, packet))
				return true;
			break;
		default: break;
		}
	}
	return false;
}

/* ---- Classic pcap ---- */

static bool classic_next(struct reader *reader, struct reader_packet *packet, struct error *error)
{
	struct pcap_pkthdr *header;
	const u_char *bytes;
	int status = pcap_next_ex(reader->pcap, &header, &bytes);

	if (status == PCAP_ERROR) {
		/* libpcap tells a file that was cut off as an error of reading. */
		reader->cut = true;
		(void)error;
		return false;
	}
	if (status != 1)
		return false;
	*packet = (struct reader_packet){.at = header->ts.tv_sec * NS_S + header->ts.tv_usec,
	    .link_type = pcap_datalink(reader->pcap),
	    .bytes = bytes,
	    .size = header->caplen,
	    .original = header->len,
	    .interface = "",
	    .comment = ""};
	return true;
}

/* ---- */

struct reader *reader_open(const char *path, struct error *error)
{
	struct reader *reader = memory_new(1, sizeof(*reader));
	char reason[PCAP_ERRBUF_SIZE];
	uint32_t magic = 0;

	reader->in = fopen(path, "re");
	if (!reader->in || fread(&magic, 1, 4, reader->in) < 4) {
		error_set(error, "`%s` cannot be read: %s", path,
		    reader->in ? "it holds no packets" : strerror(errno));
		reader_close(reader);
		return NULL;
	}
	rewind(reader->in);
	if (magic == PCAPNG_SECTION)
		return reader;
	reader->pcap = pcap_fopen_offline_with_tstamp_precision(
	    reader->in, PCAP_TSTAMP_PRECISION_NANO, reason);
	if (reader->pcap) {
		reader->in = NULL; /* libpcap closes it */
		return reader;
	}
	error_set(error, "`%s` is neither pcap nor pcapng: %s", path, reason);
	reader_close(reader);
	return NULL;
}

void reader_close(struct reader *reader)
{
	if (reader->pcap)
		pcap_close(reader->pcap);
	if (reader->in)
		fclose(reader->in);
	text_free(&reader->section_comment);
	text_free(&reader->closing_comment);
	free(reader->interfaces);
	free(reader->block);
	free(reader);
}

bool reader_next(struct reader *reader, struct reader_packet *packet, struct error *error)
{
	error->text[0] = '\0';
	return reader->pcap ? classic_next(reader, packet, error) : pcapng_next(reader, packet);
}

bool reader_is_ours(const struct reader *reader)
{
	return reader->ours;
}

bool reader_seed(const struct reader *reader, uint64_t *seed)
{
	*seed = reader->seed;
	return reader->seed_known;
}

const char *reader_application(const struct reader *reader)
{
	return reader->application;
}

const char *reader_section_comment(const struct reader *reader)
{
	return reader->section_comment.at ? reader->section_comment.at : "";
}

const struct reader_closing *reader_closing(const struct reader *reader)
{
	return reader->closing.comment ? &reader->closing : NULL;
}

bool reader_was_cut(const struct reader *reader)
{
	return reader->cut;
}
