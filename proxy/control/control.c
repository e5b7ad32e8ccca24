/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each request that evhttp has read is served at once if the time budget of this tick allows it and no other
 * request waits; otherwise it is appended to a queue, which on_tick serves with the budgets of later ticks.
 */
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

#define HEADERS_MAX 16384       /* bytes */
#define BODY_READ_MAX (1 << 20) /* bytes; evhttp itself refuses a longer body */
#define STOP_TICKS 2
#define BUDGET (4 * NS_MS) /* time per tick for requests; the rest is for relaying */

struct control_listener {
	struct control_listener *next;
	struct control *control;
	struct evhttp *http;
	struct address bound; /* family FAMILY_NONE: a Unix socket */
	char *path;           /* of the Unix socket, unlinked at the end; else NULL */
	dev_t device;
	ino_t inode; /* with `device`: identifies the socket file that was bound */
};

/* A request that waits because the budget is spent. */
struct queued {
	struct queued *next;
	struct control_listener *control_listener;
	struct evhttp_request *http;
};

/* ---- Serving requests ---- */

static bool is_page(struct evhttp_request *http)
{
	const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(http));

	return evhttp_request_get_command(http) == EVHTTP_REQ_GET && path && strcmp(path, "/") == 0;
}

struct serving {
	const struct control_listener *control_listener;
	struct call call;
};

static void serve_call(void *user)
{
	struct serving *serving = user;
	struct call *call = &serving->call;
	const char *refusal = guard_check_origin(&serving->control_listener->bound, call->http);

	if (refusal)
		call_refuse(call, 400, "%s", refusal);
	else if (guard_check_token(call->control->token, call->http))
		dispatch_call(call);
	else if (is_page(call->http))
		routes_page(call, 401); /* it holds no data, and prompts for the token */
	else
		call_refuse(call, 401, "the token is missing or wrong: Authorization: Bearer …");
}

static void serve_request(struct control_listener *control_listener, struct evhttp_request *http)
{
	struct control *control = control_listener->control;
	struct serving serving = {control_listener, call_of(control, http)};
	ns_t start = clock_now();

	if (!running_try(control->running, serve_call, &serving))
		call_out_of_memory(&serving.call);
	control->spent += clock_now() - start;
}

static void queue_remove(struct control *control, struct queued *queued)
{
	struct queued **link = &control->first, *previous = NULL;

	while (*link != queued) {
		previous = *link;
		link = &(*link)->next;
	}
	*link = queued->next;
	if (control->last == queued)
		control->last = previous;
	free(queued);
}

static void on_queued_close(struct evhttp_connection *connection, void *user)
{
	struct queued *queued = user;

	evhttp_connection_set_closecb(connection, NULL, NULL);
	if (!evhttp_request_get_connection(queued->http))
		evhttp_request_free(queued->http);
	queue_remove(queued->control_listener->control, queued);
}

static void queue_append(struct control_listener *control_listener, struct evhttp_request *http)
{
	struct control *control = control_listener->control;
	struct queued *queued = calloc(1, sizeof(*queued));
	struct call call = call_of(control, http);

	if (!queued)
		return call_out_of_memory(&call);
	*queued = (struct queued){.control_listener = control_listener, .http = http};
	*(control->last ? &control->last->next : &control->first) = queued;
	control->last = queued;
	clients_suspend_timeout(&control->clients, http);
	evhttp_connection_set_closecb(evhttp_request_get_connection(http), on_queued_close, queued);
}

/* Serves queued requests until this tick's budget is spent. */
static void queue_serve(struct control *control)
{
	control->spent = control->spent > BUDGET ? control->spent - BUDGET : 0;
	while (control->first && control->spent < BUDGET) {
		struct control_listener *control_listener = control->first->control_listener;
		struct evhttp_request *http = control->first->http;

		evhttp_connection_set_closecb(evhttp_request_get_connection(http), NULL, NULL);
		queue_remove(control, control->first);
		serve_request(control_listener, http);
	}
}

static void on_request(struct evhttp_request *http, void *user)
{
	struct control_listener *control_listener = user;
	struct control *control = control_listener->control;

	if (control->first || control->spent >= BUDGET)
		queue_append(control_listener, http);
	else
		serve_request(control_listener, http);
}

static void on_tick(evutil_socket_t fd, short what, void *user)
{
	struct control *control = user;

	(void)fd;
	(void)what;
	queue_serve(control);
	pending_poll(control);
	if (control->stop_in && !--control->stop_in)
		return running_stop(control->running);
	if (++control->ticked % (1000 / CONTROL_TICK_MS) == 0)
		clients_sweep(&control->clients, clock_now());
}

/* ---- Opening and closing ---- */

/* Removes a socket file that an earlier run has left behind. Never removes a socket in use, or another file.
 */
static void unlink_stale(const struct sockaddr_un *address)
{
	struct stat st;
	int fd;

	if (lstat(address->sun_path, &st) || !S_ISSOCK(st.st_mode))
		return;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) && errno == ECONNREFUSED)
		unlink(address->sun_path);
	close(fd);
}

