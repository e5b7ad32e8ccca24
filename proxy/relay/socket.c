/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A struct batch holds the buffers and message headers of one recvmmsg(2). batch_send joins datagrams of
 * equal size into runs, each sent as one message with UDP_SEGMENT, and falls back to one message per datagram
 * if the path does not support that.
 */
#include "proxy/relay/socket.h"

#include <assert.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"

#define BUFFER_SIZE 65536
/* Distance of buffers: their first bytes must not all map to the same cache set. */
#define STRIDE (BUFFER_SIZE + 3 * 64)
#define CONTROL_SIZE 256
/* Bytes of one datagram in a segmented send; it must fit into an Ethernet frame. */
#define SEGMENT_MAX 1452
/* Bytes of a whole segmented send, below the kernel's limit for either family. */
#define SEGMENTED_MAX 65000u

struct batch {
	struct mmsghdr messages[SOCKET_BATCH];
	struct iovec vectors[SOCKET_BATCH];
	struct sockaddr_storage from[SOCKET_BATCH];
	_Alignas(16) uint8_t control[SOCKET_BATCH][CONTROL_SIZE];
	struct received received[SOCKET_BATCH];
	uint8_t buffers[SOCKET_BATCH][STRIDE];
};

/* Through syscall(2): libc's wrappers are cancellation points, which cost two locked operations per call in a
 * multithreaded program. */
static int receive_many(int fd, struct mmsghdr *messages, unsigned max)
{
	return (int)syscall(SYS_recvmmsg, fd, messages, max, MSG_DONTWAIT, NULL);
}

static int send_many(int fd, struct mmsghdr *messages, unsigned count)
{
	return (int)syscall(SYS_sendmmsg, fd, messages, count, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* For one datagram on a connected socket; sendto() is faster than sendmmsg() there. */
static int send_one(int fd, const struct outgoing *outgoing)
{
	long sent;

	do {
		sent = syscall(
		    SYS_sendto, fd, outgoing->bytes, outgoing->size, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);
	} while (sent < 0 && errno == EINTR);
	return sent < 0 ? -1 : 1;
}

/* Resets the fields that the kernel overwrites in each read. */
static void reset_message(struct batch *batch, int i, enum batch_socket kind)
{
	struct msghdr *header = &batch->messages[i].msg_hdr;

	header->msg_name = kind == BATCH_UNCONNECTED ? &batch->from[i] : NULL;
	header->msg_namelen = kind == BATCH_UNCONNECTED ? sizeof(batch->from[i]) : 0;
	header->msg_controllen = CONTROL_SIZE;
}

struct batch *batch_new(void)
{
	struct batch *batch = memory_new(1, sizeof(*batch));

	for (int i = 0; i < SOCKET_BATCH; i++) {
		batch->vectors[i] = (struct iovec){.iov_base = batch->buffers[i], .iov_len = BUFFER_SIZE};
		batch->messages[i].msg_hdr = (struct msghdr){
		    .msg_iov = &batch->vectors[i], .msg_iovlen = 1, .msg_control = batch->control[i]};
	}
	return batch;
}

void batch_free(struct batch *batch)
{
	free(batch);
}

static void read_control(struct received *received, struct msghdr *header)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
			struct timespec stamp;

			memcpy(&stamp, CMSG_DATA(c), sizeof(stamp));
			received->stamp = stamp.tv_sec * NS_S + stamp.tv_nsec;
		} else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
			memcpy(&received->kernel_drops, CMSG_DATA(c), sizeof(uint32_t));
			received->has_kernel_drops = true;
		} else if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
			int segment;

			memcpy(&segment, CMSG_DATA(c), sizeof(segment));
			received->segment = segment > 0 ? (size_t)segment : received->segment;
		} else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
			received->tos = *CMSG_DATA(c);
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) {
			int tclass;

			memcpy(&tclass, CMSG_DATA(c), sizeof(tclass));
			received->tos = (uint8_t)tclass;
		} else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			received->to.family = FAMILY_IPV4;
			memcpy(received->to.ip, &info.ipi_addr, 4);
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			received->to.family = FAMILY_IPV6;
			memcpy(received->to.ip, &info.ipi6_addr, 16);
		} else if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_ORIGDSTADDR) ||
		           (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_ORIGDSTADDR)) {
			struct sockaddr_storage to = {0};

			memcpy(&to, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
			address_from_socket((struct sockaddr *)&to, &received->to);
		}
	}
}

