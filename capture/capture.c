/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The thread makes blocks from the records, the oldest of all rings first, into `out`, and writes `out` when
 * it is large or POLL_INTERVAL has passed. `ends` says where each record's blocks end, so that a write that
 * fails in the middle loses whole records only. Workers and the main thread share nothing with it but the
 * rings, some counters, and what `lock` protects.
 */
#include "capture/capture.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/hidden.h"
#include "base/memory.h"
#include "base/text.h"
#include "capture/blocks.h"
#include "capture/classic.h"
#include "capture/clock.h"
#include "capture/file.h"
#include "capture/hosts.h"
#include "capture/keylog.h"
#include "capture/recorder.h"

#define POLL_INTERVAL (20 * NS_MS) /* between two passes over the rings */
#define BATCH ((size_t)1 << 20)    /* bytes of blocks that are collected before they are written */
#define BATCH_RECORDS 16384u       /* the same limit in records */
#define RETRY NS_S                 /* time until a file that could not be written is tried again */
#define EXIT_WAIT_MAX 1            /* seconds that an unexpected exit waits for the capture thread */

struct capture {
	struct capture_options options;
	struct recorder *recorders;
	unsigned recorder_count;
	pthread_t thread;
	atomic_bool stop, rotate_soon;
	/* Numbers of records: written, lost because a ring was full, lost when writing. */
	atomic_uint_fast64_t written, lost_in_ring, lost_on_write;

	/* Only used by the capture thread from here on. */
	struct file *file;
	struct classic *classic;
	struct keylog *keylog; /* NULL: there are no key logs */
	struct text head;      /* head of the file that is open */
	struct hosts hosts;
	struct text out;
	uint32_t ends[BATCH_RECORDS]; /* ends of the records in `out`, as offsets */
	size_t end_count;
	char *ini;
	uint64_t part;              /* number of the open file in its run, counted from 1 */
	ns_t opened_at, latest;     /* record timestamps: of the file's start, of the newest record */
	ns_t stamp_offset;          /* what to add to CLOCK_MONOTONIC to get record timestamps */
	ns_t retry_at, checked_at;  /* CLOCK_MONOTONIC, which steps of the wall clock do not affect */
	bool in_trouble, is_hidden; /* is_hidden: the trouble is that the sandbox hides the folder */
	bool awaits_reader;         /* the FIFO has no reader yet: records stay in the rings until it has */

	pthread_mutex_t lock; /* protects the members below */
	char trouble[512], name[4096];
	char *next_ini; /* configuration in force from the next file on; NULL: unchanged */
	const struct capture_closing *closing;
	bool closed; /* the thread has ended */
};

/* ---- For the workers ---- */

struct recorder *capture_recorder(struct capture *capture, unsigned index)
{
	assert(index < capture->recorder_count);
	return &capture->recorders[index];
}

int capture_rotate(struct capture *capture, const char *ini)
{
	char *text = ini ? memory_text(ini, strlen(ini)) : NULL;

	if (file_is_standard_output(capture->file)) {
		free(text);
		return -1;
	}
	pthread_mutex_lock(&capture->lock);
	if (text) {
		free(capture->next_ini);
		capture->next_ini = text;
	}
	pthread_mutex_unlock(&capture->lock);
	/* If the ring is full: rotate after the records that are in it now. */
	if (!recorder_rotate(&capture->recorders[0]))
		atomic_store(&capture->rotate_soon, true);
	return 0;
}

bool capture_rotates_on_reload(const struct capture *capture)
{
	return !file_is_standard_output(capture->file) &&
	       (file_has_pattern(capture->file) || capture->options.rotate_size ||
	           capture->options.rotate_time);
}

uint64_t capture_written(const struct capture *capture)
{
	return atomic_load_explicit(&capture->written, memory_order_relaxed);
}

uint64_t capture_lost(const struct capture *capture)
{
	return atomic_load_explicit(&capture->lost_in_ring, memory_order_relaxed) +
	       atomic_load_explicit(&capture->lost_on_write, memory_order_relaxed);
}

