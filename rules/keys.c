/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keys: the key tables of [device], [link] and [rule], and the readers for value types used only by them.
 */
#include "rules/config.h"

#include <stdlib.h>
#include <string.h>

#include "base/ini.h"

/* Looks up the index, counted from 0, of a named section. */
static int read_reference(struct reading *reading, const char *kind, const char *text, unsigned *index)
{
	const struct ini_section *section = ini_find(reading->ini, kind, text);

	if (!section)
		return error_set(&reading->error, "there is no [%s %s]", kind, text);
	*index = (unsigned)ini_index(reading->ini, section);
	return 0;
}

static int read_link(struct reading *reading, const char *text, void *into)
{
	unsigned index = 0;

	if (read_reference(reading, "link", text, &index))
		return -1;
	*(unsigned *)into = index + 1;
	return 0;
}

static int read_rule(struct reading *reading, const char *text, void *into)
{
	unsigned index = 0;

	if (read_reference(reading, "rule", text, &index))
		return -1;
	*(unsigned *)into = index + 1;
	return 0;
}

static int read_device(struct reading *reading, const char *text, void *into)
{
	struct indexes *indexes = into;
	unsigned index = 0;

	if (read_reference(reading, "device", text, &index))
		return -1;
	*(unsigned *)keys_append(reading, &indexes->all, &indexes->count, sizeof(index)) = index;
	return 0;
}

static int read_distribution(struct reading *reading, const char *text, void *into)
{
	static const char *const words[] = {"uniform", "normal", "pareto", "paretonormal", "lognormal"};
	const char *table;
	size_t size;
	int choice;

	if (strncmp(text, "file ", 5) == 0) {
		text += 5 + strspn(text + 5, " \t");
		return ini_load(reading, text, &table, &size) ||
		               dist_read_table(into, table, size, reading->arena, &reading->error)
		           ? -1
		           : 0;
	}
	choice = keys_choose(reading, text, words, 5);
	if (choice < 0)
		return error_set(&reading->error,
		    "`%s` is unknown; it is uniform, normal, pareto, paretonormal, lognormal or file PATH",
		    text);
	dist_init(into, (enum dist_kind)choice, reading->arena);
	return 0;
}

static int read_order(struct reading *reading, const char *text, void *into)
{
	static const char *const words[] = {"keep", "free"};

	return keys_read_word(reading, text, words, 2, into);
}

static int read_shared(struct reading *reading, const char *text, void *into)
{
	static const char *const words[] = {"session", "device", "all"};

	return keys_read_word(reading, text, words, 3, into);
}

static int read_loss_at(struct reading *reading, const char *text, void *into)
{
	static const char *const words[] = {"entry", "exit"};

	return keys_read_word(reading, text, words, 2, into);
}

static int read_loss_run(struct reading *reading, const char *text, void *into)
{
	char *end;
	double run = strtod(text, &end);

	if (text[0] < '0' || text[0] > '9' || *end || strpbrk(text, "xXeEpP"))
		return error_set(&reading->error,
		    "`%s` is not a number; it is the mean number lost in a row, as 4 or 2.5", text);
	if (run < 1 || run > 1e6)
		return error_set(
		    &reading->error, "`%s` is out of range; a run is 1 to 1000000 datagrams", text);
	*(double *)into = run;
	return 0;
}

static int read_gilbert(struct reading *reading, const char *text, void *into)
{
	struct gilbert gilbert = {.given = true, .loss_bad = 1};
	double *figures[] = {&gilbert.to_bad, &gilbert.to_good, &gilbert.loss_bad, &gilbert.loss_good};
	char *rest = arena_text(reading->arena, text, strlen(text));
	size_t count = 0;

	for (char *word = strsep(&rest, " \t"); word; word = strsep(&rest, " \t")) {
		if (!*word)
			continue;
		if (count == 4)
			return error_set(&reading->error, "`%s` has more than four figures", text);
		if (units_share(word, figures[count++], &reading->error))
			return -1;
	}
	if (count < 2)
		return error_set(&reading->error,
		    "`%s` is too short; it is P R [LOSS_BAD [LOSS_GOOD]], as `1%% 25%%`", text);
	*(struct gilbert *)into = gilbert;
	return 0;
}

