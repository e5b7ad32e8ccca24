/* SPDX-License-Identifier: BSD-2-Clause */
#include "proxy/control/guard.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool is_ip(const char *host, size_t size, const struct address *bound)
{
	char text[ADDRESS_TEXT_SIZE];
	struct address address;
	struct error error;

	if (size >= sizeof(text))
		return false;
	snprintf(text, sizeof(text), "%.*s", (int)size, host);
	if (address_read_host(text, &address, &error))
		return false;
	return address_is_loopback(&address) || address_same_host(&address, bound) || address_is_any(bound);
}

/* A name that is not ours may be one that another site has made to point here (DNS rebinding): only
 * addresses, and localhost. */
static bool host_is_ours(const struct address *bound, const char *host)
{
	size_t size = strlen(host);
	const char *colon = strrchr(host, ':'), *bracket = strrchr(host, ']');

	if (!bound->family)
		return true; /* no browser reaches a Unix socket */
	if (colon && (!bracket || colon > bracket))
		size = (size_t)(colon - host);
	if (size > 2 && host[0] == '[' && host[size - 1] == ']')
		return is_ip(host + 1, size - 2, bound);
	return (size == 9 && strncasecmp(host, "localhost", 9) == 0) || is_ip(host, size, bound);
}

static const char *header_of(struct evhttp_request *http, const char *name)
{
	return evhttp_find_header(evhttp_request_get_input_headers(http), name);
}

const char *guard_check_origin(const struct address *bound, struct evhttp_request *http)
{
	const char *host = header_of(http, "Host"), *origin = header_of(http, "Origin"),
	           *site = header_of(http, "Sec-Fetch-Site");

	if (!host && bound->family)
		return "the Host header is missing";
	if (host && !host_is_ours(bound, host))
		return "the Host header names another host: use an address, or localhost";
	if (origin && (strncmp(origin, "http://", 7) != 0 || !host || strcasecmp(origin + 7, host) != 0))
		return "the request comes from a page of another site (Origin)";
	if (site && strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0)
		return "the request comes from a page of another site (Sec-Fetch-Site)";
	return NULL;
}

/* Compares all of both, whatever differs first. */
static bool same_secret(const char *given, const char *token)
{
	size_t size = strlen(token), given_size = strlen(given);
	unsigned differs = size != given_size;

	for (size_t i = 0; i < given_size; i++)
		differs |= (unsigned)(given[i] ^ token[size ? i % size : 0]);
	return !differs;
}

bool guard_check_token(const char *token, struct evhttp_request *http)
{
	const char *given = header_of(http, "Authorization");

	if (!token[0])
		return true;
	return given && strncasecmp(given, "Bearer ", 7) == 0 && same_secret(given + 7, token);
}
