/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each note is computed from the built configuration, and placed at the entry that it is about: a rule's
 * ranges against what datagrams can have, a link's keys against the keys without which they have no effect.
 */
#include "rules/notes.h"

#include <stdlib.h>
#include <string.h>

#include "base/datagram.h"

#define WORD_SIZE 32

static const char *const way_prefix[WAYS] = {"up.", "down."};

const struct ini_entry *notes_entry_for(const struct ini_section *section, const char *key, enum way way)
{
	char name[WORD_SIZE];
	const struct ini_entry *entry;

	snprintf(name, sizeof(name), "%s%s", way_prefix[way], key);
	entry = ini_entry(section, name);
	return entry ? entry : ini_entry(section, key);
}

/* ---- Rules ---- */

static uint64_t spans_lowest(const struct spans *spans)
{
	uint64_t low = UNITS_NO_LIMIT;

	for (size_t i = 0; i < spans->count; i++)
		if (spans->all[i].low < low)
			low = spans->all[i].low;
	return low;
}

static uint64_t spans_highest(const struct spans *spans)
{
	uint64_t high = 0;

	for (size_t i = 0; i < spans->count; i++)
		if (spans->all[i].high > high)
			high = spans->all[i].high;
	return high;
}

#define EPOCH_MAX UINT16_MAX
#define NUMBER_MAX ((UINT64_C(1) << 48) - 1)

/* Returns whether any record can match the rule's `record`. */
static bool can_match_record(const struct records *records)
{
	for (size_t i = 0; i < records->count; i++)
		if (records->all[i].epoch <= EPOCH_MAX && records->all[i].numbers.low <= NUMBER_MAX)
			return true;
	return records->count == 0;
}

static bool has_action(const struct rule *rule, enum act act)
{
	for (size_t i = 0; i < rule->actions.count; i++)
		if (rule->actions.all[i].act == act)
			return true;
	return false;
}

