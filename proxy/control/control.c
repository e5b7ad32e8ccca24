/* SPDX-License-Identifier: BSD-2-Clause */
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
#include "proxy/control/dispatch.h"
#include "proxy/control/inside.h"
#include "proxy/control/routes.h"
#include "proxy/relay/relay.h"
#include "proxy/run/endpoint.h"
#include "proxy/run/log.h"
#include "proxy/run/clock.h"

#define HEADERS_MAX 16384
#define BODY_READ_MAX (1 << 20) /* beyond it evhttp answers by itself */
#define STOP_TICKS 2
#define BUDGET (4 * NS_MS) /* of each tick that may go into requests: the rest is the relays' */

struct listening {
	struct listening *next;
	struct control *control;
	struct evhttp *http;
	struct address bound; /* family FAMILY_NONE: a Unix socket */
	char *path;           /* of it, unlinked at the end */
	dev_t device;
	ino_t inode;
};

/* A request whose turn has not come: too much was spent on others. */
struct queued {
	struct queued *next;
	struct listening *listening;
	struct evhttp_request *http;
};

/* ---- Turns ---- */

static bool is_page(struct evhttp_request *http)
{
	const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(http));

	return evhttp_request_get_command(http) == EVHTTP_REQ_GET && path && strcmp(path, "/") == 0;
}

static void dispatch_task(void *user)
{
	dispatch_call(user);
}

/* A handler halts the workers where it looks at what is theirs. */
static void dispatch(struct call *call)
{
	if (running_try(call->running, dispatch_task, call))
		return;
	log_error("a request was refused: out of memory");
	call_give_up(call);
}

static void serve_one(struct listening *listening, struct evhttp_request *http)
{
	struct control *control = listening->control;
	struct call call = call_of(control, http);
	const char *why = guard_check_origin(&listening->bound, http);
	ns_t began = clock_now();

	if (why)
		call_refuse(&call, 400, "%s", why);
	else if (!guard_check_token(control->token, http) && is_page(http))
		routes_page(&call, 401); /* it holds nothing, and asks for the token */
	else if (!guard_check_token(control->token, http))
		call_refuse(&call, 401, "the token is missing or wrong: Authorization: Bearer …");
	else
		dispatch(&call);
	control->spent += clock_now() - began;
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
	queue_forget(queued->listening->control, queued);
}

static void queue_put(struct listening *listening, struct evhttp_request *http)
{
	struct control *control = listening->control;
	struct queued *queued = calloc(1, sizeof(*queued));
	struct call call = call_of(control, http);

	if (!queued)
		return call_give_up(&call);
	*queued = (struct queued){.listening = listening, .http = http};
	*(control->last ? &control->last->next : &control->first) = queued;
	control->last = queued;
	clients_serve(&control->clients, http);
	evhttp_connection_set_closecb(evhttp_request_get_connection(http), queue_lost, queued);
}

/* Those whose turn it is, as far as this tick's share of time goes. */
static void queue_serve(struct control *control)
{
	control->spent = control->spent > BUDGET ? control->spent - BUDGET : 0;
	while (control->first && control->spent < BUDGET) {
		struct listening *listening = control->first->listening;
		struct evhttp_request *http = control->first->http;

		evhttp_connection_set_closecb(evhttp_request_get_connection(http), NULL, NULL);
		queue_forget(control, control->first);
		serve_one(listening, http);
	}
}

static void on_request(struct evhttp_request *http, void *user)
{
	struct listening *listening = user;
	struct control *control = listening->control;

	if (control->first || control->spent >= BUDGET)
		queue_put(listening, http);
	else
		serve_one(listening, http);
}