int batch_read(struct batch *batch, int fd, enum batch_socket kind, int max)
{
	int count;

	for (int i = 0; i < max; i++)
		reset_message(batch, i, kind);
	count = receive_many(fd, batch->messages, (unsigned)max);
	if (count < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : -1;
	for (int i = 0; i < count; i++) {
		struct received *received = &batch->received[i];
		size_t size = batch->messages[i].msg_len;

		*received = (struct received){
		    .bytes = batch->buffers[i], .size = size, .segment = size ? size : 1};
		if (kind == BATCH_UNCONNECTED)
			address_from_socket((struct sockaddr *)&batch->from[i], &received->from);
		read_control(received, &batch->messages[i].msg_hdr);
	}
	return count;
}

const struct received *batch_get(const struct batch *batch, int index)
{
	return &batch->received[index];
}

/* ---- Sending ---- */

static void control_add(struct msghdr *header, int level, int type, const void *data, size_t size)
{
	struct cmsghdr *c = (struct cmsghdr *)(void *)((char *)header->msg_control + header->msg_controllen);

	memset(c, 0, CMSG_SPACE(size));
	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(c), data, size);
	header->msg_controllen += CMSG_SPACE(size);
}

static void write_control(struct msghdr *header, const struct outgoing *outgoing, bool ipv6, int segment)
{
	if (outgoing->tos) {
		int tos = outgoing->tos;

		control_add(
		    header, ipv6 ? IPPROTO_IPV6 : IPPROTO_IP, ipv6 ? IPV6_TCLASS : IP_TOS, &tos, sizeof(tos));
	}
	if (outgoing->from && !ipv6) {
		struct in_pktinfo info = {.ipi_ifindex = 0};

		memcpy(&info.ipi_spec_dst, outgoing->from->ip, 4);
		control_add(header, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
	} else if (outgoing->from) {
		struct in6_pktinfo info = {.ipi6_ifindex = outgoing->to->scope};

		memcpy(&info.ipi6_addr, outgoing->from->ip, 16);
		control_add(header, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
	}
	if (segment) {
		uint16_t size = (uint16_t)segment;

		control_add(header, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size));
	}
	if (!header->msg_controllen)
		header->msg_control = NULL;
}

static bool is_ipv6(int fd)
{
	int domain = AF_INET;
	socklen_t size = sizeof(domain);

	getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size);
	return domain == AF_INET6;
}

/* Returns how many datagrams from `first` on can be sent as one message: those with the same addresses and
 * size, except for a shorter last one. */
static int run_length(const struct outgoing *first, int count)
{
	size_t total = first->size;
	int length = 1;

	if (!first->size || first->size > SEGMENT_MAX)
		return 1;
	while (length < count) {
		const struct outgoing *next = first + length;

		total += next->size;
		if (!next->size || next->size > first->size || total > SEGMENTED_MAX ||
		    next->to != first->to || next->from != first->from || next->tos != first->tos)
			break;
		length++;
		if (next->size < first->size)
			break;
	}
	return length;
}

static int send_batch(int fd, const struct outgoing *sendings, int count, enum offload offload)
{
	struct mmsghdr messages[SOCKET_BATCH];
	struct iovec vectors[SOCKET_BATCH];
	struct sockaddr_storage to[SOCKET_BATCH];
	_Alignas(16) uint8_t control[SOCKET_BATCH][CONTROL_SIZE / 2];
	int message_count = 0, sent, done = 0;

	assert(count <= SOCKET_BATCH);
	for (int i = 0, length; i < count; i += length, message_count++) {
		const struct outgoing *first = &sendings[i];
		struct msghdr *header = &messages[message_count].msg_hdr;
		bool ipv6 = false;

		length = offload ? run_length(first, count - i) : 1;
		for (int k = i; k < i + length; k++)
			vectors[k] = (struct iovec){
			    .iov_base = (void *)(uintptr_t)sendings[k].bytes, .iov_len = sendings[k].size};
		*header = (struct msghdr){.msg_iov = &vectors[i],
		    .msg_iovlen = (size_t)length,
		    .msg_control = control[message_count]};
		if (first->to) {
			ipv6 = first->to->family == FAMILY_IPV6;
			header->msg_name = &to[message_count];
			header->msg_namelen = address_to_socket(first->to, &to[message_count]);
		} else if (first->tos) {
			ipv6 = is_ipv6(fd);
		}
		write_control(header, first, ipv6, length > 1 ? (int)first->size : 0);
	}
	do {
		sent = send_many(fd, messages, (unsigned)message_count);
	} while (sent < 0 && errno == EINTR);
	/* The path does not support segmentation: a smaller MTU, no checksum offload, IPsec. */
	if (sent < 0 && messages[0].msg_hdr.msg_iovlen > 1 &&
	    (errno == EINVAL || errno == EMSGSIZE || errno == EIO || errno == EOPNOTSUPP))
		return send_batch(fd, sendings, (int)messages[0].msg_hdr.msg_iovlen, OFFLOAD_NO);
	for (int i = 0; i < sent; i++)
		done += (int)messages[i].msg_hdr.msg_iovlen;
	return sent < 0 ? -1 : done;
}

