/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ota-device: an emulated Particle device. It connects through the proxy at HOST PORT, says HELLO, keeps the
 * connection alive and takes one firmware update. The exit status is 0 if the image arrived whole and was
 * applied, else 1, and the last line says which step died. See device.h for the states.
 */
#include "device.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "trace.h"

#define KEEPALIVE_MS (23 * 60 * 1000) /* the interval in the provider's table */
#define RECONNECT_MS 1000
#define LINGER_MS 8000     /* how long it still answers repeated messages once it has applied the image */
#define FAREWELL_MS 150000 /* no reconnection after a dead update takes longer */
#define HELLO_SIZE 22
#define PLATFORM_ELECTRON 10

/* ---- Connection ---- */

static void send_datagram(void *owner, const uint8_t *bytes, size_t size)
{
	const struct device *device = owner;

	/* An error may be about an earlier datagram, so try once more; after a second one this is lost. */
	if (send(device->fd, bytes, size, 0) < 0)
		(void)send(device->fd, bytes, size, 0);
}

/* The connected socket drops what comes from another address or port, like the real device's code. */
static void open_socket(struct device *device)
{
	if (device->fd >= 0)
		close(device->fd);
	device->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (device->fd < 0 || connect(device->fd, (struct sockaddr *)&device->cloud, sizeof(device->cloud))) {
		perror("ota-device: socket");
		exit(1);
	}
}

static void forget_messages(struct device *device)
{
	exchanges_clear(&device->exchanges);
	device->waiting = false;
	device->reconnect_ms = CLOCK_NEVER;
}

static void connect_anew(struct device *device)
{
	forget_messages(device);
	open_socket(device);
	link_free(device->link);
	device->link = link_new(device->setup, send_datagram, device, &device->cloud, sizeof(device->cloud));
	if (!device->link)
		abort();
	device->exchanges.link = device->link;
	device->phase = PHASE_CONNECTING;
	if (device->counts.handshakes++ && device->forgets_keepalive)
		device->keepalive_ms = KEEPALIVE_MS;
	trace_info(&device->clock, "comm.dtls", "full handshake");
	link_tick(device->link);
}

/* Resumes without a handshake: the next record continues the session, from the device's present address. */
static void resume(struct device *device)
{
	struct coap_message ping = {.code = COAP_EMPTY};

	forget_messages(device);
	open_socket(device);
	link_resume(device->link);
	device->phase = PHASE_GREETING;
	device->counts.resumes++;
	trace_info(&device->clock, "comm.dtls", "session cmd (CLS,DIS,MOV,LOD,SAV): 2");
	trace_info(&device->clock, "comm.protocol", "resumed session - not sending HELLO message");
	device_confirm(device, &ping, "resume ping");
}

static void say_hello(struct device *device)
{
	struct coap_message hello = coap_request(COAP_CON, COAP_POST, "h");
	uint8_t payload[HELLO_SIZE] = {0, 1, 0, 1, 0, 0, 0, PLATFORM_ELECTRON, 0, LINK_ID_SIZE};

	memcpy(payload + HELLO_SIZE - LINK_ID_SIZE, device->id, LINK_ID_SIZE);
	hello.payload = payload;
	hello.payload_size = sizeof(payload);
	device->phase = PHASE_GREETING;
	trace_info(&device->clock, "comm.protocol", "handshake complete, sending HELLO message");
	device_confirm(device, &hello, "HELLO");
}

static void now_connected(struct device *device)
{
	device->phase = PHASE_CONNECTED;
	trace_info(&device->clock, "system", "cloud connected");
	if (device->died && !device->tries)
		device->phase = PHASE_GONE;
}

static void lost(struct device *device, const char *why)
{
	trace_warn(&device->clock, "comm.dtls", "session lost: %s", why);
	if (device->phase == PHASE_LEAVING)
		device->phase = PHASE_GONE;
	else if (device->update != UPDATE_NONE)
		device_die(device, "session", RECONNECT_FULL);
	else
		device->reconnect_ms = clock_ms(&device->clock) + RECONNECT_MS;
}

