/* SPDX-License-Identifier: BSD-2-Clause */
/* sysctl: settings of the kernel, read from files of /proc. */
#ifndef PROXY_GATEWAY_SYSCTL_H
#define PROXY_GATEWAY_SYSCTL_H

/* Reads a file of /proc as a number. Returns -1 if it does not exist. */
long sysctl_read(const char *path);

#endif
