/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tables describe the keys of [proxy], [capture] and [control]. setup_new reads the ini files, fills the
 * structs according to the tables, and then checks what involves several sections.
 */
#include "proxy/run/setup.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "proxy/run/endpoint.h"
#include "base/memory.h"
#include "base/text.h"
#include "rules/shared.h"

#ifndef PROFILE_DIR
#define PROFILE_DIR "/usr/local/share/deadzone/profiles"
#endif

/* ---- Readers of keys ---- */

static int read_seed(struct reading *reading, const char *text, void *into)
{
	struct proxy_settings *settings =
	    (struct proxy_settings *)(void *)((char *)into - offsetof(struct proxy_settings, seed));

	settings->seed_given = true;
	return units_integer(text, into, &reading->error);
}

static int read_upstream(struct reading *reading, const char *text, void *into)
{
	struct proxy_settings *settings =
	    (struct proxy_settings *)(void *)((char *)into - offsetof(struct proxy_settings, upstream));

	settings->is_original = strcmp(text, "original") == 0;
	return settings->is_original ? keys_read_text(reading, text, into)
	                             : keys_read_endpoint(reading, text, into);
}

static int read_max_sessions(struct reading *reading, const char *text, void *into)
{
	uint64_t *number = into;

	if (units_integer(text, number, &reading->error))
		return -1;
	if (*number < 1 || *number > 1000000)
		return error_set(&reading->error, "`%s` is out of range; it is 1 to 1000000", text);
	return 0;
}

static int read_workers(struct reading *reading, const char *text, void *into)
{
	uint64_t *number = into;

	if (units_integer(text, number, &reading->error))
		return -1;
	if (*number < 1 || *number > CORE_GROUP_MAX)
		return error_set(
		    &reading->error, "`%s` is out of range; it is 1 to %d", text, CORE_GROUP_MAX);
	return 0;
}

static int read_expect_sessions(struct reading *reading, const char *text, void *into)
{
	struct proxy_settings *settings = (struct proxy_settings *)(void *)((char *)into -
	                                                                    offsetof(struct proxy_settings,
	                                                                        expect_sessions));

	settings->expect_sessions_given = true;
	return units_span(text, into, &reading->error);
}

static int read_receive_buffer(struct reading *reading, const char *text, void *into)
{
	uint64_t *bytes = into;

	if (units_size(text, bytes, &reading->error))
		return -1;
	if (*bytes < 4096 || *bytes > (UINT64_C(1) << 30))
		return error_set(&reading->error, "`%s` is out of range; it is 4KiB to 1GiB", text);
	return 0;
}

static int read_format(struct reading *reading, const char *text, void *into)
{
	static const char *const words[] = {"pcapng", "pcap"};

	return keys_read_word(reading, text, words, 2, into);
}

static int read_snaplen(struct reading *reading, const char *text, void *into)
{
	uint64_t *bytes = into;

	if (units_size(text, bytes, &reading->error))
		return -1;
	if (*bytes < 1 || *bytes > 65535)
		return error_set(&reading->error, "`%s` is out of range; it is 1 to 65535 bytes", text);
	return 0;
}

static int read_control_listen(struct reading *reading, const char *text, void *into)
{
	struct endpoint endpoint;

	if (endpoint_read(text, &endpoint, &reading->error))
		return -1;
	return keys_read_texts(reading, text, into);
}

static int read_rotate_size(struct reading *reading, const char *text, void *into)
{
	uint64_t *bytes = into;

	if (units_size(text, bytes, &reading->error))
		return -1;
	if (*bytes < 65536)
		return error_set(&reading->error, "`%s` is out of range; 64KiB is the least", text);
	return 0;
}

static int read_rotate_time(struct reading *reading, const char *text, void *into)
{
	if (units_time(text, into, &reading->error))
		return -1;
	if (*(ns_t *)into < NS_S)
		return error_set(&reading->error, "`%s` is out of range; 1s is the least", text);
	return 0;
}

