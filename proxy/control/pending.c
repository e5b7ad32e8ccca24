/* SPDX-License-Identifier: BSD-2-Clause */
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "proxy/control/inside.h"
#include "proxy/relay/relay.h"
#include "proxy/run/clock.h"

#define STREAM_BACKLOG ((size_t)256 << 10) /* bytes; a client that reads no faster misses events */
#define STREAM_PING_TICKS (5000 / CONTROL_TICK_MS)

enum pending_kind { PENDING_WAIT, PENDING_STREAM, PENDING_PIECES };

struct pending {
	struct pending *next; /* the call that came before it */
	struct control *control;
	struct evhttp_request *http;
	enum pending_kind what;
	struct pieces pieces;
	char *rule;
	uint64_t count;
	ns_t until;
	uint64_t last_sent; /* id of an event */
	unsigned ticks;
};

static void forget(struct pending *pending)
{
	struct pending **link = &pending->control->pending.newest;

	while (*link != pending)
		link = &(*link)->next;
	*link = pending->next;
	pending->control->pending.count--;
	if (pending->what == PENDING_PIECES)
		pending->pieces.free(pending->pieces.state);
	free(pending->rule);
	free(pending);
}

/* The connection goes. Where the other side ended it, evhttp has left the request to us; else it frees it
 * itself. */
static void on_connection_lost(struct evhttp_connection *connection, void *user)
{
	struct pending *pending = user;

	evhttp_connection_set_closecb(connection, NULL, NULL);
	if (!evhttp_request_get_connection(pending->http))
		evhttp_request_free(pending->http);
	forget(pending);
}

/* The one that waits longest makes room, for a connection too. A stream or a long answer breaks off: ended in
 * order it would look whole. */
static void evict(struct control *control)
{
	struct evhttp_connection *connection;
	struct pending *pending = control->pending.newest;
	struct call call;

	while (pending->next)
		pending = pending->next;
	call = call_of(control, pending->http);
	connection = evhttp_request_get_connection(call.http);
	clients_forget(&control->clients, call.http);
	evhttp_connection_set_closecb(connection, NULL, NULL);
	if (pending->what == PENDING_WAIT) {
		evhttp_add_header(evhttp_request_get_output_headers(call.http), "Connection", "close");
		call_refuse(&call, 503, "too many calls wait: this one has waited longest");
	} else {
		evhttp_connection_free(connection);
	}
	forget(pending);
}

static struct pending *pending_new(struct call *call, enum pending_kind what)
{
	struct control *control = call->control;
	struct pending *pending = memory_new(1, sizeof(*pending));

	while (control->pending.count >= PENDING_MAX)
		evict(control);
	*pending = (struct pending){
	    .control = control, .http = call->http, .what = what, .next = control->pending.newest};
	control->pending.newest = pending;
	control->pending.count++;
	call->answered = true;
	clients_serve(&control->clients, call->http);
	evhttp_connection_set_closecb(evhttp_request_get_connection(call->http), on_connection_lost, pending);
	return pending;
}

void pending_wait(struct call *call, const char *rule, uint64_t count, ns_t timeout)
{
	char *own = memory_text(rule, strlen(rule));
	struct pending *pending = pending_new(call, PENDING_WAIT);

	pending->rule = own;
	pending->count = count;
	pending->until = ns_add(clock_now(), timeout);
}

static void begin_reply(struct call *call, const char *type)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(call->http);

	evhttp_add_header(headers, "Content-Type", type);
	evhttp_add_header(headers, "Cache-Control", "no-store");
	evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
	evhttp_send_reply_start(call->http, 200, "OK");
}

void pending_stream(struct call *call, uint64_t id)
{
	struct pending *pending = pending_new(call, PENDING_STREAM);

	pending->last_sent = id;
	begin_reply(call, "text/event-stream");
}

void pending_pieces(struct call *call, const char *type, struct pieces pieces)
{
	struct pending *pending = pending_new(call, PENDING_PIECES);

	pending->pieces = pieces;
	begin_reply(call, type);
	event_active(call->control->pending.pieces, EV_TIMEOUT, 0);
}

static size_t backlog(const struct pending *pending)
{
	return evbuffer_get_length(bufferevent_get_output(
	    evhttp_connection_get_bufferevent(evhttp_request_get_connection(pending->http))));
}

struct piece_of {
	struct pending *pending;
	struct evbuffer *out;
	bool more;
};

static void piece_task(void *user)
{
	struct piece_of *piece = user;

	piece->more = piece->pending->pieces.next(piece->pending->pieces.state, piece->out);
}