/* ---- What the protocols use ---- */

void device_confirm(struct device *device, struct coap_message *message, const char *what)
{
	device->waiting_id = exchange_confirm(&device->exchanges, message, what);
	device->waiting = device->sync == SYNC_064;
}

void device_acknowledge(struct device *device, const struct coap_message *message, enum coap_code code)
{
	struct coap_message ack = coap_ack(message, code);

	exchange_send(&device->exchanges, &ack);
}

void device_die(struct device *device, const char *step, enum reconnect how)
{
	device->died = step;
	device->decided_ms = clock_ms(&device->clock);
	device->update = UPDATE_NONE;
	device->tries -= device->tries > 0;
	trace_warn(&device->clock, "system", "update died: %s", step);
	if (!device->tries)
		device->leave_ms = clock_ms(&device->clock) + FAREWELL_MS;
	if (how == RECONNECT_RESUME && link_state(device->link) == LINK_OPEN)
		resume(device);
	else
		connect_anew(device);
}

void device_apply(struct device *device)
{
	uint8_t sum[IMAGE_SHA256_SIZE];
	char text[2 * IMAGE_SHA256_SIZE + 1];

	image_sha256(&device->image, sum);
	image_hex(sum, sizeof(sum), text);
	device->update = UPDATE_NONE;
	device->phase = PHASE_LEAVING;
	device->decided_ms = clock_ms(&device->clock);
	device->leave_ms = device->decided_ms + LINGER_MS;
	device->died = device->sha256 && strcasecmp(device->sha256, text) ? "verify" : NULL;
	trace_info(&device->clock, "system", "image of %zu bytes, SHA-256 %s: %s", device->image.size, text,
	    device->died ? "not what was sent" : "applied");
}

/* ---- Messages and time ---- */

static void acknowledged(struct device *device, const struct coap_message *message)
{
	const char *what = exchange_close(&device->exchanges, message->id);

	if (device->waiting && message->id == device->waiting_id)
		device->waiting = false;
	if (message->type == COAP_RST) {
		lost(device, "the cloud sent RST");
		return;
	}
	if (!what)
		return;
	trace_info(&device->clock, "comm.coap", "%s acknowledged", what);
	if (device->phase == PHASE_GREETING && (!strcmp(what, "HELLO") || !strcmp(what, "resume ping")))
		now_connected(device);
	else if (device->protocol == PROTOCOL_V3)
		receive_v3_acknowledged(device, what);
}

static void take_message(struct device *device, const uint8_t *bytes, size_t size)
{
	struct coap_message message;
	bool answer;

	if (coap_decode(&message, bytes, size)) {
		trace_warn(&device->clock, "comm.coap", "%zu bytes are no message", size);
		return;
	}
	answer = message.type == COAP_ACK || message.type == COAP_RST;
	if (device->waiting && !(answer && message.id == device->waiting_id)) {
		device->counts.thrown_away++;
		trace_warn(&device->clock, "comm.coap", "waiting for id=%u: message of %zu bytes thrown away",
		    device->waiting_id, size);
		return;
	}
	device->heard_ms = clock_ms(&device->clock);
	if (answer)
		acknowledged(device, &message);
	else if (message.type == COAP_CON && exchange_repeat(&device->exchanges, message.id))
		trace_info(&device->clock, "comm.coap", "id=%u came again, answered as before", message.id);
	else if (message.code == COAP_EMPTY)
		device_acknowledge(device, &message, COAP_EMPTY);
	else if (device->protocol == PROTOCOL_OLD)
		receive_old_message(device, &message);
	else
		receive_v3_message(device, &message);
}