static int read_keep(struct reading *reading, const char *text, void *into)
{
	uint64_t *number = into;

	if (units_integer(text, number, &reading->error))
		return -1;
	if (*number < 1 || *number > 100000)
		return error_set(&reading->error, "`%s` is out of range; it is 1 to 100000 files", text);
	return 0;
}

/* Reads a file mode in octal. */
static int read_mode(struct reading *reading, const char *text, void *into)
{
	unsigned value = 0, digits = 0;

	for (; text[digits] >= '0' && text[digits] <= '7' && digits < 4; digits++)
		value = value * 8 + (unsigned)(text[digits] - '0');
	if (!digits || text[digits] || (value & ~0666U) || (value & 0600) != 0600)
		return error_set(&reading->error,
		    "`%s` is no file mode here: it is octal, lets the owner read and write, and nobody "
		    "execute, "
		    "such as 0640",
		    text);
	*(mode_t *)into = (mode_t)value;
	return 0;
}

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define AT(field) offsetof(struct proxy_settings, field)

static const struct key proxy_keys[] = {
    {"listen", KEY_LIST, NULL, AT(listen), keys_read_address, "address and port",
        "address and port that devices talk to; IPv4 or IPv6 (V6ONLY); port 0 takes a free one",
        "required by run"},
    {"upstream", KEY_PLAIN, NULL, AT(upstream), read_upstream, "host and port, or original",
        "the cloud: host name or address, and port; looked up without blocking the relay, again for later "
        "sessions. original: each session goes where its device sent it (datagrams that the kernel "
        "redirects, "
        "see [gateway])",
        "required by run"},
    {"include", KEY_LIST, NULL, 0, NULL, "file, or profile:NAME",
        "another ini file, its path relative to the file that names it; its sections come before those of "
        "the file that names it, its [device]s after them",
        "none"},
    {"seed", KEY_PLAIN, NULL, AT(seed), read_seed, "number",
        "every random choice derives from it; at most 2^53", "random, printed"},
    {"idle_timeout", KEY_PLAIN, "2h", AT(idle_timeout), keys_read_time_above_0, "time",
        "a session ends after this long without a datagram", NULL},
    {"max_sessions", KEY_PLAIN, "10000", AT(max_sessions), read_max_sessions, "number",
        "when full, evict the longest-silent unanswered session; otherwise refuse the device", NULL},
    {"max_queued", KEY_PLAIN, "64MiB", AT(max_queued), keys_read_size, "size",
        "limit on the memory of buffered datagrams across all sessions; beyond it new datagrams drop with "
        "reason "
        "overload",
        NULL},
    {"allow", KEY_LIST, NULL, AT(allow), keys_read_pattern, "address, prefix, or address and port",
        "only these device addresses are served", "all"},
    {"workers", KEY_PLAIN, "1", AT(workers), read_workers, "number",
        "threads; the kernel spreads the devices over them", NULL},
    {"precise", KEY_PLAIN, "no", AT(precise), keys_read_bool, "yes or no",
        "poll through the last stretch before a datagram is due: finer timing for more CPU", NULL},
    {"max_lateness", KEY_PLAIN, NULL, AT(max_lateness), keys_read_time_above_0, "time",
        "a p99 of lateness_us above this gives exit status 3", "none"},
    {"strict", KEY_PLAIN, "no", AT(strict), keys_read_bool, "yes or no",
        "yes: datagrams that the kernel dropped, or a capture that lost records, give exit status 3", NULL},
    {"expect_sessions", KEY_PLAIN, NULL, AT(expect_sessions), read_expect_sessions, "range",
        "how many sessions there must have been, else exit status 3", "none"},
    {"receive_buffer", KEY_PLAIN, "4MiB", AT(receive_buffer), read_receive_buffer, "size",
        "kernel buffer of each socket that receives", NULL},
    {"offload", KEY_PLAIN, "yes", AT(offload), keys_read_bool, "yes or no",
        "read and send runs of equal size as one (UDP_GRO, UDP_SEGMENT), and what fits its path never cut "
        "(IP_MTU_DISCOVER): the same datagrams for less CPU; no where another tool listens on lo or a veth",
        NULL},
    {"source", KEY_LIST, NULL, AT(source), keys_read_host, "address",
        "local addresses that upstream sockets leave from, in turn", "any"},
};

