/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * address: an IPv4 or IPv6 address with a port, and the patterns that match one.
 *
 *   192.0.2.7  192.0.2.7:5684  [2001:db8::7]:5684  [fe80::1%eth0]:5684  10.0.0.0/8  2001:db8::/32
 *   10.0.0.0/8:5684  [2001:db8::/32]:5684
 */
#ifndef BASE_ADDRESS_H
#define BASE_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/error.h"

enum family { FAMILY_NONE, FAMILY_IPV4, FAMILY_IPV6 };

/* Unused bytes of `ip` are zero, so that addresses can be compared byte by byte. */
struct address {
	uint8_t ip[16]; /* network byte order; an IPv4 address uses the first 4 */
	uint32_t scope; /* interface index of a link-local IPv6 address */
	uint16_t port;  /* host byte order */
	uint16_t family;
};

/* Matches addresses with the same first `bits` bits and, unless `port` is 0, the same port. */
struct address_pattern {
	struct address address;
	unsigned bits;
	uint16_t port;
};

#define ADDRESS_TEXT_SIZE 80

bool address_equal(const struct address *a, const struct address *b);
bool address_same_host(const struct address *a, const struct address *b);
uint64_t address_hash(const struct address *address);
size_t address_ip_size(const struct address *address);
bool address_is_loopback(const struct address *address);
bool address_is_any(const struct address *address);

/* Both write to `text` and return it: "192.0.2.7:40112" or "[2001:db8::7]:40112", and address_host_text
 * without the port. */
const char *address_text(const struct address *address, char *text, size_t cap);
const char *address_host_text(const struct address *address, char *text, size_t cap);

/* address_read_host parses an address without a port (and stores port 0), address_read one with a port; it
 * reads `localhost` as 127.0.0.1. They return 0, or -1 and set *error. */
int address_read_host(const char *text, struct address *address, struct error *error);
int address_read(const char *text, struct address *address, struct error *error);
int address_pattern_read(const char *text, struct address_pattern *pattern, struct error *error);
bool address_pattern_matches(const struct address_pattern *pattern, const struct address *address);
/* Returns true if `outer` matches every address that `inner` matches. */
bool address_pattern_covers(const struct address_pattern *outer, const struct address_pattern *inner);

/* Splits "HOST:PORT". The host may be a name or an address; an IPv6 address is in brackets. */
int address_split(const char *text, char *host, size_t cap, uint16_t *port, struct error *error);

socklen_t address_to_socket(const struct address *address, struct sockaddr_storage *storage);
int address_from_socket(const struct sockaddr *socket, struct address *address);

#endif
