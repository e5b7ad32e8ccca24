/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outlet: a socket and its send queue. Datagrams are gathered by outlet and sent in batches; those that a
 * full socket cannot take stay queued.
 *
 * All datagrams that become due in one round are gathered first. Those of one session are adjacent then, and
 * a run of equal size goes to the kernel as one. The order is kept within a session, but not among sessions.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "proxy/relay/inside.h"
#include "proxy/run/log.h"
#include "proxy/run/clock.h"

#define RETRIES 4 /* of a send that failed with the pending error of an earlier datagram */

/* ---- Waiting for a socket ---- */

void outlet_start_polling(struct outlet *out)
{
	ready_forget(out->relay->ready, out->fd, &out->source);
	out->polled = true;
	out->relay->polled++;
}

void outlet_stop_polling(struct outlet *out)
{
	if (ready_add(out->relay->ready, out->fd, &out->source, READY_READ))
		return; /* out of memory: polling goes on */
	out->polled = false;
	out->relay->polled--;
}

static void wait_until_writable(struct outlet *out)
{
	struct relay *relay = out->relay;

	out->full = true;
	if (out->polled)
		outlet_stop_polling(out);
	ready_change(relay->ready, out->fd, &out->source, READY_READ_AND_WRITE);
	if (!relay->warned_full)
		log_info("a socket's send buffer is full: datagrams wait for it, and count as late");
	relay->warned_full = true;
}

void outlet_check_buffer(const struct outlet *out, const char *what)
{
	static atomic_flag warned = ATOMIC_FLAG_INIT; /* of all workers */
	uint64_t actual = socket_receive_buffer(out->fd), wanted = out->relay->setup->proxy.receive_buffer;

	if (actual < wanted && !atomic_flag_test_and_set(&warned))
		log_notice("receive_buffer: the kernel gives %s %" PRIu64 " of %" PRIu64
		           " bytes; raise net.core.rmem_max",
		    what, actual, wanted);
}

/* ---- Sending ---- */

static void outgoing_init(
    const struct relay *relay, const struct datagram *datagram, struct outgoing *outgoing)
{
	const struct session *session = datagram->session;
	const struct transport *transport = session->transport;
	const struct inlet *inlet = &relay->inlets[session->entrance];

	*outgoing = (struct outgoing){.bytes = datagram->bytes, .size = datagram->size, .tos = datagram->tos};
	if (datagram->way == WAY_UP)
		return;
	outgoing->to = &session->device;
	if (inlet->listener->everywhere || inlet->answers) {
		outgoing->from = &transport->device_side;
	}
}

/* True if the error is an ICMP error for an earlier datagram (RFC 1122 4.1.3.3): the current one was not
 * sent, and can be retried. */
static bool is_pending_icmp_error(int error)
{
	return error == ECONNREFUSED || error == EHOSTUNREACH || error == ENETUNREACH || error == EHOSTDOWN ||
	       error == EPROTO || error == ENOPROTOOPT;
}

static bool is_full_error(int error)
{
	return error == EAGAIN || error == EWOULDBLOCK;
}

/* Sends a run of datagrams on one socket. Returns how many are settled (sent or dropped); if fewer than
 * `count`, the socket is full. */
static int send_run(struct outlet *out, struct datagram **run, int count)
{
	struct relay *relay = out->relay;
	struct outgoing sendings[SOCKET_BATCH];
	int done = 0, retries = 0;

	for (int i = 0; i < count; i++)
		outgoing_init(relay, run[i], &sendings[i]);
	while (done < count) {
		ns_t at = clock_now();
		int sent = batch_send(out->fd, sendings + done, count - done, relay->socket_options.offload);

		if (sent > 0) {
			/* They left one after another, the last one at about the end of the call. */
			ns_t each = sent > 1 ? (clock_now() - at) / sent : 0;

			for (int i = 0; i < sent; i++)
				record_sent(relay, out, run[done + i], at + i * each);
			done += sent;
			retries = 0;
		} else if (is_full_error(errno)) {
			break;
		} else if (is_pending_icmp_error(errno) && retries++ < RETRIES) {
			relay->icmp_errors++;
		} else {
			log_debug(
			    "a datagram of %u bytes cannot be sent: %s", run[done]->size, strerror(errno));
			record_unsent(relay, out, run[done++], REASON_ERROR, at);
			retries = 0;
		}
	}
	return done;
}

/* Puts unsent datagrams back at the head of the queue. */
static void requeue(struct outlet *out, struct datagram **run, int count)
{
	struct datagram_list rest = out->waiting;

	out->waiting = (struct datagram_list){0};
	for (int i = 0; i < count; i++)
		datagram_append(&out->waiting, run[i]);
	out->waiting.last->next = rest.first;
	if (rest.first)
		out->waiting.last = rest.last;
}

void outlet_send(struct outlet *out)
{
	struct datagram *run[SOCKET_BATCH];

	while (out->fd >= 0 && !out->full && out->waiting.first) {
		int count = 0, done;

		/* Unlinked first, because sending returns a datagram to the pool. */
		while (count < SOCKET_BATCH && (run[count] = datagram_pop(&out->waiting)))
			count++;
		done = send_run(out, run, count);
		if (done == count)
			continue;
		requeue(out, run + done, count - done);
		wait_until_writable(out);
	}
}

void outlet_resume(struct outlet *out)
{
	out->full = false;
	ready_change(out->relay->ready, out->fd, &out->source, READY_READ);
	outlet_send(out);
}

void outlet_drop(struct outlet *out, enum reason reason)
{
	struct datagram *datagram;

	while ((datagram = datagram_pop(&out->waiting)))
		record_unsent(out->relay, out, datagram, reason, clock_now());
}

void outlet_close(struct outlet *out)
{
	assert(!out->gathering);
	outlet_drop(out, REASON_ERROR);
	if (out->fd < 0)
		return;
	ready_forget(out->relay->ready, out->fd, &out->source);
	close(out->fd);
	out->fd = -1;
}

/* ---- Gathering ---- */

void outlet_gather(struct outlet *out, struct datagram *datagram)
{
	struct relay *relay = out->relay;

	/* The core no longer uses `next` of a datagram that it has handed over. */
	datagram_append(&out->waiting, datagram);
	if (!out->gathering)
		relay->gathering[relay->gathering_count++] = out;
	out->gathering = true;
	if (++relay->gathered >= (core_should_prefetch(relay->core) ? GATHERED_MAX_PREFETCHED : GATHERED_MAX))
		outlets_flush(relay);
}

void outlets_flush(struct relay *relay)
{
	int count = relay->gathering_count;

	relay->gathered = relay->gathering_count = 0;
	for (int i = 0; i < count; i++)
		relay->gathering[i]->gathering = false;
	for (int i = 0; i < count; i++)
		outlet_send(relay->gathering[i]);
}
