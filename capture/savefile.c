/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * next_block reads one pcapng block, whole, into a buffer that grows up to BLOCK_MAX, in the byte order of
 * its section. A packet's interface gives its link type, clock resolution and offset. After a block that
 * cannot be right, nothing more is read.
 */
#include "capture/savefile.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "capture/pcapng.h"

#define BLOCK_MAX (16u << 20) /* bytes; a larger block is taken for damage */
#define INTERFACES_MAX 65536u
#define PCAPNG_SIMPLE_PACKET 3u
#define PCAPNG_OLD_PACKET 2u
#define OPTION_INTERFACE_OFFSET 14u

struct interface {
	int link_type;
	uint32_t snaplen;
	uint64_t units; /* timestamp units per second; 0: unknown resolution */
	int64_t offset; /* seconds to add to timestamps */
	char name[SAVEFILE_NAME_SIZE];
};

struct savefile {
	FILE *in;
	pcap_t *pcap; /* NULL: the file is pcapng */
	bool swapped, cut, is_ours, has_packet, seed_known;
	uint64_t seed;
	char application[SAVEFILE_NAME_SIZE];
	struct text section_comment, closing_comment;
	struct savefile_closing closing;
	struct interface *interfaces;
	size_t interface_count;
	uint8_t *block; /* body of the current block: what is between its two lengths */
	size_t block_size, block_cap;
	uint32_t type;
	char comment[SAVEFILE_COMMENT_SIZE];
};

/* ---- Numbers and options, in the byte order of the section ---- */

static uint16_t get16(const struct savefile *file, const uint8_t *at)
{
	uint16_t value;

	memcpy(&value, at, 2);
	return file->swapped ? __builtin_bswap16(value) : value;
}

static uint32_t get32(const struct savefile *file, const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, 4);
	return file->swapped ? __builtin_bswap32(value) : value;
}

static uint64_t get64(const struct savefile *file, const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, 8);
	return file->swapped ? __builtin_bswap64(value) : value;
}

struct option {
	unsigned code;
	const uint8_t *value;
	size_t size;
};

/* Reads the next option between `*at` and `end`. Returns false at the end, or if the option is malformed. */
static bool next_option(
    const struct savefile *file, const uint8_t **at, const uint8_t *end, struct option *option)
{
	size_t padded;

	if (end - *at < 4)
		return false;
	option->code = get16(file, *at);
	option->size = get16(file, *at + 2);
	option->value = *at + 4;
	padded = (option->size + 3) & ~(size_t)3;
	if (option->code == PCAPNG_END || (size_t)(end - option->value) < option->size)
		return false;
	*at = (size_t)(end - option->value) < padded ? end : option->value + padded;
	return true;
}

static void copy_text(char *into, size_t cap, const struct option *option)
{
	size_t size = option->size < cap - 1 ? option->size : cap - 1;

	memcpy(into, option->value, size);
	into[size] = '\0';
}

/* ---- Blocks ---- */

/* Reads the next block. Returns false at the end of the file, or if the block is truncated or malformed. */
static bool next_block(struct savefile *file)
{
	uint8_t head[12];
	uint32_t size, magic;
	size_t got = fread(head, 1, 8, file->in);

	if (got < 8) {
		file->cut |= got > 0;
		return false;
	}
	memcpy(&file->type, head, 4);
	if (file->type == PCAPNG_SECTION) {
		/* The byte order is in the body. */
		if (fread(head + 8, 1, 4, file->in) < 4)
			return file->cut = true, false;
		memcpy(&magic, head + 8, 4);
		file->swapped = magic == __builtin_bswap32(PCAPNG_MAGIC);
		if (magic != PCAPNG_MAGIC && !file->swapped)
			return file->cut = true, false;
		fseek(file->in, -4, SEEK_CUR);
	} else {
		file->type = get32(file, head);
	}
	size = get32(file, head + 4);
	if (size < 12 || size % 4 || size > BLOCK_MAX)
		return file->cut = true, false;
	size -= 8;
	if (size > file->block_cap) {
		file->block = memory_resize(file->block, size, 1);
		file->block_cap = size;
	}
	if (fread(file->block, 1, size, file->in) < size)
		return file->cut = true, false;
	file->block_size = size - 4; /* without the length at its end */
	return true;
}

static void read_section(struct savefile *file)
{
	const uint8_t *at = file->block + 16, *end = file->block + file->block_size;
	struct option option;
	const char *comment;

	file->interface_count = 0;
	text_clear(&file->section_comment);
	if (file->block_size < 16)
		return;
	while (next_option(file, &at, end, &option)) {
		if (option.code == PCAPNG_SECTION_APPLICATION)
			copy_text(file->application, sizeof(file->application), &option);
		if (option.code == PCAPNG_COMMENT) /* a long comment is split into several options */
			text_add_bytes(&file->section_comment, option.value, option.size);
	}
	file->is_ours |= strncmp(file->application, "deadzone ", 9) == 0;
	comment = savefile_section_comment(file);
	if (strncmp(comment, "seed=", 5) == 0 && !file->seed_known) {
		file->seed = strtoull(comment + 5, NULL, 10);
		file->seed_known = true;
	}
}

