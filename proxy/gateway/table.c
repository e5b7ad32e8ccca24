/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * table_create writes the whole table as one text, which nft(8) applies as one transaction. Whatever comes
 * from the configuration is checked before (table_is_valid), because it becomes part of commands.
 */
#include "proxy/gateway/table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- From settings ---- */

static int compare_ports(const void *a, const void *b)
{
	const struct port_range *x = a, *y = b;

	return x->low < y->low ? -1 : x->low > y->low;
}

/* Ranges that overlap or touch become one: nft takes no overlapping intervals. */
static void fill_ports(struct table *table, const struct port_range *ranges, size_t count)
{
	static const struct port_range coaps = {5684, 5684};

	if (!count) {
		table->ports[table->port_count++] = coaps;
		return;
	}
	memcpy(table->ports, ranges, count * sizeof(*ranges));
	qsort(table->ports, count, sizeof(*ranges), compare_ports);
	for (size_t i = 0; i < count; i++) {
		struct port_range *last = table->port_count ? &table->ports[table->port_count - 1] : NULL;

		if (!last || table->ports[i].low > (uint32_t)last->high + 1)
			table->ports[table->port_count++] = table->ports[i];
		else if (table->ports[i].high > last->high)
			last->high = table->ports[i].high;
	}
}

/* Leaves out patterns that are part of others. */
static void fill_patterns(struct table_patterns *into, const struct patterns *from)
{
	for (size_t i = 0; i < from->count; i++) {
		bool is_part = false;

		for (size_t k = 0; k < from->count && !is_part; k++)
			is_part = i != k && address_pattern_covers(&from->all[k], &from->all[i]) &&
			          (k < i || !address_pattern_covers(&from->all[i], &from->all[k]));
		if (!is_part)
			into->all[into->count++] = from->all[i];
	}
}

void table_fill(struct table *table, const struct gateway_settings *settings)
{
	*table = (struct table){.mark = (uint32_t)settings->mark,
	    .by_device = settings->source == GATEWAY_SOURCE_DEVICE,
	    .is_dark_all = settings->dark == GATEWAY_DARK_ALL};
	for (size_t i = 0; i < settings->interface.count; i++) {
		bool is_known = false;

		for (uint32_t k = 0; k < table->interface_count; k++)
			is_known |= strcmp(table->interfaces[k], settings->interface.all[i]) == 0;
		if (!is_known)
			snprintf(table->interfaces[table->interface_count++], IFNAMSIZ, "%s",
			    settings->interface.all[i]);
	}
	fill_ports(table, settings->ports.all, settings->ports.count);
	fill_patterns(&table->destination, &settings->destination);
	fill_patterns(&table->exclude, &settings->exclude);
	fill_patterns(&table->address, &settings->address);
}

void table_listen(struct table *table, const struct address *listeners, size_t count)
{
	for (size_t i = count; i; i--)
		table->listen[listeners[i - 1].family == FAMILY_IPV6] = listeners[i - 1];
}

static bool patterns_are_valid(const struct table_patterns *patterns)
{
	if (patterns->count > GATEWAY_PATTERNS_MAX)
		return false;
	for (uint32_t i = 0; i < patterns->count; i++) {
		const struct address *address = &patterns->all[i].address;

		if ((address->family != FAMILY_IPV4 && address->family != FAMILY_IPV6) ||
		    patterns->all[i].bits > address_ip_size(address) * 8)
			return false;
	}
	return true;
}

static bool name_is_valid(const char name[IFNAMSIZ])
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
	size_t size = strnlen(name, IFNAMSIZ);

	return size && size < IFNAMSIZ && strspn(name, letters) == size;
}

bool table_is_valid(const struct table *table)
{
	bool is_valid = table->interface_count <= GATEWAY_INTERFACES_MAX && table->interface_count &&
	                table->port_count <= GATEWAY_PORTS_MAX && table->port_count &&
	                patterns_are_valid(&table->destination) && patterns_are_valid(&table->exclude) &&
	                patterns_are_valid(&table->address) && table->listen[0].family <= FAMILY_IPV4 &&
	                (!table->listen[1].family || table->listen[1].family == FAMILY_IPV6);

	for (uint32_t i = 0; is_valid && i < table->interface_count; i++)
		is_valid = name_is_valid(table->interfaces[i]);
	return is_valid;
}

const char *table_name(const struct table *table, char name[TABLE_NAME_SIZE])
{
	snprintf(name, TABLE_NAME_SIZE, "deadzone-%" PRIu32, table->mark);
	return name;
}

/* ---- Commands ---- */

