/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * access_point: a shell script that makes a bare Debian or Raspberry Pi OS an access point whose devices
 * `run` can intercept, and one that takes that back. Pure text.
 *
 * All that it makes is gone after a restart of the machine: files in /run, processes, an address, a table, a
 * sysctl.
 */
#ifndef PROXY_GATEWAY_ACCESS_POINT_H
#define PROXY_GATEWAY_ACCESS_POINT_H

#include "base/error.h"
#include "base/text.h"

struct access_point {
	const char *interface;  /* on the devices' side */
	const char *uplink;     /* NULL: the one of the default route, when the script runs */
	const char *ssid;       /* NULL: no Wi-Fi, a wired network */
	const char *passphrase; /* with `ssid` */
	const char *country;    /* ISO 3166-1, for the radio; NULL: the driver's */
	const char *channel;
	const char *network; /* of the devices, as "10.84.0.1/24": this machine's address in it */
};

/* Returns 0, or -1 and sets *error to what is wrong about it. */
int access_point_check(const struct access_point *point, struct error *error);
void access_point_script(const struct access_point *point, struct text *out);
void access_point_undo(const struct access_point *point, struct text *out);

#endif
