/* SPDX-License-Identifier: BSD-2-Clause */
#include "proxy/relay/limits.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>

#include "proxy/run/log.h"

/* Descriptors that do not belong to sessions. */
#define FILES_OF_WORKER 8   /* epoll set, timer, eventfd, lookups */
#define FILES_OTHER 32      /* standard streams, main loop, capture, key logs, signals, files of a reload */
#define PORTS_DEFAULT 28232 /* Linux's default, 32768 to 60999; used if the range cannot be read */

void limits_raise(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

static uint64_t files_allowed(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) || files.rlim_cur == RLIM_INFINITY)
		return UINT64_MAX;
	return files.rlim_cur;
}

static uint64_t files_taken(const struct setup *setup)
{
	uint64_t each = setup->proxy.listen.count + FILES_OF_WORKER;
	uint64_t control = setup->control.listen.count ? setup->control.listen.count + SETUP_CONTROL_CLIENTS
	                                               : 0;

	return setup->proxy.workers * each + control + setup->capture.keylog.count + FILES_OTHER;
}

static uint64_t ports_of_one_address(void)
{
	FILE *file = fopen(LIMITS_PORT_RANGE, "re");
	unsigned first, last;
	bool has_range = file && fscanf(file, "%u %u", &first, &last) == 2 && last >= first;

	if (file)
		fclose(file);
	return has_range ? last - first + 1 : PORTS_DEFAULT;
}

/* Returns the larger of the two families' counts; a family without a named address counts as one. */
static uint64_t source_addresses(const struct setup *setup)
{
	uint64_t count[] = {[FAMILY_IPV4] = 1, [FAMILY_IPV6] = 1};
	uint64_t named[] = {[FAMILY_IPV4] = 0, [FAMILY_IPV6] = 0};

	for (size_t i = 0; i < setup->proxy.source.count; i++) {
		unsigned family = setup->proxy.source.all[i].family;

		count[family] = ++named[family];
	}
	return count[FAMILY_IPV4] > count[FAMILY_IPV6] ? count[FAMILY_IPV4] : count[FAMILY_IPV6];
}

uint64_t limits_sessions(const struct setup *setup, enum limits_report voice)
{
	uint64_t wanted = setup->proxy.max_sessions, allowed = files_allowed(), taken = files_taken(setup);
	uint64_t by_files = allowed > taken ? allowed - taken : 1, sources = source_addresses(setup);
	uint64_t by_ports = sources * ports_of_one_address();
	uint64_t max = by_files < by_ports ? by_files : by_ports;

	if (wanted <= max)
		return wanted;
	if (voice == LIMITS_LOG && by_files <= by_ports)
		log_error("max_sessions = %" PRIu64 ", but there is room for %" PRIu64
		          " sessions: a process may have %" PRIu64
		          " files open; raise it with `ulimit -n`, or "
		          "LimitNOFILE of systemd",
		    wanted, max, allowed);
	else if (voice == LIMITS_LOG)
		log_error("max_sessions = %" PRIu64 ", but there is room for %" PRIu64 " sessions: %" PRIu64
		          " ports (net.ipv4.ip_local_port_range) of %" PRIu64
		          " source address%s; name more with `source`",
		    wanted, max, by_ports / sources, sources, sources == 1 ? "" : "es");
	return max;
}
