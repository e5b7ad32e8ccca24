/* SPDX-License-Identifier: BSD-2-Clause */
/* endpoint: the address of the API: "unix:PATH", or an IP address and port. */
#ifndef PROXY_RUN_ENDPOINT_H
#define PROXY_RUN_ENDPOINT_H

#include <stdbool.h>
#include <sys/un.h>

#include "base/address.h"

#define ENDPOINT_TOKEN_SIZE 512 /* bytes, including the final NUL */

struct endpoint {
	bool is_unix;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* if is_unix */
	struct address address;                                 /* otherwise */
};

/* Returns 0, or -1 and sets *error if `text` is not an endpoint. */
int endpoint_read(const char *text, struct endpoint *endpoint, struct error *error);
/* Stores the socket address and returns its size. */
socklen_t endpoint_to_socket(const struct endpoint *endpoint, struct sockaddr_storage *storage);
/* Reads the bearer token of requests, the first line of a file, into ENDPOINT_TOKEN_SIZE bytes. Returns 0, or
 * -1 and sets *error. */
int endpoint_read_token(const char *path, char *token, struct error *error);

#endif
