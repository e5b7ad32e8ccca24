/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * landlock: which files the calling thread, and the threads and processes that it starts, may open and change
 * (landlock(7)). Rights belong to a file or a folder with all below it, as they are when the right is given:
 * a folder that is made anew under the same name has none.
 */
#ifndef PROXY_SANDBOX_LANDLOCK_H
#define PROXY_SANDBOX_LANDLOCK_H

enum landlock_right {
	LANDLOCK_READ,   /* open for reading, list folders */
	LANDLOCK_WRITE,  /* the same, and create, write, rename and remove files and sockets */
	LANDLOCK_APPEND, /* open an existing file, FIFO or device for writing */
};

/* Returns a ruleset that grants nothing, a descriptor; or -1, with errno set, if the kernel has no Landlock.
 */
int landlock_new(void);
/* Grants a right to what `path` leads to. Does nothing if there is no such file: opening it later
 * fails with its own error.
 * Returns 0, or -1 with errno set. */
int landlock_grant(int ruleset, const char *path, enum landlock_right right);
/* Puts the ruleset in force, for good, and closes it. Needs no_new_privs. Returns 0, or -1 with errno set. */
int landlock_enforce(int ruleset);

#endif