static void take_datagram(struct device *device)
{
	uint8_t datagram[LINK_DATAGRAM_MAX], plain[LINK_DATAGRAM_MAX];
	ssize_t size = recv(device->fd, datagram, sizeof(datagram), 0);
	struct link *link = device->link;
	size_t got;

	if (size <= 0)
		return;
	link_receive(link, datagram, (size_t)size);
	/* A message may replace the link; the rest of this datagram is then dropped. */
	while (device->link == link && (got = link_read(link, plain, sizeof(plain))) > 0)
		take_message(device, plain, got);
}

static void watch_link(struct device *device)
{
	link_tick(device->link);
	if (device->reconnect_ms != CLOCK_NEVER)
		return;
	if (link_state(device->link) == LINK_LOST)
		lost(device, link_why(device->link));
	else if (device->phase == PHASE_CONNECTING && link_state(device->link) == LINK_OPEN)
		say_hello(device);
}

static void keep_alive(struct device *device)
{
	struct coap_message ping = {.code = COAP_EMPTY};

	device->heard_ms = clock_ms(&device->clock);
	device->counts.pings++;
	exchange_confirm(&device->exchanges, &ping, "ping");
}

static uint64_t ping_due(const struct device *device)
{
	if (device->phase != PHASE_CONNECTED || device->update != UPDATE_NONE)
		return CLOCK_NEVER;
	return device->heard_ms + device->keepalive_ms;
}

static void give_up(struct device *device, const char *what)
{
	if (device->phase == PHASE_LEAVING)
		return;
	if (device->update == UPDATE_NONE)
		connect_anew(device);
	else if (device->protocol == PROTOCOL_OLD)
		receive_old_given_up(device, what);
	else
		receive_v3_given_up(device, what);
}

static void tick(struct device *device)
{
	uint64_t now = clock_ms(&device->clock);
	const char *what;

	watch_link(device);
	while ((what = exchange_tick(&device->exchanges)))
		give_up(device, what);
	if (now >= ping_due(device))
		keep_alive(device);
	if (device->protocol == PROTOCOL_OLD)
		receive_old_tick(device);
	else
		receive_v3_tick(device);
	if (now >= device->reconnect_ms)
		connect_anew(device);
	if (now >= device->leave_ms)
		device->phase = PHASE_GONE;
	if (now >= device->patience_ms && device->phase < PHASE_LEAVING) {
		if (!device->died) {
			device->decided_ms = now;
			device->died = device->update != UPDATE_NONE       ? "patience"
			               : device->phase == PHASE_CONNECTING ? "handshake"
			               : device->phase == PHASE_GREETING   ? "HELLO"
			                                                   : "no update offered";
		}
		device->phase = PHASE_GONE;
	}
}

static uint64_t due(const struct device *device)
{
	const uint64_t times[] = {device->reconnect_ms, device->leave_ms, device->patience_ms,
	    ping_due(device), exchange_due(&device->exchanges), link_due(device->link),
	    device->protocol == PROTOCOL_OLD ? receive_old_due(device) : receive_v3_due(device)};
	uint64_t due = CLOCK_NEVER;

	for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++)
		due = times[i] < due ? times[i] : due;
	return due;
}

/* ---- Start and end ---- */

static void usage(void)
{
	fputs("usage: ota-device [--protocol old|v3] [--mended] [--keepalive S] [--forget-keepalive] "
	      "[--patience S]\n"
	      "                  [--cid] [--tries N] [--time-scale N] [--seed N] [--sha256 HEX] HOST PORT\n",
	    stderr);
	exit(2);
}

