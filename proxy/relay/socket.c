/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sockets towards clouds are connected, so that the kernel finds them by both addresses and reports ICMP
 * errors. Two that share a source port (a session that moves to another server) are bound with SO_REUSEADDR,
 * while a filter keeps datagrams out until they are connected.
 */
#include "proxy/relay/socket.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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

/* Exceeds net.core.rmem_max if allowed to; CAP_NET_ADMIN may be given up during the run. */
static void set_receive_buffer(int fd, uint64_t bytes)
{
	static atomic_bool is_forbidden;
	int size = (int)(bytes / 2); /* the kernel doubles it */

	if (!atomic_load_explicit(&is_forbidden, memory_order_relaxed) &&
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) == 0)
		return;
	atomic_store_explicit(&is_forbidden, true, memory_order_relaxed);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

static int socket_open(enum family family, const struct socket_options *options, struct error *error)
{
	int fd = socket(family == FAMILY_IPV6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
	    IPPROTO_UDP);

	if (fd < 0)
		return error_set(error, "no socket can be opened: %s", strerror(errno));
	set_receive_buffer(fd, options->receive_buffer);
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
 * the cloud says. */
int socket_connect_beside(int fd, const struct address *cloud, const struct socket_options *options,
    struct address *local, struct error *error)
{
	struct sock_filter nothing[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
	struct sock_fprog program = {.len = 1, .filter = nothing};
	struct address source = {.family = cloud->family};
	int other = socket_open((enum family)cloud->family, options, error);
	const int on = 1, off = 0;

	if (other < 0)
		return -1;
	local_address(fd, local);
	source.port = local->port;
	setsockopt(other, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(other, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	other = connect_from(other, cloud, &source, local, error);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &off, sizeof(off));
	if (other < 0)
		return -1;
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
