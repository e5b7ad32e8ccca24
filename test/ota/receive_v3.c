/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * receive_v3: the device's side of the OTA protocol of Device OS 3.0.0 and later (test/ota/README.md 2).
 *
 *   none ── UpdateStart ──> flight ── UpdateFinish, all there ──> finishing ── its ACK ──> applied
 *
 * Chunks are acknowledged cumulatively with a bitmap of later ones: after every second chunk or 200 ms, at
 * once on a duplicate, a gap, a closed gap and the last chunk. 300 s without a chunk end the transfer; the
 * next one continues at the first gap if the file has the same SHA-256.
 *
 * The sources leave two things open; here, bit 0 of the bitmap stands for the chunk after the cumulative ones
 * (always missing), and after a resume chunks are numbered from the offset on.
 */
#include "device.h"

#include <stdio.h>
#include <string.h>

#include "trace.h"

#define WINDOW_BYTES (128 * 1024)
#define ACKNOWLEDGE_EVERY 2
#define ACKNOWLEDGE_MS 200
#define TRANSFER_TIMEOUT_MS 300000
#define BITMAP_SIZE 32

/* Returns how many chunks of this transfer came in order. */
static size_t in_order(const struct device *device)
{
	return image_missing(&device->image, device->base) - device->base;
}

/* Discards the chunks beyond the first gap, at which a later transfer begins. */
static void keep_in_order(struct image *image)
{
	for (size_t i = image_missing(image, 0); i < image->count; i++) {
		image->held_count -= image->held[i];
		image->held[i] = false;
	}
}

static void start(struct device *device, const struct coap_message *message)
{
	const struct coap_option *sum = coap_option_find(message, COAP_FILE_SHA256, 0);
	size_t size = coap_number(coap_option_find(message, COAP_FILE_SIZE, 0));
	size_t chunk = coap_number(coap_option_find(message, COAP_CHUNK_SIZE, 0)), offset;
	struct coap_message answer = {.code = COAP_CREATED};
	uint8_t window_room[4], offset_room[4];

	if (!size || chunk < 512 || chunk % 4 || !device->tries) {
		device_acknowledge(device, message, COAP_BAD_REQUEST);
		return;
	}
	device_acknowledge(device, message, COAP_EMPTY);
	if (sum && sum->size == IMAGE_SHA256_SIZE && !memcmp(sum->value, device->sum, IMAGE_SHA256_SIZE) &&
	    device->image.size == size && device->image.chunk_size == chunk) {
		keep_in_order(&device->image);
	} else {
		image_init(&device->image, size, chunk);
		memset(device->sum, 0, sizeof(device->sum));
		if (sum && sum->size == IMAGE_SHA256_SIZE)
			memcpy(device->sum, sum->value, IMAGE_SHA256_SIZE);
	}
	device->base = device->image.held_count;
	device->update = UPDATE_FLIGHT;
	device->unacknowledged = 0;
	device->saved_ms = clock_ms(&device->clock);
	offset = device->base * chunk < size ? device->base * chunk : size;
	trace_info(&device->clock, "comm.ota", "UpdateStart: %zu bytes, chunk size %zu, offset %zu", size,
	    chunk, offset);
	answer.token_size = message->token_size;
	memcpy(answer.token, message->token, sizeof(answer.token));
	coap_add_number(&answer, COAP_WINDOW_SIZE, (uint32_t)(WINDOW_BYTES / chunk), window_room);
	coap_add_number(&answer, COAP_FILE_SIZE, (uint32_t)offset, offset_room);
	exchange_confirm(&device->exchanges, &answer, "UpdateStart response");
}

static void acknowledge(struct device *device)
{
	struct coap_message ack = coap_request(COAP_NON, COAP_POST, "A");
	size_t count = in_order(device), used = 0;
	uint8_t room[4], bitmap[BITMAP_SIZE] = {0};

	for (size_t bit = 0; bit < 8 * BITMAP_SIZE; bit++) {
		size_t index = device->base + count + bit;

		if (index < device->image.count && device->image.held[index]) {
			bitmap[bit / 8] |= (uint8_t)(1 << bit % 8);
			used = (bit / 32 + 1) * 4;
		}
	}
	coap_add_number(&ack, COAP_CHUNK_INDEX, (uint32_t)count, room);
	if (used) {
		ack.payload = bitmap;
		ack.payload_size = used;
	}
	device->unacknowledged = 0;
	device->counts.acks++;
	exchange_send(&device->exchanges, &ack);
}

