/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * serve_v3: the cloud's side of the OTA protocol of Device OS 3.0.0 and later (test/ota/README.md 2).
 *
 *   idle ── UpdateStart ──> offered ── 2.01 with window and offset ──> flight ── all acknowledged ──>
 *   ending (UpdateFinish sent) ── 2.04 response ──> done
 *
 * How the real cloud retransmits chunks is not public. Here, a gap below an acknowledged chunk is filled once
 * RETRY_MS have passed since that chunk was last sent; without any progress the lowest chunk goes out again
 * after RETRY_MS, doubling up to RETRY_LONGEST_MS; after PATIENCE_MS without progress the transfer stops
 * until the device comes back.
 */
#include "cloud.h"

#include <string.h>

#include "trace.h"

#define RETRY_MS 5000
#define RETRY_LONGEST_MS 20000
#define PATIENCE_MS 310000
#define READY_MS 90000
#define IDLE_MS 50 /* with nothing to send, look again after this */

void serve_v3_begin(struct session *session)
{
	struct cloud *cloud = session->cloud;
	struct coap_message start = coap_request(COAP_CON, COAP_POST, "S");
	uint8_t size[4], chunk[4];

	start.token_size = 1;
	start.token[0] = (uint8_t)session->number;
	coap_add_number(&start, COAP_FILE_SIZE, (uint32_t)cloud->image.size, size);
	coap_add(&start, COAP_FILE_SHA256, cloud->sum, sizeof(cloud->sum));
	coap_add_number(&start, COAP_CHUNK_SIZE, (uint32_t)cloud->image.chunk_size, chunk);
	session->serve = SERVE_OFFERED;
	session->due_ms = clock_ms(&cloud->clock) + READY_MS;
	exchange_confirm(&session->exchanges, &start, "UpdateStart");
}

static void finish(struct session *session)
{
	struct coap_message finish = coap_request(COAP_CON, COAP_POST, "F");

	finish.token_size = 1;
	finish.token[0] = (uint8_t)(session->number + 100);
	session->serve = SERVE_ENDING;
	session->due_ms = clock_ms(&session->cloud->clock) + READY_MS;
	exchange_confirm(&session->exchanges, &finish, "UpdateFinish");
}

static void begin_flight(struct session *session, const struct coap_message *message)
{
	const struct image *image = &session->cloud->image;
	size_t offset = coap_number(coap_option_find(message, COAP_FILE_SIZE, 0));
	uint64_t now = clock_ms(&session->cloud->clock);

	session->window = coap_number(coap_option_find(message, COAP_WINDOW_SIZE, 0));
	session->base = (offset + image->chunk_size - 1) / image->chunk_size;
	session->acknowledged = session->base;
	session->progress_ms = now;
	session->patience_ms = RETRY_MS;
	memset(session->sent_ms, 0, sizeof(session->sent_ms));
	for (size_t i = 0; i < image->count; i++)
		session->wanted[i] = i >= session->base;
	trace_info(&session->cloud->clock, "cloud.ota", "s=%u device has %zu bytes, window %zu chunks",
	    session->number, offset, session->window);
	if (session->base >= image->count) {
		finish(session);
		return;
	}
	session->serve = SERVE_FLIGHT;
	session->due_ms = now + session->cloud->pace_ms;
}

static void send_chunk(struct session *session, size_t index)
{
	struct coap_message chunk = coap_request(COAP_NON, COAP_POST, "C");
	uint8_t bytes[COAP_SIZE_MAX], room[4];

	chunk.payload_size = image_get(&session->cloud->image, index, bytes);
	chunk.payload = bytes;
	coap_add_number(&chunk, COAP_CHUNK_INDEX, (uint32_t)(index - session->base + 1), room);
	session->sent_ms[index] = clock_ms(&session->cloud->clock);
	session->cloud->chunks++;
	exchange_send(&session->exchanges, &chunk);
}

/* Returns the chunk to send: a gap that is due, else the next new one, else the lowest after a silence, else
 * the count. */
static size_t choose(struct session *session, uint64_t now)
{
	size_t count = session->cloud->image.count, highest = 0,
	       end = session->acknowledged + session->window;

	for (size_t i = session->acknowledged; i < count; i++)
		if (!session->wanted[i])
			highest = i;
	for (size_t i = session->acknowledged; i < highest; i++)
		if (session->wanted[i] && session->sent_ms[i] && now >= session->sent_ms[i] + RETRY_MS)
			return i;
	for (size_t i = session->acknowledged; i < count && i < end; i++)
		if (session->wanted[i] && !session->sent_ms[i])
			return i;
	if (now >= session->sent_ms[session->acknowledged] + session->patience_ms) {
		session->patience_ms *= 2;
		if (session->patience_ms > RETRY_LONGEST_MS)
			session->patience_ms = RETRY_LONGEST_MS;
		return session->acknowledged;
	}
	return count;
}

static void fly(struct session *session)
{
	struct cloud *cloud = session->cloud;
	uint64_t now = clock_ms(&cloud->clock);
	size_t index;

	if (now >= session->progress_ms + PATIENCE_MS) {
		serve_die(session, "UpdateAck never came");
		return;
	}
	index = choose(session, now);
	if (index < cloud->image.count)
		send_chunk(session, index);
	session->due_ms = serve_next(session);
	if (index == cloud->image.count && session->due_ms < now + IDLE_MS)
		session->due_ms = now + IDLE_MS;
}

static void take_ack(struct session *session, const struct coap_message *message)
{
	size_t count = session->base + coap_number(coap_option_find(message, COAP_CHUNK_INDEX, 0));

	if (count > session->cloud->image.count || count < session->acknowledged)
		return;
	if (count > session->acknowledged) {
		session->progress_ms = clock_ms(&session->cloud->clock);
		session->patience_ms = RETRY_MS;
	}
	for (size_t i = session->acknowledged; i < count; i++)
		session->wanted[i] = false;
	session->acknowledged = count;
	for (size_t bit = 0; bit < 8 * message->payload_size && count + bit < session->cloud->image.count;
	     bit++)
		if (message->payload[bit / 8] >> bit % 8 & 1)
			session->wanted[count + bit] = false;
	if (count == session->cloud->image.count)
		finish(session);
}

void serve_v3_message(struct session *session, const struct coap_message *message)
{
	struct coap_message ack = coap_ack(message, COAP_EMPTY);

	if (message->type == COAP_CON)
		exchange_send(&session->exchanges, &ack);
	if (session->serve == SERVE_OFFERED && message->code == COAP_CREATED)
		begin_flight(session, message);
	else if (session->serve == SERVE_FLIGHT && message->code == COAP_POST && coap_path(message) == 'A')
		take_ack(session, message);
	else if (session->serve == SERVE_ENDING && message->code == COAP_CHANGED)
		serve_done(session);
}

void serve_v3_acknowledged(struct session *session, const char *what, const struct coap_message *message)
{
	if (message->code == COAP_EMPTY)
		return;
	serve_die(session, strcmp(what, "UpdateStart") ? "UpdateFinish refused" : "UpdateStart refused");
}

void serve_v3_tick(struct session *session)
{
	if (session->serve == SERVE_FLIGHT)
		fly(session);
	else if (session->serve == SERVE_OFFERED)
		serve_die(session, "UpdateStart response never came");
	else if (session->serve == SERVE_ENDING)
		serve_die(session, "UpdateFinish response never came");
}