/* From now on the kernel fragments datagrams that do not fit the path. */
static void allow_fragmentation(int fd)
{
	int mode = 0;
	socklen_t size = sizeof(mode);

	if (getsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &mode, &size) || mode != IP_PMTUDISC_DO)
		return;
	mode = IP_PMTUDISC_WANT;
	setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &mode, sizeof(mode));
}

int batch_send(int fd, const struct outgoing *sendings, int count, enum offload offload)
{
	bool is_plain = count == 1 && !sendings->to && !sendings->tos;
	int sent = is_plain ? send_one(fd, sendings) : send_batch(fd, sendings, count, offload);

	/* This datagram does not fit, or an earlier one did not fit a later hop, which the kernel reports
	 * once (RFC 1191). */
	if (sent < 0 && errno == EMSGSIZE) {
		allow_fragmentation(fd);
		sent = send_batch(fd, sendings, count, offload);
	}
	return sent;
}

/* ---- Opening ---- */

bool socket_can_offload(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), zero = 0;
	bool can_segment = fd >= 0 && setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &zero, sizeof(zero)) == 0;

	if (fd >= 0)
		close(fd);
	return can_segment;
}

bool socket_discovers_mtu(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), mode = 0;
	socklen_t size = sizeof(mode);

	if (fd < 0)
		return false;
	getsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &mode, &size);
	close(fd);
	return mode == IP_PMTUDISC_WANT;
}

static void set_on(int fd, int level, int option)
{
	int on = 1;

	setsockopt(fd, level, option, &on, sizeof(on));
}

static int socket_open(enum family family, const struct socket_options *options, struct error *error)
{
	int fd = socket(family == FAMILY_IPV6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
	    IPPROTO_UDP);
	int size = (int)(options->receive_buffer / 2); /* the kernel doubles it */

	if (fd < 0)
		return error_set(error, "no socket can be opened: %s", strerror(errno));
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	set_on(fd, SOL_SOCKET, SO_TIMESTAMPNS);
	if (family == FAMILY_IPV6) {
		set_on(fd, IPPROTO_IPV6, IPV6_V6ONLY);
		set_on(fd, IPPROTO_IPV6, IPV6_RECVTCLASS);
	} else {
		set_on(fd, IPPROTO_IP, IP_RECVTOS);
	}
	return fd;
}

void socket_enable_offload(int fd, enum family family, const struct socket_options *options)
{
	const int mode = IP_PMTUDISC_DO;

	if (options->offload)
		set_on(fd, IPPROTO_UDP, UDP_GRO);
	/* A datagram that is never fragmented needs no IP identification (RFC 6864 4.1). The kernel keeps a
	 * counter for each pair of hosts, which all cores contend for. */
	if (options->whole && family == FAMILY_IPV4)
		setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &mode, sizeof(mode));
}

static void local_address(int fd, struct address *local)
{
	struct sockaddr_storage storage;
	socklen_t size = sizeof(storage);

	if (getsockname(fd, (struct sockaddr *)&storage, &size) == 0)
		address_from_socket((struct sockaddr *)&storage, local);
}

static int bind_listener(int fd, const struct address *address, struct error *error)
{
	struct sockaddr_storage storage;
	socklen_t size = address_to_socket(address, &storage);
	char text[ADDRESS_TEXT_SIZE];

	if (bind(fd, (struct sockaddr *)&storage, size) == 0)
		return 0;
	return error_set(error, "`%s` cannot be listened on: %s", address_text(address, text, sizeof(text)),
	    strerror(errno));
}

/* Closes the socket; errno stays. */
static int close_failed(int fd)
{
	int saved_errno = errno;

	close(fd);
	errno = saved_errno;
	return -1;
}

static int make_transparent(int fd, enum family family, struct error *error)
{
	const int on = 1;
	int status = family == FAMILY_IPV6 ? setsockopt(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, &on, sizeof(on))
	                                   : setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof(on));

	if (!status)
		return 0;
	return error_set(error, "a socket cannot be made transparent (IP_TRANSPARENT): %s%s", strerror(errno),
	    errno == EPERM ? "; `upstream = original` needs CAP_NET_RAW: run as root, or `setcap "
	                     "cap_net_raw,cap_net_admin+ep` the program"
	                   : "");
}

