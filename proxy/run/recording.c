/* SPDX-License-Identifier: BSD-2-Clause */
#include "proxy/run/recording.h"

#include <sys/random.h>

#include "capture/comment.h"
#include "proxy/run/log.h"

enum exit_status recording_open(const struct recording *recording, struct capture **capture)
{
	const struct setup *setup = recording->setup;
	const struct capture_settings *settings = &setup->capture;
	struct capture_options options = {.path = recording->path ? recording->path : settings->file,
	    .format = settings->format,
	    .snaplen = (uint32_t)settings->snaplen,
	    .rotate_size = settings->rotate_size,
	    .rotate_time = settings->rotate_time,
	    .keep = (unsigned)settings->keep,
	    .mode = settings->mode,
	    .patient = recording->patient,
	    .keylogs = settings->keylog.all,
	    .keylog_count = settings->keylog.count,
	    .keylog_wait = settings->keylog_wait,
	    .recorders = recording->recorders,
	    .names = recording->names,
	    .version = "deadzone " DEADZONE_VERSION,
	    .seed = recording->seed,
	    .ini = ini_text(setup->ini),
	    .at = recording->at};
	struct error error;

	*capture = NULL;
	if (!options.path)
		return EXIT_DONE;
	*capture = capture_open(&options, &error);
	if (*capture)
		return EXIT_DONE;
	log_error("capture: %s", error.text);
	return EXIT_USAGE;
}

void recording_add_departure(struct recorder *recorder, const struct capture_path *path,
    struct datagram *datagram, enum reason reason, uint64_t packet_id, ns_t at, ns_t stamp)
{
	struct departure departure;

	departure_fill(&departure, datagram, datagram->session->number, reason, at);
	capture_departed(
	    recorder, path, &departure, datagram->bytes, datagram->size, datagram->tos, packet_id, stamp);
}

void recording_close(struct capture *capture, struct capture_closing *closing, struct summary_snapshot *now,
    const struct core_group *cores, const struct summary_facts *facts, enum exit_status status)
{
	struct text statistics = {0};
	struct run_summary result;
	char trouble[512];

	summary_fill(now, cores, facts, status, &result);
	summary_statistics(&result, &statistics);
	run_summary_fini(&result);
	closing->comment = statistics.at;
	capture_close(capture, closing);
	text_free(&statistics);
	if (capture_trouble(capture, trouble, sizeof(trouble)))
		log_error("capture: %s", trouble);
}

uint64_t recording_seed(const struct setup *setup)
{
	uint32_t random = 0;

	if (setup->proxy.seed_given)
		return setup->proxy.seed;
	while (getrandom(&random, sizeof(random), 0) != sizeof(random))
		;
	return random;
}
