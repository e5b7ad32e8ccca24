#include "proxy/control/control.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/memory.h"
#include "proxy/control/call.h"
#include "proxy/control/guard.h"
#include "proxy/run/log.h"
#include "proxy/relay/relay.h"
#include "proxy/control/routes.h"

#define HEADERS_MAX 16384
#define BODY_READ_MAX (1 << 20)            /* beyond it evhttp answers by itself */
#define STREAM_BACKLOG ((size_t)256 << 10) /* one that reads no faster misses events */
#define STOP_TICKS 2
#define BUDGET (4 * NS_MS) /* of each tick that may go into requests: the rest is the relays' */
#define STREAM_PING_TICKS (5000 / CONTROL_TICK_MS)

/* A connection. evhttp does not tell when one ends: it is known by its socket's inode. */
struct client {
	int fd;
	ino_t inode; /* 0: free */
	ns_t since;  /* a request is awaited since then; NS_NEVER: one is served */
};

struct endpoint {
	struct endpoint *next;
	struct control *control;
	struct evhttp *http;
	struct address bound; /* family FAMILY_NONE: a Unix socket */
	char *path;           /* of it, unlinked at the end */
	dev_t device;
	ino_t inode;
};

enum kept_for { KEPT_WAIT, KEPT_STREAM, KEPT_PIECES };

/* A call that waits for a rule, a stream of events, or an answer that is sent in pieces. */
struct kept {
	struct kept *next; /* the one that came before it */
	struct control *control;
	struct evhttp_request *http;
	enum kept_for what;
	struct pieces pieces;
	char *rule;
	uint64_t count;
	ns_t until;
	uint64_t told; /* id of the event that was sent last */
	unsigned ticks;
};

/* A request whose turn has not come: too much was spent on others. */
struct queued {
	struct queued *next;
	struct endpoint *endpoint;
	struct evhttp_request *http;
};

struct control {
	struct running *running;
	struct event_base *base;
	struct queued *first, *last;
	ns_t spent; /* on requests, less what the ticks since have allowed */
	struct endpoint *endpoints;
	char token[GUARD_TOKEN_ROOM]; /* "": none */
	struct client clients[SETUP_CONTROL_CLIENTS];
	struct bufferevent *fresh; /* just accepted, its socket not known yet; NULL: none */
	struct event *sweep, *ticks, *pieces;
	unsigned ticked, stop_in; /* ticks; 0: not asked to stop */
	struct kept *kept;
	size_t kept_count;
};

static struct call call_of(struct control *control, struct evhttp_request *http)
{
	return (struct call){.control = control, .running = control->running, .http = http, .name = ""};
}

/* ---- Clients ---- */

static ino_t inode_of(int fd)
{
	struct stat facts;

	return fd >= 0 && fstat(fd, &facts) == 0 ? facts.st_ino : 0;
}

static bool lives(const struct client *client)
{
	return client->inode && inode_of(client->fd) == client->inode;
}

static struct client *client_of(struct control *control, struct evhttp_request *http)
{
	int fd = bufferevent_getfd(evhttp_connection_get_bufferevent(evhttp_request_get_connection(http)));
	ino_t inode = inode_of(fd);

	for (size_t i = 0; i < SETUP_CONTROL_CLIENTS; i++)
		if (control->clients[i].inode == inode && control->clients[i].fd == fd)
			return &control->clients[i];
	return NULL;
}