bool capture_trouble(struct capture *capture, char *text, size_t cap)
{
	bool trouble;

	pthread_mutex_lock(&capture->lock);
	trouble = capture->trouble[0];
	snprintf(text, cap, "%s", capture->trouble);
	capture->trouble[0] = '\0';
	pthread_mutex_unlock(&capture->lock);
	return trouble;
}

void capture_name(struct capture *capture, char *text, size_t cap)
{
	pthread_mutex_lock(&capture->lock);
	snprintf(text, cap, "%s", capture->name);
	pthread_mutex_unlock(&capture->lock);
}

/* ---- The thread ---- */

/* Returns the current time as a record timestamp. */
static ns_t stamp_now(const struct capture *capture)
{
	return capture->options.patient ? capture->latest : monotonic() + capture->stamp_offset;
}

/* Returns the time for the name of a new file: the wall clock or, in a simulation, its own clock. */
static ns_t name_time(const struct capture *capture)
{
	return capture->options.patient ? capture->latest : capture_clock(CLOCK_REALTIME);
}

/* Reports an error, but only the first of a series of failures, and that the sandbox is why they go on. */
static void report_trouble(struct capture *capture, const struct error *error)
{
	bool is_hidden = strstr(error->text, HIDDEN_REASON);

	if (capture->in_trouble && (!is_hidden || capture->is_hidden))
		return;
	capture->in_trouble = true;
	capture->is_hidden = is_hidden;
	pthread_mutex_lock(&capture->lock);
	snprintf(capture->trouble, sizeof(capture->trouble), "%s; what is not written is counted as lost",
	    error->text);
	pthread_mutex_unlock(&capture->lock);
}

static void make_head(struct capture *capture)
{
	text_clear(&capture->head);
	if (capture->classic)
		classic_head(capture->classic, &capture->head);
	else
		blocks_head(&capture->head, capture->options.version, capture->options.seed, capture->ini);
	if (!capture->classic)
		hosts_block(&capture->hosts, 0, &capture->head);
}

/* Opens the next file. On failure the previous file stays open, and opening is tried again later. */
static enum file_outcome open_next(struct capture *capture, ns_t at, struct error *error)
{
	enum file_outcome outcome = FILE_FULL;

	make_head(capture);
	if (capture->head.failed)
		error_set(error, "out of memory");
	else
		outcome = file_open(capture->file, at, capture->head.at, capture->head.size, error);
	capture->awaits_reader = outcome == FILE_UNREAD;
	if (outcome != FILE_OPENED) {
		capture->retry_at = monotonic() + RETRY;
		return outcome;
	}
	pthread_mutex_lock(&capture->lock);
	snprintf(capture->name, sizeof(capture->name), "%s", file_name(capture->file));
	pthread_mutex_unlock(&capture->lock);
	capture->opened_at = stamp_now(capture);
	capture->part++;
	if (capture->keylog)
		keylog_begin_file(capture->keylog);
	return outcome;
}

/* Writes the lines of the key logs that the file does not hold yet, in blocks small enough for any reader. */
static int write_secrets(struct capture *capture, struct error *error)
{
	struct text lines = {0}, block = {0};
	int failed = 0;

	while (!failed && keylog_next(capture->keylog, &lines)) {
		text_clear(&block);
		blocks_secrets(&block, lines.at, lines.size);
		if (lines.failed || block.failed)
			failed = error_set(error, "out of memory");
		else
			failed = file_write(capture->file, block.at, block.size, error);
		if (!failed)
			keylog_written(capture->keylog);
	}
	text_free(&lines);
	text_free(&block);
	return failed;
}

/* Writes the collected blocks, or as many as fit if the disk is full. Sets *whole to the number of records
 * written. */
static int write_out(struct capture *capture, size_t *whole, struct error *error)
{
	*whole = 0;
	if (!file_is_open(capture->file))
		return -1;
	if (capture->out.failed)
		error_set(error, "out of memory");
	if (capture->out.failed || (capture->keylog && write_secrets(capture, error)) ||
	    (capture->out.size && file_write_blocks(capture->file, capture->out.at, capture->out.size,
	                              capture->ends, capture->end_count, whole, error))) {
		report_trouble(capture, error);
		return -1;
	}
	return 0;
}

