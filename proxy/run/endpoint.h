/* SPDX-License-Identifier: BSD-2-Clause */
/* endpoint: where the API is: "unix:PATH", or an address with port. */
#ifndef PROXY_RUN_ENDPOINT_H
#define PROXY_RUN_ENDPOINT_H

#include <stdbool.h>
#include <sys/un.h>

#include "base/address.h"

#define ENDPOINT_TOKEN_SIZE 512 /* bytes, with the final 0 */

struct endpoint {
	bool is_unix;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* if it is */
	struct address address;                                 /* if not */
};

/* Returns 0, or -1 and why the text is no endpoint. */
int endpoint_read(const char *text, struct endpoint *endpoint, struct error *error);
/* Returns the size of the socket address that is stored. */
socklen_t endpoint_to_socket(const struct endpoint *endpoint, struct sockaddr_storage *storage);
/* The token that requests bear: the first line of a file, into ENDPOINT_TOKEN_SIZE bytes. Returns 0, or -1
 * and why there is none. */
int endpoint_read_token(const char *path, char *token, struct error *error);

#endif
