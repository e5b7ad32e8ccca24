/*
 * crew: the workers of a run: a relay each, with sessions, schedule and sockets of its own.
 *
 * Each works in a thread of its own, apart from signals and the API. Where there are several, all listen on
 * the same addresses (SO_REUSEPORT): the kernel spreads the devices. Between them they share only
 * rules/common, and what is told: the summary, events, the capture's thread.
 *
 *   crew_new ── crew_capture ── crew_start ── … crew_halt, look or change, crew_go … ── crew_stop ──
 * crew_free
 *
 * All calls are made by one thread. Where it reads or changes what is the workers' it halts them before: they
 * stand still between two rounds until crew_go. The calls below that need it do so themselves.
 */
#ifndef PROXY_CREW_H
#define PROXY_CREW_H

#include "base/error.h"
#include "capture/capture.h"
#include "proxy/run/feed.h"
#include "proxy/run/setup.h"
#include "proxy/run/summary.h"
#include "rules/cores.h"

struct crew;

struct crew_options {
	const struct names *names;
	struct summary *summary;
	struct feed *feed; /* takes every event */
	uint64_t seed;
};

/* Opens the listeners of all workers; NULL and why where one cannot be. The setup is read until crew_reload
 * or crew_free. */
struct crew *crew_new(const struct crew_options *options, const struct setup *setup, struct error *error);
void crew_free(struct crew *crew);
/* From here on everything is recorded; the capture has a recorder for each worker. */
void crew_capture(struct crew *crew, struct capture *capture);
/* The workers begin. */
int crew_start(struct crew *crew, struct error *error);
/* Stops reading, and ends the threads: what waits stays queued. */
void crew_stop(struct crew *crew);

/* May be nested. */
void crew_halt(struct crew *crew);
void crew_go(struct crew *crew);
/* How deep halts are nested now. */
unsigned crew_halts(const struct crew *crew);

size_t crew_listener_count(const struct crew *crew);
/* As bound: the free port that was taken for 0. */
const struct address *crew_listener(const struct crew *crew, size_t index);

/* Visits every live session while the workers are halted, some at a time: between them they go on. False:
 * that is enough of this worker's, whose sessions come by number. */
#define CREW_PIECE 128 /* sessions; a visit takes a few microseconds at most */
typedef bool crew_visit(void *user, const struct session *session);
void crew_walk(struct crew *crew, crew_visit *visit, void *user);

/* What became due, and what follows from a change from outside. */
void crew_turn(struct crew *crew);
/* Goes over to another setup: a change is made beside the running workers and exchanged while they are
 * halted; -1 when memory is out: then all stays as it is. The setup before is not read any more once it was
 * exchanged and the change is freed. */
struct crew_change;
struct crew_change *crew_change_new(const struct crew *crew, const struct setup *setup);
int crew_exchange(struct crew *crew, struct crew_change *change, uint64_t seed);
void crew_change_free(struct crew_change *change);
/* Tells which of its values the run cannot take over. */
void crew_tell_kept(const struct crew *crew, const struct setup *setup);

/* For use while they are halted. */
const struct cores *crew_cores(const struct crew *crew);
/* Fills times, what the capture knows, and news of the network; of kernel drops those of listeners and of
 * sockets that are closed: the others' are their sessions' (relay_session_drops). */
void crew_facts(struct crew *crew, struct summary_facts *facts);
/* What the closing statistics need to know of each interface. */
void crew_closing(struct crew *crew, const struct summary_now *now, struct capture_closing *closing);
ns_t crew_wall(const struct crew *crew, ns_t at);

#endif