/* One too many is refused before it has asked: evhttp sees its connection end. */
static void client_refuse(int fd)
{
	static const char answer[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n"
	                             "Content-Type: application/json\r\nContent-Length: 33\r\n"
	                             "Connection: close\r\n\r\n"
	                             "{\"error\":\"too many connections\"}\n";

	send(fd, answer, sizeof(answer) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	shutdown(fd, SHUT_RDWR);
}

static void client_add(struct control *control, int fd)
{
	for (size_t i = 0; i < SETUP_CONTROL_CLIENTS; i++) {
		struct client *client = &control->clients[i];

		if (lives(client))
			continue;
		*client = (struct client){.fd = fd, .inode = inode_of(fd), .since = relay_now()};
		return;
	}
	client_refuse(fd);
}

/* The one that was accepted last has its socket by now. */
static void client_meet(struct control *control)
{
	if (!control->fresh)
		return;
	if (bufferevent_getfd(control->fresh) >= 0)
		client_add(control, bufferevent_getfd(control->fresh));
	bufferevent_decref(control->fresh);
	control->fresh = NULL;
}

static void sweep(evutil_socket_t fd, short what, void *user)
{
	struct control *control = user;
	ns_t now = relay_now();

	(void)fd;
	(void)what;
	client_meet(control);
	for (size_t i = 0; i < SETUP_CONTROL_CLIENTS; i++) {
		struct client *client = &control->clients[i];

		if (!lives(client))
			client->inode = 0;
		else if (client->since != NS_NEVER && now - client->since > CONTROL_PATIENCE_SECONDS * NS_S)
			shutdown(client->fd, SHUT_RDWR);
	}
}

/* evhttp asks for a connection's buffers just before it gives them their socket. */
static struct bufferevent *client_fresh(struct event_base *base, void *user)
{
	struct endpoint *endpoint = user;
	struct control *control = endpoint->control;
	struct bufferevent *fresh = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);

	client_meet(control);
	if (fresh) {
		bufferevent_incref(fresh);
		control->fresh = fresh;
		event_active(control->sweep, EV_TIMEOUT, 0);
	}
	return fresh;
}

void control_served(struct call *call)
{
	struct client *client = client_of(call->control, call->http);

	if (client)
		client->since = relay_now();
}

/* ---- Calls that are kept ---- */

static void kept_forget(struct kept *kept)
{
	struct kept **link = &kept->control->kept;

	while (*link != kept)
		link = &(*link)->next;
	*link = kept->next;
	kept->control->kept_count--;
	if (kept->what == KEPT_PIECES)
		kept->pieces.free(kept->pieces.state);
	free(kept->rule);
	free(kept);
}

/* The connection goes. Where the other side ended it, evhttp has left the request to us; else it frees it
 * itself. */
static void kept_lost(struct evhttp_connection *connection, void *user)
{
	struct kept *kept = user;

	evhttp_connection_set_closecb(connection, NULL, NULL);
	if (!evhttp_request_get_connection(kept->http))
		evhttp_request_free(kept->http);
	kept_forget(kept);
}

/* The one that waits longest makes room, for a connection too. A stream or a long answer breaks off: ended in
 * order it would look whole. */
static void kept_evict(struct control *control)
{
	struct evhttp_connection *connection;
	struct kept *kept = control->kept;
	struct client *client;
	struct call call;

	while (kept->next)
		kept = kept->next;
	call = call_of(control, kept->http);
	connection = evhttp_request_get_connection(call.http);
	client = client_of(control, call.http);
	if (client)
		client->inode = 0;
	evhttp_connection_set_closecb(connection, NULL, NULL);
	if (kept->what == KEPT_WAIT) {
		evhttp_add_header(evhttp_request_get_output_headers(call.http), "Connection", "close");
		call_refuse(&call, 503, "too many calls wait: this one has waited longest");
	} else {
		evhttp_connection_free(connection);
	}
	kept_forget(kept);
}

static struct kept *kept_new(struct call *call, enum kept_for what)
{
	struct control *control = call->control;
	struct kept *kept = memory_new(1, sizeof(*kept));
	struct client *client = client_of(control, call->http);

	while (control->kept_count >= CONTROL_KEPT)
		kept_evict(control);
	*kept = (struct kept){.control = control, .http = call->http, .what = what, .next = control->kept};
	control->kept = kept;
	control->kept_count++;
	call->answered = true;
	if (client)
		client->since = NS_NEVER;
	evhttp_connection_set_closecb(evhttp_request_get_connection(call->http), kept_lost, kept);
	return kept;
}

void control_wait(struct call *call, const char *rule, uint64_t count, ns_t timeout)
{
	char *own = memory_text(rule, strlen(rule));
	struct kept *kept = kept_new(call, KEPT_WAIT);

	kept->rule = own;
	kept->count = count;
	kept->until = ns_add(relay_now(), timeout);
}

static void begin_reply(struct call *call, const char *type)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(call->http);

	evhttp_add_header(headers, "Content-Type", type);
	evhttp_add_header(headers, "Cache-Control", "no-store");
	evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
	evhttp_send_reply_start(call->http, 200, "OK");
}