static void reject(struct device *device, const struct coap_message *message)
{
	struct coap_message reset = {.type = COAP_RST, .id = message->id};

	exchange_send(&device->exchanges, &reset);
}

static void take_chunk(struct device *device, const struct coap_message *message)
{
	size_t number = coap_number(coap_option_find(message, COAP_CHUNK_INDEX, 0)), index, before;
	bool fresh, at_once;

	if (device->update == UPDATE_NONE) {
		reject(device, message);
		return;
	}
	index = device->base + number - 1;
	if (!number || index >= device->image.count || message->type != COAP_NON || message->token_size ||
	    !message->payload || message->payload_size > device->image.chunk_size) {
		reject(device, message);
		device_die(device, "malformed chunk", RECONNECT_FULL);
		return;
	}
	before = in_order(device);
	fresh = image_put(&device->image, index, message->payload, message->payload_size);
	device->counts.chunks++;
	device->counts.duplicates += !fresh;
	if (fresh)
		device->saved_ms = clock_ms(&device->clock);
	at_once = !fresh || in_order(device) != before + 1 || device->image.held_count == device->image.count;
	if (!device->unacknowledged++)
		device->acknowledge_ms = clock_ms(&device->clock) + ACKNOWLEDGE_MS;
	if (at_once || device->unacknowledged >= ACKNOWLEDGE_EVERY)
		acknowledge(device);
}

static void finish(struct device *device, const struct coap_message *message)
{
	char report[128];
	struct coap_message answer = {.code = COAP_CHANGED, .payload = (uint8_t *)report};

	if (device->update == UPDATE_NONE || device->image.held_count < device->image.count) {
		device_acknowledge(device, message, COAP_BAD_REQUEST);
		return;
	}
	device_acknowledge(device, message, COAP_EMPTY);
	answer.payload_size = (size_t)snprintf(report, sizeof(report),
	    "{\"recv_chunks\":%u,\"dup_chunks\":%u,\"sent_acks\":%u}", device->counts.chunks,
	    device->counts.duplicates, device->counts.acks);
	answer.token_size = message->token_size;
	memcpy(answer.token, message->token, sizeof(answer.token));
	trace_info(&device->clock, "comm.ota",
	    "UpdateFinish: all is here; waiting for the response's acknowledgement");
	device->update = UPDATE_FINISHING;
	exchange_confirm(&device->exchanges, &answer, "UpdateFinish response");
}

void receive_v3_message(struct device *device, const struct coap_message *message)
{
	char path = message->code == COAP_POST ? coap_path(message) : 0;

	if (path == 'S')
		start(device, message);
	else if (path == 'C')
		take_chunk(device, message);
	else if (path == 'F')
		finish(device, message);
}

void receive_v3_acknowledged(struct device *device, const char *what)
{
	if (!strcmp(what, "UpdateFinish response"))
		device_apply(device);
}

void receive_v3_given_up(struct device *device, const char *what)
{
	device_die(device, what, RECONNECT_FULL);
}

void receive_v3_tick(struct device *device)
{
	uint64_t now = clock_ms(&device->clock);

	if (device->update != UPDATE_FLIGHT)
		return;
	if (device->unacknowledged && now >= device->acknowledge_ms)
		acknowledge(device);
	if (now >= device->saved_ms + TRANSFER_TIMEOUT_MS) {
		trace_warn(&device->clock, "comm.ota",
		    "no chunk for 300 s: transfer timed out, %zu of %zu chunks held",
		    device->image.held_count, device->image.count);
		device_die(device, "transfer timeout", RECONNECT_RESUME);
	}
}

uint64_t receive_v3_due(const struct device *device)
{
	uint64_t due = device->saved_ms + TRANSFER_TIMEOUT_MS;

	if (device->update != UPDATE_FLIGHT)
		return CLOCK_NEVER;
	return device->unacknowledged && device->acknowledge_ms < due ? device->acknowledge_ms : due;
}
