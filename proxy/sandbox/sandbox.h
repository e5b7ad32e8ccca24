/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sandbox: gives up what a process does not need before it reads strangers' bytes. From sandbox_enter on
 *
 *   - no program gains privileges (no_new_privs), and none can be started,
 *   - capabilities are gone but those that are kept,
 *   - files can be opened only as was granted (Landlock),
 *   - system calls outside a list fail (seccomp).
 *
 * This holds for the calling thread and for what it starts later, so it is entered before the first thread.
 * If the kernel lacks a part, -v says so and the rest holds.
 */
#ifndef PROXY_SANDBOX_SANDBOX_H
#define PROXY_SANDBOX_SANDBOX_H

#include <stdint.h>
#include <sys/types.h>

struct sandbox;

enum sandbox_use {
	SANDBOX_FILES,   /* no socket can be opened */
	SANDBOX_NETWORK, /* UDP, TCP and Unix sockets can, and those that list interfaces */
};

/* A sandbox in which nothing is granted yet. */
struct sandbox *sandbox_new(void);

/* Grants reading a file, or a folder and all below it. NULL: none. A path without a file is passed over. */
void sandbox_read(struct sandbox *sandbox, const char *path);
/* Grants reading in the folder of a file and, if the file is a link, in that of its target: an editor puts a
 * new file there, and a mounted ConfigMap a new link. */
void sandbox_read_beside(struct sandbox *sandbox, const char *file);
/* Grants creating, writing, renaming and removing files in the folder of a file, and of its target; if it is
 * a FIFO or a device, writing that alone. "-" is standard output. */
void sandbox_write_beside(struct sandbox *sandbox, const char *file);
/* Grants what getaddrinfo(3), the time zone and hash tables (random numbers) read. */
void sandbox_read_system(struct sandbox *sandbox);

/* Drops a sandbox that is not to be entered. */
void sandbox_free(struct sandbox *sandbox);
/* Lets capabilities stay, a bit for each number. As root, CAP_DAC_OVERRIDE and CAP_FOWNER stay without being
 * asked for if a granted file belongs to another user. */
void sandbox_keep(struct sandbox *sandbox, uint64_t capabilities);
/* Lets the process send signals to this child. */
void sandbox_signal(struct sandbox *sandbox, pid_t child);

/* Enters the sandbox for good, and frees `sandbox`. */
void sandbox_enter(struct sandbox *sandbox, enum sandbox_use use);

#endif