void control_stream(struct call *call, uint64_t id)
{
	struct kept *kept = kept_new(call, KEPT_STREAM);

	kept->told = id;
	begin_reply(call, "text/event-stream");
}

void control_pieces(struct call *call, const char *type, struct pieces pieces)
{
	struct kept *kept = kept_new(call, KEPT_PIECES);

	kept->pieces = pieces;
	begin_reply(call, type);
	event_active(call->control->pieces, EV_TIMEOUT, 0);
}

static size_t backlog(const struct kept *kept)
{
	return evbuffer_get_length(bufferevent_get_output(
	    evhttp_connection_get_bufferevent(evhttp_request_get_connection(kept->http))));
}

struct piece_of {
	struct kept *kept;
	struct evbuffer *out;
	bool more;
};

static void piece_task(void *user)
{
	struct piece_of *piece = user;

	piece->more = piece->kept->pieces.next(piece->kept->pieces.state, piece->out);
}

/* Sends the next piece; false if it was the last. */
static bool send_piece(struct kept *kept)
{
	struct piece_of piece = {.kept = kept, .out = evbuffer_new()};
	struct call call = call_of(kept->control, kept->http);
	struct evhttp_connection *connection = evhttp_request_get_connection(call.http);
	bool is_made = piece.out && running_try(kept->control->running, piece_task, &piece);

	if (is_made && evbuffer_get_length(piece.out))
		evhttp_send_reply_chunk(kept->http, piece.out);
	if (piece.out)
		evbuffer_free(piece.out);
	if (is_made && piece.more)
		return true;
	evhttp_connection_set_closecb(connection, NULL, NULL);
	kept_forget(kept);
	if (!is_made) { /* out of memory: ended in order it would look whole */
		evhttp_connection_free(connection);
		return false;
	}
	control_served(&call);
	evhttp_send_reply_end(call.http);
	return false;
}

/* One piece of each answer; other events get their turn in between. */
static void serve_pieces(evutil_socket_t fd, short what, void *user)
{
	struct control *control = user;
	bool again = false;

	(void)fd;
	(void)what;
	for (struct kept *kept = control->kept, *next; kept; kept = next) {
		next = kept->next;
		if (kept->what == KEPT_PIECES && backlog(kept) < STREAM_BACKLOG)
			again |= send_piece(kept);
	}
	if (again)
		event_active(control->pieces, EV_TIMEOUT, 0);
}

/* Answered: from here on the call is evhttp's again. */
static void wait_over(struct kept *kept, int status, json_t *json)
{
	struct call call = call_of(kept->control, kept->http);

	evhttp_connection_set_closecb(evhttp_request_get_connection(call.http), NULL, NULL);
	kept_forget(kept);
	call_answer(&call, status, json);
}

