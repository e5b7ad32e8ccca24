/*
 * inside: what the files of the relay share: relay.c (listeners, reading, the walk, the timer), carrier.c (a
 * session's socket towards its cloud, and the wait for the cloud's address), outbox.c (sending in batches,
 * and what a full socket could not take).
 */
#ifndef PROXY_INSIDE_H
#define PROXY_INSIDE_H

#include "proxy/relay.h"
#include "proxy/socket.h"
#include "proxy/upstream.h"

/* A way out: a socket, and what it could not take yet. `fd` -1: there is none yet, all waits. */
struct outlet {
	struct relay *relay;
	struct address local; /* what the other side sees */
	int fd;
	struct event *writable; /* pending while `backlog` is not empty */
	struct datagram_list backlog;
};

struct listener {
	struct relay *relay;
	unsigned index;
	struct address configured, bound;
	struct outlet out;
	struct event *readable;
	uint32_t kernel_drops;
};

/* A source port towards the cloud: one for each NAT mapping of the session. */
struct port {
	struct carrier *carrier;
	struct port *older; /* kept open, so that what still comes to it is dropped without an ICMP error */
	struct outlet out;
	struct event *readable;
	uint32_t mapping; /* number of the NAT mapping that it stands for */
	uint32_t kernel_drops;
};

#define PORTS_OLD_MAX 8       /* of a session; the oldest goes first */
#define PORTS_OLD_SECONDS 600 /* without a datagram, an old one is closed */
#define PORTS_USED_MAX 64     /* numbers that are remembered, never to be taken again */

/* What carries a session to its cloud. */
struct carrier {
	struct relay *relay;
	struct session *session;
	struct upstream *upstream;
	struct address cloud;
	struct address device_side; /* the local address that the device speaks to, and its interface */
	unsigned interface;
	struct port *port; /* the present one, then the older */
	unsigned source;   /* index of its first source address */
	uint16_t used[PORTS_USED_MAX];
	unsigned used_count;
	ns_t retry_at; /* no socket could be had: not tried again before */
	struct carrier *waiting_next;
	bool waiting; /* for a lookup: in relay->waiting */
};

/* One of the sends that are gathered before they go, in order, of any socket. */
struct gathered {
	struct datagram *datagram;
	struct outlet *out;
};

struct relay {
	struct event_base *base;
	const struct setup *setup;
	struct core *core;
	struct capture *capture;
	struct summary *summary;
	struct feed *feed;
	struct upstreams *upstreams;
	struct upstream *upstream; /* [proxy] upstream */
	struct listener *listeners;
	size_t listener_count;
	struct batch *batch;
	struct gathered gathered[SOCKET_BATCH];
	int gathered_count;
	struct carrier *waiting; /* for a lookup */
	struct port *reading;    /* the one being read; NULL once it was closed meanwhile */
	int timer_fd;
	struct event *timer;
	ns_t armed;
	ns_t began, wall_offset, wall_started;
	unsigned next_source;
	uint64_t closed_drops; /* of sockets that are closed */
	uint64_t network_news;
	ns_t told_second;
	unsigned told_count, untold;
	bool stopping, told_full, told_refused, told_socket, told_buffer;
};

/* relay.c */
void relay_sent(struct outlet *out, struct datagram *datagram, ns_t at);
void relay_unsent(struct outlet *out, struct datagram *datagram, enum reason reason, ns_t at);
/* Reads what is there, in turn with others: from devices (`listener`) or from a cloud (`port`). */
void relay_read(struct relay *relay, int fd, struct listener *listener, struct port *port);
void relay_check_buffer(struct relay *relay, int fd);

/* carrier.c */
void carrier_open(struct relay *relay, struct session *session);
void carrier_close(struct relay *relay, struct carrier *carrier);
/* A datagram for the cloud: opens the socket where the address is known by now, or another for a new mapping;
 * false where it must be dropped. */
bool carrier_ready(struct carrier *carrier, uint32_t mapping, ns_t now);
void carrier_news(void *user, struct upstream *upstream);

/* outbox.c */
void outbox_add(struct relay *relay, struct datagram *datagram, uint32_t mapping);
void outbox_flush(struct relay *relay);
/* The socket is there now, or takes more again. */
void outlet_resume(struct outlet *out);
void outlet_drop(struct outlet *out, enum reason reason);
void outlet_close(struct outlet *out);

#endif
