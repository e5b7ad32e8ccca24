/* SPDX-License-Identifier: BSD-2-Clause */
#include "capture/capture.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "base/text.h"
#include "capture/blocks.h"
#include "capture/classic.h"
#include "capture/file.h"
#include "capture/hosts.h"
#include "capture/keylog.h"
#include "capture/recorder.h"

#define PAUSE (20 * NS_MS)      /* between two looks into the ring */
#define BATCH ((size_t)1 << 20) /* bytes of blocks made before they are written */
#define BATCH_RECORDS 16384u    /* and of records */
#define RETRY NS_S              /* a file that could not be written is tried again after this */
#define EXIT_PATIENCE 1         /* seconds, at an exit in the middle */

struct capture {
	struct capture_options options;
	struct recorder *recorders;
	unsigned recorder_count;
	pthread_t thread;
	atomic_bool stop, rotate_soon;
	atomic_uint_fast64_t written, lost_here, lost_there; /* records; lost by the ring, and by the disk */

	/* The capture thread's own. */
	struct file *file;
	struct classic *classic;
	struct keylog *keylog; /* NULL: none is followed */
	struct text head;      /* of the file that is open: written before anything else */
	struct hosts hosts;
	struct text out;
	uint32_t ends[BATCH_RECORDS]; /* of the records in `out` */
	size_t end_count;
	char *ini;
	uint64_t part;            /* number of the file that is open, from 1 on */
	ns_t opened_at, latest;   /* stamps */
	ns_t stamp_offset;        /* from CLOCK_MONOTONIC to the records' stamps */
	ns_t retry_at, looked_at; /* CLOCK_MONOTONIC: a step of the wall clock changes no interval */
	bool in_trouble;
	bool awaits_reader; /* of a FIFO: records stay in the rings until it comes */

	pthread_mutex_t lock; /* of what follows */
	char trouble[512], name[4096];
	char *next_ini; /* the text in force from the next file on; NULL: as before */
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
	if (!recorder_rotate(&capture->recorders[0]))
		atomic_store(&capture->rotate_soon, true); /* behind what stands in the ring now, or near */
	return 0;
}

bool capture_starts_anew(const struct capture *capture)
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
	return atomic_load_explicit(&capture->lost_here, memory_order_relaxed) +
	       atomic_load_explicit(&capture->lost_there, memory_order_relaxed);
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

static ns_t clock_now(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * NS_S + now.tv_nsec;
}

static ns_t monotonic(void)
{
	return clock_now(CLOCK_MONOTONIC);
}

/* The present, as stamps count it. */
static ns_t stamp_now(const struct capture *capture)
{
	return capture->options.patient ? capture->latest : monotonic() + capture->stamp_offset;
}

/* What a new file is named after: the wall clock, or of a simulation its own. */
static ns_t name_time(const struct capture *capture)
{
	return capture->options.patient ? capture->latest : clock_now(CLOCK_REALTIME);
}

/* Tells the first of a series of failures. */
static void tell(struct capture *capture, const struct error *error)
{
	if (capture->in_trouble)
		return;
	capture->in_trouble = true;
	pthread_mutex_lock(&capture->lock);
	snprintf(capture->trouble, sizeof(capture->trouble), "%s; what is not written is counted as lost",
	    error->text);
	pthread_mutex_unlock(&capture->lock);
}

static void head(struct capture *capture)
{
	text_clear(&capture->head);
	if (capture->classic)
		classic_head(capture->classic, &capture->head);
	else
		blocks_head(&capture->head, capture->options.version, capture->options.seed, capture->ini);
	if (!capture->classic)
		hosts_block(&capture->hosts, 0, &capture->head);
}

/* Begins the next file; where that fails the one before stays, and it is tried again later. */
static enum file_outcome open_next(struct capture *capture, ns_t at, struct error *error)
{
	enum file_outcome outcome = FILE_FULL;

	head(capture);
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

/* The key log's lines that the file does not hold yet, in blocks of a size that every reader takes. */
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

/* Writes what was made, of a full disk as much as fits; `*whole` records of it stand in the file. */
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
		tell(capture, error);
		return -1;
	}
	return 0;
}

/* False if some of what was made is lost. */
static bool flush(struct capture *capture)
{
	struct error error;
	bool blocked = capture->in_trouble && monotonic() < capture->retry_at;
	size_t whole = 0;
	bool failed = blocked || write_out(capture, &whole, &error);

	if (failed && !blocked)
		capture->retry_at = monotonic() + RETRY;
	if (!failed)
		capture->in_trouble = false;
	atomic_fetch_add_explicit(&capture->written, whole, memory_order_relaxed);
	atomic_fetch_add_explicit(&capture->lost_there, capture->end_count - whole, memory_order_relaxed);
	capture->end_count = 0;
	text_clear(&capture->out);
	return !failed;
}

