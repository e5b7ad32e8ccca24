/* SPDX-License-Identifier: BSD-2-Clause */
/* seccomp: which system calls the calling thread, and the threads that it starts, may make (seccomp(2)). */
#ifndef PROXY_SANDBOX_SECCOMP_H
#define PROXY_SANDBOX_SECCOMP_H

#include <stdbool.h>
#include <sys/types.h>

/* Allows what reading, writing, waiting and threads need, and with `network` sockets of the families INET,
 * INET6 and UNIX (no raw ones) and NETLINK_ROUTE. All else fails with EPERM, or with ENOSYS if the call is
 * newer than this list, so that the C library falls back. Signals go to this process and to `child` (0: none)
 * alone. Needs no_new_privs. Returns 0, or -1 with errno set; ENOSYS: built without libseccomp. */
int seccomp_enforce(bool network, pid_t child);

#endif