static void tick(evutil_socket_t fd, short what, void *user)
{
	struct control *control = user;
	ns_t now = clock_now();

	(void)fd;
	(void)what;
	queue_serve(control);
	pending_poll(control, now);
	if (control->stop_in && !--control->stop_in)
		return running_stop(control->running);
	if (++control->ticked % (1000 / CONTROL_TICK_MS) == 0)
		clients_sweep(&control->clients, now);
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
static void unlink_own(const struct listening *listening)
{
	struct stat facts;

	if (lstat(listening->path, &facts) == 0 && facts.st_dev == listening->device &&
	    facts.st_ino == listening->inode)
		unlink(listening->path);
}

static struct evconnlistener *bind_to(
    struct listening *listening, const struct endpoint *where, unsigned more_flags)
{
	struct sockaddr_storage storage;
	socklen_t size = endpoint_to_socket(where, &storage);

	return evconnlistener_new_bind(listening->control->base, NULL, NULL,
	    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | more_flags, -1, (struct sockaddr *)&storage,
	    (int)size);
}

static struct evconnlistener *listen_unix(struct listening *listening, const struct endpoint *where)
{
	struct evconnlistener *listener;
	struct sockaddr_storage storage;
	struct stat facts;
	mode_t before;

	endpoint_to_socket(where, &storage);
	unlink_stale((const struct sockaddr_un *)(const void *)&storage);
	before = umask(0177); /* mode 0600 from the first moment on */
	listener = bind_to(listening, where, 0);
	umask(before);
	if (!listener)
		return NULL;
	listening->path = memory_text(where->path, strlen(where->path));
	if (lstat(where->path, &facts) == 0) {
		listening->device = facts.st_dev;
		listening->inode = facts.st_ino;
	}
	return listener;
}

static struct evconnlistener *listen_address(struct listening *listening, const struct endpoint *where)
{
	struct evconnlistener *listener = bind_to(listening, where, LEV_OPT_REUSEABLE);
	struct sockaddr_storage storage;
	socklen_t size = sizeof(storage);

	if (!listener)
		return NULL;
	getsockname(evconnlistener_get_fd(listener), (struct sockaddr *)&storage, &size);
	address_from_socket((struct sockaddr *)&storage, &listening->bound);
	return listener;
}

static struct bufferevent *on_accept(struct event_base *base, void *user)
{
	struct listening *listening = user;

	return clients_accept(&listening->control->clients, base);
}

static int listening_open(struct control *control, const char *text, struct error *error)
{
	struct listening *listening = memory_new(1, sizeof(*listening));
	struct evconnlistener *listener;
	struct endpoint where;
	char bound[ADDRESS_TEXT_SIZE];

	*listening = (struct listening){.control = control, .next = control->listenings};
	control->listenings = listening;
	if (endpoint_read(text, &where, error))
		return -1;
	listener = where.is_unix ? listen_unix(listening, &where) : listen_address(listening, &where);
	if (!listener)
		return error_set(
		    error, "[control] listen: `%s` cannot be listened on: %s", text, strerror(errno));
	listening->http = evhttp_new(control->base);
	if (!listening->http || !evhttp_bind_listener(listening->http, listener)) {
		evconnlistener_free(listener);
		return error_set(error, "[control] listen: `%s` cannot be served", text);
	}
	evhttp_set_bevcb(listening->http, on_accept, listening);
	evhttp_set_gencb(listening->http, on_request, listening);
	evhttp_set_allowed_methods(listening->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_PATCH |
	                                                EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE | EVHTTP_REQ_HEAD |
	                                                EVHTTP_REQ_OPTIONS);
	evhttp_set_max_headers_size(listening->http, HEADERS_MAX);
	evhttp_set_max_body_size(listening->http, BODY_READ_MAX);
	evhttp_set_timeout(listening->http, 2 * CONTROL_PATIENCE_SECONDS);
	if (listening->path)
		log_notice("control listen=unix:%s", listening->path);
	else
		log_notice("control listen=%s", address_text(&listening->bound, bound, sizeof(bound)));
	return 0;
}

static int read_token(const char *path, char *token, struct error *error)
{
	struct error why;

	return endpoint_read_token(path, token, &why) ? error_set(error, "[control] token: %s", why.text) : 0;
}

struct control *control_new(struct running *running, struct event_base *base, struct error *error)
{
	const struct control_settings *settings = &running->setup->control;
	static const struct timeval every = {.tv_usec = CONTROL_TICK_MS * 1000};
	struct control *control = memory_new(1, sizeof(*control));

	control->running = running;
	control->base = base;
	control->ticks = event_new(base, -1, EV_PERSIST, tick, control);
	if (!control->ticks)
		memory_out();
	event_add(control->ticks, &every);
	clients_init(&control->clients, base);
	pending_init(control);
	if (settings->token && read_token(settings->token, control->token, error)) {
		control_free(control);
		return NULL;
	}
	for (size_t i = 0; i < settings->listen.count; i++)
		if (listening_open(control, settings->listen.all[i], error)) {
			control_free(control);
			return NULL;
		}
	return control;
}

void control_reload(struct control *control)
{
	const char *path = control->running->setup->control.token;
	struct error error;

	if (!path || read_token(path, control->token, &error) == 0)
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
	pending_fini(control);
	event_free(control->ticks);
	while (control->listenings) {
		struct listening *listening = control->listenings;

		control->listenings = listening->next;
		if (listening->http)
			evhttp_free(listening->http);
		if (listening->path)
			unlink_own(listening);
		free(listening->path);
		free(listening);
	}
	clients_fini(&control->clients);
	free(control);
}