static void read_words(struct device *device, int count, char **words, unsigned *scale, uint64_t *seed)
{
	static const struct option options[] = {{"protocol", 1, NULL, 'p'}, {"mended", 0, NULL, 'm'},
	    {"keepalive", 1, NULL, 'k'}, {"forget-keepalive", 0, NULL, 'f'}, {"patience", 1, NULL, 'w'},
	    {"cid", 0, NULL, 'c'}, {"tries", 1, NULL, 't'}, {"time-scale", 1, NULL, 'x'},
	    {"seed", 1, NULL, 's'}, {"sha256", 1, NULL, 'h'}, {NULL, 0, NULL, 0}};

	for (int letter; (letter = getopt_long(count, words, "", options, NULL)) != -1;) {
		switch (letter) {
		case 'p': device->protocol = strcmp(optarg, "v3") ? PROTOCOL_OLD : PROTOCOL_V3; break;
		case 'm': device->sync = SYNC_MENDED; break;
		case 'k': device->keepalive_ms = strtoul(optarg, NULL, 10) * 1000; break;
		case 'f': device->forgets_keepalive = true; break;
		case 'w': device->patience_ms = strtoul(optarg, NULL, 10) * 1000; break;
		case 'c': device->cid = LINK_CID_OFFERED; break;
		case 't': device->tries = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'x': *scale = (unsigned)strtoul(optarg, NULL, 10); break;
		case 's': *seed = strtoul(optarg, NULL, 10); break;
		case 'h': device->sha256 = optarg; break;
		default: usage();
		}
	}
	if (count - optind != 2 || !*scale || inet_pton(AF_INET, words[optind], &device->cloud.sin_addr) != 1)
		usage();
	device->cloud.sin_family = AF_INET;
	device->cloud.sin_port = htons((uint16_t)strtoul(words[optind + 1], NULL, 10));
	if (device->protocol == PROTOCOL_V3)
		device->sync = SYNC_MENDED;
	if (!device->tries)
		device->tries = device->protocol == PROTOCOL_V3 ? 5 : 1;
}

static void conclude(const struct device *device)
{
	const struct device_counts *counts = &device->counts;

	printf("result=%s step=\"%s\" seconds=%.1f chunks=%u duplicates=%u missed_requests=%u thrown_away=%u "
	       "retransmissions=%u handshakes=%u resumes=%u pings=%u\n",
	    device->died ? "died" : "applied", device->died ? device->died : "-",
	    (double)device->decided_ms / 1000, counts->chunks, counts->duplicates, counts->missed_requests,
	    counts->thrown_away, device->exchanges.retransmissions, counts->handshakes, counts->resumes,
	    counts->pings);
}

int main(int count, char **words)
{
	struct device device = {.fd = -1,
	    .keepalive_ms = KEEPALIVE_MS,
	    .patience_ms = 20 * 60 * 1000,
	    .id = {0x2a, 0, 0x3c, 0, 0x0f, 0x47, 0x35, 0x33, 0x34, 0x36, 0x30, 0x32}};
	struct link_settings settings = {
	    .side = LINK_DEVICE, .clock = &device.clock, .handshake_min_ms = 3000};
	unsigned scale = 1;
	uint64_t seed = 1;

	read_words(&device, count, words, &scale, &seed);
	clock_start(&device.clock, scale);
	settings.manners = device.sync == SYNC_064 ? LINK_MANNERS_064 : LINK_MANNERS_LIBRARY;
	settings.handshake_max_ms = device.sync == SYNC_064 ? 6000 : 24000;
	settings.cid = device.cid;
	memcpy(settings.id, device.id, LINK_ID_SIZE);
	device.setup = link_setup_new(&settings);
	if (!device.setup) {
		fputs("ota-device: no keys\n", stderr);
		return 1;
	}
	exchanges_init(&device.exchanges, &device.clock, seed);
	device.leave_ms = CLOCK_NEVER;
	connect_anew(&device);
	while (device.phase != PHASE_GONE) {
		if (clock_wait(&device.clock, device.fd, due(&device)))
			take_datagram(&device);
		tick(&device);
	}
	conclude(&device);
	link_free(device.link);
	link_setup_free(device.setup);
	image_fini(&device.image);
	close(device.fd);
	return device.died ? 1 : 0;
}