int socket_listen(const struct address *address, const struct socket_options *options, enum listen how,
    struct address *bound, struct error *error)
{
	int fd = socket_open((enum family)address->family, options, error);

	if (fd < 0)
		return -1;
	socket_enable_offload(fd, (enum family)address->family, options);
	set_on(fd, SOL_SOCKET, SO_RXQ_OVFL);
	if (options->is_transparent && make_transparent(fd, (enum family)address->family, error))
		return close_failed(fd);
	/* Needed only if bound to all addresses; otherwise the local address of a datagram is known. */
	if (options->is_transparent)
		set_on(fd, address->family == FAMILY_IPV6 ? IPPROTO_IPV6 : IPPROTO_IP,
		    address->family == FAMILY_IPV6 ? IPV6_RECVORIGDSTADDR : IP_RECVORIGDSTADDR);
	else if (address_is_any(address) && address->family == FAMILY_IPV6)
		set_on(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO);
	else if (address_is_any(address))
		set_on(fd, IPPROTO_IP, IP_PKTINFO);
	if (how == LISTEN_JOINED)
		set_on(fd, SOL_SOCKET, SO_REUSEPORT);
	if (bind_listener(fd, address, error))
		return close_failed(fd);
	/* Set after bind, so that bind fails if any other socket has the address, even one that shares it. */
	if (how == LISTEN_FIRST)
		set_on(fd, SOL_SOCKET, SO_REUSEPORT);
	local_address(fd, bound);
	return fd;
}

/* The address that it is bound to is one that nobody uses: of the loopback network, or of the prefix for
 * discarding (RFC 6666). Several workers, or programs, may have the same port there. */
int socket_answer(
    enum family family, uint16_t port, const struct socket_options *options, struct error *error)
{
	struct sock_filter nothing[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
	struct sock_fprog program = {.len = 1, .filter = nothing};
	struct address address = {.family = (uint16_t)family, .port = port, .ip = {127, 100, 0, 1}};
	struct sockaddr_storage storage;
	socklen_t size;
	const int on = 1;
	int fd = socket_open(family, options, error);

	if (family == FAMILY_IPV6)
		memcpy(address.ip, (const uint8_t[16]){0x01, [15] = 1}, 16); /* 100::1 */
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (make_transparent(fd, family, error))
		return close_failed(fd);
	size = address_to_socket(&address, &storage);
	if (bind(fd, (struct sockaddr *)&storage, size) == 0)
		return fd;
	if (errno == EADDRINUSE)
		error_set(error,
		    "a service of this machine has port %u on all addresses (without SO_REUSEADDR), so "
		    "answers cannot "
		    "leave from it: bind that service to the addresses that it serves, or take the port out "
		    "of `ports`",
		    port);
	else
		error_set(error, "no socket can be bound to port %u, to answer from it: %s%s", port,
		    strerror(errno), errno == EACCES ? "; ports below 1024 need CAP_NET_BIND_SERVICE" : "");
	return close_failed(fd);
}

/* A reuseport program sees the payload; SKF_NET_OFF reaches the headers before it (linux/filter.h). Sockets
 * are numbered in the order in which they joined, so the number of a later one is never selected. */
void socket_spread(int fd, enum family family, unsigned count)
{
	const bool ipv6 = family == FAMILY_IPV6;
	const uint32_t address_offset = (uint32_t)SKF_NET_OFF +
	                                (ipv6 ? 20 : 12); /* last four bytes of the source */
	const uint32_t port_offset = (uint32_t)SKF_NET_OFF + (ipv6 ? 40 : 20);
	struct sock_filter code[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, address_offset),
	    BPF_STMT(BPF_MISC | BPF_TAX, 0),
	    BPF_STMT(BPF_LD | BPF_H | BPF_ABS, port_offset),
	    /* Mixed as in base/chance.h, with odd multipliers of many bits. */
	    BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, 0x9e3779b1),
	    BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0),
	    BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, 0x85ebca6b),
	    BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 16),
	    BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, count),
	    BPF_STMT(BPF_RET | BPF_A, 0),
	};
	struct sock_fprog program = {.len = sizeof(code) / sizeof(*code), .filter = code};

	setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program));
}

