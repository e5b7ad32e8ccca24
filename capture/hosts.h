/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hosts: names of addresses, for the name resolution blocks of a capture: the cloud's host name, and the
 * [device] section's name for a device.
 *
 * Each pair is kept once, the first HOSTS_MAX of them; a new file begins with all of them.
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
	size_t *slots;      /* a hash table of places in `all`, plus 1; 0: free */
	bool out_of_memory; /* a name is missing */
};

void hosts_free(struct hosts *hosts);
/* false where it is known already, or one too many. */
bool hosts_add(struct hosts *hosts, const struct address *address, const char *name, size_t size);
/* A name resolution block (draft-ietf-opsawg-pcapng) of those from `first` on; nothing where there are none.
 */
void hosts_block(const struct hosts *hosts, size_t first, struct text *out);

#endif
