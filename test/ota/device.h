/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * device: the state of an emulated device, and what its two update protocols share.
 *
 *   connecting ── handshake ──> greeting ── HELLO or ping acknowledged ──> connected ── applied ──> leaving
 *       ^                          ^
 *       |                          +── watchdog, v3 time-out: resume
 *       +── CoAP gave up, session lost: full handshake
 *
 * When an update dies, device->died names the step. With tries left the device is ready for another one once
 * it is connected again; without, it still reconnects, like the real one, and then leaves.
 */
#ifndef OTA_DEVICE_H
#define OTA_DEVICE_H

#include <netinet/in.h>
#include <stdbool.h>

#include "clock.h"
#include "coap.h"
#include "exchange.h"
#include "image.h"
#include "link.h"

enum protocol { PROTOCOL_OLD, PROTOCOL_V3 };
enum phase { PHASE_CONNECTING, PHASE_GREETING, PHASE_CONNECTED, PHASE_LEAVING, PHASE_GONE };
enum update { UPDATE_NONE, UPDATE_FLIGHT, UPDATE_RECOVERY, UPDATE_FINISHING };
enum reconnect { RECONNECT_FULL, RECONNECT_RESUME };

/* SYNC_064: while the device waits for an acknowledgement, it reads all else and throws it away. SYNC_MENDED:
 * the behaviour of 2.0.0 and later. */
enum sync { SYNC_064, SYNC_MENDED };

struct device_counts {
	unsigned chunks, duplicates, missed_requests, thrown_away, handshakes, resumes, pings, acks;
};

struct device {
	struct clock clock;
	enum protocol protocol;
	enum sync sync;
	enum link_cid cid;
	uint64_t keepalive_ms, patience_ms;
	bool forgets_keepalive; /* every reconnection restores the provider's interval
	                           (test/ota/README.md 4, bug 1) */
	unsigned tries;         /* updates that may still be begun */
	const char *sha256;     /* in hex, of the expected image; NULL: not known */
	uint8_t id[LINK_ID_SIZE];
	struct sockaddr_in cloud;

	int fd;
	struct link_setup *setup;
	struct link *link;
	struct exchanges exchanges;
	enum phase phase;
	uint64_t reconnect_ms, leave_ms; /* CLOCK_NEVER: not planned */
	uint64_t heard_ms;               /* last message from the cloud, or ping */
	bool waiting;                    /* synchronously, for the acknowledgement of waiting_id */
	uint16_t waiting_id;
	const char *died;    /* the step, or NULL */
	uint64_t decided_ms; /* when the update was applied or died */
	struct device_counts counts;

	enum update update;
	struct image image;
	uint64_t saved_ms; /* when the last chunk came */
	uint64_t asked_ms; /* old: when it last asked for chunks */
	/* v3 */
	uint8_t sum[IMAGE_SHA256_SIZE]; /* of the file that `image` is a part of */
	size_t base;                    /* chunks held when this transfer began */
	unsigned unacknowledged;
	uint64_t acknowledge_ms;
};

/* Sends a confirmable message; with SYNC_064 the device then waits for its acknowledgement. */
void device_confirm(struct device *device, struct coap_message *message, const char *what);
void device_acknowledge(struct device *device, const struct coap_message *message, enum coap_code code);
void device_die(struct device *device, const char *step, enum reconnect how);
/* Checks the sum of the complete image and applies it. */
void device_apply(struct device *device);

/* Each protocol handles messages, the fate of its own (acknowledged or given up), and time. */
void receive_old_message(struct device *device, const struct coap_message *message);
void receive_old_given_up(struct device *device, const char *what);
void receive_old_tick(struct device *device);
uint64_t receive_old_due(const struct device *device);

void receive_v3_message(struct device *device, const struct coap_message *message);
void receive_v3_acknowledged(struct device *device, const char *what);
void receive_v3_given_up(struct device *device, const char *what);
void receive_v3_tick(struct device *device);
uint64_t receive_v3_due(const struct device *device);

#endif
