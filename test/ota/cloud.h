/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cloud: the state of an emulated cloud. It keeps one session for each address and port that it receives
 * from, like Particle's (test/ota/README.md 3.4): a record from an unknown one is silently ignored unless it
 * begins a handshake or is a session move; a session moves to its new address only after an authentic record
 * from there.
 *
 * One image is offered to each device that connects, some time after its HELLO or its move, until the device
 * has it.
 */
#ifndef OTA_CLOUD_H
#define OTA_CLOUD_H

#include <netinet/in.h>
#include <stdbool.h>

#include "clock.h"
#include "coap.h"
#include "exchange.h"
#include "image.h"
#include "link.h"

#define CLOUD_SESSIONS_MAX 32
#define CLOUD_CHUNKS_MAX 4096

enum protocol { PROTOCOL_OLD, PROTOCOL_V3 };

/* The old protocol uses idle, offered, flight, ending (UpdateDone sent), waiting (for ChunkMissed); v3 uses
 * idle, offered, flight, ending. */
enum serve { SERVE_IDLE, SERVE_OFFERED, SERVE_FLIGHT, SERVE_ENDING, SERVE_WAITING, SERVE_DONE, SERVE_DIED };

struct cloud;

struct session {
	bool used, greeted;
	unsigned number;
	struct cloud *cloud;
	struct sockaddr_in address;
	uint8_t id[LINK_ID_SIZE];
	struct link *link;
	struct exchanges exchanges;
	enum serve serve;
	uint64_t due_ms;               /* the next step of serving */
	bool wanted[CLOUD_CHUNKS_MAX]; /* by index in the image. old: to be sent; v3: not acknowledged */
	size_t wanted_count;
	bool asked; /* old: the device asked for missing chunks */
	/* v3 */
	size_t base, acknowledged, window;  /* chunks */
	uint64_t sent_ms[CLOUD_CHUNKS_MAX]; /* 0: not yet */
	uint64_t progress_ms, patience_ms;
};

struct cloud {
	struct clock clock;
	int fd;
	struct link_setup *setup;
	enum protocol protocol;
	struct image image;
	uint8_t sum[IMAGE_SHA256_SIZE];
	uint64_t pace_ms;  /* between two chunks */
	uint64_t begin_ms; /* from the first HELLO to the offer */
	uint64_t again_ms; /* from a later one */
	bool persistent;   /* old: sends UpdateDone again after every recovery flight */
	uint64_t seed;
	struct session sessions[CLOUD_SESSIONS_MAX];
	unsigned begun, moves, ignored, chunks, missed_requests;
	bool done;
	const char *died; /* the step of the last update that died */
};

/* Returns when the next chunk is due, counted from when this one was, so that lateness does not add up. */
uint64_t serve_next(const struct session *session);
void serve_die(struct session *session, const char *step);
void serve_done(struct session *session);

/* Make the offer, take a message, take an acknowledgement of ours, and act when due_ms has come. */
void serve_old_begin(struct session *session);
void serve_old_message(struct session *session, const struct coap_message *message);
void serve_old_acknowledged(struct session *session, const char *what, const struct coap_message *message);
void serve_old_tick(struct session *session);

void serve_v3_begin(struct session *session);
void serve_v3_message(struct session *session, const struct coap_message *message);
void serve_v3_acknowledged(struct session *session, const char *what, const struct coap_message *message);
void serve_v3_tick(struct session *session);

#endif
