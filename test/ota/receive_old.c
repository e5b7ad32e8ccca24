/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * receive_old: the device's side of chunked OTA (Device OS 0.6.4 to 2.x; test/ota/README.md 1.1 and 1.3).
 *
 *   none ── UpdateBegin ──> flight ── UpdateDone, chunks missing ──> recovery ── last chunk ──> applied
 *                             +────── UpdateDone, all there ──────────────────────────────────────^
 *
 * During the flight the device sends nothing. In recovery it asks for the missing chunks, and again after 3 s
 * without one (SYNC_064). The watchdog resets it 90 s after the last saved chunk, whatever else happens.
 */
#include "device.h"

#include <string.h>

#include "trace.h"

#define BEGIN_SIZE 12 /* flags, chunk size, file length, store, address */
#define FAST_OTA 1
#define MISSED_MAX_064 50
#define MISSED_MAX_MENDED 40
#define RESEND_MS 3000
#define WATCHDOG_MS 90000

static void begin(struct device *device, const struct coap_message *message)
{
	static const uint8_t flags[] = {FAST_OTA};
	struct coap_message ready = {.code = COAP_CHANGED, .payload = flags, .payload_size = sizeof(flags)};
	const uint8_t *p = message->payload;
	size_t chunk, size;

	if (message->payload_size < BEGIN_SIZE) {
		device_acknowledge(device, message, COAP_BAD_REQUEST);
		return;
	}
	chunk = (size_t)(p[1] << 8 | p[2]);
	size = (size_t)p[3] << 24 | (size_t)p[4] << 16 | (size_t)p[5] << 8 | p[6];
	if (!chunk || !size || !device->tries) {
		device_acknowledge(device, message, COAP_BAD_REQUEST);
		return;
	}
	device_acknowledge(device, message, COAP_EMPTY);
	image_init(&device->image, size, chunk);
	device->update = UPDATE_FLIGHT;
	device->saved_ms = clock_ms(&device->clock);
	trace_info(&device->clock, "comm.ota", "UpdateBegin: %zu bytes, %zu chunks of %zu", size,
	    device->image.count, chunk);
	ready.token_size = message->token_size;
	memcpy(ready.token, message->token, sizeof(ready.token));
	device_confirm(device, &ready, "UpdateReady");
}

static void ask(struct device *device)
{
	struct coap_message missed = coap_request(COAP_CON, COAP_GET, "c");
	uint8_t list[2 * MISSED_MAX_064];
	size_t most = device->sync == SYNC_064 ? MISSED_MAX_064 : MISSED_MAX_MENDED, count = 0;

	for (size_t i = image_missing(&device->image, 0); i < device->image.count && count < most;
	     i = image_missing(&device->image, i + 1), count++) {
		list[2 * count] = (uint8_t)(i >> 8);
		list[2 * count + 1] = (uint8_t)i;
	}
	missed.payload = list;
	missed.payload_size = 2 * count;
	device->counts.missed_requests++;
	device->asked_ms = clock_ms(&device->clock);
	trace_info(&device->clock, "comm.ota", "%zu chunks missing, first %zu; asking for %zu",
	    device->image.count - device->image.held_count, image_missing(&device->image, 0), count);
	device_confirm(device, &missed, "ChunkMissed");
}

static void finish_recovery(struct device *device)
{
	struct coap_message done = coap_request(COAP_CON, COAP_PUT, "u");

	trace_info(&device->clock, "comm.ota", "last missing chunk arrived");
	exchange_cancel(&device->exchanges, "ChunkMissed");
	exchange_confirm(&device->exchanges, &done, "UpdateDone");
	device_apply(device);
}

static void take_chunk(struct device *device, const struct coap_message *message)
{
	const struct coap_option *crc = coap_option_find(message, COAP_URI_QUERY, 0);
	const struct coap_option *number = coap_option_find(message, COAP_URI_QUERY, 1);
	size_t index = coap_number(number);

	if (device->update == UPDATE_NONE || !number || !message->payload ||
	    coap_number(crc) != image_crc32(message->payload, message->payload_size)) {
		trace_warn(&device->clock, "comm.ota", "chunk refused: no update, no index or wrong CRC");
		return;
	}
	device->counts.chunks++;
	device->saved_ms = clock_ms(&device->clock);
	if (!image_put(&device->image, index, message->payload, message->payload_size))
		device->counts.duplicates++;
	if (device->update == UPDATE_RECOVERY)
		trace_info(&device->clock, "comm.ota", "missing chunk %zu came", index);
	if (device->update == UPDATE_RECOVERY && device->image.held_count == device->image.count)
		finish_recovery(device);
}

static void end_of_flight(struct device *device, const struct coap_message *message)
{
	if (device->update == UPDATE_NONE) {
		device_acknowledge(device, message, COAP_BAD_REQUEST);
		return;
	}
	if (device->image.held_count == device->image.count) {
		trace_info(
		    &device->clock, "comm.ota", "UpdateDone: all %zu chunks are here", device->image.count);
		device_acknowledge(device, message, COAP_CHANGED);
		device_apply(device);
		return;
	}
	trace_info(&device->clock, "comm.ota", "UpdateDone: chunks are missing");
	device_acknowledge(device, message, COAP_BAD_REQUEST);
	device->update = UPDATE_RECOVERY;
	if (!exchange_is_open(&device->exchanges, "ChunkMissed"))
		ask(device);
}

void receive_old_message(struct device *device, const struct coap_message *message)
{
	char path = coap_path(message);

	if (message->code == COAP_POST && (path == 'u' || path == 's'))
		begin(device, message);
	else if (message->code == COAP_POST && path == 'c')
		take_chunk(device, message);
	else if (message->code == COAP_PUT && path == 'u')
		end_of_flight(device, message);
}

void receive_old_given_up(struct device *device, const char *what)
{
	trace_info(&device->clock, "comm.dtls", "session cmd (CLS,DIS,MOV,LOD,SAV): 0");
	trace_warn(&device->clock, "comm.protocol", "handle received message failed - aborting transfer");
	device_die(device, what, RECONNECT_FULL);
}

void receive_old_tick(struct device *device)
{
	uint64_t now = clock_ms(&device->clock);

	if (device->update == UPDATE_NONE)
		return;
	if (now >= device->saved_ms + WATCHDOG_MS) {
		trace_warn(&device->clock, "system",
		    "no chunk saved for %u ms: reset, reason 90 (update_timeout)",
		    (unsigned)(now - device->saved_ms));
		device_die(device, "watchdog", RECONNECT_RESUME);
	} else if (now >= receive_old_due(device)) {
		trace_info(&device->clock, "comm.ota", "timeout - resending missing chunks");
		ask(device);
	}
}

uint64_t receive_old_due(const struct device *device)
{
	uint64_t last = device->saved_ms > device->asked_ms ? device->saved_ms : device->asked_ms;

	if (device->update == UPDATE_NONE)
		return CLOCK_NEVER;
	if (device->update == UPDATE_RECOVERY && device->sync == SYNC_064 && !device->waiting &&
	    last + RESEND_MS < device->saved_ms + WATCHDOG_MS)
		return last + RESEND_MS;
	return device->saved_ms + WATCHDOG_MS;
}