/* Writes the collected blocks and updates the counters. Returns false if some of them were lost. */
static bool flush(struct capture *capture)
{
	struct error error;
	bool is_waiting = capture->in_trouble && monotonic() < capture->retry_at;
	size_t whole = 0;
	bool failed = is_waiting || write_out(capture, &whole, &error);

	if (failed && !is_waiting)
		capture->retry_at = monotonic() + RETRY;
	if (!failed)
		capture->in_trouble = false;
	atomic_fetch_add_explicit(&capture->written, whole, memory_order_relaxed);
	atomic_fetch_add_explicit(&capture->lost_on_write, capture->end_count - whole, memory_order_relaxed);
	capture->end_count = 0;
	text_clear(&capture->out);
	return !failed;
}

static void apply_next_ini(struct capture *capture)
{
	pthread_mutex_lock(&capture->lock);
	if (capture->next_ini) {
		free(capture->ini);
		capture->ini = capture->next_ini;
		capture->next_ini = NULL;
	}
	pthread_mutex_unlock(&capture->lock);
}

static struct blocks_part current_part(const struct capture *capture)
{
	return (struct blocks_part){
	    .began = capture->options.at, .lost = capture_lost(capture), .part = capture->part};
}

/* Ends the open file and starts the next one. */
static void rotate_file(struct capture *capture)
{
	struct blocks_part part;
	enum file_outcome outcome;
	struct error error;

	flush(capture);
	apply_next_ini(capture);
	if (file_is_open(capture->file) && file_is_stream(capture->file))
		return; /* a FIFO or a device: its reader already has the head */
	/* If no next file can be opened, this one continues after the block: readers use the last such
	 * block. */
	part = current_part(capture);
	if (file_is_open(capture->file) && !capture->classic && !capture->in_trouble) {
		blocks_rotated(&capture->out, &part, stamp_now(capture));
		flush(capture);
	}
	outcome = open_next(capture, name_time(capture), &error);
	if (outcome != FILE_OPENED && outcome != FILE_UNREAD)
		report_trouble(capture, &error);
}

static bool is_rotation_due(const struct capture *capture)
{
	uint64_t size = file_size(capture->file) + capture->out.size;
	bool is_too_large = capture->options.rotate_size && size >= capture->options.rotate_size;
	bool is_too_old = capture->options.rotate_time &&
	                  capture->latest - capture->opened_at >= capture->options.rotate_time;

	/* Not while writing fails: that would only make empty files. */
	return (is_too_large || is_too_old) && !capture->in_trouble && file_is_open(capture->file) &&
	       !file_is_stream(capture->file);
}

/* Reports that something other than a record is missing, if `is_missing`, and counts it as one lost
 * record. */
static void note_missing(struct capture *capture, bool is_missing, const char *what)
{
	struct error error;

	if (!is_missing)
		return;
	error_set(&error, "%s", what);
	report_trouble(capture, &error);
	atomic_fetch_add_explicit(&capture->lost_on_write, 1, memory_order_relaxed);
}

static void handle_host(struct capture *capture, const struct record *record)
{
	if (!capture->classic && hosts_add(&capture->hosts, &record->ends.from,
	                             (const char *)record_payload(record), record->size))
		hosts_block(&capture->hosts, capture->hosts.count - 1, &capture->out);
	note_missing(capture, capture->hosts.out_of_memory, "out of memory: a host name is missing");
	capture->hosts.out_of_memory = false;
}

static void handle_record(struct capture *capture, const struct record *record)
{
	if (record->kind == RECORD_HOST) {
		handle_host(capture, record);
		return;
	}
	if (record->kind == RECORD_ROTATE) {
		rotate_file(capture);
		return;
	}
	if (capture->keylog && record->kind == RECORD_ARRIVED)
		keylog_scan_datagram(capture->keylog, record_payload(record), record->kept);
	capture->latest = record->at;
	if (capture->classic)
		classic_record(capture->classic, &capture->out, record);
	else
		blocks_record(&capture->out, record, capture->options.names);
	capture->ends[capture->end_count++] = (uint32_t)capture->out.size;
}

