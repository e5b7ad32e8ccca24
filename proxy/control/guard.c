/* SPDX-License-Identifier: BSD-2-Clause */
#include "proxy/control/guard.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool is_own_address(const char *host, size_t size, const struct address *bound)
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

/* Accepts only addresses and localhost: any other name may be one that another site has made to point here
 * (DNS rebinding). */
static bool is_own_host(const struct address *bound, const char *host)
{
	size_t size = strlen(host);
	const char *colon = strrchr(host, ':'), *bracket = strrchr(host, ']');

	if (!bound->family)
		return true; /* a browser cannot reach a Unix socket */
	if (colon && (!bracket || colon > bracket))
		size = (size_t)(colon - host);
	if (size > 2 && host[0] == '[' && host[size - 1] == ']')
		return is_own_address(host + 1, size - 2, bound);
	return (size == 9 && strncasecmp(host, "localhost", 9) == 0) || is_own_address(host, size, bound);
}

static const char *find_header(struct evhttp_request *http, const char *name)
{
	return evhttp_find_header(evhttp_request_get_input_headers(http), name);
}

const char *guard_check_origin(const struct address *bound, struct evhttp_request *http)
{
	const char *host = find_header(http, "Host"), *origin = find_header(http, "Origin"),
	           *site = find_header(http, "Sec-Fetch-Site");

	if (!host && bound->family)
		return "the Host header is missing";
	if (host && !is_own_host(bound, host))
		return "the Host header names another host: use an address, or localhost";
	if (origin && (strncmp(origin, "http://", 7) != 0 || !host || strcasecmp(origin + 7, host) != 0))
		return "the request comes from a page of another site (Origin)";
	if (site && strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0)
		return "the request comes from a page of another site (Sec-Fetch-Site)";
	return NULL;
}

/* Compares in a time that does not depend on where the two differ. */
static bool secrets_equal(const char *given, const char *token)
{
	size_t size = strlen(token), given_size = strlen(given);
	unsigned differs = size != given_size;

	for (size_t i = 0; i < given_size; i++)
		differs |= (unsigned)(given[i] ^ token[size ? i % size : 0]);
	return !differs;
}

bool guard_check_token(const char *token, struct evhttp_request *http)
{
	const char *given = find_header(http, "Authorization");

	if (!token[0])
		return true;
	return given && strncasecmp(given, "Bearer ", 7) == 0 && secrets_equal(given + 7, token);
}
