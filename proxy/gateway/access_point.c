/* SPDX-License-Identifier: BSD-2-Clause */
#include "proxy/gateway/access_point.h"

#include <ctype.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/units.h"

#define PREFIX_LEAST 8
#define PREFIX_MOST 29 /* room for a device beside this machine */

static int check_name(const char *name, struct error *error)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";

	if (*name && strlen(name) < IFNAMSIZ && strspn(name, letters) == strlen(name) && name[0] != '-')
		return 0;
	return error_set(error, "`%s` is not the name of an interface", name);
}

/* The text stands in hostapd's file, a line each. */
static int check_words(const char *what, const char *text, size_t least, size_t most, struct error *error)
{
	size_t size = strlen(text);

	for (size_t i = 0; i < size; i++)
		if (!isprint((unsigned char)text[i]))
			return error_set(error, "the %s has a character that is not printable ASCII", what);
	if (size >= least && size <= most)
		return 0;
	return error_set(error, "the %s has %zu characters; it takes %zu to %zu", what, size, least, most);
}

int access_point_check(const struct access_point *point, struct error *error)
{
	struct address_pattern network;
	uint64_t channel;

	if (check_name(point->interface, error) || (point->uplink && check_name(point->uplink, error)))
		return -1;
	if (address_pattern_read(point->network, &network, error))
		return -1;
	if (network.address.family != FAMILY_IPV4 || network.bits < PREFIX_LEAST ||
	    network.bits > PREFIX_MOST || network.port)
		return error_set(error,
		    "`%s` is not this machine's IPv4 address with the length of the devices' network, as "
		    "10.84.0.1/24",
		    point->network);
	if (units_integer(point->channel, &channel, error) || channel < 1 || channel > 196)
		return error_set(
		    error, "`%s` is not a channel: 1 to 14, or 36 to 196 for 5 GHz", point->channel);
	if (point->country && (strlen(point->country) != 2 || !isupper((unsigned char)point->country[0]) ||
	                          !isupper((unsigned char)point->country[1])))
		return error_set(
		    error, "`%s` is not a country: two capitals, as DE (ISO 3166-1)", point->country);
	if (!point->ssid)
		return 0;
	return check_words("SSID", point->ssid, 1, 32, error) ||
	               check_words("passphrase", point->passphrase, 8, 63, error)
	           ? -1
	           : 0;
}

static void add_access_point(const struct access_point *point, struct text *out)
{
	text_add(out,
	    "cat > \"$state/hostapd.conf\" <<'END'\n"
	    "interface=%s\ndriver=nl80211\nssid=%s\n",
	    point->interface, point->ssid);
	if (point->country)
		text_add(out, "country_code=%s\nieee80211d=1\n", point->country);
	text_add(out,
	    "hw_mode=%s\nchannel=%s\nieee80211n=1\nwmm_enabled=1\nwpa=2\nwpa_key_mgmt=WPA-PSK\nrsn_pairwise="
	    "CCMP\n"
	    "wpa_passphrase=%s\nEND\nchmod 600 \"$state/hostapd.conf\"\n",
	    strtoul(point->channel, NULL, 10) > 14 ? "a" : "g", point->channel, point->passphrase);
	text_add(out, "# hostapd cannot start while the radio is blocked.\n"
	              "if command -v rfkill >/dev/null; then rfkill unblock wlan || :; fi\n"
	              "hostapd -B -P \"$state/hostapd.pid\" \"$state/hostapd.conf\"\n");
}

/* The first and last addresses that are handed out: all but this machine's. */
static void add_range(const struct access_point *point, struct text *out)
{
	struct address_pattern network;
	struct error error;
	uint32_t own, mask, first, last;

	address_pattern_read(point->network, &network, &error);
	own = (uint32_t)network.address.ip[0] << 24 | (uint32_t)network.address.ip[1] << 16 |
	      (uint32_t)network.address.ip[2] << 8 | network.address.ip[3];
	mask = network.bits ? ~UINT32_C(0) << (32 - network.bits) : 0;
	first = (own & mask) + 1;
	last = (own | ~mask) - 1;
	if (own - first > last - own)
		last = own - 1;
	else
		first = own + 1;
	text_add(out, "dhcp-range=%u.%u.%u.%u,%u.%u.%u.%u,1h\n", first >> 24, first >> 16 & 255,
	    first >> 8 & 255, first & 255, last >> 24, last >> 16 & 255, last >> 8 & 255, last & 255);
}

