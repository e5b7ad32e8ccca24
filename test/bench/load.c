/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * load: devices and their cloud in one thread, to measure what is between them.
 *
 *   load --to [ADDR:]PORT --cloud [ADDR:]PORT [--from ADDR] [--cloud-net PATH] [--devices N] [--size BYTES]
 *        [--window N | --rate N] [--burst N] [--echo] [--delay US] [--watch PID] [--seconds S]
 *
 * Addresses are 127.0.0.1 by default; each device has a source address of its own, from 127.1.0.1 (--from)
 * up. The cloud may be in another network namespace (--cloud-net). A closed loop keeps `window` datagrams in
 * flight, an open one sends `rate` a second. Bursts of one device go to the kernel as one (UDP_SEGMENT). The
 * cloud only receives, or with --echo sends back what it receives.
 *
 * First every device sends once, and its datagram is awaited; then follows half a second of warm-up (neither
 * with --cold). Prints one line of key=value: `sent` and `got` (with --echo: back at the device), `us_min`,
 * `us_p50`, `us_p99`: from sending to the kernel's receive timestamp at the cloud, less the delay; `cpu_ns`:
 * CPU time of the watched process's threads except the one named `capture`; `busiest_ns`: of the thread that
 * ran most; `waited`: the share of the time that they were ready without a core, which indicates noise.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define ROOM 65536
#define ROOM_FOR_BURSTS (16 << 20)
#define SOCKETS 2000 /* opened to measure what that costs */
#define SAMPLES_MAX 4000000
#define DRAIN 1.0     /* seconds, plus the delay: what has not come by then is lost */
#define SPAN 10000000 /* ns, plus twice the delay: what is older is no longer in flight */

struct mark {
	uint64_t sent_ns, number;
	uint32_t round; /* of measuring: what is left of the warm-up does not count */
	uint32_t device;
};

struct options {
	struct sockaddr_in to, cloud;
	uint32_t from;
	const char *cloud_net;
	unsigned devices, first, size, window, burst;
	double rate, seconds;
	int64_t delay_ns;
	int watch;
	bool echo, deaf, cold;
};

/* A closed loop counts only what is in flight from the last two spans: otherwise what a lossy link has lost
 * would fill its window, and batches would shrink with it. */
struct span {
	uint64_t first, got; /* the number it began with; how many from there on have come */
};

struct load {
	struct options o;
	int device, cloud; /* sockets */
	unsigned next;     /* the device whose turn it is */
	uint32_t round;
	uint64_t sent, got, all_sent, all_got;
	uint64_t numbered;
	struct span span, before;
	uint64_t span_began;
	int64_t *late;
	size_t late_count;
	uint8_t *out, *in;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int open_socket(const struct sockaddr_in *at, int room)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), on = 1;

	if (fd < 0)
		die("socket");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)))
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on));
	setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof(on));
	if (at && bind(fd, (const struct sockaddr *)at, sizeof(*at)))
		die("bind");
	return fd;
}

/* ---- Sending ---- */

struct control {
	_Alignas(
	    struct cmsghdr) char room[CMSG_SPACE(sizeof(struct in_pktinfo)) + CMSG_SPACE(sizeof(uint16_t))];
};

static void add(struct msghdr *header, int level, int type, const void *data, size_t size)
{
	struct cmsghdr *c = (struct cmsghdr *)(void *)((char *)header->msg_control + header->msg_controllen);

	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(c), data, size);
	header->msg_controllen += CMSG_SPACE(size);
}

