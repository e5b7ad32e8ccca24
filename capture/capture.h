/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * capture: writes what came, what left and what was decided, from a thread of its own.
 *
 * A worker's thread calls capture_arrived, _departed and _event with its recorder: they copy into the
 * recorder's ring and return; they never wait (but for `patient`, which simulate uses: it has time). The
 * capture's thread takes what stands first in the rings, the oldest first, makes blocks and writes at least
 * every 50 ms. What does not fit into a ring or onto the disk is counted as lost and told once.
 *
 * pcapng: one section; interfaces 0 `device`, 1 `cloud`, 2 `events`, all Ethernet. Every packet has one
 * comment (capture/comment.h). Classic pcap, through libpcap, holds the same packets without comments and
 * events.
 *
 * With key logs, packets are held back in the ring for keylog_wait, never in the relay; the lines that have
 * come by then stand before them in a Decryption Secrets Block. A new file starts with all lines so far.
 *
 * Stamps are wall-clock nanoseconds since 1970.
 */
#ifndef CAPTURE_CAPTURE_H
#define CAPTURE_CAPTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/account.h"
#include "base/address.h"
#include "base/error.h"
#include "base/names.h"
#include "base/ns.h"
#include "base/verdict.h"
#include "capture/comment.h"

enum capture_format { CAPTURE_PCAPNG, CAPTURE_PCAP };

struct capture_options {
	const char *path; /* strftime patterns are expanded; "-" is standard output */
	enum capture_format format;
	uint32_t snaplen;           /* most payload bytes kept of a datagram */
	uint64_t rotate_size;       /* 0: never */
	ns_t rotate_time;           /* 0: never */
	unsigned keep;              /* files; 0: all */
	bool patient;               /* wait for room rather than lose */
	unsigned recorders;         /* threads that record; 0: one */
	const char *const *keylogs; /* key log files to follow */
	size_t keylog_count;
	ns_t keylog_wait; /* packets are held back so long, so that keys stand before those that need them */
	const struct names *names;
	const char *version; /* "deadzone 1.0.0" */
	uint64_t seed;
	const char *ini; /* text in force */
	ns_t at;         /* wall clock: the first file's name, and the start of its statistics */
};

struct capture;
/* What one thread records with. */
struct recorder;

/* Who a packet went from and to. What is not known has no family: the headers hold zeros then. */
struct capture_path {
	const struct address *device,
	    *device_side;                         /* the device, and the proxy's address that it speaks to */
	const struct address *cloud_side, *cloud; /* the proxy's address towards the cloud, and the cloud */
};

/* What only the end knows, for the closing statistics. */
struct capture_closing {
	struct account totals[WAYS];
	uint64_t kernel_drops[WAYS];
	const char *comment; /* lines of `key=value`: rules' counts, lateness, … */
	ns_t at;
};

/* Opens the first file at once; NULL and why where that fails. */
struct capture *capture_open(const struct capture_options *options, struct error *error);
/* Writes all that is in the ring, then the statistics, and ends the thread; what was counted can still be
 * read. */
void capture_close(struct capture *capture, const struct capture_closing *closing);
/* Ends the thread, too, where capture_close has not. */
void capture_free(struct capture *capture);

struct recorder *capture_recorder(struct capture *capture, unsigned index);

void capture_arrived(struct recorder *recorder, const struct capture_path *path,
    const struct verdict *verdict, const uint8_t *bytes, uint8_t tos, uint64_t id, ns_t at);
/* Sent, or unsent where `departure` has a reason. */
void capture_departed(struct recorder *recorder, const struct capture_path *path,
    const struct departure *departure, const uint8_t *bytes, uint32_t size, uint8_t tos, uint64_t id,
    ns_t at);
void capture_event(struct recorder *recorder, const char *text, ns_t at);
/* The name of an address, known from here on: a host name, or a [device] section. May be said again and
 * again. */
void capture_host(struct recorder *recorder, const struct address *address, const char *name, ns_t at);

/* A new file from here on (SIGUSR2, reload); asked for while nothing is recorded. `ini`: the text in
 * force from now; NULL: as before. -1 where there is none to start (standard output). */
int capture_rotate(struct capture *capture, const char *ini);
/* A reload starts a new file: the name has a pattern, or rotation is on. */
bool capture_starts_anew(const struct capture *capture);

uint64_t capture_written(const struct capture *capture);
uint64_t capture_lost(const struct capture *capture);
/* Takes the message of what went wrong since the last call; false where all is well. */
bool capture_trouble(struct capture *capture, char *text, size_t cap);
/* The name of the file that is open, or was last. */
void capture_name(struct capture *capture, char *text, size_t cap);

#endif
