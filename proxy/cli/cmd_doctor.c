/* SPDX-License-Identifier: BSD-2-Clause */
/* doctor: one screen about this machine, for an issue tracker: what a run needs and what it finds. */
#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "proxy/cli/command.h"
#include "proxy/gateway/inspection.h"
#include "proxy/gateway/sysctl.h"
#include "proxy/relay/relay.h"
#include "proxy/relay/socket.h"
#include "proxy/run/clock.h"
#include "proxy/run/log.h"
#include "proxy/run/setup.h"
#include "proxy/run/summary.h"

#define DISK_LEAST (UINT64_C(64) << 20) /* bytes; a busy capture fills this in a minute */

static void check_versions(struct inspection *inspection)
{
	struct utsname name;

	uname(&name);
	inspection_add(inspection, INSPECTED_GOOD, "versions", "deadzone %s, libevent %s, Linux %s %s",
	    DEADZONE_VERSION, event_get_version(), name.release, name.machine);
}

static void check_files(struct inspection *inspection)
{
	struct rlimit files = {0};

	getrlimit(RLIMIT_NOFILE, &files);
	if (files.rlim_max < 1024)
		inspection_add(inspection, INSPECTED_NOTE, "files",
		    "only %llu files may be open, which is about the number of sessions: `ulimit -Hn 65536`",
		    (unsigned long long)files.rlim_max);
	else
		inspection_add(inspection, INSPECTED_GOOD, "files", "up to %llu may be open",
		    (unsigned long long)files.rlim_max);
}

/* Root's buffers may be larger than the limit. */
static void check_buffers(struct inspection *inspection, const struct setup *setup)
{
	long max = sysctl_read("/proc/sys/net/core/rmem_max");

	if (max >= 0 && (uint64_t)max < setup->proxy.receive_buffer / 2)
		inspection_add(inspection, INSPECTED_NOTE, "buffers",
		    "net.core.rmem_max = %ld: without root, receive_buffer is not reached: `sysctl -w "
		    "net.core.rmem_max=%" PRIu64 "`",
		    max, setup->proxy.receive_buffer / 2);
	else
		inspection_add(inspection, INSPECTED_GOOD, "buffers", "net.core.rmem_max = %ld", max);
}

static void check_listeners(struct inspection *inspection, const struct setup *setup)
{
	const struct socket_options options = {.receive_buffer = 4096};
	char text[ADDRESS_TEXT_SIZE];

	for (size_t i = 0; i < setup->proxy.listen.count; i++) {
		struct address bound;
		struct error error;
		int fd = socket_listen(&setup->proxy.listen.all[i], &options, LISTEN_ALONE, &bound, &error);

		if (fd < 0) {
			inspection_add(inspection, INSPECTED_WRONG, "ports",
			    "%s: `ss -ulpn` shows what holds it; if that is the run in question, all is well",
			    error.text);
			continue;
		}
		close(fd);
		inspection_add(inspection, INSPECTED_GOOD, "ports", "%s can be listened on",
		    address_text(&setup->proxy.listen.all[i], text, sizeof(text)));
	}
}

static void check_answers(struct inspection *inspection, const struct setup *setup)
{
	struct error error;

	if (relay_check_answers(setup, &error))
		inspection_add(inspection, INSPECTED_WRONG, "answers", "%s", error.text);
	else
		inspection_add(
		    inspection, INSPECTED_GOOD, "answers", "can be sent from the intercepted ports");
}

static void check_conntrack(struct inspection *inspection)
{
	long count = sysctl_read("/proc/sys/net/netfilter/nf_conntrack_count");
	long max = sysctl_read("/proc/sys/net/netfilter/nf_conntrack_max");
	long timeout = sysctl_read("/proc/sys/net/netfilter/nf_conntrack_udp_timeout_stream");

	if (count < 0)
		inspection_add(inspection, INSPECTED_GOOD, "conntrack", "not in use");
	else if (max > 0 && count >= max / 10 * 9)
		inspection_add(inspection, INSPECTED_WRONG, "conntrack",
		    "%ld of %ld entries are in use, and what finds none is dropped: `sysctl -w "
		    "net.netfilter.nf_conntrack_max=%ld`",
		    count, max, 4 * max);
	else
		inspection_add(inspection, INSPECTED_GOOD, "conntrack",
		    "%ld of %ld entries; UDP flows are forgotten after %ld s", count, max, timeout);
}

static void read_line(const char *path, char *line, size_t cap)
{
	FILE *file = fopen(path, "re");

	snprintf(line, cap, "unknown");
	if (file && fgets(line, (int)cap, file))
		line[strcspn(line, "\n")] = '\0';
	if (file)
		fclose(file);
}