/* Checks every RETRY whether the file was removed, and if so opens a new one. */
static void check_file(struct capture *capture)
{
	struct error error;
	ns_t now = monotonic();

	if (now < capture->checked_at + RETRY)
		return;
	capture->checked_at = now;
	if (!file_is_gone(capture->file))
		return;
	file_close(capture->file);
	if (open_next(capture, name_time(capture), &error) != FILE_OPENED) {
		char why[sizeof(error.text)];

		memcpy(why, error.text, sizeof(why));
		error_set(&error, "it was removed, and now %.300s", why);
		report_trouble(capture, &error);
		return;
	}
	error_set(&error, "`%s` was removed and is begun anew", file_name(capture->file));
	report_trouble(capture, &error);
	capture->in_trouble = false;
}

/* Returns true if a record is too recent to be written: a key for it may still arrive. */
static bool is_held_back(const struct capture *capture, const struct record *record, ns_t until)
{
	return capture->keylog && !capture->options.patient &&
	       record->at + capture->options.keylog_wait > until;
}

/* Returns the oldest of the first records of all rings, and sets *from to its recorder; NULL if all are
 * empty. A request for a new file has timestamp 0, so it comes first. */
static const struct record *peek_oldest(struct capture *capture, struct recorder **from)
{
	const struct record *oldest = NULL;

	for (unsigned i = 0; i < capture->recorder_count; i++) {
		const struct record *record = ring_peek(capture->recorders[i].ring);

		if (!record || (oldest && oldest->at <= record->at))
			continue;
		oldest = record;
		*from = &capture->recorders[i];
	}
	return oldest;
}

/* Opens the file if none is open. Returns false if records must stay in the rings because a FIFO has no
 * reader. */
static bool can_handle_records(struct capture *capture)
{
	if (!file_is_open(capture->file) && (capture->awaits_reader || monotonic() >= capture->retry_at))
		rotate_file(capture);
	return file_is_open(capture->file) || !capture->awaits_reader;
}

/* Handles the records in the rings and writes them. With key logs, records that are newer than `until`
 * minus the wait stay. */
static void drain_rings(struct capture *capture, ns_t until)
{
	const struct record *record;
	struct recorder *from;

	if (capture->keylog) {
		struct error error;
		bool refused = keylog_follow(capture->keylog, &error);

		note_missing(capture, refused, error.text);
		note_missing(capture, keylog_lost_keys(capture->keylog),
		    "keys are missing: the key logs hold more than 64 MiB, or memory is out");
	}
	check_file(capture);
	if (!can_handle_records(capture))
		return;
	while ((record = peek_oldest(capture, &from)) && !is_held_back(capture, record, until)) {
		handle_record(capture, record);
		ring_pop(from->ring);
		if (capture->out.size >= BATCH || capture->end_count == BATCH_RECORDS)
			flush(capture);
		if (is_rotation_due(capture))
			rotate_file(capture);
	}
	if (atomic_exchange(&capture->rotate_soon, false))
		rotate_file(capture);
	flush(capture);
}

/* Writes what is left in the rings, then the statistics. If a FIFO never had a reader, everything left is
 * lost. A file without its end counts as one lost record, so that `strict` fails. */
static void finish_capture(struct capture *capture)
{
	struct blocks_part part;

	capture->retry_at = 0;
	drain_rings(capture, NS_NEVER);
	if (!file_is_open(capture->file)) {
		capture->awaits_reader = false;
		drain_rings(capture, NS_NEVER);
	}
	part = current_part(capture);
	if (!capture->classic && capture->closing)
		blocks_closing(&capture->out, capture->closing, &part);
	capture->retry_at = 0;
	if (!flush(capture))
		atomic_fetch_add_explicit(&capture->lost_on_write, 1, memory_order_relaxed);
}

static void *run_thread(void *user)
{
	struct capture *capture = user;

	pthread_setname_np(pthread_self(), "capture"); /* the name shown by top and ps */
	memory_set_nonfatal(true);
	while (!atomic_load(&capture->stop)) {
		drain_rings(capture, stamp_now(capture));
		nanosleep(&(struct timespec){.tv_nsec = POLL_INTERVAL}, NULL);
	}
	finish_capture(capture);
	return NULL;
}