/* Returns a timestamp in nanoseconds since 1970; 0 if it is out of range. */
static ns_t decode_stamp(const struct interface *interface, uint64_t stamp)
{
	uint64_t units = interface->units ? interface->units : 1;
	unsigned __int128 ns = (unsigned __int128)(stamp % units) * (uint64_t)NS_S / units;
	uint64_t seconds = stamp / units + (uint64_t)interface->offset;

	return seconds > (uint64_t)(NS_NEVER / NS_S) - 1 ? 0 : (ns_t)seconds * NS_S + (ns_t)ns;
}

/* Only the statistics of the interface `events` describe the whole run. */
static void read_statistics(struct savefile *file)
{
	const uint8_t *at = file->block + 12, *end = file->block + file->block_size;
	const struct interface *interface;
	struct option option;
	uint32_t index;

	if (file->block_size < 12 || !file->is_ours)
		return;
	index = get32(file, file->block);
	if (index >= file->interface_count || strcmp(file->interfaces[index].name, "events") != 0)
		return;
	interface = &file->interfaces[index];
	text_clear(&file->closing_comment);
	while (next_option(file, &at, end, &option)) {
		if (option.code == PCAPNG_COMMENT)
			text_add_bytes(&file->closing_comment, option.value, option.size);
		if (option.code == PCAPNG_STATISTICS_START && option.size >= 8)
			file->closing.began = decode_stamp(interface,
			    (uint64_t)get32(file, option.value) << 32 | get32(file, option.value + 4));
		if (option.code == PCAPNG_STATISTICS_END && option.size >= 8)
			file->closing.ended = decode_stamp(interface,
			    (uint64_t)get32(file, option.value) << 32 | get32(file, option.value + 4));
	}
	file->closing.comment = file->closing_comment.at ? file->closing_comment.at : "";
}

/* Returns the units per second of an if_tsresol option; 0 if they are too many. */
static uint64_t decode_resolution(uint8_t resolution)
{
	uint64_t units = 1;
	unsigned exponent = resolution & 0x7f;

	if (resolution & 0x80)
		return exponent < 63 ? UINT64_C(1) << exponent : 0;
	for (; exponent && units; exponent--)
		units = units > UINT64_MAX / 10 ? 0 : units * 10;
	return units;
}

static void read_interface(struct savefile *file)
{
	const uint8_t *at = file->block + 8, *end = file->block + file->block_size;
	struct interface interface = {.units = 1000000};
	struct option option;

	if (file->block_size < 8 || file->interface_count == INTERFACES_MAX)
		return;
	interface.link_type = get16(file, file->block);
	interface.snaplen = get32(file, file->block + 4);
	while (next_option(file, &at, end, &option)) {
		if (option.code == PCAPNG_INTERFACE_NAME)
			copy_text(interface.name, sizeof(interface.name), &option);
		if (option.code == PCAPNG_INTERFACE_RESOLUTION && option.size >= 1)
			interface.units = decode_resolution(option.value[0]);
		if (option.code == OPTION_INTERFACE_OFFSET && option.size >= 8)
			interface.offset = (int64_t)get64(file, option.value);
	}
	file->interfaces = memory_grow(file->interfaces, file->interface_count, sizeof(interface));
	file->interfaces[file->interface_count++] = interface;
}

static void read_packet_options(struct savefile *file, const uint8_t *at, struct saved_packet *packet)
{
	const uint8_t *end = file->block + file->block_size;
	struct option option;

	file->comment[0] = '\0';
	while (next_option(file, &at, end, &option)) {
		if (option.code == PCAPNG_COMMENT && !file->comment[0])
			copy_text(file->comment, sizeof(file->comment), &option);
		if (option.code == PCAPNG_PACKET_FLAGS && option.size >= 4)
			packet->flags = get32(file, option.value);
		if (option.code == PCAPNG_PACKET_ID && option.size >= 8)
			packet->id = get64(file, option.value);
	}
	packet->comment = file->comment;
}

/* Returns true if the interfaces are those of deadzone: a tool that rewrites a capture replaces the
 * program name in the section header, but keeps the interfaces' names. */
static bool has_our_interfaces(const struct savefile *file)
{
	bool has_device = false, has_cloud = false;

	for (size_t i = 0; i < file->interface_count; i++) {
		const char *name = file->interfaces[i].name;

		has_device |= strcmp(name, "device") == 0;
		has_cloud |= strcmp(name, "cloud") == 0;
		if (strcmp(name, "device") != 0 && strcmp(name, "cloud") != 0 && strcmp(name, "events") != 0)
			return false;
	}
	return has_device && has_cloud;
}