#undef AT
#define AT(field) offsetof(struct capture_settings, field)

static const struct key capture_keys[] = {
    {"file", KEY_PLAIN, NULL, AT(file), keys_read_text, "path",
        "where to write; strftime patterns are expanded; - is standard output", "none"},
    {"format", KEY_PLAIN, "pcapng", AT(format), read_format, "pcapng or pcap",
        "pcap is classic, nanosecond, without verdicts", NULL},
    {"keylog", KEY_LIST, NULL, AT(keylog), keys_read_texts, "file",
        "a TLS key log file (SSLKEYLOGFILE format) whose lines go into the capture, as they come, so that "
        "Wireshark "
        "opens it decrypted",
        "none"},
    {"keylog_wait", KEY_PLAIN, "500ms", AT(keylog_wait), keys_read_time, "time",
        "delays packets in the writer (never in the relay) by this much so that keys precede them", NULL},
    {"rotate_size", KEY_PLAIN, NULL, AT(rotate_size), read_rotate_size, "size",
        "start a new file at this size", "none"},
    {"rotate_time", KEY_PLAIN, NULL, AT(rotate_time), read_rotate_time, "time",
        "start a new file at this age", "none"},
    {"keep", KEY_PLAIN, NULL, AT(keep), read_keep, "number", "keep this many files of this run, the newest",
        "all"},
    {"snaplen", KEY_PLAIN, "65535B", AT(snaplen), read_snaplen, "size",
        "most payload bytes kept of a datagram", NULL},
    {"mode", KEY_PLAIN, NULL, AT(mode), read_mode, "file mode", "permissions of its files, such as 0640",
        "0666 without the umask; 0600 with keylog"},
};

#undef AT
#define AT(field) offsetof(struct control_settings, field)

static const struct key control_keys[] = {
    {"listen", KEY_LIST, NULL, AT(listen), read_control_listen, "address and port, or unix:PATH",
        "where HTTP requests are answered", "none"},
    {"token", KEY_PLAIN, NULL, AT(token), keys_read_text, "file",
        "a file whose first line every request must bring as `Authorization: Bearer …`; required where "
        "listen is "
        "neither loopback nor a Unix socket",
        "none"},
    {"mode", KEY_PLAIN, "0600", AT(mode), read_mode, "file mode",
        "permissions of Unix sockets: who may write may steer the run", NULL},
};

static const struct section_kind proxy_kind = {
    "proxy", false, proxy_keys, COUNT(proxy_keys), sizeof(struct proxy_settings), 0, 0, "the relay itself"};
static const struct section_kind capture_kind = {"capture", false, capture_keys, COUNT(capture_keys),
    sizeof(struct capture_settings), 0, 0, "what is written down"};
static const struct section_kind control_kind = {"control", false, control_keys, COUNT(control_keys),
    sizeof(struct control_settings), 0, 0, "steering it while it runs: the HTTP API and the live page"};

const struct section_kind *const setup_kinds[] = {&proxy_kind, &capture_kind, &config_device_kind,
    &config_link_kind, &config_rule_kind, &control_kind, &gateway_kind};
const size_t setup_kind_count = COUNT(setup_kinds);

