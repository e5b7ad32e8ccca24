/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * socket: UDP sockets as the relay needs them, and batches of datagrams read from and written to them.
 *
 * Reads are recvmmsg batches with the kernel's receive stamp, the local address, TOS and the count of
 * datagrams that the kernel dropped; writes are sendmmsg batches. Nothing here waits.
 */
#ifndef PROXY_SOCKET_H
#define PROXY_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/error.h"
#include "base/ns.h"

#define SOCKET_BATCH 64

/* What one read gave: a datagram, or (UDP_GRO) several that came together from one sender: `segment` bytes
 * each, the last what is left. They share all that stands here. */
struct received {
	const uint8_t *bytes;
	size_t size;
	size_t segment;        /* at least 1 */
	struct address from;   /* BATCH_UNCONNECTED */
	struct address to;     /* local address that it was sent to; FAMILY_NONE where not told */
	unsigned interface;    /* index, with `to` */
	ns_t stamp;            /* CLOCK_REALTIME of the kernel's receipt; 0: none */
	uint32_t kernel_drops; /* of this socket so far */
	bool drops_told;
	uint8_t tos;
};

struct batch;

struct batch *batch_new(void);
void batch_free(struct batch *batch);

/* Reads up to `most` (at most SOCKET_BATCH) times; gives how many, 0 where there is nothing now, -1 with
 * errno on an error. */
enum batch_socket {
	BATCH_UNCONNECTED,
	BATCH_CONNECTED
}; /* senders: a connected socket has one, and need not say who */
int batch_read(struct batch *batch, int fd, enum batch_socket of, int max);
const struct received *batch_get(const struct batch *batch, int index);

/* One datagram to send. */
struct outgoing {
	const uint8_t *bytes;
	size_t size;
	const struct address *to;   /* NULL on a connected socket */
	const struct address *from; /* NULL: the kernel's choice */
	unsigned interface;
	uint8_t tos;
};

/* Whether runs of equal size go to the kernel as one (UDP_SEGMENT): what leaves is the same, for less. */
enum offload { OFFLOAD_NO, OFFLOAD_YES };

/* Sends `count` (at most SOCKET_BATCH) datagrams on one socket; gives how many went, or -1 with errno. `to`,
 * `from` are compared by pointer. */
int batch_send(int fd, const struct outgoing *sendings, int count, enum offload offload);

struct socket_options {
	uint64_t receive_buffer; /* bytes, as the kernel counts them */
	enum offload offload;    /* once busy: what comes together is read as one (UDP_GRO) */
	bool whole;              /* once busy, IPv4: never cut, until one does not fit (IP_MTU_DISCOVER) */
};

/* With SO_REUSEPORT several sockets listen on one address, and each sender is one's: the first takes the
 * address as if alone, the others join it. */
enum listen { LISTEN_ALONE, LISTEN_FIRST, LISTEN_JOINED };

/* Spreads devices over the `count` sockets that share the address of this one by a hash of source address and
 * port. A socket that another process of the same user adds to them gets nothing. Without it (the kernel
 * refuses) the kernel spreads, over those too. */
void socket_spread(int fd, enum family family, unsigned count);

/* A socket bound to the address; `*bound` says to which, where the port was 0. */
int socket_listen(const struct address *address, const struct socket_options *options, enum listen how,
    struct address *bound, struct error *error);
/* Since Linux 4.18; before, the kernel would send a run as one large datagram. */
bool socket_can_offload(void);
/* Where the kernel discovers the MTU of paths (RFC 1191), which is its default: there `whole` changes what it
 * costs, and what leaves only by its IP numbers (and, where a route's MTU is locked, by "don't fragment"). */
bool socket_discovers_mtu(void);
/* A socket connected to the cloud, from `source` where it has a family; -1 with errno. */
int socket_connect(const struct address *cloud, const struct address *source,
    const struct socket_options *options, struct address *local, struct error *error);
/* Can a socket be bound to this address of `[proxy] source`? -1 and why if not. */
int socket_check_source(
    const struct address *source, const struct socket_options *options, struct error *error);
/* What makes each datagram cheaper, and a socket that has few dearer: a listener has it from the start, one
 * towards a cloud from when it turns out to be busy. */
void socket_enable_offload(int fd, enum family family, const struct socket_options *options);
/* What the receive buffer really became (the kernel may give less). */
uint64_t socket_receive_buffer(int fd);
/* Datagrams that the kernel dropped on this socket since it was opened (SO_MEMINFO); 0 where it does not
 * tell. */
uint32_t socket_kernel_drops(int fd);

#endif
