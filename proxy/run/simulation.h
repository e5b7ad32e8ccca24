/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * simulation: feeds the datagrams of a capture to the same core as in a run, without sockets, in virtual
 * time.
 *
 * Time is that of the capture's timestamps. After the last packet, time goes on until no datagram is queued.
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

/* The caller allocates it and fills in `source` to `flows`, `summary` and `seed`. */
struct simulation {
	struct setup_source source;
	struct names *names;
	struct setup *setup;
	struct live *live;
	bool changes; /* repeat the live changes of the recorded run */
	struct inputs *inputs;
	struct flows *flows;
	struct core *core;
	struct core_group cores; /* only `core` */
	struct capture *capture;
	struct recorder *recorder;
	struct summary *summary;
	struct address *entrances; /* addresses that devices sent to, by index */
	struct index by_entrance;
	size_t entrance_count;
	uint64_t seed;
	ns_t began, now;                  /* timestamps of the capture */
	uint64_t taken, cut;              /* datagrams fed; of these, those that the capture had truncated */
	uint8_t whole[DATAGRAM_MAX + 20]; /* a truncated datagram, padded with zeros to its original size */
};

/* Feeds all inputs. `out` is the path of the annotated capture; NULL: that of [capture]. Returns an exit
 * status, after logging what is wrong. */
int simulation_feed(struct simulation *s, const char *out);
/* Continues until no datagram is queued, and closes the annotated capture. */
void simulation_finish(struct simulation *s);
void simulation_facts(const struct simulation *s, struct summary_facts *facts);
/* Frees everything, including what the caller has filled in. */
void simulation_free(struct simulation *s);

#endif