/* Reads an amount: `50p`, a time or, if `bytes` is true, a size with its unit. */
static int read_amount(struct reading *reading, const char *text, struct amount *amount, bool bytes)
{
	size_t size = strlen(text);
	uint64_t number;
	ns_t time;

	if (size > 1 && text[size - 1] == 'p') {
		if (units_integer(arena_text(reading->arena, text, size - 1), &number, &reading->error))
			return -1;
		*amount = (struct amount){.kind = AMOUNT_PACKETS, .value = number};
		return 0;
	}
	if (bytes && size > 1 && text[size - 1] == 'B') {
		if (units_size(text, &number, &reading->error))
			return -1;
		*amount = (struct amount){.kind = AMOUNT_BYTES, .value = number};
		return 0;
	}
	if (strspn(text, "0123456789.") == size || units_time(text, &time, &reading->error))
		return error_set(&reading->error,
		    bytes ? "`%s` lacks its unit; it is datagrams (50p), bytes (64KiB) or a time (2s)"
		          : "`%s` lacks its unit; it is datagrams (3p) or a time (30ms)",
		    text);
	*amount = (struct amount){.kind = AMOUNT_TIME, .value = (uint64_t)time};
	return 0;
}

static int read_queue(struct reading *reading, const char *text, void *into)
{
	return read_amount(reading, text, into, true);
}

static int read_reorder_by(struct reading *reading, const char *text, void *into)
{
	struct amount *amount = into;

	if (read_amount(reading, text, amount, false))
		return -1;
	if (amount->kind == AMOUNT_PACKETS && (amount->value < 1 || amount->value > ACTION_HOLD_MAX))
		return error_set(
		    &reading->error, "`%s` is out of range; it is 1p to %dp", text, ACTION_HOLD_MAX);
	return 0;
}

static int read_overhead(struct reading *reading, const char *text, void *into)
{
	uint64_t *overhead = into;

	if (strcmp(text, "ip") == 0) {
		*overhead = OVERHEAD_IP;
		return 0;
	}
	if (units_size(text, overhead, &reading->error))
		return -1;
	if (*overhead > 65535)
		return error_set(
		    &reading->error, "`%s` is out of range; it is ip, or 0 to 65535 bytes", text);
	return 0;
}

static int read_mtu(struct reading *reading, const char *text, void *into)
{
	uint64_t *mtu = into;

	if (units_size(text, mtu, &reading->error))
		return -1;
	if (*mtu < 28 || *mtu > 65575)
		return error_set(&reading->error, "`%s` is out of range; an MTU is 28 to 65575 bytes", text);
	return 0;
}

static int read_trace(struct reading *reading, const char *path, void *into)
{
	struct trace *trace = into;
	const char *text, *at;
	uint32_t *stamps = NULL;
	size_t size, count = 0;
	int line = 1;

	if (ini_load(reading, path, &text, &size))
		return -1;
	if (strlen(text) != size)
		return error_set(&reading->error, "`%s` holds a NUL byte; a trace is plain text", path);
	for (at = text; *at; line++) {
		size_t length = strcspn(at, "\r\n");
		uint64_t stamp;
		struct error error;

		if (length) {
			if (units_integer(arena_text(reading->arena, at, length), &stamp, &error) ||
			    stamp > UINT32_MAX)
				return error_set(&reading->error,
				    "`%s`, line %d: a trace has one millisecond stamp a line", path, line);
			if (count && stamp < stamps[count - 1])
				return error_set(&reading->error,
				    "`%s`, line %d: the stamps of a trace never fall", path, line);
			stamps = arena_grow(reading->arena, stamps, count, sizeof(*stamps));
			stamps[count++] = (uint32_t)stamp;
		}
		at += length;
		at += *at == '\r';
		at += *at == '\n';
	}
	if (!count || !stamps[count - 1])
		return error_set(&reading->error,
		    "`%s` ends at 0 ms; a trace has a last stamp above 0, where it repeats", path);
	*trace = (struct trace){.at_ms = stamps, .count = count, .period_ms = stamps[count - 1]};
	return 0;
}