static const char *find_profile_dir(void)
{
	static const char *const beside[] = {
	    "/../rules/profiles", "/../../rules/profiles", "/../share/deadzone/profiles"};
	static char found[PATH_MAX];
	char path[PATH_MAX + 32];
	ssize_t size = readlink("/proc/self/exe", path, PATH_MAX - 1);
	char *slash;

	if (size <= 0)
		return PROFILE_DIR;
	path[size] = '\0';
	slash = strrchr(path, '/');
	for (size_t i = 0; i < COUNT(beside); i++) {
		strcpy(slash, beside[i]);
		if (realpath(path, found))
			return found;
	}
	return PROFILE_DIR;
}

/* Each live change asks. The first call is made before there are threads. */
const char *setup_profile_dir(void)
{
	static const char *folder;

	if (!folder)
		folder = find_profile_dir();
	return folder;
}

/* ---- Checks across sections ---- */

static void require_key(
    struct setup *setup, const struct setup_source *source, const char *key, struct complaints *complaints)
{
	const struct ini_section *section = ini_find(setup->ini, "proxy", "");
	struct place place = {.file = source->file, .line = 0, .section = "proxy"};

	if (section && ini_entry(section, key))
		return;
	if (section)
		place = (struct place){.file = section->file, .line = section->line, .section = "proxy"};
	complaints_add(
	    complaints, COMPLAINT_ERROR, &place, "lacks `%s = …`, which `deadzone run` needs", key);
}

static void listeners_check(struct setup *setup, struct complaints *complaints)
{
	for (size_t i = 0; i < setup->config->device_count; i++) {
		const struct device *device = &setup->config->devices[i];
		const struct ini_section *section = ini_find(setup->ini, "device", device->name);

		for (size_t k = 0; k < device->listener.count; k++) {
			char text[ADDRESS_TEXT_SIZE];
			size_t index = 0;

			while (index < setup->proxy.listen.count &&
			       !address_equal(&setup->proxy.listen.all[index], &device->listener.all[k]))
				index++;
			if (index == setup->proxy.listen.count)
				ini_complain(section, ini_entry(section, "listener"), complaints,
				    "[proxy] does not listen on `%s`",
				    address_text(&device->listener.all[k], text, sizeof(text)));
		}
	}
}

/* A NAT timeout has no effect if the session ends before it. */
static void nat_check(const struct setup *setup, struct complaints *complaints)
{
	for (size_t i = 0; i < setup->config->device_count; i++) {
		const struct device *device = &setup->config->devices[i];
		const struct ini_section *section = ini_find(setup->ini, "device", device->name);
		static const char *const keys[] = {"nat_timeout", "nat_timeout_stream"};
		const ns_t times[] = {device->nat_timeout, device->nat_timeout_stream};

		for (int k = 0; k < 2; k++) {
			const struct ini_entry *entry = ini_entry(section, keys[k]);

			if (entry && times[k] >= setup->proxy.idle_timeout)
				ini_note(section, entry, complaints,
				    "is not below idle_timeout: the session ends before its mapping is "
				    "forgotten");
		}
	}
}

bool setup_leads_back(const struct addresses *listen, const char *text)
{
	struct address upstream;
	struct error error;

	if (address_read(text, &upstream, &error))
		return false;
	for (size_t i = 0; i < listen->count; i++) {
		const struct address *listener = &listen->all[i];

		if (listener->port != upstream.port || listener->family != upstream.family)
			continue;
		if (address_same_host(listener, &upstream) ||
		    (address_is_any(listener) &&
		        (address_is_loopback(&upstream) || address_is_any(&upstream))))
			return true;
	}
	return false;
}

static void upstream_check(const struct setup *setup, const struct ini_section *section, const char *key,
    const char *text, struct complaints *complaints)
{
	if (setup_leads_back(&setup->proxy.listen, text))
		ini_complain(section, ini_entry(section, key), complaints,
		    "`%s` leads back to our own listener; every datagram would go round for ever", text);
}

