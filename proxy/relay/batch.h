/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * batch: reads and sends many datagrams by one system call.
 *
 * Reads are recvmmsg(2) batches with the kernel's receive timestamp, the address that a datagram was sent to,
 * TOS and the number of datagrams that the kernel dropped; writes are sendmmsg(2) batches. Nothing here
 * blocks.
 */
#ifndef PROXY_BATCH_H
#define PROXY_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/ns.h"

#define SOCKET_BATCH 64

/* One message read: a datagram, or (UDP_GRO) several from one sender, of `segment` bytes each except for a
 * shorter last one. The other fields apply to all of them. */
struct received {
	const uint8_t *bytes;
	size_t size;
	size_t segment;        /* at least 1 */
	struct address from;   /* with BATCH_UNCONNECTED only */
	struct address to;     /* address that it was sent to, of a transparent listener with its port;
	                          FAMILY_NONE: unknown */
	ns_t stamp;            /* when the kernel received it, CLOCK_REALTIME; 0: unknown */
	uint32_t kernel_drops; /* on this socket so far, if has_kernel_drops */
	bool has_kernel_drops;
	uint8_t tos;
};

struct batch;

struct batch *batch_new(void);
void batch_free(struct batch *batch);

/* A connected socket has one sender, whose address need not be read. */
enum batch_socket { BATCH_UNCONNECTED, BATCH_CONNECTED };
/* Reads up to `max` messages (at most SOCKET_BATCH). Returns how many, 0 if there are none now, or -1 with
 * errno set. */
int batch_read(struct batch *batch, int fd, enum batch_socket of, int max);
/* Returns message `index` of the last batch_read; valid until the next. */
const struct received *batch_get(const struct batch *batch, int index);

/* One datagram to send. */
struct outgoing {
	const uint8_t *bytes;
	size_t size;
	const struct address *to;   /* NULL on a connected socket */
	const struct address *from; /* NULL: the kernel's choice */
	uint8_t tos;
};

/* Whether a run of datagrams of equal size goes to the kernel as one message (UDP_SEGMENT): the same
 * datagrams leave, for less CPU. */
enum offload { OFFLOAD_NO, OFFLOAD_YES };

/* Sends `count` (at most SOCKET_BATCH) datagrams on one socket. Returns how many were sent, or -1 with errno
 * set. `to` and `from` are compared by pointer to find runs. */
int batch_send(int fd, const struct outgoing *sendings, int count, enum offload offload);

#endif
