/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clients: the connections of the API: at most SETUP_CONTROL_CLIENTS, and none that keeps us waiting.
 *
 * evhttp neither limits its connections nor says when one ends. So each is registered by its socket and that
 * socket's inode: if the descriptor has another inode, the connection is gone. A connection that has not sent
 * its request within CONTROL_PATIENCE_SECONDS is shut down.
 */
#ifndef PROXY_CONTROL_CLIENTS_H
#define PROXY_CONTROL_CLIENTS_H

#include <event2/http.h>
#include <sys/types.h>

#include "base/units.h"
#include "proxy/run/setup.h"

#define CONTROL_PATIENCE_SECONDS 10

struct bufferevent;
struct event;
struct event_base;

struct client {
	int fd;
	ino_t inode; /* 0: this place is free */
	ns_t since;  /* its request is awaited since then; NS_NEVER while a request is served */
};

struct clients {
	struct client all[SETUP_CONTROL_CLIENTS];
	struct bufferevent *accepted; /* the newest, without a socket yet; NULL: none */
	struct event *registers;
};

void clients_init(struct clients *clients, struct event_base *base);
void clients_fini(struct clients *clients);
/* Returns the buffers of a connection that evhttp accepts; NULL if memory is out. evhttp asks for them just
 * before it gives them their socket. */
struct bufferevent *clients_accept(struct clients *clients, struct event_base *base);
/* Frees the places of connections that ended, and shuts down those that kept us waiting for too long. */
void clients_sweep(struct clients *clients, ns_t now);

/* A request of this connection is served, for however long. */
void clients_serve(struct clients *clients, struct evhttp_request *http);
/* The answer left: its next request is awaited. */
void clients_await_request(struct clients *clients, struct evhttp_request *http);
/* Frees its place at once: the connection is about to be closed. */
void clients_forget(struct clients *clients, struct evhttp_request *http);

#endif