static void wait_look(struct kept *kept, ns_t now)
{
	const struct running *running = kept->control->running;
	const struct config *config = running->setup->config;
	const struct cores *cores = crew_cores(running->crew);
	const struct rule *rule = config_rule(config, kept->rule);
	uint64_t fired;

	if (!rule)
		return wait_over(kept, 404, json_pack("{s:s}", "error", "the rule is gone"));
	fired = cores_rule(cores, rule->index).fired;
	if (fired >= kept->count)
		wait_over(kept, 200, json_pack("{s:s, s:I}", "rule", kept->rule, "fired", (json_int_t)fired));
	else if (now >= kept->until)
		wait_over(kept, 408,
		    json_pack("{s:s, s:I, s:I}", "error", "the time is over", "fired", (json_int_t)fired,
		        "count", (json_int_t)kept->count));
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

static void stream_look(struct kept *kept)
{
	const struct feed *feed = kept->control->running->feed;
	const struct feed_event *event;
	struct evbuffer *out = backlog(kept) > STREAM_BACKLOG ? NULL : evbuffer_new();

	if (!out)
		return;
	while ((event = feed_after(feed, kept->told)) && evbuffer_get_length(out) < STREAM_BACKLOG) {
		if (event->id > kept->told + 1)
			evbuffer_add_printf(out, ": %llu events were missed\n\n",
			    (unsigned long long)(event->id - kept->told - 1));
		add_event(out, event);
		kept->told = event->id;
	}
	if (++kept->ticks % STREAM_PING_TICKS == 0)
		evbuffer_add_printf(out, ": here\n\n"); /* so that one that is gone is noticed */
	if (evbuffer_get_length(out))
		evhttp_send_reply_chunk(kept->http, out);
	evbuffer_free(out);
}

/* ---- Turns ---- */

static bool is_page(struct evhttp_request *http)
{
	const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(http));

	return evhttp_request_get_command(http) == EVHTTP_REQ_GET && path && strcmp(path, "/") == 0;
}

static void dispatch_task(void *user)
{
	call_dispatch(user);
}

/* A handler halts the workers where it looks at what is theirs. */
static void dispatch(struct call *call)
{
	if (running_try(call->running, dispatch_task, call))
		return;
	log_error("a request was refused: out of memory");
	call_give_up(call);
}

static void serve_one(struct endpoint *endpoint, struct evhttp_request *http)
{
	struct control *control = endpoint->control;
	struct call call = call_of(control, http);
	const char *why = guard_foreign(&endpoint->bound, http);
	ns_t began = relay_now();

	if (why)
		call_refuse(&call, 400, "%s", why);
	else if (!guard_knows(control->token, http) && is_page(http))
		routes_page(&call, 401); /* it holds nothing, and asks for the token */
	else if (!guard_knows(control->token, http))
		call_refuse(&call, 401, "the token is missing or wrong: Authorization: Bearer …");
	else
		dispatch(&call);
	control->spent += relay_now() - began;
}

static void queue_forget(struct control *control, struct queued *queued)
{
	struct queued **link = &control->first, *before = NULL;

	while (*link != queued) {
		before = *link;
		link = &(*link)->next;
	}
	*link = queued->next;
	if (control->last == queued)
		control->last = before;
	free(queued);
}

static void queue_lost(struct evhttp_connection *connection, void *user)
{
	struct queued *queued = user;

	evhttp_connection_set_closecb(connection, NULL, NULL);
	if (!evhttp_request_get_connection(queued->http))
		evhttp_request_free(queued->http);
	queue_forget(queued->endpoint->control, queued);
}

static void queue_put(struct endpoint *endpoint, struct evhttp_request *http)
{
	struct control *control = endpoint->control;
	struct queued *queued = calloc(1, sizeof(*queued));
	struct client *client = client_of(control, http);
	struct call call = call_of(control, http);

	if (!queued)
		return call_give_up(&call);
	*queued = (struct queued){.endpoint = endpoint, .http = http};
	*(control->last ? &control->last->next : &control->first) = queued;
	control->last = queued;
	if (client)
		client->since = NS_NEVER;
	evhttp_connection_set_closecb(evhttp_request_get_connection(http), queue_lost, queued);
}

