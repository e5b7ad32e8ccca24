/* SPDX-License-Identifier: BSD-2-Clause */
/* gateway_keys: the section [gateway]: which datagrams the kernel hands over to deadzone. */
#ifndef PROXY_RUN_GATEWAY_KEYS_H
#define PROXY_RUN_GATEWAY_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ini_section.h"
#include "base/keys.h"

#define GATEWAY_INTERFACES_MAX 16
#define GATEWAY_PORTS_MAX 64     /* ranges */
#define GATEWAY_PATTERNS_MAX 256 /* of each kind */

/* The build works without these libraries, and then cannot intercept. */
#if __has_include(<nftables/libnftables.h>) && __has_include(<libmnl/libmnl.h>)
#define GATEWAY_BUILT 1
#else
#define GATEWAY_BUILT 0
#endif

struct port_range {
	uint16_t low, high;
};

enum gateway_source { GATEWAY_SOURCE_GATEWAY, GATEWAY_SOURCE_DEVICE };
enum gateway_dark { GATEWAY_DARK_UDP, GATEWAY_DARK_ALL };

struct gateway_settings {
	bool given; /* there is such a section */
	struct texts interface;
	struct { /* none: 5684 */
		struct port_range *all;
		size_t count;
	} ports;
	struct patterns destination, exclude, address; /* without ports */
	enum gateway_source source;
	enum gateway_dark dark;
	uint64_t mark; /* 0: choose one */
};

extern const struct section_kind gateway_kind;

/* Never intercepted: servers and clients of DHCP and DHCPv6. */
#define GATEWAY_DHCP_PORTS 4
extern const uint16_t gateway_dhcp_ports[GATEWAY_DHCP_PORTS];

struct setup;
/* Checks what the keys require of each other and of other sections. */
void gateway_keys_check(const struct setup *setup, struct complaints *complaints);

#endif