void notes_rule(const struct config *config, const struct rule *rule, const struct ini_section *section,
    struct complaints *complaints)
{
	const uint32_t none = 1u << DTLS_KIND_NONE, finished = 1u << DTLS_KIND_FINISHED;
	const unsigned of_records = LOOKS_RECORDS | LOOKS_ATTEMPT | LOOKS_SEQUENCE;
	bool any_dtls = rule->dtls.kinds || rule->dtls.any_types;
	const struct {
		const char *key;
		bool holds;
		const char *why;
	} rows[] = {
	    {"until", ini_entry(section, "until") && rule->until <= rule->after,
	        "the rule can never match: `until` is not above `after`"},
	    {"limit", rule->limit == 0, "the rule can never fire: its limit is 0"},
	    {"probability", rule->probability == 0, "the rule can never fire: its chance is 0%"},
	    {"dtls_not", any_dtls && !rule->dtls.any_types && (rule->dtls.kinds & ~rule->dtls_not.kinds) == 0,
	        "the rule can never match: `dtls_not` excludes all that `dtls` asks for"},
	    {"attempt", (rule->looks & LOOKS_ATTEMPT) && rule->attempt.high == 0,
	        "the rule can never match: the first try is 1"},
	    {"size", rule->sizes.count && spans_lowest(&rule->sizes) > DATAGRAM_MAX,
	        "the rule can never match: no datagram is larger than 65527 bytes"},
	    {"session", rule->sessions.count && spans_highest(&rule->sessions) == 0,
	        "the rule can never match: the first session is 1"},
	    {"session", rule->sessions.count && spans_lowest(&rule->sessions) > UINT32_MAX,
	        "the rule can never match: sessions are numbered up to 4294967295"},
	    {"epoch", rule->epoch.low > EPOCH_MAX, "the rule can never match: the last epoch is 65535"},
	    {"record", !can_match_record(&rule->records),
	        "the rule can never match: epochs end at 65535, sequence numbers at 281474976710655"},
	    {"dtls",
	        any_dtls && !rule->dtls.any_types && rule->dtls.kinds == none && (rule->looks & of_records),
	        "the rule can never match: what is no DTLS has no record"},
	    {"coap",
	        any_dtls && !(rule->dtls.kinds & none) && (rule->looks & (LOOKS_COAP | LOOKS_COAP_BLOCK)),
	        "the rule can never match: what is DTLS is no CoAP in the clear"},
	    {"dtls", config->any_follow && (rule->dtls.kinds & finished),
	        "behind a connection ID Finished is hidden; there `record = 1:0` matches it"},
	    {"carried", (rule->looks & LOOKS_CARRIED) && rule->carried.low == rule->carried.high,
	        "it holds only while exactly that many bytes were carried; with a `-` behind it means from "
	        "there on"},
	    {"carried",
	        (rule->looks & LOOKS_CARRIED) && rule->carried.high == UNITS_NO_LIMIT &&
	            rule->limit == UNITS_NO_LIMIT && !rule->nth.count && has_action(rule, ACT_BLACKOUT),
	        "from there on each datagram begins a blackout; `limit = 1` stops after the first"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (rows[i].holds)
			ini_note(section, ini_entry(section, rows[i].key), complaints, "%s", rows[i].why);
}

/* ---- Links ---- */

static bool has_bottleneck(const struct link_way *way)
{
	return way->rate || way->packet_time || way->trace.count;
}

static bool is_lossy(const struct link_way *way)
{
	return way->loss > 0 || way->gilbert.given;
}

static bool uses_wake(const struct link_way *way)
{
	return way->wake_after > 0;
}

static bool uses_jitter(const struct link_way *way)
{
	return way->jitter > 0;
}

static bool uses_reorder(const struct link_way *way)
{
	return way->reorder > 0;
}

/* Keys that have no effect without another one. */
static const struct {
	const char *key, *needs;
	bool (*is_used)(const struct link_way *way);
} dependent[] = {
    {"loss_run", "`loss`", is_lossy},
    {"loss_at", "`loss`", is_lossy},
    {"wake_delay", "`wake_after`", uses_wake},
    {"reorder_by", "`reorder`", uses_reorder},
    {"reorder_wait", "`reorder`", uses_reorder},
    {"correlation", "`jitter`", uses_jitter},
    {"distribution", "`jitter`", uses_jitter},
    {"overhead", "`rate`, `packet_time` or `trace`", has_bottleneck},
    {"queue", "`rate`, `packet_time` or `trace`", has_bottleneck},
};

/* Returns whether an entry is without effect in every way for which it is in force. */
static bool is_idle(const struct link *link, const struct ini_section *section, const char *key,
    const struct ini_entry *entry, bool (*is_used)(const struct link_way *way))
{
	for (int way = 0; way < WAYS; way++)
		if (notes_entry_for(section, key, (enum way)way) == entry && is_used(&link->ways[way]))
			return false;
	return true;
}

static void note_link(
    const struct link *link, const struct ini_section *section, struct complaints *complaints)
{
	const struct ini_entry *noted = NULL;

	for (size_t i = 0; i < sizeof(dependent) / sizeof(*dependent); i++)
		for (int way = 0; way < WAYS; way++) {
			const struct ini_entry *entry = notes_entry_for(
			    section, dependent[i].key, (enum way)way);

			if (!entry || entry->inherited || entry == noted ||
			    !is_idle(link, section, dependent[i].key, entry, dependent[i].is_used))
				continue;
			noted = entry;
			ini_note(section, entry, complaints, "has no effect without %s", dependent[i].needs);
		}
	for (int way = 0; way < WAYS; way++) {
		const struct link_way *figures = &link->ways[way];
		const struct ini_entry *entry = notes_entry_for(section, "jitter", (enum way)way);

		if (!entry || entry->inherited || entry == noted || figures->jitter <= figures->latency ||
		    figures->dist.kind == DIST_LOGNORMAL)
			continue;
		noted = entry;
		ini_note(section, entry, complaints,
		    "is above `latency`: delays that would be below 0 are cut off at 0");
	}
}

/* ---- All links ---- */

static void set_flag(const struct config *config, bool *flags, const char *name)
{
	const struct link *link = config_link(config, name);

	if (link)
		flags[link - config->links] = true;
}

void notes_links(const struct config *config, const struct ini *ini, struct complaints *complaints)
{
	bool *is_used = arena_get(config->arena, config->link_count * sizeof(*is_used));
	bool *is_base = arena_get(config->arena, config->link_count * sizeof(*is_base));
	const struct ini_section *proxy;
	bool is_whole;

	for (size_t i = 0; i < config->device_count; i++)
		is_used[config->devices[i].link] = true;
	for (size_t i = 0; i < config->rule_count; i++)
		for (size_t k = 0; k < config->rules[i].actions.count; k++)
			if (config->rules[i].actions.all[k].act == ACT_LINK)
				is_used[config->rules[i].actions.all[k].link] = true;
	set_flag(config, is_used, "default");
	for (size_t i = 0; i < ini_count(ini); i++) {
		const struct ini_section *section = ini_section(ini, i);
		const struct ini_entry *like = ini_entry(section, "like");

		if (like && section->kind == &config_link_kind)
			set_flag(config, is_base, like->value);
	}
	/* A file without [proxy] may define links for files that include it. */
	proxy = ini_find(ini, "proxy", "");
	is_whole = proxy && ini_is_main_file(ini, proxy->file);
	for (size_t i = 0; i < ini_count(ini); i++) {
		const struct ini_section *section = ini_section(ini, i);
		const struct link *link = section->kind == &config_link_kind
		                              ? config_link(config, section->name)
		                              : NULL;
		size_t index = link ? (size_t)(link - config->links) : 0;

		if (!link || is_base[index])
			continue;
		note_link(link, section, complaints);
		if (is_whole && !is_used[index] && ini_is_main_file(ini, section->file))
			ini_note(section, NULL, complaints,
			    "is used by no [device], `do = link` or `like`; it can still be switched to "
			    "live");
	}
}
