/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inside: what the files of the relay share, from the top down:
 *
 *   relay.c        opens, reloads and closes a relay; counters
 *   worker_loop.c  waits, reads in batches; the timer
 *   arrivals.c     a datagram's session, verdict and record
 *   departures.c   carries out what the core has decided
 *   transport.c    a session's sockets towards its cloud; waiting for the cloud's address
 *   inlets.c       where devices' datagrams come in and answers leave
 *   outlet.c       a socket and its send queue; sends in batches
 *   records.c      the capture, the accounts, events
 */
#ifndef PROXY_INSIDE_H
#define PROXY_INSIDE_H

#include <stdatomic.h>

#include "proxy/relay/ready.h"
#include "proxy/relay/relay.h"
#include "proxy/relay/batch.h"
#include "proxy/relay/socket.h"
#include "proxy/relay/stamps.h"
#include "proxy/relay/upstream.h"

/* A socket and its send queue; first member of struct listener, struct port and struct answers. Datagrams are
 * queued to be sent in a batch, or while the socket is full, or while there is none (`fd` is -1). */
struct outlet {
	struct source source;
	struct relay *relay;
	struct address local; /* address that the other side sees */
	int fd;
	bool gathering;               /* is in relay->gathering */
	bool full;                    /* waiting for the socket to become writable */
	bool polled;                  /* listeners only: not in the epoll set, but read in every round */
	struct datagram_list waiting; /* the queue */
};

struct listener {
	struct outlet out;
	unsigned index;
	struct address configured, bound; /* they differ if the configured port is 0 */
	bool everywhere;     /* bound to all addresses; transport->device_side is the one a device sends to */
	bool is_transparent; /* takes datagrams for any destination, which received->to says */
	uint8_t empty_rounds; /* in a row, while polled */
	uint32_t kernel_drops;
};

/* Where devices' datagrams come in: a listener, or (`upstream = original`) one destination at it. Its index
 * is that of the core's entrance. */
struct answers;
struct inlet {
	struct listener *listener;
	struct answers *answers; /* where answers leave; NULL: by the listener */
	uint32_t sessions;       /* that came in here; counted for destinations only */
	uint32_t next;           /* in its bucket, or free */
};

#define INLET_NONE UINT32_MAX
#define RELAY_ANSWERS_BUCKETS 256

/* A source port towards the cloud; a session opens one for each NAT mapping. */
struct port {
	struct outlet out;
	struct transport *transport;
	struct port *older;              /* kept open, so that late datagrams to it cause no ICMP error */
	struct port_expiry *port_expiry; /* of an old port; NULL for the current one, or if out of memory */
	uint32_t mapping;                /* number of the NAT mapping */
	bool is_left;                    /* the session has moved to another server */
	uint8_t max;                     /* datagrams to request in the next read */
	uint8_t reads;                   /* so far, up to PORT_BUSY */
};

#define PORT_BUSY 8 /* reads after which socket_enable_offload pays off */

#define PORTS_OLD_MAX 8        /* per session; the oldest is closed first */
#define PORTS_OLD (600 * NS_S) /* an old port is closed after this long without a datagram */
#define PORTS_USED_MAX 64      /* port numbers that a session remembers so as not to reuse them */

/* When an old port closes. */
struct port_expiry {
	struct port *port;
	ns_t until;
	struct port_expiry *before, *next; /* relay-wide list in order of `until` */
};

/* A session's path to its cloud; lies in the session's `room`. */
struct transport {
	struct port first_port;     /* most sessions have no other */
	struct port *port;          /* the current one, linked to the older ones */
	struct upstream *upstream;  /* NULL: the cloud is `device_side`, the original destination */
	struct used_ports *used;    /* from the second mapping on */
	struct address device_side; /* local address that the device sends to, or its destination */
	union {
		struct transport *waiting_next; /* in relay->waiting, while the session is unresolved */
		ns_t retry_at;                  /* otherwise: no new attempt before this, after a failure */
	};
};

static inline struct session *transport_session(const struct transport *transport)
{
	return (struct session *)(void *)((uint8_t *)(uintptr_t)transport - offsetof(struct session, room));
}

/* The last port numbers of a session, a ring. */
struct used_ports {
	unsigned count; /* in total */
	uint16_t all[PORTS_USED_MAX];
};

/* Datagrams gathered before they are sent: many if there are few sessions, for long runs of one session;
 * otherwise no more than have been prefetched together and are still in the cache. */
#define GATHERED_MAX 256
#define GATHERED_MAX_PREFETCHED SOCKET_BATCH

