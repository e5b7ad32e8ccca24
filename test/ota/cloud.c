/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ota-cloud: an emulated device cloud on a free port of 127.0.0.1, for any number of devices, until SIGINT or
 * SIGTERM. Its first line has the port and the image's SHA-256. The exit status is 0 if a device took the
 * whole image, else 1, and the last line says which step died. See cloud.h.
 */
#include "cloud.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "trace.h"

#define GREETING_MS 90000 /* an address that sends no HELLO within this is forgotten */
#define CATCH_UP_MS 1000  /* a chunk that is later than this is not made up for */

static volatile sig_atomic_t stopped; /* set by a signal */

static void stop(int number)
{
	(void)number;
	stopped = 1;
}

/* ---- Sessions ---- */

static void send_datagram(void *owner, const uint8_t *bytes, size_t size)
{
	const struct session *session = owner;

	(void)sendto(session->cloud->fd, bytes, size, 0, (const struct sockaddr *)&session->address,
	    sizeof(session->address));
}

static bool same_address(const struct sockaddr_in *a, const struct sockaddr_in *b)
{
	return a->sin_port == b->sin_port && a->sin_addr.s_addr == b->sin_addr.s_addr;
}

static struct session *session_find(struct cloud *cloud, const struct sockaddr_in *address)
{
	for (size_t i = 0; i < CLOUD_SESSIONS_MAX; i++)
		if (cloud->sessions[i].used && same_address(&cloud->sessions[i].address, address))
			return &cloud->sessions[i];
	return NULL;
}

static struct session *session_find_id(struct cloud *cloud, const uint8_t id[LINK_ID_SIZE])
{
	for (size_t i = 0; i < CLOUD_SESSIONS_MAX; i++)
		if (cloud->sessions[i].greeted && !memcmp(cloud->sessions[i].id, id, LINK_ID_SIZE))
			return &cloud->sessions[i];
	return NULL;
}

static struct session *session_find_cid(struct cloud *cloud, const uint8_t *cid)
{
	for (size_t i = 0; i < CLOUD_SESSIONS_MAX; i++)
		if (cloud->sessions[i].greeted && link_has_cid(cloud->sessions[i].link, cid))
			return &cloud->sessions[i];
	return NULL;
}

static void session_end(struct session *session)
{
	link_free(session->link);
	session->link = NULL;
	session->used = session->greeted = false;
}

static struct session *session_new(struct cloud *cloud, const struct sockaddr_in *address)
{
	struct session *session = cloud->sessions;

	while (session->used)
		if (++session == cloud->sessions + CLOUD_SESSIONS_MAX)
			return NULL;
	memset(session, 0, sizeof(*session));
	session->used = true;
	session->number = ++cloud->begun;
	session->cloud = cloud;
	session->address = *address;
	session->due_ms = clock_ms(&cloud->clock) + GREETING_MS;
	session->link = link_new(cloud->setup, send_datagram, session, address, sizeof(*address));
	if (!session->link)
		abort();
	exchanges_init(&session->exchanges, &cloud->clock, cloud->seed + session->number);
	session->exchanges.link = session->link;
	trace_info(&cloud->clock, "cloud.dtls", "s=%u handshake from port %u", session->number,
	    ntohs(address->sin_port));
	return session;
}

/* Takes a HELLO: this session becomes the device's only one. */
static void greet(struct session *session, const struct coap_message *message)
{
	struct coap_message ack = coap_ack(message, COAP_EMPTY);
	uint8_t id[LINK_ID_SIZE];
	struct session *before;

	exchange_send(&session->exchanges, &ack);
	if (link_peer_id(session->link, id))
		return;
	before = session_find_id(session->cloud, id);
	if (before && before != session)
		session_end(before);
	memcpy(session->id, id, sizeof(id));
	session->greeted = true;
	session->serve = SERVE_IDLE;
	session->due_ms = clock_ms(&session->cloud->clock) +
	                  (before ? session->cloud->again_ms : session->cloud->begin_ms);
	trace_info(&session->cloud->clock, "cloud.session", "s=%u HELLO", session->number);
}