static void take_next_ini(struct capture *capture)
{
	pthread_mutex_lock(&capture->lock);
	if (capture->next_ini) {
		free(capture->ini);
		capture->ini = capture->next_ini;
		capture->next_ini = NULL;
	}
	pthread_mutex_unlock(&capture->lock);
}

static struct blocks_part part_of(const struct capture *capture)
{
	return (struct blocks_part){
	    .began = capture->options.at, .lost = capture_lost(capture), .part = capture->part};
}

static void rotate(struct capture *capture)
{
	struct blocks_part part;
	enum file_outcome outcome;
	struct error error;

	flush(capture);
	take_next_ini(capture);
	if (file_is_open(capture->file) && file_is_stream(capture->file))
		return; /* a FIFO, a device: its reader has the head already */
	/* If no other file can be begun this one goes on behind the block: of several the last one counts. */
	part = part_of(capture);
	if (file_is_open(capture->file) && !capture->classic && !capture->in_trouble) {
		blocks_rotated(&capture->out, &part, stamp_now(capture));
		flush(capture);
	}
	outcome = open_next(capture, name_time(capture), &error);
	if (outcome != FILE_OPENED && outcome != FILE_UNREAD)
		tell(capture, &error);
}

static bool rotation_due(const struct capture *capture)
{
	uint64_t size = file_size(capture->file) + capture->out.size;
	bool by_size = capture->options.rotate_size && size >= capture->options.rotate_size;
	bool by_time = capture->options.rotate_time &&
	               capture->latest - capture->opened_at >= capture->options.rotate_time;

	/* Not while nothing can be written: it would only make empty files. */
	return (by_size || by_time) && !capture->in_trouble && file_is_open(capture->file) &&
	       !file_is_stream(capture->file);
}

/* Something other than a record is missing: told, and counted as one. */
static void lack(struct capture *capture, bool lacks, const char *what)
{
	struct error error;

	if (!lacks)
		return;
	error_set(&error, "%s", what);
	tell(capture, &error);
	atomic_fetch_add_explicit(&capture->lost_there, 1, memory_order_relaxed);
}

static void take_host(struct capture *capture, const struct record *record)
{
	if (!capture->classic && hosts_add(&capture->hosts, &record->ends.from,
	                             (const char *)record_payload(record), record->size))
		hosts_block(&capture->hosts, capture->hosts.count - 1, &capture->out);
	lack(capture, capture->hosts.out_of_memory, "out of memory: a host name is missing");
	capture->hosts.out_of_memory = false;
}

static void take_record(struct capture *capture, const struct record *record)
{
	if (record->kind == RECORD_HOST) {
		take_host(capture, record);
		return;
	}
	if (record->kind == RECORD_ROTATE) {
		rotate(capture);
		return;
	}
	if (capture->keylog && record->kind == RECORD_ARRIVED)
		keylog_see(capture->keylog, record_payload(record), record->kept);
	capture->latest = record->at;
	if (capture->classic)
		classic_record(capture->classic, &capture->out, record);
	else
		blocks_record(&capture->out, record, capture->options.names);
	capture->ends[capture->end_count++] = (uint32_t)capture->out.size;
}

/* Once in a while: is the file still where it was? */
static void look_after(struct capture *capture)
{
	struct error error;
	ns_t now = monotonic();

	if (now < capture->looked_at + RETRY)
		return;
	capture->looked_at = now;
	if (!file_is_gone(capture->file))
		return;
	file_close(capture->file);
	if (open_next(capture, name_time(capture), &error) != FILE_OPENED) {
		char why[sizeof(error.text)];

		memcpy(why, error.text, sizeof(why));
		error_set(&error, "it was removed, and now %.300s", why);
		tell(capture, &error);
		return;
	}
	error_set(&error, "`%s` was removed and is begun anew", file_name(capture->file));
	tell(capture, &error);
	capture->in_trouble = false;
}

/* Too young to be written: a key that it needs may still come. */
static bool held_back(const struct capture *capture, const struct record *record, ns_t until)
{
	return capture->keylog && !capture->options.patient &&
	       record->at + capture->options.keylog_wait > until;
}

/* Of what stands first in each ring. A new file, whose stamp is 0, is begun at once. */
static const struct record *oldest(struct capture *capture, struct recorder **from)
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

/* Opens the file where there is none; false while its records must wait for that. */
static bool file_is_there(struct capture *capture)
{
	if (!file_is_open(capture->file) && (capture->awaits_reader || monotonic() >= capture->retry_at))
		rotate(capture);
	return file_is_open(capture->file) || !capture->awaits_reader;
}