static int read_wake_delay(struct reading *reading, const char *text, void *into)
{
	struct wake_delay *delay = into;

	*delay = (struct wake_delay){.next_up = strcmp(text, "next-up") == 0};
	if (delay->next_up) {
		if (strncmp(reading->entry->key, "up.", 3) == 0)
			return error_set(&reading->error,
			    "`next-up` is for down: what the device sends waits for nothing");
		return 0;
	}
	return units_time_range(text, &delay->time, &reading->error);
}

static int read_nat_refresh(struct reading *reading, const char *text, void *into)
{
	static const char *const words[] = {"up", "both"};

	return keys_read_word(reading, text, words, 2, into);
}

static int read_way(struct reading *reading, const char *text, void *into)
{
	static const char *const words[] = {"both", "up", "down", "either"};

	return keys_read_word(reading, text, words, 4, into);
}

static int read_scope(struct reading *reading, const char *text, void *into)
{
	static const char *const words[] = {"session", "device", "all", "first"};
	struct rule *rule = (struct rule *)(void *)((char *)into - offsetof(struct rule, scope));

	if (keys_read_word(reading, text, words, 4, into))
		return -1;
	rule->first = rule->scope == SCOPE_FIRST;
	if (rule->first)
		rule->scope = SCOPE_ALL;
	return 0;
}

static int read_record(struct reading *reading, const char *text, void *into)
{
	struct records *records = into;
	const char *colon = strchr(text, ':');
	struct record_span record;

	if (!colon ||
	    units_integer(
	        arena_text(reading->arena, text, (size_t)(colon - text)), &record.epoch, &reading->error) ||
	    units_span(colon + 1, &record.numbers, &reading->error))
		return error_set(
		    &reading->error, "`%s` is no record; one is EPOCH:NUMBER, as 0:2 or 1:0-5", text);
	*(struct record_span *)keys_append(reading, &records->all, &records->count, sizeof(record)) = record;
	return 0;
}

/* Reads the period after `every` ("every 5", "5-8 every 8"), which must be above 0. */
static int read_period(struct reading *reading, const char *text, const char *period, uint64_t *into)
{
	if (units_integer(period + strspn(period, " "), into, &reading->error))
		return -1;
	return *into ? 0 : error_set(&reading->error, "`%s` counts nothing; `every` takes 1 or more", text);
}

static int read_nth(struct reading *reading, const char *text, void *into)
{
	static const char word[] = "every ";
	const char *every = strstr(text, word);
	struct spans *spans = into;
	struct span span = {0};
	size_t size = every ? (size_t)(every - text) : strlen(text);

	if (every && read_period(reading, text, every + sizeof(word) - 1, &span.period))
		return -1;
	if (every == text) {
		span.low = span.high = span.period;
	} else {
		uint64_t period = span.period;

		while (size && text[size - 1] == ' ')
			size--;
		if (units_span(arena_text(reading->arena, text, size), &span, &reading->error))
			return -1;
		span.period = period;
		if (span.high == 0)
			return error_set(&reading->error, "`%s` never comes; the first datagram is 1", text);
		if (period && span.high - span.low >= period)
			return error_set(&reading->error,
			    "`%s` is longer than its period; it is a range such as 5-8 every 8", text);
	}
	*(struct span *)keys_append(reading, &spans->all, &spans->count, sizeof(span)) = span;
	return 0;
}

static int read_expect(struct reading *reading, const char *text, void *into)
{
	struct rule *rule = (struct rule *)(void *)((char *)into - offsetof(struct rule, expect));
	const char *blank = strchr(text, ' ');

	rule->expect_given = true;
	rule->expect_each = blank && strcmp(blank + strspn(blank, " "), "each") == 0;
	if (blank && !rule->expect_each)
		return error_set(&reading->error,
		    "`%s` is not right; it is a range like 1- or 3, and `each` behind it", text);
	return units_span(arena_text(reading->arena, text, blank ? (size_t)(blank - text) : strlen(text)),
	    into, &reading->error);
}