static void prepare(struct load *l, struct msghdr *header, struct iovec *vector, struct control *control,
    uint8_t *bytes, uint64_t at)
{
	struct in_pktinfo from = {.ipi_spec_dst.s_addr = htonl(l->o.from + l->o.first + l->next)};
	uint16_t segment = (uint16_t)l->o.size;
	struct mark mark = {.sent_ns = at, .number = l->numbered, .round = l->round, .device = l->next};

	for (unsigned i = 0; i < l->o.burst; i++, mark.number++)
		memcpy(bytes + (size_t)i * l->o.size, &mark, sizeof(mark));
	l->numbered = mark.number;
	*vector = (struct iovec){.iov_base = bytes, .iov_len = (size_t)l->o.size * l->o.burst};
	*header = (struct msghdr){.msg_name = &l->o.to,
	    .msg_namelen = sizeof(l->o.to),
	    .msg_iov = vector,
	    .msg_iovlen = 1,
	    .msg_control = control->room};
	add(header, IPPROTO_IP, IP_PKTINFO, &from, sizeof(from));
	if (l->o.burst > 1)
		add(header, SOL_UDP, UDP_SEGMENT, &segment, sizeof(segment));
	l->next = (l->next + 1) % l->o.devices;
}

/* Sends at most `count` datagrams, in whole bursts. */
static void send_some(struct load *l, unsigned count)
{
	struct mmsghdr messages[BATCH];
	struct iovec vectors[BATCH];
	struct control controls[BATCH];
	unsigned bursts = count / l->o.burst;
	uint64_t at = now_ns();

	if (bursts > BATCH)
		bursts = BATCH;
	memset(controls, 0, sizeof(controls));
	for (unsigned i = 0; i < bursts; i++)
		prepare(l, &messages[i].msg_hdr, &vectors[i], &controls[i],
		    l->out + (size_t)i * l->o.size * l->o.burst, at);
	for (unsigned done = 0; done < bursts;) {
		int went = sendmmsg(l->device, messages + done, bursts - done, 0);

		if (went < 0 && errno != EAGAIN)
			die("sendmmsg");
		done += went > 0 ? (unsigned)went : 0;
	}
	l->sent += (uint64_t)bursts * l->o.burst;
	l->all_sent += (uint64_t)bursts * l->o.burst;
}

/* ---- Receiving ---- */

struct reading {
	struct mmsghdr messages[BATCH];
	struct iovec vectors[BATCH];
	struct sockaddr_in from[BATCH];
	char control[BATCH][128];
};

static int read_some(struct load *l, int fd, struct reading *r)
{
	int count;

	for (int i = 0; i < BATCH; i++) {
		r->vectors[i] = (struct iovec){.iov_base = l->in + (size_t)i * ROOM, .iov_len = ROOM};
		r->messages[i].msg_hdr = (struct msghdr){.msg_name = &r->from[i],
		    .msg_namelen = sizeof(r->from[i]),
		    .msg_iov = &r->vectors[i],
		    .msg_iovlen = 1,
		    .msg_control = r->control[i],
		    .msg_controllen = sizeof(r->control[i])};
	}
	count = recvmmsg(fd, r->messages, BATCH, MSG_DONTWAIT, NULL);
	return count < 0 ? 0 : count;
}

static void look(struct msghdr *header, uint64_t *stamp, size_t *segment)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
			struct timespec t;

			memcpy(&t, CMSG_DATA(c), sizeof(t));
			*stamp = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
		} else if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
			int size;

			memcpy(&size, CMSG_DATA(c), sizeof(size));
			*segment = (size_t)size;
		}
	}
}

static void note(struct load *l, const uint8_t *bytes, size_t size, uint64_t stamp, bool counts)
{
	struct mark mark;

	if (size < sizeof(mark))
		return;
	memcpy(&mark, bytes, sizeof(mark));
	if (counts) {
		l->all_got++;
		l->span.got += mark.number >= l->span.first;
		l->before.got += mark.number >= l->before.first;
	}
	if (mark.round != l->round)
		return;
	if (counts)
		l->got++;
	if (stamp && l->late_count < SAMPLES_MAX)
		l->late[l->late_count++] = (int64_t)(stamp - mark.sent_ns) - l->o.delay_ns;
}

