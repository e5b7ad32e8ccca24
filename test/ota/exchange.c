/* SPDX-License-Identifier: BSD-2-Clause */
#include "exchange.h"

#include <assert.h>
#include <string.h>

#include "trace.h"

#define ACK_TIMEOUT_MS 4000
#define SENDS_MAX 4
#define SPAN_MS 45000 /* MAX_TRANSMIT_SPAN: how long answers are remembered */
#define RANDOM_STEPS 256
#define RANDOM_DIVISOR 512 /* the factor is 1 plus 0..255 / 512 */

void exchanges_init(struct exchanges *exchanges, const struct clock *clock, uint64_t seed)
{
	memset(exchanges, 0, sizeof(*exchanges));
	exchanges->clock = clock;
	exchanges->random = seed * 2654435761u + 88172645463325252u;
}

void exchanges_clear(struct exchanges *exchanges)
{
	memset(exchanges->open, 0, sizeof(exchanges->open));
	memset(exchanges->answered, 0, sizeof(exchanges->answered));
}

/* xorshift64 */
static unsigned draw(struct exchanges *exchanges, unsigned below)
{
	uint64_t x = exchanges->random;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	exchanges->random = x;
	return (unsigned)(x >> 32) % below;
}

static void remember(struct exchanges *exchanges, uint16_t id, const uint8_t *bytes, size_t size)
{
	struct answered *answered = &exchanges->answered[exchanges->answered_next++ % EXCHANGE_ANSWERED_MAX];

	assert(size <= sizeof(answered->bytes));
	answered->id = id;
	answered->until_ms = clock_ms(exchanges->clock) + SPAN_MS;
	answered->size = size;
	memcpy(answered->bytes, bytes, size);
}

void exchange_send(struct exchanges *exchanges, struct coap_message *message)
{
	uint8_t bytes[COAP_SIZE_MAX];
	size_t size;

	if (message->type == COAP_NON)
		message->id = ++exchanges->id;
	size = coap_encode(message, bytes);
	if (message->type == COAP_ACK)
		remember(exchanges, message->id, bytes, size);
	link_send(exchanges->link, bytes, size);
}

/* Sends it once more, and sets how long to wait for the answer. */
static void transmit(struct exchanges *exchanges, struct exchange *exchange)
{
	uint64_t base = (uint64_t)ACK_TIMEOUT_MS << exchange->sent;
	uint64_t wait = base + base * draw(exchanges, RANDOM_STEPS) / RANDOM_DIVISOR;

	exchange->sent++;
	exchange->due_ms = clock_ms(exchanges->clock) + wait;
	trace_info(exchanges->clock, "comm.coap", "%s id=%u send %u of %u, waiting %u ms", exchange->what,
	    exchange->id, exchange->sent, SENDS_MAX, (unsigned)wait);
	link_send(exchanges->link, exchange->bytes, exchange->size);
}

uint16_t exchange_confirm(struct exchanges *exchanges, struct coap_message *message, const char *what)
{
	struct exchange *exchange = exchanges->open;

	while (exchange->what)
		if (++exchange == exchanges->open + EXCHANGE_OPEN_MAX)
			return 0;
	message->type = COAP_CON;
	message->id = ++exchanges->id;
	*exchange = (struct exchange){
	    .what = what, .id = message->id, .began_ms = clock_ms(exchanges->clock)};
	exchange->size = coap_encode(message, exchange->bytes);
	transmit(exchanges, exchange);
	return message->id;
}

const char *exchange_close(struct exchanges *exchanges, uint16_t id)
{
	for (size_t i = 0; i < EXCHANGE_OPEN_MAX; i++) {
		const char *what = exchanges->open[i].what;

		if (what && exchanges->open[i].id == id) {
			exchanges->open[i].what = NULL;
			return what;
		}
	}
	return NULL;
}

bool exchange_is_open(const struct exchanges *exchanges, const char *what)
{
	for (size_t i = 0; i < EXCHANGE_OPEN_MAX; i++)
		if (exchanges->open[i].what && !strcmp(exchanges->open[i].what, what))
			return true;
	return false;
}

void exchange_cancel(struct exchanges *exchanges, const char *what)
{
	for (size_t i = 0; i < EXCHANGE_OPEN_MAX; i++)
		if (exchanges->open[i].what && !strcmp(exchanges->open[i].what, what))
			exchanges->open[i].what = NULL;
}

bool exchange_repeat(struct exchanges *exchanges, uint16_t id)
{
	uint64_t now = clock_ms(exchanges->clock);

	for (size_t i = 0; i < EXCHANGE_ANSWERED_MAX; i++) {
		const struct answered *answered = &exchanges->answered[i];

		if (answered->until_ms > now && answered->id == id) {
			link_send(exchanges->link, answered->bytes, answered->size);
			return true;
		}
	}
	return false;
}

uint64_t exchange_due(const struct exchanges *exchanges)
{
	uint64_t due = CLOCK_NEVER;

	for (size_t i = 0; i < EXCHANGE_OPEN_MAX; i++)
		if (exchanges->open[i].what && exchanges->open[i].due_ms < due)
			due = exchanges->open[i].due_ms;
	return due;
}

const char *exchange_tick(struct exchanges *exchanges)
{
	uint64_t now = clock_ms(exchanges->clock);

	for (size_t i = 0; i < EXCHANGE_OPEN_MAX; i++) {
		struct exchange *exchange = &exchanges->open[i];
		const char *what = exchange->what;

		if (!what || exchange->due_ms > now)
			continue;
		if (exchange->sent == SENDS_MAX) {
			trace_warn(exchanges->clock, "comm.coap", "%s id=%u given up after %u ms", what,
			    exchange->id, (unsigned)(now - exchange->began_ms));
			exchange->what = NULL;
			return what;
		}
		exchanges->retransmissions++;
		transmit(exchanges, exchange);
	}
	return NULL;
}
