/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each check adds a line to the inspection: right, a note, or wrong with its remedy. Nothing is changed:
 * checks read /proc/sys, capabilities and interfaces, and have the kernel try the table without making it.
 */
#include "proxy/gateway/inspection.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/memory.h"
#include "proxy/gateway/netlink.h"
#include "proxy/gateway/nft.h"
#include "proxy/sandbox/privilege.h"
#include "proxy/gateway/ruleset.h"
#include "proxy/gateway/sysctl.h"
#include "proxy/gateway/table.h"

#define KERNEL_LEAST 5, 12 /* owned tables */

void inspection_add(
    struct inspection *inspection, enum inspected_state state, const char *about, const char *format, ...)
{
	struct text text = {0};
	va_list list;

	va_start(list, format);
	text_add_list(&text, format, list);
	va_end(list);
	inspection->all = memory_grow(inspection->all, inspection->count, sizeof(*inspection->all));
	inspection->all[inspection->count++] = (struct inspected){state, about, text.at};
}

void inspection_free(struct inspection *inspection)
{
	for (size_t i = 0; i < inspection->count; i++)
		free(inspection->all[i].text);
	free(inspection->all);
	*inspection = (struct inspection){0};
}

size_t inspection_wrong(const struct inspection *inspection)
{
	size_t count = 0;

	for (size_t i = 0; i < inspection->count; i++)
		count += inspection->all[i].state == INSPECTED_WRONG;
	return count;
}

static bool intercepts_below_1024(const struct gateway_settings *settings)
{
	for (size_t i = 0; i < settings->ports.count; i++)
		if (settings->ports.all[i].low < 1024)
			return true;
	return false;
}

static void check_capabilities(struct inspection *inspection, const struct setup *setup)
{
	static const struct {
		int number;
		const char *name, *why;
	} needed[] = {{CAP_NET_ADMIN, "CAP_NET_ADMIN", "to make the table, rule and route"},
	    {CAP_NET_RAW, "CAP_NET_RAW", "to answer with the clouds' addresses"},
	    {CAP_NET_BIND_SERVICE, "CAP_NET_BIND_SERVICE", "to answer from ports below 1024"}};
	uint64_t have = privilege_effective();
	size_t count = intercepts_below_1024(&setup->gateway) ? 3 : 2, missing = 0;

	for (size_t i = 0; i < count; i++) {
		if (have >> needed[i].number & 1)
			continue;
		missing++;
		inspection_add(inspection, INSPECTED_WRONG, "capabilities",
		    "%s is missing, which [gateway] needs %s: run as root, or `setcap "
		    "cap_net_admin,cap_net_raw,cap_net_bind_service+ep /path/to/deadzone`",
		    needed[i].name, needed[i].why);
	}
	if (!missing)
		inspection_add(inspection, INSPECTED_GOOD, "capabilities", "all that [gateway] needs");
}

void inspect_privilege(struct inspection *inspection)
{
	uint64_t have = privilege_effective();
	bool all = have >> CAP_NET_ADMIN & have >> CAP_NET_RAW & 1;

	inspection_add(inspection, INSPECTED_GOOD, "capabilities", "%s",
	    all ? "enough for [gateway], too"
	        : "enough for a run; [gateway] would need CAP_NET_ADMIN and CAP_NET_RAW");
}

void inspect_table(struct inspection *inspection, const struct setup *setup)
{
	struct table *table;
	struct text commands = {0}, notes = {0};
	const char *listed;
	char *rest;
	struct error error, why;
	struct nft *nft;

	if (!(privilege_effective() >> CAP_NET_ADMIN & 1))
		return; /* check_capabilities has said so */
	nft = nft_open(&error);
	if (!nft) {
		inspection_add(inspection, INSPECTED_WRONG, "nftables", "%s", error.text);
		return;
	}
	table = memory_new(1, sizeof(*table));
	table_fill(table, &setup->gateway);
	table->mark = UINT32_MAX; /* a name that no run has */
	table_listen(table, setup->proxy.listen.all, setup->proxy.listen.count);
	for (int i = 0; i < 2; i++)
		table->listen[i].port = table->listen[i].port ? table->listen[i].port : 1;
	table_create(table, true, &commands);
	table_change(table, table, &commands);
	if (nft_try(nft, commands.at, &why)) {
		nft_explain(&why, &error);
		inspection_add(inspection, INSPECTED_WRONG, "nftables", "%s", error.text);
	} else {
		inspection_add(
		    inspection, INSPECTED_GOOD, "nftables", "the kernel accepts the table (tried, not made)");
	}
	table->mark = setup->gateway.mark ? (uint32_t)setup->gateway.mark : GATEWAY_MARK_FIRST;
	if (nft_run(nft, "list ruleset", &listed, &error) == 0)
		ruleset_notes(listed, table, setup->proxy.idle_timeout, &notes);
	for (char *line = notes.at ? strtok_r(notes.at, "\n", &rest) : NULL; line;
	     line = strtok_r(NULL, "\n", &rest))
		inspection_add(inspection, INSPECTED_NOTE, "other rules", "%s", line);
	text_free(&notes);
	text_free(&commands);
	free(table);
	nft_close(nft);
}