/* ---- The tables ---- */

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static const struct key device_keys[] = {
    {"address", KEY_LIST, NULL, offsetof(struct device, address), keys_read_pattern,
        "address, prefix, or address and port", "only sessions of these device addresses", "any"},
    {"listener", KEY_LIST, NULL, offsetof(struct device, listener), keys_read_address, "address and port",
        "the [proxy] listen address and port that the device spoke to", "any"},
    {"destination", KEY_LIST, NULL, offsetof(struct device, destination), keys_read_pattern,
        "address, prefix, or address and port",
        "with `upstream = original`: only sessions that the device sends there", "any"},
    {"link", KEY_PLAIN, NULL, offsetof(struct device, link), read_link, "name of a [link]",
        "the link that its datagrams cross", "default if it exists, else a clean link"},
    {"nat_timeout", KEY_PLAIN, NULL, offsetof(struct device, nat_timeout), keys_read_time_above_0, "time",
        "the NAT mapping lasts this long after the last datagram that refreshed it", "none"},
    {"nat_timeout_stream", KEY_PLAIN, NULL, offsetof(struct device, nat_timeout_stream),
        keys_read_time_above_0, "time", "the same, once datagrams have gone both ways", "as nat_timeout"},
    {"nat_refresh", KEY_PLAIN, "up", offsetof(struct device, nat_refresh), read_nat_refresh, "up or both",
        "which direction refreshes the mapping (RFC 4787 REQ-6)", NULL},
    {"upstream", KEY_PLAIN, NULL, offsetof(struct device, upstream), keys_read_endpoint, "host and port",
        "another cloud for these devices", "[proxy] upstream"},
    {"identity", KEY_PLAIN, NULL, offsetof(struct device, identity), keys_read_text, "name",
        "draws derive from this name instead of the address, so they repeat when the address changes",
        "the address"},
    {"follow_cid", KEY_PLAIN, "no", offsetof(struct device, follow_cid), keys_read_bool, "yes or no",
        "a datagram from an unknown address whose DTLS connection ID was seen in a session of this section, "
        "with a higher (epoch, sequence number) than any there, continues it (RFC 9146 section 6)",
        NULL},
    {"like", KEY_PLAIN, NULL, 0, NULL, "name of a [device]",
        "inherits the keys of that section; its own keys override them", "none"},
};

#define AT(field) offsetof(struct link_way, field)

