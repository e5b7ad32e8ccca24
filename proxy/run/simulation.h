/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * simulation: the same core as in a run, fed with what a capture holds, in virtual time, without a socket.
 * Time is that of the capture's stamps; what waits at its end goes on until nothing does.
 *
 *   simulation_feed ── simulation_finish ── simulation_facts ── simulation_free
 */
#ifndef PROXY_RUN_SIMULATION_H
#define PROXY_RUN_SIMULATION_H

#include "capture/capture.h"
#include "capture/inputs.h"
#include "proxy/run/live.h"
#include "proxy/run/setup.h"
#include "proxy/run/summary.h"
#include "report/flows.h"
#include "report/index.h"
#include "rules/core.h"

/* Who calls fills in `source` to `flows`, the summary and the seed. */
struct simulation {
	struct setup_source source;
	struct names *names;
	struct setup *setup;
	struct live *live;
	bool changes; /* what was changed live in the recorded run is changed again */
	struct inputs *inputs;
	struct flows *flows;
	struct core *core;
	struct core_group cores; /* that one */
	struct capture *capture;
	struct recorder *recorder;
	struct summary *summary;
	struct address *listeners; /* those that devices spoke to, by index */
	struct index by_listener;
	size_t listener_count;
	uint64_t seed;
	ns_t began, now; /* virtual: stamps of the capture */
	uint64_t taken, cut;
	uint8_t whole[DATAGRAM_MAX + 20]; /* of a datagram that the capture cut: zeros behind what is there */
};

/* Feeds all inputs; `out` is the annotated capture, or NULL for that of [capture]. Returns an exit status,
 * after telling what is wrong. */
int simulation_feed(struct simulation *s, const char *out);
/* What waits goes on until nothing does, and the annotated capture is closed. */
void simulation_finish(struct simulation *s);
void simulation_facts(const struct simulation *s, struct summary_facts *facts);
/* Frees everything, what the caller filled in too. */
void simulation_free(struct simulation *s);

#endif
