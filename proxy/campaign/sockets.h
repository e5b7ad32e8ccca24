/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sockets: the folder of the control sockets of a campaign's proxies, with a short path, because the address
 * of a Unix socket holds 107 bytes (unix(7)). It is locked while the campaign lives; the folders of campaigns
 * that were killed are removed by the next one.
 */
#ifndef PROXY_CAMPAIGN_SOCKETS_H
#define PROXY_CAMPAIGN_SOCKETS_H

#include "base/error.h"

struct sockets {
	char *folder;
	int lock; /* -1: none */
};

/* Makes the folder in $XDG_RUNTIME_DIR, or in /tmp. Returns 0, or -1 and sets *error. */
int sockets_open(struct sockets *sockets, struct error *error);
void sockets_close(struct sockets *sockets);

#endif