/* Sends the next piece; false if it was the last. */
static bool send_piece(struct pending *pending)
{
	struct piece_of piece = {.pending = pending, .out = evbuffer_new()};
	struct call call = call_of(pending->control, pending->http);
	struct evhttp_connection *connection = evhttp_request_get_connection(call.http);
	bool is_made = piece.out && running_try(pending->control->running, piece_task, &piece);

	if (is_made && evbuffer_get_length(piece.out))
		evhttp_send_reply_chunk(pending->http, piece.out);
	if (piece.out)
		evbuffer_free(piece.out);
	if (is_made && piece.more)
		return true;
	evhttp_connection_set_closecb(connection, NULL, NULL);
	forget(pending);
	if (!is_made) { /* out of memory: ended in order it would look whole */
		evhttp_connection_free(connection);
		return false;
	}
	clients_await_request(&call.control->clients, call.http);
	evhttp_send_reply_end(call.http);
	return false;
}

/* One piece of each answer; other events get their turn in between. */
static void on_pieces(evutil_socket_t fd, short what, void *user)
{
	struct control *control = user;
	bool again = false;

	(void)fd;
	(void)what;
	for (struct pending *pending = control->pending.newest, *next; pending; pending = next) {
		next = pending->next;
		if (pending->what == PENDING_PIECES && backlog(pending) < STREAM_BACKLOG)
			again |= send_piece(pending);
	}
	if (again)
		event_active(control->pending.pieces, EV_TIMEOUT, 0);
}

/* Answered: from here on the call is evhttp's again. */
static void end_wait(struct pending *pending, int status, json_t *json)
{
	struct call call = call_of(pending->control, pending->http);

	evhttp_connection_set_closecb(evhttp_request_get_connection(call.http), NULL, NULL);
	forget(pending);
	call_answer(&call, status, json);
}

static void check_wait(struct pending *pending, ns_t now)
{
	const struct running *running = pending->control->running;
	const struct config *config = running->setup->config;
	const struct core_group *cores = workers_cores(running->workers);
	const struct rule *rule = config_rule(config, pending->rule);
	uint64_t fired;

	if (!rule)
		return end_wait(pending, 404, json_pack("{s:s}", "error", "the rule is gone"));
	fired = core_group_rule(cores, rule->index).fired;
	if (fired >= pending->count)
		end_wait(
		    pending, 200, json_pack("{s:s, s:I}", "rule", pending->rule, "fired", (json_int_t)fired));
	else if (now >= pending->until)
		end_wait(pending, 408,
		    json_pack("{s:s, s:I, s:I}", "error", "the time is over", "fired", (json_int_t)fired,
		        "count", (json_int_t)pending->count));
}

static void add_event(struct evbuffer *out, const struct feed_event *event)
{
	const char *text = event->text;

	evbuffer_add_printf(out, "id: %llu\n", (unsigned long long)event->id);
	do {
		size_t size = strcspn(text, "\r\n");

		evbuffer_add_printf(out, "data: %.*s\n", (int)size, text);
		text += size + (text[size] != '\0');
	} while (*text);
	evbuffer_add(out, "\n", 1);
}

static void feed_stream(struct pending *pending)
{
	const struct feed *feed = pending->control->running->feed;
	const struct feed_event *event;
	struct evbuffer *out = backlog(pending) > STREAM_BACKLOG ? NULL : evbuffer_new();

	if (!out)
		return;
	while ((event = feed_after(feed, pending->last_sent)) && evbuffer_get_length(out) < STREAM_BACKLOG) {
		if (event->id > pending->last_sent + 1)
			evbuffer_add_printf(out, ": %llu events were missed\n\n",
			    (unsigned long long)(event->id - pending->last_sent - 1));
		add_event(out, event);
		pending->last_sent = event->id;
	}
	if (++pending->ticks % STREAM_PING_TICKS == 0)
		evbuffer_add_printf(out, ": here\n\n"); /* so that one that is gone is noticed */
	if (evbuffer_get_length(out))
		evhttp_send_reply_chunk(pending->http, out);
	evbuffer_free(out);
}

void pending_poll(struct control *control, ns_t now)
{
	if (!control->pending.newest)
		return;
	workers_pause(control->running->workers);
	for (struct pending *pending = control->pending.newest, *next; pending; pending = next) {
		next = pending->next;
		if (pending->what == PENDING_WAIT)
			check_wait(pending, now);
		else if (pending->what == PENDING_STREAM)
			feed_stream(pending);
	}
	workers_resume(control->running->workers);
	event_active(control->pending.pieces, EV_TIMEOUT, 0); /* a reader may have made room */
}

void pending_init(struct control *control)
{
	control->pending = (struct pending_calls){
	    .pieces = event_new(control->base, -1, 0, on_pieces, control)};
	if (!control->pending.pieces)
		memory_out();
}

void pending_fini(struct control *control)
{
	while (control->pending.newest) {
		struct pending *pending = control->pending.newest;

		evhttp_connection_set_closecb(evhttp_request_get_connection(pending->http), NULL, NULL);
		forget(pending);
	}
	event_free(control->pending.pieces);
}