/* Takes what is in the rings, up to records of the time `until`. */
static void drain(struct capture *capture, ns_t until)
{
	const struct record *record;
	struct recorder *from;

	if (capture->keylog) {
		keylog_follow(capture->keylog);
		lack(capture, keylog_is_short(capture->keylog),
		    "keys are missing: the key logs hold more than 64 MiB, or memory is out");
	}
	look_after(capture);
	if (!file_is_there(capture))
		return;
	while ((record = oldest(capture, &from)) && !held_back(capture, record, until)) {
		take_record(capture, record);
		ring_taken(from->ring);
		if (capture->out.size >= BATCH || capture->end_count == BATCH_RECORDS)
			flush(capture);
		if (rotation_due(capture))
			rotate(capture);
	}
	if (atomic_exchange(&capture->rotate_soon, false))
		rotate(capture);
	flush(capture);
}

/* What the rings still hold, and the statistics. If no reader ever came all of it is lost. A file that lacks
 * its end counts as one record lost: `strict` must not pass it. */
static void finish(struct capture *capture)
{
	struct blocks_part part;

	capture->retry_at = 0;
	drain(capture, NS_NEVER);
	if (!file_is_open(capture->file)) {
		capture->awaits_reader = false;
		drain(capture, NS_NEVER);
	}
	part = part_of(capture);
	if (!capture->classic && capture->closing)
		blocks_tail(&capture->out, capture->closing, &part);
	capture->retry_at = 0;
	if (!flush(capture))
		atomic_fetch_add_explicit(&capture->lost_there, 1, memory_order_relaxed);
}

static void *run(void *user)
{
	struct capture *capture = user;

	memory_go_on();
	while (!atomic_load(&capture->stop)) {
		drain(capture, stamp_now(capture));
		nanosleep(&(struct timespec){.tv_nsec = PAUSE}, NULL);
	}
	finish(capture);
	return NULL;
}

static void release(struct capture *capture)
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

static void recorders_open(struct capture *capture)
{
	capture->recorder_count = capture->options.recorders ? capture->options.recorders : 1;
	capture->recorders = memory_new(capture->recorder_count, sizeof(*capture->recorders));
	for (unsigned i = 0; i < capture->recorder_count; i++)
		capture->recorders[i] = (struct recorder){.ring = ring_new(RECORDER_RING_SIZE),
		    .lost = &capture->lost_here,
		    .snaplen = capture->options.snaplen,
		    .patient = capture->options.patient};
}

/* The first file. One that is full, or that nobody reads yet, is tried again later: only one that cannot be
 * opened is an error. */
static int first_file(struct capture *capture, struct error *error)
{
	enum file_outcome outcome = open_next(capture, capture->options.at, error);

	if (outcome == FILE_UNREAD)
		error_set(error, "`%s` waits for its reader", capture->options.path);
	if (outcome == FILE_FULL)
		tell(capture, error);
	if (outcome == FILE_UNREAD || outcome == FILE_FULL)
		snprintf(capture->name, sizeof(capture->name), "%s", capture->options.path);
	return outcome == FILE_REFUSED ? -1 : 0;
}

/* ---- Opening and closing ---- */

static struct capture *open_capture; /* the one that an exit in the middle must end */

/* The process ends where nobody can close the capture: memory has run out. Its thread still writes what was
 * recorded, and does not die within a block. */
static void end_at_exit(void)
{
	struct timespec until;

	if (!open_capture)
		return;
	file_hurry(open_capture->file);
	atomic_store(&open_capture->stop, true);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += EXIT_PATIENCE;
	pthread_timedjoin_np(open_capture->thread, NULL, &until);
}

struct capture *capture_open(const struct capture_options *options, struct error *error)
{
	static bool registered;
	struct capture *capture = memory_new(1, sizeof(*capture));

	capture->options = *options;
	capture->latest = options->at;
	capture->stamp_offset = options->at - monotonic();
	recorders_open(capture);
	capture->file = file_new(options->path, options->keep, options->keylog_count ? 0600 : 0666);
	capture->ini = memory_text(options->ini, strlen(options->ini));
	pthread_mutex_init(&capture->lock, NULL);
	if (options->format == CAPTURE_PCAP)
		capture->classic = classic_new();
	else if (options->keylog_count)
		capture->keylog = keylog_new(options->keylogs, options->keylog_count);
	if (first_file(capture, error) == 0) {
		sigset_t all, before;
		int failure;

		sigfillset(&all); /* signals are the first thread's */
		pthread_sigmask(SIG_SETMASK, &all, &before);
		failure = pthread_create(&capture->thread, NULL, run, capture);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
		if (failure == 0) {
			pthread_setname_np(capture->thread, "capture"); /* as top and ps show it */
			registered = registered || atexit(end_at_exit) == 0;
			open_capture = capture;
			return capture;
		}
		error_set(error, "no thread can be started for the capture: %s", strerror(failure));
	}
	release(capture);
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
		file_hurry(capture->file);
	atomic_store(&capture->stop, true);
	pthread_join(capture->thread, NULL);
}

void capture_free(struct capture *capture)
{
	if (!capture)
		return;
	capture_close(capture, NULL);
	release(capture);
}