static void take_address(struct session *session, const struct sockaddr_in *address)
{
	struct cloud *cloud = session->cloud;

	if (same_address(&session->address, address))
		return;
	trace_info(&cloud->clock, "cloud.session", "s=%u moved from port %u to %u", session->number,
	    ntohs(session->address.sin_port), ntohs(address->sin_port));
	session->address = *address;
	cloud->moves++;
}

/* Takes a device back into its session, and offers it the update again. */
static void resume(struct session *session)
{
	struct cloud *cloud = session->cloud;

	if (session->serve == SERVE_DONE)
		return;
	trace_info(&cloud->clock, "cloud.session", "s=%u resumed", session->number);
	exchanges_clear(&session->exchanges);
	session->serve = SERVE_IDLE;
	session->due_ms = clock_ms(&cloud->clock) + cloud->begin_ms;
}

/* ---- Serving ---- */

uint64_t serve_next(const struct session *session)
{
	uint64_t now = clock_ms(&session->cloud->clock),
	         pace = session->cloud->pace_ms ? session->cloud->pace_ms : 1;

	return session->due_ms + CATCH_UP_MS > now ? session->due_ms + pace : now + pace;
}

void serve_die(struct session *session, const char *step)
{
	trace_warn(&session->cloud->clock, "cloud.ota", "s=%u update died: %s", session->number, step);
	session->serve = SERVE_DIED;
	session->due_ms = CLOCK_NEVER;
	session->cloud->died = step;
}

void serve_done(struct session *session)
{
	trace_info(&session->cloud->clock, "cloud.ota", "s=%u the device has the image", session->number);
	session->serve = SERVE_DONE;
	session->due_ms = CLOCK_NEVER;
	session->cloud->done = true;
}

static void take_message(struct session *session, const uint8_t *bytes, size_t size)
{
	bool old = session->cloud->protocol == PROTOCOL_OLD;
	struct coap_message message;
	const char *what;

	if (coap_decode(&message, bytes, size))
		return;
	if (message.type == COAP_ACK || message.type == COAP_RST) {
		what = exchange_close(&session->exchanges, message.id);
		if (what && message.type == COAP_RST)
			serve_die(session, "RST");
		else if (what && old)
			serve_old_acknowledged(session, what, &message);
		else if (what)
			serve_v3_acknowledged(session, what, &message);
		return;
	}
	if (message.type == COAP_CON && exchange_repeat(&session->exchanges, message.id))
		return;
	if (message.code == COAP_EMPTY) {
		struct coap_message ack = coap_ack(&message, COAP_EMPTY);

		exchange_send(&session->exchanges, &ack);
	} else if (message.code == COAP_POST && coap_path(&message) == 'h') {
		greet(session, &message);
	} else if (old) {
		serve_old_message(session, &message);
	} else {
		serve_v3_message(session, &message);
	}
}

static void tick_session(struct session *session)
{
	struct cloud *cloud = session->cloud;
	bool old = cloud->protocol == PROTOCOL_OLD;
	const char *what;

	link_tick(session->link);
	if (link_state(session->link) == LINK_LOST) {
		trace_warn(
		    &cloud->clock, "cloud.dtls", "s=%u lost: %s", session->number, link_why(session->link));
		session_end(session);
		return;
	}
	while ((what = exchange_tick(&session->exchanges)))
		if (session->serve != SERVE_DONE)
			serve_die(session, what);
	if (clock_ms(&cloud->clock) < session->due_ms)
		return;
	if (!session->greeted)
		session_end(session);
	else if (session->serve == SERVE_IDLE && old)
		serve_old_begin(session);
	else if (session->serve == SERVE_IDLE)
		serve_v3_begin(session);
	else if (old)
		serve_old_tick(session);
	else
		serve_v3_tick(session);
}

