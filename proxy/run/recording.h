/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * recording: the capture of a run or of a simulation: opening it according to [capture], recording datagrams
 * that were sent or dropped, closing it.
 */
#ifndef PROXY_RUN_RECORDING_H
#define PROXY_RUN_RECORDING_H

#include "capture/capture.h"
#include "proxy/run/summary.h"

struct recording {
	const struct setup *setup;
	const char *path; /* from the command line; NULL: that of [capture] file */
	const struct names *names;
	uint64_t seed;
	unsigned recorders; /* one per worker */
	bool patient;       /* wait for the disk rather than lose records */
	ns_t at;            /* timestamp of the start of the capture */
};

/* Opens the capture and sets `*capture`, to NULL if none is configured. Returns EXIT_DONE, or logs why it
 * cannot be opened and returns another exit status. */
enum exit_status recording_open(const struct recording *recording, struct capture **capture);

/* Records that a datagram was sent (REASON_NONE) or dropped: at `at` in the core's time, `stamp` in the
 * capture. */
void recording_add_departure(struct recorder *recorder, const struct capture_path *path,
    struct datagram *datagram, enum reason reason, uint64_t packet_id, ns_t at, ns_t stamp);

/* Writes the closing statistics and closes the file; logs an error if the capture had one. */
void recording_close(struct capture *capture, struct capture_closing *closing, struct summary_snapshot *now,
    const struct core_group *cores, const struct summary_facts *facts, enum exit_status status);

/* Returns the seed of the setup, or a random one if none is given. */
uint64_t recording_seed(const struct setup *setup);

#endif
