/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Addresses are kept in network order with their family, so that two are equal if their bytes are. Host names
 * are never looked up here; names of interfaces (fe80::1%eth0) are.
 */
#include "base/address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/chance.h"
#include "base/text.h"
#include "base/units.h"

bool address_equal(const struct address *a, const struct address *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

bool address_same_host(const struct address *a, const struct address *b)
{
	return a->family == b->family && memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

uint64_t address_hash(const struct address *address)
{
	uint64_t high, low;

	memcpy(&high, address->ip, 8);
	memcpy(&low, address->ip + 8, 8);
	return chance_mix(high ^ chance_mix(low ^ ((uint64_t)address->scope << 32 | address->port)));
}

size_t address_ip_size(const struct address *address)
{
	return address->family == FAMILY_IPV6 ? 16 : 4;
}

bool address_is_loopback(const struct address *address)
{
	static const uint8_t ipv6[16] = {[15] = 1};

	return address->family == FAMILY_IPV6 ? memcmp(address->ip, ipv6, 16) == 0 : address->ip[0] == 127;
}

bool address_is_any(const struct address *address)
{
	static const uint8_t none[16];

	return memcmp(address->ip, none, 16) == 0;
}

/* Used instead of inet_ntop(3), which calls printf: this runs for every new session. */
static const char *ipv4_text(const uint8_t ip[4], char *text, size_t cap)
{
	char buffer[4 * 4], *at = buffer;

	for (int i = 0; i < 4; i++) {
		at = text_digits(at, ip[i]);
		*at++ = i < 3 ? '.' : '\0';
	}
	if ((size_t)(at - buffer) > cap)
		return memcpy(text, "?", 2);
	return memcpy(text, buffer, (size_t)(at - buffer));
}

const char *address_host_text(const struct address *address, char *text, size_t cap)
{
	char scope[IF_NAMESIZE];
	size_t size;

	if (address->family != FAMILY_IPV6)
		return ipv4_text(address->ip, text, cap);
	if (!inet_ntop(AF_INET6, address->ip, text, (socklen_t)cap))
		snprintf(text, cap, "?");
	if (!address->scope)
		return text;
	if (!if_indextoname(address->scope, scope))
		snprintf(scope, sizeof(scope), "%u", address->scope);
	size = strlen(text);
	snprintf(text + size, cap - size, "%%%s", scope);
	return text;
}

const char *address_text(const struct address *address, char *text, size_t cap)
{
	bool has_brackets = address->family == FAMILY_IPV6;
	char port[TEXT_DIGITS_MAX], *end = port;
	size_t size;

	text[0] = '[';
	address_host_text(address, text + has_brackets, cap - has_brackets);
	size = strlen(text);
	if (has_brackets)
		*end++ = ']';
	*end++ = ':';
	end = text_digits(end, address->port);
	*end++ = '\0';
	if (size + (size_t)(end - port) <= cap)
		memcpy(text + size, port, (size_t)(end - port));
	return text;
}

int address_read_host(const char *text, struct address *address, struct error *error)
{
	char host[ADDRESS_TEXT_SIZE];
	uint64_t number;
	char *percent;

	memset(address, 0, sizeof(*address));
	snprintf(host, sizeof(host), "%s", text);
	percent = strchr(host, '%');
	if (percent)
		*percent++ = '\0';
	if (!percent && inet_pton(AF_INET, host, address->ip) == 1) {
		address->family = FAMILY_IPV4;
		return 0;
	}
	if (strlen(text) >= sizeof(host) || inet_pton(AF_INET6, host, address->ip) != 1) {
		memset(address, 0, sizeof(*address));
		return error_set(error, "`%s` is not an IPv4 or IPv6 address", text);
	}
	address->family = FAMILY_IPV6;
	if (!percent)
		return 0;
	address->scope = if_nametoindex(percent);
	if (!address->scope && units_integer(percent, &number, error) == 0 && number <= UINT32_MAX)
		address->scope = (uint32_t)number;
	if (!address->scope)
		return error_set(error, "`%s` names no network interface of this machine", percent);
	return 0;
}

static int read_port(const char *text, uint16_t *port, struct error *error)
{
	uint64_t number;

	if (units_integer(text, &number, error) || number > 65535)
		return error_set(error, "`%s` is not a port; one is 0 to 65535", text);
	*port = (uint16_t)number;
	return 0;
}

int address_split(const char *text, char *host, size_t cap, uint16_t *port, struct error *error)
{
	const char *colon = strrchr(text, ':');
	const char *start = text, *end = colon;

	if (strstr(text, "://"))
		return error_set(error, "`%s`: no scheme here, only %s", text, strstr(text, "://") + 3);
	if (text[0] == '[') {
		start = text + 1;
		end = strchr(text, ']');
		if (!end || end[1] != ':')
			return error_set(error, "`%s` lacks its port, as in [2001:db8::7]:5684", text);
		colon = end + 1;
	} else if (!colon && *text && !text[strspn(text, "0123456789")]) {
		return error_set(
		    error, "`%s` lacks its address; for all addresses write 0.0.0.0:%s", text, text);
	} else if (!colon) {
		return error_set(error, "`%s` lacks its port, as in 192.0.2.7:5684", text);
	} else if (memchr(text, ':', (size_t)(colon - text))) {
		return error_set(
		    error, "`%s`: an IPv6 address with a port stands in brackets, [2001:db8::7]:5684", text);
	}
	if (end == start || (end == start + 1 && *start == '*'))
		return error_set(error, "`%s` names no host; all addresses of this machine are 0.0.0.0:%s",
		    text, colon + 1);
	if ((size_t)(end - start) >= cap)
		return error_set(error, "`%s` names no host: it is too long", text);
	memcpy(host, start, (size_t)(end - start));
	host[end - start] = '\0';
	return read_port(colon + 1, port, error);
}

int address_read(const char *text, struct address *address, struct error *error)
{
	char host[256];
	uint16_t port;

	if (address_split(text, host, sizeof(host), &port, error))
		return -1;
	if (address_read_host(strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, address, error))
		return -1;
	address->port = port;
	return 0;
}

/* Reads "10.0.0.0/8", "10.0.0.0/8:5684" or "[2001:db8::/32]:5684"; `slash` points into `text`. */
static int prefix_read(
    const char *text, const char *slash, struct address_pattern *pattern, struct error *error)
{
	bool is_bracketed = text[0] == '[';
	char host[ADDRESS_TEXT_SIZE], length[8];
	const char *end = slash + 1 + strspn(slash + 1, "0123456789."), *port = end;
	uint64_t bits;

	snprintf(host, sizeof(host), "%.*s", (int)(slash - text - is_bracketed), text + is_bracketed);
	snprintf(length, sizeof(length), "%.*s", (int)(end - slash - 1), slash + 1);
	if (address_read_host(host, &pattern->address, error))
		return -1;
	if (is_bracketed && *port == ']')
		port++;
	if ((is_bracketed && port == end) || (*port && *port != ':') || units_integer(length, &bits, error) ||
	    bits > address_ip_size(&pattern->address) * 8)
		return error_set(error, "`%s` is not a prefix; its length is 0 to %zu", text,
		    address_ip_size(&pattern->address) * 8);
	pattern->bits = (unsigned)bits;
	if (!*port)
		return 0;
	if (units_integer(port + 1, &bits, error) || bits < 1 || bits > UINT16_MAX)
		return error_set(error, "`%s` has no port after its prefix; a port is 1 to 65535", text);
	pattern->port = (uint16_t)bits;
	return 0;
}

int address_pattern_read(const char *text, struct address_pattern *pattern, struct error *error)
{
	const char *slash = strchr(text, '/');

	*pattern = (struct address_pattern){0};
	if (!slash) {
		bool has_port = text[0] == '[' ||
		                (strchr(text, ':') && strchr(text, ':') == strrchr(text, ':'));

		if (has_port ? address_read(text, &pattern->address, error)
		             : address_read_host(text, &pattern->address, error))
			return -1;
		pattern->port = pattern->address.port;
		pattern->bits = (unsigned)address_ip_size(&pattern->address) * 8;
		if (has_port && pattern->port == 0)
			return error_set(error, "`%s` has port 0, which no datagram has", text);
		return 0;
	}
	return prefix_read(text, slash, pattern, error);
}

static bool same_prefix(const struct address *a, const struct address *b, unsigned bits)
{
	unsigned bytes = bits / 8, rest = bits % 8;

	if (a->family != b->family || memcmp(a->ip, b->ip, bytes) != 0)
		return false;
	return rest == 0 || ((a->ip[bytes] ^ b->ip[bytes]) >> (8 - rest)) == 0;
}

bool address_pattern_matches(const struct address_pattern *pattern, const struct address *address)
{
	return (pattern->port == 0 || pattern->port == address->port) &&
	       (pattern->address.scope == 0 || pattern->address.scope == address->scope) &&
	       same_prefix(&pattern->address, address, pattern->bits);
}

bool address_pattern_covers(const struct address_pattern *outer, const struct address_pattern *inner)
{
	return outer->bits <= inner->bits && (outer->port == 0 || outer->port == inner->port) &&
	       (outer->address.scope == 0 || outer->address.scope == inner->address.scope) &&
	       same_prefix(&outer->address, &inner->address, outer->bits);
}

socklen_t address_to_socket(const struct address *address, struct sockaddr_storage *storage)
{
	if (address->family == FAMILY_IPV6) {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)storage;

		memset(in6, 0, sizeof(*in6));
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(address->port);
		in6->sin6_scope_id = address->scope;
		memcpy(&in6->sin6_addr, address->ip, 16);
		return sizeof(*in6);
	}
	struct sockaddr_in *in = (struct sockaddr_in *)storage;

	memset(in, 0, sizeof(*in));
	in->sin_family = AF_INET;
	in->sin_port = htons(address->port);
	memcpy(&in->sin_addr, address->ip, 4);
	return sizeof(*in);
}

int address_from_socket(const struct sockaddr *socket, struct address *address)
{
	memset(address, 0, sizeof(*address));
	if (socket->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)socket;

		address->family = FAMILY_IPV6;
		address->port = ntohs(in6->sin6_port);
		address->scope = in6->sin6_scope_id;
		memcpy(address->ip, &in6->sin6_addr, 16);
		return 0;
	}
	if (socket->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)socket;

		address->family = FAMILY_IPV4;
		address->port = ntohs(in->sin_port);
		memcpy(address->ip, &in->sin_addr, 4);
		return 0;
	}
	return -1;
}