void access_point_script(const struct access_point *point, struct text *out)
{
	text_add(out,
	    "#!/bin/sh\n"
	    "# Makes this machine an access point on %s; `deadzone gateway-setup --interface %s --undo` "
	    "takes it back.\n"
	    "set -eu\n"
	    "state=/run/deadzone-gateway-%s\n"
	    "need() { command -v \"$1\" >/dev/null || { echo \"$1 is missing: apt install $2\" >&2; exit 1; "
	    "}; }\n"
	    "need ip iproute2\nneed nft nftables\nneed dnsmasq dnsmasq-base\n%s",
	    point->interface, point->interface, point->interface,
	    point->ssid ? "need hostapd hostapd\n" : "");
	if (point->uplink)
		text_add(out, "uplink=%s\n", point->uplink);
	else
		text_add(out, "uplink=$(ip -4 route show default | sed -n 's/.* dev \\([^ ]*\\).*/\\1/p;q')\n"
		              "[ -n \"$uplink\" ] || { echo 'there is no default route: name the uplink with "
		              "--uplink' >&2; "
		              "exit 1; }\n");
	text_add(out,
	    "ip link show %s >/dev/null\n"
	    "umask 077\n"
	    "mkdir \"$state\" || { echo '%s is set up already; --undo reverts that' >&2; exit 1; }\n"
	    "trap '[ $? = 0 ] || echo \"it failed; --undo reverts what was done\" >&2' EXIT\n"
	    "echo %s > \"$state/network\"\n"
	    "ip link show up dev %s | grep -q . && touch \"$state/was-up\"\n"
	    "# NetworkManager would take the interface for itself.\n"
	    "if command -v nmcli >/dev/null && nmcli -t -g GENERAL.NM-MANAGED device show %s | grep -q yes; "
	    "then\n"
	    "	touch \"$state/managed\"\n"
	    "	nmcli device set %s managed no\n"
	    "fi\n",
	    point->interface, point->interface, point->network, point->interface, point->interface,
	    point->interface);
	if (point->ssid)
		add_access_point(point, out);
	text_add(out,
	    "ip address add %s dev %s\nip link set %s up\n"
	    "cat /proc/sys/net/ipv4/ip_forward > \"$state/ip_forward\"\necho 1 > "
	    "/proc/sys/net/ipv4/ip_forward\n",
	    point->network, point->interface, point->interface);
	text_add(out,
	    "# DHCP, and names for the devices.\n"
	    "cat > \"$state/dnsmasq.conf\" <<'END'\n"
	    "interface=%s\nexcept-interface=lo\nbind-interfaces\nno-hosts\n",
	    point->interface);
	add_range(point, out);
	text_add(out,
	    "END\n"
	    "dnsmasq --conf-file=\"$state/dnsmasq.conf\" --pid-file=\"$state/dnsmasq.pid\" "
	    "--dhcp-leasefile=\"$state/leases\" --user=root\n"
	    "# What is not intercepted goes out with this machine's address.\n"
	    "nft -f - <<END\n"
	    "table ip deadzone-uplink-%s {\n"
	    "	chain post {\n"
	    "		type nat hook postrouting priority srcnat; policy accept;\n"
	    "		ip saddr %s oifname \"$uplink\" masquerade\n"
	    "	}\n"
	    "}\n"
	    "END\n",
	    point->interface, point->network);
}

void access_point_undo(const struct access_point *point, struct text *out)
{
	text_add(out,
	    "#!/bin/sh\n"
	    "# Reverts what `deadzone gateway-setup --interface %s --apply` has done.\n"
	    "state=/run/deadzone-gateway-%s\n"
	    "[ -d \"$state\" ] || { echo '%s is not set up' >&2; exit 1; }\n"
	    "for daemon in dnsmasq hostapd; do\n"
	    "	[ ! -s \"$state/$daemon.pid\" ] || kill \"$(cat \"$state/$daemon.pid\")\" 2>/dev/null\n"
	    "done\n",
	    point->interface, point->interface, point->interface);
	text_add(out,
	    "nft delete table ip deadzone-uplink-%s 2>/dev/null\n"
	    "[ ! -s \"$state/ip_forward\" ] || cat \"$state/ip_forward\" > /proc/sys/net/ipv4/ip_forward\n"
	    "[ ! -s \"$state/network\" ] || ip address del \"$(cat \"$state/network\")\" dev %s 2>/dev/null\n"
	    "[ -e \"$state/was-up\" ] || ip link set %s down\n"
	    "[ ! -e \"$state/managed\" ] || nmcli device set %s managed yes\n"
	    "rm -r \"$state\"\n",
	    point->interface, point->interface, point->interface, point->interface);
}