static const struct key link_keys[] = {
    {"shared", KEY_PLAIN, "session", offsetof(struct link, shared), read_shared, "session, device or all",
        "who shares the bottleneck with its queue, the trace's position, the radio's sleep and the loss "
        "chain: each "
        "session has its own, all sessions of one device address or identity, or all sessions on this link "
        "(needs "
        "workers = 1)",
        NULL},
    {"latency", KEY_EACH_WAY, "0", AT(latency), keys_read_time, "time", "one-way delay", NULL},
    {"jitter", KEY_EACH_WAY, "0", AT(jitter), keys_read_time, "time", "spread around latency", NULL},
    {"distribution", KEY_EACH_WAY, "uniform", AT(dist), read_distribution,
        "uniform, normal, pareto, paretonormal, lognormal or file PATH",
        "of jitter: uniform is within it either side; the others have mean latency and standard deviation "
        "jitter; a file is an iproute2 table, latency + jitter x entry / 8192",
        NULL},
    {"correlation", KEY_EACH_WAY, "0%", AT(correlation), keys_read_share, "share",
        "of successive jitter values: AR(1) on standard normal scores", NULL},
    {"order", KEY_EACH_WAY, "keep", AT(order), read_order, "keep or free",
        "keep: a datagram never leaves before an earlier one of its session and direction by what the link "
        "gives; free: it may",
        NULL},
    {"loss", KEY_EACH_WAY, "0%", AT(loss), keys_read_share, "share", "of datagrams lost", NULL},
    {"loss_run", KEY_EACH_WAY, NULL, AT(loss_run), read_loss_run, "number",
        "mean number of datagrams lost in a row; the share stays loss", "none: independent losses"},
    {"gilbert_elliott", KEY_EACH_WAY, NULL, AT(gilbert), read_gilbert, "P R [LOSS_BAD [LOSS_GOOD]]",
        "chance good to bad, bad to good, loss in bad (100%), in good (0%); in place of the two above",
        "none"},
    {"loss_at", KEY_EACH_WAY, "entry", AT(loss_at), read_loss_at, "entry or exit",
        "lost before the bottleneck, or after it, having used its share of the rate", NULL},
    {"reorder", KEY_EACH_WAY, "0%", AT(reorder), keys_read_share, "share",
        "of datagrams held back (RFC 4737: the late one is the reordered one)", NULL},
    {"reorder_by", KEY_EACH_WAY, "1p", AT(reorder_by), read_reorder_by, "datagrams (3p) or time",
        "until this many later ones of its direction have left, or for this long", NULL},
    {"reorder_wait", KEY_EACH_WAY, "1s", AT(reorder_wait), keys_read_time, "time",
        "longest wait of a held datagram for later ones", NULL},
    {"duplicate", KEY_EACH_WAY, "0%", AT(duplicate), keys_read_share, "share", "of datagrams sent twice",
        NULL},
    {"corrupt", KEY_EACH_WAY, "0%", AT(corrupt), keys_read_share, "share",
        "of datagrams with one bit flipped", NULL},
    {"rate", KEY_EACH_WAY, NULL, AT(rate), keys_read_rate, "rate",
        "bottleneck; datagrams queue behind one another and leave once fully transmitted", "none"},
    {"packet_time", KEY_EACH_WAY, "0", AT(packet_time), keys_read_time, "time",
        "fixed cost of every datagram at the bottleneck", NULL},
    {"overhead", KEY_EACH_WAY, "ip", AT(overhead), read_overhead, "ip or size",
        "bytes added to each datagram when rate counts; ip is 28, for an IPv6 device 48", NULL},
    {"queue", KEY_EACH_WAY, "1000p", AT(queue), read_queue, "datagrams (50p), bytes (64KiB) or time (2s)",
        "maximum queue at the bottleneck; datagrams beyond it are dropped (tail drop)", NULL},
    {"trace", KEY_EACH_WAY, NULL, AT(trace), read_trace, "file",
        "delivery opportunities, a millisecond stamp a line, each worth 1504 bytes (mahimahi's format); in "
        "place of rate",
        "none"},
    {"mtu", KEY_EACH_WAY, NULL, AT(mtu), read_mtu, "size",
        "IP packet size: datagram + 28 bytes (IPv6 device: 48); larger ones are dropped", "none"},
    {"wake_after", KEY_EACH_WAY, NULL, AT(wake_after), keys_read_time, "time",
        "radio sleep: after neither direction has carried anything for this long …", "none"},
    {"wake_delay", KEY_EACH_WAY, "0", AT(wake_delay), read_wake_delay, "time, range or next-up",
        "… the next datagram and those behind it are delayed by this much; next-up: until the device next "
        "sends",
        NULL},
    {"like", KEY_PLAIN, NULL, 0, NULL, "name of a [link]",
        "inherits the keys of that section; its own keys override them", "none"},
};

#undef AT
#define AT(field) offsetof(struct rule, field)

