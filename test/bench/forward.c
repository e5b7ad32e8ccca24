/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * forward: the yardstick: the leanest forwarder that keeps a session for each device. It has no rules, no
 * capture and no accounts.
 *
 *   forward LISTEN-PORT CLOUD-PORT             uses recvmmsg and sendmmsg, in batches
 *   forward LISTEN-PORT CLOUD-PORT US timer    holds each for US from its receive timestamp, by a timerfd
 *   forward LISTEN-PORT CLOUD-PORT US poll     does the same, but wakes 150 us early and polls
 */
#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define FROM_ONE 8 /* from one session while others wait too */
#define ROOM 2048
#define BUCKETS (1u << 16)
#define HELD (1u << 20)
#define LEAD 150000

struct session {
	struct session *next;
	struct sockaddr_in device;
	int fd;
};

struct held {
	int64_t due;
	struct session *session;
	bool up;
	size_t size;
	uint8_t bytes[];
};

static struct session *buckets[BUCKETS];
static struct sockaddr_in cloud;
static int listener, set, timer;
static int64_t delay, armed;
static bool polls;
static struct held **held;
static unsigned held_first, held_next;

static struct mmsghdr in[BATCH], out[BATCH];
static struct iovec in_vectors[BATCH], out_vectors[BATCH];
static struct sockaddr_in from[BATCH];
static uint8_t buffers[BATCH][ROOM];
static char controls[BATCH][64];

static int64_t now_of(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void watch(int fd, void *who)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = who};

	if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &event))
		abort();
}

static int open_socket(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), on = 1;

	if (fd < 0) {
		perror("forward: socket");
		exit(1);
	}
	if (delay)
		setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on));
	return fd;
}

static struct session *session_of(const struct sockaddr_in *device)
{
	uint64_t key = ((uint64_t)device->sin_addr.s_addr << 16 | device->sin_port) * 0x9e3779b97f4a7c15u;
	struct session **link = &buckets[key >> 48], *session;

	for (session = *link; session; session = session->next)
		if (session->device.sin_addr.s_addr == device->sin_addr.s_addr &&
		    session->device.sin_port == device->sin_port)
			return session;
	session = calloc(1, sizeof(*session));
	assert(session);
	*session = (struct session){.next = *link, .device = *device, .fd = open_socket()};
	*link = session;
	if (connect(session->fd, (struct sockaddr *)&cloud, sizeof(cloud)))
		abort();
	watch(session->fd, session);
	return session;
}

static int read_some(int fd, int first, int most, bool named)
{
	int count;

	for (int i = first; i < first + most; i++) {
		in_vectors[i] = (struct iovec){buffers[i], ROOM};
		in[i].msg_hdr = (struct msghdr){.msg_iov = &in_vectors[i],
		    .msg_iovlen = 1,
		    .msg_name = named ? &from[i] : NULL,
		    .msg_namelen = named ? sizeof(from[i]) : 0,
		    .msg_control = delay ? controls[i] : NULL,
		    .msg_controllen = delay ? sizeof(controls[i]) : 0};
	}
	count = recvmmsg(fd, in + first, (unsigned)most, MSG_DONTWAIT, NULL);
	return count < 0 ? 0 : count;
}

static void write_some(int fd, struct mmsghdr *messages, int count)
{
	for (int done = 0; done < count;) {
		int went = sendmmsg(fd, messages + done, (unsigned)(count - done), MSG_DONTWAIT);

		done += went > 0 ? went : 1;
	}
}

/* ---- Without a delay ---- */

static void up(void)
{
	struct session *sessions[BATCH];

	for (int rounds = 0, count = BATCH; rounds < 4 && count == BATCH; rounds++) {
		count = read_some(listener, 0, BATCH, true);
		for (int i = 0; i < count; i++)
			sessions[i] = session_of(&from[i]);
		for (int i = 0, same; i < count; i += same) {
			for (same = 0; i + same < count && sessions[i + same] == sessions[i]; same++) {
				out_vectors[same] = (struct iovec){buffers[i + same], in[i + same].msg_len};
				out[same].msg_hdr = (struct msghdr){
				    .msg_iov = &out_vectors[same], .msg_iovlen = 1};
			}
			if (same == 1)
				send(sessions[i]->fd, buffers[i], in[i].msg_len, MSG_DONTWAIT);
			else
				write_some(sessions[i]->fd, out, same);
		}
	}
}