/* On failure sets *error, and errno as bind(2) does. */
static int bind_source(int fd, const struct address *source, struct error *error)
{
	struct sockaddr_storage storage;
	socklen_t size = address_to_socket(source, &storage);
	char text[ADDRESS_TEXT_SIZE];
	int saved_errno;

	if (bind(fd, (struct sockaddr *)&storage, size) == 0)
		return 0;
	saved_errno = errno;
	error_set(error, "source `%s` cannot be used: %s%s", address_host_text(source, text, sizeof(text)),
	    strerror(saved_errno),
	    saved_errno == EADDRNOTAVAIL ? "; it is not an address of this machine" : "");
	errno = saved_errno;
	return -1;
}

int socket_check_source(
    const struct address *source, const struct socket_options *options, struct error *error)
{
	int fd = socket_open((enum family)source->family, options, error);
	int status = fd < 0 ? -1 : bind_source(fd, source, error);

	if (fd >= 0)
		close(fd);
	return status;
}

static int connect_from(int fd, const struct address *cloud, const struct address *source,
    struct address *local, struct error *error)
{
	struct sockaddr_storage storage;
	char text[ADDRESS_TEXT_SIZE];
	socklen_t size;

	if (source->family && bind_source(fd, source, error))
		return close_failed(fd);
	size = address_to_socket(cloud, &storage);
	if (connect(fd, (struct sockaddr *)&storage, size)) {
		int status = close_failed(fd);

		error_set(error, "`%s` cannot be reached: %s", address_text(cloud, text, sizeof(text)),
		    strerror(errno));
		return status;
	}
	local_address(fd, local);
	return fd;
}

int socket_connect(const struct address *cloud, const struct address *source,
    const struct socket_options *options, struct address *local, struct error *error)
{
	int fd = socket_open((enum family)cloud->family, options, error);

	return fd < 0 ? -1 : connect_from(fd, cloud, source, local, error);
}

int socket_connect_as(const struct address *cloud, const struct address *source,
    const struct socket_options *options, struct address *local, struct error *error)
{
	int fd = socket_open((enum family)cloud->family, options, error);
	const int on = 1;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (make_transparent(fd, (enum family)cloud->family, error))
		return close_failed(fd);
	return connect_from(fd, cloud, source, local, error);
}

/* Both sockets may share the port only if both say so while the second one is bound. Until it is connected it
 * takes nothing: the kernel would hand it what is for neither. Its address may be another, as the route to
 * the cloud says, unless the first one's is not this machine's. */
int socket_connect_beside(int fd, const struct address *cloud, const struct socket_options *options,
    struct address *local, struct error *error)
{
	struct sock_filter nothing[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
	struct sock_fprog program = {.len = 1, .filter = nothing};
	const bool ipv6 = cloud->family == FAMILY_IPV6;
	struct address source = {.family = cloud->family};
	int other = socket_open((enum family)cloud->family, options, error), transparent = 0;
	socklen_t size = sizeof(transparent);
	const int on = 1, off = 0;

	if (other < 0)
		return -1;
	local_address(fd, local);
	source.port = local->port;
	getsockopt(fd, ipv6 ? IPPROTO_IPV6 : IPPROTO_IP, ipv6 ? IPV6_TRANSPARENT : IP_TRANSPARENT,
	    &transparent, &size);
	if (transparent) {
		source = *local;
		if (make_transparent(other, (enum family)cloud->family, error))
			return close_failed(other);
	}
	setsockopt(other, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(other, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	other = connect_from(other, cloud, &source, local, error);
	if (!transparent)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &off, sizeof(off));
	if (other < 0)
		return -1;
	if (!transparent)
		setsockopt(other, SOL_SOCKET, SO_REUSEADDR, &off, sizeof(off));
	setsockopt(other, SOL_SOCKET, SO_DETACH_FILTER, &off, sizeof(off));
	return other;
}

void socket_peer(int fd, struct address *peer)
{
	struct sockaddr_storage storage;
	socklen_t size = sizeof(storage);

	if (getpeername(fd, (struct sockaddr *)&storage, &size) == 0)
		address_from_socket((struct sockaddr *)&storage, peer);
}

uint64_t socket_receive_buffer(int fd)
{
	int bytes = 0;
	socklen_t size = sizeof(bytes);

	getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, &size);
	return (uint64_t)bytes;
}

uint32_t socket_kernel_drops(int fd)
{
	uint32_t info[SK_MEMINFO_VARS] = {0};
	socklen_t size = sizeof(info);

	if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &size))
		return 0;
	return size > SK_MEMINFO_DROPS * sizeof(uint32_t) ? info[SK_MEMINFO_DROPS] : 0;
}