/* Those whose turn it is, as far as this tick's share of time goes. */
static void queue_serve(struct control *control)
{
	control->spent = control->spent > BUDGET ? control->spent - BUDGET : 0;
	while (control->first && control->spent < BUDGET) {
		struct endpoint *endpoint = control->first->endpoint;
		struct evhttp_request *http = control->first->http;

		evhttp_connection_set_closecb(evhttp_request_get_connection(http), NULL, NULL);
		queue_forget(control, control->first);
		serve_one(endpoint, http);
	}
}

static void asked(struct evhttp_request *http, void *user)
{
	struct endpoint *endpoint = user;
	struct control *control = endpoint->control;

	if (control->first || control->spent >= BUDGET)
		queue_put(endpoint, http);
	else
		serve_one(endpoint, http);
}

static void look_after_kept(struct control *control, ns_t now)
{
	crew_halt(control->running->crew);
	for (struct kept *kept = control->kept, *next; kept; kept = next) {
		next = kept->next;
		if (kept->what == KEPT_WAIT)
			wait_look(kept, now);
		else if (kept->what == KEPT_STREAM)
			stream_look(kept);
	}
	crew_go(control->running->crew);
}

static void tick(evutil_socket_t fd, short what, void *user)
{
	struct control *control = user;
	ns_t now = relay_now();

	queue_serve(control);
	if (control->kept) {
		look_after_kept(control, now);
		event_active(control->pieces, EV_TIMEOUT, 0); /* a reader may have made room */
	}
	if (control->stop_in && !--control->stop_in)
		return running_stop(control->running);
	if (++control->ticked % (1000 / CONTROL_TICK_MS) == 0)
		sweep(fd, what, control);
}

/* ---- Opening and closing ---- */

/* A socket that nobody listens on is left from before. Nothing else is ever removed. */
static void unlink_stale(const struct sockaddr_un *address)
{
	struct stat facts;
	int fd;

	if (lstat(address->sun_path, &facts) || !S_ISSOCK(facts.st_mode))
		return;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) && errno == ECONNREFUSED)
		unlink(address->sun_path);
	close(fd);
}

/* At the end, if it is still the one that was made. */
static void unlink_own(const struct endpoint *endpoint)
{
	struct stat facts;

	if (lstat(endpoint->path, &facts) == 0 && facts.st_dev == endpoint->device &&
	    facts.st_ino == endpoint->inode)
		unlink(endpoint->path);
}

static struct evconnlistener *listen_unix(struct endpoint *endpoint, const char *path, struct error *error)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct evconnlistener *listener;
	struct stat facts;
	mode_t before;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	unlink_stale(&address);
	before = umask(0177); /* mode 0600 from the first moment on */
	listener = evconnlistener_new_bind(endpoint->control->base, NULL, NULL,
	    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, -1, (struct sockaddr *)&address, sizeof(address));
	umask(before);
	if (!listener) {
		error_set(
		    error, "[control] listen: `unix:%s` cannot be listened on: %s", path, strerror(errno));
		return NULL;
	}
	endpoint->path = memory_text(path, strlen(path));
	if (lstat(path, &facts) == 0) {
		endpoint->device = facts.st_dev;
		endpoint->inode = facts.st_ino;
	}
	return listener;
}

static struct evconnlistener *listen_address(struct endpoint *endpoint, const char *text, struct error *error)
{
	struct sockaddr_storage storage;
	struct evconnlistener *listener;
	struct address address;
	socklen_t size;

	if (address_read(text, &address, error))
		return NULL;
	size = address_to_socket(&address, &storage);
	listener = evconnlistener_new_bind(endpoint->control->base, NULL, NULL,
	    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE, -1,
	    (struct sockaddr *)&storage, (int)size);
	if (!listener) {
		error_set(error, "[control] listen: `%s` cannot be listened on: %s", text, strerror(errno));
		return NULL;
	}
	size = sizeof(storage);
	getsockname(evconnlistener_get_fd(listener), (struct sockaddr *)&storage, &size);
	address_from_socket((struct sockaddr *)&storage, &endpoint->bound);
	return listener;
}

