/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * recording: the capture of a run or of a simulation: how the ini file's [capture] opens it, how a datagram
 * that left or died stands in it, and how it is closed.
 */
#ifndef PROXY_RUN_RECORDING_H
#define PROXY_RUN_RECORDING_H

#include "capture/capture.h"
#include "proxy/run/summary.h"

struct recording {
	const struct setup *setup;
	const char *path; /* of the command line; NULL: that of [capture] file */
	const struct names *names;
	uint64_t seed;
	unsigned recorders;
	bool patient; /* wait for the disk rather than lose records */
	ns_t at;      /* stamp of its beginning */
};

/* Opens the capture and sets `*capture`, to NULL if none is asked for. Returns an exit status, after telling
 * why it cannot be opened. */
enum exit_status recording_open(const struct recording *recording, struct capture **capture);

/* A datagram left (REASON_NONE) or died, at `at` by the core's time and `stamp` in the capture. */
void recording_departed(struct recorder *recorder, const struct capture_path *path, struct datagram *datagram,
    enum reason reason, uint64_t packet_id, ns_t at, ns_t stamp);

/* Writes the closing statistics and closes the file; tells what went wrong with it. */
void recording_close(struct capture *capture, struct capture_closing *closing, struct summary_now *now,
    const struct core_group *cores, const struct summary_facts *facts, enum exit_status status);

/* The seed of the setup, or a random one. */
uint64_t recording_seed(const struct setup *setup);

#endif