static const struct key rule_keys[] = {
    {"device", KEY_LIST, NULL, AT(devices), read_device, "names of [device] sections",
        "sessions of these sections", "all"},
    {"session", KEY_LIST, NULL, AT(sessions), keys_read_spans, "list of numbers",
        "sessions by number: 1, 3-5", "all"},
    {"direction", KEY_PLAIN, "both", AT(way), read_way, "up, down, both or either",
        "both: each direction counts for itself; either: both, counted together", NULL},
    {"dtls", KEY_LIST, NULL, AT(dtls), kinds_read, "kinds of record",
        "any record in the datagram is one of these", "any"},
    {"dtls_not", KEY_LIST, NULL, AT(dtls_not), kinds_read, "kinds of record",
        "no record in the datagram is one of these", "none"},
    {"epoch", KEY_PLAIN, NULL, AT(epoch), keys_read_span, "range", "epoch of any record in the datagram",
        "any"},
    {"record", KEY_LIST, NULL, AT(records), read_record, "EPOCH:RANGE",
        "a record with this epoch and sequence number, where they are in the clear", "any"},
    {"attempt", KEY_PLAIN, NULL, AT(attempt), keys_read_span, "range",
        "a handshake message that meets dtls, epoch, record and message_seq is sent this way for the Nth "
        "time: 1 is the first try, 2 its first retransmission",
        "any"},
    {"message_seq", KEY_PLAIN, NULL, AT(message_seq), keys_read_span, "range",
        "a handshake message in the clear that meets dtls, epoch and record has this message_seq", "any"},
    {"bytes", KEY_LIST, NULL, AT(bytes), bytes_read, "OFFSET:HEX[/MASK]",
        "the datagram has these bytes at OFFSET (below 0: from its end); of a byte only the mask's bits "
        "count",
        "any"},
    {"coap", KEY_LIST, NULL, AT(coap), coap_read, "kinds of CoAP message",
        "the datagram is CoAP in the clear, and one of these: con, non, ack, rst, request, response, get, "
        "post, put, delete, a code such as 2.05, block1, block2",
        "any"},
    {"coap_block", KEY_PLAIN, NULL, AT(coap_block), keys_read_span, "range",
        "the number of its Block1 or Block2 option (of the one that coap names)", "any"},
    {"carried", KEY_PLAIN, NULL, AT(carried), keys_read_span_of_sizes, "range of bytes",
        "bytes of datagrams that have arrived in this session and direction so far, this one included",
        "any"},
    {"size", KEY_LIST, NULL, AT(sizes), keys_read_spans_of_sizes, "range of bytes",
        "bytes of the datagram: 33, 500-600", "any"},
    {"nth", KEY_LIST, NULL, AT(nth), read_nth, "list",
        "ordinals among the datagrams that meet all other conditions: 75, 10-20, 40-, every 5, 5-8 every 8",
        "all"},
    {"probability", KEY_PLAIN, "100%", AT(probability), keys_read_share, "share",
        "by chance, drawn after nth", NULL},
    {"limit", KEY_PLAIN, NULL, AT(limit), keys_read_whole, "number",
        "fires at most this many times in a session", "none"},
    {"after", KEY_PLAIN, "0", AT(after), keys_read_time, "time",
        "active from this time of the session's life on", NULL},
    {"until", KEY_PLAIN, NULL, AT(until), keys_read_time, "time",
        "active up to this time of the session's life", "its end"},
    {"since", KEY_PLAIN, NULL, AT(since), read_rule, "name of a [rule]",
        "inactive until that rule has fired in this session; every count and time restarts then", "none"},
    {"at", KEY_PLAIN, NULL, AT(at), keys_read_time_range, "time or range",
        "in place of datagram conditions: fires at this time of the session's life", "none"},
    {"every", KEY_PLAIN, NULL, AT(every), keys_read_time_range, "time or range", "fires again and again",
        "none"},
    {"expect", KEY_PLAIN, NULL, AT(expect), read_expect, "RANGE [each]",
        "how often it must have fired by the end of the run (each: in every session of its device); else the "
        "exit status is 3",
        "none"},
    {"scope", KEY_PLAIN, "session", AT(scope), read_scope, "session, device, all or first",
        "where nth and limit are counted and at and every run. device: over all sessions of one device "
        "address or "
        "identity, also carried and since, and blackout, rebind and link act on all of them (needs workers = "
        "1); "
        "first: counted as all, but only the first session and handshake in which the rule matches count",
        NULL},
    {"do", KEY_REPEATED, NULL, AT(actions), action_read, "an action", "what is done; see below", "required"},
};

const struct section_kind config_device_kind = {"device", true, device_keys, COUNT(device_keys),
    sizeof(struct device), 0, 0,
    "which sessions, and their settings; the first section in file order whose conditions match applies"};
const struct section_kind config_link_kind = {"link", true, link_keys, COUNT(link_keys), sizeof(struct link),
    offsetof(struct link, ways), sizeof(struct link_way),
    "an emulated network path; each key may stand alone (both directions) or with the prefix up. or down."};
const struct section_kind config_rule_kind = {"rule", true, rule_keys, COUNT(rule_keys), sizeof(struct rule),
    0, 0,
    "when something matches or a time comes, do something; every rule that matches acts, in file order"};
