/* SPDX-License-Identifier: BSD-2-Clause */
/* simulate: the command line of the simulation in proxy/run/simulation.h. */
#include <inttypes.h>
#include <string.h>

#include "base/memory.h"
#include "proxy/cli/command.h"
#include "proxy/run/log.h"
#include "proxy/run/recording.h"
#include "proxy/run/simulation.h"
#include "proxy/sandbox/sandbox.h"

static int write_summary(struct simulation *s, const char *json)
{
	struct summary_facts facts;
	struct summary_snapshot now;
	struct run_summary result;
	struct error error;
	int status;

	simulation_finish(s);
	simulation_facts(s, &facts);
	summary_snapshot_all(s->summary, &s->cores, s->setup->config->rule_count, &now);
	summary_fill(&now, &s->cores, &facts, facts.capture_lost ? EXIT_FAILED : EXIT_DONE, &result);
	summary_snapshot_free(&now);
	status = result.exit;
	if (log_level() >= LOG_NORMAL && summary_print(&result, true))
		status = EXIT_FAILED;
	summary_log_failures(&result);
	if (json && run_summary_write(run_summary_json(&result), json, &error)) {
		log_error("--json: %s", error.text);
		status = EXIT_FAILED;
	}
	run_summary_fini(&result);
	return status;
}

static void log_notes(const struct simulation *s)
{
	if (s->cut)
		log_error(
		    "%" PRIu64 " datagrams were cut by the capture; the missing bytes are zeros", s->cut);
	log_info("%" PRIu64 " datagrams taken, seed %" PRIu64, s->taken, s->seed);
	log_info(
	    "open loop: recorded peers do not react; there are no retransmissions but the recorded ones%s",
	    flows_recorded(s->flows) ? "; a NAT mapping is made when a question arrives, not when it leaves"
	                             : "");
}

static void grant_file(void *user, const char *path)
{
	sandbox_read_beside(user, path);
}

static void enter_sandbox(struct simulation *s, const struct command_line *line, const char *const *inputs,
    size_t input_count, const char *capture, const char *json)
{
	struct sandbox *sandbox = sandbox_new();

	live_visit_files(s->live, s->setup, grant_file, sandbox);
	sandbox_read(sandbox, setup_profile_dir());
	if (s->source.ini.live_files == INI_LIVE_ANY)
		sandbox_read(sandbox, "/");
	sandbox_write_beside(sandbox, capture);
	sandbox_write_beside(sandbox, json);
	command_enter_sandbox(line, sandbox, inputs, input_count);
}

static int simulate(struct simulation *s, const struct command_line *line)
{
	struct flows_filter filter = {
	    .device = command_value(line, "device"), .cloud = command_value(line, "cloud")};
	size_t in_count;
	const char *const *in = command_values(line, "read", &in_count);
	const char *out = command_value(line, "write") ? command_value(line, "write")
	                                               : s->setup->capture.file;
	const char *json = command_value(line, "json");
	struct error error;
	int status;

	const struct command_output outputs[] = {{"-w or [capture] file", out}, {"--json", json}};

	if (command_check_inputs(line, in, in_count, outputs, 2) ||
	    command_check_outputs("simulate", outputs, 2, s->live, s->setup))
		return EXIT_USAGE;
	enter_sandbox(s, line, in, in_count, out, json);
	s->inputs = inputs_open(in, in_count, &error);
	s->flows = s->inputs ? flows_new(s->inputs, &filter, &error) : NULL;
	if (!s->flows) {
		log_error("simulate: %s", error.text);
		return EXIT_USAGE;
	}
	if (*flows_notice(s->flows))
		log_info("%s", flows_notice(s->flows));
	if (s->setup->proxy.seed_given || !flows_seed(s->flows, &s->seed))
		s->seed = recording_seed(s->setup);
	s->summary = summary_new();
	status = simulation_feed(s, command_value(line, "write"));
	if (status || !s->core)
		return status;
	log_notes(s);
	return write_summary(s, json);
}