static uint64_t due(const struct cloud *cloud)
{
	uint64_t due = CLOCK_NEVER;

	for (size_t i = 0; i < CLOUD_SESSIONS_MAX; i++) {
		const struct session *session = &cloud->sessions[i];

		if (!session->used)
			continue;
		due = session->due_ms < due ? session->due_ms : due;
		due = link_due(session->link) < due ? link_due(session->link) : due;
		due = exchange_due(&session->exchanges) < due ? exchange_due(&session->exchanges) : due;
	}
	return due;
}

/* ---- Datagrams ---- */

/* Answers a device whose session is unknown with a truncated record, which ends the session in 0.6.4. */
static void kill_session(const struct cloud *cloud, const struct sockaddr_in *address)
{
	static const uint8_t killer[] = {22, 0xFE, 0xFD, 0, 1, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0};

	(void)sendto(
	    cloud->fd, killer, sizeof(killer), 0, (const struct sockaddr *)address, sizeof(*address));
}

/* Returns a datagram's session, by its address, connection ID or the id of a move, or a new one, or NULL. */
static struct session *session_for(struct cloud *cloud, const struct sockaddr_in *from, const uint8_t *bytes,
    const struct link_origin *origin)
{
	struct session *session = session_find(cloud, from);

	if (session)
		return session;
	if (origin->cid) {
		session = session_find_cid(cloud, origin->cid);
	} else if (origin->id) {
		session = session_find_id(cloud, origin->id);
		if (!session)
			kill_session(cloud, from);
	} else if (bytes[0] == LINK_TYPE_HANDSHAKE) {
		session = session_new(cloud, from);
	}
	if (!session) {
		cloud->ignored++;
		trace_warn(&cloud->clock, "cloud.dtls", "record of type %u from unknown port %u ignored",
		    bytes[0], ntohs(from->sin_port));
	}
	return session;
}

static void take_datagram(struct cloud *cloud)
{
	uint8_t datagram[LINK_DATAGRAM_MAX], plain[LINK_DATAGRAM_MAX];
	struct sockaddr_in from;
	socklen_t from_size = sizeof(from);
	ssize_t received = recvfrom(
	    cloud->fd, datagram, sizeof(datagram), 0, (struct sockaddr *)&from, &from_size);
	size_t size = (size_t)received, got;
	struct link_origin origin;
	struct session *session;

	if (received <= 0)
		return;
	origin = link_look(datagram, &size);
	session = session_for(cloud, &from, datagram, &origin);
	if (!session)
		return;
	link_receive(session->link, datagram, size);
	while ((got = link_read(session->link, plain, sizeof(plain))) > 0) {
		take_address(session, &from); /* the record is authentic (RFC 9146 section 6) */
		if (origin.resumed)
			resume(session);
		take_message(session, plain, got);
	}
}

/* ---- Start and end ---- */

static void usage(void)
{
	fputs("usage: ota-cloud [--protocol old|v3] [--chunk BYTES] [--pace MS] [--begin S] [--again S] "
	      "[--persistent]\n"
	      "                 [--time-scale N] [--seed N] IMAGE\n",
	    stderr);
	exit(2);
}