static int endpoint_open(struct control *control, const char *text, struct error *error)
{
	struct endpoint *endpoint = memory_new(1, sizeof(*endpoint));
	struct evconnlistener *listener;
	char bound[ADDRESS_TEXT_ROOM];

	*endpoint = (struct endpoint){.control = control, .next = control->endpoints};
	control->endpoints = endpoint;
	listener = strncmp(text, "unix:", 5) == 0 ? listen_unix(endpoint, text + 5, error)
	                                          : listen_address(endpoint, text, error);
	if (!listener)
		return -1;
	endpoint->http = evhttp_new(control->base);
	if (!endpoint->http || !evhttp_bind_listener(endpoint->http, listener)) {
		evconnlistener_free(listener);
		return error_set(error, "[control] listen: `%s` cannot be served", text);
	}
	evhttp_set_bevcb(endpoint->http, client_fresh, endpoint);
	evhttp_set_gencb(endpoint->http, asked, endpoint);
	evhttp_set_allowed_methods(endpoint->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_PATCH |
	                                               EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE | EVHTTP_REQ_HEAD |
	                                               EVHTTP_REQ_OPTIONS);
	evhttp_set_max_headers_size(endpoint->http, HEADERS_MAX);
	evhttp_set_max_body_size(endpoint->http, BODY_READ_MAX);
	evhttp_set_timeout(endpoint->http, 2 * CONTROL_PATIENCE_SECONDS);
	if (endpoint->path)
		log_error("control listen=unix:%s", endpoint->path);
	else
		log_error("control listen=%s", address_text(&endpoint->bound, bound, sizeof(bound)));
	return 0;
}

struct control *control_new(struct running *running, struct event_base *base, struct error *error)
{
	const struct control_settings *settings = &running->setup->control;
	static const struct timeval every = {.tv_usec = CONTROL_TICK_MS * 1000};
	struct control *control = memory_new(1, sizeof(*control));

	control->running = running;
	control->base = base;
	control->sweep = event_new(base, -1, 0, sweep, control);
	control->ticks = event_new(base, -1, EV_PERSIST, tick, control);
	control->pieces = event_new(base, -1, 0, serve_pieces, control);
	if (!control->sweep || !control->ticks || !control->pieces)
		memory_out();
	event_add(control->ticks, &every);
	if (settings->token && guard_token(settings->token, control->token, error)) {
		control_free(control);
		return NULL;
	}
	for (size_t i = 0; i < settings->listen.count; i++)
		if (endpoint_open(control, settings->listen.all[i], error)) {
			control_free(control);
			return NULL;
		}
	return control;
}

void control_reload(struct control *control)
{
	const char *path = control->running->setup->control.token;
	struct error error;

	if (!path || guard_token(path, control->token, &error) == 0)
		return;
	log_error("%s; the token stays as it was", error.text);
}

void control_stop(struct control *control)
{
	control->stop_in = STOP_TICKS;
}

void control_free(struct control *control)
{
	if (!control)
		return;
	while (control->first) {
		evhttp_connection_set_closecb(
		    evhttp_request_get_connection(control->first->http), NULL, NULL);
		queue_forget(control, control->first);
	}
	while (control->kept) {
		struct kept *kept = control->kept;

		evhttp_connection_set_closecb(evhttp_request_get_connection(kept->http), NULL, NULL);
		kept_forget(kept);
	}
	event_free(control->ticks);
	while (control->endpoints) {
		struct endpoint *endpoint = control->endpoints;

		control->endpoints = endpoint->next;
		if (endpoint->http)
			evhttp_free(endpoint->http);
		if (endpoint->path)
			unlink_own(endpoint);
		free(endpoint->path);
		free(endpoint);
	}
	if (control->fresh)
		bufferevent_decref(control->fresh);
	event_free(control->sweep);
	event_free(control->pieces);
	free(control);
}
