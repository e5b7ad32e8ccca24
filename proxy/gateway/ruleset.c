/* SPDX-License-Identifier: BSD-2-Clause */
/* The text of `nft list` is read line by line. (libnftables 1.0.6 fails to write JSON for tables with an
 * owner.) */
#include "proxy/gateway/ruleset.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "proxy/gateway/sysctl.h"

#define NAME_SIZE 128

/* A walk over the lines, and where in the rule set they are. */
struct walk {
	const char *next;
	char line[1024];            /* the current one, without blanks in front; cut if it is longer */
	char table[NAME_SIZE + 16]; /* "inet filter" */
	char chain[NAME_SIZE];      /* or the name of a counter */
};

static bool next_line(struct walk *walk)
{
	const char *at = walk->next + strspn(walk->next, " \t");
	size_t size = strcspn(at, "\n");
	char family[16], name[NAME_SIZE];

	if (!*walk->next)
		return false;
	snprintf(walk->line, sizeof(walk->line), "%.*s", (int)size, at);
	walk->next = at + size + (at[size] == '\n');
	if (sscanf(walk->line, "table %15s %127s", family, name) == 2)
		snprintf(walk->table, sizeof(walk->table), "%s %s", family, name);
	if (sscanf(walk->line, "chain %127s", walk->chain) != 1)
		sscanf(walk->line, "counter %127s {", walk->chain);
	return true;
}

static bool is_ours(const struct walk *walk)
{
	return strncmp(walk->table, "inet deadzone-", 14) == 0;
}

/* Returns whether a rule of the current chain accepts what has our mark. */
static bool chain_accepts_mark(const struct walk *at, uint32_t mark)
{
	struct walk walk = *at;
	char number[16];

	snprintf(number, sizeof(number), "0x%08x", mark);
	while (next_line(&walk) && walk.line[0] != '}')
		if (strstr(walk.line, "meta mark") && strstr(walk.line, number) &&
		    strstr(walk.line, "accept"))
			return true;
	return false;
}

/* Returns whether the current chain ends everything that its other rules have not accepted: by its policy, or
 * (firewalld) by a rule without a condition. */
static bool chain_refuses_rest(const struct walk *at)
{
	struct walk walk = *at;
	unsigned long long packets, bytes;
	int size = 0;

	if (strstr(walk.line, "policy drop"))
		return true;
	while (next_line(&walk) && walk.line[0] != '}') {
		const char *rule = walk.line;

		size = 0;
		if (sscanf(rule, "counter packets %llu bytes %llu %n", &packets, &bytes, &size) == 2)
			rule += size;
		if (strncmp(rule, "reject", 6) == 0 || strcmp(rule, "drop") == 0)
			return true;
	}
	return false;
}

static void note_policy(const struct walk *walk, const struct table *table, struct text *notes)
{
	bool is_input = strstr(walk->line, "hook input"), is_forward = strstr(walk->line, "hook forward");

	if ((!is_input && !is_forward) || !chain_refuses_rest(walk))
		return;
	if (is_input && !chain_accepts_mark(walk, table->mark))
		text_add(notes,
		    "the chain %s %s drops what comes in, so what is intercepted may die there: `nft insert "
		    "rule %s %s "
		    "meta mark and 0x%x == 0x%x accept`\n",
		    walk->table, walk->chain, walk->table, walk->chain, table->mark, table->mark);
	for (uint32_t i = 0; is_forward && i < table->interface_count; i++)
		text_add(notes,
		    "the chain %s %s drops what is forwarded (docker and firewalls do so), so what is not "
		    "intercepted may "
		    "not pass: `nft insert rule %s %s iifname %s accept` and `nft insert rule %s %s oifname "
		    "%s ct state "
		    "established,related accept`\n",
		    walk->table, walk->chain, walk->table, walk->chain, table->interfaces[i], walk->table,
		    walk->chain, table->interfaces[i]);
}

/* Returns whether a rule has this statement, as a word of its own. */
static bool has_word(const char *line, const char *word)
{
	size_t size = strlen(word);

	for (const char *at = strstr(line, word); at; at = strstr(at + 1, word))
		if ((at == line || at[-1] == ' ') && (at[size] == ' ' || at[size] == '\0'))
			return true;
	return false;
}

/* `masquerades`: there is NAT; otherwise rules look at the state of connections. */
static void note_tracking(const struct table *table, bool masquerades, ns_t idle_timeout, struct text *notes)
{
	long seconds = sysctl_read("/proc/sys/net/netfilter/nf_conntrack_udp_timeout_stream");
	char time[32];

	if (masquerades && table->by_device)
		text_add(notes, "%s",
		    "this machine masquerades: with `source = device` the answers come back only if the "
		    "uplink is not "
		    "masqueraded, and the next router knows the way to the devices\n");
	if (seconds > 0 && seconds * NS_S < idle_timeout)
		text_add(notes,
		    "connection tracking forgets a flow after %s, before idle_timeout: a late datagram from "
		    "the cloud no "
		    "longer reaches the device; `sysctl -w "
		    "net.netfilter.nf_conntrack_udp_timeout_stream=%lld`\n",
		    units_time_text(seconds * NS_S, time, sizeof(time)), (long long)(idle_timeout / NS_S));
}

void ruleset_notes(const char *listed, const struct table *table, ns_t idle_timeout, struct text *notes)
{
	struct walk walk = {.next = listed ? listed : ""};
	bool masquerades = false, looks_at_state = false;

	while (next_line(&walk)) {
		if (is_ours(&walk))
			continue;
		note_policy(&walk, table, notes);
		masquerades |= has_word(walk.line, "masquerade") || has_word(walk.line, "snat");
		looks_at_state |= strstr(walk.line, "ct state") != NULL;
		if (has_word(walk.line, "tproxy"))
			text_add(notes,
			    "the chain %s %s redirects datagrams, too (tproxy): those that it takes do not "
			    "come to "
			    "deadzone\n",
			    walk.table, walk.chain);
	}
	if (masquerades || looks_at_state)
		note_tracking(table, masquerades, idle_timeout, notes);
}

bool ruleset_has_table(const char *listed, const char *name)
{
	struct walk walk = {.next = listed ? listed : ""};

	while (next_line(&walk))
		if (strncmp(walk.table, "inet ", 5) == 0 && strcmp(walk.table + 5, name) == 0)
			return true;
	return false;
}

size_t ruleset_counts(const char *listed, const struct table *table, struct run_summary_gateway *counts)
{
	struct walk walk = {.next = listed ? listed : ""};

	for (uint32_t i = 0; i < table->interface_count; i++) {
		counts[i] = (struct run_summary_gateway){0};
		memcpy(counts[i].interface, table->interfaces[i], IFNAMSIZ);
	}
	while (next_line(&walk)) {
		const char *dash = strchr(walk.chain, '-');
		uint64_t packets;

		if (!dash || sscanf(walk.line, "packets %" SCNu64, &packets) != 1)
			continue;
		for (uint32_t i = 0; i < table->interface_count; i++) {
			if (strcmp(dash + 1, table->interfaces[i]) != 0)
				continue;
			*(walk.chain[0] == 'i'     ? &counts[i].intercepted
			    : walk.chain[0] == 'u' ? &counts[i].udp
			                           : &counts[i].tcp) = packets;
		}
	}
	return table->interface_count;
}
