/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A struct batch holds the buffers and message headers of one recvmmsg(2). batch_send joins datagrams of
 * equal size into runs, each sent as one message with UDP_SEGMENT, and falls back to one message per datagram
 * if the path does not support that.
 */
#include "proxy/relay/batch.h"

#include <assert.h>
#include <errno.h>
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
