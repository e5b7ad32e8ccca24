/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * capture: writes what arrived, what was sent and what was decided to a file, in a thread of its own.
 *
 * A worker thread calls capture_arrived, _departed and _event with its recorder: they copy into the
 * recorder's ring and return without waiting (except with `patient`, which is for simulate). The capture
 * thread takes the oldest record from the rings, makes blocks, and writes at least every 20 ms. Records that
 * do not fit into a ring or onto the disk are counted as lost and reported once.
 *
 * pcapng: one section; interfaces 0 `device`, 1 `cloud`, 2 `events`, all Ethernet. Every packet has one
 * comment (capture/comment.h). Classic pcap, written by libpcap, holds the same packets without comments and
 * events.
 *
 * With key logs, packets are held back in the ring for keylog_wait, never in the relay; the lines that have
 * arrived by then precede them in a Decryption Secrets Block. A new file starts with all lines so far.
 *
 * Timestamps are wall-clock nanoseconds since 1970.
 *
 * Order of calls: capture_open, capture_recorder for each thread, the recording functions, capture_close,
 * capture_free.
 */
#ifndef CAPTURE_CAPTURE_H
#define CAPTURE_CAPTURE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

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
	uint32_t snaplen;     /* maximum payload bytes kept of a datagram */
	uint64_t rotate_size; /* 0: never */
	ns_t rotate_time;     /* 0: never */
	unsigned keep;        /* number of files kept; 0: all */
	mode_t mode;          /* permissions of its files; 0: what the umask leaves, 0600 with key logs */
	bool patient;         /* wait for room in the ring instead of losing records */
	unsigned recorders;   /* number of recorders, one for each thread that records; 0: one */
	const char *const *keylogs; /* key log files to follow */
	size_t keylog_count;
	ns_t keylog_wait; /* how long packets are held back, so that their keys precede them */
	const struct names *names;
	const char *version; /* "deadzone 1.0.0" */
	uint64_t seed;
	const char *ini; /* the configuration in force */
	ns_t at;         /* wall clock: for the first file's name, and the start of its statistics */
};

struct capture;
/* What one thread records with; it belongs to the capture. */
struct recorder;

/* The addresses of a packet. An address that is not known has no family: the headers then contain zeros. */
struct capture_path {
	const struct address *device, *device_side; /* the device, and the proxy's address towards it */
	const struct address *cloud_side, *cloud;   /* the proxy's address towards the cloud, and the cloud */
};

/* Closing statistics, known only at the end. */
struct capture_closing {
	struct account totals[WAYS];
	uint64_t kernel_drops[WAYS];
	const char *comment; /* lines of `key=value`: counts of rules, lateness, … */
	ns_t at;
};

/* Opens the first file and starts the thread. Returns NULL and sets *error on failure. */
struct capture *capture_open(const struct capture_options *options, struct error *error);
/* Writes everything in the rings, then the statistics (`closing` may be NULL: none), and ends the thread.
 * The counters below can still be read. */
void capture_close(struct capture *capture, const struct capture_closing *closing);
/* Frees the capture, after capture_close if that was not called. */
void capture_free(struct capture *capture);

struct recorder *capture_recorder(struct capture *capture, unsigned index);

void capture_arrived(struct recorder *recorder, const struct capture_path *path,
    const struct verdict *verdict, const uint8_t *bytes, uint8_t tos, uint64_t id, ns_t at);
/* Records a datagram that was sent or, if `departure` has a reason, dropped. */
void capture_departed(struct recorder *recorder, const struct capture_path *path,
    const struct departure *departure, const uint8_t *bytes, uint32_t size, uint8_t tos, uint64_t id,
    ns_t at);
void capture_event(struct recorder *recorder, const char *text, ns_t at);
/* Records the name of an address, valid from now on: a host name, or the name of a [device] section. May
 * be called repeatedly. */
void capture_host(struct recorder *recorder, const struct address *address, const char *name, ns_t at);

/* Starts a new file (SIGUSR2, reload); must not run while a thread records. `ini` is the configuration in
 * force from now on; NULL: unchanged. Returns -1 if there cannot be a new file (standard output). */
int capture_rotate(struct capture *capture, const char *ini);
/* Returns true if a reload starts a new file: the name has a pattern, or rotation is on. */
bool capture_rotates_on_reload(const struct capture *capture);

uint64_t capture_written(const struct capture *capture);
uint64_t capture_lost(const struct capture *capture);
/* Moves the message about what went wrong since the last call into `text`. Returns false if there is none. */
bool capture_trouble(struct capture *capture, char *text, size_t cap);
/* Stores the name of the file that is open or was opened last. */
void capture_name(struct capture *capture, char *text, size_t cap);

#endif