/* Adds what a session has ready to the batch of all; sends it when full. Returns how many are gathered. */
static int down(struct session *session, int gathered, bool many)
{
	int most = BATCH - gathered;
	int count = read_some(session->fd, gathered, many && most > FROM_ONE ? FROM_ONE : most, false);

	for (int i = gathered; i < gathered + count; i++) {
		out_vectors[i] = (struct iovec){buffers[i], in[i].msg_len};
		out[i].msg_hdr = (struct msghdr){.msg_name = &session->device,
		    .msg_namelen = sizeof(session->device),
		    .msg_iov = &out_vectors[i],
		    .msg_iovlen = 1};
	}
	gathered += count;
	if (gathered < BATCH)
		return gathered;
	write_some(listener, out, gathered);
	return 0;
}

/* ---- With a delay ---- */

static void hold(struct session *session, bool is_up, int i, int64_t offset)
{
	struct held *h = malloc(sizeof(*h) + in[i].msg_len);
	struct timespec stamp = {0};

	assert(h);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&in[i].msg_hdr); c; c = CMSG_NXTHDR(&in[i].msg_hdr, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS)
			memcpy(&stamp, CMSG_DATA(c), sizeof(stamp));
	*h = (struct held){.due = stamp.tv_sec * INT64_C(1000000000) + stamp.tv_nsec + offset + delay,
	    .session = session,
	    .up = is_up,
	    .size = in[i].msg_len};
	memcpy(h->bytes, buffers[i], h->size);
	held[held_next++ % HELD] = h;
}

static void release(void)
{
	while (held_first != held_next && held[held_first % HELD]->due <= now_of(CLOCK_MONOTONIC)) {
		struct held *h = held[held_first++ % HELD];

		if (h->up)
			send(h->session->fd, h->bytes, h->size, MSG_DONTWAIT);
		else
			sendto(listener, h->bytes, h->size, MSG_DONTWAIT,
			    (struct sockaddr *)&h->session->device, sizeof(h->session->device));
		free(h);
	}
}

/* Returns how long to wait: 0 if something is due, or nearly. */
static int patience(void)
{
	int64_t due, early = polls ? LEAD : 0;
	struct itimerspec when = {0};

	if (!delay || held_first == held_next)
		return -1;
	due = held[held_first % HELD]->due;
	if (due - now_of(CLOCK_MONOTONIC) <= early)
		return 0;
	if (due == armed)
		return -1;
	armed = due;
	when.it_value.tv_sec = (due - early) / 1000000000;
	when.it_value.tv_nsec = (due - early) % 1000000000;
	timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL);
	return -1;
}

static void serve(void)
{
	struct epoll_event events[BATCH];
	int count = epoll_wait(set, events, BATCH, patience()), gathered = 0;
	int64_t offset = now_of(CLOCK_MONOTONIC) - now_of(CLOCK_REALTIME);
	uint64_t expired;

	for (int i = 0; i < count; i++) {
		struct session *session = events[i].data.ptr;

		if (events[i].data.ptr == &timer) {
			armed = read(timer, &expired, sizeof(expired)) > 0 ? 0 : armed;
		} else if (delay) {
			int fd = session ? session->fd : listener, got = read_some(fd, 0, BATCH, !session);

			for (int k = 0; k < got; k++)
				hold(session ? session : session_of(&from[k]), !session, k, offset);
		} else if (session) {
			gathered = down(session, gathered, count > FROM_ONE);
		}
	}
	write_some(listener, out, gathered);
	for (int i = 0; i < count && !delay; i++)
		if (!events[i].data.ptr)
			up();
	if (delay)
		release();
}

int main(int count, char **words)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct rlimit files;
	int room = 4 << 20;

	if (count != 3 && count != 5)
		return 2;
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
	cloud = at;
	at.sin_port = htons((uint16_t)atoi(words[1]));
	cloud.sin_port = htons((uint16_t)atoi(words[2]));
	delay = count == 5 ? atoll(words[3]) * 1000 : 0;
	polls = count == 5 && strcmp(words[4], "poll") == 0;
	held = delay ? calloc(HELD, sizeof(*held)) : NULL;
	set = epoll_create1(0);
	timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	listener = open_socket();
	if (setsockopt(listener, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)))
		setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	if (bind(listener, (struct sockaddr *)&at, sizeof(at))) {
		perror("forward: bind");
		return 1;
	}
	watch(listener, NULL);
	watch(timer, &timer);
	puts("ready");
	fflush(stdout);
	for (;;)
		serve();
}
