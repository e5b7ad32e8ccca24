/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clients: the connections of the API. Limits their number to SETUP_CONTROL_CLIENTS and shuts down those that
 * have not sent a request within CONTROL_REQUEST_TIMEOUT_SECONDS.
 *
 * evhttp neither limits its connections nor reports when one ends. So each connection is registered by its
 * descriptor and the inode of its socket: if the descriptor has another inode by now, the connection is gone.
 */
#ifndef PROXY_CONTROL_CLIENTS_H
#define PROXY_CONTROL_CLIENTS_H

#include <event2/http.h>
#include <sys/types.h>

#include "base/units.h"
#include "proxy/run/setup.h"

#define CONTROL_REQUEST_TIMEOUT_SECONDS 10

struct bufferevent;
struct event;
struct event_base;

struct client {
	int fd;
	ino_t inode; /* 0: this entry is free */
	ns_t since;  /* when it began to wait for a request; NS_NEVER while a request is served */
};

struct clients {
	struct client all[SETUP_CONTROL_CLIENTS];
	struct bufferevent *accepted; /* the newest, not yet registered; NULL: none */
	struct event *registers;
};

void clients_init(struct clients *clients, struct event_base *base);
void clients_fini(struct clients *clients);
/* Returns the bufferevent of a connection that evhttp is accepting, or NULL if out of memory. evhttp assigns
 * the socket after this returns, so the connection is registered later. */
struct bufferevent *clients_accept(struct clients *clients, struct event_base *base);
/* Frees the entries of connections that ended, and shuts down those whose request is overdue. */
void clients_sweep(struct clients *clients, ns_t now);

/* Suspends the time limit of the connection while its request is served. */
void clients_suspend_timeout(struct clients *clients, struct evhttp_request *http);
/* Restarts the time limit: the answer was sent, the next request may come. */
void clients_restart_timeout(struct clients *clients, struct evhttp_request *http);
/* Frees the entry of a connection that is about to be closed. */
void clients_remove(struct clients *clients, struct evhttp_request *http);

#endif
