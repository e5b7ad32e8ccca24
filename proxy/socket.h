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

/* What was read of one datagram. */
struct received {
	const uint8_t *bytes;
	size_t size;
	struct address from;   /* family FAMILY_NONE on a connected socket */
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

/* Reads up to SOCKET_BATCH datagrams; gives how many, 0 where there is none now, -1 with errno on an error.
 */
int batch_read(struct batch *batch, int fd);
const struct received *batch_get(const struct batch *batch, int index);

/* One datagram to send; `to` of FAMILY_NONE on a connected socket; `from` of FAMILY_NONE: the kernel's
 * choice. */
struct sending {
	const uint8_t *bytes;
	size_t size;
	struct address to, from;
	unsigned interface;
	uint8_t tos;
};

/* Sends `count` (at most SOCKET_BATCH) datagrams on one socket; gives how many went, or -1 with errno. */
int batch_send(int fd, const struct sending *sendings, int count);

/* A socket bound to the address; `*bound` says to which, where the port was 0. */
int socket_listen(
    const struct address *address, uint64_t receive_buffer, struct address *bound, struct error *error);
/* A socket connected to the cloud, from `source` where it has a family. */
int socket_connect(const struct address *cloud, const struct address *source, uint64_t receive_buffer,
    struct address *local, struct error *error);
/* What the receive buffer really became (the kernel may give less). */
uint64_t socket_receive_buffer(int fd);
/* Datagrams that the kernel dropped on this socket since it was opened (SO_MEMINFO); 0 where it does not
 * tell. */
uint32_t socket_kernel_drops(int fd);

#endif
