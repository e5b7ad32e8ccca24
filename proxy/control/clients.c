/* SPDX-License-Identifier: BSD-2-Clause */
#include "proxy/control/clients.h"
#include "proxy/run/clock.h"

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "proxy/relay/relay.h"

static ino_t inode_of(int fd)
{
	struct stat facts;

	return fd >= 0 && fstat(fd, &facts) == 0 ? facts.st_ino : 0;
}

static bool is_open(const struct client *client)
{
	return client->inode && inode_of(client->fd) == client->inode;
}

static struct client *client_of(struct clients *clients, struct evhttp_request *http)
{
	int fd = bufferevent_getfd(evhttp_connection_get_bufferevent(evhttp_request_get_connection(http)));
	ino_t inode = inode_of(fd);

	for (size_t i = 0; i < SETUP_CONTROL_CLIENTS; i++)
		if (clients->all[i].inode == inode && clients->all[i].fd == fd)
			return &clients->all[i];
	return NULL;
}

/* Refuses a connection before its request was read: evhttp sees it end. */
static void refuse(int fd)
{
	static const char answer[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n"
	                             "Content-Type: application/json\r\nContent-Length: 33\r\n"
	                             "Connection: close\r\n\r\n"
	                             "{\"error\":\"too many connections\"}\n";

	send(fd, answer, sizeof(answer) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	shutdown(fd, SHUT_RDWR);
}

static void add(struct clients *clients, int fd)
{
	for (size_t i = 0; i < SETUP_CONTROL_CLIENTS; i++) {
		struct client *client = &clients->all[i];

		if (is_open(client))
			continue;
		*client = (struct client){.fd = fd, .inode = inode_of(fd), .since = clock_now()};
		return;
	}
	refuse(fd);
}

/* Registers the connection that was accepted last: by now evhttp has given it its socket. */
static void register_accepted(struct clients *clients)
{
	if (!clients->accepted)
		return;
	if (bufferevent_getfd(clients->accepted) >= 0)
		add(clients, bufferevent_getfd(clients->accepted));
	bufferevent_decref(clients->accepted);
	clients->accepted = NULL;
}

void clients_sweep(struct clients *clients, ns_t now)
{
	register_accepted(clients);
	for (size_t i = 0; i < SETUP_CONTROL_CLIENTS; i++) {
		struct client *client = &clients->all[i];

		if (!is_open(client))
			client->inode = 0;
		else if (client->since != NS_NEVER && now - client->since > CONTROL_PATIENCE_SECONDS * NS_S)
			shutdown(client->fd, SHUT_RDWR);
	}
}

static void on_accepted(evutil_socket_t fd, short what, void *user)
{
	(void)fd;
	(void)what;
	clients_sweep(user, clock_now());
}

struct bufferevent *clients_accept(struct clients *clients, struct event_base *base)
{
	struct bufferevent *accepted = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);

	register_accepted(clients);
	if (accepted) {
		bufferevent_incref(accepted);
		clients->accepted = accepted;
		event_active(clients->registers, EV_TIMEOUT, 0);
	}
	return accepted;
}

void clients_await_request(struct clients *clients, struct evhttp_request *http)
{
	struct client *client = client_of(clients, http);

	if (client)
		client->since = clock_now();
}

void clients_serve(struct clients *clients, struct evhttp_request *http)
{
	struct client *client = client_of(clients, http);

	if (client)
		client->since = NS_NEVER;
}

void clients_forget(struct clients *clients, struct evhttp_request *http)
{
	struct client *client = client_of(clients, http);

	if (client)
		client->inode = 0;
}

void clients_init(struct clients *clients, struct event_base *base)
{
	*clients = (struct clients){.registers = event_new(base, -1, 0, on_accepted, clients)};
	if (!clients->registers)
		memory_out();
}

void clients_fini(struct clients *clients)
{
	if (clients->accepted)
		bufferevent_decref(clients->accepted);
	event_free(clients->registers);
}