/* Reads an enhanced packet block or an obsolete packet block, which differ in their first word. */
static bool read_packet(struct savefile *file, struct saved_packet *packet)
{
	const uint8_t *b = file->block;
	const struct interface *interface;
	uint32_t index;
	size_t kept;

	if (file->block_size < 20)
		return false;
	index = file->type == PCAPNG_OLD_PACKET ? get16(file, b) : get32(file, b);
	kept = get32(file, b + 12);
	if (index >= file->interface_count || kept > file->block_size - 20)
		return false;
	interface = &file->interfaces[index];
	if (!file->has_packet)
		file->is_ours |= has_our_interfaces(file);
	file->has_packet = true;
	*packet = (struct saved_packet){
	    .at = decode_stamp(interface, (uint64_t)get32(file, b + 4) << 32 | get32(file, b + 8)),
	    .link_type = interface->link_type,
	    .bytes = b + 20,
	    .size = kept,
	    .original = get32(file, b + 16),
	    .interface = interface->name};
	kept = (kept + 3) & ~(size_t)3;
	read_packet_options(
	    file, b + 20 + (kept < file->block_size - 20 ? kept : file->block_size - 20), packet);
	return true;
}

static bool read_simple_packet(struct savefile *file, struct saved_packet *packet)
{
	size_t kept;

	if (file->block_size < 4 || !file->interface_count)
		return false;
	*packet = (struct saved_packet){.link_type = file->interfaces[0].link_type,
	    .bytes = file->block + 4,
	    .original = get32(file, file->block),
	    .interface = file->interfaces[0].name,
	    .comment = ""};
	kept = packet->original < file->block_size - 4 ? packet->original : file->block_size - 4;
	if (file->interfaces[0].snaplen && kept > file->interfaces[0].snaplen)
		kept = file->interfaces[0].snaplen;
	packet->size = kept;
	return true;
}

static bool pcapng_next(struct savefile *file, struct saved_packet *packet)
{
	while (next_block(file)) {
		switch (file->type) {
		case PCAPNG_SECTION: read_section(file); break;
		case PCAPNG_INTERFACE: read_interface(file); break;
		case PCAPNG_STATISTICS: read_statistics(file); break;
		case PCAPNG_PACKET:
		case PCAPNG_OLD_PACKET:
			if (read_packet(file, packet))
				return true;
			break;
		case PCAPNG_SIMPLE_PACKET:
			if (read_simple_packet(file, packet))
				return true;
			break;
		default: break;
		}
	}
	return false;
}

/* ---- Classic pcap ---- */

static bool classic_next(struct savefile *file, struct saved_packet *packet)
{
	struct pcap_pkthdr *header;
	const u_char *bytes;
	int status = pcap_next_ex(file->pcap, &header, &bytes);
	ns_t fraction;

	file->cut |= status == PCAP_ERROR; /* libpcap reports a truncated file as a read error */
	if (status != 1)
		return false;
	/* Seconds are unsigned in the file (until 2106), but libpcap sign-extends them. */
	fraction = header->ts.tv_usec; /* nanoseconds; any value if the file is damaged */
	*packet = (struct saved_packet){.at = (ns_t)(uint32_t)header->ts.tv_sec * NS_S +
	                                      (fraction < 0 || fraction >= NS_S ? 0 : fraction),
	    .link_type = pcap_datalink(file->pcap),
	    .bytes = bytes,
	    .size = header->caplen,
	    .original = header->len,
	    .interface = "",
	    .comment = ""};
	return true;
}

/* ---- Interface ---- */

struct savefile *savefile_open(FILE *in, const char *name, struct error *error)
{
	struct savefile *file = memory_new(1, sizeof(*file));
	char reason[PCAP_ERRBUF_SIZE];
	uint32_t magic = 0;

	file->in = in;
	if (fread(&magic, 1, 4, in) < 4) {
		error_set(error, "`%s` cannot be read: %s", name,
		    ferror(in) ? strerror(errno) : "it holds no packets");
		savefile_close(file);
		return NULL;
	}
	rewind(in);
	if (magic == PCAPNG_SECTION)
		return file;
	file->pcap = pcap_fopen_offline_with_tstamp_precision(in, PCAP_TSTAMP_PRECISION_NANO, reason);
	if (file->pcap) {
		file->in = NULL; /* owned by libpcap from now on */
		return file;
	}
	error_set(error, "`%s` is neither pcap nor pcapng: %s", name, reason);
	savefile_close(file);
	return NULL;
}

void savefile_close(struct savefile *file)
{
	if (file->pcap)
		pcap_close(file->pcap);
	if (file->in)
		fclose(file->in);
	text_free(&file->section_comment);
	text_free(&file->closing_comment);
	free(file->interfaces);
	free(file->block);
	free(file);
}

bool savefile_next(struct savefile *file, struct saved_packet *packet)
{
	return file->pcap ? classic_next(file, packet) : pcapng_next(file, packet);
}

bool savefile_is_ours(const struct savefile *file)
{
	return file->is_ours;
}

bool savefile_seed(const struct savefile *file, uint64_t *seed)
{
	*seed = file->seed;
	return file->seed_known;
}

const char *savefile_application(const struct savefile *file)
{
	return file->application;
}

const char *savefile_section_comment(const struct savefile *file)
{
	return file->section_comment.at ? file->section_comment.at : "";
}

const struct savefile_closing *savefile_closing(const struct savefile *file)
{
	return file->closing.comment ? &file->closing : NULL;
}

bool savefile_was_cut(const struct savefile *file)
{
	return file->cut;
}