/* Receives at the cloud; with --echo, sends back what came. Returns whether anything did. */
static bool serve(struct load *l)
{
	static struct reading r;
	int count = read_some(l, l->cloud, &r);

	for (int i = 0; i < count; i++) {
		const uint8_t *bytes = l->in + (size_t)i * ROOM;
		size_t size = r.messages[i].msg_len, segment = size;
		uint16_t whole;
		uint64_t stamp = 0;

		look(&r.messages[i].msg_hdr, &stamp, &segment);
		for (size_t at = 0; at < size; at += segment)
			note(l, bytes + at, size - at < segment ? size - at : segment, stamp, !l->o.echo);
		r.vectors[i].iov_len = size;
		r.messages[i].msg_hdr.msg_controllen = 0;
		whole = (uint16_t)segment;
		if (segment < size)
			add(&r.messages[i].msg_hdr, SOL_UDP, UDP_SEGMENT, &whole, sizeof(whole));
	}
	for (int done = 0; l->o.echo && done < count;) {
		int went = sendmmsg(l->cloud, r.messages + done, (unsigned)(count - done), 0);

		if (went < 0 && errno != EAGAIN && errno != ECONNREFUSED)
			die("sendmmsg");
		done += went > 0 ? went : 0;
	}
	return count > 0;
}

static bool take_back(struct load *l)
{
	static struct reading r;
	int count = read_some(l, l->device, &r);

	for (int i = 0; i < count; i++) {
		size_t size = r.messages[i].msg_len, segment = size;
		uint64_t stamp = 0;

		look(&r.messages[i].msg_hdr, &stamp, &segment);
		for (size_t at = 0; at < size; at += segment)
			note(l, l->in + (size_t)i * ROOM + at, size - at < segment ? size - at : segment, 0,
			    true);
	}
	return count > 0;
}

static bool receive(struct load *l)
{
	bool came = !l->o.deaf && serve(l);

	if (l->o.deaf)
		l->all_got = l->all_sent;
	if (l->o.echo)
		came |= take_back(l);
	return came;
}

/* ---- What it costs ---- */

struct cost {
	uint64_t ran, waited,
	    busiest; /* ns; of all threads except the capture's, and of the one that ran most */
};