struct relay {
	struct source timer;
	unsigned index, workers;
	const struct setup *setup;
	struct core *core;
	struct recorder *recorder; /* NULL without a capture */
	struct summary *summary;
	struct feed *feed;
	struct upstreams *upstreams;
	struct upstream *upstream; /* [proxy] upstream; NULL: original */
	struct listener *listeners;
	size_t listener_count;
	struct inlet *inlets;       /* the first are the listeners */
	struct entrance *entrances; /* the same, as the core knows them */
	uint32_t *inlet_buckets;    /* of those with a destination */
	uint32_t inlet_count;       /* used so far */
	uint32_t inlet_free;        /* list of those that can be used again */
	uint32_t inlet_last;        /* found last */
	size_t inlet_cap;
	struct answers *answers[RELAY_ANSWERS_BUCKETS]; /* by port */
	struct ready *ready;                            /* listeners, ports, lookups, timer, wakeup */
	source_call *on_port;                           /* the `call` of every port */
	struct batch *batch;
	struct socket_options socket_options;
	struct outlet *gathering[GATHERED_MAX]; /* outlets with gathered datagrams */
	int gathering_count, gathered;          /* outlets, datagrams */
	struct transport *waiting;              /* list of those that wait for a lookup */
	struct port_expiry *expiry_first, *expiry_last;
	struct port *reading; /* the port being read; becomes NULL if it is closed meanwhile */
	int timer_fd;
	ns_t armed;           /* when the timer expires; NS_UNKNOWN after it has */
	struct source wakeup; /* written by other threads */
	int wakeup_fd;
	atomic_bool paused;
	relay_dark_callback *on_dark;
	void *on_dark_user;
	relay_pause_callback *on_pause;
	void *on_pause_user;
	ns_t now; /* last reading of the clock */
	struct stamps stamps;
	ns_t wall_offset;
	uint64_t closed_drops; /* kernel drops of closed upstream sockets */
	uint64_t icmp_errors;
	ns_t event_second;                          /* the second that the next two refer to */
	unsigned event_lines, event_lines_left_out; /* on standard error */
	const struct names *names;
	unsigned moving;   /* sessions that wait for a lookup to move */
	unsigned polled;   /* number of polled listeners */
	bool opened;       /* the datagram being handled has opened a session */
	bool is_original;  /* [proxy] upstream = original */
	bool is_by_device; /* [gateway] source = device */
	bool reports_dark; /* [gateway] dark = all */
	bool checked_upstream_buffer;
	bool stopping, warned_full, warned_refused, warned_socket, warned_memory, warned_answers;
};

/* Returns the wall-clock time of `at`. */
static inline ns_t relay_wall(const struct relay *relay, ns_t at)
{
	return at + relay->wall_offset;
}

/* worker_loop.c */
/* The `call` of a listener, a port, the timer. */
void loop_on_listener(struct source *source, bool readable, bool writable);
void loop_on_port(struct source *source, bool readable, bool writable);
void loop_on_timer(struct source *source, bool readable, bool writable);

/* arrivals.c */
/* Handles one message that was read; either `listener` or `port` is NULL. */
void arrivals_handle(
    struct relay *relay, struct listener *listener, struct port *port, const struct received *received);

/* departures.c */
/* Runs the core up to `now`, and carries out all outcomes. */
void departures_advance(struct relay *relay, ns_t now);
/* Carries out all outcomes. */
void departures_handle(struct relay *relay);

/* records.c */
/* Returns a session's addresses in the capture. `cloud_side`: the upstream socket's address that the datagram
 * came to or left from. */
struct capture_path record_path(const struct session *session, const struct address *cloud_side);
/* Records the datagram that the core has judged or refused last; to be called only if there is a capture. */
void record_arrival(struct relay *relay, const struct capture_path *path, const struct verdict *verdict,
    const struct arrival *arrival);
/* Settle a datagram: one that was sent; one that could not be sent, by `out` or, if that is NULL, because its
 * way out could not be opened; one that the core had dropped. */
void record_sent(struct relay *relay, const struct outlet *out, struct datagram *datagram, ns_t at);
void record_unsent(
    struct relay *relay, const struct outlet *out, struct datagram *datagram, enum reason reason, ns_t at);
void record_dropped(struct relay *relay, struct datagram *datagram, enum reason reason, ns_t at);
/* Every event goes into the feed and the capture; the number on standard error is limited. */
void record_event(struct relay *relay, const char *text, ns_t at);

/* inlets.c */
void inlets_open(struct relay *relay);
void inlets_close(struct relay *relay);
/* Returns the index of the inlet of a datagram that came to `listener`, or INLET_NONE. */
uint32_t inlet_find(struct relay *relay, const struct listener *listener, const struct address *destination);
/* Takes a reference for a session that begins; adds the inlet if `index`, which inlet_find returned, is
 * INLET_NONE. Returns its index, or INLET_NONE if out of memory. inlet_release is to follow at the session's
 * end. */
uint32_t inlet_take(
    struct relay *relay, struct listener *listener, const struct address *destination, uint32_t index);
void inlet_release(struct relay *relay, uint32_t index);
/* Returns where answers leave; NULL if they cannot. */
struct outlet *inlet_outlet(const struct inlet *inlet, ns_t now);

/* transport.c */
void transport_open(struct relay *relay, struct session *session);
void transport_close(struct relay *relay, struct transport *transport);
/* Prepares for sending a datagram of `mapping` to the cloud: opens the socket if the address is known by now,
 * or another one if the mapping is new. Returns false if the datagram must be dropped. */
bool transport_ready(struct transport *transport, uint32_t mapping, ns_t now);
void transport_on_resolved(void *user, struct upstream *upstream);
/* To be called after session->upstream has changed. */
void transport_move(struct relay *relay, struct session *session);
/* To be called after `port` was read: restarts the expiry of an old one. */
void transport_port_read(struct port *port);
/* Closes old ports that have expired by `now`. */
void transports_expire_ports(struct relay *relay, ns_t now);

/* outlet.c */
/* Queues a datagram until the next outlets_flush; flushes by itself if enough are gathered. */
void outlet_gather(struct outlet *out, struct datagram *datagram);
/* Sends all that is gathered. */
void outlets_flush(struct relay *relay);
/* Sends queued datagrams until the socket is full. Does nothing if there is no socket. */
void outlet_send(struct outlet *out);
/* To be called when the socket has become writable. */
void outlet_resume(struct outlet *out);
/* Drops all queued datagrams. */
void outlet_drop(struct outlet *out, enum reason reason);
void outlet_close(struct outlet *out);
/* Logs if the kernel gives the socket, "a listener", less than receive_buffer; once for all of a run. */
void outlet_check_buffer(const struct outlet *out, const char *what);
/* Take a listener out of the epoll set, to read it in every round; put it back. */
void outlet_start_polling(struct outlet *out);
void outlet_stop_polling(struct outlet *out);

#endif
