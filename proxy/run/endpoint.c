/* SPDX-License-Identifier: BSD-2-Clause */
#include "proxy/run/endpoint.h"

#include <string.h>

#include "base/regular.h"

#define UNIX_PREFIX "unix:"
#define TOKEN_FILE_MAX ((size_t)1 << 20) /* bytes */

int endpoint_read(const char *text, struct endpoint *endpoint, struct error *error)
{
	const char *path = text + sizeof(UNIX_PREFIX) - 1;

	*endpoint = (struct endpoint){.is_unix = strncmp(text, UNIX_PREFIX, sizeof(UNIX_PREFIX) - 1) == 0};
	if (!endpoint->is_unix)
		return address_read(text, &endpoint->address, error);
	if (!*path)
		return error_set(error, "`%s` lacks its path; it is unix:PATH", text);
	if (strlen(path) >= sizeof(endpoint->path))
		return error_set(
		    error, "`%s`: the path is longer than %zu bytes", text, sizeof(endpoint->path) - 1);
	strcpy(endpoint->path, path);
	return 0;
}

socklen_t endpoint_to_socket(const struct endpoint *endpoint, struct sockaddr_storage *storage)
{
	struct sockaddr_un *local = (struct sockaddr_un *)(void *)storage;

	if (!endpoint->is_unix)
		return address_to_socket(&endpoint->address, storage);
	*local = (struct sockaddr_un){.sun_family = AF_UNIX};
	strcpy(local->sun_path, endpoint->path);
	return sizeof(*local);
}

int endpoint_read_token(const char *path, char *token, struct error *error)
{
	struct text whole = {0};
	struct error why;
	size_t size = 0;
	int failed = regular_load(path, TOKEN_FILE_MAX, &whole, &why);

	if (!failed)
		while (size < whole.size && whole.at[size] != '\n')
			size++;
	if (size && whole.at[size - 1] == '\r')
		size--;
	if (failed)
		error_set(error, "%s", why.text);
	else if (!size)
		failed = error_set(error, "the first line of `%s` is empty", path);
	else if (memchr(whole.at, '\0', size))
		failed = error_set(
		    error, "the first line of `%s` holds a NUL byte, which no HTTP header can carry", path);
	else if (size >= ENDPOINT_TOKEN_SIZE)
		failed = error_set(error, "the first line of `%s` has %zu bytes; %d are the most", path, size,
		    ENDPOINT_TOKEN_SIZE - 1);
	if (!failed) {
		memcpy(token, whole.at, size);
		token[size] = '\0';
	}
	text_free(&whole);
	return failed;
}
