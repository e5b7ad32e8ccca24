/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * serve_old: the cloud's side of chunked OTA (test/ota/README.md 1.1), like the open server's Flasher.js.
 *
 *   idle ── UpdateBegin ──> offered ── UpdateReady ──> flight ── UpdateDone ──> ending ── ACK 2.04 ──> done
 *                                                        ^                        | ACK 4.00
 *                                                        +── ChunkMissed ── waiting ── 60 s ──> died
 */
#include "cloud.h"

#include <string.h>

#include "trace.h"

#define READY_MS 90000
#define RECOVERY_MS 60000

void serve_old_begin(struct session *session)
{
	const struct image *image = &session->cloud->image;
	struct coap_message begin = coap_request(COAP_CON, COAP_POST, "u");
	uint8_t payload[12] = {1, (uint8_t)(image->chunk_size >> 8), (uint8_t)image->chunk_size,
	    (uint8_t)(image->size >> 24), (uint8_t)(image->size >> 16), (uint8_t)(image->size >> 8),
	    (uint8_t)image->size};

	begin.token_size = 1;
	begin.token[0] = (uint8_t)session->number;
	begin.payload = payload;
	begin.payload_size = sizeof(payload);
	for (size_t i = 0; i < image->count; i++)
		session->wanted[i] = true;
	session->wanted_count = image->count;
	session->asked = false;
	session->serve = SERVE_OFFERED;
	session->due_ms = clock_ms(&session->cloud->clock) + READY_MS;
	exchange_confirm(&session->exchanges, &begin, "UpdateBegin");
}

static void send_chunk(struct session *session, size_t index)
{
	struct coap_message chunk = coap_request(COAP_NON, COAP_POST, "c");
	uint8_t bytes[COAP_SIZE_MAX], crc[4], number[2] = {(uint8_t)(index >> 8), (uint8_t)index};
	size_t size = session->cloud->image.chunk_size;
	uint32_t sum;

	image_get(&session->cloud->image, index, bytes);
	sum = image_crc32(bytes, size);
	for (int i = 0; i < 4; i++)
		crc[i] = (uint8_t)(sum >> (24 - 8 * i));
	chunk.token_size = 1;
	chunk.token[0] = (uint8_t)index;
	coap_add(&chunk, COAP_URI_QUERY, crc, sizeof(crc));
	coap_add(&chunk, COAP_URI_QUERY, number, sizeof(number));
	chunk.payload = bytes;
	chunk.payload_size = size;
	session->cloud->chunks++;
	exchange_send(&session->exchanges, &chunk);
}

/* Sends the lowest wanted chunk, or ends the flight. */
static void fly(struct session *session)
{
	struct cloud *cloud = session->cloud;
	struct coap_message done = coap_request(COAP_CON, COAP_PUT, "u");
	bool first = !session->asked;
	size_t index = 0;

	if (session->wanted_count) {
		while (!session->wanted[index])
			index++;
		session->wanted[index] = false;
		session->wanted_count--;
		send_chunk(session, index);
		session->due_ms = serve_next(session);
		return;
	}
	session->serve = SERVE_WAITING;
	session->due_ms = clock_ms(&cloud->clock) + RECOVERY_MS;
	if ((first || cloud->persistent) && !exchange_is_open(&session->exchanges, "UpdateDone")) {
		session->serve = SERVE_ENDING;
		session->due_ms = CLOCK_NEVER;
		done.token_size = 1;
		done.token[0] = (uint8_t)session->number;
		exchange_confirm(&session->exchanges, &done, "UpdateDone");
	}
}

static void resend(struct session *session, const struct coap_message *message)
{
	struct cloud *cloud = session->cloud;

	cloud->missed_requests++;
	session->asked = true;
	for (size_t i = 0; i + 1 < message->payload_size; i += 2) {
		size_t index = (size_t)(message->payload[i] << 8 | message->payload[i + 1]);

		if (index < cloud->image.count && !session->wanted[index]) {
			session->wanted[index] = true;
			session->wanted_count++;
		}
	}
	trace_info(&cloud->clock, "cloud.ota", "s=%u ChunkMissed: %zu to send again", session->number,
	    session->wanted_count);
	session->serve = SERVE_FLIGHT;
	session->due_ms = clock_ms(&cloud->clock) + cloud->pace_ms;
}

void serve_old_message(struct session *session, const struct coap_message *message)
{
	struct coap_message ack = coap_ack(message, COAP_EMPTY);
	char path = coap_path(message);
	bool serving = session->serve > SERVE_OFFERED && session->serve < SERVE_DONE;

	if (message->type == COAP_CON)
		exchange_send(&session->exchanges, &ack);
	if (session->serve == SERVE_OFFERED && message->code == COAP_CHANGED) {
		session->serve = SERVE_FLIGHT;
		session->due_ms = clock_ms(&session->cloud->clock) + session->cloud->pace_ms;
	} else if (serving && message->code == COAP_GET && path == 'c') {
		resend(session, message);
	} else if (serving && message->code == COAP_PUT && path == 'u') {
		exchange_cancel(&session->exchanges, "UpdateDone");
		serve_done(session);
	}
}

void serve_old_acknowledged(struct session *session, const char *what, const struct coap_message *message)
{
	if (!strcmp(what, "UpdateBegin") && message->code != COAP_EMPTY)
		serve_die(session, "UpdateBegin refused");
	if (strcmp(what, "UpdateDone"))
		return;
	if (message->code == COAP_CHANGED) {
		serve_done(session);
	} else if (session->serve == SERVE_ENDING) {
		session->serve = SERVE_WAITING;
		session->due_ms = clock_ms(&session->cloud->clock) + RECOVERY_MS;
	}
}

void serve_old_tick(struct session *session)
{
	if (session->serve == SERVE_FLIGHT)
		fly(session);
	else if (session->serve == SERVE_OFFERED)
		serve_die(session, "UpdateReady never came");
	else if (session->serve == SERVE_WAITING)
		serve_die(session, "ChunkMissed never came");
}
