/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pending calls are a list, newest first. Each has the close callback of its connection, so that it is
 * removed when the client goes away. Waits and streams are polled once per tick; long answers send one piece
 * per round of the event loop, while the client reads.
 */
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "proxy/control/inside.h"
#include "proxy/relay/relay.h"
#include "proxy/run/clock.h"
#include "report/dump.h"

#define STREAM_BACKLOG ((size_t)256 << 10) /* bytes; a client that reads more slowly misses events */
#define STREAM_PING_TICKS (5000 / CONTROL_TICK_MS)

enum pending_kind { PENDING_WAIT, PENDING_STREAM, PENDING_PIECES };

struct pending {
	struct pending *next; /* the next older call */
	struct control *control;
	struct evhttp_request *http;
	enum pending_kind kind;
	struct pieces pieces;
	char *rule;         /* of a wait */
	uint64_t count;     /* of a wait: how often the rule has to fire */
	ns_t until;         /* of a wait: its deadline */
	uint64_t last_sent; /* of a stream: id of the last event sent */
	unsigned ticks;     /* of a stream: since it began */
};

static void remove_pending(struct pending *pending)
{
	struct pending **link = &pending->control->pending.newest;

	while (*link != pending)
		link = &(*link)->next;
	*link = pending->next;
	pending->control->pending.count--;
	if (pending->kind == PENDING_PIECES)
		pending->pieces.free(pending->pieces.state);
	free(pending->rule);
	free(pending);
}

/* The connection is closing. If the client closed it, evhttp has detached the request, which has to be freed
 * here; otherwise evhttp frees it. */
static void on_connection_lost(struct evhttp_connection *connection, void *user)
{
	struct pending *pending = user;

	evhttp_connection_set_closecb(connection, NULL, NULL);
	if (!evhttp_request_get_connection(pending->http))
		evhttp_request_free(pending->http);
	remove_pending(pending);
}

/* Answers a wait and removes it. From then on the request belongs to evhttp again. If memory runs out,
 * nothing has happened yet: `json` and the answer's text are made before. `evicts`: the connection ends, too,
 * and does not count any more. */
static void answer_wait(struct pending *pending, int status, json_t *json, bool evicts)
{
	struct call call = call_of(pending->control, pending->http);
	struct text text = {0};

	dump_json(json, DUMP_COMPACT, &text);
	json_decref(json);
	evhttp_connection_set_closecb(evhttp_request_get_connection(call.http), NULL, NULL);
	remove_pending(pending);
	if (evicts) {
		clients_remove(&call.control->clients, call.http);
		call_header(&call, "Connection", "close");
	}
	call_send(&call, status, "application/json", text.at, text.size);
	text_free(&text);
}

/* Ends the oldest call, and its connection, to make room. A stream or a long answer is cut off: if it ended
 * properly, it would look complete. */
static void evict_oldest(struct control *control)
{
	struct evhttp_connection *connection;
	struct pending *pending = control->pending.newest;

	while (pending->next)
		pending = pending->next;
	if (pending->kind == PENDING_WAIT)
		return answer_wait(pending, 503,
		    json_pack("{s:s}", "error", "too many calls are waiting: this one has waited longest"),
		    true);
	clients_remove(&control->clients, pending->http);
	connection = evhttp_request_get_connection(pending->http);
	evhttp_connection_set_closecb(connection, NULL, NULL);
	evhttp_connection_free(connection);
	remove_pending(pending);
}

static struct pending *pending_new(struct call *call, enum pending_kind kind)
{
	struct control *control = call->control;
	struct pending *pending = memory_new(1, sizeof(*pending));

	while (control->pending.count >= PENDING_MAX)
		evict_oldest(control);
	*pending = (struct pending){
	    .control = control, .http = call->http, .kind = kind, .next = control->pending.newest};
	control->pending.newest = pending;
	control->pending.count++;
	call->answered = true;
	clients_suspend_timeout(&control->clients, call->http);
	evhttp_connection_set_closecb(evhttp_request_get_connection(call->http), on_connection_lost, pending);
	return pending;
}

