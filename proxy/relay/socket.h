/* SPDX-License-Identifier: BSD-2-Clause */
/* socket: opens the relay's UDP sockets, with the options that batch.h relies on. */
#ifndef PROXY_SOCKET_H
#define PROXY_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/error.h"
#include "proxy/relay/batch.h"

struct socket_options {
	uint64_t receive_buffer; /* bytes, as the kernel counts them */
	enum offload offload;    /* UDP_GRO, see socket_enable_offload */
	bool is_transparent;     /* listeners: take datagrams for any destination (IP_TRANSPARENT) */
	bool whole;              /* IPv4: do not fragment until a datagram does not fit (IP_MTU_DISCOVER) */
};

/* With SO_REUSEPORT, several sockets listen on one address, and each sender is served by one of them. The
 * first one binds without it, so that an address in use is detected; the others join. */
enum listen { LISTEN_ALONE, LISTEN_FIRST, LISTEN_JOINED };

/* Spreads devices over the `count` sockets that share the address of `fd`, by a hash of source address and
 * port, so that a socket that another process of the same user adds receives nothing. Best effort: if the
 * kernel refuses, it spreads devices by itself, over such sockets too. */
void socket_spread(int fd, enum family family, unsigned count);

/* Opens a socket bound to `address`. `*bound` is the same with the port that the kernel chose for 0. Returns
 * -1 and sets *error on failure. */
int socket_listen(const struct address *address, const struct socket_options *options, enum listen how,
    struct address *bound, struct error *error);
/* Opens a socket whose answers have `port` as their source port, and the address of outgoing.from, which need
 * not be one of this machine's (IP_TRANSPARENT). It receives nothing. Returns -1 and sets *error on failure.
 */
int socket_answer(
    enum family family, uint16_t port, const struct socket_options *options, struct error *error);
/* True since Linux 4.18; an older kernel would send a run as one large datagram. */
bool socket_can_offload(void);
/* True if the kernel does path MTU discovery (RFC 1191), its default. Then `whole` reduces cost and changes
 * nothing that leaves but IP identification numbers and, if a route's MTU is locked, "don't fragment". */
bool socket_discovers_mtu(void);
/* Opens a socket connected to `cloud`, bound to `source` if that has a family. `*local` is its own address.
 * Returns -1 with errno set, and sets *error, on failure. */
int socket_connect(const struct address *cloud, const struct address *source,
    const struct socket_options *options, struct address *local, struct error *error);
/* The same with a source that need not be one of this machine's addresses, with its port (IP_TRANSPARENT);
 * other sockets may have the same, for other clouds. */
int socket_connect_as(const struct address *cloud, const struct address *source,
    const struct socket_options *options, struct address *local, struct error *error);
/* Opens another socket with the port of a connected one, for another cloud. */
int socket_connect_beside(int fd, const struct address *cloud, const struct socket_options *options,
    struct address *local, struct error *error);
/* Returns 0 if a socket can be bound to this address of `[proxy] source`, else -1 and sets *error. */
int socket_check_source(
    const struct address *source, const struct socket_options *options, struct error *error);
/* Sets options that make each datagram cheaper, but do not pay off for a socket with little traffic: set on
 * listeners from the start, on a socket towards a cloud once it is busy. */
void socket_enable_offload(int fd, enum family family, const struct socket_options *options);
/* Returns the actual size of the receive buffer, in bytes; the kernel may have granted less. */
uint64_t socket_receive_buffer(int fd);
/* Stores the address that the socket is connected to. */
void socket_peer(int fd, struct address *peer);
/* Returns how many datagrams the kernel has dropped on this socket since it was opened (SO_MEMINFO), or 0 if
 * unknown. */
uint32_t socket_kernel_drops(int fd);

#endif