static const char *read_words(struct cloud *cloud, int count, char **words, unsigned *scale, size_t *chunk)
{
	static const struct option options[] = {{"protocol", 1, NULL, 'p'}, {"chunk", 1, NULL, 'c'},
	    {"pace", 1, NULL, 'f'}, {"begin", 1, NULL, 'b'}, {"again", 1, NULL, 'a'},
	    {"persistent", 0, NULL, 'd'}, {"time-scale", 1, NULL, 'x'}, {"seed", 1, NULL, 's'},
	    {NULL, 0, NULL, 0}};

	for (int letter; (letter = getopt_long(count, words, "", options, NULL)) != -1;) {
		switch (letter) {
		case 'p': cloud->protocol = strcmp(optarg, "v3") ? PROTOCOL_OLD : PROTOCOL_V3; break;
		case 'c': *chunk = strtoul(optarg, NULL, 10); break;
		case 'f': cloud->pace_ms = strtoul(optarg, NULL, 10); break;
		case 'b': cloud->begin_ms = strtoul(optarg, NULL, 10) * 1000; break;
		case 'a': cloud->again_ms = strtoul(optarg, NULL, 10) * 1000; break;
		case 'd': cloud->persistent = true; break;
		case 'x': *scale = (unsigned)strtoul(optarg, NULL, 10); break;
		case 's': cloud->seed = strtoul(optarg, NULL, 10); break;
		default: usage();
		}
	}
	if (!cloud->again_ms)
		cloud->again_ms = cloud->begin_ms;
	if (count - optind != 1 || !*scale || *chunk < 16 || *chunk > 1136)
		usage();
	return words[optind];
}

static void bind_loopback(struct cloud *cloud)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	char text[2 * IMAGE_SHA256_SIZE + 1];

	cloud->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (cloud->fd < 0 || bind(cloud->fd, (struct sockaddr *)&address, size) ||
	    getsockname(cloud->fd, (struct sockaddr *)&address, &size)) {
		perror("ota-cloud: socket");
		exit(1);
	}
	image_hex(cloud->sum, sizeof(cloud->sum), text);
	printf("ready port=%u sha256=%s\n", ntohs(address.sin_port), text);
	fflush(stdout);
}

static int conclude(const struct cloud *cloud)
{
	unsigned retransmissions = 0;

	for (size_t i = 0; i < CLOUD_SESSIONS_MAX; i++)
		retransmissions += cloud->sessions[i].exchanges.retransmissions;
	printf("result=%s step=\"%s\" sessions=%u moves=%u ignored=%u chunks=%u missed_requests=%u "
	       "retransmissions=%u\n",
	    cloud->done ? "taken" : "died",
	    cloud->done   ? "-"
	    : cloud->died ? cloud->died
	                  : "not finished",
	    cloud->begun, cloud->moves, cloud->ignored, cloud->chunks, cloud->missed_requests,
	    retransmissions);
	return cloud->done ? 0 : 1;
}

static void run(struct cloud *cloud)
{
	while (!stopped) {
		if (clock_wait(&cloud->clock, cloud->fd, due(cloud)))
			take_datagram(cloud);
		for (size_t i = 0; i < CLOUD_SESSIONS_MAX; i++)
			if (cloud->sessions[i].used)
				tick_session(&cloud->sessions[i]);
	}
}

int main(int count, char **words)
{
	static struct cloud cloud = {.pace_ms = 250, .begin_ms = 2000, .seed = 1};
	struct link_settings settings = {
	    .side = LINK_CLOUD, .clock = &cloud.clock, .handshake_min_ms = 3000, .handshake_max_ms = 24000};
	unsigned scale = 1;
	size_t chunk = 512;
	const char *path = read_words(&cloud, count, words, &scale, &chunk);

	if (image_read(&cloud.image, path, chunk) || cloud.image.count > CLOUD_CHUNKS_MAX) {
		fprintf(stderr, "ota-cloud: %s: cannot be read, or too large\n", path);
		return 2;
	}
	image_sha256(&cloud.image, cloud.sum);
	signal(SIGINT, stop);
	signal(SIGTERM, stop);
	clock_start(&cloud.clock, scale);
	cloud.setup = link_setup_new(&settings);
	if (!cloud.setup) {
		fputs("ota-cloud: no keys\n", stderr);
		return 1;
	}
	bind_loopback(&cloud);
	run(&cloud);
	for (size_t i = 0; i < CLOUD_SESSIONS_MAX; i++)
		session_end(&cloud.sessions[i]);
	link_setup_free(cloud.setup);
	image_fini(&cloud.image);
	close(cloud.fd);
	return conclude(&cloud);
}