/* The servers that rules move sessions to. */
static void moves_check(const struct setup *setup, const struct names *names, struct complaints *complaints)
{
	const struct config *config = setup->config;

	for (size_t i = 0; i < config->rule_count; i++)
		for (size_t k = 0; k < config->rules[i].actions.count; k++)
			if (config->rules[i].actions.all[k].upstream)
				upstream_check(setup, ini_find(setup->ini, "rule", config->rules[i].name),
				    "do", names_get(names, config->rules[i].actions.all[k].upstream),
				    complaints);
}

static void listen_check(struct setup *setup, struct complaints *complaints)
{
	const struct ini_section *section = ini_find(setup->ini, "proxy", "");
	const struct addresses *listen = &setup->proxy.listen;
	char text[ADDRESS_TEXT_SIZE];

	for (size_t i = 0; i < listen->count; i++)
		for (size_t k = 0; k < i; k++)
			if (listen->all[i].port && address_equal(&listen->all[i], &listen->all[k]))
				ini_complain(section, ini_entry(section, "listen"), complaints,
				    "`%s` is listed twice",
				    address_text(&listen->all[i], text, sizeof(text)));
	if (setup->proxy.upstream && !setup->proxy.is_original)
		upstream_check(setup, section, "upstream", setup->proxy.upstream, complaints);
	for (size_t i = 0; i < setup->config->device_count; i++)
		if (setup->config->devices[i].upstream)
			upstream_check(setup, ini_find(setup->ini, "device", setup->config->devices[i].name),
			    "upstream", setup->config->devices[i].upstream, complaints);
}

/* Anybody who can connect may control the run; from other machines, a token is required. */
static void control_check(const struct setup *setup, struct complaints *complaints)
{
	const struct ini_section *section = ini_find(setup->ini, "control", "");
	struct endpoint endpoint;
	struct error error;

	for (size_t i = 0; !setup->control.token && i < setup->control.listen.count; i++) {
		const char *text = setup->control.listen.all[i];

		if (endpoint_read(text, &endpoint, &error) == 0 && !endpoint.is_unix &&
		    !address_is_loopback(&endpoint.address))
			ini_complain(section, ini_entry(section, "listen"), complaints,
			    "`%s` is reached from other machines: it needs `token = FILE`", text);
	}
}

static void destination_check(const struct setup *setup, struct complaints *complaints)
{
	for (size_t i = 0; i < setup->config->device_count; i++) {
		const struct ini_section *section = ini_find(
		    setup->ini, "device", setup->config->devices[i].name);

		if (setup->config->devices[i].destination.count && setup->proxy.upstream &&
		    !setup->proxy.is_original)
			ini_complain(section, ini_entry(section, "destination"), complaints,
			    "needs `[proxy] upstream = original`: only then do devices send to their own "
			    "clouds");
	}
}

/* Rejects what does not work with several workers, each of which knows only its own devices' sessions. */
static void workers_check(
    const struct setup *setup, const struct setup_source *source, struct complaints *complaints)
{
	const struct config *config = setup->config;
	bool is_kept = source->workers && source->workers != setup->proxy.workers;

	if ((source->workers ? source->workers : setup->proxy.workers) < 2)
		return;
	for (size_t i = 0; i < config->device_count; i++) {
		const struct ini_section *section = ini_find(setup->ini, "device", config->devices[i].name);

		if (config->devices[i].follow_cid)
			ini_complain(section, ini_entry(section, "follow_cid"), complaints,
			    "needs `workers = 1`%s: a device's new address may be another worker's",
			    is_kept ? " from the start of the run on" : "");
	}
	for (size_t i = 0; i < config->link_count; i++) {
		const struct ini_section *section = ini_find(setup->ini, "link", config->links[i].name);

		if (config->links[i].shared != SHARED_SESSION)
			ini_complain(section, ini_entry(section, "shared"), complaints,
			    "needs `workers = 1`%s: those who share it may be several workers'",
			    is_kept ? " from the start of the run on" : "");
	}
	for (size_t i = 0; i < config->rule_count; i++) {
		const struct ini_section *section = ini_find(setup->ini, "rule", config->rules[i].name);

		if (config->rules[i].scope == SCOPE_DEVICE)
			ini_complain(section, ini_entry(section, "scope"), complaints,
			    "needs `workers = 1`%s: a device's sessions may be several workers'",
			    is_kept ? " from the start of the run on" : "");
		if (config->rules[i].scope == SCOPE_ALL)
			ini_note(section, ini_entry(section, "scope"), complaints,
			    "with `workers` above 1 each worker counts its own devices' sessions");
	}
}