/* Removes the socket file if it is still the one that this listener created. */
static void unlink_bound(const struct control_listener *control_listener)
{
	struct stat st;

	if (lstat(control_listener->path, &st) == 0 && st.st_dev == control_listener->device &&
	    st.st_ino == control_listener->inode)
		unlink(control_listener->path);
}

static struct evconnlistener *bind_to(
    struct control_listener *control_listener, const struct endpoint *endpoint, unsigned flags)
{
	struct sockaddr_storage storage;
	socklen_t size = endpoint_to_socket(endpoint, &storage);

	return evconnlistener_new_bind(control_listener->control->base, NULL, NULL,
	    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | flags, -1, (struct sockaddr *)&storage,
	    (int)size);
}

static struct evconnlistener *listen_unix(
    struct control_listener *control_listener, const struct endpoint *endpoint)
{
	struct evconnlistener *listener;
	struct sockaddr_storage storage;
	struct stat st;
	mode_t old_mask;

	endpoint_to_socket(endpoint, &storage);
	unlink_stale((const struct sockaddr_un *)(const void *)&storage);
	/* It must have its mode from the start. */
	old_mask = umask(0777 & ~control_listener->control->running->setup->control.mode);
	listener = bind_to(control_listener, endpoint, 0);
	umask(old_mask);
	if (!listener)
		return NULL;
	control_listener->path = memory_text(endpoint->path, strlen(endpoint->path));
	if (lstat(endpoint->path, &st) == 0) {
		control_listener->device = st.st_dev;
		control_listener->inode = st.st_ino;
	}
	return listener;
}

static struct evconnlistener *listen_address(
    struct control_listener *control_listener, const struct endpoint *endpoint)
{
	struct evconnlistener *listener = bind_to(control_listener, endpoint, LEV_OPT_REUSEABLE);
	struct sockaddr_storage storage;
	socklen_t size = sizeof(storage);

	if (!listener)
		return NULL;
	getsockname(evconnlistener_get_fd(listener), (struct sockaddr *)&storage, &size);
	address_from_socket((struct sockaddr *)&storage, &control_listener->bound);
	return listener;
}

static struct bufferevent *new_connection(struct event_base *base, void *user)
{
	struct control_listener *control_listener = user;

	return clients_accept(&control_listener->control->clients, base);
}

static int listening_open(struct control *control, const char *text, struct error *error)
{
	struct control_listener *control_listener = memory_new(1, sizeof(*control_listener));
	struct evconnlistener *listener;
	struct endpoint endpoint;
	char bound[ADDRESS_TEXT_SIZE];

	*control_listener = (struct control_listener){.control = control, .next = control->listeners};
	control->listeners = control_listener;
	if (endpoint_read(text, &endpoint, error))
		return -1;
	listener = endpoint.is_unix ? listen_unix(control_listener, &endpoint)
	                            : listen_address(control_listener, &endpoint);
	if (!listener)
		return error_set(
		    error, "[control] listen: `%s` cannot be listened on: %s", text, strerror(errno));
	control_listener->http = evhttp_new(control->base);
	if (!control_listener->http || !evhttp_bind_listener(control_listener->http, listener)) {
		evconnlistener_free(listener);
		return error_set(error, "[control] listen: `%s` cannot be served", text);
	}
	evhttp_set_bevcb(control_listener->http, new_connection, control_listener);
	evhttp_set_gencb(control_listener->http, on_request, control_listener);
	evhttp_set_allowed_methods(
	    control_listener->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_PATCH | EVHTTP_REQ_PUT |
	                                EVHTTP_REQ_DELETE | EVHTTP_REQ_HEAD | EVHTTP_REQ_OPTIONS);
	evhttp_set_max_headers_size(control_listener->http, HEADERS_MAX);
	evhttp_set_max_body_size(control_listener->http, BODY_READ_MAX);
	evhttp_set_timeout(control_listener->http, 2 * CONTROL_REQUEST_TIMEOUT_SECONDS);
	if (control_listener->path)
		log_notice("control listen=unix:%s", control_listener->path);
	else
		log_notice("control listen=%s", address_text(&control_listener->bound, bound, sizeof(bound)));
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
	control->ticks = event_new(base, -1, EV_PERSIST, on_tick, control);
	if (!control->ticks)
		memory_out();
	if (settings->listen.count) /* else an idle run would wake up for nothing */
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

static void reload_token(void *user)
{
	struct control *control = user;
	const char *path = control->running->setup->control.token;
	struct error error;

	if (!path || read_token(path, control->token, &error) == 0)
		return;
	log_error("%s; the token stays as it was", error.text);
}

void control_reload(struct control *control)
{
	if (!running_try(control->running, reload_token, control))
		log_error("out of memory: the token of the API stays as it was");
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
		queue_remove(control, control->first);
	}
	pending_fini(control);
	event_free(control->ticks);
	while (control->listeners) {
		struct control_listener *control_listener = control->listeners;

		control->listeners = control_listener->next;
		if (control_listener->http)
			evhttp_free(control_listener->http);
		if (control_listener->path)
			unlink_bound(control_listener);
		free(control_listener->path);
		free(control_listener);
	}
	clients_fini(&control->clients);
	free(control);
}