void pending_wait(struct call *call, const char *rule, uint64_t count, ns_t timeout)
{
	char *rule_copy = memory_text(rule, strlen(rule));
	struct pending *pending = pending_new(call, PENDING_WAIT);

	pending->rule = rule_copy;
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

static size_t backlog_bytes(const struct pending *pending)
{
	return evbuffer_get_length(bufferevent_get_output(
	    evhttp_connection_get_bufferevent(evhttp_request_get_connection(pending->http))));
}

struct piece_job {
	struct pending *pending;
	struct evbuffer *out;
	bool more;
};

static void piece_task(void *user)
{
	struct piece_job *piece = user;

	piece->more = piece->pending->pieces.next(piece->pending->pieces.state, piece->out);
}

/* Sends the next piece. Returns false, with `pending` freed, if it was the last. */
static bool send_piece(struct pending *pending)
{
	struct piece_job piece = {.pending = pending, .out = evbuffer_new()};
	struct call call = call_of(pending->control, pending->http);
	struct evhttp_connection *connection = evhttp_request_get_connection(call.http);
	bool has_piece = piece.out && running_try(pending->control->running, piece_task, &piece);

	if (has_piece && evbuffer_get_length(piece.out))
		evhttp_send_reply_chunk(pending->http, piece.out);
	if (piece.out)
		evbuffer_free(piece.out);
	if (has_piece && piece.more)
		return true;
	evhttp_connection_set_closecb(connection, NULL, NULL);
	remove_pending(pending);
	if (!has_piece) { /* out of memory: cut off, so that the answer does not look complete */
		evhttp_connection_free(connection);
		return false;
	}
	clients_restart_timeout(&call.control->clients, call.http);
	evhttp_send_reply_end(call.http);
	return false;
}

/* Sends one piece of each long answer, then lets the event loop handle other events. */
static void on_pieces(evutil_socket_t fd, short what, void *user)
{
	struct control *control = user;
	bool again = false;

	(void)fd;
	(void)what;
	for (struct pending *pending = control->pending.newest, *next; pending; pending = next) {
		next = pending->next;
		if (pending->kind == PENDING_PIECES && backlog_bytes(pending) < STREAM_BACKLOG)
			again |= send_piece(pending);
	}
	if (again)
		event_active(control->pending.pieces, EV_TIMEOUT, 0);
}

/* Without memory the wait goes on, until a later tick. */
static void check_wait(void *user)
{
	struct pending *pending = user;
	const struct running *running = pending->control->running;
	const struct config *config = running->setup->config;
	const struct core_group *cores = workers_cores(running->workers);
	const struct rule *rule = config_rule(config, pending->rule);
	ns_t now = clock_now();
	uint64_t fired;

	if (!rule)
		return answer_wait(pending, 404, json_pack("{s:s}", "error", "the rule is gone"), false);
	fired = core_group_rule(cores, rule->index).fired;
	if (fired >= pending->count)
		answer_wait(pending, 200,
		    json_pack("{s:s, s:I}", "rule", pending->rule, "fired", (json_int_t)fired), false);
	else if (now >= pending->until)
		answer_wait(pending, 408,
		    json_pack("{s:s, s:I, s:I}", "error", "the time is over", "fired", (json_int_t)fired,
		        "count", (json_int_t)pending->count),
		    false);
}

/* Adds an event, after a comment if some between `last` and it were missed. Returns false if out of memory.
 */
static bool add_event(struct evbuffer *out, const struct feed_event *event, uint64_t last)
{
	const char *text = event->text;
	bool whole = event->id == last + 1 || evbuffer_add_printf(out, ": %llu events were missed\n\n",
	                                          (unsigned long long)(event->id - last - 1)) >= 0;

	whole = whole && evbuffer_add_printf(out, "id: %llu\n", (unsigned long long)event->id) >= 0;
	do {
		size_t size = strcspn(text, "\r\n");

		whole = whole && evbuffer_add_printf(out, "data: %.*s\n", (int)size, text) >= 0;
		text += size + (text[size] != '\0');
	} while (*text);
	return whole && evbuffer_add(out, "\n", 1) == 0;
}

/* Without memory nothing is sent: the events are kept for a later tick. */
static void send_events(struct pending *pending)
{
	const struct feed *feed = pending->control->running->feed;
	const struct feed_event *event;
	struct evbuffer *out = backlog_bytes(pending) > STREAM_BACKLOG ? NULL : evbuffer_new();
	uint64_t last = pending->last_sent;
	bool whole = true;

	if (!out)
		return;
	while (whole && (event = feed_after(feed, last)) && evbuffer_get_length(out) < STREAM_BACKLOG) {
		whole = add_event(out, event, last);
		last = event->id;
	}
	if (++pending->ticks % STREAM_PING_TICKS == 0) /* without writes, a lost client is not noticed */
		whole = whole && evbuffer_add_printf(out, ": here\n\n") >= 0;
	if (whole && evbuffer_get_length(out)) {
		evhttp_send_reply_chunk(pending->http, out);
		pending->last_sent = last;
	}
	evbuffer_free(out);
}

void pending_poll(struct control *control)
{
	if (!control->pending.newest)
		return;
	workers_pause(control->running->workers);
	for (struct pending *pending = control->pending.newest, *next; pending; pending = next) {
		next = pending->next;
		if (pending->kind == PENDING_WAIT)
			running_try(control->running, check_wait, pending);
		else if (pending->kind == PENDING_STREAM)
			send_events(pending);
	}
	workers_resume(control->running->workers);
	event_active(control->pending.pieces, EV_TIMEOUT, 0); /* a client may have read its backlog */
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
		remove_pending(pending);
	}
	event_free(control->pending.pieces);
}
