/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hosts: names of addresses, for the name resolution blocks of a capture: the host name of the cloud, and the
 * name of the [device] section for a device.
 *
 * Each pair is stored once, up to HOSTS_MAX pairs; every new file begins with all of them.
 */
#ifndef CAPTURE_HOSTS_H
#define CAPTURE_HOSTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/address.h"
#include "base/text.h"

#define HOSTS_MAX 4096
#define HOST_NAME_MAX_SIZE 255

struct hosts {
	struct host {
		struct address address;
		char *name;

	} * all;
	size_t count;
	size_t *slots;      /* hash table of indexes into `all`, plus 1; 0: free */
	bool out_of_memory; /* a name could not be added; the user resets it */
};

void hosts_free(struct hosts *hosts);
/* Returns false if the pair is known already, or there are too many. */
bool hosts_add(struct hosts *hosts, const struct address *address, const char *name, size_t size);
/* Appends a name resolution block (draft-ietf-opsawg-pcapng) with the pairs from `first` on; nothing if
 * there are none. */
void hosts_block(const struct hosts *hosts, size_t first, struct text *out);

#endif