static struct cost cost_of(int pid)
{
	struct cost sum = {0};
	char path[512], name[64] = "";
	struct dirent *task;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	tasks = opendir(path);
	while (tasks && (task = readdir(tasks))) {
		uint64_t ran, waited;
		FILE *file;

		if (task->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/comm", pid, task->d_name);
		file = fopen(path, "r");
		if (!file || !fgets(name, sizeof(name), file))
			name[0] = '\0';
		if (file)
			fclose(file);
		snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", pid, task->d_name);
		file = fopen(path, "r");
		if (file && fscanf(file, "%" SCNu64 " %" SCNu64, &ran, &waited) == 2) {
			bool is_capture = strcmp(name, "capture\n") == 0;

			sum.ran += is_capture ? 0 : ran;
			sum.waited += is_capture ? 0 : waited;
			sum.busiest = ran > sum.busiest ? ran : sum.busiest;
		}
		if (file)
			fclose(file);
	}
	if (tasks)
		closedir(tasks);
	return sum;
}

/* Returns the kernel's part of opening a session, measured on sockets that all stay open. */
static double socket_ns(const struct sockaddr_in *to)
{
	int fds[SOCKETS];
	struct timespec before, after;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
	for (int i = 0; i < SOCKETS; i++) {
		fds[i] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (fds[i] < 0 || connect(fds[i], (const struct sockaddr *)to, sizeof(*to)))
			die("socket, connect");
	}
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
	for (int i = 0; i < SOCKETS; i++)
		close(fds[i]);
	return ((double)(after.tv_sec - before.tv_sec) * 1e9 + (double)(after.tv_nsec - before.tv_nsec)) /
	       SOCKETS;
}

/* ---- A run ---- */

/* Returns an estimate of how many datagrams are in flight. */
static uint64_t outstanding(struct load *l, uint64_t now)
{
	uint64_t sent = l->all_sent - l->before.first;

	if (now - l->span_began > SPAN + 2 * (uint64_t)l->o.delay_ns) {
		l->before = l->span;
		l->span = (struct span){.first = l->all_sent};
		l->span_began = now;
		sent = l->all_sent - l->before.first;
	}
	return sent > l->before.got ? sent - l->before.got : 0;
}

/* Sends for this long; returns the time that it took. */
static double run(struct load *l, double seconds)
{
	uint64_t began = now_ns(), base = l->sent;
	double elapsed = 0;

	while (elapsed < seconds) {
		uint64_t now = now_ns(), want = (uint64_t)BATCH * l->o.burst, out;

		elapsed = (double)(now - began) / 1e9;
		if (l->o.rate > 0) {
			uint64_t due = (uint64_t)(elapsed * l->o.rate);

			want = base + due > l->sent ? base + due - l->sent : 0;
		} else {
			out = outstanding(l, now);
			if (out + want > l->o.window)
				want = out < l->o.window ? l->o.window - out : 0;
			if (want < (uint64_t)l->o.burst * 16 && want < l->o.window / 4)
				want = 0; /* not a few at a time: many in one call */
		}
		if (want >= l->o.burst)
			send_some(l, (unsigned)(want < UINT32_MAX ? want : UINT32_MAX));
		receive(l);
	}
	return elapsed;
}

static void drain(struct load *l)
{
	uint64_t end = now_ns() + (uint64_t)(DRAIN * 1e9) + (uint64_t)l->o.delay_ns;

	while (now_ns() < end && l->all_got < l->all_sent)
		receive(l);
	l->all_got = l->all_sent;
	l->before = l->span = (struct span){.first = l->all_sent};
}

/* Sends one datagram from each device, so that all sessions are open. */
static void introduce(struct load *l)
{
	unsigned burst = l->o.burst;

	l->o.burst = 1;
	for (unsigned done = 0; done < l->o.devices; done += BATCH) {
		send_some(l, l->o.devices - done < BATCH ? l->o.devices - done : BATCH);
		for (int i = 0; i < 1000 && l->all_got < l->all_sent; i++)
			receive(l);
	}
	drain(l);
	l->o.burst = burst;
	l->next = 0;
}

static int ascending(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static double quantile(const struct load *l, double share)
{
	if (!l->late_count)
		return 0;
	return (double)l->late[(size_t)(share * (double)(l->late_count - 1))] / 1000;
}

static void measure(struct load *l)
{
	struct cost before = cost_of(l->o.watch), after;
	double seconds, kernels = socket_ns(&l->o.cloud), opening = 0;

	if (!l->o.cold) {
		introduce(l);
		opening = (double)(cost_of(l->o.watch).ran - before.ran) / l->o.devices;
		run(l, 0.5);
		drain(l);
	}
	l->round = 1;
	l->sent = l->got = 0;
	l->late_count = 0;
	before = cost_of(l->o.watch);
	seconds = run(l, l->o.seconds);
	after = cost_of(l->o.watch);
	/* Datagrams in flight when the time is over count as received, not as paid for. */
	uint64_t got = l->got;

	drain(l);
	qsort(l->late, l->late_count, sizeof(*l->late), ascending);
	printf("sent=%" PRIu64 " got=%" PRIu64 " paid=%" PRIu64
	       " seconds=%.3f us_min=%.2f us_p50=%.2f us_p99=%.2f cpu_ns=%" PRIu64 " busiest_ns=%" PRIu64
	       " waited=%.4f open_ns=%.0f socket_ns=%.0f\n",
	    l->sent, l->got, got, seconds, quantile(l, 0), quantile(l, 0.5), quantile(l, 0.99),
	    after.ran - before.ran, after.busiest - before.busiest,
	    (double)(after.waited - before.waited) / 1e9 / seconds, opening, kernels);
}

static struct sockaddr_in end_of(const char *text)
{
	const char *colon = strchr(text, ':');
	char host[INET_ADDRSTRLEN];
	struct sockaddr_in end = {.sin_family = AF_INET,
	    .sin_port = htons((uint16_t)atoi(colon ? colon + 1 : text)),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	snprintf(host, sizeof(host), "%.*s", colon ? (int)(colon - text) : 0, text);
	if (colon)
		inet_pton(AF_INET, host, &end.sin_addr);
	return end;
}

/* Opens the cloud's socket, in its own network namespace if it has one. */
static int open_cloud(const struct options *o)
{
	int room = o->deaf ? 0 : ROOM_FOR_BURSTS, home, there, fd;

	if (!o->cloud_net)
		return open_socket(&o->cloud, room);
	home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	there = open(o->cloud_net, O_RDONLY | O_CLOEXEC);
	if (home < 0 || there < 0 || setns(there, CLONE_NEWNET))
		die(o->cloud_net);
	fd = open_socket(&o->cloud, room);
	if (setns(home, CLONE_NEWNET))
		die("setns");
	close(home);
	close(there);
	return fd;
}

static void options_read(int count, char **words, struct options *o)
{
	static const struct option names[] = {{"to", 1, NULL, 't'}, {"cloud", 1, NULL, 'c'},
	    {"devices", 1, NULL, 'n'}, {"first", 1, NULL, 'f'}, {"size", 1, NULL, 's'},
	    {"window", 1, NULL, 'w'}, {"rate", 1, NULL, 'r'}, {"burst", 1, NULL, 'b'}, {"echo", 0, NULL, 'e'},
	    {"deaf", 0, NULL, 'D'}, {"cold", 0, NULL, 'C'}, {"delay", 1, NULL, 'd'}, {"watch", 1, NULL, 'p'},
	    {"from", 1, NULL, 'F'}, {"cloud-net", 1, NULL, 'N'}, {"seconds", 1, NULL, 'T'},
	    {NULL, 0, NULL, 0}};
	int name;

	*o = (struct options){
	    .from = 0x7f010001, .devices = 1, .size = 100, .window = 256, .burst = 1, .seconds = 1};
	while ((name = getopt_long(count, words, "", names, NULL)) != -1) {
		switch (name) {
		case 't': o->to = end_of(optarg); break;
		case 'c': o->cloud = end_of(optarg); break;
		case 'n': o->devices = (unsigned)atoi(optarg); break;
		case 's': o->size = (unsigned)atoi(optarg); break;
		case 'w': o->window = (unsigned)atoi(optarg); break;
		case 'r': o->rate = atof(optarg); break;
		case 'b': o->burst = (unsigned)atoi(optarg); break;
		case 'f': o->first = (unsigned)atoi(optarg); break;
		case 'e': o->echo = true; break;
		case 'D': o->deaf = true; break;
		case 'C': o->cold = true; break;
		case 'd': o->delay_ns = atoll(optarg) * 1000; break;
		case 'p': o->watch = atoi(optarg); break;
		case 'F': o->from = ntohl(inet_addr(optarg)); break;
		case 'N': o->cloud_net = optarg; break;
		case 'T': o->seconds = atof(optarg); break;
		default: exit(2);
		}
	}
	if (!o->to.sin_port || !o->cloud.sin_port || o->size < sizeof(struct mark) || !o->devices ||
	    !o->burst) {
		fprintf(stderr, "load: see the head of load.c\n");
		exit(2);
	}
}

int main(int count, char **words)
{
	struct load load = {0};
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	options_read(count, words, &load.o);
	load.out = calloc(BATCH, (size_t)load.o.size * load.o.burst);
	load.in = malloc((size_t)BATCH * ROOM);
	load.late = malloc(SAMPLES_MAX * sizeof(*load.late));
	assert(load.out && load.in && load.late);
	load.device = open_socket(NULL, ROOM_FOR_BURSTS);
	load.cloud = open_cloud(&load.o);
	measure(&load);
	return 0;
}