static int run(const struct command_line *line)
{
	struct simulation *s = memory_new(1, sizeof(*s));
	struct complaints *complaints = complaints_new();
	size_t quiet_count, verbose_count, live_count, live_files_count;
	int status;

	s->source.ini.file = command_value(line, "config");
	command_values(line, "live", &live_count);
	s->changes = live_count > 0;
	command_values(line, "live-files", &live_files_count);
	s->source.ini.live_files = live_files_count ? INI_LIVE_ANY : INI_LIVE_REFUSED;
	command_values(line, "quiet", &quiet_count);
	command_values(line, "verbose", &verbose_count);
	log_set_level(quiet_count ? LOG_QUIET : verbose_count ? LOG_VERBOSE : LOG_NORMAL);
	s->source.ini.sets = (const char *const *)line->settings;
	s->source.ini.set_count = line->setting_count;
	s->names = names_new();
	s->live = live_new(&s->source, SETUP_SIMULATE, s->names);
	s->setup = live_start(s->live, complaints);
	log_complaints(complaints);
	status = complaints_count(complaints, COMPLAINT_ERROR) ? EXIT_USAGE : EXIT_DONE;
	complaints_free(complaints);
	if (!status && ((!s->source.ini.file && !s->source.ini.set_count) || !command_value(line, "read"))) {
		log_error(
		    "simulate: pass the capture with -r, and the impairments with -c FILE or options such "
		    "as --loss; see `deadzone help simulate`");
		status = EXIT_USAGE;
	}
	if (!status)
		status = simulate(s, line);
	simulation_free(s);
	return status;
}

static const struct option_row options[] = {
    {'c', "config", "FILE", false, "the ini file; it needs neither listen nor upstream", NULL},
    {'r', "read", "CAPTURE", true, "pcap or pcapng of what arrived; may be repeated; - is standard input",
        NULL},
    {'w', "write", "FILE", false, "the annotated capture; - is standard output", NULL},
    {0, "live", NULL, false, "replay the live changes at their original times", NULL},
    {0, "live-files", NULL, false, "… even if a change names a file, which whoever wrote the capture chose",
        NULL},
    COMMAND_LINK_OPTIONS,
    {0, "device", "ADDR[:PORT]", false, "take the flows of this device (or prefix)", NULL},
    {0, "cloud", "ADDR:PORT", false, "take the flows of this cloud", NULL},
    {0, "set", "\"[SECTION] KEY = VALUE\"", true,
        "replace all values of that key (`+=` adds one); may be repeated", NULL},
    {0, "json", "FILE", false, "write the summary, for machines; - is standard output", NULL},
    COMMAND_SANDBOX_OPTION,
    {'q', "quiet", NULL, false, "print only errors", NULL},
    {'v', "verbose", NULL, true, "also print events", NULL},
};

const struct command command_simulate_row = {
    .name = "simulate",
    .words = "",
    .options = options,
    .option_count = sizeof(options) / sizeof(*options),
    .run = run,
    .what = "apply the same rules to a recorded capture, offline, in virtual time",
    .more =
        "Of a capture written by deadzone it takes what arrived on both interfaces; of any other the flows\n"
        "of --device or --cloud. Without these, the cloud is assumed to be the side with port 5684 or 4433,\n"
        "or the receiver of the first ClientHello. Without a seed in the ini file it uses that of the\n"
        "capture. Several captures are parts of one run that was rotated, in any order, or captures of the\n"
        "same time, which are merged. They may be compressed with gzip or zstd.\n\n"
        "A simulation is open-loop: recorded peers do not react to what happens. What a peer sent in the\n"
        "recording it also sends here, at the same time, even if the request never reached it, and there\n"
        "are no retransmissions but the recorded ones. In a capture of another program, an answer may thus\n"
        "come before its request has left the link: a NAT mapping is made when the request arrives, not\n"
        "when it leaves.",
};