struct setup *setup_new(
    const struct setup_source *source, enum setup_use use, struct names *names, struct complaints *complaints)
{
	struct setup *setup = memory_new(1, sizeof(*setup));
	const struct ini_section *proxy;
	struct reading reading = {.names = names};

	setup->ini = ini_new(setup_kinds, setup_kind_count, setup_profile_dir(), complaints);
	ini_use_files(setup->ini, source->files);
	for (size_t i = 0; i < source->set_count; i++)
		if (ini_replaces_includes(source->sets[i]))
			ini_replace_includes(setup->ini);
	if (source->file)
		ini_read(setup->ini, source->file);
	for (size_t i = 0; i < source->overlay_count; i++)
		ini_overlay(setup->ini, source->overlays[i]);
	ini_profiles_read(setup->ini); /* settings may refer to their links */
	for (size_t i = 0; i < source->set_count; i++)
		ini_set(setup->ini, source->sets[i]);
	for (size_t i = 0; i < source->patch_count; i++)
		ini_set_live(setup->ini, source->patches[i], source->live_files);
	ini_inherit(setup->ini);
	setup->arena = arena_new();
	reading.arena = setup->arena;
	reading.ini = setup->ini;
	proxy = ini_find(setup->ini, "proxy", "");
	keys_set_defaults(&proxy_kind, &setup->proxy, &reading);
	keys_set_defaults(&capture_kind, &setup->capture, &reading);
	keys_set_defaults(&control_kind, &setup->control, &reading);
	keys_set_defaults(&gateway_kind, &setup->gateway, &reading);
	keys_fill(&proxy_kind, proxy, &setup->proxy, &reading, complaints);
	keys_fill(&capture_kind, ini_find(setup->ini, "capture", ""), &setup->capture, &reading, complaints);
	if (setup->capture.keylog.count && setup->capture.format == CAPTURE_PCAP)
		ini_complain(ini_find(setup->ini, "capture", ""),
		    ini_entry(ini_find(setup->ini, "capture", ""), "keylog"), complaints,
		    "classic pcap has no place for keys; they need `format = pcapng`");
	keys_fill(&control_kind, ini_find(setup->ini, "control", ""), &setup->control, &reading, complaints);
	control_check(setup, complaints);
	keys_fill(&gateway_kind, ini_find(setup->ini, "gateway", ""), &setup->gateway, &reading, complaints);
	setup->gateway.given = ini_find(setup->ini, "gateway", "") != NULL;
	setup->config = config_new(setup->ini, names, complaints);
	/* If nothing could be read, that error is enough. */
	if (use == SETUP_RUN && (ini_count(setup->ini) || !complaints_count(complaints, COMPLAINT_ERROR))) {
		require_key(setup, source, "listen", complaints);
		require_key(setup, source, "upstream", complaints);
	}
	nat_check(setup, complaints);
	if (proxy && setup->proxy.listen.count)
		listeners_check(setup, complaints);
	if (proxy)
		listen_check(setup, complaints);
	moves_check(setup, names, complaints);
	destination_check(setup, complaints);
	gateway_keys_check(setup, complaints);
	workers_check(setup, source, complaints);
	return setup;
}

void setup_free(struct setup *setup)
{
	if (!setup)
		return;
	config_free(setup->config);
	arena_free(setup->arena);
	ini_free(setup->ini);
	free(setup);
}
