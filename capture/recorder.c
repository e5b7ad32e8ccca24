/* SPDX-License-Identifier: BSD-2-Clause */
/* Copies what the worker threads record into their rings, for the capture thread. */
#include "capture/recorder.h"

#include <string.h>
#include <time.h>

#include "capture/blocks.h"
#include "capture/pcapng.h"

#define RECORD_MAX (RECORDER_RING_SIZE / 2 - 64) /* bytes; a larger record would never fit */

/* Reserves room in the ring. If there is none, a patient recorder waits; otherwise the record is lost and
 * NULL is returned. */
static struct record *reserve_record(struct recorder *recorder, size_t whole)
{
	struct record *record;

	while (!(record = ring_reserve(recorder->ring, whole)) && recorder->patient && whole <= RECORD_MAX)
		nanosleep(&(struct timespec){.tv_nsec = NS_MS / 10}, NULL);
	if (!record)
		atomic_fetch_add_explicit(recorder->lost, 1, memory_order_relaxed);
	return record;
}

static struct record *record_new(struct recorder *recorder, uint32_t extra, uint32_t size)
{
	uint32_t kept = size < recorder->snaplen ? size : recorder->snaplen;
	struct record *record = reserve_record(recorder, sizeof(struct record) + extra + kept);

	if (!record)
		return NULL;
	/* `departure` is left uninitialised: only capture_departed fills and uses it. */
	memset(record, 0, offsetof(struct record, departure));
	record->extra = extra;
	record->size = size;
	record->kept = kept;
	return record;
}

static void set_payload(struct record *record, const uint8_t *bytes)
{
	if (record->kept)
		memcpy((uint8_t *)(record + 1) + record->extra, bytes, record->kept);
	if (record->kept < record->size)
		record->payload_sum = packet_sum(0, bytes, record->size);
}

static uint32_t align8(size_t size)
{
	return (uint32_t)((size + 7) & ~(size_t)7);
}

/* Returns `address` or, if it is not known, zeros of the same family as the other end of the packet on the
 * cloud's side; if that is not known either, of the device's family. */
static const struct address *address_or_zeros(
    const struct address *address, const struct address *other, const struct capture_path *path)
{
	static const struct address zeros[] = {
	    [FAMILY_IPV4] = {.family = FAMILY_IPV4}, [FAMILY_IPV6] = {.family = FAMILY_IPV6}};

	return address->family ? address : &zeros[other->family ? other->family : path->device->family];
}

static const struct address *cloud_of(const struct capture_path *path)
{
	return address_or_zeros(path->cloud, path->cloud_side, path);
}

static const struct address *cloud_side_of(const struct capture_path *path)
{
	return address_or_zeros(path->cloud_side, path->cloud, path);
}

void capture_arrived(struct recorder *recorder, const struct capture_path *path,
    const struct verdict *verdict, const uint8_t *bytes, uint8_t tos, uint64_t id, ns_t at)
{
	size_t verdict_size = offsetof(struct verdict, mutations) +
	                      verdict->mutation_count * sizeof(struct mutation);
	struct record *record = record_new(recorder, align8(verdict_size), verdict->size);
	bool is_up = verdict->way == WAY_UP;

	if (!record)
		return;
	record->kind = RECORD_ARRIVED;
	record->interface = is_up ? INTERFACE_DEVICE : INTERFACE_CLOUD;
	record->flags = PCAPNG_INBOUND;
	record->at = at;
	record->id = id;
	record->ends = (struct packet_ends){.from = *(is_up ? path->device : cloud_of(path)),
	    .to = *(is_up ? path->device_side : cloud_side_of(path)),
	    .sender = is_up ? PARTY_DEVICE : PARTY_CLOUD,
	    .receiver = PARTY_PROXY,
	    .tos = tos,
	    .id = (uint16_t)id};
	memcpy(record + 1, verdict, verdict_size);
	set_payload(record, bytes);
	ring_commit(recorder->ring);
}

void capture_departed(struct recorder *recorder, const struct capture_path *path,
    const struct departure *departure, const uint8_t *bytes, uint32_t size, uint8_t tos, uint64_t id, ns_t at)
{
	size_t parts_size = departure->part_count * sizeof(struct part);
	struct record *record = record_new(recorder, align8(parts_size), size);
	bool is_up = departure->way == WAY_UP;

	if (!record)
		return;
	record->kind = RECORD_DEPARTED;
	record->interface = is_up ? INTERFACE_CLOUD : INTERFACE_DEVICE;
	record->flags = PCAPNG_OUTBOUND;
	record->at = at;
	record->id = id;
	record->ends = (struct packet_ends){.from = *(is_up ? cloud_side_of(path) : path->device_side),
	    .to = *(is_up ? cloud_of(path) : path->device),
	    .sender = PARTY_PROXY,
	    .receiver = is_up ? PARTY_CLOUD : PARTY_DEVICE,
	    .tos = tos,
	    .id = (uint16_t)id};
	record->departure = *departure;
	if (parts_size)
		memcpy(record + 1, departure->parts, parts_size);
	set_payload(record, bytes);
	ring_commit(recorder->ring);
}

static void put_text(struct recorder *recorder, enum record_kind kind, const struct address *address,
    const char *text, ns_t at)
{
	size_t size = strlen(text);
	struct record *record = reserve_record(recorder, sizeof(*record) + size);

	if (!record)
		return;
	memset(record, 0, sizeof(*record));
	record->kind = (uint8_t)kind;
	record->size = record->kept = (uint32_t)size;
	record->at = at;
	if (address)
		record->ends.from = *address;
	memcpy(record + 1, text, size);
	ring_commit(recorder->ring);
}

void capture_event(struct recorder *recorder, const char *text, ns_t at)
{
	put_text(recorder, RECORD_EVENT, NULL, text, at);
}

void capture_host(struct recorder *recorder, const struct address *address, const char *name, ns_t at)
{
	put_text(recorder, RECORD_HOST, address, name, at);
}

bool recorder_rotate(struct recorder *recorder)
{
	struct record *record = ring_reserve(recorder->ring, sizeof(*record));

	if (!record)
		return false;
	memset(record, 0, sizeof(*record));
	record->kind = RECORD_ROTATE;
	ring_commit(recorder->ring);
	return true;
}
