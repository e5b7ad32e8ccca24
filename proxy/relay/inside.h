/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inside: what the files of the relay share: relay.c (opened, reloaded, closed, asked), walk.c (the walk of
 * every datagram, the timer), carrier.c (a session's socket towards its cloud, and the wait for the cloud's
 * address), outbox.c (sending in batches, and what a full socket could not take).
 */
#ifndef PROXY_INSIDE_H
#define PROXY_INSIDE_H

#include <stdatomic.h>

#include "proxy/relay/ready.h"
#include "proxy/relay/relay.h"
#include "proxy/relay/socket.h"
#include "proxy/relay/stamps.h"
#include "proxy/relay/upstream.h"

/* A way out: a socket, and what waits for it: to be sent with others, for room in a full socket, or (`fd` -1)
 * for there to be one. A listener or a port begins with it. */
struct outlet {
	struct source source;
	struct relay *relay;
	struct address local; /* what the other side sees */
	int fd;
	bool gathering; /* it stands in the relay's list */
	bool full;      /* its becoming writable is waited for */
	bool polled;    /* a listener: not waited for, but read in every round */
	struct datagram_list waiting;
};

struct listener {
	struct outlet out;
	unsigned index;
	struct address configured, bound;
	bool everywhere;      /* bound to all addresses: each session knows which one its device speaks to */
	uint8_t empty_rounds; /* in a row, while it is polled */
	uint32_t kernel_drops;
};

/* A source port towards the cloud: one for each NAT mapping of the session. */
struct port {
	struct outlet out;
	struct transport *transport;
	struct port *older; /* kept open, so that what still comes to it is dropped without an ICMP error */
	struct port_expiry *port_expiry; /* of an old one */
	uint32_t mapping;                /* number of the NAT mapping that it stands for */
	uint8_t max;                     /* datagrams to ask for in the next read */
	uint8_t reads;                   /* so far, up to PORT_BUSY */
};

#define PORT_BUSY 8 /* reads, from which on what makes them cheaper pays */

#define PORTS_OLD_MAX 8        /* of a session; the oldest goes first */
#define PORTS_OLD (600 * NS_S) /* without a datagram, an old one is closed */
#define PORTS_USED_MAX 64      /* numbers that a session remembers, never to be taken again */

/* Of an old port: when it closes. */
struct port_expiry {
	struct port *port;
	ns_t until;
	struct port_expiry *before, *next; /* among all of the relay, the one that closes first in front */
};

/* What carries a session to its cloud, in the session's `room`. */
struct transport {
	struct port first_port; /* most have no other */
	struct session *session;
	struct port *port; /* the present one, then the older */
	struct upstream *upstream;
	struct used_ports *used; /* from the second mapping on */
	struct address cloud;
	struct address device_side; /* the local address that the device speaks to, and its interface */
	unsigned interface;
	unsigned source; /* index of its first source address */
	union {
		struct transport *waiting_next; /* in relay->waiting, while the session is unresolved */
		ns_t retry_at;                  /* else: no socket could be had; not tried again before */
	};
};

/* The port numbers that a session had last. */
struct used_ports {
	unsigned count; /* ever */
	uint16_t all[PORTS_USED_MAX];
};

/* Datagrams that are gathered before they go: with few sessions many, so that more of one go together; with
 * many, whose state comes from far, no more than were fetched together and are still near. */
#define OUTBOX_MAX 256
#define OUTBOX_MOST_OF_MANY SOCKET_BATCH

struct relay {
	struct source timer;
	unsigned index, workers;
	const struct setup *setup;
	struct core *core;
	struct recorder *recorder; /* NULL: nothing is recorded */
	struct summary *summary;
	struct feed *feed;
	struct upstreams *upstreams;
	struct upstream *upstream; /* [proxy] upstream */
	struct listener *listeners;
	struct address *configured; /* addresses of the listeners, by index */
	size_t listener_count;
	struct ready *ready; /* listeners, ports, lookups, the timer, the bell */
	struct batch *batch;
	struct socket_options socket_options;
	struct outlet *gathering[OUTBOX_MAX]; /* those with something to send, … */
	int gathering_count, gathered;        /* … and how many datagrams those are */
	struct transport *waiting;            /* for a lookup */
	struct port_expiry *expiry_first, *expiry_last;
	struct port *reading; /* the one being read; NULL once it was closed meanwhile */
	int timer_fd;
	ns_t armed;           /* the timer: for when; NS_UNKNOWN once it has gone off */
	struct source wakeup; /* called from outside */
	int wakeup_fd;
	atomic_bool paused;
	relay_rest *rest;
	void *rest_user;
	ns_t now; /* when the clock was read last */
	struct stamps stamps;
	ns_t wall_offset;
	unsigned next_source;
	uint64_t closed_drops; /* of sockets that are closed */
	uint64_t icmp_errors;
	ns_t event_second;
	unsigned event_lines, event_lines_left_out;
	unsigned polled; /* listeners that are */
	bool opened;     /* a session, by the datagram that is being taken */
	bool stopping, warned_full, warned_refused, warned_socket, warned_memory;
};

/* walk.c */
ns_t relay_wall(const struct relay *relay, ns_t at);
/* What is ready: a listener, a port, the timer. */
void loop_on_listener(struct source *source, bool readable, bool writable);
void loop_on_port(struct source *source, bool readable, bool writable);
void loop_on_timer(struct source *source, bool readable, bool writable);
/* A polled listener is waited for again. */
void loop_wait_for(struct listener *listener);
void relay_sent(struct outlet *out, struct datagram *datagram, ns_t at);
void relay_unsent(struct outlet *out, struct datagram *datagram, enum reason reason, ns_t at);

/* carrier.c */
void transport_open(struct relay *relay, struct session *session);
void transport_close(struct relay *relay, struct transport *transport);
/* A datagram for the cloud: opens the socket where the address is known by now, or another for a new mapping;
 * false where it must be dropped. */
bool transport_ready(struct transport *transport, uint32_t mapping, ns_t now);
void transport_on_resolved(void *user, struct upstream *upstream);
/* Something came to it: an old one is kept for longer. */
void transport_port_read(struct port *port);
/* Old ones that nothing came to close. */
void transports_expire_ports(struct relay *relay, ns_t now);

/* outbox.c */
void outbox_add(struct relay *relay, struct datagram *datagram, uint32_t mapping);
void outbox_flush(struct relay *relay);
/* Sends what waits, as far as there is a socket and room in it. */
void outlet_send(struct outlet *out);
/* The socket takes more again. */
void outlet_resume(struct outlet *out);
void outlet_drop(struct outlet *out, enum reason reason);
void outlet_close(struct outlet *out);

#endif