static void check_kernel(struct inspection *inspection)
{
	static const int least[] = {KERNEL_LEAST};
	struct utsname name;
	int major = 0, minor = 0;

	uname(&name);
	sscanf(name.release, "%d.%d", &major, &minor);
	if (major < least[0] || (major == least[0] && minor < least[1]))
		inspection_add(inspection, INSPECTED_WRONG, "kernel",
		    "Linux %s is too old: [gateway] needs %d.%d for tables owned by a process; "
		    "Debian 12 and Raspberry Pi OS (2023) have 6.1",
		    name.release, least[0], least[1]);
	else
		inspection_add(inspection, INSPECTED_GOOD, "kernel", "Linux %s", name.release);
}

static bool listens_on(const struct setup *setup, enum family family)
{
	for (size_t i = 0; i < setup->proxy.listen.count; i++)
		if (setup->proxy.listen.all[i].family == family)
			return true;
	return false;
}

static void check_forwarding(struct inspection *inspection, const struct setup *setup)
{
	static const struct {
		enum family family;
		const char *path, *name;
	} rows[] = {{FAMILY_IPV4, "/proc/sys/net/ipv4/ip_forward", "net.ipv4.ip_forward"},
	    {FAMILY_IPV6, "/proc/sys/net/ipv6/conf/all/forwarding", "net.ipv6.conf.all.forwarding"}};

	for (int i = 0; i < 2; i++) {
		if (!listens_on(setup, rows[i].family))
			continue;
		if (sysctl_read(rows[i].path) >= 1)
			inspection_add(inspection, INSPECTED_GOOD, "forwarding", "%s is on", rows[i].name);
		else
			inspection_add(inspection, INSPECTED_WRONG, "forwarding",
			    "%s is off, so this machine passes nothing on for its devices: `sysctl -w %s=1`",
			    rows[i].name, rows[i].name);
	}
}

static void check_reverse_path(struct inspection *inspection, const char *interface)
{
	char path[96];
	long all = sysctl_read("/proc/sys/net/ipv4/conf/all/rp_filter"), own;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/rp_filter", interface);
	own = sysctl_read(path);
	if ((all > own ? all : own) == 1)
		inspection_add(inspection, INSPECTED_NOTE, "rp_filter",
		    "rp_filter is strict on %s: devices whose way back is not %s are dropped; if that is so, "
		    "`sysctl -w "
		    "net.ipv4.conf.all.rp_filter=2 net.ipv4.conf.%s.rp_filter=2`",
		    interface, interface, interface);
}

/* Returns the sysctl that makes bridged frames pass the rules for routed ones, or NULL if none is on. */
static const char *filters_bridged(void)
{
	static const char *const names[] = {"bridge-nf-call-iptables", "bridge-nf-call-ip6tables"};
	char path[64];

	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "/proc/sys/net/bridge/%s", names[i]);
		if (sysctl_read(path) == 1)
			return names[i];
	}
	return NULL;
}

static void check_interface(struct inspection *inspection, struct netlink *netlink, const char *name)
{
	struct netlink_interface interface;
	const char *twice;
	struct error error;

	if (netlink_interface(netlink, name, &interface, &error))
		inspection_add(inspection, INSPECTED_WRONG, "interface", "%s", error.text);
	else if (!interface.exists)
		inspection_add(inspection, INSPECTED_WRONG, "interface",
		    "there is no interface %s; `ip link` lists them", name);
	else if (interface.bridge[0])
		inspection_add(inspection, INSPECTED_WRONG, "interface",
		    "%s is a port of the bridge %s, so no datagram comes in by it: `interface = %s`", name,
		    interface.bridge, interface.bridge);
	else if (interface.is_bridge && (twice = filters_bridged()))
		inspection_add(inspection, INSPECTED_WRONG, "interface",
		    "net.bridge.%s is on, so frames bridged by %s are filtered twice: `sysctl -w "
		    "net.bridge.%s=0`",
		    twice, name, twice);
	else
		inspection_add(inspection, INSPECTED_GOOD, "interface", "%s is there%s%s%s", name,
		    interface.is_up ? "" : ", but is down: `ip link set ", interface.is_up ? "" : name,
		    interface.is_up ? "" : " up`");
	if (interface.exists)
		check_reverse_path(inspection, name);
}

void inspect_gateway(struct inspection *inspection, const struct setup *setup)
{
	check_capabilities(inspection, setup);
	check_kernel(inspection);
	check_forwarding(inspection, setup);
	inspect_interfaces(inspection, setup);
}

void inspect_interfaces(struct inspection *inspection, const struct setup *setup)
{
	struct error error;
	struct netlink *netlink = netlink_open(&error);

	if (!netlink)
		inspection_add(inspection, INSPECTED_WRONG, "netlink", "%s", error.text);
	for (size_t i = 0; netlink && i < setup->gateway.interface.count; i++)
		check_interface(inspection, netlink, setup->gateway.interface.all[i]);
	netlink_close(netlink);
}
