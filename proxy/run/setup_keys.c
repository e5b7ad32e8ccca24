/* SPDX-License-Identifier: BSD-2-Clause */
/* setup_keys: the tables of the keys of [proxy], [capture] and [control], and what reads their values. */
#include "proxy/run/setup_inside.h"

#include <string.h>

#include "proxy/run/endpoint.h"
#include "rules/shared.h"

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

/* Refuses a value that is not from `low` to `high`; `range` says so in words. */
static int check_range(
    struct reading *reading, const char *text, uint64_t value, uint64_t low, uint64_t high, const char *range)
{
	if (value >= low && value <= high)
		return 0;
	return error_set(&reading->error, "`%s` is out of range; %s", text, range);
}

static int read_max_sessions(struct reading *reading, const char *text, void *into)
{
	return units_integer(text, into, &reading->error)
	           ? -1
	           : check_range(reading, text, *(uint64_t *)into, 1, 1000000, "it is 1 to 1000000");
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
	return units_size(text, into, &reading->error) ? -1
	                                               : check_range(reading, text, *(uint64_t *)into, 4096,
	                                                     UINT64_C(1) << 30, "it is 4KiB to 1GiB");
}

static int read_format(struct reading *reading, const char *text, void *into)
{
	static const char *const words[] = {"pcapng", "pcap"};

	return keys_read_word(reading, text, words, 2, into);
}

static int read_snaplen(struct reading *reading, const char *text, void *into)
{
	return units_size(text, into, &reading->error)
	           ? -1
	           : check_range(reading, text, *(uint64_t *)into, 1, 65535, "it is 1 to 65535 bytes");
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
	return units_size(text, into, &reading->error)
	           ? -1
	           : check_range(reading, text, *(uint64_t *)into, 65536, UINT64_MAX, "64KiB is the least");
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
	return units_integer(text, into, &reading->error)
	           ? -1
	           : check_range(reading, text, *(uint64_t *)into, 1, 100000, "it is 1 to 100000 files");
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

void setup_fill(struct setup *setup, struct reading *reading, struct complaints *complaints)
{
	const struct {
		const struct section_kind *kind;
		void *into;
	} sections[] = {{&proxy_kind, &setup->proxy}, {&capture_kind, &setup->capture},
	    {&control_kind, &setup->control}, {&gateway_kind, &setup->gateway}};

	for (size_t i = 0; i < COUNT(sections); i++) {
		keys_set_defaults(sections[i].kind, sections[i].into, reading);
		keys_fill(sections[i].kind, ini_find(setup->ini, sections[i].kind->name, ""),
		    sections[i].into, reading, complaints);
	}
	setup->gateway.given = ini_find(setup->ini, "gateway", "") != NULL;
}