static void release_capture(struct capture *capture)
{
	pthread_mutex_destroy(&capture->lock);
	file_free(capture->file);
	classic_free(capture->classic);
	keylog_free(capture->keylog);
	hosts_free(&capture->hosts);
	for (unsigned i = 0; i < capture->recorder_count; i++)
		ring_free(capture->recorders[i].ring);
	free(capture->recorders);
	text_free(&capture->out);
	text_free(&capture->head);
	free(capture->ini);
	free(capture->next_ini);
	free(capture);
}

static void create_recorders(struct capture *capture)
{
	capture->recorder_count = capture->options.recorders ? capture->options.recorders : 1;
	capture->recorders = memory_new(capture->recorder_count, sizeof(*capture->recorders));
	for (unsigned i = 0; i < capture->recorder_count; i++)
		capture->recorders[i] = (struct recorder){.ring = ring_new(RECORDER_RING_SIZE),
		    .lost = &capture->lost_in_ring,
		    .snaplen = capture->options.snaplen,
		    .patient = capture->options.patient};
}

/* Opens the first file. Only one that cannot be opened is an error: if the disk is full or a FIFO has no
 * reader, it is tried again later. */
static int open_first_file(struct capture *capture, struct error *error)
{
	enum file_outcome outcome = open_next(capture, capture->options.at, error);

	if (outcome == FILE_UNREAD)
		error_set(error, "`%s` waits for its reader", capture->options.path);
	if (outcome == FILE_FULL)
		report_trouble(capture, error);
	if (outcome == FILE_UNREAD || outcome == FILE_FULL)
		snprintf(capture->name, sizeof(capture->name), "%s", capture->options.path);
	return outcome == FILE_REFUSED ? -1 : 0;
}

/* ---- Opening and closing ---- */

static struct capture *open_capture; /* the capture to be ended by end_at_exit */

/* Runs if the process exits without capture_close, because memory ran out: lets the thread write what was
 * recorded, and prevents it from being killed within a block. */
static void end_at_exit(void)
{
	struct timespec until;

	if (!open_capture)
		return;
	file_stop_waiting(open_capture->file);
	atomic_store(&open_capture->stop, true);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += EXIT_WAIT_MAX;
	pthread_timedjoin_np(open_capture->thread, NULL, &until);
}

struct capture *capture_open(const struct capture_options *options, struct error *error)
{
	static bool registered;
	struct capture *capture = memory_new(1, sizeof(*capture));

	capture->options = *options;
	capture->latest = options->at;
	capture->stamp_offset = options->at - monotonic();
	create_recorders(capture);
	capture->file = file_new(options->path, options->keep,
	    options->mode           ? options->mode
	    : options->keylog_count ? 0600
	                            : 0);
	capture->ini = memory_text(options->ini, strlen(options->ini));
	pthread_mutex_init(&capture->lock, NULL);
	if (options->format == CAPTURE_PCAP)
		capture->classic = classic_new();
	else if (options->keylog_count)
		capture->keylog = keylog_new(options->keylogs, options->keylog_count);
	if (open_first_file(capture, error) == 0) {
		sigset_t all, before;
		int failure;

		sigfillset(&all); /* only the first thread handles signals */
		pthread_sigmask(SIG_SETMASK, &all, &before);
		failure = pthread_create(&capture->thread, NULL, run_thread, capture);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
		if (failure == 0) {
			registered = registered || atexit(end_at_exit) == 0;
			open_capture = capture;
			return capture;
		}
		error_set(error, "no thread can be started for the capture: %s", strerror(failure));
	}
	release_capture(capture);
	return NULL;
}

void capture_close(struct capture *capture, const struct capture_closing *closing)
{
	if (!capture || capture->closed)
		return;
	capture->closed = true;
	open_capture = NULL;
	capture->closing = closing;
	if (!capture->options.patient)
		file_stop_waiting(capture->file);
	atomic_store(&capture->stop, true);
	pthread_join(capture->thread, NULL);
}

void capture_free(struct capture *capture)
{
	if (!capture)
		return;
	capture_close(capture, NULL);
	release_capture(capture);
}