static void check_clock(struct inspection *inspection)
{
	char source[40], date[40];
	struct timespec resolution = {0};
	time_t now = (time_t)(clock_wall() / NS_S);
	struct tm utc;

	read_line("/sys/devices/system/clocksource/clocksource0/current_clocksource", source, sizeof(source));
	clock_getres(CLOCK_MONOTONIC, &resolution);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
	if (utc.tm_year + 1900 < 2024)
		inspection_add(inspection, INSPECTED_NOTE, "clock",
		    "it is %s here: captures carry this date, and certificates may not be valid yet; "
		    "`timedatectl "
		    "set-ntp true`",
		    date);
	else if (resolution.tv_sec || resolution.tv_nsec > 1000000)
		inspection_add(inspection, INSPECTED_NOTE, "clock",
		    "%s, source %s, resolution %ld ms: delays are no finer", date, source,
		    (long)resolution.tv_sec * 1000 + resolution.tv_nsec / 1000000);
	else
		inspection_add(inspection, INSPECTED_GOOD, "clock", "%s, source %s", date, source);
}

static void check_disk(struct inspection *inspection, const struct setup *setup)
{
	const char *file = setup->capture.file && strcmp(setup->capture.file, "-") != 0 ? setup->capture.file
	                                                                                : ".";
	char *copy = memory_text(file, strlen(file));
	const char *folder = strcmp(file, ".") == 0 ? "." : dirname(copy);
	struct statvfs disk;
	uint64_t free_bytes;

	if (statvfs(folder, &disk)) {
		inspection_add(inspection, INSPECTED_WRONG, "disk", "%s: %s; `mkdir -p %s`", folder,
		    strerror(errno), folder);
		free(copy);
		return;
	}
	free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
	if (setup->capture.file && access(folder, W_OK))
		inspection_add(inspection, INSPECTED_WRONG, "disk", "no capture can be written to %s: %s",
		    folder, strerror(errno));
	else if (free_bytes < DISK_LEAST)
		inspection_add(inspection, INSPECTED_WRONG, "disk",
		    "only %" PRIu64
		    " MiB are free in %s: captures will lose records; see rotate_size and keep",
		    free_bytes >> 20, folder);
	else
		inspection_add(inspection, INSPECTED_GOOD, "disk", "%" PRIu64 " MiB free in %s",
		    free_bytes >> 20, folder);
	free(copy);
}

static int print_all(const struct inspection *inspection)
{
	static const char *const words[] = {
	    [INSPECTED_GOOD] = "ok", [INSPECTED_NOTE] = "note", [INSPECTED_WRONG] = "WRONG"};

	for (size_t i = 0; i < inspection->count; i++)
		printf("%-6s %-13s %s\n", words[inspection->all[i].state], inspection->all[i].about,
		    inspection->all[i].text);
	if (fflush(stdout))
		return EXIT_FAILED;
	return inspection_wrong(inspection) ? EXIT_FAILED : EXIT_DONE;
}

static struct setup *read_setup(const char *file, struct names *names)
{
	struct complaints *complaints = complaints_new();
	struct setup_source source = {.ini.file = file};
	struct setup *setup = setup_new(&source, file ? SETUP_RUN : SETUP_CHECK, names, complaints);
	size_t errors;

	log_complaints(complaints);
	errors = complaints_count(complaints, COMPLAINT_ERROR);
	complaints_free(complaints);
	if (!errors)
		return setup;
	setup_free(setup);
	return NULL;
}

static int run(const struct command_line *line)
{
	struct inspection inspection = {0};
	struct names *names = names_new();
	struct setup *setup = read_setup(command_value(line, "config"), names);
	int status = EXIT_USAGE;

	if (setup) {
		check_versions(&inspection);
		check_listeners(&inspection, setup);
		if (setup->gateway.given) {
			inspect_gateway(&inspection, setup);
			inspect_table(&inspection, setup);
			check_answers(&inspection, setup);
		} else {
			inspect_privilege(&inspection);
		}
		check_conntrack(&inspection);
		check_files(&inspection);
		check_buffers(&inspection, setup);
		check_clock(&inspection);
		check_disk(&inspection, setup);
		status = print_all(&inspection);
	}
	inspection_free(&inspection);
	setup_free(setup);
	names_free(names);
	return status;
}

static const struct option_row options[] = {
    {'c', "config", "FILE", false, "also look at what this ini file needs: ports, capture, [gateway]", NULL},
};

const struct command command_doctor_row = {
    .name = "doctor",
    .words = "",
    .options = options,
    .option_count = sizeof(options) / sizeof(*options),
    .run = run,
    .what = "look at this machine: what a run needs, and what is wrong",
    .more = "Prints one screen, fit for an issue tracker: versions, ports, capabilities, sysctls, kernel "
            "modules,\n"
            "connection tracking, clock and disk. It changes nothing. Whatever is wrong comes with its "
            "remedy.\n\n"
            "Exit status: 0; 1 if something is wrong; 2 if the ini file has an error.",
};
