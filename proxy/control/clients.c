/* SPDX-License-Identifier: BSD-2-Clause */
#include "proxy/control/clients.h"
#include "proxy/run/clock.h"

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "proxy/relay/relay.h"

static ino_t socket_inode(int fd)
{
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 ? st.st_ino : 0;
}

static bool client_is_open(const struct client *client)
{
	return client->inode && socket_inode(client->fd) == client->inode;
}

static struct client *find_client(struct clients *clients, struct evhttp_request *http)
{
	int fd = bufferevent_getfd(evhttp_connection_get_bufferevent(evhttp_request_get_connection(http)));
	ino_t inode = socket_inode(fd);

	for (size_t i = 0; i < SETUP_CONTROL_CLIENTS; i++)
		if (clients->all[i].inode == inode && clients->all[i].fd == fd)
			return &clients->all[i];
	return NULL;
}

/* Refuses a connection whose request has not been read yet. evhttp sees only that it was shut down. */
static void refuse_connection(int fd)
{
	static const char answer[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n"
	                             "Content-Type: application/json\r\nContent-Length: 33\r\n"
	                             "Connection: close\r\n\r\n"
	                             "{\"error\":\"too many connections\"}\n";

	send(fd, answer, sizeof(answer) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	shutdown(fd, SHUT_RDWR);
}

static void add_client(struct clients *clients, int fd)
{
	for (size_t i = 0; i < SETUP_CONTROL_CLIENTS; i++) {
		struct client *client = &clients->all[i];

		if (client_is_open(client))
			continue;
		*client = (struct client){.fd = fd, .inode = socket_inode(fd), .since = clock_now()};
		return;
	}
	refuse_connection(fd);
}

/* Registers the connection that was accepted last; evhttp has assigned its socket by now. */
static void register_accepted(struct clients *clients)
{
	if (!clients->accepted)
		return;
	if (bufferevent_getfd(clients->accepted) >= 0)
		add_client(clients, bufferevent_getfd(clients->accepted));
	bufferevent_decref(clients->accepted);
	clients->accepted = NULL;
}

void clients_sweep(struct clients *clients, ns_t now)
{
	register_accepted(clients);
	for (size_t i = 0; i < SETUP_CONTROL_CLIENTS; i++) {
		struct client *client = &clients->all[i];

		if (!client_is_open(client))
			client->inode = 0;
		else if (client->since != NS_NEVER &&
		         now - client->since > CONTROL_REQUEST_TIMEOUT_SECONDS * NS_S)
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

void clients_restart_timeout(struct clients *clients, struct evhttp_request *http)
{
	struct client *client = find_client(clients, http);

	if (client)
		client->since = clock_now();
}

void clients_suspend_timeout(struct clients *clients, struct evhttp_request *http)
{
	struct client *client = find_client(clients, http);

	if (client)
		client->since = NS_NEVER;
}

void clients_remove(struct clients *clients, struct evhttp_request *http)
{
	struct client *client = find_client(clients, http);

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