static void add_rule(struct text *out, const struct table *table, const char *chain, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void add_rule(struct text *out, const struct table *table, const char *chain, const char *format, ...)
{
	char name[TABLE_NAME_SIZE];
	va_list list;

	text_add(out, "add rule inet %s %s ", table_name(table, name), chain);
	va_start(list, format);
	text_add_list(out, format, list);
	va_end(list);
	text_add(out, "\n");
}

/* Adds `{ "wlan0", "eth1" }`. */
static void add_interfaces(struct text *out, const struct table *table)
{
	text_add(out, "{ ");
	for (uint32_t i = 0; i < table->interface_count; i++)
		text_add(out, "%s\"%s\"", i ? ", " : "", table->interfaces[i]);
	text_add(out, " }");
}

static size_t count_family(const struct table_patterns *patterns, enum family family)
{
	size_t count = 0;

	for (uint32_t i = 0; i < patterns->count; i++)
		count += patterns->all[i].address.family == family;
	return count;
}

/* Adds `{ 10.0.0.0/8, 192.0.2.7/32 }`, of one family. */
static void add_patterns(struct text *out, const struct table_patterns *patterns, enum family family)
{
	const char *comma = "";
	char text[ADDRESS_TEXT_SIZE];

	text_add(out, "{ ");
	for (uint32_t i = 0; i < patterns->count; i++) {
		if (patterns->all[i].address.family != family)
			continue;
		text_add(out, "%s%s/%u", comma,
		    address_host_text(&patterns->all[i].address, text, sizeof(text)), patterns->all[i].bits);
		comma = ", ";
	}
	text_add(out, " }");
}

/* Adds a rule to `intercept` that returns if the address is among the patterns (`is_among`), or if it is
 * not. */
static void add_condition(struct text *out, const struct table *table, const char *which,
    const struct table_patterns *patterns, bool is_among)
{
	static const struct {
		enum family family;
		const char *word;
	} families[] = {{FAMILY_IPV4, "ip"}, {FAMILY_IPV6, "ip6"}};

	for (int i = 0; i < 2; i++) {
		struct text set = {0};

		if (count_family(patterns, families[i].family)) {
			add_patterns(&set, patterns, families[i].family);
			add_rule(out, table, "intercept", "%s %s %s%s return", families[i].word, which,
			    is_among ? "" : "!= ", set.at);
		} else if (!is_among) {
			add_rule(out, table, "intercept", "meta nfproto ipv%d return", i ? 6 : 4);
		}
		text_free(&set);
	}
}

static void add_ports(struct text *out, const struct table *table)
{
	struct text set = {0};

	if (table->ports[0].low <= 1 && table->ports[0].high == UINT16_MAX)
		return;
	for (uint32_t i = 0; i < table->port_count; i++) {
		text_add(&set, "%s%u", i ? ", " : "", table->ports[i].low);
		if (table->ports[i].high > table->ports[i].low)
			text_add(&set, "-%u", table->ports[i].high);
	}
	add_rule(out, table, "intercept", "udp dport != { %s } return", set.at);
	text_free(&set);
}

static void add_redirections(struct text *out, const struct table *table)
{
	for (int i = 0; i < 2; i++) {
		const struct address *listen = &table->listen[i];
		char host[ADDRESS_TEXT_SIZE] = "";

		if (!listen->family)
			continue;
		if (!address_is_any(listen))
			address_host_text(listen, host, sizeof(host));
		add_rule(out, table, "intercept",
		    "meta nfproto ipv%d meta l4proto udp notrack meta mark set meta mark | 0x%x tproxy %s to "
		    "%s%s%s:%u accept",
		    i ? 6 : 4, table->mark, i ? "ip6" : "ip", i && host[0] ? "[" : "", host,
		    i && host[0] ? "]" : "", listen->port);
	}
}

static bool intercepts_dhcp(const struct table *table)
{
	for (uint32_t i = 0; i < table->port_count; i++)
		for (int k = 0; k < GATEWAY_DHCP_PORTS; k++)
			if (table->ports[i].low <= gateway_dhcp_ports[k] &&
			    table->ports[i].high >= gateway_dhcp_ports[k])
				return true;
	return false;
}

static void add_intercept(struct text *out, const struct table *table)
{
	for (int i = 0; i < 2; i++)
		if (!table->listen[i].family)
			add_rule(out, table, "intercept", "meta nfproto ipv%d return", i ? 6 : 4);
	add_ports(out, table); /* first, because it spares most datagrams the rest */
	add_rule(out, table, "intercept", "meta pkttype { broadcast, multicast } return");
	add_rule(out, table, "intercept", "ip daddr { 0.0.0.0/8, 169.254.0.0/16, 224.0.0.0/3 } return");
	if (table->listen[1].family)
		add_rule(out, table, "intercept", "ip6 daddr { fe80::/10, ff00::/8 } return");
	if (intercepts_dhcp(table))
		add_rule(out, table, "intercept", "udp dport { 67, 68, 546, 547 } return comment \"DHCP\"");
	if (table->address.count)
		add_condition(out, table, "saddr", &table->address, false);
	if (table->destination.count)
		add_condition(out, table, "daddr", &table->destination, false);
	add_condition(out, table, "daddr", &table->exclude, true);
	for (uint32_t i = 0; i < table->interface_count; i++)
		add_rule(out, table, "intercept", "iifname \"%s\" counter name \"intercepted-%s\"",
		    table->interfaces[i], table->interfaces[i]);
	add_redirections(out, table);
}

static void add_dark_rules(struct text *out, const struct table *table, const char *chain, const char *way,
    const char *which, const char *neighbours)
{
	/* Neighbour discovery is what ARP is for IPv4, which no rule here sees. */
	add_rule(out, table, chain, "icmpv6 type { %s } accept", neighbours);
	add_rule(out, table, chain, "ip %s @dark-%s4 drop", which, way);
	add_rule(out, table, chain, "ip6 %s @dark-%s6 drop", which, way);
}

static void add_rules(struct text *out, const struct table *table)
{
	static const char neighbours[] =
	    "nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert, nd-redirect";
	struct text devices = {0};

	add_interfaces(&devices, table);
	add_intercept(out, table);
	if (table->by_device)
		add_rule(out, table, "arrive",
		    "iifname != %s meta l4proto udp socket transparent 1 socket wildcard 0 notrack "
		    "meta mark set meta mark | 0x%x accept",
		    devices.at, table->mark);
	add_rule(out, table, "arrive", "iifname != %s accept", devices.at);
	add_rule(out, table, "arrive", "meta l4proto udp jump intercept");
	for (uint32_t i = 0; i < table->interface_count; i++) {
		add_rule(out, table, "arrive", "iifname \"%s\" meta l4proto udp counter name \"udp-%s\"",
		    table->interfaces[i], table->interfaces[i]);
		add_rule(out, table, "arrive", "iifname \"%s\" meta l4proto tcp counter name \"tcp-%s\"",
		    table->interfaces[i], table->interfaces[i]);
	}
	if (table->is_dark_all)
		add_dark_rules(out, table, "arrive", "up", "saddr", neighbours);
	/* With source = device, what goes to the clouds is not tracked, either. */
	if (table->by_device)
		add_rule(out, table, "answer",
		    "meta l4proto udp socket transparent 1 notrack meta mark set meta mark | 0x%x",
		    table->mark);
	else
		add_rule(out, table, "answer",
		    "oifname %s meta l4proto udp socket transparent 1 notrack meta mark set meta mark | 0x%x",
		    devices.at, table->mark);
	if (table->is_dark_all) {
		add_rule(out, table, "leave", "oifname != %s accept", devices.at);
		add_rule(out, table, "leave", "meta mark & 0x%x == 0x%x meta l4proto udp accept", table->mark,
		    table->mark);
		add_dark_rules(out, table, "leave", "down", "daddr", neighbours);
	}
	text_free(&devices);
}

static void add_counters(struct text *out, const struct table *table)
{
	static const char *const kinds[] = {"intercepted", "udp", "tcp"};
	char name[TABLE_NAME_SIZE];

	for (uint32_t i = 0; i < table->interface_count; i++)
		for (int k = 0; k < 3; k++)
			text_add(out, "add counter inet %s %s-%s\n", table_name(table, name), kinds[k],
			    table->interfaces[i]);
}

/* A base chain costs each packet that passes its hook, so there is `leave` only where it has rules. */
static void add_chains(struct text *out, const struct table *table)
{
	static const char *const chains[] = {"intercept",
	    "arrive { type filter hook prerouting priority raw; }",
	    "answer { type filter hook output priority raw; }",
	    "leave { type filter hook postrouting priority filter; }"};
	char name[TABLE_NAME_SIZE];

	for (int i = 0; i < (table->is_dark_all ? 4 : 3); i++)
		text_add(out, "add chain inet %s %s\n", table_name(table, name), chains[i]);
}

void table_create(const struct table *table, bool is_owned, struct text *out)
{
	static const char *const sets[] = {"dark-up4 { type ipv4_addr; }", "dark-up6 { type ipv6_addr; }",
	    "dark-down4 { type ipv4_addr; }", "dark-down6 { type ipv6_addr; }"};
	char name[TABLE_NAME_SIZE];

	table_name(table, name);
	text_add(out, "create table inet %s%s\n", name, is_owned ? " { flags owner; }" : "");
	for (int i = 0; i < 4; i++)
		text_add(out, "add set inet %s %s\n", name, sets[i]);
	add_chains(out, table);
	add_counters(out, table);
}

void table_change(const struct table *before, const struct table *table, struct text *out)
{
	char name[TABLE_NAME_SIZE];

	text_add(out, "flush table inet %s\n", table_name(table, name));
	if (before->is_dark_all && !table->is_dark_all)
		text_add(out, "delete chain inet %s leave\n", name);
	add_chains(out, table);
	add_counters(out, table);
	add_rules(out, table);
}

void table_dark(const struct table *table, enum way way, bool is_dark, const struct address *addresses,
    size_t count, struct text *out)
{
	char name[TABLE_NAME_SIZE], text[ADDRESS_TEXT_SIZE];

	text_add(out, "%s element inet %s dark-%s%d { ", is_dark ? "add" : "delete", table_name(table, name),
	    verdict_ways[way], addresses->family == FAMILY_IPV6 ? 6 : 4);
	for (size_t i = 0; i < count; i++)
		text_add(out, "%s%s", i ? ", " : "", address_host_text(&addresses[i], text, sizeof(text)));
	text_add(out, " }\n");
}
