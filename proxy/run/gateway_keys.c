/* SPDX-License-Identifier: BSD-2-Clause */
#include "proxy/run/gateway_keys.h"

#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/run/setup.h"

/* ---- Readers ---- */

/* Names of interfaces appear in the names of the table's counters. */
static int read_interface(struct reading *reading, const char *text, void *into)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
	struct texts *names = into;

	if (!*text || strlen(text) >= IFNAMSIZ || text[strspn(text, letters)])
		return error_set(&reading->error,
		    "`%s` is not the name of an interface: up to %d letters, digits, `_`, `.` and `-`", text,
		    IFNAMSIZ - 1);
	if (names->count == GATEWAY_INTERFACES_MAX)
		return error_set(
		    &reading->error, "more than %d interfaces are not possible", GATEWAY_INTERFACES_MAX);
	return keys_read_texts(reading, text, into);
}

static int read_ports(struct reading *reading, const char *text, void *into)
{
	struct gateway_settings *settings =
	    (struct gateway_settings *)(void *)((char *)into - offsetof(struct gateway_settings, ports));
	struct port_range *range;
	struct span span = {.low = 1, .high = UINT16_MAX};
	struct error error;

	if (strcmp(text, "all") != 0 &&
	    (units_span(text, &span, &error) || span.low < 1 || span.high > UINT16_MAX))
		return error_set(&reading->error,
		    "`%s` is neither a port (1 to 65535), nor a range such as 5683-5684, nor `all`", text);
	if (settings->ports.count == GATEWAY_PORTS_MAX)
		return error_set(
		    &reading->error, "more than %d ranges of ports are not possible", GATEWAY_PORTS_MAX);
	range = keys_append(
	    reading, (void *)&settings->ports.all, &settings->ports.count, sizeof(*settings->ports.all));
	*range = (struct port_range){(uint16_t)span.low, (uint16_t)span.high};
	return 0;
}

static int read_network(struct reading *reading, const char *text, void *into)
{
	struct patterns *patterns = into;

	if (patterns->count == GATEWAY_PATTERNS_MAX)
		return error_set(
		    &reading->error, "more than %d addresses are not possible", GATEWAY_PATTERNS_MAX);
	if (keys_read_pattern(reading, text, into))
		return -1;
	if (patterns->all[patterns->count - 1].port || patterns->all[patterns->count - 1].address.scope)
		return error_set(
		    &reading->error, "`%s` is neither an address nor a prefix; ports are in `ports`", text);
	return 0;
}

static int read_source(struct reading *reading, const char *text, void *into)
{
	static const char *const words[] = {"gateway", "device"};

	return keys_read_word(reading, text, words, 2, into);
}

static int read_dark(struct reading *reading, const char *text, void *into)
{
	static const char *const words[] = {"udp", "all"};

	return keys_read_word(reading, text, words, 2, into);
}

static int read_mark(struct reading *reading, const char *text, void *into)
{
	char *end;
	unsigned long long mark;

	errno = 0;
	mark = strtoull(text, &end, 0);
	if (errno || *end || end == text || text[0] == '-' || mark < 1 || mark > UINT32_MAX)
		return error_set(&reading->error, "`%s` is not a mark: a number from 1 to 0xffffffff", text);
	if (mark >= 253 && mark <= 255)
		return error_set(&reading->error,
		    "`%s` is the number of one of the kernel's own routing tables; the mark is also that of "
		    "deadzone's",
		    text);
	*(uint64_t *)into = mark;
	return 0;
}

const uint16_t gateway_dhcp_ports[GATEWAY_DHCP_PORTS] = {67, 68, 546, 547};

/* ---- The table of keys ---- */

#define AT(field) offsetof(struct gateway_settings, field)

static const struct key keys[] = {
    {"interface", KEY_LIST, NULL, AT(interface), read_interface, "name",
        "interfaces on the devices' side; they may come and go", "required"},
    {"ports", KEY_LIST, NULL, AT(ports), read_ports, "port, range or all",
        "UDP destination ports that are intercepted", "5684"},
    {"destination", KEY_LIST, NULL, AT(destination), read_network, "address or prefix",
        "intercept only what is sent to these", "any"},
    {"exclude", KEY_LIST, NULL, AT(exclude), read_network, "address or prefix",
        "never intercept what is sent to these: the lab's own services", "none"},
    {"address", KEY_LIST, NULL, AT(address), read_network, "address or prefix",
        "intercept only what these devices send", "any"},
    {"source", KEY_PLAIN, "gateway", AT(source), read_source, "gateway or device",
        "what the cloud sees: this machine's address, or the device's own address and port, for which the "
        "way "
        "back must lead through this machine",
        NULL},
    {"dark", KEY_PLAIN, "udp", AT(dark), read_dark, "udp or all",
        "what a blackout of a whole device (scope = device or all) darkens: udp is what is intercepted; all "
        "is "
        "everything that the device sends or gets through this machine, TCP too",
        NULL},
    {"mark", KEY_PLAIN, NULL, AT(mark), read_mark, "number",
        "the firewall mark of what is intercepted, and the name of the table deadzone-MARK",
        "the first free one from 0x64"},
};

const struct section_kind gateway_kind = {"gateway", false, keys, sizeof(keys) / sizeof(*keys),
    sizeof(struct gateway_settings), 0, 0,
    "interception: have the kernel hand over what devices send to their clouds (needs `upstream = "
    "original`)"};

/* ---- Checks ---- */

static void refuse_nat(const struct setup *setup, struct complaints *complaints)
{
	const struct config *config = setup->config;
	static const char why[] =
	    "cannot be used with [gateway] source = device: the cloud sees the device's own port";

	for (size_t i = 0; i < config->device_count; i++) {
		const struct ini_section *section = ini_find(setup->ini, "device", config->devices[i].name);
		static const char *const timeouts[] = {"nat_timeout", "nat_timeout_stream"};

		for (int k = 0; k < 2; k++)
			if (ini_entry(section, timeouts[k]))
				ini_complain(section, ini_entry(section, timeouts[k]), complaints, "%s", why);
	}
	for (size_t i = 0; i < config->rule_count; i++) {
		const struct ini_section *section = ini_find(setup->ini, "rule", config->rules[i].name);

		for (size_t k = 0; k < config->rules[i].actions.count; k++)
			if (config->rules[i].actions.all[k].act == ACT_REBIND)
				ini_complain(
				    section, ini_entry(section, "do"), complaints, "`rebind` %s", why);
	}
	if (setup->proxy.source.count) {
		const struct ini_section *proxy = ini_find(setup->ini, "proxy", "");

		ini_complain(proxy, ini_entry(proxy, "source"), complaints, "%s", why);
	}
}

void gateway_keys_check(const struct setup *setup, struct complaints *complaints)
{
	const struct ini_section *section = ini_find(setup->ini, "gateway", "");
	const struct ini_section *proxy = ini_find(setup->ini, "proxy", "");

	if (!section)
		return;
	if (!GATEWAY_BUILT)
		ini_complain(section, NULL, complaints,
		    "needs libnftables and libmnl, and this program was built without them");
	if (!ini_entry(section, "interface"))
		ini_complain(section, NULL, complaints,
		    "lacks `interface = …`: the interface on the devices' side, such as wlan0");
	if (setup->proxy.upstream && !setup->proxy.is_original)
		ini_complain(proxy, ini_entry(proxy, "upstream"), complaints,
		    "[gateway] needs `upstream = original`; to send devices to another cloud, use `upstream` "
		    "in "
		    "[device]");
	if (setup->gateway.source == GATEWAY_SOURCE_DEVICE)
		refuse_nat(setup, complaints);
}
